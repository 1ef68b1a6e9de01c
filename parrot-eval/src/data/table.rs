//! Tab-separated files as pandas reads them.
//!
//! `read_csv(sep='\t')` with its defaults: quoting as in CSV, so a field may hold tabs, newlines and doubled
//! quotes; an empty field and a list of words count as missing, quoted or not. Cells stay text; what pandas makes of
//! columns of numbers is the matter of [`pandas`](super::pandas).

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use csv::{ReaderBuilder, StringRecord};
use parrot_model::untrusted;

use crate::{Error, Result};

/// What pandas 2 and 3 take for a missing value, besides the empty field.
const MISSING: [&str; 18] = [
    "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A",
    "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
];

/// Whether pandas reads this field as missing.
///
/// An option that says `None` is missing, too: it vanishes from the prompt and from the scoring, as it does
/// with every pandas since 2.0.
#[must_use]
pub fn is_missing(field: &str) -> bool {
    field.is_empty() || MISSING.contains(&field)
}

/// What is wrong with a file that ends within quotes.
pub(crate) const UNCLOSED: &str = "a quote opens here and is never closed";

/// A table in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Where it was read from.
    pub file: PathBuf,
    /// The header.
    pub columns: Vec<String>,
    /// The rows below it.
    pub records: Vec<TableRecord>,
}

/// A row of a [`Table`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRecord {
    /// The line of the file that it begins on, from 1.
    pub line: u64,
    /// One cell per column, `None` where the value is missing; none at all behind the row's last field.
    pub cells: Vec<Option<String>>,
}

impl TableRecord {
    /// The value in a column.
    #[must_use]
    pub fn cell(&self, column: usize) -> Option<&str> {
        self.cells.get(column)?.as_deref()
    }
}

impl Table {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// When it cannot be read, and as [`parse`](Self::parse).
    pub fn read(file: &Path) -> Result<Self> {
        Self::parse(file, &read_bytes(file)?)
    }

    /// Reads the contents of `file`. What a row with too few fields lacks is missing, as pandas has it; blanks around a
    /// column's name are no part of it, as a kit would not find that column.
    ///
    /// # Errors
    ///
    /// [`Error::Table`] when the bytes are not UTF-8, two columns have one name, a row has more fields than the header, a
    /// quote is never closed, or there is no row at all.
    pub fn parse(file: &Path, bytes: &[u8]) -> Result<Self> {
        let refuse = |line, problem: &str| Error::Table { file: file.into(), line, problem: problem.into() };
        let (table, cut) = Self::parse_cells(file, bytes, is_missing)?;
        if let Some(line) = cut {
            let problem =
                format!("{UNCLOSED}; quotes of the text itself are written twice, within such a pair");
            return Err(refuse(Some(line), &problem));
        }
        if table.records.is_empty() {
            return Err(refuse(None, "there is a header and no row"));
        }
        Ok(table)
    }

    /// Reads a file that may have been cut off: the record in which a quote is never closed is left out, and the
    /// line where that quote opens is returned. Words for missing values stay words.
    pub(crate) fn read_up_to_cut(file: &Path) -> Result<(Self, Option<u64>)> {
        let (mut table, cut) = Self::parse_cells(file, &read_bytes(file)?, str::is_empty)?;
        if cut.is_some() {
            table.records.pop();
        }
        Ok((table, cut))
    }

