//! Asking a model, from the beginning or from where a run was interrupted.

use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use parrot_eval::{
    Answers, Asked, Conditions, Dataset, GenerateOptions, How, Job, Journal, ModelInfo, Problem, Protocol,
    QuestionOutcome,
};

use super::Args;
use super::scores::{Finished, Scores};
use crate::model_info::model_info;
use crate::terminal::print_notice;

impl Args {
    /// Asks a model, resuming an interrupted run if there is one, and scores its answers.
    pub(super) fn ask(&self, datasets: Vec<Dataset>) -> Result<Finished> {
        let (folder, parrot) = self.model.find_and_load()?;
        let window = self.images as u64 * parrot.image_bytes();
        let parrot = parrot.remember_image_bytes(window);
        let info = model_info(&parrot, &folder)?;
        let out = self.out.clone().unwrap_or_else(|| Path::new("runs/eval").join(&info.name));
        fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;
        let conditions = Conditions {
            model_sha256: info.sha256.clone().unwrap_or_default(),
            dtype: info.dtype.clone().unwrap_or_default(),
            device: info.device.clone().unwrap_or_default(),
            batch_size: self.batch_size,
            max_new_tokens: self.max_new_tokens,
            jpeg_roundtrip: self.jpeg_roundtrip,
        };
        let mut journal = Journal::open(&out.join("answers.jsonl"), &conditions)?;
        let options = GenerateOptions {
            batch_size: self.batch_size,
            images: self.images,
            max_new_tokens: self.max_new_tokens,
        };
        let jobs = parrot_eval::jobs(&datasets, &self.all_asked_as());
        let mut progress = Progress::new(&datasets, self.protocol.0[0], jobs.len());
        let started = Instant::now();
        parrot_eval::generate(
            &parrot,
            &datasets,
            &jobs,
            &options,
            &mut journal,
            |batch, journal, is_new| {
                progress.show(batch, journal, is_new);
                true
            },
        )?;
        let asked = Asked {
            run_as: self.protocol.0.iter().map(|protocol| (*protocol, self.run_as(*protocol))).collect(),
            method: self.method(),
            request: self.request.clone(),
            max_new_tokens: self.max_new_tokens,
            jpeg_roundtrip: self.jpeg_roundtrip,
            batch_size: self.batch_size,
            questions: progress.answered,
            questions_now: progress.asked,
            seconds_now: started.elapsed().as_secs_f64(),
        };
        progress.bar.finish_and_clear();
        self.score_answers(datasets, journal, info, asked, out)
    }

    fn score_answers(
        &self,
        mut datasets: Vec<Dataset>,
        journal: Journal,
        info: ModelInfo,
        asked: Asked,
        out: PathBuf,
    ) -> Result<Finished> {
        let mut scores = Scores::new(Some(out.clone()));
        let of_protocols = |dataset: &Dataset| -> Vec<Answers> {
            let protocols = self.protocol.0.iter();
            protocols
                .map(|protocol| parrot_eval::answers(dataset, self.asked_as(*protocol), &journal))
                .collect()
        };
        let answers: Vec<Vec<Answers>> = datasets.iter().map(of_protocols).collect();
        let assigned: Vec<Vec<_>> = answers
            .iter()
            .map(|answers| answers.iter().map(|answers| answers.assigned.clone()).collect())
            .collect();
        let (judge, unjudged) = self.rate(&mut datasets, &assigned, Some(&out))?;
        for (dataset, answers) in datasets.iter().zip(answers) {
            scores.problems.extend(dataset.problems.iter().cloned());
            let mut known: Vec<Problem> = Vec::new();
            for (number, (protocol, mut answers)) in self.protocol.0.iter().zip(answers).enumerate() {
                let folder = out.join(protocol.id());
                fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
                let file = folder.join(format!("{}_{}", info.name, dataset.id));
                parrot_eval::write_tsv(&with_ending(&file, "tsv"), dataset, &answers.assigned.of_rows)?;
                let cut =
                    parrot_eval::write_xlsx(&with_ending(&file, "xlsx"), dataset, &answers.assigned.of_rows)?;
                answers.assigned.problems.extend(cut);
                let wrong = if number == 0 { self.wrong.div_ceil(datasets.len()) } else { 0 };
                scores.add(dataset, &answers.assigned, *protocol, wrong, |result| {
                    result.prompts_sha256 = Some(answers.prompts_sha256.clone());
                    result.expert_weights.clone_from(&answers.expert_weights);
                });
                let new = answers.assigned.problems.into_iter().filter(|problem| !known.contains(problem));
                known.extend(new.collect::<Vec<_>>());
            }
            scores.problems.extend(known);
        }
        scores.problems.extend(unjudged);
        let mut finished = Finished { _journal: Some(journal), ..scores.finish(info, Some(asked)) };
        finished.report.judge = judge;
        Ok(finished)
    }
}

/// A bar over questions with the share of right answers so far.
struct Progress<'a> {
    datasets: &'a [Dataset],
    protocol: Protocol,
    bar: ProgressBar,
    right: usize,
    judged: usize,
    /// Questions that have an answer or a reason why not, and those of them that this run asked.
    answered: usize,
    asked: usize,
    /// When a line was last printed, where there is no terminal for a bar.
    said: Option<Instant>,
}

/// Seconds between lines where there is no terminal.
const BETWEEN_LINES: u64 = 30;

impl<'a> Progress<'a> {
    fn new(datasets: &'a [Dataset], protocol: Protocol, questions: usize) -> Self {
        let style = ProgressStyle::with_template("{bar:30} {pos} of {len} questions, {msg}{eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(questions as u64).with_style(style);
        let said = (!io::stderr().is_terminal()).then(Instant::now);
        Self { datasets, protocol, bar, right: 0, judged: 0, answered: 0, asked: 0, said }
    }

    fn show(&mut self, batch: &[&Job], journal: &Journal, is_new: bool) {
        for job in batch {
            let Some(QuestionOutcome::Answer { text, .. }) =
                journal.get(&job.id).map(|record| &record.outcome)
            else {
                continue;
            };
            let dataset = &self.datasets[job.dataset];
            let text = parrot_eval::through_spreadsheet(&parrot_eval::post_process(
                &job.message().to_string(),
                text,
            ));
            let verdict = dataset.benchmark.judge(&dataset.rows[job.row], &text, self.protocol);
            if verdict.how != How::Unjudged {
                self.right += usize::from(verdict.right);
                self.judged += 1;
            }
        }
        // What was answered before says nothing about how long the rest takes.
        if is_new && self.asked == 0 {
            self.bar.reset_eta();
        }
        self.asked += if is_new { batch.len() } else { 0 };
        self.answered += batch.len();
        self.bar.inc(batch.len() as u64);
        let right = format!("{:.1} % right so far", parrot_eval::percent(self.right, self.judged));
        if let Some(said) = self.said.as_mut().filter(|said| said.elapsed().as_secs() >= BETWEEN_LINES) {
            *said = Instant::now();
            print_notice(&format!(
                "{} of {} questions, {right}",
                self.answered,
                self.bar.length().unwrap_or(0)
            ));
        }
        self.bar.set_message(right + ", ");
    }
}

/// `Path::with_extension` would take `Parrot-1.5_MMMB` for `Parrot-1` with an ending.
fn with_ending(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_os_string();
    name.push(".");
    name.push(ending);
    name.into()
}
