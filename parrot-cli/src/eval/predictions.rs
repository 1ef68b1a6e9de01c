//! `--score`: what other programs answered.

use anyhow::{Result, bail};
use parrot_eval::{Assigned, Dataset, ModelInfo, PredictionFile, Problem, ProblemKind};

use super::Args;
use super::out::check_for_scores;
use super::scores::{Finished, Scores};

impl Args {
    /// Scores what other programs answered.
    pub(super) fn read_predictions(&self, mut datasets: Vec<Dataset>) -> Result<Finished> {
        if let Some(out) = &self.out {
            check_for_scores(out)?;
        }
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
        if !assigned.iter().any(has_some) {
            bail!(why_none(&datasets, &files, &assigned));
        }
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

/// Why no row has a prediction.
fn why_none(datasets: &[Dataset], files: &[PredictionFile], assigned: &[Assigned]) -> String {
    let named = files.iter().map(|file| &*file.name).collect::<Vec<_>>().join(", ");
    if files.iter().all(|file| file.predictions.is_empty()) {
        return format!("{named}: there is not one prediction in it");
    }
    let sought = datasets.iter().map(|dataset| &*dataset.id).collect::<Vec<_>>().join(", ");
    let has_unknown = |problem: &&Problem| problem.kind == ProblemKind::UnknownPrediction;
    let unknown = assigned.iter().flat_map(|assigned| &assigned.problems).find(has_unknown);
    match unknown.and_then(|problem| problem.index.as_deref()) {
        Some(found) => {
            let expected = datasets.iter().find_map(|dataset| dataset.rows.first()).map(|row| &*row.index);
            format!(
                "{named}: no prediction has the index of a row of {sought}; expected indices such as “{}”, found “{found}”",
                expected.unwrap_or_default()
            )
        }
        None => format!(
            "{named}: no prediction is for {sought}; files are matched by a column dataset, by a name like MODEL_{}.xlsx, or by \
             there being one dataset only",
            datasets[0].id
        ),
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
