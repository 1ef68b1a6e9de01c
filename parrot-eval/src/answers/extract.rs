//! An answer to a question with options → the letter it means, by the rules of VLMEvalKit.
//!
//! Letters are looked for as whole words first, then the options' texts as parts of the answer. No judge model
//! is asked: what these rules do not resolve is wrong.

use serde::Serialize;

use crate::protocol::Extractor;

/// What was found in an answer, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Extracted {
    /// The letter stands in the answer.
    Letter(char),
    /// The answer contains the text of this option and of no other.
    Text(char),
    /// A refusal, which the kits write as the option `Z`.
    Refusal,
    /// Nothing, or more than one thing.
    None,
}

impl Extracted {
    /// The option's letter.
    #[must_use]
    pub fn letter(self) -> Option<char> {
        match self {
            Self::Letter(letter) | Self::Text(letter) => Some(letter),
            Self::Refusal | Self::None => None,
        }
    }
}

const API_FAILURE: &str = "Failed to obtain answer via API";
const REFUSALS: [&str; 4] = [
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
];
/// The characters that become spaces. Others, like a full-width stop or a quote, stay part of their word.
const SEPARATORS: [char; 13] = ['.', '(', ')', '[', ']', ',', ':', ';', '!', '*', '#', '{', '}'];

/// Finds the option that `prediction` means among `options`, letters with their texts.
#[must_use]
pub fn extract(prediction: &str, options: &[(char, &str)], extractor: Extractor) -> Extracted {
    // No letter is looked for in it, but the words of an option are.
    if prediction.contains(API_FAILURE) {
        return by_text(prediction, options, extractor);
    }
    if REFUSALS.iter().any(|refusal| prediction.contains(refusal)) {
        return Extracted::Refusal;
    }
    let spaced = prediction.replace(SEPARATORS, " ");
    let words: Vec<&str> = spaced.split(is_python_space).filter(|word| !word.is_empty()).collect();
    let place = |letter: char| words.iter().position(|word| is_letter(word, letter));
    let found: Vec<(char, usize)> =
        options.iter().filter_map(|(letter, _)| Some((*letter, place(*letter)?))).collect();
    match (found.as_slice(), extractor) {
        ([(letter, _)], Extractor::Fork) => return Extracted::Letter(*letter),
        ([(letter, place)], Extractor::Upstream) if place + 5 > words.len() => {
            return Extracted::Letter(*letter);
        }
        ([], _) if place('Z').is_some() => return Extracted::Refusal,
        _ => {}
    }
    if extractor == Extractor::Upstream
        && let Some(letter) = announced(prediction)
        && options.iter().any(|(option, _)| *option == letter)
    {
        return Extracted::Letter(letter);
    }
    by_text(prediction, options, extractor)
}

/// Step 7: the one option whose text is part of the answer, letter case aside.
fn by_text(prediction: &str, options: &[(char, &str)], extractor: Extractor) -> Extracted {
    let prediction = prediction.to_lowercase();
    let length: usize = options.iter().map(|(_, text)| text.chars().count()).sum();
    if extractor == Extractor::Upstream && prediction.chars().count() > 2 * length {
        return Extracted::None;
    }
    let mut named = options.iter().filter(|(_, text)| prediction.contains(&text.to_lowercase()));
    match (named.next(), named.next()) {
        (Some((letter, _)), None) => Extracted::Text(*letter),
        _ => Extracted::None,
    }
}

fn is_letter(word: &str, letter: char) -> bool {
    let mut chars = word.chars();
    chars.next() == Some(letter) && chars.next().is_none()
}

/// Whitespace as Python splits at: Unicode's, and the four separators U+001C to U+001F.
pub(crate) fn is_python_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Step 6: the letter behind the first “answer is”, whatever its case, possibly in asterisks. It need not end
/// there: “the answer is a cat” announces A.
fn announced(prediction: &str) -> Option<char> {
    // As Python's `re` ignores case: a few letters beyond ASCII count as theirs. Nothing else is lower-cased.
    let lower: String = prediction
        .chars()
        .map(|c| match c {
            'İ' | 'ı' => 'i',
            'ſ' => 's',
            c => c.to_ascii_lowercase(),
        })
        .collect();
    lower.match_indices("answer").find_map(|(at, answer)| {
        let rest = skip_spaces(&lower[at + answer.len()..])?;
        let rest = skip_spaces(rest.strip_prefix("is")?)?;
        let letter = rest.trim_start_matches('*').chars().next()?;
        ('a'..='d').contains(&letter).then(|| letter.to_ascii_uppercase())
    })
}

