//! The first sheet of a spreadsheet, cell by cell: memory grows with the cells that are there, not with the rectangle
//! around them. Two cells at opposite corners of a sheet span seventeen billion.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Cursor};
use std::path::Path;

use calamine::{Reader, Xlsx};
use parrot_model::untrusted::contained;
use zip::ZipArchive;
use zip::result::ZipError;

use crate::data::pandas::{self, Kinds};
use crate::data::table::{Table, TableRecord, column_names, read_bytes};
use crate::predictions::cell::python_text;
use crate::{Error, Result};

/// What the parts of a spreadsheet may hold together once they are unpacked: 1 GiB. A kit's file of all of MMMB has a
/// hundredth of it.
const MOST_UNPACKED: u64 = 1 << 30;

/// What any spreadsheet may hold, and a larger one for each of its own bytes: tables of answers are packed to a tenth or a
/// fiftieth, what is made to fill memory to a thousandth.
const UNPACKED_ALWAYS: u64 = 64 << 20;
const UNPACKED_PER_BYTE: u64 = 200;

/// Reads the first sheet; its first row that has cells is the header. Of the rows only the `wanted` columns are kept, which
/// come first in the table: a sheet may have sixteen thousand others. They are given as pandas has them, as text.
///
/// # Errors
///
/// [`Error::Table`] when the file is no spreadsheet, is too large once it is unpacked, or two columns have one name; as for any file that cannot be read.
pub(super) fn read(file: &Path, wanted: &[&str]) -> Result<Table> {
    let refuse = |problem: String| Error::Table { file: file.into(), line: None, problem };
    let bytes = read_bytes(file)?;
    let unpacked = contained(|| unpacked_size(&bytes)).flatten().map_err(refuse)?;
    let most = (bytes.len() as u64 * UNPACKED_PER_BYTE).clamp(UNPACKED_ALWAYS, MOST_UNPACKED);
    if unpacked > most {
        let packed = bytes.len();
        return Err(refuse(format!(
            "it unpacks to {unpacked} bytes, more than the {most} that are read of a file of {packed}"
        )));
    }
    contained(|| check_string_counts(&bytes)).flatten().map_err(refuse)?;
    contained(|| check_values(&bytes)).flatten().map_err(refuse)?;
    let (columns, records) = contained(|| cells(bytes, wanted)).flatten().map_err(refuse)?;
    Ok(Table { file: file.into(), columns, records })
}

fn cells(bytes: Vec<u8>, wanted: &[&str]) -> Result<(Vec<String>, Vec<TableRecord>), String> {
    let broken = |error: calamine::XlsxError| format!("no XLSX file: {error}");
    let mut workbook: Xlsx<_> = calamine::open_workbook_from_rs(Cursor::new(bytes)).map_err(broken)?;
    let is_1904 = workbook.has_1904_epoch();
    let name = workbook.sheet_names().first().cloned().ok_or("it has no sheet")?;
    let mut reader = workbook.worksheet_cells_reader(&name).map_err(broken)?;
    // The places that the sheet's wanted columns have in the table.
    let mut places: BTreeMap<u32, usize> = BTreeMap::new();
    let mut columns: Vec<String> = Vec::new();
    let mut kinds: Vec<Kinds> = Vec::new();
    let mut header: Option<u32> = None;
    let mut last = 0;
    let mut records: Vec<TableRecord> = Vec::new();
    while let Some(cell) = reader.next_cell().map_err(broken)? {
        let (row, column) = cell.get_position();
        let Some((kind, text)) = python_text(cell.get_value(), is_1904) else { continue };
        last = last.max(row);
        if *header.get_or_insert(row) == row {
            let title = text.trim().to_string();
            // A title that is there twice stays once more among the others, and is refused below.
            if wanted.contains(&&*title) && !columns[..places.len()].contains(&title) {
                columns.insert(places.len(), title);
                places.insert(column, places.len());
                kinds.push(Kinds::default());
            } else {
                columns.push(title);
            }
            continue;
        }
        // A cell below no title, or below one that nobody asks for.
        let Some(place) = places.get(&column) else { continue };
        let line = u64::from(row) + 1;
        if records.last().is_none_or(|record| record.line != line) {
            records.push(TableRecord { line, cells: Vec::new() });
        }
        if let Some(record) = records.last_mut() {
            record.cells.resize(record.cells.len().max(place + 1), None);
            record.cells[*place] = Some(text);
            kinds[*place].add(kind);
        }
    }
    if columns.is_empty() {
        return Err("its first sheet is empty".into());
    }
    let rows = last.saturating_sub(header.unwrap_or_default()) as usize;
    for (place, kinds) in kinds.iter().enumerate() {
        // A row is found by its index as both files write it: 007 stays 007.
        if columns[place] != "index" {
            as_pandas(&mut records, place, rows, kinds);
        }
    }
    Ok((column_names(columns.iter().map(String::as_str))?, records))
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
        if let (Some(cell), Some(text)) = (record.cells.get_mut(place), text) {
            *cell = Some(text);
        }
    }
}

