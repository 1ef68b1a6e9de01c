//! Reading files of answers: TSV and XLSX in VLMEvalKit's columns, and JSON lines.

use std::path::Path;

use parrot_model::untrusted::{self, from_json, plain_reason};
use serde::Deserialize;
use serde_json::Value;

use crate::data::pandas::NOT_A_TIME;
use crate::data::problem::{Problem, ProblemKind};
use crate::data::table::{
    Table, TableRecord, UNCLOSED, UTF16, WEB_PAGE, is_missing, is_utf16, is_web_page, read_bytes,
};
use crate::predictions::xlsx;
use crate::predictions::{Prediction, PredictionFile, through_spreadsheet};
use crate::{Error, Result};

/// The columns that are read of a table.
const COLUMNS: [&str; 5] = ["index", "prediction", "dataset", "SUB_DATASET", "original_index"];

impl PredictionFile {
    /// Reads `.tsv`, `.xlsx` or `.jsonl` with the columns or keys `index`, `prediction` and, where one file
    /// holds several datasets, `dataset`; the kit's own files of a collection have `original_index` and
    /// `SUB_DATASET` instead.
    ///
    /// A last JSON line that is cut off, or a last record within quotes, is a [`Problem`], not an error: the run that
    /// wrote it was interrupted.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, has another ending, lacks a column, or is broken anywhere else.
    pub fn read(file: &Path) -> Result<Self> {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut problems = Vec::new();
        let cut = |line, detail: &str| Problem {
            kind: ProblemKind::NoPrediction,
            file: name.clone(),
            line: Some(line),
            index: None,
            detail: detail.into(),
        };
        // That it is not there is said before what is wrong with its name.
        untrusted::require_file(file)?;
        let ending = file.extension().unwrap_or_default().to_ascii_lowercase();
        let predictions = match ending.to_str() {
            Some("tsv") => {
                let (table, cut_at) = Table::read_up_to_cut(file)?;
                problems.extend(cut_at.map(|line| cut(line, UNCLOSED)));
                of_table(&table)?
            }
            Some("xlsx") => of_table(&xlsx::read(file, &COLUMNS)?)?,
            Some("jsonl") => {
                let (predictions, cut_at) = read_jsonl(file)?;
                problems.extend(cut_at.map(|line| cut(line, "the line is cut off")));
                predictions
            }
            _ => return Err(refuse(file, None, "predictions are read from .tsv, .xlsx and .jsonl files")),
        };
        Ok(Self { name, predictions, problems })
    }
}

fn of_table(table: &Table) -> Result<Vec<Prediction>> {
    let column = |name: &str| {
        table.column(name).ok_or_else(|| {
            let found: String = table.columns.join(", ").chars().take(200).collect();
            let problem = format!("there is no column {name}, only {found}");
            refuse(&table.file, None, problem)
        })
    };
    let (index, prediction) = (column("index")?, column("prediction")?);
    // The kit numbers a collection's rows anew and keeps what was in each file beside it.
    let sub_dataset = table.column("SUB_DATASET");
    let index = sub_dataset.and_then(|_| table.column("original_index")).unwrap_or(index);
    let dataset = table.column("dataset").or(sub_dataset);
    let prediction_in = |record: &TableRecord| {
        let text = record.cell(prediction);
        Prediction {
            dataset: dataset.and_then(|at| record.cell(at)).filter(|name| !is_missing(name)).map(Into::into),
            index: record.cell(index).unwrap_or_default().into(),
            text: through_spreadsheet(text.unwrap_or_default()),
            is_missing: text.is_none_or(|text| text == NOT_A_TIME),
            line: record.line,
        }
    };
    Ok(table.records.iter().map(prediction_in).collect())
}

/// A line of a JSON file.
#[derive(Deserialize)]
struct Line {
    dataset: Option<String>,
    index: Value,
    prediction: Value,
}

