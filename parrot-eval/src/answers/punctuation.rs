//! Punctuation as the kits take it out of answers before words are compared (`process_punctuation`).

/// In the order in which they are treated. `:`, `'`, `*` and `#` are not among them.
const PUNCTUATION: [char; 21] = [
    ';', '/', '[', ']', '"', '{', '}', '(', ')', '=', '+', '\\', '_', '-', '>', '<', '@', '`', ',', '?', '!',
];
/// Full stops that are removed at most: the reference passes a flag where the count belongs.
const STOPS: usize = 32;

/// A mark is deleted where it stands beside a space somewhere, or where the text has a number like 1,000;
/// otherwise it becomes a space.
pub(crate) fn without_punctuation(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let has_number = chars.windows(3).any(|w| is_digit(w[0]) && w[1] == ',' && is_digit(w[2]));
    let beside_space = |mark| chars.windows(2).any(|pair| pair == [mark, ' '] || pair == [' ', mark]);
    PUNCTUATION.iter().fold(text.to_string(), |text, mark| {
        text.replace(*mark, if has_number || beside_space(*mark) { "" } else { " " })
    })
}

/// Which full stops are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stops {
    /// Those that no digit follows: the kit of 2024, and yes-or-no questions, to which it makes no difference.
    NotBeforeDigits,
    /// Those with no digit on either side: today's kit.
    NotBesideDigits,
}

/// Deletes the first full stops of that kind.
pub(crate) fn without_stops(text: &str, stops: Stops) -> String {
    let mut deleted = 0;
    let mut before: Option<char> = None;
    let mut chars = text.chars().peekable();
    let mut kept = String::with_capacity(text.len());
    while let Some(c) = chars.next() {
        let follows_digit = stops == Stops::NotBesideDigits && before.is_some_and(is_digit);
        if c == '.' && deleted < STOPS && !follows_digit && !chars.peek().is_some_and(|next| is_digit(*next))
        {
            deleted += 1;
        } else {
            kept.push(c);
        }
        before = Some(c);
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

    #[test]
    fn stops_beside_digits_stay() {
        for (text, not_before, not_beside) in
            [("a.b 5. .5 5.5", "ab 5 .5 5.5", "ab 5. .5 5.5"), ("...", "", ""), ("৫.", "৫", "৫.")]
        {
            assert_eq!(without_stops(text, Stops::NotBeforeDigits), not_before);
            assert_eq!(without_stops(text, Stops::NotBesideDigits), not_beside);
        }
    }

    #[test]
    fn digits_are_those_of_any_script() {
        assert!(['5', '৫', '߅', '５'].into_iter().all(is_digit));
        assert!(!['½', 'Ⅳ', 'a', '\u{0}', '²'].into_iter().any(is_digit));
    }
}
