//! A dataset and its predictions → what is reported about them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::benchmark::{How, Judged, Score, Verdict};
use super::dataset::Dataset;
use super::known::Language;
use super::predictions::Assigned;
use super::problem::{ProblemKind, count_problems};
use super::protocol::{Grouping, Protocol};

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
    /// prediction and groups without their first row, and counts a row twice that has two predictions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_kit: Option<Vec<Score>>,
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
        as_kit: (!is_as_kit).then(|| dataset.benchmark.scores(&as_kit, protocol)),
        extraction,
        expert_weights: None,
        problems: count_problems(dataset.problems.iter().chain(&predictions.problems)),
    };
    Scored { judged, result }
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
