//! A dataset and its predictions → what is reported about them.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::answers::predictions::Assigned;
use crate::ask::protocol::{Grouping, Protocol};
use crate::benchmarks::known::Language;
use crate::benchmarks::verdict::{How, Judged, Score, Verdict};
use crate::data::dataset::Dataset;
use crate::data::problem::{Problem, ProblemKind, count_problems};

/// A dataset scored in one protocol.
#[derive(Debug, Clone)]
pub struct Scored<'a> {
    /// Every row of the dataset, in its order.
    pub judged: Vec<Judged<'a>>,
    /// The numbers.
    pub result: DatasetResult,
}

/// What is reported about a dataset in one protocol.
#[derive(Debug, Clone, Serialize)]
pub struct DatasetResult {
    /// The dataset's name.
    pub dataset: String,
    /// The benchmark's.
    pub benchmark: &'static str,
    /// Its language.
    pub language: Option<Language>,
    /// Which harness's rules.
    pub protocol: Protocol,
    /// What the first score counts.
    pub grouping: Grouping,
    /// MD5 of the dataset's file.
    pub md5: String,
    /// SHA-256 over the prompts of all rows, where this program asked them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompts_sha256: Option<String>,
    /// Rows of the file, all of which count.
    pub rows: usize,
    /// Rows that have a prediction.
    pub answered: usize,
    /// The scores over all rows.
    pub scores: Vec<Score>,
    /// The scores that the kit would print where that differs: it leaves out rows without picture or
    /// prediction and groups without their main row, and counts a row twice that has two predictions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_kit: Option<Vec<Score>>,
    /// Why it cannot be said what the kit would print, mostly because it fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kit_unknown: Option<&'static str>,
    /// How answers were read.
    pub extraction: Extraction,
    /// Mean weight of each expert over the rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expert_weights: Option<Vec<f32>>,
    /// How many problems of each kind there are.
    pub problems: BTreeMap<ProblemKind, usize>,
}

/// How many answers were read in each way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Extraction {
    /// A letter stood in them.
    pub letter: usize,
    /// They contained the words of one option, or Yes or No.
    pub text: usize,
    /// They refused.
    pub refusal: usize,
    /// They said nothing that is an option.
    pub none: usize,
    /// There was no answer.
    pub missing: usize,
}

impl DatasetResult {
    /// The number that is quoted first; 0 for a benchmark that reports none.
    #[must_use]
    pub fn headline(&self) -> f64 {
        self.scores.first().map_or(0.0, |score| score.value)
    }
}

/// Scores the predictions of a dataset's rows.
#[must_use]
pub fn score<'a>(dataset: &'a Dataset, predictions: &Assigned, protocol: Protocol) -> Scored<'a> {
    let mut extraction = Extraction::default();
    let mut judged = Vec::with_capacity(dataset.rows.len());
    let mut as_kit = Vec::with_capacity(dataset.rows.len());
    let left_out = dataset.left_out_by_kits(protocol);
    for ((row, texts), left_out) in dataset.rows.iter().zip(&predictions.of_rows).zip(left_out) {
        let verdicts: Vec<Verdict> =
            texts.iter().map(|text| dataset.benchmark.judge(row, text, protocol)).collect();
        let all_right = !verdicts.is_empty() && verdicts.iter().all(|verdict| verdict.right);
        let it =
            Judged { row, all_right, verdict: verdicts.last().cloned().unwrap_or_else(Verdict::missing) };
        extraction.add(verdicts.last());
        let times = if left_out { 0 } else { texts.len() };
        as_kit.extend(std::iter::repeat_n(it.clone(), times));
        judged.push(it);
    }
    let is_as_kit = as_kit.len() == judged.len() && predictions.of_rows.iter().all(|texts| texts.len() == 1);
    let kit_unknown = kit_unknown(dataset, predictions, protocol);
    let result = DatasetResult {
        dataset: dataset.id.clone(),
        benchmark: dataset.benchmark.name(),
        language: dataset.language,
        protocol,
        grouping: dataset.benchmark.grouping(protocol),
        md5: dataset.md5.clone(),
        prompts_sha256: None,
        rows: judged.len(),
        answered: predictions.of_rows.iter().filter(|texts| !texts.is_empty()).count(),
        scores: dataset.benchmark.scores(&judged, protocol),
        as_kit: (!is_as_kit && kit_unknown.is_none()).then(|| dataset.benchmark.scores(&as_kit, protocol)),
        kit_unknown,
        extraction,
        expert_weights: None,
        problems: count_problems(dataset.problems.iter().chain(&predictions.problems)),
    };
    Scored { judged, result }
}

