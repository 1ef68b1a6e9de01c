//! An answer → the words by which VQA compares it (VLMEvalKit, `process_answer`): without punctuation and articles, numbers
//! as digits, contractions with their apostrophes.

use crate::answers::extract::is_python_space;
use crate::answers::punctuation::{Stops, without_punctuation, without_stops};
use crate::protocol::Protocol;

/// The words of an answer, a blank between any two.
#[must_use]
pub(crate) fn vqa_words(answer: &str, protocol: Protocol) -> String {
    let stops = match protocol {
        Protocol::Paper2024_06 | Protocol::Kit2024_08 => Stops::NotBeforeDigits,
        Protocol::Kit2026_08 => Stops::NotBesideDigits,
    };
    let line = answer.replace(['\n', '\t'], " ");
    let text = without_stops(&without_punctuation(line.trim_matches(is_python_space)), stops).to_lowercase();
    let words = text.split(is_python_space).filter(|word| !word.is_empty()).map(digit);
    let words: Vec<&str> =
        words.filter(|word| !["a", "an", "the"].contains(word)).map(with_apostrophe).collect();
    words.join(" ")
}

fn digit(word: &str) -> &str {
    match word {
        "none" | "zero" => "0",
        "one" => "1",
        "two" => "2",
        "three" => "3",
        "four" => "4",
        "five" => "5",
        "six" => "6",
        "seven" => "7",
        "eight" => "8",
        "nine" => "9",
        "ten" => "10",
        word => word,
    }
}

/// The contraction of which a word is the spelling with one apostrophe left out.
fn with_apostrophe(word: &str) -> &str {
    let without_one = |contraction: &str| {
        contraction.match_indices('\'').any(|(at, _)| {
            word.len() + 1 == contraction.len()
                && word.starts_with(&contraction[..at])
                && word.ends_with(&contraction[at + 1..])
        })
    };
    match word {
        // The one pair that is the other way round.
        "somebody'd" => "somebodyd",
        word => CONTRACTIONS.into_iter().find(|contraction| without_one(contraction)).unwrap_or(word),
    }
}

#[rustfmt::skip]
const CONTRACTIONS: [&str; 92] = [
    "'ow's'at", "'twas", "ain't", "aren't", "can't", "could've", "couldn't", "couldn't've", "didn't",
    "doesn't", "don't", "hadn't", "hadn't've", "hasn't", "haven't", "he'd", "he'd've", "he's", "how'd",
    "how'll", "how's", "isn't", "it'd", "it'd've", "it'll", "ma'am", "might've", "mightn't", "mightn't've",
    "must've", "mustn't", "needn't", "not've", "o'clock", "oughtn't", "shan't", "she'd've", "should've",
    "shouldn't", "shouldn't've", "somebody'd've", "somebody'll", "somebody's", "someone'd", "someone'd've",
    "someone'll", "someone's", "something'd", "something'd've", "something'll", "that's", "there'd",
    "there'd've", "there're", "there's", "they'd", "they'd've", "they'll", "they're", "they've", "wasn't",
    "we'd've", "we've", "weren't", "what'll", "what're", "what's", "what've", "when's", "where'd",
    "where's", "where've", "who'd", "who'd've", "who'll", "who's", "who've", "why'll", "why're", "why's",
    "won't", "would've", "wouldn't", "wouldn't've", "y'all", "y'all'd've", "y'all'll", "you'd", "you'd've",
    "you'll", "you're", "you've",
];

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kit's own function makes of them.
    #[test]
    fn words_are_compared_as_the_kit_compares_them() {
        for (answer, expected) in [
            ("The Stop!", "stop"),
            ("a  stop\tsign\n", "stop sign"),
            ("5.", "5."),
            ("5.0", "5.0"),
            ("1,000", "1000"),
            ("1,000 - stops", "1000 stops"),
            ("none", "0"),
            ("Ten of them", "10 of them"),
            ("a/b", "b"),
            ("a / b", "b"),
            ("it's", "it's"),
            ("its", "its"),
            ("dont", "don't"),
            ("couldnt've", "couldn't've"),
            ("couldn'tve", "couldn't've"),
            ("yalldve", "yalldve"),
            ("y'alldve", "y'alldve"),
            ("somebody'd", "somebodyd"),
            ("oclock", "o'clock"),
            ("“stop”", "“stop”"),
            ("No. 7", "no 7"),
            ("U.S.A.", "usa"),
            ("what?!", "what"),
            ("the", ""),
            ("", ""),
            ("St. John's", "st john's"),
            ("東京、the", "東京、the"),
            ("İSTANBUL", "i̇stanbul"),
            ("one-two", "1 2"),
            ("one - two", "1 2"),
            ("let's", "let's"),
            ("twas", "'twas"),
            ("[7]", "7"),
            ("x=3;y=4", "x 3 y 4"),
            (" an A the ", ""),
        ] {
            assert_eq!(vqa_words(answer, Protocol::Kit2026_08), expected, "{answer:?}");
        }
        // The kit of 2024 removes the stop behind a digit as well.
        assert_eq!(vqa_words("5.", Protocol::Kit2024_08), "5");
    }

    /// Every spelling that the kit knows ends as a contraction, and no contraction is changed.
    #[test]
    fn contractions_end_as_they_are() {
        for contraction in CONTRACTIONS {
            assert_eq!(with_apostrophe(contraction), contraction);
            for (at, _) in contraction.match_indices('\'') {
                let spelling = format!("{}{}", &contraction[..at], &contraction[at + 1..]);
                assert_eq!(with_apostrophe(&spelling), contraction, "{spelling}");
            }
        }
    }
}
