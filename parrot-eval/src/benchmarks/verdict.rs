//! The verdict on an answer, and the scores that verdicts add up to.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::answers::extract::Extracted;
use crate::data::row::Row;

/// How an answer was judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// How that was found.
    pub how: How,
    /// What it says: a letter, `Yes`, `No`.
    pub said: Option<String>,
    /// Whether that is the expected answer.
    pub right: bool,
}

/// How an answer was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum How {
    /// A letter stood in it.
    Letter,
    /// It contained the words of one option, or Yes or No.
    Text,
    /// A judge rated it.
    Judge,
    /// No judge has rated it so far.
    Unjudged,
    /// It refused.
    Refusal,
    /// It said nothing that is an option, or more than one; a kit with a judge model would ask that. Or it contained no
    /// accepted text.
    None,
}

impl Verdict {
    /// The verdict on a question with options.
    #[must_use]
    pub fn of_letter(extracted: Extracted, expected: &str) -> Self {
        let how = match extracted {
            Extracted::Letter(_) => How::Letter,
            Extracted::Text(_) => How::Text,
            Extracted::Refusal => How::Refusal,
            Extracted::None => How::None,
        };
        let said = extracted.letter().map(String::from);
        Self { how, right: said.as_deref() == Some(expected), said }
    }

    /// The verdict on a yes-or-no question.
    #[must_use]
    pub fn of_yes_no(yes: Option<bool>, expected: &str) -> Self {
        let said = yes.map(|yes| if yes { "Yes".to_string() } else { "No".to_string() });
        let how = if yes.is_some() { How::Text } else { How::None };
        Self { how, right: said.as_deref() == Some(expected), said }
    }

    /// The verdict on a question whose answer has to contain an accepted text; `accepted` is the one that it contains.
    #[must_use]
    pub fn of_contained(accepted: Option<String>) -> Self {
        let how = if accepted.is_some() { How::Text } else { How::None };
        Self { how, right: accepted.is_some(), said: accepted }
    }

    /// Whether it is known not to be right.
    #[must_use]
    pub fn is_wrong(&self) -> bool {
        !self.right && self.how != How::Unjudged
    }

    /// The verdict on a question that was never answered.
    #[must_use]
    pub fn missing() -> Self {
        Self { how: How::None, said: None, right: false }
    }
}

/// A row and the verdicts on its predictions.
#[derive(Debug, Clone)]
pub struct Judged<'a> {
    /// The row.
    pub row: &'a Row,
    /// The verdict on its prediction, the last if there are several.
    pub verdict: Verdict,
    /// Whether each of several predictions is right: circular groups ask for that, as the kits' do.
    pub all_right: bool,
}

/// A number of a report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Score {
    /// What it is about.
    pub level: Level,
    /// The category's name; for a whole benchmark what the number is.
    pub name: String,
    /// The split, where a file has more than one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// What is measured, e.g. `accuracy`, `F1`.
    pub metric: &'static str,
    /// Percent, or points.
    pub value: f64,
    /// Rows or groups that it is the mean of.
    pub of: usize,
}

/// What a score is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Level {
    /// Everything.
    Overall,
    /// The same rows counted the other way: paired where the protocol counts rows, and the reverse.
    Alternative,
    /// One `l2-category`.
    L2Category,
    /// One `category`.
    Category,
}

/// The judged rows of each category, in the order of the names.
///
/// - categories: those that a row is in: none, one, or several
pub(crate) fn by_category<'j, 'a, C: IntoIterator<Item = &'a str>>(
    judged: &'j [Judged<'a>],
    categories: impl Fn(&'a Row) -> C,
) -> BTreeMap<&'a str, Vec<&'j Judged<'a>>> {
    let mut rows: BTreeMap<&str, Vec<&Judged<'_>>> = BTreeMap::new();
    for answer in judged {
        for category in categories(answer.row) {
            rows.entry(category).or_default().push(answer);
        }
    }
    rows
}

impl Score {
    /// The share of the rows that are right, in percent.
    #[must_use]
    pub(crate) fn accuracy_of(level: Level, name: &str, rows: &[&Judged<'_>]) -> Self {
        let right = rows.iter().filter(|answer| answer.verdict.right).count();
        Self::accuracy(level, name, right, rows.len())
    }

    /// The share of `right` in percent.
    #[must_use]
    pub fn accuracy(level: Level, name: impl Into<String>, right: usize, of: usize) -> Self {
        let value = percent(right, of);
        Self { level, name: name.into(), split: None, metric: "accuracy", value, of }
    }
}

/// 0 if there is nothing to count.
#[must_use]
pub fn percent(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { 100.0 * part as f64 / whole as f64 }
}
