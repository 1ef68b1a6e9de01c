//! What is wrong with a benchmark's rows or with predictions, none of which stops an evaluation.

use std::collections::BTreeMap;
use std::fmt;

use parrot_model::untrusted::printable;
use serde::Serialize;

/// One thing that is wrong, with its place.
///
/// The row it is about stays in the denominator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What kind of thing.
    pub kind: ProblemKind,
    /// The file's name.
    pub file: String,
    /// The line in the file, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The row's index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<String>,
    /// What was expected and found.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// Kinds of problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProblemKind {
    /// The file of a known benchmark is not the published one.
    WrongMd5,
    /// A row has no index, or one that is no number where rows are grouped by number.
    BadIndex,
    /// Two rows have the same index.
    DuplicateIndex,
    /// A row has no question.
    NoQuestion,
    /// A row has no picture; the kits drop such rows.
    #[serde(rename = "no_picture")]
    NoImage,
    /// A picture is no base64, no picture, or refers to a row without one.
    #[serde(rename = "broken_picture")]
    BrokenImage,
    /// A question names a picture by a marker such as `<image 3>` that the row does not have.
    #[serde(rename = "picture_marker")]
    ImageMarker,
    /// An option is shown as another text than it has, as a column of numbers is read.
    Rewritten,
    /// The expected answer is missing or is none of the options.
    BadAnswer,
    /// Rows that belong together are not all there.
    IncompleteGroup,
    /// The prompt does not fit the model's context, or the model's scores are not finite.
    NotAsked,
    /// A judge has not rated an answer.
    Unjudged,
    /// A row has no prediction.
    NoPrediction,
    /// A prediction is for no row.
    UnknownPrediction,
    /// There is more than one prediction for a row.
    DuplicatePrediction,
    /// Predictions whose dataset is not among those scored, or whose file is named after another.
    OtherDataset,
    /// A cell of a spreadsheet holds less than its text.
    CutCell,
    /// A file in a folder of benchmarks is not a benchmark.
    SkippedFile,
}

impl ProblemKind {
    /// In words, e.g. `no picture`.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::WrongMd5 => "not the published file",
            Self::BadIndex => "bad index",
            Self::DuplicateIndex => "duplicate index",
            Self::NoQuestion => "no question",
            Self::NoImage => "no picture",
            Self::BrokenImage => "broken picture",
            Self::ImageMarker => "no such picture",
            Self::Rewritten => "rewritten option",
            Self::BadAnswer => "answer is no option",
            Self::IncompleteGroup => "incomplete group",
            Self::NotAsked => "could not be asked",
            Self::Unjudged => "not judged",
            Self::NoPrediction => "no prediction",
            Self::UnknownPrediction => "prediction for no row",
            Self::DuplicatePrediction => "duplicate prediction",
            Self::OtherDataset => "another dataset's predictions",
            Self::CutCell => "cut in the spreadsheet",
            Self::SkippedFile => "skipped, as no benchmark",
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // All of it comes from files: neither a terminal's commands nor further lines.
        let shown = |text: &str| printable(text).replace('\n', " ");
        f.write_str(&shown(&self.file))?;
        if let Some(line) = self.line {
            write!(f, " line {line}")?;
        }
        if let Some(index) = &self.index {
            write!(f, " (index {})", shown(index))?;
        }
        write!(f, ": {}", self.kind.text())?;
        if !self.detail.is_empty() {
            write!(f, ": {}", shown(&self.detail))?;
        }
        Ok(())
    }
}

/// How many there are of each kind.
#[must_use]
pub fn count_problems<'p>(problems: impl IntoIterator<Item = &'p Problem>) -> BTreeMap<ProblemKind, usize> {
    let mut counts = BTreeMap::new();
    for problem in problems {
        *counts.entry(problem.kind).or_default() += 1;
    }
    counts
}

/// `3 × no picture, 1 × duplicate index`.
#[must_use]
pub fn problem_counts(counts: &BTreeMap<ProblemKind, usize>) -> String {
    let parts: Vec<String> =
        counts.iter().map(|(kind, count)| format!("{count} × {}", kind.text())).collect();
    parts.join(", ")
}
