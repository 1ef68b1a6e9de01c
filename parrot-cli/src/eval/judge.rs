//! `--judge`: having answers rated by another model.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use indicatif::ProgressBar;
use parrot_eval::{Assigned, Benchmark as _, Dataset, Judge, JudgeInfo, LlavaBench, Problem, Ratings};
use parrot_model::untrusted::create_folder;

use super::Args;

/// Whether a dataset's answers are rated by a model.
pub(super) fn needs_it(dataset: &Dataset) -> bool {
    dataset.benchmark.name() == LlavaBench::default().name()
}

impl Args {
    /// Has those datasets rated that need it, and gives them their ratings; `answers` are those to each dataset, in every
    /// protocol. Without `--judge` there are the ratings of earlier runs into the folder.
    pub(super) fn rate(
        &self,
        datasets: &mut [Dataset],
        answers: &[Vec<Assigned>],
        out: Option<&Path>,
    ) -> Result<(Option<JudgeInfo>, Vec<Problem>)> {
        if !datasets.iter().any(needs_it) {
            return Ok((None, Vec::new()));
        }
        let judge = self.open_judge()?;
        let name = self.judge_model.as_deref();
        if let Some(out) = out {
            create_folder(out)?;
        }
        let mut ratings = match out.map(|out| out.join("ratings.jsonl")) {
            Some(file) if judge.is_some() || file.exists() => Ratings::open(&file, name)?,
            _ => Ratings::in_memory(name.unwrap_or_default()),
        };
        let mut problems: Vec<Problem> = Vec::new();
        if let Some(judge) = &judge {
            let mut known = HashSet::new();
            for (dataset, answers) in datasets.iter().zip(answers).filter(|(dataset, _)| needs_it(dataset)) {
                for answers in answers {
                    let bar = ProgressBar::new(0).with_message("judging");
                    let found = parrot_eval::rate(judge, dataset, answers, &mut ratings, |done, of| {
                        bar.set_length(of as u64);
                        bar.set_position(done as u64);
                    })?;
                    bar.finish_and_clear();
                    problems.extend(found.into_iter().filter(|problem| known.insert(problem.to_string())));
                }
            }
        }
        let info = (!ratings.is_empty())
            .then(|| JudgeInfo::new(ratings.judge(), judge.as_ref().map(Judge::address), ratings.len()));
        let ratings = Arc::new(ratings);
        for dataset in datasets.iter_mut().filter(|dataset| needs_it(dataset)) {
            dataset.benchmark = Arc::new(LlavaBench::rated(Arc::clone(&ratings)));
        }
        Ok((info, problems))
    }

    /// The judge of the command line, if there is one.
    pub(super) fn open_judge(&self) -> Result<Option<Judge>> {
        let (Some(address), Some(model)) = (&self.judge, &self.judge_model) else { return Ok(None) };
        let key = std::env::var("PARROT_JUDGE_KEY").ok().filter(|key| !key.is_empty());
        let patience = Duration::from_secs(self.judge_patience);
        let judge = Judge::new(address, model, key, patience).map_err(|problem| anyhow!(problem));
        Ok(Some(judge.context("--judge")?))
    }
}
