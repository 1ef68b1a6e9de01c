//! Answers that lie in files: which of them belongs to which row.

mod read;
pub(crate) mod write;
mod xlsx;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use crate::benchmarks::known::known_file;
use crate::data::problem::{Problem, ProblemKind};
use crate::data::row::index_key;
use crate::data::table::is_missing;
use crate::dataset::Dataset;
use crate::language_code::LanguageCode;

/// An answer as a file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prediction {
    /// The dataset, if the file says so.
    pub dataset: Option<String>,
    /// The row's index.
    pub index: String,
    /// The answer; the text `nan` where it is missing or a word for missing, as a kit reads its own files, and `NaT` between dates.
    pub text: String,
    /// Whether there is an entry without an answer: an empty cell, `null`.
    pub is_missing: bool,
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
    /// Whether a kit, which keeps its predictions in a spreadsheet, has put them there.
    fn is_spreadsheet(&self) -> bool {
        self.name.rsplit_once('.').is_some_and(|(_, ending)| ending.eq_ignore_ascii_case("xlsx"))
    }

    /// The file's name without its ending.
    fn stem(&self) -> &str {
        self.name.rsplit_once('.').map_or(&*self.name, |(stem, _)| stem)
    }

    /// Whether the file's name ends with the dataset's, as in `Parrot-7B_MMMB_tr.xlsx`.
    fn is_named_after(&self, dataset: &Dataset) -> bool {
        endings(self.stem()).any(|ending| is_called(dataset, ending))
    }

    /// Whether the file's name ends with that of another published file, or with another language.
    fn is_named_after_another(&self, dataset: &Dataset) -> bool {
        let known = endings(self.stem()).filter_map(known_file).any(|known| known.id != dataset.id);
        let language = LanguageCode::of_name(self.stem());
        let differs = language.is_some() && dataset.language.is_some() && language != dataset.language;
        !self.is_named_after(dataset) && (known || differs)
    }

    /// Whether this prediction is for the dataset: because it says so or, where it says nothing, because the
    /// file is named after the dataset or the dataset `is_only`.
    fn is_for(&self, prediction: &Prediction, dataset: &Dataset, is_only: bool) -> bool {
        match &prediction.dataset {
            Some(name) => is_called(dataset, name),
            None => is_only || self.is_named_after(dataset),
        }
    }

    fn problem(&self, kind: ProblemKind, prediction: Option<&Prediction>, detail: String) -> Problem {
        Problem {
            kind,
            file: self.name.clone(),
            line: prediction.map(|prediction| prediction.line),
            index: prediction.map(|prediction| prediction.index.clone()),
            detail,
        }
    }
}

/// A name, and what remains of it after each `_` or `-`.
fn endings(stem: &str) -> impl Iterator<Item = &str> {
    let behind = stem.match_indices(['_', '-']).map(|(at, _)| &stem[at + 1..]);
    std::iter::once(stem).chain(behind)
}

/// A published dataset has two names, its own and its file's, and `MMBench_DEV_EN` is another than
/// `MMBench_dev_en`. Of others, letter case tells nothing.
fn is_called(dataset: &Dataset, name: &str) -> bool {
    match known_file(name) {
        Some(known) => known.id == dataset.id,
        None => dataset.known.is_none() && dataset.id.eq_ignore_ascii_case(name),
    }
}

/// The answers to each row of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Assigned {
    /// For each row its predictions, usually one.
    pub of_rows: Vec<Vec<String>>,
    /// For each row whether all its predictions come out of a spreadsheet, where a kit has put them already; rows that are
    /// missing here have none that does.
    pub from_spreadsheet: Vec<bool>,
    /// What did not fit.
    pub problems: Vec<Problem>,
}

/// Gives each row the predictions of its index, where `dataset` is the only one that is scored.
///
/// A prediction is for the dataset unless it names another. Where predictions and rows of one index are equally many, they
/// are matched in order; otherwise the first row of the index gets them all. Indices match as numbers: `1.0` is `1`.
#[must_use]
pub fn assign(dataset: &Dataset, files: &[PredictionFile]) -> Assigned {
    assign_where(dataset, files, true)
}

/// [`assign`] for one of several datasets: a prediction that names no dataset is for the one that its file is named after.
#[must_use]
pub fn assign_by_name(dataset: &Dataset, files: &[PredictionFile]) -> Assigned {
    assign_where(dataset, files, false)
}

