//! Writing files of answers: TSV and XLSX in VLMEvalKit's columns.

use std::path::Path;

use parrot_model::untrusted;
use rust_xlsxwriter::{DocProperties, ExcelDateTime, Workbook, XlsxError};

use crate::data::problem::{Problem, ProblemKind};
use crate::data::row::Row;
use crate::data::table::{Table, TableRecord};
use crate::dataset::Dataset;
use crate::{Error, Result};

/// Characters of a spreadsheet's cell at most.
const LONGEST_CELL: usize = 32_767;

/// Columns of a spreadsheet at most.
const MOST_COLUMNS: usize = 16_384;

/// Rows of a spreadsheet at most.
const MOST_ROWS: usize = 1_048_576;

/// Refuses a dataset that [`write_xlsx`] has no columns or rows for: that is to be known before its questions are asked.
///
/// # Errors
///
/// [`Error::Table`] when there are more than a spreadsheet may have.
pub fn check_fits_xlsx(dataset: &Dataset) -> Result<()> {
    check_size(header(dataset).len(), dataset.rows.len() + 1).map_err(|problem| Error::Table {
        file: dataset.file.clone(),
        line: None,
        problem,
    })
}

/// The header's row counts.
fn check_size(columns: usize, rows: usize) -> Result<(), String> {
    for (what, count, most) in [("columns", columns, MOST_COLUMNS), ("rows", rows, MOST_ROWS)] {
        if count > most {
            return Err(format!(
                "with the predictions it has {count} {what}, and the spreadsheet that they are written to {most} at most"
            ));
        }
    }
    Ok(())
}

/// Writes the rows of a dataset with their predictions as TSV, in VLMEvalKit's columns: all of the dataset's but
/// the picture, and `prediction`. Rows that have none are left out, as the kits do.
///
/// # Errors
///
/// When the file cannot be written.
pub fn write_tsv(file: &Path, dataset: &Dataset, predictions: &[Vec<String>]) -> Result<()> {
    let columns = header(dataset).into_iter().map(Into::into).collect();
    let record = |cells: Vec<&str>| TableRecord {
        line: 0,
        cells: cells.into_iter().map(|cell| Some(cell.into())).collect(),
    };
    let records = rows(dataset, predictions).map(|(_, cells)| record(cells)).collect();
    Table { file: file.into(), columns, records }.write()
}

/// As [`write_tsv`], as a spreadsheet. What is longer than a cell can be is cut, and returned as a problem.
///
/// # Errors
///
/// When the file cannot be written.
pub fn write_xlsx(file: &Path, dataset: &Dataset, predictions: &[Vec<String>]) -> Result<Vec<Problem>> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let (bytes, problems) = xlsx(&name, dataset, predictions).map_err(|error| Error::Table {
        file: file.into(),
        line: None,
        problem: format!("cannot be written: {error}"),
    })?;
    untrusted::replace_file(file, &bytes)?;
    Ok(problems)
}

fn xlsx(
    name: &str,
    dataset: &Dataset,
    predictions: &[Vec<String>],
) -> Result<(Vec<u8>, Vec<Problem>), XlsxError> {
    let mut problems = Vec::new();
    let mut workbook = Workbook::new();
    // When it was written is no part of what it says: the same answers make the same file.
    let written = ExcelDateTime::from_ymd(2024, 8, 21)?;
    workbook.set_properties(&DocProperties::new().set_creation_datetime(&written));
    let sheet = workbook.add_worksheet();
    let header = header(dataset);
    sheet.write_row(0, 0, header.iter().copied())?;
    for (line, (row, cells)) in (1..).zip(rows(dataset, predictions)) {
        for ((column, title), cell) in (0..).zip(&header).zip(cells) {
            // The kits' files hold indices as numbers. One above 2^53 would not survive that, nor would the zeros of
            // 007.
            let number = cell.parse::<i32>().ok().filter(|number| number.to_string() == cell);
            match number.filter(|_| *title == "index") {
                Some(number) => _ = sheet.write_number(line, column, number)?,
                None if cell.is_empty() => {}
                None => {
                    let fitting: String = cell.chars().take(LONGEST_CELL).collect();
                    if fitting.len() < cell.len() {
                        let characters = cell.chars().count();
                        let detail = format!("{title} has {characters} characters, a cell {LONGEST_CELL}");
                        problems.push(Problem {
                            kind: ProblemKind::CutCell,
                            file: name.into(),
                            line: Some(u64::from(line) + 1),
                            index: Some(row.index.clone()),
                            detail,
                        });
                    }
                    sheet.write_string(line, column, fitting)?;
                }
            }
        }
    }
    Ok((workbook.save_to_buffer()?, problems))
}

