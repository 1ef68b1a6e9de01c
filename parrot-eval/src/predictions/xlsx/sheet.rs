//! The rows of a sheet, one by one.

use std::collections::BTreeMap;

use super::number::{float, integer};
use super::value::{Book, Value, written};
use super::xml::{Xml, shown};
use crate::data::pandas::Kind;

/// The rows and columns of the largest sheet that spreadsheet programs make; the last column is XFD. openpyxl has letters for
/// more.
const MOST_ROWS: i64 = 1 << 20;
const MOST_COLUMNS: u32 = 1 << 14;

/// The word of a cell that holds its text itself.
const INLINE: &str = "inlineStr";

/// A row that pandas has.
pub(super) struct Row<'b> {
    /// Its number, from 1.
    pub(super) number: u64,
    /// Its cells that are not empty, by their columns, from 1.
    pub(super) cells: BTreeMap<u32, Value<'b>>,
}

/// A sheet that is read row by row.
pub(super) struct Sheet<'p, 'b> {
    xml: Xml<'p>,
    book: &'b Book,
    /// The number of the row that was read last, and the lowest that the next may have.
    row: i64,
    lowest: i64,
}

impl<'p, 'b> Sheet<'p, 'b> {
    /// The sheet that this part holds.
    pub(super) fn new(xml: Xml<'p>, book: &'b Book) -> Self {
        Self { xml, book, row: 0, lowest: 1 }
    }

    /// The next row. openpyxl passes over one whose number is not above those before it.
    pub(super) fn next_row(&mut self) -> Result<Option<Row<'b>>, String> {
        while let Some(tag) = self.xml.start()? {
            if !tag.is_main("row") {
                continue;
            }
            let [number] = self.xml.attributes(&tag, ["r"])?;
            self.row = match number {
                Some(text) => row_number(&text)?,
                None => self.row + 1,
            };
            if self.row > MOST_ROWS {
                return Err(format!("row {}: a sheet has {MOST_ROWS} rows at most", self.row));
            }
            let cells = self.cells()?;
            if self.row >= self.lowest {
                self.lowest = self.row + 1;
                return Ok(Some(Row { number: self.row.unsigned_abs(), cells }));
            }
        }
        Ok(None)
    }

    /// The cells of the row that was opened. Of several in one column the last counts, be it empty, and what stands in a column
    /// behind that of the row's last cell does not: openpyxl takes that one for the rightmost.
    fn cells(&mut self) -> Result<BTreeMap<u32, Value<'b>>, String> {
        let depth = self.xml.depth();
        let mut cells = BTreeMap::new();
        let mut column = 0;
        // Whatever stands in a row is a cell.
        while let Some(tag) = self.xml.child(depth)? {
            let [place, kind, style] = self.xml.attributes(&tag, ["r", "t", "s"])?;
            let place = place.filter(|place| !place.is_empty());
            column = match &place {
                Some(place) => column_of(place)?,
                None => column + 1,
            };
            if column > MOST_COLUMNS {
                return Err(format!("row {}: a sheet has {MOST_COLUMNS} columns at most", self.row));
            }
            let kind = kind.as_deref().unwrap_or("n");
            let value = match self.content(kind == INLINE)? {
                Some(text) if kind == INLINE => Ok(written(Kind::Text, text.into())),
                Some(text) => self.book.value(kind, text, style.as_deref()),
                None => Ok(None),
            };
            let value = value.map_err(|problem| match &place {
                Some(place) => format!("cell {}: {problem}", shown(place)),
                None => format!("row {}, column {column}: {problem}", self.row),
            })?;
            match value {
                Some(value) => _ = cells.insert(column, value),
                None => _ = cells.remove(&column),
            }
        }
        cells.retain(|at, _| *at <= column);
        Ok(cells)
    }

    /// The text that the cell that was opened holds, if it holds any.
    ///
    /// - is_inline: whether it is a text with runs, not what `v` has
    fn content(&mut self, is_inline: bool) -> Result<Option<String>, String> {
        let depth = self.xml.depth();
        let mut found: Option<String> = None;
        while let Some(tag) = self.xml.child(depth)? {
            if found.is_none() && tag.is_main(if is_inline { "is" } else { "v" }) {
                found = Some(if is_inline { self.xml.rich_text()? } else { self.xml.text()? });
            }
        }
        Ok(found.filter(|text| !text.is_empty()))
    }
}

/// A row's number, which may be written as `7.0`.
fn row_number(text: &str) -> Result<i64, String> {
    let whole = || float(text).filter(|number| number.fract() == 0.0).map(|number| format!("{number:.0}"));
    let number = integer(text).or_else(whole).and_then(|number| number.parse().ok());
    number.ok_or_else(|| format!("expected a row's number, found `{}`", shown(text)))
}

/// The column, from 1, of a cell that says that it is `AB12`; its row is that of the row around it.
fn column_of(place: &str) -> Result<u32, String> {
    let (letters, row) = place.split_at(place.find(|c: char| c.is_ascii_digit()).unwrap_or(place.len()));
    let column = letters.bytes().fold(0, |column, letter| column * 26 + u32::from(letter & 0x1f));
    let is_place = (1..=3).contains(&letters.len())
        && letters.bytes().all(|letter| letter.is_ascii_alphabetic())
        && integer(row).is_some();
    if is_place { Ok(column) } else { Err(format!("expected a cell such as B2, found `{}`", shown(place))) }
}
