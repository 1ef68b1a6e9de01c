//! One question of a benchmark.

use std::borrow::Cow;
use std::sync::Arc;

use crate::data::image::{EncodedImage, hash_of_all};
use crate::protocol::Protocol;

/// Rows of one group have indices that differ by multiples of this.
pub const GROUP: i64 = 1_000_000;

/// A row of a benchmark's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The line of the file that it begins on.
    pub line: u64,
    /// Its index as it is written; empty if there is none.
    pub index: String,
    /// Its picture, or several that are shown together; empty where they are missing or one of them is broken.
    pub images: Vec<Arc<EncodedImage>>,
    pub(crate) columns: Arc<[String]>,
    /// One per column; fewer where the row is short.
    pub(crate) cells: Vec<Option<String>>,
    /// The options as a kit's spreadsheet gives them back, where those are others.
    pub(crate) scored: Option<Vec<(char, String)>>,
}

impl Row {
    /// The value in a column; `None` where it is missing or there is no such column.
    #[must_use]
    pub fn get(&self, column: &str) -> Option<&str> {
        let at = self.columns.iter().position(|name| name == column)?;
        self.cells.get(at)?.as_deref()
    }

    /// The question, empty if there is none.
    #[must_use]
    pub fn question(&self) -> &str {
        self.get("question").unwrap_or_default()
    }

    /// The expected answer, empty if there is none.
    #[must_use]
    pub fn answer(&self) -> &str {
        self.get("answer").unwrap_or_default()
    }

    /// The options that are there: columns `A` to `Z`.
    #[must_use]
    pub fn options(&self) -> Vec<(char, &str)> {
        let mut name = [0; 4];
        ('A'..='Z').filter_map(|letter| Some((letter, self.get(letter.encode_utf8(&mut name))?))).collect()
    }

    /// The options as they are scored: columns of numbers come back from the kits' spreadsheet as others.
    #[must_use]
    pub(crate) fn scored_options(&self) -> Vec<(char, &str)> {
        match &self.scored {
            Some(options) => options.iter().map(|(letter, text)| (*letter, text.as_str())).collect(),
            None => self.options(),
        }
    }

    /// Whether its file has a column, be the row's cell missing or not.
    pub(crate) fn has_column(&self, column: &str) -> bool {
        self.columns.iter().any(|name| name == column)
    }

    /// The index as a number; `1.0`, as pandas writes a column with a gap, is 1.
    #[must_use]
    pub fn number(&self) -> Option<i64> {
        whole_number(&self.index)
    }

    /// The group that circular and paired scoring put the row in: its index modulo a million.
    #[must_use]
    pub fn group(&self) -> Option<i64> {
        Some(self.number()?.rem_euclid(GROUP))
    }

    /// As [`group`](Self::group), or what a column `g_index` says, which upstream puts first.
    #[must_use]
    pub(crate) fn group_in(&self, protocol: Protocol) -> Option<i64> {
        let own = match protocol {
            Protocol::Paper2024_06 | Protocol::Kit2024_08 => None,
            Protocol::Kit2026_08 => self.get("g_index").and_then(whole_number),
        };
        own.or_else(|| self.group())
    }

    /// Whether it can be asked: it has a question and its pictures.
    #[must_use]
    pub(crate) fn can_be_asked(&self) -> bool {
        !self.images.is_empty() && self.get("question").is_some()
    }

    /// What tells its pictures apart.
    #[must_use]
    pub(crate) fn images_hash(&self) -> [u8; 32] {
        hash_of_all(self.images.iter().map(|image| &**image))
    }

    /// All columns but the picture with their values, in the file's order.
    pub fn columns(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let cell = |at| self.cells.get(at).and_then(|cell: &Option<String>| cell.as_deref());
        let pairs = self.columns.iter().enumerate().map(move |(at, name)| (name.as_str(), cell(at)));
        pairs.filter(|(name, _)| *name != "image")
    }
}

/// The number that an index is, read as pandas would: `7`, `007` and `7.0` are 7.
pub(crate) fn whole_number(index: &str) -> Option<i64> {
    let whole = index.strip_suffix(".0").unwrap_or(index);
    whole.parse().ok()
}

/// An index in the form by which predictions are matched: the number if it is one, else the text.
pub(crate) fn index_key(index: &str) -> Cow<'_, str> {
    whole_number(index).map_or(Cow::Borrowed(index), |number| number.to_string().into())
}

#[cfg(test)]
impl Row {
    /// A row of these columns and values, with a picture.
    pub(crate) fn from_cells(cells: &[(&str, &str)]) -> Self {
        let some = |value: &str| (!crate::data::table::is_missing(value)).then(|| value.to_string());
        let mut row = Self {
            line: 2,
            index: String::new(),
            images: vec![Arc::new(EncodedImage::new(Vec::new()))],
            columns: cells.iter().map(|(name, _)| (*name).to_string()).collect(),
            cells: cells.iter().map(|(_, value)| some(value)).collect(),
            scored: None,
        };
        row.index = row.get("index").unwrap_or_default().into();
        row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_are_numbers_as_pandas_reads_them() {
        for (index, number) in
            [("7", Some(7)), ("7.0", Some(7)), ("007", Some(7)), ("1000007.0", Some(1_000_007))]
        {
            assert_eq!(Row::from_cells(&[("index", index)]).number(), number, "{index}");
        }
        for index in ["7.5", "seven", "", ".0"] {
            assert_eq!(Row::from_cells(&[("index", index)]).number(), None, "{index}");
        }
        assert_eq!((index_key("1.0"), index_key("a1")), ("1".into(), "a1".into()));
    }

    #[test]
    fn a_group_of_its_own_is_upstreams() {
        let row = Row::from_cells(&[("index", "1000005"), ("g_index", "3.0")]);
        assert_eq!(Protocol::ALL.map(|protocol| row.group_in(protocol)), [Some(5), Some(5), Some(3)]);
        let row = Row::from_cells(&[("index", "1000005"), ("g_index", "")]);
        assert_eq!(row.group_in(Protocol::Kit2026_08), Some(5));
    }
}
