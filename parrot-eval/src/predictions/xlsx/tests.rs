use std::io::Write;
use std::path::PathBuf;

use rust_xlsxwriter::{Format, Workbook};
use tempfile::TempDir;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;

const WANTED: [&str; 2] = ["index", "prediction"];

/// A spreadsheet as another program writes it.
fn sheet(cells: &[(u32, u16, &str)]) -> (TempDir, PathBuf) {
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

const TYPES: &str = r#"<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">
    <Override PartName="/xl/workbook.xml"
        ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>
    <Override PartName="/xl/texts.xml"
        ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"/></Types>"#;
const RELATIONS: &str = r#"<Relationships>
    <Relationship Id="chart" Type="http://x/chartsheet" Target="sheet.xml"/>
    <Relationship Id="lost" Type="http://x/worksheet" Target="SHEET.xml"/>
    <Relationship Id="first" Type="http://x/worksheet" Target="../xl/./sheet.xml"/>
    <Relationship Id="absolute" Type="http://x/worksheet" Target="/xl/sheet.xml"/></Relationships>"#;
const WORKBOOK: &str = r#"<workbook xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships">
    <sheets><sheet name="x" sheetId="1" r:id="first"/></sheets></workbook>"#;
const TEXTS: &str =
    r#"<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><si><t>shared</t></si></sst>"#;
const STYLES: &str = r#"<styleSheet><numFmts><numFmt numFmtId="200" formatCode="yyyy\-mm"/></numFmts>
    <cellXfs><xf/><xf numFmtId="14"/><xf numFmtId="200"/><xf numFmtId="57"/><xf numFmtId="46"/></cellXfs></styleSheet>"#;
const HEADER: &str = r#"<row r="1"><c t="str"><v>index</v></c><c t="str"><v>prediction</v></c></row>"#;

/// The part that a sheet of these rows is.
fn sheet_part(rows: &str) -> String {
    format!(
        "<worksheet xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\"><sheetData>{HEADER}{rows}\
         </sheetData></worksheet>"
    )
}

/// The bytes of a spreadsheet of these parts; of those that are not given there is a simple one.
fn spreadsheet(given: &[(&str, &[u8])]) -> Vec<u8> {
    let simple_sheet = sheet_part("");
    let simple = [
        ("[Content_Types].xml", TYPES),
        ("xl/_rels/workbook.xml.rels", RELATIONS),
        ("xl/workbook.xml", WORKBOOK),
        ("xl/texts.xml", TEXTS),
        ("xl/styles.xml", STYLES),
        ("xl/sheet.xml", &simple_sheet),
    ];
    let mut archive = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let others = given.iter().filter(|(name, _)| !simple.iter().any(|(simple, _)| simple == name)).copied();
    let parts = simple.iter().map(|(name, text)| {
        let bytes =
            given.iter().find(|(given, _)| given == name).map_or(text.as_bytes(), |(_, bytes)| *bytes);
        (*name, bytes)
    });
    for (name, bytes) in parts.chain(others) {
        archive.start_file(name, SimpleFileOptions::default()).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// Of each row that is kept its number and its prediction.
fn predictions(parts: &[(&str, &[u8])]) -> Result<Vec<(u64, Option<String>)>, String> {
    let (columns, records) = table(spreadsheet(parts), &WANTED)?;
    assert_eq!(columns[..2], WANTED);
    Ok(records.iter().map(|record| (record.line, record.cell(1).map(Into::into))).collect())
}

/// The prediction in the second row, of which these are the cells.
fn prediction(cells: &str) -> Result<Option<String>, String> {
    let part = sheet_part(&format!("<row r=\"2\"><c r=\"A2\"><v>1</v></c>{cells}</row>"));
    predictions(&[("xl/sheet.xml", part.as_bytes())]).map(|rows| rows[0].1.clone())
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
    // A directory that says that a part unpacks to four gigabytes, or to a hundred megabytes out of some thousand bytes.
    let mut bytes = std::fs::read(&file).unwrap();
    let entry = bytes.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
    for (size, said) in
        [(u32::MAX, "unpacks to 4"), (100 << 20, "unpacks to 1048"), (3, "larger than its declared")]
    {
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
        // What is missing among dates alone, or lengths of time alone, is of their kind.
        (&[date(45_000.25), Gap, date(1e10)], &["2023-03-15 06:00:00", "NaT", "NaT"]),
        (&[date(45_000.0), Text("None")], &["2023-03-15 00:00:00", "NaT"]),
        (&[date(45_000.0), Text("A"), Gap], &["2023-03-15 00:00:00", "A", "nan"]),
        (&[date(45_000.0), Formatted("h:mm", 0.5), Gap], &["2023-03-15 00:00:00", "12:00:00", "nan"]),
        (&[Formatted("h:mm", 0.5), Gap], &["12:00:00", "nan"]),
        (&[Formatted("[h]:mm", 1.5), Gap, Text("NA")], &["1 days 12:00:00", "NaT", "NaT"]),
        (
            &[Formatted("[h]:mm", 1.5), date(45_000.0), Gap],
            &["1 day, 12:00:00", "2023-03-15 00:00:00", "nan"],
        ),
    ] {
        assert_eq!(read_column(cells), expected);
    }
}

/// What pandas 3.1.1 with openpyxl 3.1.5 reads from a row of these cells, be they as odd as no program writes them.
#[test]
fn cells_are_read_as_openpyxl_does() {
    for (cells, text) in [
        (r#"<c t="s"><v>0</v></c>"#, Some("shared")),
        (r#"<c t="s"><v> -1 </v></c>"#, Some("shared")),
        (r#"<c t="e"><v>#SPILL!</v></c>"#, None),
        (r#"<c t="e"><v>#N/A</v></c>"#, None),
        (r#"<c t="str"><f>A1</f><v><![CDATA[<A>]]></v></c>"#, Some("<A>")),
        (r#"<c t="str"><v>A<![CDATA[&lt;]]>&lt;&#66;<!-- x -->C<x/>D</v></c>"#, Some("A&lt;<BC")),
        ("<c t=\"str\"><v>a\r\nb&#13;</v></c>", Some("a\nb\r")),
        (r#"<c t="str"><v>_x000D_x005F_</v></c>"#, Some("_x000D_x005F_")),
        (r#"<c t="str"><v/></c>"#, None),
        (r#"<c t="str"><v>first</v><v>second</v></c>"#, Some("first")),
        (r#"<c t="str"><v/><v>second</v></c>"#, None),
        (r#"<c t="str"><x:v xmlns:x="urn:x">x</x:v></c>"#, None),
        (
            r#"<x:c xmlns:x="http://schemas.openxmlformats.org/spreadsheetml/2006/main" t="str"><x:v>x</x:v></x:c>"#,
            Some("x"),
        ),
        (r#"<c t="inlineStr"><is><t> A </t></is></c>"#, Some(" A ")),
        (
            r#"<c t="inlineStr"><is><r><t>B</t></r><t>A</t><r><rPr/><t>C</t></r><rPh sb="0" eb="1"><t>no</t></rPh></is></c>"#,
            Some("ABC"),
        ),
        (r#"<c t="inlineStr"><v>A</v></c>"#, None),
        (r#"<c><v> 7.0 </v></c>"#, Some("7")),
        (r#"<c s="1"><v>45000</v></c>"#, Some("2023-03-15 00:00:00")),
        (r#"<c s="2"><v>45000</v></c>"#, Some("2023-03-15 00:00:00")),
        // A date to East Asian spreadsheet programs.
        (r#"<c s="3"><v>45000</v></c>"#, Some("45000")),
        (r#"<c s=""><v>45000</v></c>"#, Some("45000")),
        (r#"<c s="99"><v>45000</v></c>"#, Some("45000")),
        (r#"<c s="1"><v>1e999</v></c>"#, None),
        (r#"<c t="d"><v>2024-01-02</v></c>"#, Some("2024-01-02")),
        // Where the cell stands.
        (r#"<c r="b7" t="str"><v>A</v></c>"#, Some("A")),
        (r#"<c r="C2" t="str"><v>C</v></c><c r="B2" t="str"><v>B</v></c>"#, Some("B")),
        (r#"<c r="B2" t="str"><v>B</v></c><c r="A2" t="str"><v>A</v></c>"#, None),
        (r#"<c t="str"><v>A</v></c><c r="B2" t="str"><v>B</v></c>"#, Some("B")),
        (r#"<c t="str"><v>A</v></c><c r="B2"/>"#, None),
        (r#"<extLst/><c t="str"><v>A</v></c>"#, None),
    ] {
        assert_eq!(prediction(cells), Ok(text.map(Into::into)), "{cells}");
    }
    for (cells, problem) in [
        (r#"<c r="B2"><v>x</v></c>"#, "cell B2: expected a number, found `x`"),
        (r#"<c t="s"><v>1</v></c>"#, "row 2, column 2: it refers to text 1 of 1"),
        (r#"<c r="$B$2"/>"#, "expected a cell such as B2, found `$B$2`"),
        (r#"<c r="AAAA2"/>"#, "expected a cell such as B2, found `AAAA2`"),
        (r#"<c s="x"><v>1</v></c>"#, "row 2, column 2: expected the number of a style, found `x`"),
        (r#"<c><v>&x;</v></c>"#, "no XLSX file: its part xl/sheet.xml: the entity &x; is not known"),
        ("<c><v>\u{1}</v></c>", "no XLSX file: its part xl/sheet.xml: it holds characters that XML has not"),
    ] {
        assert_eq!(prediction(cells), Err(problem.into()), "{cells}");
    }
}

/// In the same way.
#[test]
fn rows_are_read_as_openpyxl_does() {
    let row = |attributes: &str, text: &str| {
        format!("<row {attributes}><c><v>1</v></c><c t=\"str\"><v>{text}</v></c></row>")
    };
    let rows = [
        row("", "second"),
        row("r=\" 4.0 \"", "fourth"),
        row("r=\"3\"", "below the fourth"),
        row("", "again the fourth"),
        row("", "fifth"),
        row("r=\"1_0\"", "tenth"),
    ];
    let expected = [(2, "second"), (4, "fourth"), (5, "fifth"), (10, "tenth")];
    let expected: Vec<(u64, Option<String>)> =
        expected.iter().map(|(line, text)| (*line, Some((*text).into()))).collect();
    assert_eq!(predictions(&[("xl/sheet.xml", sheet_part(&rows.concat()).as_bytes())]), Ok(expected));
    for (attributes, problem) in [
        ("r=\"x\"", "expected a row's number, found `x`"),
        ("r=\"1.5\"", "expected a row's number, found `1.5`"),
        ("r=\"1048577\"", "row 1048577: a sheet has 1048576 rows at most"),
    ] {
        let part = sheet_part(&row(attributes, "A"));
        assert_eq!(predictions(&[("xl/sheet.xml", part.as_bytes())]), Err(problem.into()));
    }
    let wide = sheet_part(&format!("<row>{}</row>", "<c/>".repeat(16_385)));
    let error = predictions(&[("xl/sheet.xml", wide.as_bytes())]).unwrap_err();
    assert_eq!(error, "row 2: a sheet has 16384 columns at most");
    let last = |column| prediction(&format!("<c r=\"B2\"><v>7</v></c><c r=\"{column}2\"><v>1</v></c>"));
    assert_eq!(last("XFD"), Ok(Some("7".into())));
    assert_eq!(last("XFE"), Err("row 2: a sheet has 16384 columns at most".into()));
    let namespaces: String = (0..200).map(|number| format!(" xmlns:a{number}=\"x\"")).collect();
    let crowded = sheet_part(&format!("<row{namespaces}/>"));
    let error = predictions(&[("xl/sheet.xml", crowded.as_bytes())]).unwrap_err();
    assert_eq!(error, "no XLSX file: its part xl/sheet.xml: it names more than 128 namespaces at once");
    let cut = sheet_part("").replace("</worksheet>", "");
    let error = predictions(&[("xl/sheet.xml", cut.as_bytes())]).unwrap_err();
    assert_eq!(error, "no XLSX file: its part xl/sheet.xml: it ends before its elements do");
}

/// An error counts as a cell: with it a row is one of pandas's, and a column above it has a gap.
#[test]
fn errors_are_gaps() {
    let part = sheet_part(
        "<row><c><v>1</v></c><c><v>7</v></c></row><row><c><v>2</v></c><c t=\"e\"><v>#N/A</v></c></row>",
    );
    let rows = predictions(&[("xl/sheet.xml", part.as_bytes())]);
    assert_eq!(rows, Ok(vec![(2, Some("7.0".into())), (3, None)]));
}

#[test]
fn the_first_sheet_is_found_as_openpyxl_does() {
    let part = sheet_part("<row><c><v>1</v></c><c s=\"1\"><v>61</v></c></row>");
    let dates_of = |workbook: &str, date: &str| {
        let given: [(&str, &[u8]); 2] =
            [("xl/workbook.xml", workbook.as_bytes()), ("xl/sheet.xml", part.as_bytes())];
        assert_eq!(predictions(&given), Ok(vec![(2, Some(date.into()))]), "{workbook}");
    };
    dates_of(WORKBOOK, "1900-03-01 00:00:00");
    dates_of(&WORKBOOK.replace("\"first\"", "\"absolute\""), "1900-03-01 00:00:00");
    dates_of(&WORKBOOK.replace("<sheets>", "<workbookPr date1904=\"true\"/><sheets>"), "1904-03-02 00:00:00");
    dates_of(&WORKBOOK.replace("<sheets>", "<workbookPr date1904=\"f\"/><sheets>"), "1900-03-01 00:00:00");
    let others = "<sheets><sheet name=\"a\" sheetId=\"2\" r:id=\"chart\"/><sheet name=\"b\" sheetId=\"3\"/>\
                  <sheet name=\"c\" sheetId=\"4\" r:id=\"lost\"/>";
    dates_of(&WORKBOOK.replace("<sheets>", others), "1900-03-01 00:00:00");
    dates_of(&WORKBOOK.replace("r:id", "state=\"hidden\" id"), "1900-03-01 00:00:00");
    for (workbook, problem) in [
        (WORKBOOK.replace("\"first\"", "\"none\""), "no XLSX file: a sheet refers to no part of it"),
        (
            WORKBOOK.replace(
                "http://schemas.openxmlformats.org/officeDocument/2006",
                "http://purl.oclc.org/ooxml/officeDocument",
            ),
            "it has no sheet; a strict Open XML spreadsheet has to be saved as an ordinary one",
        ),
    ] {
        assert_eq!(predictions(&[("xl/workbook.xml", workbook.as_bytes())]), Err(problem.into()));
    }
    let untyped = TYPES.replace("sheet.main", "other");
    let error = predictions(&[("[Content_Types].xml", untyped.as_bytes())]).unwrap_err();
    assert_eq!(error, "no XLSX file: it has no workbook");
    let default = untyped.replace("<Types ", "<Types><Default Extension=\"xml\" ContentType=\"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml\"/><x ").replace("</Types>", "</x></Types>");
    assert_eq!(predictions(&[("[Content_Types].xml", default.as_bytes())]), Ok(vec![]));
}

#[test]
fn parts_are_utf_8_or_utf_16() {
    let part = sheet_part("<row><c><v>1</v></c><c t=\"str\"><v>猫</v></c></row>");
    let declared = format!("<?xml version=\"1.0\" encoding=\"UTF-16\"?>{part}");
    let marked = format!("\u{feff}{declared}");
    let little: Vec<u8> = marked.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = marked.encode_utf16().flat_map(u16::to_be_bytes).collect();
    for bytes in [little, big, format!("\u{feff}{part}").into_bytes()] {
        assert_eq!(predictions(&[("xl/sheet.xml", &bytes)]), Ok(vec![(2, Some("猫".into()))]));
    }
    let latin = declared.replace("UTF-16", "ISO-8859-1");
    assert_eq!(
        predictions(&[("xl/sheet.xml", latin.as_bytes())]),
        Err("no XLSX file: its part xl/sheet.xml: it is written in ISO-8859-1; expected UTF-8".into())
    );
}

/// A count of four billion texts asked for 103 GB.
#[test]
fn a_count_of_texts_is_not_trusted() {
    let part = sheet_part("<row><c><v>1</v></c><c t=\"s\"><v>1</v></c></row>");
    for counts in ["", " uniqueCount=\"0\"", " count=\"4294967295\" uniqueCount='99999999999999999999'"] {
        let texts = TEXTS.replace("<si>", "<si/><si>").replace("<sst", &format!("<sst{counts}"));
        let given: [(&str, &[u8]); 2] =
            [("xl/texts.xml", texts.as_bytes()), ("xl/sheet.xml", part.as_bytes())];
        assert_eq!(predictions(&given), Ok(vec![(2, Some("shared".into()))]), "{counts}");
    }
}

/// openpyxl 3.1.5 takes `x005F_` out of shared texts, and only of those.
#[test]
fn escapes_stay_as_openpyxl_leaves_them() {
    let part = sheet_part("<row><c><v>1</v></c><c t=\"s\"><v>0</v></c></row>");
    for (text, read) in [("_x0041_", "_x0041_"), ("_x000D_", "_x000D_"), ("_x005F_x0041_", "_x0041_")] {
        let texts = TEXTS.replace("shared", text);
        let given: [(&str, &[u8]); 2] =
            [("xl/texts.xml", texts.as_bytes()), ("xl/sheet.xml", part.as_bytes())];
        assert_eq!(predictions(&given), Ok(vec![(2, Some(read.into()))]), "{text}");
    }
}

/// A text of 30 MB to which a million cells refer would take 30 TB.
#[test]
fn a_text_that_cells_share_is_counted_for_each() {
    let row = |number, text: &'static str| Row {
        number,
        cells: BTreeMap::from([(3, Value::Written(pandas::Kind::Text, text.into()))]),
    };
    let mut kept = Kept::below(&row(1, "prediction"), &WANTED);
    assert_eq!(kept.add(row(2, "cat"), 3), Ok(()));
    let error = kept.add(row(3, "A"), 3).unwrap_err();
    assert!(error.starts_with("up to row 3 its texts have more than 3 bytes"), "{error}");
    // A part that is empty or no XML at all is not one without anything in it.
    let error = predictions(&[("xl/sheet.xml", b" ")]).unwrap_err();
    assert_eq!(error, "no XLSX file: its part xl/sheet.xml: it holds no XML");
}