fn header(dataset: &Dataset) -> Vec<&str> {
    let columns = dataset.rows.first().into_iter().flat_map(|row| row.columns().map(|(name, _)| name));
    columns.chain(["prediction"]).collect()
}

/// The rows that have a prediction, with their cells.
fn rows<'a>(
    dataset: &'a Dataset,
    predictions: &'a [Vec<String>],
) -> impl Iterator<Item = (&'a Row, Vec<&'a str>)> {
    dataset.rows.iter().zip(predictions).filter_map(|(row, predictions)| {
        let cells = row.columns().map(|(_, cell)| cell.unwrap_or_default());
        Some((row, cells.chain([predictions.last()?.as_str()]).collect()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ImageStore, PredictionFile};

    #[test]
    fn indices_stay_as_they_are_and_a_cut_cell_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("mini_mmmb_tr.tsv");
        let header = "index\timage\tquestion\tA\tB\tanswer";
        std::fs::write(&data, format!("{header}\n007\t\tq\ta\tb\tA\n8\t\tq\ta\tb\tB\n9\t\tq\ta\tb\tB\n"))
            .unwrap();
        let dataset = Dataset::open(&data, &mut ImageStore::default()).unwrap();
        let long = "ü".repeat(LONGEST_CELL);
        let predictions = [vec!["A".into()], vec![format!("{long}!")], vec![long.clone()]];
        let file = folder.path().join("x.xlsx");
        let problems = write_xlsx(&file, &dataset, &predictions).unwrap();
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            problems,
            [
                "x.xlsx line 3 (index 8): cut in the spreadsheet: prediction has 32768 characters, a cell 32767"
            ]
        );
        let read = PredictionFile::read(&file).unwrap().predictions;
        let read: Vec<(&str, &str)> =
            read.iter().map(|prediction| (&*prediction.index, &*prediction.text)).collect();
        assert_eq!(read, [("007", "A"), ("8", &*long), ("9", &*long)]);
    }

    #[test]
    fn a_table_longer_than_a_spreadsheet_is_refused() {
        check_size(MOST_COLUMNS, MOST_ROWS).unwrap();
        assert!(check_size(8, MOST_ROWS + 1).unwrap_err().contains("1048577 rows"));
    }

    #[test]
    fn a_table_wider_than_a_spreadsheet_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("mini_mmmb_tr.tsv");
        let open = |more: usize| {
            let more: String = (0..more).map(|number| format!("\tc{number}")).collect();
            let header = format!("index\timage\tquestion\tA\tB\tanswer{more}");
            std::fs::write(&data, format!("{header}\n7\t\tq\ta\tb\tA\n")).unwrap();
            Dataset::open(&data, &mut ImageStore::default()).unwrap()
        };
        // Without the picture, with the prediction.
        let widest = open(MOST_COLUMNS - 6);
        check_fits_xlsx(&widest).unwrap();
        write_xlsx(&folder.path().join("x.xlsx"), &widest, &[vec!["A".into()]]).unwrap();
        let error = check_fits_xlsx(&open(MOST_COLUMNS - 5)).unwrap_err().to_string();
        assert!(error.contains("it has 16385 columns, and the spreadsheet"), "{error}");
    }
}
