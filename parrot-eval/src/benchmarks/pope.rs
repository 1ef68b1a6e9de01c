//! POPE: is a thing in the picture? Yes or no, with things that are not there drawn at random, by popularity or
//! to mislead.
//!
//! Overall is F1 over rows that count once per category they are in. LLaVA's own POPE, the mean over three files,
//! is another number.

use crate::answers::yes_no::extract_yes_no;
use crate::benchmarks::benchmark::Benchmark;
use crate::benchmarks::candidate::{Candidate, yes_and_no};
use crate::benchmarks::verdict::{Judged, Level, Score, Verdict, by_category, percent};
use crate::data::problem::ProblemKind;
use crate::data::row::Row;
use crate::prompt::{PromptStyle, yes_or_no};
use crate::protocol::Protocol;

/// The benchmark, for `POPE.tsv`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pope;

impl Benchmark for Pope {
    fn name(&self) -> &'static str {
        "POPE"
    }

    fn columns(&self) -> &'static [&'static str] {
        &["category"]
    }

    fn check(&self, row: &Row) -> Option<(ProblemKind, String)> {
        check_yes_no(row)
    }

    fn prompt(&self, row: &Row, style: PromptStyle) -> String {
        yes_or_no(row, style)
    }

    fn candidates(&self, _row: &Row) -> Vec<Candidate> {
        yes_and_no()
    }

    fn judge(&self, row: &Row, prediction: &str, _protocol: Protocol) -> Verdict {
        Verdict::of_yes_no(extract_yes_no(prediction), row.answer())
    }

    fn scores(&self, judged: &[Judged<'_>], _protocol: Protocol) -> Vec<Score> {
        // A row counts once in every category of its list.
        let exploded = by_category(judged, |row| row.get("category").unwrap_or_default().split(','));
        let all: Vec<&Judged<'_>> = exploded.values().flatten().copied().collect();
        let mut scores = four(Level::Overall, "", &all);
        for (category, rows) in exploded.iter().filter(|(category, _)| !category.is_empty()) {
            scores.extend(four(Level::Category, category, rows));
        }
        scores
    }
}

/// The expected answer of a yes-or-no question is one of these two words.
pub(crate) fn check_yes_no(row: &Row) -> Option<(ProblemKind, String)> {
    let expected = matches!(row.answer(), "Yes" | "No");
    let found = if row.answer().is_empty() { "nothing" } else { row.answer() };
    (!expected).then(|| (ProblemKind::BadAnswer, format!("expected Yes or No, found {found}")))
}

/// F1, accuracy, precision and recall of saying Yes. An answer that is neither counts as No for F1, precision
/// and recall, and as wrong for accuracy.
fn four(level: Level, name: &str, rows: &[&Judged<'_>]) -> Vec<Score> {
    let count = |holds: fn(&Judged<'_>) -> bool| rows.iter().filter(|judged| holds(judged)).count();
    let said_yes = count(|judged| judged.verdict.said.as_deref() == Some("Yes"));
    let is_yes = count(|judged| judged.row.answer() == "Yes");
    let both = count(|judged| judged.row.answer() == "Yes" && judged.verdict.said.as_deref() == Some("Yes"));
    let right = count(|judged| judged.verdict.right);
    let total = rows.len();
    let score = |metric, value| {
        let name = if name.is_empty() { metric } else { name };
        Score { level, name: name.into(), split: None, metric, value, of: total }
    };
    vec![
        // 2·precision·recall / (precision + recall), without dividing by nothing.
        score("F1", percent(2 * both, said_yes + is_yes)),
        score("accuracy", percent(right, total)),
        score("precision", percent(both, said_yes)),
        score("recall", percent(both, is_yes)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Worked out by hand. Exploded: random (1: Yes✓, 2: No→Yes✗), popular (1, 3: Yes→?✗), adversarial (4: No→?✗).
    #[test]
    fn rows_count_once_per_category() {
        let row = |answer, category| {
            Row::from_cells(&[("question", "?"), ("answer", answer), ("category", category)])
        };
        let rows = [
            row("Yes", "random,popular"),
            row("No", "random"),
            row("Yes", "popular"),
            row("No", "adversarial"),
        ];
        let judged: Vec<Judged<'_>> = rows
            .iter()
            .zip(["Yes", "yes.", "**Yes**", "perhaps"])
            .map(|(row, prediction)| {
                let verdict = Pope.judge(row, prediction, Protocol::Kit2024_08);
                Judged { row, all_right: verdict.right, verdict }
            })
            .collect();
        let scores = Pope.scores(&judged, Protocol::Kit2024_08);
        let value = |level, name: &str, metric| {
            let found = scores
                .iter()
                .find(|score| score.level == level && score.metric == metric && score.name == name);
            found.map(|score| (score.value * 100.0).round() / 100.0).unwrap()
        };
        assert_eq!(scores[0].of, 5);
        // Said Yes: 1, 1, 2. Is Yes: 1, 1, 3. Both: 1, 1.
        assert_eq!(value(Level::Overall, "F1", "F1"), 66.67);
        assert_eq!(value(Level::Overall, "accuracy", "accuracy"), 40.0);
        assert_eq!(value(Level::Overall, "precision", "precision"), 66.67);
        assert_eq!(value(Level::Overall, "recall", "recall"), 66.67);
        assert_eq!(value(Level::Category, "random", "F1"), 66.67);
        assert_eq!(value(Level::Category, "popular", "recall"), 50.0);
        // Truth is No and the answer unreadable: wrong, although F1 takes it for No.
        assert_eq!(value(Level::Category, "adversarial", "accuracy"), 0.0);
        assert_eq!(check_yes_no(&row("yes", "")).unwrap().1, "expected Yes or No, found yes");
    }
}
