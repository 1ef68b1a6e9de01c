//! MMMU: questions of college subjects, some of them about several pictures, some of them without options.
//!
//! A row's pictures are a list, which its words name by markers such as `<image 2>`. The kits' wrapper of Parrot leaves the
//! markers in the words and shows several pictures behind them (VLMEvalKit, `Parrot.build_prompt` and `prepare_inputs`); for
//! models that read pictures among words a kit puts each in the place of its marker (`MMMUDataset.split_MMMU`). An open
//! question is scored as one with two options, its answer and “Other Answers” (`MMMU_preproc`).

use crate::answers::extract::extract;
use crate::benchmarks::benchmark::Benchmark;
use crate::benchmarks::choice;
use crate::benchmarks::verdict::{Judged, Level, Score, Verdict};
use crate::data::problem::ProblemKind;
use crate::data::row::Row;
use crate::protocol::Protocol;

/// The benchmark, for `MMMU_DEV_VAL.tsv`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mmmu;

impl Benchmark for Mmmu {
    fn name(&self) -> &'static str {
        "MMMU"
    }

    fn check(&self, row: &Row) -> Option<(ProblemKind, String)> {
        if row.get("A").is_some() {
            return choice::check(row);
        }
        let problem = "expected a text, as there is no option A; found nothing in the column `answer`";
        row.answer().is_empty().then(|| (ProblemKind::BadAnswer, problem.into()))
    }

    fn judge(&self, row: &Row, prediction: &str, protocol: Protocol) -> Verdict {
        let mut options = row.scored_options();
        if row.get("A").is_none() {
            options.retain(|(letter, _)| !matches!(letter, 'A' | 'B'));
            options.splice(0..0, [('A', row.answer()), ('B', "Other Answers")]);
        }
        Verdict::of_letter(extract(prediction, &options, protocol.extractor()), expected(row))
    }

    /// The kits print a number per split, and quote that of the validation questions; it comes first.
    fn scores(&self, judged: &[Judged<'_>], protocol: Protocol) -> Vec<Score> {
        let mut scores = choice::scores(judged, self.grouping(protocol), protocol);
        let is_quoted =
            |score: &Score| score.level == Level::Overall && score.split.as_deref() == Some("validation");
        if let Some(at) = scores.iter().position(is_quoted) {
            scores[..=at].rotate_right(1);
        }
        scores
    }
}

/// The letter that is right: that of the answer's text is A.
fn expected(row: &Row) -> &str {
    let is_letter = row.answer().len() == 1 && row.answer().as_bytes()[0].is_ascii_uppercase();
    if is_letter { row.answer() } else { "A" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn row(cells: &[(&str, &str)], images: usize) -> Row {
        let mut row = Row::from_cells(cells);
        row.images = vec![Arc::clone(&row.images[0]); images];
        row
    }

    #[test]
    fn an_open_question_has_two_options() {
        let open = row(&[("question", "How many?"), ("answer", "24"), ("index", "1")], 1);
        let said = |text: &str| Mmmu.judge(&open, text, Protocol::Kit2024_08).right;
        for (text, right) in [("24", true), ("It is 24.", true), ("25", false), ("A", true), ("B", false)] {
            assert_eq!(said(text), right, "{text}");
        }
        assert_eq!(Mmmu.check(&open), None);
        let without = row(&[("question", "How many?"), ("answer", ""), ("index", "1")], 1);
        assert_eq!(Mmmu.check(&without).unwrap().0, ProblemKind::BadAnswer);
    }

    #[test]
    fn the_validation_split_is_quoted() {
        let of_split = |split, answer| {
            row(
                &[
                    ("question", "q"),
                    ("A", "a"),
                    ("B", "b"),
                    ("answer", answer),
                    ("split", split),
                    ("index", "1"),
                ],
                1,
            )
        };
        let rows = [of_split("dev", "A"), of_split("validation", "A"), of_split("validation", "B")];
        let judged: Vec<Judged<'_>> = rows
            .iter()
            .map(|row| {
                let verdict = Mmmu.judge(row, "A", Protocol::Kit2026_08);
                Judged { row, all_right: verdict.right, verdict }
            })
            .collect();
        let first = &Mmmu.scores(&judged, Protocol::Kit2026_08)[0];
        assert_eq!((first.split.as_deref(), first.value, first.of), (Some("validation"), 50.0, 2));
    }
}
