//! The first sheet of a spreadsheet as `pandas.read_excel` with openpyxl has it, cell by cell: memory grows with the cells that
//! are there, not with the rectangle around them. Two cells at opposite corners of a sheet span seventeen billion.

mod dates;
mod number;
mod package;
mod sheet;
mod strings;
mod styles;
#[cfg(test)]
mod tests;
mod value;
mod workbook;
mod xml;

use std::collections::BTreeMap;
use std::path::Path;

use parrot_model::untrusted::contained;

use crate::data::pandas::{self, Kinds};
use crate::data::table::{Table, TableRecord, column_names, read_bytes};
use crate::{Error, Result};
use package::Package;
use sheet::{Row, Sheet};
use strings::Texts;
use styles::Styles;
use value::{Book, Value};
use workbook::Workbook;

/// Reads the first sheet; its first row that has cells is the header. Of the rows only the `wanted` columns are kept, which
/// come first in the table: a sheet may have sixteen thousand others. They are given as pandas has them, as text.
///
/// # Errors
///
/// [`Error::Table`] when the file is no spreadsheet, is too large once it is unpacked, has a cell for which pandas refuses it,
/// or two columns have one name; as for any file that cannot be read.
pub(super) fn read(file: &Path, wanted: &[&str]) -> Result<Table> {
    let refuse = |problem: String| Error::Table { file: file.into(), line: None, problem };
    let bytes = read_bytes(file)?;
    let (columns, records) = contained(|| table(bytes, wanted)).flatten().map_err(refuse)?;
    Ok(Table { file: file.into(), columns, records })
}

fn table(bytes: Vec<u8>, wanted: &[&str]) -> Result<(Vec<String>, Vec<TableRecord>), String> {
    let mut package = Package::open(bytes)?;
    let workbook = Workbook::read(&mut package)?;
    let texts = Texts::read(&mut package, workbook.texts.as_deref())?;
    let styles = Styles::read(&mut package)?;
    let book = Book { texts, styles, is_1904: workbook.is_1904 };
    let most = package.most;
    let mut sheet = Sheet::new(package.xml(&workbook.sheet)?, &book);
    let mut kept = loop {
        let row = sheet.next_row()?.ok_or("its first sheet is empty")?;
        let kept = Kept::below(&row, wanted);
        if !kept.columns.is_empty() {
            break kept;
        }
    };
    while let Some(row) = sheet.next_row()? {
        kept.add(row, most)?;
    }
    let columns = column_names(kept.columns.iter().map(String::as_str))?;
    Ok((columns, kept.finish()))
}

/// What is kept of a sheet.
struct Kept {
    /// The titles: first those of the columns that are wanted.
    columns: Vec<String>,
    /// The places that the sheet's wanted columns have in the table.
    places: BTreeMap<u32, usize>,
    kinds: Vec<Kinds>,
    records: Vec<TableRecord>,
    /// The bytes of all their cells: a text that cells share is there for each of them.
    bytes: u64,
    header: u64,
    /// The last row that has cells.
    last: u64,
}

impl Kept {
    /// Of a sheet with this header.
    fn below(header: &Row, wanted: &[&str]) -> Self {
        let (mut columns, mut places): (Vec<String>, _) = (Vec::new(), BTreeMap::new());
        for (column, value) in &header.cells {
            let Value::Written(_, text) = value else { continue };
            let title = text.trim().to_string();
            // A title that is there twice stays once more among the others, and is refused with them.
            if wanted.contains(&&*title) && !columns[..places.len()].contains(&title) {
                columns.insert(places.len(), title);
                places.insert(*column, places.len());
            } else {
                columns.push(title);
            }
        }
        let kinds = vec![Kinds::default(); places.len()];
        let (header, records) = (header.number, Vec::new());
        Self { columns, places, kinds, records, bytes: 0, header, last: header }
    }

    fn add(&mut self, row: Row, most: u64) -> Result<(), String> {
        if row.cells.is_empty() {
            return Ok(());
        }
        self.last = row.number;
        let mut cells: Vec<Option<String>> = Vec::new();
        for (column, place) in &self.places {
            let Some(Value::Written(kind, text)) = row.cells.get(column) else { continue };
            self.bytes += text.len() as u64;
            // Many cells may share one long text.
            if self.bytes > most {
                let line = row.number;
                return Err(format!(
                    "up to row {line} its texts have more than {most} bytes, the most that is read of a file of its size"
                ));
            }
            cells.resize(cells.len().max(place + 1), None);
            cells[*place] = Some(text.to_string());
            self.kinds[*place].add(*kind);
        }
        if !cells.is_empty() {
            self.records.push(TableRecord { line: row.number, cells });
        }
        Ok(())
    }

    fn finish(mut self) -> Vec<TableRecord> {
        let rows = self.last.saturating_sub(self.header) as usize;
        for (place, kinds) in self.kinds.iter().enumerate() {
            // A row is found by its index as both files write it: 007 stays 007.
            if self.columns[place] != "index" {
                as_pandas(&mut self.records, place, rows, kinds);
            }
        }
        self.records
    }
}

/// Rewrites a column as pandas has it: what one cell holds changes how the others are written.
///
/// - rows: the sheet's, of which those without a record lack a value, too
fn as_pandas(records: &mut [TableRecord], place: usize, rows: usize, kinds: &Kinds) {
    let mut cells: Vec<Option<&str>> = records.iter().map(|record| record.cell(place)).collect();
    if rows > cells.len() {
        cells.push(None);
    }
    let Some(read) = pandas::read_excel(&cells, kinds) else { return };
    for (record, text) in records.iter_mut().zip(read) {
        if let Some(text) = text {
            // Between dates even what is missing is written.
            record.cells.resize(record.cells.len().max(place + 1), None);
            record.cells[place] = Some(text);
        }
    }
}