fn assign_where(dataset: &Dataset, files: &[PredictionFile], is_only: bool) -> Assigned {
    let mut assigned = Assigned {
        of_rows: vec![Vec::new(); dataset.rows.len()],
        from_spreadsheet: vec![true; dataset.rows.len()],
        problems: Vec::new(),
    };
    let mut rows: HashMap<Cow<'_, str>, Vec<usize>> = HashMap::new();
    for (at, row) in dataset.rows.iter().enumerate() {
        rows.entry(index_key(&row.index)).or_default().push(at);
    }
    let mut of_index: HashMap<Cow<'_, str>, Vec<(&PredictionFile, &Prediction)>> = HashMap::new();
    for file in files {
        let mut is_by_name = false;
        for prediction in
            file.predictions.iter().filter(|prediction| file.is_for(prediction, dataset, is_only))
        {
            let key = index_key(&prediction.index);
            is_by_name |= prediction.dataset.is_none();
            let mut report =
                |kind, detail| assigned.problems.push(file.problem(kind, Some(prediction), detail));
            let Some(rows) = rows.get(&key) else {
                report(ProblemKind::UnknownPrediction, format!("{} has no such index", dataset.id));
                continue;
            };
            if prediction.is_missing {
                let or_error = if file.is_spreadsheet() { ", or an error such as #N/A or #REF!" } else { "" };
                let detail = format!("the entry is empty{or_error}, scored as the word {}", prediction.text);
                report(ProblemKind::NoPrediction, detail);
            }
            let predictions = of_index.entry(key).or_default();
            predictions.push((file, prediction));
            if predictions.len() > rows.len() {
                let detail = format!("number {} for {}", predictions.len(), dataset.id);
                report(ProblemKind::DuplicatePrediction, detail);
            }
        }
        if is_by_name && file.is_named_after_another(dataset) {
            let detail =
                format!("the name is not of {}, the only dataset, for which it is scored", dataset.id);
            assigned.problems.push(file.problem(ProblemKind::OtherDataset, None, detail));
        }
    }
    for (index, predictions) in of_index {
        let rows = &rows[&index];
        for (number, (file, prediction)) in predictions.iter().enumerate() {
            let at = if predictions.len() == rows.len() { rows[number] } else { rows[0] };
            assigned.of_rows[at].push(prediction.text.clone());
            assigned.from_spreadsheet[at] &= file.is_spreadsheet();
        }
    }
    for (row, predictions) in dataset.rows.iter().zip(&assigned.of_rows) {
        if predictions.is_empty() {
            assigned.problems.push(dataset.problem(row, ProblemKind::NoPrediction, ""));
        }
    }
    assigned
}

/// Predictions that are for none of the datasets: a problem for each dataset that a file names, at its first
/// line, and one for what a file says without naming any.
#[must_use]
pub fn unassigned(datasets: &[Dataset], files: &[PredictionFile]) -> Vec<Problem> {
    let is_only = datasets.len() == 1;
    let mut problems = Vec::new();
    for file in files {
        let mut of_name: BTreeMap<Option<&str>, Vec<&Prediction>> = BTreeMap::new();
        for prediction in &file.predictions {
            if !datasets.iter().any(|dataset| file.is_for(prediction, dataset, is_only)) {
                of_name.entry(prediction.dataset.as_deref()).or_default().push(prediction);
            }
        }
        for (name, predictions) in of_name {
            let detail = match name {
                Some(name) => format!("{} predictions for {name} are not scored", predictions.len()),
                None => format!("{} predictions are for none of these datasets", predictions.len()),
            };
            let problem = file.problem(ProblemKind::OtherDataset, None, detail);
            problems.push(Problem { line: Some(predictions[0].line), ..problem });
        }
    }
    problems
}

