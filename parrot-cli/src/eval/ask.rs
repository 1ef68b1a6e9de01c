//! Asking a model, from the beginning or from where a run was interrupted.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use parrot_distributed::World;
use parrot_eval::{
    Answered, Answers, Asked, Conditions, Dataset, GenerateOptions, Journal, ModelInfo, Parts, Problem, Share,
};
use parrot_model::untrusted::create_folder;

use super::Args;
use super::out::check_for_answers;
use super::progress::Progress;
use super::scores::{Finished, Scores};
use crate::model_info::model_info;
use crate::terminal::print_notice;

impl Args {
    /// Asks a model, resuming an interrupted run if there is one, and scores its answers; `None` in a process that is not the
    /// first of several, which has handed its answers over.
    pub(super) fn ask(&self, datasets: Vec<Dataset>, world: &World) -> Result<Option<Finished>> {
        datasets.iter().try_for_each(parrot_eval::check_fits_xlsx)?;
        let model = self.model.of_process(world.local_rank().unwrap_or_default())?;
        let (folder, parrot) = model.find_and_load()?;
        let window = self.images as u64 * parrot.image_bytes();
        let parrot = parrot.remember_image_bytes(window);
        let info = model_info(&parrot, &folder)?;
        let out = self.out.clone().unwrap_or_else(|| Path::new("runs/eval").join(&info.name));
        create_folder(&out)?;
        check_for_answers(&out)?;
        // Processes of a host compute on devices of one kind, and their answers are those of the first one's.
        let mut devices = world.gather(vec![info.device.clone().unwrap_or_default()]);
        let conditions = Conditions {
            model_sha256: info.sha256.clone().unwrap_or_default(),
            dtype: info.dtype.clone().unwrap_or_default(),
            device: devices.swap_remove(0),
            batch_size: self.batch_size,
            max_new_tokens: self.max_new_tokens,
            jpeg_roundtrip: self.jpeg_roundtrip,
        };
        let share = Share { process: world.rank(), of: world.size() };
        let (parts, mut journal) = Parts::open(&out, share, &conditions)?;
        journal.know(world.gather(own_answers(&journal, world)));
        let options = GenerateOptions {
            batch_size: self.batch_size,
            images: self.images,
            max_new_tokens: self.max_new_tokens,
            share,
        };
        let jobs = parrot_eval::jobs(&datasets, &self.all_asked_as());
        let questions = parrot_eval::batches(&jobs, &parrot, &options).iter().map(Vec::len).sum();
        let mut progress = Progress::new(&datasets, self.protocols()[0], questions, share);
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
        let now = progress.finish();
        let total = |count: usize| world.total(count as f64) as usize;
        let asked = Asked {
            run_as: self.protocols().iter().map(|protocol| (*protocol, self.run_as(*protocol))).collect(),
            method: self.method(),
            request: self.request.clone(),
            max_new_tokens: self.max_new_tokens,
            jpeg_roundtrip: self.jpeg_roundtrip,
            batch_size: self.batch_size,
            processes: world.size(),
            questions: jobs.len(),
            questions_now: total(now.questions),
            images_now: total(now.images),
            tokens_now: total(now.tokens),
            seconds_now: started.elapsed().as_secs_f64(),
        };
        let answers = world.gather(own_answers(&journal, world));
        if !world.is_first() {
            drop(journal);
            world.barrier();
            parts.close()?;
            return Ok(None);
        }
        journal.take(answers, jobs.iter().map(|job| &*job.id))?;
        world.barrier();
        say_speed(&asked);
        self.score_answers(datasets, journal, info, asked, out).map(Some)
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
            let protocols = self.protocols().iter();
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
            for (number, (protocol, mut answers)) in self.protocols().iter().zip(answers).enumerate() {
                let folder = out.join(protocol.id());
                create_folder(&folder)?;
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

/// What this process has to tell the others: nothing where there is none.
fn own_answers(journal: &Journal, world: &World) -> Vec<Answered> {
    if world.size() > 1 { journal.answers().cloned().collect() } else { Vec::new() }
}

/// How fast this run was.
fn say_speed(asked: &Asked) {
    if asked.questions_now == 0 {
        return;
    }
    let rate = |count: usize| count as f64 / asked.seconds_now.max(1e-9);
    let processes =
        if asked.processes > 1 { format!(" in {} processes", asked.processes) } else { String::new() };
    // Where options are chosen nothing is written.
    let tokens = if asked.tokens_now > 0 {
        format!(", {:.1} tokens/s", rate(asked.tokens_now))
    } else {
        String::new()
    };
    print_notice(&format!(
        "asked {} about {} in {:.1} s{processes}: {:.1} questions/s, {:.1} pictures/s{tokens}",
        counted(asked.questions_now, "question"),
        counted(asked.images_now, "picture"),
        asked.seconds_now,
        rate(asked.questions_now),
        rate(asked.images_now)
    ));
}

/// `1 question`, `2 questions`.
fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// `Path::with_extension` would take `Parrot-1.5_MMMB` for `Parrot-1` with an ending.
fn with_ending(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_os_string();
    name.push(".");
    name.push(ending);
    name.into()
}
