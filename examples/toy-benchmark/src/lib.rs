//! A benchmark of one's own: name what is in the picture, in the language of the question.
//!
//! [`Naming`] says what is asked, which answers are right and what is counted. Reading files and pictures, asking
//! in batches and the tables come with `parrot_eval`; `main.rs` puts them together, as the command `parrot eval`
//! knows no benchmarks but its own.

use std::collections::BTreeSet;

use parrot_eval::{Benchmark, How, Judged, Level, ProblemKind, PromptStyle, Protocol, Row, Score, Verdict};

/// Questions without options; right is an answer that contains the expected word, or one of its `synonyms`.
#[derive(Debug, Clone, Copy)]
pub struct Naming;

impl Benchmark for Naming {
    fn name(&self) -> &'static str {
        "Naming"
    }

    /// Besides index, image, question and answer.
    fn columns(&self) -> &'static [&'static str] {
        &["category"]
    }

    fn check(&self, row: &Row) -> Option<(ProblemKind, String)> {
        row.answer().is_empty().then(|| (ProblemKind::BadAnswer, "expected a word, found nothing".into()))
    }

    fn prompt(&self, row: &Row, _style: PromptStyle) -> String {
        row.question().into()
    }

    /// The protocols of MMMB make no difference here: there is one way to read an answer.
    fn judge(&self, row: &Row, prediction: &str, _protocol: Protocol) -> Verdict {
        let prediction = prediction.to_lowercase();
        let accepted = row.get("synonyms").unwrap_or_default().split(',').chain([row.answer()]);
        let said = accepted
            .map(str::trim)
            .filter(|word| !word.is_empty())
            .find(|word| prediction.contains(&word.to_lowercase()));
        Verdict {
            how: if said.is_some() { How::Text } else { How::None },
            right: said.is_some(),
            said: said.map(Into::into),
        }
    }

    /// The share of right answers, over all and per category.
    fn scores(&self, judged: &[Judged<'_>], _protocol: Protocol) -> Vec<Score> {
        let share = |level, name: &str, of: &[&Judged<'_>]| {
            Score::accuracy(level, name, of.iter().filter(|it| it.verdict.right).count(), of.len())
        };
        let all: Vec<&Judged<'_>> = judged.iter().collect();
        let mut scores = vec![share(Level::Overall, "named", &all)];
        let categories: BTreeSet<&str> = judged.iter().filter_map(|it| it.row.get("category")).collect();
        for category in categories {
            let of: Vec<&Judged<'_>> =
                all.iter().copied().filter(|it| it.row.get("category") == Some(category)).collect();
            scores.push(share(Level::Category, category, &of));
        }
        scores
    }
}
