//! One's own questions with expected answers, in any language.
//!
//! A row's answer is a text, or a list of accepted texts as Python or JSON writes one. Letter case, blanks and what stands around
//! an answer tell nothing: `Bir kedi.` is `bir kedi`, and Turkish `I`, `ı`, `İ`, `i` are one letter, as models and keyboards mix
//! them up. No kit does this: the rules are our own.

use crate::benchmarks::benchmark::Benchmark;
use crate::benchmarks::candidate::Candidate;
use crate::benchmarks::verdict::{Judged, Level, Score, Verdict, by_category};
use crate::data::problem::ProblemKind;
use crate::data::python_list::python_list;
use crate::data::row::Row;
use crate::protocol::Protocol;

/// Questions with expected answers; what an answer has to do with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenSet {
    /// It contains one of them, as whole words where words are told apart by blanks.
    Contains,
    /// It is one of them.
    Exact,
}

impl OpenSet {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Contains, Self::Exact];

    fn fits(self, prediction: &str, accepted: &str) -> bool {
        let (prediction, accepted) = (normal(prediction), normal(accepted));
        match self {
            _ if accepted.is_empty() => false,
            Self::Exact => prediction == accepted,
            Self::Contains => contains(&prediction, &accepted),
        }
    }
}

impl Benchmark for OpenSet {
    fn name(&self) -> &'static str {
        match self {
            Self::Contains => "contains",
            Self::Exact => "exact",
        }
    }

    fn is_own(&self) -> bool {
        true
    }

    fn open_set(&self) -> Option<Self> {
        Some(*self)
    }

    fn columns(&self) -> &'static [&'static str] {
        &[]
    }

    fn check(&self, row: &Row) -> Option<(ProblemKind, String)> {
        let problem = match accepted(row.answer()) {
            Err(problem) => problem,
            Ok(texts) if texts.iter().all(|text| normal(text).is_empty()) => "there is none".into(),
            Ok(_) => return None,
        };
        Some((ProblemKind::BadAnswer, format!("expected an answer, or a list of them: {problem}")))
    }

    fn candidates(&self, _row: &Row) -> Vec<Candidate> {
        Vec::new()
    }

    fn judge(&self, row: &Row, prediction: &str, _protocol: Protocol) -> Verdict {
        let accepted = accepted(row.answer()).unwrap_or_default();
        Verdict::of_contained(accepted.into_iter().find(|text| self.fits(prediction, text)))
    }

    fn scores(&self, judged: &[Judged<'_>], _protocol: Protocol) -> Vec<Score> {
        let all: Vec<&Judged<'_>> = judged.iter().collect();
        let mut scores = vec![Score::accuracy_of(Level::Overall, self.name(), &all)];
        for (category, rows) in by_category(judged, |row| row.get("category")) {
            scores.push(Score::accuracy_of(Level::Category, category, &rows));
        }
        scores
    }
}

/// The accepted texts of a row.
fn accepted(answer: &str) -> Result<Vec<String>, String> {
    let answer = answer.trim();
    if answer.starts_with('[') && answer.ends_with(']') {
        python_list(answer)
    } else {
        Ok(vec![answer.into()])
    }
}

/// In lower case, with single blanks, without what stands around it.
fn normal(text: &str) -> String {
    const DOT_ABOVE: char = '\u{307}';
    let lower: String = text
        .to_lowercase()
        .chars()
        .filter(|c| *c != DOT_ABOVE)
        .map(|c| if c == 'ı' { 'i' } else { c })
        .collect();
    let words: Vec<&str> = lower.split_whitespace().collect();
    let text = words.join(" ");
    text.trim_matches(|c: char| !c.is_alphanumeric()).to_string()
}

/// Whether a text contains another one that is not part of a longer word.
fn contains(text: &str, part: &str) -> bool {
    let goes_on = |inside: Option<char>, outside: Option<char>| {
        inside.zip(outside).is_some_and(|(inside, outside)| is_of_word(inside) && is_of_word(outside))
    };
    text.match_indices(part).any(|(at, _)| {
        let (before, after) = (text[..at].chars().next_back(), text[at + part.len()..].chars().next());
        !goes_on(part.chars().next(), before) && !goes_on(part.chars().next_back(), after)
    })
}

/// A letter or digit of a script that puts blanks between words; Chinese, Japanese, Thai, Lao, Khmer and Burmese do not.
fn is_of_word(c: char) -> bool {
    let is_unspaced = matches!(c, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}')
        || matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{20000}'..='\u{3ffff}');
    c.is_alphanumeric() && !is_unspaced
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_or_contains_an_expected_one() {
        for (answer, prediction, contained, exact) in [
            ("kedi", "Kedi.", true, true),
            ("kedi", "Bu bir kedi!", true, false),
            ("cat", "A category.", false, false),
            ("3", "There are 13.", false, false),
            ("3", "3 birds", true, false),
            ("猫", "这是一只猫。", true, false),
            ("قطة", "«قطة»", true, true),
            ("IŞIK", "ışık", true, true),
            ("İzmir", "izmir", true, true),
            ("un chat", "C'est un  chat", true, false),
            ("['cat', \"kitten\"]", "It's a kitten", true, false),
            ("[\"cat\", \"kitten\"]", "Kitten", true, true),
            ("cat", "", false, false),
            ("C++", "c", true, true),
        ] {
            let row = Row::from_cells(&[("question", "?"), ("answer", answer)]);
            let found = OpenSet::ALL.map(|set| set.judge(&row, prediction, Protocol::Kit2026_08).right);
            assert_eq!(found, [contained, exact], "{answer:?} {prediction:?}");
            assert_eq!(OpenSet::Contains.check(&row), None);
        }
    }

    #[test]
    fn an_answer_that_expects_nothing_is_a_problem() {
        for answer in ["", " . ", "[]", "['a'"] {
            let row = Row::from_cells(&[("question", "?"), ("answer", answer)]);
            let is_right = OpenSet::Contains.judge(&row, "a", Protocol::Kit2026_08).right;
            assert_eq!(OpenSet::Exact.check(&row).is_some(), answer != "['a'", "{answer:?}");
            assert_eq!(is_right, answer == "['a'", "{answer:?}");
        }
    }
}