/// The text that a kit scores: predictions pass through a spreadsheet, and what is missing there comes back as
/// the word `nan`.
#[must_use]
pub fn through_spreadsheet(prediction: &str) -> String {
    if is_missing(prediction) { "nan".into() } else { prediction.into() }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::ImageStore;

    /// A dataset of two rows.
    fn dataset(name: &str) -> Dataset {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(Path::new(name));
        let header = "index\timage\tquestion\tA\tB\tanswer";
        std::fs::write(&path, format!("{header}\n1.0\t\tq\ta\tb\tA\n002\t\tq\ta\tb\tB\n")).unwrap();
        Dataset::open(&path, &mut ImageStore::default()).unwrap()
    }

    fn file(name: &str, of: &[(Option<&str>, &str)]) -> PredictionFile {
        let prediction = |(line, (dataset, index)): (u64, &(Option<&str>, &str))| Prediction {
            dataset: dataset.map(Into::into),
            index: (*index).into(),
            text: "A".into(),
            is_missing: false,
            line,
        };
        let predictions = (2..).zip(of).map(prediction).collect();
        PredictionFile { name: name.into(), predictions, problems: Vec::new() }
    }

    fn texts(problems: &[Problem]) -> Vec<String> {
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn indices_match_as_numbers() {
        let (data, answers) = (dataset("mini_mmmb_tr.tsv"), file("x.tsv", &[(None, "1"), (None, "2.0")]));
        let assigned = assign(&data, &[answers]);
        assert_eq!(assigned.of_rows, [["A"], ["A"]]);
        assert_eq!(texts(&assigned.problems), [] as [&str; 0]);
    }

    /// A cell with #REF! was said to be empty.
    #[test]
    fn an_entry_without_an_answer_may_be_an_error_of_a_spreadsheet() {
        let data = dataset("mini_mmmb_tr.tsv");
        for (name, expected) in [
            ("x.xlsx", "the entry is empty, or an error such as #N/A or #REF!, scored as the word A"),
            ("x.tsv", "the entry is empty, scored as the word A"),
        ] {
            let mut answers = file(name, &[(None, "1"), (None, "2")]);
            answers.predictions[0].is_missing = true;
            let found = texts(&assign(&data, &[answers]).problems);
            assert_eq!(found, [format!("{name} line 2 (index 1): no prediction: {expected}")]);
        }
    }

    #[test]
    fn a_file_named_after_another_dataset_is_said() {
        let data = dataset("mmmb_tr.tsv");
        for (name, is_said) in [
            ("X_MMMB_tr.xlsx", false),
            ("mmmb_tr.tsv", false),
            ("answers.jsonl", false),
            ("X_MMMB.xlsx", false),
            ("X_MMMB_en.xlsx", true),
            ("answers_zh.tsv", true),
            ("X_POPE.xlsx", true),
        ] {
            let assigned = assign(&data, &[file(name, &[(None, "1"), (None, "2")])]);
            assert_eq!(assigned.of_rows, [["A"], ["A"]], "{name}");
            let expected = format!(
                "{name}: another dataset's predictions: the name is not of MMMB_tr, the only dataset, for which it is scored"
            );
            let expected = if is_said { vec![expected] } else { Vec::new() };
            assert_eq!(texts(&assigned.problems), expected);
        }
    }

    #[test]
    fn predictions_for_nothing_that_is_scored_are_said() {
        let data = [dataset("mmmb_tr.tsv"), dataset("mmmb_en.tsv")];
        let mixed = file("x.tsv", &[(Some("MMMB_ar"), "1"), (Some("mmmb_en"), "1"), (Some("MMMB_ar"), "2")]);
        let unnamed = file("y.tsv", &[(None, "1"), (None, "2")]);
        let files = [mixed, unnamed, file("z_mmmb_en.tsv", &[(None, "1")])];
        assert_eq!(
            texts(&unassigned(&data, &files)),
            [
                "x.tsv line 2: another dataset's predictions: 2 predictions for MMMB_ar are not scored",
                "y.tsv line 2: another dataset's predictions: 2 predictions are for none of these datasets",
            ]
        );
        assert_eq!(unassigned(&data[..1], &files[1..2]), []);
    }

    #[test]
    fn the_kits_own_mmbench_is_not_parrots() {
        let parrots = dataset("mmbench_dev_en.tsv");
        let kits = dataset("MMBench_DEV_EN.tsv");
        assert_eq!((&*parrots.id, &*kits.id), ("MMBench_dev_en", "MMBench_DEV_EN"));
        for (name, is_parrots, is_kits) in [
            ("MMBench_dev_en", true, false),
            ("mmbench_dev_en", true, false),
            ("MMBench_DEV_EN", false, true),
        ] {
            assert_eq!((is_called(&parrots, name), is_called(&kits, name)), (is_parrots, is_kits), "{name}");
        }
    }
}
