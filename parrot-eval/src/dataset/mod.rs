//! A benchmark's file, ready to be asked and scored.

mod columns;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use md5::{Digest, Md5};

use crate::benchmarks::benchmark::Benchmark;
use crate::benchmarks::by_name::benchmark_of_name;
use crate::benchmarks::known::{KnownFile, known_file};
use crate::data::image::{EncodedImage, ImageStore, LONGEST_REFERENCE};
use crate::data::problem::{Problem, ProblemKind};
use crate::data::python_list::python_list;
use crate::data::row::{Row, index_key};
use crate::data::table::{Table, TableRecord, lower_names, read_bytes};
use crate::language::Language;
use crate::language_code::LanguageCode;
use crate::prompt::{Asker, PromptStyle, with_request};
use crate::protocol::RunAs;
use crate::{Error, Mmmb, OpenSet, Result};

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
        let benchmark = match benchmark {
            Some(benchmark) => benchmark,
            None => benchmark_of(&stem, &table)?,
        };
        require_columns(&table, benchmark.as_ref())?;
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
        let is_reference = |field: &String| field.chars().count() <= LONGEST_REFERENCE;
        for (at, (row, field)) in self.rows.iter().zip(&fields).enumerate() {
            match field {
                None => problems.push((at, ProblemKind::NoImage, String::new())),
                Some(field) if is_reference(field) => {}
                Some(field) => match decode_all(field, images) {
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
            let Some(field) = field.as_ref().filter(|field| is_reference(field)) else { continue };
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

/// The picture of a field, or all of a list as Python writes one.
fn decode_all(field: &str, images: &mut ImageStore) -> Result<Vec<Arc<EncodedImage>>, String> {
    if !field.starts_with('[') {
        return Ok(vec![images.decode(field)?]);
    }
    let list =
        python_list(field).map_err(|problem| format!("it is a list that cannot be read: {problem}"))?;
    if list.is_empty() {
        return Err("it is an empty list".into());
    }
    let in_all = list.len();
    let one = |(number, base64): (usize, &String)| {
        images.decode(base64).map_err(|problem| format!("picture {number} of {in_all}: {problem}"))
    };
    (1..).zip(&list).map(one).collect()
}

/// By the file's name; a file of one's own questions, with options or with expected answers, may have any other.
fn benchmark_of(stem: &str, table: &Table) -> Result<Arc<dyn Benchmark>> {
    Ok(if let Some(benchmark) = benchmark_of_name(stem) {
        benchmark
    } else if table.column("A").is_some() && table.column("B").is_some() {
        Arc::new(Mmmb)
    } else if ["question", "answer"].iter().all(|name| table.column(name).is_some()) {
        Arc::new(OpenSet::Contains)
    } else {
        let columns = table.columns.join(", ");
        let columns: String = columns.chars().take(200).collect();
        let problem = format!(
            "neither its name nor its columns are of a benchmark that `parrot eval --list` shows: it has the columns \
             {columns}; questions have index, image, question, answer and, where there are options, A, B, …"
        );
        return Err(Error::Table { file: table.file.clone(), line: None, problem });
    })
}

fn require_columns(table: &Table, benchmark: &dyn Benchmark) -> Result<()> {
    let expected = benchmark.expected_column();
    let required =
        ["index", "image", "question", expected].into_iter().chain(benchmark.columns().iter().copied());
    let missing: Vec<&str> = required.filter(|name| table.column(name).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let there: String = table.columns.join(", ").chars().take(200).collect();
    let problem = format!(
        "{} needs the columns {}, which are not there; the file has {there}",
        benchmark.name(),
        missing.join(", ")
    );
    Err(Error::Table { file: table.file.clone(), line: None, problem })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Grouping, Protocol};

    /// Longer than a reference.
    const IMAGE: &str =
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

    fn open(name: &str, text: &str) -> Result<(Dataset, ImageStore)> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        let mut images = ImageStore::default();
        Ok((Dataset::open(&file, &mut images)?, images))
    }

    fn problems(dataset: &Dataset) -> Vec<String> {
        dataset.problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_image_may_be_another_rows() {
        let text = format!(
            "index\timage\tquestion\tA\tB\tanswer\n\
             1000005\t5\tq\ta\tb\tA\n5\t{IMAGE}\tq\ta\tb\tB\n6\t1000005\tq\ta\tb\tB\n7\t9\tq\ta\tb\tB\n"
        );
        let (dataset, images) = open("mini_mmbench_tr.tsv", &text).unwrap();
        assert_eq!(images.len(), 1);
        assert!(Arc::ptr_eq(&dataset.rows[0].images[0], &dataset.rows[1].images[0]));
        assert_eq!((dataset.benchmark.name(), dataset.language), ("MMBench", Some(Language::Tr.into())));
        assert_eq!(
            problems(&dataset),
            [
                "mini_mmbench_tr.tsv line 5 (index 7): broken picture: it refers to row 9, which has none of its own \
                 and none from a row above",
            ]
        );
    }

    /// eval/ref_chain.tsv: 3 → 2 → 1, which VLMEvalKit resolves if the middle one came earlier; and 001 is 1.
    #[test]
    fn a_reference_may_be_to_a_reference_above() {
        let row = |index: &str, image: &str| format!("{index}\t{image}\tq\ta\tb\tA\n");
        let header = "Index\timage\tquestion\tA\tB\tanswer\n";
        let text = |rows: &[(&str, &str)]| {
            header.to_string() + &rows.iter().map(|(index, image)| row(index, image)).collect::<String>()
        };
        let (dataset, _) = open("ref_chain.tsv", &text(&[("001", IMAGE), ("2", "1"), ("3", "2")])).unwrap();
        assert_eq!(problems(&dataset), [] as [&str; 0]);
        assert!(dataset.rows.iter().all(|row| row.images == dataset.rows[0].images));
        let (dataset, _) = open("ref_chain.tsv", &text(&[("3", "2"), ("2", "1"), ("1", IMAGE)])).unwrap();
        let found: Vec<bool> = dataset.rows.iter().map(|row| !row.images.is_empty()).collect();
        assert_eq!(found, [false, true, true]);
        // Lists of pictures, which may be those of a row above; one that is broken breaks the list.
        let lists = [
            ("1", format!("['{IMAGE}']")),
            ("2", format!("['{IMAGE}', \"{IMAGE}\"]")),
            ("3", "2".into()),
            ("4", format!("['{IMAGE}', 'broken']")),
            ("5", format!("['{IMAGE}', 'broken'")),
            ("6", format!("[{}]", " ".repeat(100))),
        ];
        let lists: Vec<(&str, &str)> = lists.iter().map(|(index, list)| (*index, list.as_str())).collect();
        let (dataset, _) = open("lists.tsv", &text(&lists)).unwrap();
        assert_eq!(
            problems(&dataset),
            [
                "lists.tsv line 5 (index 4): broken picture: picture 2 of 2: not base64: its padding is missing",
                "lists.tsv line 6 (index 5): broken picture: it is a list that cannot be read: found \
                 `['iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAA…`",
                "lists.tsv line 7 (index 6): broken picture: it is an empty list",
            ]
        );
        let counts: Vec<usize> = dataset.rows.iter().map(|row| row.images.len()).collect();
        assert_eq!(counts, [1, 2, 2, 0, 0, 0]);
    }

    #[test]
    fn a_marker_needs_its_picture() {
        let text = format!(
            "index\timage\tquestion\tA\tB\tanswer\n1\t['{IMAGE}', '{IMAGE}']\t<image 1>?\t<image 2>\tb\tA\n\
             2\t{IMAGE}\t<image 1>?\t<image 2>\tb\tA\n"
        );
        for name in ["MMMU_small.tsv", "own_fr.tsv"] {
            let (dataset, _) = open(name, &text).unwrap();
            let expected = format!(
                "{name} line 3 (index 2): no such picture: it names `<image 2>`, and the row has 1 picture"
            );
            assert_eq!(problems(&dataset), [expected]);
        }
    }

    /// eval/short_row.tsv
    #[test]
    fn a_row_that_ends_early_is_named_with_its_column() {
        let text = format!("index\timage\tquestion\tA\tB\tanswer\n1\t{IMAGE}\tq\n2\t{IMAGE}\tq\ta\tb\n");
        let (dataset, _) = open("short_row.tsv", &text).unwrap();
        assert_eq!(
            problems(&dataset),
            [
                "short_row.tsv line 2 (index 1): answer is no option: there is no option in the columns A, B, …; found \
                 nothing in the column `answer`; the row ends after 3 of 6 fields, before `A`",
                "short_row.tsv line 3 (index 2): answer is no option: expected one of A, B, found nothing in the column \
                 `answer`; the row ends after 5 of 6 fields, before `answer`",
            ]
        );
    }

    /// Kits read `Category` and its like in any case, and pandas makes numbers of a column of numbers.
    #[test]
    fn columns_are_read_as_pandas_and_the_kits_do() {
        let text = format!(
            "INDEX\timage\tQuestion\tA\tB\tanswer\tL2-Category\n\
             1\t{IMAGE}\tq\t7\tTrue\tA\tx\n2\t{IMAGE}\tq\t007\tfalse\tA\tx\n3\t{IMAGE}\tq\t7.0\tTRUE\tA\tx\n"
        );
        let (dataset, _) = open("numbers.tsv", &text).unwrap();
        let said = problems(&dataset);
        assert_eq!(said.len(), 2);
        assert!(said[0].starts_with(
            "numbers.tsv line 2 (index 1): rewritten option: `7` in the column A is shown as `7.0`"
        ));
        assert!(said[1].contains("`false` in the column B is shown as `False`"), "{}", said[1]);
        let row = &dataset.rows[1];
        assert_eq!((row.get("l2-category"), row.options()), (Some("x"), vec![('A', "7.0"), ('B', "False")]));
        let scored = dataset.scored_options(&[0, 1, 2], Protocol::Kit2024_08);
        assert_eq!(scored[1], Some(vec![('A', "7".to_string()), ('B', "False".to_string())]));
        let prompt = dataset.prompt(row, RunAs::Dataset, Asker::Parrot);
        assert!(prompt.starts_with("q\nA. 7.0\nB. False\n"), "{prompt}");
    }

    #[test]
    fn prompts_end_by_the_names_letter_case() {
        let text = format!("index\timage\tquestion\tA\tB\tanswer\n1\t{IMAGE}\tq\ta\tb\tA\n");
        for (name, ending) in [("x_tr.tsv", "cevap verin."), ("x_TR.tsv", "choices directly.")] {
            let (dataset, _) = open(name, &text).unwrap();
            assert_eq!(dataset.language, Some(Language::Tr.into()));
            assert!(
                dataset.prompt(&dataset.rows[0], RunAs::Dataset, Asker::Parrot).ends_with(ending),
                "{name}"
            );
        }
    }

    #[test]
    fn everything_wrong_is_named_and_nothing_dropped() {
        let broken = "%".repeat(70);
        let text = format!(
            "index\timage\tquestion\tA\tB\tanswer\n\
             1\t{IMAGE}\tq\ta\tb\tA\n1.0\t{IMAGE}\tq\ta\tb\tA\n2\t\tq\ta\tb\tA\n3\t{broken}\tq\ta\tb\tA\n\
             4\t{IMAGE}\t\ta\tb\tA\n5\t{IMAGE}\tq\ta\tb\tC\n\t{IMAGE}\tq\ta\tNone\tB\n1000009\t{IMAGE}\tq\ta\tb\tA\n"
        );
        let (dataset, _) = open("mmmb_tr.tsv", &text).unwrap();
        assert_eq!(dataset.rows.len(), 8);
        let kinds: Vec<ProblemKind> = dataset.problems.iter().map(|problem| problem.kind).collect();
        assert_eq!(
            kinds,
            [
                ProblemKind::NoImage,
                ProblemKind::BrokenImage,
                ProblemKind::WrongMd5,
                ProblemKind::DuplicateIndex,
                ProblemKind::NoQuestion,
                ProblemKind::BadAnswer,
                ProblemKind::BadIndex,
                ProblemKind::BadAnswer,
                ProblemKind::IncompleteGroup,
            ]
        );
        let texts = problems(&dataset);
        assert_eq!(texts[3], "mmmb_tr.tsv line 3 (index 1.0): duplicate index: as in line 2");
        assert!(texts[2].starts_with(
            "mmmb_tr.tsv: not the published file: MD5 of MMMB_tr should be 0733739d43090327975294292bc5cd67, found "
        ));
        assert_eq!(texts[7], "mmmb_tr.tsv line 8: answer is no option: expected one of A, found B");
    }

    #[test]
    fn circular_sets_are_upstreams() {
        let text = format!("index\timage\tquestion\tA\tB\tanswer\n1\t{IMAGE}\tq\ta\tb\tA\n");
        for name in ["XCircular_en.tsv", "mmcr.tsv"] {
            let (dataset, _) = open(name, &text).unwrap();
            let grouping = Protocol::ALL.map(|protocol| dataset.benchmark.grouping(protocol));
            assert_eq!(grouping, [Grouping::Circular, Grouping::PerRow, Grouping::Circular], "{name}");
        }
        assert_eq!(benchmark_of_name("MMBench_circular").unwrap().name(), "MMBench");
        for (stem, expected) in [
            ("MMStar", "MMStar"),
            ("ScienceQA_TEST", "ScienceQA"),
            ("SEEDBench_IMG", "SEEDBench"),
            ("AI2D_TEST_NO_MASK", "AI2D"),
            ("MMBench_DEV_CN", "MMBench"),
            ("mini_textvqa", "TextVQA"),
        ] {
            assert_eq!(benchmark_of_name(stem).unwrap().name(), expected);
        }
        // Other benchmarks than their names begin with.
        for stem in ["songs", "SEEDBench2", "OCRBench_v2"] {
            assert!(benchmark_of_name(stem).is_none(), "{stem}");
        }
    }

    #[test]
    fn a_groups_own_number_says_what_belongs_together() {
        let text = format!(
            "index\tg_index\timage\tquestion\tA\tB\tanswer\n\
             7\t7\t{IMAGE}\tq\ta\tb\tA\n1000009\t7\t{IMAGE}\tq\ta\tb\tA\n"
        );
        let (dataset, _) = open("mini_mmbench_en.tsv", &text).unwrap();
        assert_eq!(problems(&dataset), [] as [&str; 0]);
        let kept =
            Protocol::ALL.map(|protocol| crate::benchmarks::choice::groups_kept(&dataset.rows, protocol)[1]);
        assert_eq!(kept, [false, false, true]);
    }

    #[test]
    fn files_of_no_benchmark_are_refused() {
        let error = |name: &str, text: &str| open(name, text).unwrap_err().to_string();
        assert!(
            error("songs.tsv", "title\tsinger\nx\ty\n")
                .contains("songs.tsv: neither its name nor its columns")
        );
        assert!(error("mme.tsv", "index\tquestion\nx\ty\n").ends_with(
            "mme.tsv: MME needs the columns image, answer, category, image_path, which are not there; the file has index, \
             question"
        ));
    }
}
