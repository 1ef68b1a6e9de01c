//! `--score`: what other programs answered.

use anyhow::{Result, ensure};
use parrot_eval::{Assigned, Dataset, ModelInfo, PredictionFile, Problem, ProblemKind};

use super::Args;
use super::scores::{Finished, Scores};

impl Args {
    /// Scores what other programs answered.
    pub(super) fn read_predictions(&self, mut datasets: Vec<Dataset>) -> Result<Finished> {
        let files: Vec<PredictionFile> =
            self.score.iter().map(|file| PredictionFile::read(file)).collect::<Result<_, _>>()?;
        let name = model_name(&self.score[0].file_stem().unwrap_or_default().to_string_lossy(), &datasets);
        let mut scores = Scores::new(self.out.clone());
        scores.problems.extend(files.iter().flat_map(|file| file.problems.clone()));
        scores.problems.extend(parrot_eval::unassigned(&datasets, &files));
        let assigned: Vec<Assigned> = datasets
            .iter()
            .map(|dataset| match &datasets[..] {
                [_] => parrot_eval::assign(dataset, &files),
                _ => parrot_eval::assign_by_name(dataset, &files),
            })
            .collect();
        let has_some = |assigned: &Assigned| assigned.of_rows.iter().any(|texts| !texts.is_empty());
        ensure!(
            assigned.iter().any(has_some),
            "{}: no prediction is for {}; files are matched by a column dataset, by a name like \
             MODEL_{}.xlsx, or by there being one dataset only",
            files.iter().map(|file| &*file.name).collect::<Vec<_>>().join(", "),
            datasets.iter().map(|dataset| &*dataset.id).collect::<Vec<_>>().join(", "),
            datasets[0].id
        );
        let of_datasets: Vec<Vec<Assigned>> =
            assigned.iter().map(|assigned| vec![assigned.clone()]).collect();
        let (judge, unjudged) = self.rate(&mut datasets, &of_datasets, self.out.as_deref())?;
        for (dataset, assigned) in datasets.iter().zip(assigned) {
            if !has_some(&assigned) {
                scores.problems.push(no_predictions(dataset));
            }
            for (number, protocol) in self.protocols().iter().enumerate() {
                let wrong = if number == 0 { self.wrong.div_ceil(datasets.len()) } else { 0 };
                scores.add(dataset, &assigned, *protocol, wrong, |_| ());
            }
            scores.problems.extend(dataset.problems.iter().chain(&assigned.problems).cloned());
        }
        scores.problems.extend(unjudged);
        let mut finished = scores.finish(ModelInfo { name, ..ModelInfo::default() }, None);
        finished.report.judge = judge;
        Ok(finished)
    }
}

/// The model of a file that is named `MODEL_DATASET`; any other name as it is.
fn model_name(stem: &str, datasets: &[Dataset]) -> String {
    let without = |dataset: &Dataset| Some(stem.strip_suffix(dataset.id.as_str())?.trim_end_matches('_'));
    let names = datasets.iter().filter_map(without);
    names.filter(|name| !name.is_empty()).min_by_key(|name| name.len()).unwrap_or(stem).into()
}

fn no_predictions(dataset: &Dataset) -> Problem {
    let detail = format!("there is none at all for {}, all of whose rows count as wrong", dataset.id);
    let file = dataset.file_name();
    Problem { kind: ProblemKind::NoPrediction, file, line: None, index: None, detail }
}
