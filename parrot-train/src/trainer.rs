//! A stage of training from its first step, or from where it stopped, to its last.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::prelude::*;
use burn::tensor::FloatDType;
use parrot_model::parrot::Parrot;

use crate::checkpoint::{self, ModelDescription, TrainState};
use crate::data::loader::BatchLoader;
use crate::data::{Dataset, TrainingSample};
use crate::optim::{AdamW, AdamWConfig, CosineSchedule};
use crate::step::{Learner, MicroBatch, Part, StepReport};
use crate::{Error, Result};

/// One stage: what learns, from how much data, how fast.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// Names the stage in checkpoints and reports.
    pub name: String,
    /// Optimizer steps.
    pub steps: usize,
    /// Samples of a micro-batch.
    pub micro_batch_size: usize,
    /// Micro-batches of a step.
    pub accumulation: usize,
    /// Micro-batches computed at the same time.
    pub threads: usize,
    /// The schedule's peak.
    pub learning_rate: f64,
    /// Share of the steps that warm up.
    pub warmup_ratio: f64,
    /// The optimizer's constants.
    pub optimizer: AdamWConfig,
    /// Global gradient norm to clip at.
    pub max_grad_norm: Option<f64>,
    /// Longest sequence, pictures counted.
    pub max_length: Option<usize>,
    /// The parts that learn.
    pub trainable: BTreeSet<Part>,
    /// Of the data's order.
    pub seed: u64,
    /// Threads that make samples.
    pub workers: usize,
    /// Steps between checkpoints.
    pub save_every: usize,
    /// Checkpoints that stay.
    pub keep: usize,
}

/// How a stage ended.
#[derive(Debug)]
pub struct Outcome {
    /// The model as the last step left it.
    pub model: Parrot,
    /// Steps done.
    pub steps: usize,
    /// Whether it was asked to stop before its last step; a checkpoint then holds where it was.
    pub interrupted: bool,
}

impl Stage {
    /// Samples of one step.
    #[must_use]
    pub fn samples_per_step(&self) -> usize {
        self.micro_batch_size * self.accumulation
    }

    /// Samples of the whole stage.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.steps * self.samples_per_step()
    }

    /// Trains `model`, which lives on an autodiff device, and saves into `run` on the way.
    ///
    /// If `run` holds checkpoints of this stage the newest one that can be read is resumed instead of
    /// `model`: on the CPU the result is bit for bit that of a run that never stopped.
    ///
    /// - stop: set it (on Ctrl-C, say) to save and return after the step in progress
    /// - observe: called after every step with its number, counted from 1
    ///
    /// # Errors
    ///
    /// A sample that cannot be used, a checkpoint that cannot be written or belongs to another run,
    /// [`Error::NotFinite`] when the loss is no number.
    pub fn train(
        &self,
        model: Parrot,
        description: &ModelDescription,
        dataset: &Arc<dyn Dataset<Sample = TrainingSample>>,
        run: &Path,
        device: &Device,
        stop: &AtomicBool,
        mut observe: impl FnMut(usize, &StepReport),
    ) -> Result<Outcome> {
        let (model, optimizer, done) = match self.resume(run, device)? {
            Some(resumed) => resumed,
            None => (model, AdamW::new(self.optimizer), 0),
        };
        let mut learner =
            Learner::new(model, &self.trainable, optimizer, self.max_length, self.max_grad_norm);
        learner.threads = self.threads;
        let schedule = CosineSchedule::new(self.learning_rate, self.steps, self.warmup_ratio);
        let first_batch = done * self.accumulation;
        let mut loader =
            BatchLoader::start(dataset, self.micro_batch_size, self.seed, first_batch, self.workers)?;
        for step in done..self.steps {
            let micro_batches: Result<Vec<MicroBatch>> = loader
                .by_ref()
                .take(self.accumulation)
                .map(|samples| Ok(MicroBatch::collate(samples?, device)))
                .collect();
            let micro_batches = micro_batches?;
            if micro_batches.len() < self.accumulation {
                let reason = "the data ended: a worker thread died".to_string();
                return Err(Error::Sample { id: "<loader>".into(), reason });
            }
            let report = learner.step(&micro_batches, schedule.learning_rate(step), step + 1)?;
            observe(step + 1, &report);
            let interrupted = stop.load(Ordering::Relaxed) && step + 1 < self.steps;
            if interrupted || (step + 1) % self.save_every.max(1) == 0 || step + 1 == self.steps {
                let state = self.state(step + 1, learner.optimizer.steps());
                checkpoint::save(run, &learner, description, &state, self.keep)?;
            }
            if interrupted {
                return Ok(Outcome { model: learner.into_model(), steps: step + 1, interrupted: true });
            }
        }
        Ok(Outcome { model: learner.into_model(), steps: self.steps, interrupted: false })
    }

    fn state(&self, step: usize, optimizer_steps: usize) -> TrainState {
        TrainState {
            stage: self.name.clone(),
            step,
            optimizer_steps,
            seed: self.seed,
            samples_per_step: self.samples_per_step(),
        }
    }

    /// The newest checkpoint that can be read, if there is any.
    fn resume(&self, run: &Path, device: &Device) -> Result<Option<(Parrot, AdamW, usize)>> {
        let checkpoints = checkpoint::newest_first(run)?;
        let mut first_error = None;
        for path in &checkpoints {
            match checkpoint::load(path, self.optimizer, FloatDType::F32, device) {
                Ok((model, optimizer, state)) => {
                    let expected = self.state(state.step, state.optimizer_steps);
                    if state != expected || state.step > self.steps {
                        let reason = format!("it belongs to another run ({state:?}, expected {expected:?})");
                        return Err(Error::Checkpoint { path: path.clone(), reason });
                    }
                    tracing::info!("resuming from {}", path.display());
                    return Ok(Some((model, optimizer, state.step)));
                }
                Err(error) => {
                    tracing::warn!("{} cannot be resumed from: {error}", path.display());
                    first_error.get_or_insert(error);
                }
            }
        }
        first_error.map_or(Ok(None), Err)
    }
}