    /// The table, and the line where a quote opens that is never closed.
    fn parse_cells(
        file: &Path,
        bytes: &[u8],
        is_missing: impl Fn(&str) -> bool,
    ) -> Result<(Self, Option<u64>)> {
        let refuse = |line, problem: String| Error::Table { file: file.into(), line, problem };
        // Excel's "Unicode Text", for one.
        if is_utf16(bytes) {
            return Err(refuse(None, UTF16.into()));
        }
        if bytes.starts_with(b"PK\x03\x04") {
            let problem =
                "it is a ZIP archive, as spreadsheets are; save its sheet as tab-separated text in UTF-8";
            return Err(refuse(None, problem.into()));
        }
        let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
        if is_web_page(bytes) {
            return Err(refuse(None, WEB_PAGE.into()));
        }
        let mut reader =
            ReaderBuilder::new().delimiter(b'\t').has_headers(false).flexible(true).from_reader(bytes);
        let mut columns: Option<Vec<String>> = None;
        let mut records = Vec::new();
        let mut record = StringRecord::new();
        let mut lines = Lines { bytes, at: 0, line: 1, end: line_end(bytes) };
        loop {
            let line = lines.of_record(reader.position().byte());
            let start = lines.at;
            let more =
                reader.read_record(&mut record).map_err(|error| refuse(Some(line), error_text(&error)))?;
            if !more {
                break;
            }
            let Some(columns) = &columns else {
                columns = Some(column_names(&record).map_err(|problem| refuse(Some(line), problem))?);
                continue;
            };
            // pandas takes a line of nothing but spaces for an empty one.
            let is_blank = record.len() == 1 && record[0].bytes().all(|byte| byte == b' ');
            if is_blank && !bytes[start..].starts_with(b"\"") {
                continue;
            }
            if record.len() > columns.len() {
                let problem = format!("{} fields, but the header has {}", record.len(), columns.len());
                return Err(refuse(Some(line), problem));
            }
            let cell = |at| record.get(at).filter(|field| !is_missing(field)).map(Into::into);
            records.push(TableRecord { line, cells: (0..record.len()).map(cell).collect() });
        }
        let columns = columns.ok_or_else(|| refuse(None, "the file is empty".into()))?;
        Ok((Self { file: file.into(), columns, records }, unclosed_quote(bytes)))
    }

    /// Writes the table to its file, in one piece, quoted so that [`read`](Self::read) and pandas give back the same cells.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn write(&self) -> Result<()> {
        let io = |source| parrot_model::Error::Io { action: "write", path: self.file.clone(), source };
        let mut writer = csv::WriterBuilder::new().delimiter(b'\t').from_writer(Vec::new());
        let mut write =
            |cells: Vec<&str>| writer.write_record(cells).map_err(std::io::Error::from).map_err(io);
        write(self.columns.iter().map(String::as_str).collect())?;
        for record in &self.records {
            write((0..self.columns.len()).map(|at| record.cell(at).unwrap_or_default()).collect())?;
        }
        let bytes = writer.into_inner().map_err(|error| io(error.into_error()))?;
        Ok(untrusted::replace_file(&self.file, &bytes)?)
    }

    /// The place of a column.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column == name)
    }
}

/// Counts lines: the reader's own count is of records' ends, off by one after `\r\n` and empty lines.
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
    line: u64,
    /// What lines end with.
    end: u8,
}

/// The byte that ends a file's lines: that of old Macs, and of Excel's text for them, is a carriage return alone.
fn line_end(bytes: &[u8]) -> u8 {
    if bytes.contains(&b'\n') { b'\n' } else { b'\r' }
}

impl Lines<'_> {
    /// The line of the record that begins at `byte` or, where that ends an empty line, after it.
    fn of_record(&mut self, byte: u64) -> u64 {
        let byte = usize::try_from(byte).unwrap_or(usize::MAX);
        while let Some(next) = self.bytes.get(self.at)
            && (self.at < byte || matches!(next, b'\r' | b'\n'))
        {
            self.line += u64::from(*next == self.end);
            self.at += 1;
        }
        self.line
    }
}

/// All of a file, which is one: a named pipe would be waited for, a device never ends.
pub(crate) fn read_bytes(file: &Path) -> Result<Vec<u8>> {
    Ok(untrusted::read(file, MOST_BYTES)?)
}

/// What a table may hold: 4 GiB. The largest published one has 78 MB.
const MOST_BYTES: u64 = 4 << 30;

/// What is said of text in UTF-16.
pub(crate) const UTF16: &str = "the file is UTF-16; save it as UTF-8";

/// Whether text is UTF-16: by the mark at its start, or by every other byte of its header being zero where letters are Latin.
pub(crate) fn is_utf16(bytes: &[u8]) -> bool {
    let header = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let zeros = |first: usize| header.iter().skip(first).step_by(2).filter(|byte| **byte == 0).count();
    let (even, odd) = (zeros(0), zeros(1));
    bytes.starts_with(b"\xFF\xFE")
        || bytes.starts_with(b"\xFE\xFF")
        || (even.min(odd) == 0 && even.max(odd) > header.len() / 4)
}

/// What is said of a web page in a file's place.
pub(crate) const WEB_PAGE: &str = "it is a web page, not the file itself: download what its link leads to";

