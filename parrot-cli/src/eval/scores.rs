//! Results as they come together.

use std::path::PathBuf;

use parrot_eval::{
    Asked, Assigned, Dataset, DatasetResult, Journal, ModelInfo, Problem, Protocol, Report, WrongAnswer,
};

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
        let mut scored = parrot_eval::score(dataset, assigned, protocol);
        complete(&mut scored.result);
        if wrong > 0 {
            self.wrong.extend(parrot_eval::wrong_answers(&scored, assigned, wrong));
            self.wrong_in_all += scored.judged.iter().filter(|judged| judged.verdict.is_wrong()).count();
        }
        self.results.push(scored.result);
    }

    pub(super) fn finish(self, model: ModelInfo, asked: Option<Asked>) -> Finished {
        let Self { results, problems, wrong, wrong_in_all, out } = self;
        let report = Report::new(model, asked, results, problems);
        Finished { report, wrong, wrong_in_all, out, _journal: None }
    }
}