/// The sizes that a ZIP archive's directory gives for its parts, together.
fn unpacked_size(bytes: &[u8]) -> Result<u64, String> {
    let broken = |error: ZipError| format!("no XLSX file: {error}");
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(broken)?;
    (0..archive.len()).try_fold(0_u64, |total, part| {
        Ok(total.saturating_add(archive.by_index_raw(part).map_err(broken)?.size()))
    })
}

/// What the shortest text of a spreadsheet takes: `<si/>`.
const SHORTEST_STRING: u64 = 5;

/// Refuses texts that are said to be more than their part has room for: memory for that many is taken before the first is read.
fn check_string_counts(bytes: &[u8]) -> Result<(), String> {
    let broken = |error: &dyn std::fmt::Display| format!("no XLSX file: {error}");
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|error| broken(&error))?;
    for number in 0..archive.len() {
        let part = archive.by_index(number).map_err(|error| broken(&error))?;
        let name = part.name().map_err(|error| broken(&error))?.to_ascii_lowercase();
        if !name.ends_with("sharedstrings.xml") {
            continue;
        }
        let size = part.size();
        for piece in BufReader::new(part).split(b'>') {
            let count = string_count(piece.map_err(|error| broken(&error))?);
            if let Some(count) = count.filter(|count| *count > size / SHORTEST_STRING) {
                return Err(format!("it is said to hold {count} texts, in a part of {size} bytes"));
            }
        }
    }
    Ok(())
}

/// Refuses values that stand in CDATA sections: calamine takes such a cell for an empty one.
fn check_values(bytes: &[u8]) -> Result<(), String> {
    let broken = |error: &dyn std::fmt::Display| format!("no XLSX file: {error}");
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|error| broken(&error))?;
    for number in 0..archive.len() {
        let part = archive.by_index(number).map_err(|error| broken(&error))?;
        let name = part.name().map_err(|error| broken(&error))?.to_ascii_lowercase();
        if !name.contains("worksheets/") || !name.ends_with(".xml") {
            continue;
        }
        let mut is_value = false;
        for piece in BufReader::new(part).split(b'>') {
            let piece = piece.map_err(|error| broken(&error))?;
            if is_value && piece.windows(9).any(|bytes| bytes == b"<![CDATA[") {
                return Err("a cell's value stands in a CDATA section, where it is not read; save the \
                            spreadsheet with another program"
                    .into());
            }
            is_value = opens_value(&piece);
        }
    }
    Ok(())
}

/// Whether a piece of XML ends, but for its `>`, with the tag `<v>`, whatever its namespace is called.
fn opens_value(piece: &[u8]) -> bool {
    let Some(start) = piece.iter().rposition(|byte| *byte == b'<') else { return false };
    let name = piece[start + 1..].split(u8::is_ascii_whitespace).next().unwrap_or_default();
    name == b"v" || name.ends_with(b":v")
}

