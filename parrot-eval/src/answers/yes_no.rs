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

/// Digits of any script, as Python's `\d` has them: Unicode's decimal digits. `char::is_numeric` is wider: it has ½
/// and Ⅳ.
fn is_digit(c: char) -> bool {
    let zero = ZEROS.partition_point(|zero| *zero <= u32::from(c));
    zero > 0 && u32::from(c) - ZEROS[zero - 1] < 10
}

/// The zeros of all scripts, each followed by its nine other digits: Unicode 14.0.0, category Nd.
#[rustfmt::skip]
const ZEROS: [u32; 66] = [
    0x30, 0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66, 0xDE6, 0xE50,
    0xED0, 0xF20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40,
    0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10, 0x104A0, 0x10D30, 0x11066,
    0x110F0, 0x11136, 0x111D0, 0x112F0, 0x11450, 0x114D0, 0x11650, 0x116C0, 0x11730, 0x118E0, 0x11950,
    0x11C50, 0x11D50, 0x11DA0, 0x16A60, 0x16AC0, 0x16B50, 0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6,
    0x1E140, 0x1E2F0, 0x1E950, 0x1FBF0,
];

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
        // A stop before a digit stays: a Bengali and an NKo one as well.
        for digit in ['5', '৫', '߅', '５'] {
            assert_eq!(extract_yes_no(&format!("yes.{digit}")), None, "{digit}");
            assert!(is_digit(digit));
        }
        assert!(!['½', 'Ⅳ', 'a', '\u{0}', '²'].into_iter().any(is_digit));
    }
}
