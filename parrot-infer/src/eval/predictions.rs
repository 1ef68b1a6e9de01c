//! Files of answers: TSV and XLSX in VLMEvalKit's columns, and JSON lines.

use std::collections::HashMap;
use std::path::Path;

use calamine::{Data, Reader, Xlsx};
use rust_xlsxwriter::{Workbook, XlsxError};
use serde::Deserialize;
use serde_json::Value;

use super::dataset::Dataset;
use super::problem::{Problem, ProblemKind};
use super::table::{Table, is_missing, read_bytes};
use crate::{Error, Result};

/// An answer as a file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prediction {
    /// The dataset, if the file says so.
    pub dataset: Option<String>,
    /// The row's index.
    pub index: String,
    /// The answer; the text `nan` where it is missing or a word for missing, as a kit reads its own files.
    pub text: String,
    /// The line or sheet row that it stands in.
    pub line: u64,
}

/// All answers of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PredictionFile {
    /// The file's name.
    pub name: String,
    /// Its answers.
    pub predictions: Vec<Prediction>,
    /// What could not be read of it.
    pub problems: Vec<Problem>,
}

impl PredictionFile {
    /// Reads `.tsv`, `.xlsx` or `.jsonl` with the columns or keys `index`, `prediction` and, where one file
    /// holds several datasets, `dataset`.
    ///
    /// A last JSON line that is cut off is a [`Problem`], not an error: the run that wrote it was interrupted.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, has another ending, lacks a column, or is broken anywhere else.
    pub fn read(file: &Path) -> Result<Self> {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut problems = Vec::new();
        let ending = file.extension().unwrap_or_default().to_ascii_lowercase();
        let predictions = match ending.to_str() {
            Some("tsv") => of_table(&Table::read(file)?)?,
            Some("xlsx") => of_table(&read_xlsx(file)?)?,
            Some("jsonl") => read_jsonl(file, &name, &mut problems)?,
            _ => return Err(refuse(file, None, "predictions are read from .tsv, .xlsx and .jsonl files")),
        };
        Ok(Self { name, predictions, problems })
    }

    /// Whether the file's name ends with the dataset's, as in `Parrot-7B_MMMB_tr.xlsx`.
    fn is_named_after(&self, dataset: &Dataset) -> bool {
        let stem = self.name.rsplit_once('.').map_or(&*self.name, |(stem, _)| stem).to_ascii_lowercase();
        let id = dataset.id.to_ascii_lowercase();
        stem.strip_suffix(&id).is_some_and(|before| before.is_empty() || before.ends_with(['_', '-']))
    }
}

/// The answers to each row of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Assigned {
    /// For each row its predictions, usually one.
    pub of_rows: Vec<Vec<String>>,
    /// What did not fit.
    pub problems: Vec<Problem>,
}

/// Gives each row the predictions of its index.
///
/// A prediction is for `dataset` if it says so, or if it says nothing and its file is named after the dataset,
/// or if `is_only` dataset there is. Where predictions and rows of one index are equally many, they are matched in
/// order; otherwise the first row of the index gets them all.
#[must_use]
pub fn assign(dataset: &Dataset, files: &[PredictionFile], is_only: bool) -> Assigned {
    let mut assigned = Assigned { of_rows: vec![Vec::new(); dataset.rows.len()], problems: Vec::new() };
    let mut rows: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, row) in dataset.rows.iter().enumerate() {
        rows.entry(&row.index).or_default().push(at);
    }
    let mut of_index: HashMap<&str, Vec<&Prediction>> = HashMap::new();
    for file in files {
        let by_name = is_only || file.is_named_after(dataset);
        for it in &file.predictions {
            let is_meant = it.dataset.as_ref().map_or(by_name, |name| name.eq_ignore_ascii_case(&dataset.id));
            if !is_meant {
                continue;
            }
            let problem = |kind, detail: String| Problem {
                kind,
                file: file.name.clone(),
                line: Some(it.line),
                index: Some(it.index.clone()),
                detail,
            };
            let Some(rows) = rows.get(it.index.as_str()) else {
                let detail = format!("{} has no such index", dataset.id);
                assigned.problems.push(problem(ProblemKind::UnknownPrediction, detail));
                continue;
            };
            let predictions = of_index.entry(&it.index).or_default();
            predictions.push(it);
            if predictions.len() > rows.len() {
                let detail = format!("number {} for {}", predictions.len(), dataset.id);
                assigned.problems.push(problem(ProblemKind::DuplicatePrediction, detail));
            }
        }
    }
    for (index, predictions) in of_index {
        let rows = &rows[index];
        for (number, it) in predictions.iter().enumerate() {
            let at = if predictions.len() == rows.len() { rows[number] } else { rows[0] };
            assigned.of_rows[at].push(it.text.clone());
        }
    }
    for (row, predictions) in dataset.rows.iter().zip(&assigned.of_rows) {
        if predictions.is_empty() {
            assigned.problems.push(dataset.problem(row, ProblemKind::NoPrediction, ""));
        }
    }
    assigned
}

/// The text that a kit scores: predictions pass through a spreadsheet, and what is missing there comes back as
/// the word `nan` (§1.2).
#[must_use]
pub fn through_spreadsheet(prediction: &str) -> String {
    if is_missing(prediction) { "nan".into() } else { prediction.into() }
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
    let dataset = table.column("dataset");
    let of = |record: &super::table::Record| Prediction {
        dataset: dataset.and_then(|at| record.cells[at].clone()),
        index: record.cells[index].clone().unwrap_or_default(),
        text: record.cells[prediction].clone().unwrap_or_else(|| "nan".into()),
        line: record.line,
    };
    Ok(table.records.iter().map(of).collect())
}

