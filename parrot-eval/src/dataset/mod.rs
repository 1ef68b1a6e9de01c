//! A benchmark's file, ready to be asked and scored.

mod columns;
mod pictures;
mod taken_for;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use md5::{Digest, Md5};

use crate::Result;
use crate::benchmarks::benchmark::Benchmark;
use crate::benchmarks::known::{KnownFile, known_file};
use crate::data::image::{EncodedImage, ImageStore};
use crate::data::problem::{Problem, ProblemKind};
use crate::data::row::{Row, index_key};
use crate::data::table::{Table, TableRecord, lower_names, read_bytes};
use crate::dataset::pictures::{decode_all, is_reference};
use crate::dataset::taken_for::taken_for;
use crate::language::Language;
use crate::language_code::LanguageCode;
use crate::prompt::{Asker, PromptStyle, with_request};
use crate::protocol::RunAs;

/// A benchmark in one language.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// Its name in VLMEvalKit, `MMMB_tr`; the file's name without its ending where that is not known.
    pub id: String,
    /// Where it was read from.
    pub file: PathBuf,
    /// MD5 of the file, as hexadecimal digits.
    pub md5: String,
    /// The published file of this name.
    pub known: Option<&'static KnownFile>,
    /// Its language, by the ending of its name.
    pub language: Option<LanguageCode>,
    /// How it is asked and scored.
    pub benchmark: Arc<dyn Benchmark>,
    /// What its questions end with instead of the request that the benchmark has: words of one's own.
    pub request: Option<String>,
    /// Its questions. None is ever dropped.
    pub rows: Vec<Row>,
    /// What is wrong with them.
    pub problems: Vec<Problem>,
    /// The columns that pandas takes for numbers or truth values.
    pub(super) rewritten: BTreeSet<String>,
}

impl Dataset {
    /// Reads a file; its name says which benchmark it is.
    ///
    /// # Errors
    ///
    /// As [`open_as`](Self::open_as), and when the file is of no benchmark that is known.
    pub fn open(file: &Path, images: &mut ImageStore) -> Result<Self> {
        Self::read(file, None, images)
    }

    /// Reads a file of this benchmark.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, is no table (see [`Table::parse`]) or lacks a column.
    pub fn open_as(file: &Path, benchmark: Arc<dyn Benchmark>, images: &mut ImageStore) -> Result<Self> {
        Self::read(file, Some(benchmark), images)
    }

    fn read(file: &Path, benchmark: Option<Arc<dyn Benchmark>>, images: &mut ImageStore) -> Result<Self> {
        let bytes = read_bytes(file)?;
        let md5 = format!("{:x}", Md5::digest(&bytes));
        let mut table = Table::parse(file, &bytes)?;
        drop(bytes);
        lower_names(&mut table.columns);
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        let known = known_file(&stem);
        let benchmark = taken_for(benchmark, &stem, &table)?;
        let mut dataset = Self {
            id: known.map_or(&*stem, |known| known.id).into(),
            file: file.into(),
            md5,
            known,
            language: LanguageCode::of_name(&stem),
            benchmark,
            request: None,
            rows: Vec::new(),
            problems: Vec::new(),
            rewritten: BTreeSet::new(),
        };
        dataset.take_rows(table, images);
        dataset.check();
        Ok(dataset)
    }

    /// The prompt of a row.
    #[must_use]
    pub fn prompt(&self, row: &Row, run_as: RunAs, asker: Asker) -> String {
        if let Some(request) = &self.request {
            return with_request(row, request);
        }
        let language = Language::of_prompts(&self.id);
        self.benchmark.prompt(row, PromptStyle { language, run_as, asker })
    }

