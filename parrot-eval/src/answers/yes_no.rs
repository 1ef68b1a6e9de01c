//! An answer to a yes-or-no question → Yes, No or neither, by the rules of VLMEvalKit.

use crate::answers::extract::is_python_space;
use crate::answers::punctuation::{Stops, without_punctuation, without_stops};

/// `Some(true)` for Yes, `Some(false)` for No, `None` for an answer that says neither or both.
#[must_use]
pub fn extract_yes_no(prediction: &str) -> Option<bool> {
    let lower = prediction.to_lowercase();
    let text = without_stops(&without_punctuation(&lower), Stops::NotBeforeDigits);
    let mut words = text.split(is_python_space);
    let (mut yes, mut no) = (false, false);
    words.by_ref().for_each(|word| match word {
        "yes" => yes = true,
        "no" => no = true,
        _ => {}
    });
    (yes != no).then_some(yes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded from the kit's own function.
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
        }
    }
}