/// Whether text begins as HTML does, as a page about a file does that was saved in its place.
pub(crate) fn is_web_page(bytes: &[u8]) -> bool {
    let start = bytes.trim_ascii_start();
    let begins = |tag: &[u8]| start.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag));
    begins(b"<!doctype html") || begins(b"<html")
}

/// The header's names, of which those that are none may be there more than once.
pub(crate) fn column_names<'h>(header: impl IntoIterator<Item = &'h str>) -> Result<Vec<String>, String> {
    let mut known = HashSet::new();
    let names = header.into_iter().map(str::trim).map(|name| {
        if name.is_empty() || known.insert(name) {
            return Ok(name.into());
        }
        Err(format!("two columns are called `{name}`; take one of them out, or rename it"))
    });
    names.collect()
}

fn error_text(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Utf8 { err, .. } => {
            format!("field {} is not UTF-8, as which the file has to be saved", err.field() + 1)
        }
        _ => error.to_string(),
    }
}

/// The line where a field's quote opens that nothing closes: the mark of a file that was cut off.
fn unclosed_quote(bytes: &[u8]) -> Option<u64> {
    let (mut line, mut opened, mut at_start) = (1, None, true);
    let end = line_end(bytes);
    let mut bytes = bytes.iter().peekable();
    while let Some(byte) = bytes.next() {
        match (byte, opened) {
            (b'"', None) if at_start => opened = Some(line),
            // Within quotes, two stand for one.
            (b'"', Some(_)) if bytes.peek() == Some(&&b'"') => _ = bytes.next(),
            (b'"', Some(_)) => opened = None,
            _ => {}
        }
        at_start = opened.is_none() && matches!(byte, b'\t' | b'\n' | b'\r');
        line += u64::from(*byte == end);
    }
    opened
}