/// The answers, and the last line if it is cut off.
fn read_jsonl(file: &Path) -> Result<(Vec<Prediction>, Option<u64>)> {
    let bytes = read_bytes(file)?;
    if is_utf16(&bytes) {
        return Err(refuse(file, None, UTF16));
    }
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&bytes);
    if is_web_page(text) {
        return Err(refuse(file, None, WEB_PAGE));
    }
    let lines = (1..).zip(text.split(|byte| *byte == b'\n'));
    let lines: Vec<(u64, &[u8])> = lines.filter(|(_, line)| !line.trim_ascii().is_empty()).collect();
    if lines.is_empty() {
        return Err(refuse(file, None, "the file is empty"));
    }
    let last = lines.len() - 1;
    let mut predictions = Vec::new();
    for (at, (line, json)) in lines.into_iter().enumerate() {
        match from_json::<Line>(json) {
            Ok(read) => predictions.push(Prediction {
                dataset: read.dataset,
                index: plain(&read.index),
                text: through_spreadsheet(&plain(&read.prediction)),
                is_missing: read.prediction.is_null(),
                line,
            }),
            Err(error) if at == last && error.is_eof() && !text.ends_with(b"\n") => {
                return Ok((predictions, Some(line)));
            }
            Err(_) if str::from_utf8(json).is_err() => {
                return Err(refuse(file, Some(line), "it is not UTF-8, as which the file has to be saved"));
            }
            Err(error) => {
                // The line is the file's, not one of its own.
                let reason = plain_reason(&error.to_string()).replace(" at line 1 column ", " at column ");
                let problem = format!("expected {{\"index\": …, \"prediction\": …}}: {reason}");
                return Err(refuse(file, Some(line), problem));
            }
        }
    }
    Ok((predictions, None))
}

/// A string as it is, anything else as JSON writes it, null as nothing.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

fn refuse(file: &Path, line: Option<u64>, problem: impl Into<String>) -> Error {
    Error::Table { file: file.into(), line, problem: problem.into() }
}

#[cfg(test)]
mod tests {
    use rust_xlsxwriter::Workbook;

    use super::*;

    /// Dataset, index, text and whether it is missing of each prediction, and what is wrong.
    type Read = (Vec<(Option<String>, String, String, bool)>, Vec<String>);

    fn read(name: &str, write: impl FnOnce(&Path)) -> Read {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        write(&path);
        let file = PredictionFile::read(&path).unwrap();
        let shown = |prediction: Prediction| {
            (prediction.dataset, prediction.index, prediction.text, prediction.is_missing)
        };
        let problems = file.problems.iter().map(ToString::to_string).collect();
        (file.predictions.into_iter().map(shown).collect(), problems)
    }

    fn read_text(name: &str, text: &str) -> Read {
        read(name, |path| std::fs::write(path, text).unwrap())
    }

    fn answer(dataset: Option<&str>, index: &str, text: &str) -> (Option<String>, String, String, bool) {
        (dataset.map(Into::into), index.into(), text.into(), false)
    }

    fn missing(index: &str) -> (Option<String>, String, String, bool) {
        (None, index.into(), "nan".into(), true)
    }

    /// As VLMEvalKit writes `MODEL_MMMB.xlsx`: rows of all languages, numbered anew.
    #[test]
    fn the_kits_file_of_a_collection_keeps_datasets_and_indices_apart() {
        let rows = [("MMMB_ar", 7.0, 0.0, "A"), ("MMMB_tr", 1_000_007.0, 1.0, "B")];
        let (predictions, problems) = read("Parrot_MMMB.xlsx", |path| {
            let mut workbook = Workbook::new();
            let sheet = workbook.add_worksheet();
            let header = ["question", "SUB_DATASET", "original_index", "index", "prediction"];
            sheet.write_row(0, 0, header).unwrap();
            for (line, (dataset, original, index, prediction)) in (1..).zip(rows) {
                sheet.write(line, 0, "?").unwrap();
                sheet.write(line, 1, dataset).unwrap();
                sheet.write(line, 2, original).unwrap();
                sheet.write(line, 3, index).unwrap();
                sheet.write(line, 4, prediction).unwrap();
            }
            workbook.save(path).unwrap();
        });
        let expected = [answer(Some("MMMB_ar"), "7", "A"), answer(Some("MMMB_tr"), "1000007", "B")];
        assert_eq!((&*predictions, &*problems), (&expected[..], &[][..]));
        // A set's own column of that name means something else.
        let (predictions, _) = read_text("x.tsv", "index\toriginal_index\tprediction\n1\t9\tA\n");
        assert_eq!(predictions, [answer(None, "1", "A")]);
    }