/// What follows at least one whitespace.
fn skip_spaces(text: &str) -> Option<&str> {
    let rest = text.trim_start_matches(is_python_space);
    (rest.len() < text.len()).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANIMALS: &[&str] = &["teddy bear", "rabbit", "cat", "dog"];
    const YES_AR: &[&str] = &["نعم", "لا"];
    const YES_RU: &[&str] = &["Да", "Нет"];
    const YES_TR: &[&str] = &["Evet", "Hayır"];
    const BLACK: &[&str] = &["灰色的", "黑色的", "棕色的", "白色的"];
    const NUMBERS: &[&str] = &["1", "2", "3", "4"];

    fn both(prediction: &str, options: &[&str]) -> [String; 2] {
        let options: Vec<(char, &str)> = ('A'..).zip(options.iter().copied()).collect();
        [Extractor::Fork, Extractor::Upstream].map(|extractor| {
            match extract(prediction, &options, extractor) {
                Extracted::Letter(letter) | Extracted::Text(letter) => letter.to_string(),
                Extracted::Refusal => "Z".into(),
                Extracted::None => "none".into(),
            }
        })
    }

    /// Recorded from the kits' own functions: prediction, options, fork, upstream.
    #[test]
    fn the_table_of_the_protocol() {
        for (prediction, options, fork, upstream) in [
            ("A", ANIMALS, "A", "A"),
            ("B.", ANIMALS, "B", "B"),
            ("(C)", ANIMALS, "C", "C"),
            ("D: dog", ANIMALS, "D", "D"),
            ("A B", ANIMALS, "none", "none"),
            ("a", ANIMALS, "none", "none"),
            ("A cat is in the picture", ANIMALS, "A", "C"),
            ("A cat", ANIMALS, "A", "A"),
            ("The answer is B because A is wrong", ANIMALS, "none", "B"),
            ("Option C, not D", ANIMALS, "none", "none"),
            ("It is a cat", ANIMALS, "C", "C"),
            ("category", ANIMALS, "C", "C"),
            ("It is a cat and a dog", ANIMALS, "none", "none"),
            ("B word word word word word word", ANIMALS, "B", "none"),
            ("The answer is **B**. Here is why: the picture shows many things", ANIMALS, "B", "B"),
            ("E", ANIMALS, "none", "none"),
            ("", ANIMALS, "none", "none"),
            ("nan", ANIMALS, "none", "none"),
            ("Z", ANIMALS, "Z", "Z"),
            ("Cannot determine the answer", ANIMALS, "Z", "Z"),
            ("B。", ANIMALS, "none", "none"),
            ("答案是B", ANIMALS, "none", "none"),
            ("选B", ANIMALS, "none", "none"),
            ("选 B", ANIMALS, "B", "B"),
            ("А", ANIMALS, "none", "none"),
            ("В", ANIMALS, "none", "none"),
            ("لا", YES_AR, "B", "B"),
            ("نعم، لا", YES_AR, "none", "none"),
            ("الإجابة: ب", YES_AR, "none", "none"),
            ("黑色的", BLACK, "B", "B"),
            ("黑色", BLACK, "none", "none"),
            ("нет", YES_RU, "B", "B"),
            ("HAYIR", YES_TR, "none", "none"),
            ("13", NUMBERS, "none", "none"),
            ("There are 12", NUMBERS, "none", "none"),
            ("3", NUMBERS, "C", "C"),
        ] {
            assert_eq!(both(prediction, options), [fork, upstream], "{prediction:?}");
        }
    }

    #[test]
    fn how_it_was_found_is_told() {
        let options = [('A', "cat"), ('B', "dog")];
        assert_eq!(extract("A", &options, Extractor::Fork), Extracted::Letter('A'));
        assert_eq!(extract("a dog", &options, Extractor::Fork), Extracted::Text('B'));
        let failed = "Failed to obtain answer via API. A";
        assert_eq!(extract(failed, &options, Extractor::Fork), Extracted::None);
        let failed = "cat. Failed to obtain answer via API. B";
        assert_eq!(extract(failed, &options, Extractor::Fork), Extracted::Text('A'));
        // An announcement of a letter that is no option is none.
        let long = [('A', "a small cat"), ('B', "dog")];
        assert_eq!(extract("the answer is D, a dog", &long, Extractor::Upstream), Extracted::Text('B'));
        assert_eq!(extract("anything", &[], Extractor::Fork), Extracted::None);
    }

    /// What the upstream function answered to these.
    #[test]
    fn an_announcement_is_understood_in_turkish_case_too() {
        let options = [('A', "a small cat"), ('B', "a dog")];
        for prediction in [
            "The answer ıs B because A is wrong",
            "ANSWER İS B ÇÜNKÜ A YANLIŞ",
            "the anſwer iſ b, as A is far from what is seen",
            "İİ answer is B and not A",
        ] {
            assert_eq!(
                extract(prediction, &options, Extractor::Upstream),
                Extracted::Letter('B'),
                "{prediction}"
            );
        }
    }

    #[test]
    fn hostile_answers_end_in_a_verdict() {
        let options = [('A', ""), ('B', "İ"), ('C', "ß")];
        for prediction in ["\u{0}", "\u{1c}A\u{1f}", "answer is", "answer is ***", "answer answer is  İ", "ſ"]
        {
            for extractor in [Extractor::Fork, Extractor::Upstream] {
                let _ = extract(prediction, &options, extractor);
            }
        }
        assert_eq!(extract("\u{1c}A\u{1f}", &options, Extractor::Fork), Extracted::Letter('A'));
        let long = "answer is ".repeat(100_000);
        assert_eq!(extract(&long, &[('B', "x"), ('C', "y")], Extractor::Upstream), Extracted::None);
        // What follows the first announcement begins with a letter of an option.
        assert_eq!(extract(&long, &[('A', "x"), ('B', "y")], Extractor::Upstream), Extracted::Letter('A'));
    }
}
