//! An answer to a yes-or-no question → Yes, No or neither (evaluation protocol §6).

use crate::answers::extract::is_python_space;

/// In the order in which they are treated. `:`, `'`, `*` and `#` are not among them.
const PUNCTUATION: [char; 21] = [
    ';', '/', '[', ']', '"', '{', '}', '(', ')', '=', '+', '\\', '_', '-', '>', '<', '@', '`', ',', '?', '!',
];
/// Full stops that are removed at most: the reference passes a flag where the count belongs.
const STOPS: usize = 32;

/// `Some(true)` for Yes, `Some(false)` for No, `None` for an answer that says neither or both.
#[must_use]
pub fn extract_yes_no(prediction: &str) -> Option<bool> {
    let lower = prediction.to_lowercase();
    let text = without_stops(&without_punctuation(&lower));
    let mut words = text.split(is_python_space);
    let (mut yes, mut no) = (false, false);
    words.by_ref().for_each(|word| match word {
        "yes" => yes = true,
        "no" => no = true,
        _ => {}
    });
    (yes != no).then_some(yes)
}

/// A mark is deleted where it stands beside a space somewhere, or where the text has a number like 1,000;
/// otherwise it becomes a space.
fn without_punctuation(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let has_number = chars.windows(3).any(|w| is_digit(w[0]) && w[1] == ',' && is_digit(w[2]));
    let beside_space = |mark| chars.windows(2).any(|pair| pair == [mark, ' '] || pair == [' ', mark]);
    PUNCTUATION.iter().fold(text.to_string(), |text, mark| {
        text.replace(*mark, if has_number || beside_space(*mark) { "" } else { " " })
    })
}

/// Deletes the first full stops that no digit follows.
fn without_stops(text: &str) -> String {
    let mut deleted = 0;
    let mut chars = text.chars().peekable();
    let mut kept = String::with_capacity(text.len());
    while let Some(c) = chars.next() {
        if c == '.' && deleted < STOPS && !chars.peek().is_some_and(|next| is_digit(*next)) {
            deleted += 1;
        } else {
            kept.push(c);
        }
    }
    kept
}

/// Digits of any script, as Python's `\d` has them: Unicode's decimal digits. `char::is_numeric` is wider (it
/// has ½ and Ⅳ), so these are tested by their blocks of ten that matter here.
fn is_digit(c: char) -> bool {
    const ZEROS: [u32; 6] = [0x30, 0x660, 0x6F0, 0x966, 0xE50, 0xFF10];
    ZEROS.iter().any(|zero| (*zero..zero + 10).contains(&u32::from(c)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of §6.
    #[test]
    fn the_table_of_the_protocol() {
        for (text, expected) in [
            ("Yes", Some(true)),
            ("yes.", Some(true)),
            ("\"Yes\"", Some(true)),
            ("yes;", Some(true)),
            ("- Yes", Some(true)),
            ("**Yes**", None),
            ("Yes:", None),
            ("Yes, it is.", Some(true)),
            ("Yes/No", None),
            ("Yes,no", None),
            ("No, there is no dog", Some(false)),
            ("no-one", Some(false)),
            ("Not", None),
            ("nope", None),
            ("是", None),
            ("Нет", None),
            ("1,000 no", Some(false)),
            ("Yes.it is", None),
            ("", None),
            ("nan", None),
        ] {
            assert_eq!(extract_yes_no(text), expected, "{text:?}");
        }
    }

    #[test]
    fn only_so_many_full_stops_are_removed() {
        assert_eq!(extract_yes_no(&format!("{}yes", ".".repeat(32))), Some(true));
        assert_eq!(extract_yes_no(&format!("{}yes", ".".repeat(33))), None);
        assert_eq!(extract_yes_no("yes .5"), Some(true));
    }
}