    #[test]
    fn entries_without_an_answer_are_told_from_answers_that_say_nothing() {
        let expected = [answer(None, "1", "nan"), missing("2"), missing("3")];
        let (predictions, _) = read_text("x.tsv", "index\tprediction\n1\tNone\n2\t\n3\n");
        assert_eq!(predictions, expected);
        let (predictions, _) = read_text(
            "x.jsonl",
            "{\"index\": 1, \"prediction\": \"\"}\n{\"index\": 2, \"prediction\": null}\n\
             {\"index\": 3, \"prediction\": null}\n",
        );
        assert_eq!(predictions, expected);
        let (predictions, _) = read("x.xlsx", |path| {
            let mut workbook = Workbook::new();
            let sheet = workbook.add_worksheet();
            sheet.write_row(0, 0, ["index", "prediction"]).unwrap();
            sheet.write_row(1, 0, ["1", "None"]).unwrap();
            sheet.write(2, 0, "2").unwrap();
            sheet.write(3, 0, 3).unwrap();
            workbook.save(path).unwrap();
        });
        assert_eq!(predictions, expected);
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_line() {
        for (name, text) in [
            ("x.jsonl", "\u{feff}{\"index\": 1, \"prediction\": \"A\"}\n"),
            ("x.tsv", "\u{feff}index\tprediction\n1\tA\n"),
        ] {
            assert_eq!(read_text(name, text), (vec![answer(None, "1", "A")], Vec::new()), "{name}");
        }
    }

    #[test]
    fn a_line_that_is_a_list_is_no_answer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.jsonl");
        std::fs::write(&path, "[\"MMMB\", 1, \"A\"]\n").unwrap();
        let error = PredictionFile::read(&path).unwrap_err().to_string();
        assert!(error.contains("invalid type: a list, expected an object"), "{error}");
    }

    #[test]
    fn what_stands_before_a_cut_is_read() {
        let (predictions, problems) = read_text("x.tsv", "index\tprediction\n1\tA\n2\t\"a cat\non a");
        assert_eq!(predictions, [answer(None, "1", "A")]);
        assert_eq!(problems, ["x.tsv line 3: no prediction: a quote opens here and is never closed"]);
        let (predictions, problems) = read_text("x.jsonl", "{\"index\": 1, \"prediction\": \"A\"}\n{\"ind");
        assert_eq!(predictions, [answer(None, "1", "A")]);
        assert_eq!(problems, ["x.jsonl line 2: no prediction: the line is cut off"]);
        // In the middle of a letter.
        let (predictions, problems) = read("x.jsonl", |path| {
            std::fs::write(
                path,
                b"{\"index\": 1, \"prediction\": \"A\"}\n{\"index\": 2, \"prediction\": \"\xc3",
            )
            .unwrap();
        });
        assert_eq!((predictions.len(), problems.len()), (1, 1));
    }

    /// They were taken for a cut-off line, or read with other letters, without a word.
    #[test]
    fn what_is_no_file_of_lines_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.jsonl");
        let error = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            PredictionFile::read(&path).unwrap_err().to_string()
        };
        let line = r#"{"index": 1, "prediction": "A"}"#;
        for (bytes, expected) in [
            (
                format!("[{line}, {line}]").into_bytes(),
                "line 1: expected {\"index\": …, \"prediction\": …}: invalid type: a list",
            ),
            (format!("{line}\r{line}\r").into_bytes(), "trailing characters at "),
            (format!("{line}\n{line} {line}").into_bytes(), "line 2: expected {"),
            (format!("{line}\nnone").into_bytes(), "expected ident at column 2"),
            (line.replace('A', "\u{e9}").chars().map(|c| c as u8).collect(), "line 1: it is not UTF-8"),
            (
                line.encode_utf16().flat_map(u16::to_le_bytes).collect(),
                "the file is UTF-16; save it as UTF-8",
            ),
        ] {
            let found = error(&bytes);
            assert!(found.contains(expected), "{found}");
        }
    }
}