/// The kits read the columns that they score by in any letter case. Options are capitals, and a hint is read as it is.
pub(crate) fn lower_names(columns: &mut [String]) {
    const ANY_CASE: [&str; 9] =
        ["index", "image", "question", "answer", "category", "l2-category", "split", "g_index", "image_path"];
    for at in 0..columns.len() {
        let lower = columns[at].to_lowercase();
        if ANY_CASE.contains(&lower.as_str()) && !columns.contains(&lower) {
            columns[at] = lower;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Table> {
        Table::parse(Path::new("x.tsv"), text.as_bytes())
    }

    fn cells(text: &str) -> Vec<Vec<Option<String>>> {
        parse(text).unwrap().records.into_iter().map(|record| record.cells).collect()
    }

    fn some(cells: &[&str]) -> Vec<Option<String>> {
        cells.iter().map(|cell| (!cell.is_empty()).then(|| (*cell).to_string())).collect()
    }

    #[test]
    fn fields_are_quoted_as_in_csv() {
        let text =
            "a\tb\r\n\"one\ntwo\"\t\"say \"\"hi\"\"\"\r\nin \"the\" middle\t\"with\ttab\"\n\n\"x\"y\tz";
        let expected = [
            some(&["one\ntwo", "say \"hi\""]),
            some(&["in \"the\" middle", "with\ttab"]),
            some(&["xy", "z"]),
        ];
        assert_eq!(cells(text), expected);
        let lines: Vec<u64> = parse(text).unwrap().records.iter().map(|record| record.line).collect();
        assert_eq!(lines, [2, 4, 6]);
        // Every row of a file with such line ends was of line 1.
        let macs = parse("a\tb\r1\t2\r\"3\r\"\t4\r5\t6").unwrap();
        assert_eq!(macs.records.iter().map(|record| record.line).collect::<Vec<_>>(), [2, 3, 5]);
        let error = parse("a\tb\r1\t2\r3\t\"4\r").unwrap_err().to_string();
        assert!(error.starts_with("x.tsv line 3: "), "{error}");
        assert_eq!(parse("\u{feff}a\tb\n1\t2").unwrap().columns, ["a", "b"]);
        let padded = parse(" a\t\"b \"\t\u{a0}c d\t\t \n1\t 2\n").unwrap();
        assert_eq!(padded.columns, ["a", "b", "c d", "", ""], "names, not what is below them");
        assert_eq!(padded.records[0].cells, some(&["1", " 2"]));
    }

    #[test]
    fn missing_is_what_pandas_takes_for_missing() {
        for word in MISSING {
            assert_eq!(cells(&format!("a\tb\n{word}\t\"{word}\""))[0], [None, None], "{word}");
        }
        for word in ["none", "Nan", "NONE", " ", "NA ", "0", "nil", "-", "n.a.", "Null"] {
            assert_eq!(cells(&format!("a\tb\n{word}\tx"))[0][0].as_deref(), Some(word));
        }
        assert_eq!(cells("a\tb\tc\n1\n\t2\t"), [some(&["1"]), some(&["", "2", ""])], "short rows stay short");
        let table = parse("a\tb\tc\n1\n\t2\t").unwrap();
        assert_eq!((table.records[0].cell(0), table.records[0].cell(2)), (Some("1"), None));
        // pandas 3.1.1: two rows, and those of blanks that hold a tab.
        let blanks = cells("a\tb\n1\t2\n   \n3\t4\n \t \n\t\n\"  \"\n");
        assert_eq!(
            blanks,
            [some(&["1", "2"]), some(&["3", "4"]), some(&[" ", " "]), some(&["", ""]), some(&["  "])]
        );
    }

    /// It was said that there is a header and no row.
    #[test]
    fn a_web_page_is_called_one() {
        for page in ["<!DOCTYPE html><html>", "\u{feff}\n <HTML>\n<body>\ta", "<!doctype HTML>\n<p>\n"] {
            assert!(parse(page).unwrap_err().to_string().ends_with(WEB_PAGE), "{page}");
        }
        assert_eq!(cells("<htm\ta\n1\t2").len(), 1);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let text = "a\tb\n\"one\ntwo\"\t\"\"\"hi\"\"\"\n\tx\r\n\" \"\t猫\n";
        let mut table = parse(text).unwrap();
        table.file = folder.path().join("t.tsv");
        // Nor is what stood there before left in part.
        std::fs::write(&table.file, "x".repeat(100)).unwrap();
        table.write().unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let read = Table::read(&table.file).unwrap();
        assert_eq!(read.columns, table.columns);
        let cells =
            |table: &Table| table.records.iter().map(|record| record.cells.clone()).collect::<Vec<_>>();
        assert_eq!(cells(&read), cells(&table));
    }

    #[test]
    fn broken_files_are_refused_with_their_line() {
        let error = |text: &[u8]| Table::parse(Path::new("x.tsv"), text).unwrap_err().to_string();
        assert_eq!(error(b"a\tb\n1\t2\n1\t2\t3\n"), "x.tsv line 3: 3 fields, but the header has 2");
        assert_eq!(error(b""), "x.tsv: the file is empty");
        assert!(error(b"PK\x03\x04\xff").starts_with("x.tsv: it is a ZIP archive, as spreadsheets are"));
        assert_eq!(error(b"a\tb\n"), "x.tsv: there is a header and no row");
        assert_eq!(
            error(b"a\tb\n1\t2\n1\t\xff\n"),
            "x.tsv line 3: field 2 is not UTF-8, as which the file has to be saved"
        );
        let wide = "index\tsoru\tقطة\n1\tKim uyuyor?\tx\n";
        let little: Vec<u8> = wide.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = wide.encode_utf16().flat_map(u16::to_be_bytes).collect();
        for marked in [[b"\xff\xfe", &little[..]].concat(), [b"\xfe\xff", &big[..]].concat(), little, big] {
            assert_eq!(error(&marked), "x.tsv: the file is UTF-16; save it as UTF-8");
        }
        assert_eq!(
            error(b"a\tb\t a \n1\t2\t3\n"),
            "x.tsv line 1: two columns are called `a`; take one of them out, or rename it"
        );
        let unclosed = error(b"a\tb\n1\t\"x\"\"\"\n1\t\"two\nlines");
        assert_eq!(
            unclosed,
            format!(
                "x.tsv line 3: {UNCLOSED}; quotes of the text itself are written twice, within such a pair"
            )
        );
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.tsv");
        std::fs::write(&file, "a\tb\n1\tNone\n2\t\"two\nlines").unwrap();
        let (table, cut) = Table::read_up_to_cut(&file).unwrap();
        let whole = TableRecord { line: 2, cells: some(&["1", "None"]) };
        assert_eq!((table.records, cut), (vec![whole], Some(3)));
        assert!(Table::read(Path::new("no/such.tsv")).unwrap_err().to_string().contains("no/such.tsv"));
    }
}