/// The first sheet, with pandas' idea of missing values.
fn read_xlsx(file: &Path) -> Result<Table> {
    let broken = |error: calamine::XlsxError| refuse(file, None, format!("no XLSX file: {error}"));
    let bytes = std::io::Cursor::new(read_bytes(file)?);
    let mut workbook: Xlsx<_> = calamine::open_workbook_from_rs(bytes).map_err(broken)?;
    let sheet = workbook.worksheet_range_at(0).ok_or_else(|| refuse(file, None, "it has no sheet"))?;
    let sheet = sheet.map_err(broken)?;
    let first_line = u64::from(sheet.start().map_or(0, |start| start.0)) + 1;
    let text = |cell: &Data| match cell {
        Data::Empty | Data::Error(_) => String::new(),
        cell => cell.to_string(),
    };
    let mut rows = sheet.rows();
    let columns: Vec<String> =
        rows.next().ok_or_else(|| refuse(file, None, "its first sheet is empty"))?.iter().map(text).collect();
    let cell = |cell: &Data| Some(text(cell)).filter(|text| !is_missing(text));
    let record =
        |(line, row): (u64, &[Data])| super::table::Record { line, cells: row.iter().map(cell).collect() };
    let records = (first_line + 1..).zip(rows).map(record).collect();
    Ok(Table { file: file.into(), columns, records })
}

/// A line of a JSON file.
#[derive(Deserialize)]
struct Line {
    dataset: Option<String>,
    index: Value,
    prediction: Value,
}

fn read_jsonl(file: &Path, name: &str, problems: &mut Vec<Problem>) -> Result<Vec<Prediction>> {
    let bytes = read_bytes(file)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<(u64, &str)> =
        (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()).collect();
    if lines.is_empty() {
        return Err(refuse(file, None, "the file is empty"));
    }
    let last = lines.len() - 1;
    let mut predictions = Vec::new();
    for (at, (line, json)) in lines.into_iter().enumerate() {
        match serde_json::from_str::<Line>(json) {
            Ok(read) => predictions.push(Prediction {
                dataset: read.dataset,
                index: plain(&read.index),
                text: through_spreadsheet(&plain(&read.prediction)),
                line,
            }),
            Err(_) if at == last && !text.ends_with('\n') => problems.push(Problem {
                kind: ProblemKind::NoPrediction,
                file: name.into(),
                line: Some(line),
                index: None,
                detail: "the line is cut off".into(),
            }),
            Err(error) => {
                let problem = format!("expected {{\"index\": …, \"prediction\": …}}: {error}");
                return Err(refuse(file, Some(line), problem));
            }
        }
    }
    Ok(predictions)
}

/// A string as it is, anything else as JSON writes it, null as nothing.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

/// Writes the rows of a dataset with their predictions as TSV, in VLMEvalKit's columns: all of the dataset's but
/// the picture, and `prediction`. Rows that have none are left out, as the kits do.
///
/// # Errors
///
/// When the file cannot be written.
pub fn write_tsv(file: &Path, dataset: &Dataset, predictions: &[Vec<String>]) -> Result<()> {
    let columns = header(dataset).into_iter().map(Into::into).collect();
    let record = |cells: Vec<&str>| super::table::Record {
        line: 0,
        cells: cells.into_iter().map(|cell| Some(cell.into())).collect(),
    };
    let records = cells(dataset, predictions).map(record).collect();
    Table { file: file.into(), columns, records }.write()
}

/// As [`write_tsv`], as a spreadsheet. What is longer than a cell can be is cut.
///
/// # Errors
///
/// When the file cannot be written.
pub fn write_xlsx(file: &Path, dataset: &Dataset, predictions: &[Vec<String>]) -> Result<()> {
    let bytes = xlsx(dataset, predictions)
        .map_err(|error| refuse(file, None, format!("cannot be written: {error}")))?;
    std::fs::write(file, bytes)
        .map_err(|source| parrot_model::Error::Io { action: "write", path: file.into(), source }.into())
}

fn xlsx(dataset: &Dataset, predictions: &[Vec<String>]) -> Result<Vec<u8>, XlsxError> {
    const LONGEST_CELL: usize = 32_767;
    let mut workbook = Workbook::new();
    let sheet = workbook.add_worksheet();
    let header = header(dataset);
    let index = header.iter().position(|name| *name == "index");
    for (line, cells) in (0..).zip([header].into_iter().chain(cells(dataset, predictions))) {
        for (column, cell) in (0..).zip(cells) {
            // The kits' files hold indices as numbers; an index above 2^53 would not survive that.
            let number = cell.parse::<i32>().ok().filter(|_| line > 0 && Some(usize::from(column)) == index);
            match number {
                Some(number) => _ = sheet.write_number(line, column, number)?,
                None if cell.is_empty() => {}
                None => {
                    let fitting: String = cell.chars().take(LONGEST_CELL).collect();
                    sheet.write_string(line, column, fitting)?;
                }
            }
        }
    }
    workbook.save_to_buffer()
}

fn header(dataset: &Dataset) -> Vec<&str> {
    let columns = dataset.rows.first().into_iter().flat_map(|row| row.columns().map(|(name, _)| name));
    columns.chain(["prediction"]).collect()
}

fn cells<'a>(dataset: &'a Dataset, predictions: &'a [Vec<String>]) -> impl Iterator<Item = Vec<&'a str>> {
    dataset.rows.iter().zip(predictions).filter_map(|(row, predictions)| {
        let cells = row.columns().map(|(_, cell)| cell.unwrap_or_default());
        Some(cells.chain([predictions.last()?.as_str()]).collect())
    })
}

fn refuse(file: &Path, line: Option<u64>, problem: impl Into<String>) -> Error {
    Error::Table { file: file.into(), line, problem: problem.into() }
}