    /// Whether it is a set of one's own, which no kit knows.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.benchmark.is_own()
    }

    /// The file's name.
    #[must_use]
    pub fn file_name(&self) -> String {
        self.file.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// A problem with a row.
    pub(crate) fn problem(&self, row: &Row, kind: ProblemKind, detail: impl Into<String>) -> Problem {
        Problem {
            kind,
            file: self.file_name(),
            line: Some(row.line),
            index: (!row.index.is_empty()).then(|| row.index.clone()),
            detail: detail.into(),
        }
    }

    /// Makes rows of records: pictures are decoded from base64, references followed.
    fn take_rows(&mut self, table: Table, images: &mut ImageStore) {
        let column = |name| table.column(name);
        let (index, image) = (column("index"), column("image"));
        let columns: Arc<[String]> = table.columns.clone().into();
        let mut fields: Vec<Option<String>> = Vec::with_capacity(table.records.len());
        for TableRecord { line, mut cells } in table.records {
            // Long, and held once in the store.
            fields.push(image.and_then(|at| cells.get_mut(at)?.take()));
            let index = index.and_then(|at| cells.get(at)?.clone()).unwrap_or_default();
            self.rows.push(Row {
                line,
                index,
                images: Vec::new(),
                columns: Arc::clone(&columns),
                cells,
                scored: None,
            });
        }
        self.rewrite_columns(&columns);
        // By the number where it is one, as pandas reads the column: a row 001 is meant by 1.
        let mut of_index: HashMap<String, Vec<Arc<EncodedImage>>> = HashMap::new();
        let mut found: Vec<Vec<Arc<EncodedImage>>> = vec![Vec::new(); self.rows.len()];
        let mut problems = Vec::new();
        let folder = self.file.parent().unwrap_or(Path::new(""));
        for (at, (row, field)) in self.rows.iter().zip(&fields).enumerate() {
            match field {
                None => problems.push((at, ProblemKind::NoImage, String::new())),
                Some(field) if is_reference(field) => {}
                Some(field) => match decode_all(field, folder, images) {
                    Ok(images) => {
                        of_index.insert(index_key(&row.index).into_owned(), images.clone());
                        found[at] = images;
                    }
                    Err(problem) => problems.push((at, ProblemKind::BrokenImage, problem)),
                },
            }
        }
        // In their order: what a reference has found is there for later ones, as in the kits.
        for (at, (row, field)) in self.rows.iter().zip(&fields).enumerate() {
            let Some(field) = field.as_deref().filter(|field| is_reference(field)) else { continue };
            if let Some(images) = of_index.get(field).cloned() {
                found[at].clone_from(&images);
                of_index.insert(index_key(&row.index).into_owned(), images);
            } else {
                let problem =
                    format!("it refers to row {field}, which has none of its own and none from a row above");
                problems.push((at, ProblemKind::BrokenImage, problem));
            }
        }
        problems.sort_by_key(|(at, ..)| *at);
        for (at, kind, detail) in problems {
            self.problems.push(self.problem(&self.rows[at], kind, detail));
        }
        for (row, images) in self.rows.iter_mut().zip(found) {
            row.images = images;
        }
    }

    /// Finds problems other than broken pictures.
    fn check(&mut self) {
        let mut problems = Vec::new();
        if let Some(known) = self.known
            && known.md5 != self.md5
        {
            let detail = format!(
                "MD5 of {} should be {}, found {}; its numbers cannot be compared with published ones, and a set of one's own \
                 wants another name",
                known.id, known.md5, self.md5
            );
            let file = self.file_name();
            problems.push(Problem { kind: ProblemKind::WrongMd5, file, line: None, index: None, detail });
        }
        let mut seen: HashMap<Cow<'_, str>, u64> = HashMap::new();
        for row in &self.rows {
            if row.index.is_empty() {
                problems.push(self.problem(row, ProblemKind::BadIndex, "there is none"));
            } else if let Some(first) = seen.get(&index_key(&row.index)) {
                problems.push(self.problem(row, ProblemKind::DuplicateIndex, format!("as in line {first}")));
            } else {
                seen.insert(index_key(&row.index), row.line);
            }
            if row.get("question").is_none() {
                problems.push(self.problem(row, ProblemKind::NoQuestion, ""));
            }
            if let Some(detail) = missing_marker(row) {
                problems.push(self.problem(row, ProblemKind::ImageMarker, detail));
            }
            if let Some((kind, mut detail)) = self.benchmark.check(row) {
                let (fields, columns) = (row.cells.len(), row.columns.len());
                if let Some(missing) = row.columns.get(fields) {
                    detail +=
                        &format!("; the row ends after {fields} of {columns} fields, before `{missing}`");
                }
                problems.push(self.problem(row, kind, detail));
            }
        }
        for (at, detail) in self.benchmark.check_groups(&self.rows) {
            problems.push(self.problem(&self.rows[at], ProblemKind::IncompleteGroup, detail));
        }
        self.problems.extend(problems);
    }
}

/// Said where question or options name a picture by a marker, `<image 2>`, that the row does not have.
fn missing_marker(row: &Row) -> Option<String> {
    let shown = row.images.len();
    let texts = [row.question()].into_iter().chain(row.options().into_iter().map(|(_, text)| text));
    let number = |rest: &str| rest.split_once('>').and_then(|(number, _)| number.parse::<usize>().ok());
    let markers = texts.flat_map(|text| text.split("<image ").skip(1)).filter_map(number);
    // Rows without a picture are said to be that.
    let missing = markers.filter(|number| shown > 0 && (*number == 0 || *number > shown)).min()?;
    let pictures = if shown == 1 { "picture" } else { "pictures" };
    Some(format!("it names `<image {missing}>`, and the row has {shown} {pictures}"))
}
