//! Which benchmark a file is taken for, and whether it can be that.

use std::sync::Arc;

use crate::benchmarks::benchmark::Benchmark;
use crate::benchmarks::by_name::benchmark_of_name;
use crate::data::table::Table;
use crate::{Error, OpenSet, OwnChoice, Result};

/// The benchmark that is given, else that of the file's name, else by its columns a set of one's own.
///
/// # Errors
///
/// When it is none, or lacks a column of what it is taken for.
pub(super) fn taken_for(
    given: Option<Arc<dyn Benchmark>>,
    stem: &str,
    table: &Table,
) -> Result<Arc<dyn Benchmark>> {
    if let Some(separator) = separator(table) {
        let problem = format!(
            "its columns are separated by `{separator}`, not by tabs; save it as tab-separated text (TSV), in UTF-8"
        );
        return Err(refuse(table, problem));
    }
    let (benchmark, taken) = if let Some(benchmark) = given {
        (benchmark, "read as")
    } else if let Some(benchmark) = benchmark_of_name(stem) {
        (benchmark, "taken by its name for")
    } else {
        (own_set(table)?, "taken by its columns for")
    };
    let required = ["index", "image", "question", benchmark.expected_column()];
    let required = required.into_iter().chain(benchmark.columns().iter().copied());
    let missing: Vec<&str> = required.filter(|name| table.column(name).is_none()).collect();
    if missing.is_empty() {
        return Ok(benchmark);
    }
    let columns = if missing.len() == 1 { "the column" } else { "the columns" };
    let problem = format!(
        "{taken} {}, it lacks {columns} {}; it has {}; `--benchmark NAME` says what else it is, and `--list` which there are",
        benchmark.name(),
        missing.join(", "),
        shown_columns(table)
    );
    Err(refuse(table, problem))
}

/// Questions with options or with expected answers.
fn own_set(table: &Table) -> Result<Arc<dyn Benchmark>> {
    let has = |name: &str| table.column(name).is_some();
    if has("A") && has("B") {
        return Ok(Arc::new(OwnChoice));
    }
    // Not silently taken for questions without options.
    let problem = if has("A") || has("B") {
        "questions with options have the columns A and B, and C and so on where there are more"
    } else if has("a") && has("b") {
        "options stand in the columns A, B, …, in capitals, and the answer is such a letter"
    } else if has("options") || has("choices") {
        "options stand in columns A, B, … of their own, and the answer is such a letter; without options, `--benchmark contains` \
         says so"
    } else if has("question") && has("answer") {
        return Ok(Arc::new(OpenSet::Contains));
    } else {
        "neither its name nor its columns are of a benchmark that `parrot eval --list` shows; questions have index, image, question, \
         answer and, where there are options, A, B, …"
    };
    Err(refuse(table, format!("{problem}; the file has {}", shown_columns(table))))
}

/// What separates the columns of a table that has only one, and whose header names several.
fn separator(table: &Table) -> Option<char> {
    let [header] = &table.columns[..] else { return None };
    [',', ';', '|'].into_iter().find(|separator| {
        let mut names = header.split(*separator).map(|name| name.trim().trim_matches('"').to_lowercase());
        names.clone().count() > 2 && names.any(|name| name == "question")
    })
}

fn shown_columns(table: &Table) -> String {
    table.columns.join(", ").chars().take(200).collect()
}

fn refuse(table: &Table, problem: String) -> Error {
    Error::Table { file: table.file.clone(), line: None, problem }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::Mmmb;

    fn taken(stem: &str, columns: &str, given: Option<Arc<dyn Benchmark>>) -> Result<&'static str, String> {
        let table = Table::parse(Path::new("x.tsv"), format!("{columns}\nx\n").as_bytes()).unwrap();
        taken_for(given, stem, &table).map(|found| found.name()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_set_of_ones_own_is_told_by_its_columns() {
        for (columns, name) in [
            ("index\timage\tquestion\tA\tB\tanswer", "choice"),
            ("index\timage\tquestion\tanswer", "contains"),
            ("index\timage\tquestion\tanswer\ta", "contains"),
        ] {
            assert_eq!(taken("animals_fr", columns, None), Ok(name), "{columns}");
        }
        for (columns, said) in [
            ("index\timage\tquestion\ta\tb\tanswer", "A, B, …, in capitals"),
            ("index\timage\tquestion\tA\tanswer", "have the columns A and B"),
            ("index\timage\tquestion\toptions\tanswer", "columns A, B, … of their own"),
            ("index\timage\tquestion\tA\tB", "taken by its columns for choice, it lacks the column answer"),
            ("numéro\timage\tquestion", "neither its name nor its columns"),
            ("index;image;question;A;B;answer", "separated by `;`, not by tabs"),
            ("\"index\",\"image\",\"question\",\"answer\"", "separated by `,`, not by tabs"),
        ] {
            let problem = taken("animals_fr", columns, None).unwrap_err();
            assert!(problem.contains(said), "{columns}: {problem}");
        }
    }

    #[test]
    fn what_a_file_was_taken_for_is_said() {
        let problem = taken("mmmb_fr", "index\tquestion", None).unwrap_err();
        assert_eq!(
            problem,
            "x.tsv: taken by its name for MMMB, it lacks the columns image, answer, A, B; it has index, question; `--benchmark \
             NAME` says what else it is, and `--list` which there are"
        );
        let problem = taken("x", "index\tquestion", Some(Arc::new(Mmmb))).unwrap_err();
        assert!(problem.starts_with("x.tsv: read as MMMB, it lacks"), "{problem}");
    }
}