/// The number behind `uniqueCount=`; without zero bytes, UTF-16 reads like ASCII.
fn string_count(mut piece: Vec<u8>) -> Option<u64> {
    piece.retain(|byte| *byte != 0);
    let text = String::from_utf8_lossy(&piece);
    let (_, value) = text.rsplit_once("uniqueCount")?;
    let digits = value.trim_start_matches(|c: char| c.is_ascii_whitespace() || matches!(c, '=' | '"' | '\''));
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    (end > 0).then(|| digits[..end].parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use rust_xlsxwriter::{Format, Workbook};
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    const WANTED: [&str; 2] = ["index", "prediction"];

    fn sheet(cells: &[(u32, u16, &str)]) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.xlsx");
        let mut workbook = Workbook::new();
        let sheet = workbook.add_worksheet();
        for (row, column, text) in cells {
            sheet.write(*row, *column, *text).unwrap();
        }
        workbook.save(&file).unwrap();
        (folder, file)
    }

    /// The names and texts of a spreadsheet's parts.
    fn parts(file: &Path) -> Vec<(String, String)> {
        let mut archive = ZipArchive::new(std::fs::File::open(file).unwrap()).unwrap();
        let count = archive.len();
        let part = |number| {
            let mut part = archive.by_index(number).unwrap();
            let mut text = String::new();
            part.read_to_string(&mut text).unwrap();
            (part.name().unwrap().to_string(), text)
        };
        (0..count).map(part).collect()
    }

    /// eval/xlsx-sparse.xlsx: cells at both ends of a sheet asked for 550 GB.
    #[test]
    fn a_sheet_of_a_few_cells_costs_a_few_cells() {
        let (_folder, file) = sheet(&[
            (1, 2, "index"),
            (1, 16_383, " prediction "),
            (1_048_575, 2, "1"),
            (1_048_575, 16_383, "A"),
            (5, 9, "x"),
        ]);
        let table = read(&file, &WANTED).unwrap();
        assert_eq!(table.columns, ["index", "prediction"]);
        let last = table.records.last().unwrap();
        assert_eq!((last.line, last.cell(0), last.cell(1)), (1_048_576, Some("1"), Some("A")));
        assert_eq!(table.records.len(), 1);
    }

    #[test]
    fn columns_that_nobody_asks_for_are_not_kept() {
        let (_folder, file) = sheet(&[
            (0, 0, "note"),
            (0, 1, "prediction"),
            (0, 9, "index"),
            (1, 0, "x"),
            (1, 1, "A"),
            (2, 9, "2"),
        ]);
        let table = read(&file, &WANTED).unwrap();
        assert_eq!(table.columns, ["prediction", "index", "note"]);
        let cells: Vec<Vec<Option<&str>>> =
            table.records.iter().map(|record| record.cells.iter().map(Option::as_deref).collect()).collect();
        assert_eq!(cells, [vec![Some("A")], vec![None, Some("2")]]);
        let (_folder, file) = sheet(&[(0, 0, "index"), (0, 1, " index"), (1, 1, "1")]);
        assert!(read(&file, &WANTED).unwrap_err().to_string().contains("two columns are called `index`"));
    }

    #[test]
    fn what_is_no_spreadsheet_or_too_large_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.xlsx");
        std::fs::write(&file, "no ZIP").unwrap();
        assert!(read(&file, &WANTED).unwrap_err().to_string().contains("x.xlsx: no XLSX file"));
        let (_folder, file) = sheet(&[]);
        assert!(read(&file, &WANTED).unwrap_err().to_string().ends_with("its first sheet is empty"));
        let mut bytes = std::fs::read(&file).unwrap();
        assert!((1000..1 << 20).contains(&unpacked_size(&bytes).unwrap()));
        // A directory that says that a part unpacks to four gigabytes, or to a hundred megabytes out of some thousand bytes.
        let entry = bytes.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
        for (size, said) in [(u32::MAX, "unpacks to 4"), (100 << 20, "unpacks to 1048")] {
            bytes[entry + 24..entry + 28].copy_from_slice(&u32::to_le_bytes(size));
            std::fs::write(&file, &bytes).unwrap();
            let error = read(&file, &WANTED).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    /// What pandas 3.1.1 printed for such columns.
    #[test]
    fn columns_are_written_as_pandas_does() {
        enum Cell {
            Gap,
            Number(f64),
            Truth(bool),
            Text(&'static str),
            Formatted(&'static str, f64),
        }
        use Cell::{Formatted, Gap, Number, Text, Truth};
        let read_column = |cells: &[Cell]| {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("x.xlsx");
            let mut workbook = Workbook::new();
            let sheet = workbook.add_worksheet();
            sheet.write_row(0, 0, ["index", "prediction"]).unwrap();
            for (row, cell) in (1..).zip(cells) {
                sheet.write_string(row, 0, "x").unwrap();
                match cell {
                    Gap => {}
                    Number(number) => _ = sheet.write_number(row, 1, *number).unwrap(),
                    Truth(value) => _ = sheet.write_boolean(row, 1, *value).unwrap(),
                    Text(text) => _ = sheet.write_string(row, 1, *text).unwrap(),
                    Formatted(format, number) => {
                        let format = Format::new().set_num_format(*format);
                        sheet.write_number_with_format(row, 1, *number, &format).unwrap();
                    }
                }
            }
            workbook.save(&file).unwrap();
            let table = read(&file, &WANTED).unwrap();
            let cells = table.records.iter().map(|record| record.cell(1).unwrap_or("nan").to_string());
            cells.collect::<Vec<_>>()
        };
        let date = |serial| Formatted("yyyy-mm-dd", serial);
        for (cells, expected) in [
            (&[Number(1.0), Gap, Number(3.0)][..], &["1.0", "nan", "3.0"][..]),
            (&[Number(1.0), Gap], &["1.0", "nan"]),
            (&[Number(1.0), Number(2.5), Number(1e16)], &["1.0", "2.5", "1e+16"]),
            (&[Number(1e16), Number(1.0)], &["10000000000000000", "1"]),
            (&[Number(1.0), Text("A"), Number(2.5), Gap], &["1", "A", "2.5", "nan"]),
            (&[Text("7"), Number(2.5)], &["7.0", "2.5"]),
            (&[Text("007"), Text("7.0")], &["007", "7.0"]),
            (&[Truth(true), Truth(false)], &["True", "False"]),
            (&[Truth(true), Gap], &["1.0", "nan"]),
            (&[Truth(true), Number(1.0), Number(0.0)], &["1", "1", "0"]),
            (&[Truth(true), Number(1.0), Text("A"), Gap], &["True", "1", "A", "nan"]),
            (&[Truth(true), Text("1")], &["1", "1"]),
            (&[date(45_000.0), Text("A")], &["2023-03-15 00:00:00", "A"]),
            (&[date(45_000.0), Number(7.0), Gap], &["2023-03-15 00:00:00", "7", "nan"]),
            (&[Formatted("h:mm", 0.5), Text("A"), date(1e10)], &["12:00:00", "A", "nan"]),
            (&[Formatted("[h]:mm", 49.0 / 24.0), Text("A")], &["2 days, 1:00:00", "A"]),
            (
                &[Formatted("[h]:mm", 1.5), Formatted("[h]:mm", 0.5), Formatted("[h]:mm", -1.5)],
                &["1 days 12:00:00", "0 days 12:00:00", "-2 days +12:00:00"],
            ),
        ] {
            assert_eq!(read_column(cells), expected);
        }
    }

    /// calamine gives an empty cell for it.
    #[test]
    fn a_value_in_a_cdata_section_is_not_taken_for_nothing() {
        let (_folder, file) = sheet(&[(0, 0, "index"), (0, 1, "prediction"), (1, 0, "1"), (1, 1, "A")]);
        let parts = parts(&file);
        for (cell, is_read) in [
            ("t=\"str\"><v>A &lt;![CDATA[</v>", true),
            ("t=\"inlineStr\"><is><t><![CDATA[A]]></t></is>", true),
            ("t=\"str\"><v><![CDATA[<A>]]></v>", false),
            ("t=\"str\"><v xml:space=\"preserve\">A<![CDATA[B]]></v>", false),
        ] {
            let mut archive = ZipWriter::new(std::fs::File::create(&file).unwrap());
            for (name, text) in &parts {
                archive.start_file(name, SimpleFileOptions::default()).unwrap();
                let text = text.replace("r=\"B2\" t=\"s\"><v>3</v>", &format!("r=\"B2\" {cell}"));
                archive.write_all(text.as_bytes()).unwrap();
            }
            archive.finish().unwrap();
            match read(&file, &WANTED) {
                Ok(table) => {
                    let found = table.records[0].cell(1).unwrap();
                    assert!(is_read && found.starts_with('A'), "{cell}: {found}");
                }
                Err(error) => {
                    assert!(!is_read && error.to_string().contains("in a CDATA section"), "{cell}: {error}");
                }
            }
        }
    }

    /// A count of four billion texts asked for 103 GB.
    #[test]
    fn a_count_of_texts_is_not_trusted() {
        let (_folder, file) = sheet(&[(0, 0, "index"), (0, 1, "prediction"), (1, 0, "1"), (1, 1, "A")]);
        let parts = parts(&file);
        for (tag, is_read) in [
            ("<sst uniqueCount=\"4\"", true),
            ("<sst uniqueCount=\"4294967295\"", false),
            ("<sst x=\">\" uniqueCount = '99999999999999999999'", false),
        ] {
            let mut archive = ZipWriter::new(std::fs::File::create(&file).unwrap());
            for (name, text) in &parts {
                archive.start_file(name, SimpleFileOptions::default()).unwrap();
                let text = text.replace("uniqueCount=\"4\"", "").replace("<sst", tag);
                archive.write_all(text.as_bytes()).unwrap();
            }
            archive.finish().unwrap();
            match read(&file, &WANTED) {
                Ok(table) => assert!(is_read && table.records[0].cell(1) == Some("A"), "{tag}"),
                Err(error) => {
                    assert!(!is_read && error.to_string().contains(" texts, in a part of "), "{error}");
                }
            }
        }
    }
}
