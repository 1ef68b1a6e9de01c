//! One's own questions with options.

use crate::benchmarks::benchmark::Benchmark;
use crate::benchmarks::choice;
use crate::benchmarks::verdict::{Judged, Level, Score};
use crate::data::problem::ProblemKind;
use crate::data::row::Row;
use crate::protocol::{Grouping, Protocol};

/// Any file with options `A` and `B`, whatever its name. Prompts and reading are those of MMMB; each row counts, in every
/// protocol, and an index may be any text, as nothing is grouped by it. The rules are our own, as no kit knows the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnChoice;

impl Benchmark for OwnChoice {
    fn name(&self) -> &'static str {
        "choice"
    }

    fn is_own(&self) -> bool {
        true
    }

    fn check(&self, row: &Row) -> Option<(ProblemKind, String)> {
        choice::check_answer(row)
    }

    fn scores(&self, judged: &[Judged<'_>], protocol: Protocol) -> Vec<Score> {
        let scores = choice::scores(judged, Grouping::PerRow, protocol).into_iter();
        // There are no groups to count instead.
        let scores = scores.filter(|score| score.level != Level::Alternative);
        let named = |score: Score| match score.level {
            Level::Overall => Score { name: self.name().into(), ..score },
            _ => score,
        };
        scores.map(named).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_count_whatever_their_index_is() {
        let row = |index| Row::from_cells(&[("index", index), ("A", "cat"), ("B", "dog"), ("answer", "A")]);
        let rows = [row("the-cat"), row("1"), row("1000001")];
        assert!(rows.iter().all(|row| OwnChoice.check(row).is_none()));
        for protocol in Protocol::ALL {
            let answers = ["A", "a cat", "B"];
            let judged: Vec<Judged<'_>> = rows
                .iter()
                .zip(answers)
                .map(|(row, answer)| {
                    let verdict = OwnChoice.judge(row, answer, protocol);
                    Judged { row, all_right: verdict.right, verdict }
                })
                .collect();
            let scores = OwnChoice.scores(&judged, protocol);
            assert_eq!(scores.len(), 1);
            assert_eq!((&*scores[0].name, scores[0].value.round(), scores[0].of), ("choice", 67.0, 3));
        }
    }
}
