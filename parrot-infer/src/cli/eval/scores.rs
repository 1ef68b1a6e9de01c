//! Results as they come together, and scoring what other programs answered.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use parrot_infer::eval::{
    self, Asked, Assigned, Dataset, DatasetResult, Journal, ModelInfo, PredictionFile, Problem, ProblemKind,
    Protocol, Report, WrongAnswer,
};

use super::Args;

/// Results as they come together.
pub(super) struct Scores {
    results: Vec<DatasetResult>,
    pub(super) problems: Vec<Problem>,
    wrong: Vec<WrongAnswer>,
    wrong_in_all: usize,
    out: Option<PathBuf>,
}

/// Results with everything that is written about them.
pub(super) struct Finished {
    pub(super) report: Report,
    pub(super) wrong: Vec<WrongAnswer>,
    pub(super) wrong_in_all: usize,
    pub(super) out: Option<PathBuf>,
    /// Held until everything is written, so that no other run writes into the folder.
    pub(super) _journal: Option<Journal>,
}

impl Scores {
    pub(super) fn new(out: Option<PathBuf>) -> Self {
        Self { results: Vec::new(), problems: Vec::new(), wrong: Vec::new(), wrong_in_all: 0, out }
    }

    /// Scores a dataset in a protocol; up to `wrong` wrong answers are kept for the report.
    pub(super) fn add(
        &mut self,
        dataset: &Dataset,
        assigned: &Assigned,
        protocol: Protocol,
        wrong: usize,
        complete: impl FnOnce(&mut DatasetResult),
    ) {
        let mut scored = eval::score(dataset, assigned, protocol);
        complete(&mut scored.result);
        if wrong > 0 {
            self.wrong.extend(eval::wrong_answers(&scored, assigned, wrong));
            self.wrong_in_all += scored.judged.iter().filter(|it| !it.verdict.right).count();
        }
        self.results.push(scored.result);
    }

    pub(super) fn finish(self, model: ModelInfo, asked: Option<Asked>) -> Finished {
        let Self { results, problems, wrong, wrong_in_all, out } = self;
        let report = Report::new(model, asked, results, problems);
        Finished { report, wrong, wrong_in_all, out, _journal: None }
    }
}

impl Args {
    /// Scores what other programs answered.
    pub(super) fn read_predictions(&self, datasets: &[Dataset]) -> Result<Finished> {
        let files: Vec<PredictionFile> =
            self.score.iter().map(|file| PredictionFile::read(file)).collect::<Result<_, _>>()?;
        let name = self.score[0].file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut scores = Scores::new(self.out.clone());
        scores.problems.extend(files.iter().flat_map(|file| file.problems.clone()));
        scores.problems.extend(eval::unassigned(datasets, &files));
        let assigned: Vec<Assigned> =
            datasets.iter().map(|dataset| eval::assign(dataset, &files, datasets.len() == 1)).collect();
        let has_some = |assigned: &Assigned| assigned.of_rows.iter().any(|texts| !texts.is_empty());
        ensure!(
            assigned.iter().any(has_some),
            "{}: no prediction is for {}; files are matched by a column dataset, by a name like \
             MODEL_{}.xlsx, or by there being one dataset only",
            files.iter().map(|file| &*file.name).collect::<Vec<_>>().join(", "),
            datasets.iter().map(|dataset| &*dataset.id).collect::<Vec<_>>().join(", "),
            datasets[0].id
        );
        for (dataset, assigned) in datasets.iter().zip(assigned) {
            if !has_some(&assigned) {
                scores.problems.push(no_predictions(dataset));
            }
            for (number, protocol) in self.protocol.0.iter().enumerate() {
                let wrong = if number == 0 { self.wrong.div_ceil(datasets.len()) } else { 0 };
                scores.add(dataset, &assigned, *protocol, wrong, |_| ());
            }
            scores.problems.extend(dataset.problems.iter().chain(&assigned.problems).cloned());
        }
        Ok(scores.finish(ModelInfo { name, ..ModelInfo::default() }, None))
    }
}

fn no_predictions(dataset: &Dataset) -> Problem {
    let detail = format!("there is none at all for {}, all of whose rows count as wrong", dataset.id);
    let file = dataset.file_name();
    Problem { kind: ProblemKind::NoPrediction, file, line: None, index: None, detail }
}