/// Why it cannot be said what the kit would print.
fn kit_unknown(dataset: &Dataset, predictions: &Assigned, protocol: Protocol) -> Option<&'static str> {
    let has = |kind| {
        dataset.problems.iter().chain(&predictions.problems).any(|problem: &Problem| problem.kind == kind)
    };
    let is_grouped = dataset.benchmark.grouping(protocol) == Grouping::Circular;
    if predictions.of_rows.iter().all(Vec::is_empty) {
        Some("it has no answer to read")
    } else if has(ProblemKind::BrokenImage) {
        Some("a broken picture stops it")
    } else if has(ProblemKind::NotAsked) || has(ProblemKind::NoQuestion) {
        Some("it would have asked what could not be asked here")
    } else if has(ProblemKind::DuplicateIndex) {
        Some("it keeps one answer per index, and two rows have the same")
    } else if is_grouped && dataset.rows.iter().any(|row| row.number().is_none()) {
        Some("it needs whole numbers as indices")
    } else {
        let answers: Vec<usize> = predictions.of_rows.iter().map(Vec::len).collect();
        dataset.benchmark.kits_fail(&dataset.rows, &answers)
    }
}

impl Extraction {
    fn add(&mut self, verdict: Option<&Verdict>) {
        *match verdict.map(|verdict| verdict.how) {
            Some(How::Letter) => &mut self.letter,
            Some(How::Text) => &mut self.text,
            Some(How::Refusal) => &mut self.refusal,
            Some(How::None) => &mut self.none,
            None => &mut self.missing,
        } += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ImageStore;

    const IMAGE: &str =
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

    /// What the kit would print for rows of these indices and pictures with these answers, as (value, of).
    fn as_kit(rows: &[(&str, &str)], answers: &[&[&str]]) -> (Option<(f64, usize)>, Option<&'static str>) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mini_mmmb_tr.tsv");
        let mut text = "index\timage\tquestion\tA\tB\tanswer\n".to_string();
        rows.iter().for_each(|(index, image)| text += &format!("{index}\t{image}\tq\ta\tb\tA\n"));
        std::fs::write(&file, text).unwrap();
        let dataset = Dataset::open(&file, &mut ImageStore::default()).unwrap();
        let of_rows = answers.iter().map(|texts| texts.iter().map(|text| (*text).into()).collect()).collect();
        let predictions = Assigned { of_rows, problems: Vec::new() };
        let result = score(&dataset, &predictions, Protocol::Kit2024_08).result;
        assert_eq!(result.scores[0].of, rows.len(), "every row counts");
        (result.as_kit.map(|scores| (scores[0].value, scores[0].of)), result.kit_unknown)
    }

    #[test]
    fn what_the_kit_would_print_is_said_only_where_it_prints() {
        let whole = [("1", IMAGE), ("2", IMAGE)];
        assert_eq!(as_kit(&whole, &[&["A"], &["B"]]), (None, None), "the same");
        assert_eq!(as_kit(&whole, &[&["A"], &[]]), (Some((100.0, 1)), None));
        assert_eq!(as_kit(&whole, &[&["A", "A"], &["B"]]), (Some((200.0 / 3.0, 3)), None));
        assert_eq!(as_kit(&[whole[0], ("2", "")], &[&["A"], &[]]), (Some((100.0, 1)), None));
        for (rows, answers, why) in [
            ([whole[0], ("1.0", IMAGE)], [&["A"][..], &["B"]], "it keeps one answer per index"),
            ([whole[0], ("2", "7")], [&["A"], &[]], "a broken picture stops it"),
            (whole, [&[], &[]], "it has no answer to read"),
        ] {
            let (scores, unknown) = as_kit(&rows, &answers);
            assert!(scores.is_none() && unknown.unwrap().starts_with(why), "{why}: {scores:?} {unknown:?}");
        }
    }
}
