//! What users write, for a log that was asked to have it.

use parrot_model::untrusted::printable;

/// Text of a user or of the model in which nothing steers a terminal, hides or ends a line but U+000A, which both formats of
/// a log escape when they get the text as a string.
pub(crate) fn loggable(text: &str) -> String {
    let lines = text.replace("\r\n", "\n").replace(['\u{2028}', '\u{2029}'], "\n");
    printable(&lines).replace(is_invisible, "\u{fffd}")
}

/// Characters without width that belong to no script's spelling, and tags.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hides_or_steers_is_replaced() {
        let text = "hi\r\nFAKE\u{1b}[31m\u{202e}\u{9b}\u{85}\u{2066}\u{200b}\u{7f}\u{2028}x";
        let expected = format!("hi\nFAKE{0}[31m{0}{0}{0}{0}{0}{0}\nx", '\u{fffd}');
        assert_eq!(loggable(text), expected);
        // Persian, Arabic and families are spelt with these.
        let spelt = "می\u{200c}خواهم ما\u{200f} 👨\u{200d}👩";
        assert_eq!(loggable(spelt), spelt);
    }
}
