//! Wrong answers, with all that is needed to see why they are wrong.

use std::sync::Arc;

use serde::Serialize;

use crate::benchmarks::verdict::Judged;
use crate::data::image::EncodedImage;
use crate::data::row::Row;
use crate::language_code::LanguageCode;
use crate::predictions::Assigned;
use crate::protocol::Protocol;
use crate::report::score::{DatasetResult, Scored};

/// An answer that was wrong.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct WrongAnswer {
    #[serde(flatten)]
    question: ShownQuestion,
    prediction: Option<String>,
    said: Option<String>,
}

/// A question as a page shows it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ShownQuestion {
    dataset: String,
    index: String,
    /// By whose rules it was judged.
    protocol: Protocol,
    /// The language's code, for the page's typography.
    language: &'static str,
    is_right_to_left: bool,
    images: Vec<ShownImage>,
    hint: Option<String>,
    question: String,
    options: Vec<ShownOption>,
    expected: String,
}

/// A picture as a page shows it.
#[derive(Debug, Clone, Serialize)]
struct ShownImage {
    /// A `data:` address; `None` for one that cannot be decoded.
    address: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
struct ShownOption {
    letter: char,
    text: String,
    is_right: bool,
}

impl ShownQuestion {
    pub(crate) fn new(result: &DatasetResult, row: &Row) -> Self {
        let option = |(letter, text): (char, &str)| ShownOption {
            letter,
            text: clipped(text),
            is_right: row.answer().chars().eq([letter]),
        };
        // A browser shows less kinds of pictures than are read here, and shows a broken one as an empty frame.
        let image = |image: &Arc<EncodedImage>| ShownImage {
            address: image.decode("of the row").is_ok().then(|| image.data_url()),
        };
        Self {
            dataset: result.dataset.clone(),
            index: row.index.clone(),
            protocol: result.protocol,
            language: result.language.map_or("en", LanguageCode::code),
            is_right_to_left: result.language.is_some_and(LanguageCode::is_right_to_left),
            images: row.images.iter().map(image).collect(),
            hint: row.get("hint").map(clipped),
            question: clipped(row.question()),
            options: row.options().into_iter().map(option).collect(),
            expected: clipped(row.get(result.expected_column).unwrap_or_default()),
        }
    }
}

/// Up to `limit` wrong answers of a dataset, spread evenly over it.
#[must_use]
pub fn wrong_answers(scored: &Scored<'_>, predictions: &Assigned, limit: usize) -> Vec<WrongAnswer> {
    let wrong: Vec<(&Judged<'_>, &Vec<String>)> = scored
        .judged
        .iter()
        .zip(&predictions.of_rows)
        .filter(|(judged, _)| judged.verdict.is_wrong())
        .collect();
    let shown = limit.min(wrong.len());
    (0..shown)
        .map(|number| wrong[number * wrong.len() / shown])
        .map(|(judged, texts)| WrongAnswer {
            question: ShownQuestion::new(&scored.result, judged.row),
            prediction: texts.last().map(|text| clipped(text)),
            said: judged.verdict.said.clone(),
        })
        .collect()
}

/// Characters of a text that a page shows.
const SHOWN: usize = 700;

/// The beginning of what is longer than a page shows.
pub(crate) fn clipped(text: &str) -> String {
    clipped_to(SHOWN, text)
}

/// The beginning of what has more characters than this.
pub(super) fn clipped_to(length: usize, text: &str) -> String {
    match text.char_indices().nth(length) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}
