//! A stage of training from its first step, or from where it stopped, to its last.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::module::Module;
use burn::prelude::*;
use parrot_model::parrot::Parrot;

use crate::checkpoint::{self, ModelDescription, RunFolder, TrainState};
use crate::data::loader::{Batch, BatchLoader, Grouping, LoaderOptions, Skipped};
use crate::data::{Dataset, TrainingSample};
use crate::distributed::{World, shard};
use crate::lora::LoraConfig;
use crate::optim::{CosineSchedule, Optimizer, OptimizerConfig};
use crate::step::{Learner, LossNormalisation, MicroBatch, Part, StepReport};
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
    /// The optimizer's rule and constants.
    pub optimizer: OptimizerConfig,
    /// Global gradient norm to clip at.
    pub max_grad_norm: Option<f64>,
    /// Longest sequence, pictures counted.
    pub max_length: Option<usize>,
    /// The parts that learn.
    pub trainable: BTreeSet<Part>,
    /// Low-rank adapters that learn in the decoder's place.
    pub lora: Option<LoraConfig>,
    /// Of the data's order.
    pub seed: u64,
    /// What counts alike in a step's loss.
    pub loss_normalisation: LossNormalisation,
    /// Keeps only each decoder layer's input for the backward pass, which computes the rest again.
    pub activation_checkpointing: bool,
    /// Which samples share a micro-batch. With [`LossNormalisation::MicroBatch`] the tokens of short samples
    /// weigh a little more where they are grouped.
    pub grouping: Grouping,
    /// Samples that may turn out unusable, a picture that does not decode, say, before the stage ends with an
    /// error. They are left out, and the observer is told of each.
    pub max_skipped: usize,
    /// Threads that make samples.
    pub workers: usize,
    /// Steps between checkpoints.
    pub save_every: usize,
    /// Checkpoints that stay.
    pub keep: usize,
}

/// Where a stage runs.
#[derive(Debug, Clone, Copy, derive_new::new)]
pub struct Run<'a> {
    /// Where it saves. Every stage has a folder of its own.
    pub folder: &'a Path,
    /// What its checkpoints say of the model besides the weights.
    pub description: &'a ModelDescription,
    /// Set it (on Ctrl-C, say) to save and return after the step in progress.
    pub stop: &'a AtomicBool,
    /// The processes that train together; `None` for one alone.
    #[new(default)]
    pub world: Option<&'a World>,
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
    /// The paper's first stage (its Table 13): the projector learns from captions to speak to the decoder,
    /// 256 samples a step. Set [`Parrot::use_moe`] to false: the mixture of experts is bypassed.
    #[must_use]
    pub fn stage1(steps: usize) -> Self {
        Self {
            name: "stage1".into(),
            steps,
            micro_batch_size: 8,
            accumulation: 32,
            threads: 1,
            learning_rate: 1e-3,
            warmup_ratio: 0.03,
            optimizer: OptimizerConfig::default(),
            max_grad_norm: Some(1.0),
            max_length: Some(2048),
            trainable: [Part::Projector].into(),
            lora: None,
            seed: 42,
            loss_normalisation: LossNormalisation::MicroBatch,
            activation_checkpointing: false,
            grouping: Grouping::None,
            max_skipped: 0,
            workers: 1,
            save_every: 500,
            keep: 2,
        }
    }

    /// The paper's second stage: all but the vision tower learns from conversations, 128 samples a step. Set
    /// [`Parrot::use_moe`] to true.
    #[must_use]
    pub fn stage2(steps: usize) -> Self {
        Self {
            name: "stage2".into(),
            micro_batch_size: 4,
            learning_rate: 2e-5,
            trainable: [Part::Projector, Part::Moe, Part::LanguageModel].into(),
            ..Self::stage1(steps)
        }
    }

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

    /// Trains `model`, which lives on an autodiff device, and saves on the way.
    ///
    /// If the run's folder holds checkpoints of this stage the newest one that can be read is resumed
    /// instead of `model`: on the CPU the result is bit for bit that of a run that never stopped.
    ///
    /// With [`lora`](Self::lora), `model` has to be the one that the stage started from also when it is resumed:
    /// checkpoints hold the adapters, and the decoder with the adapters merged.
    ///
    /// - observe: called after every step with its number, counted from 1
    ///
    /// # Errors
    ///
    /// - [`Error::Setting`] for a stage that cannot be trained
    /// - [`Error::Sample`], or whatever else the dataset returns, for a sample that cannot be used
    /// - [`Error::NotFinite`] when the loss or the gradient is no number; the checkpoints stay as they are
    /// - [`Error::Io`] when a checkpoint cannot be written; [`Error::InUse`] when another process has the
    ///   folder
    /// - [`Error::Checkpoint`] when there are checkpoints, but of another run, or none that can be read
    pub fn train(
        &self,
        model: Parrot,
        dataset: &Arc<dyn Dataset<Sample = TrainingSample>>,
        run: &Run<'_>,
        mut observe: impl FnMut(usize, &StepReport),
    ) -> Result<Outcome> {
        let alone = World::default();
        let world = run.world.unwrap_or(&alone);
        self.check(world)?;
        // The first process writes; the others read once it has cleaned up.
        let folder = if world.is_first() { Some(RunFolder::open(run.folder)?) } else { None };
        world.barrier();
        let mut state = self.start(dataset.as_ref());
        let (model, optimizer) = self.resume(run.folder, model, &mut state)?;
        let done = state.step;
        if done == self.steps {
            return Ok(Outcome { model: model.materialize(), steps: done, interrupted: false });
        }
        let device = device_of(&model);
        let mut learner =
            Learner::new(model, &self.trainable, optimizer, self.max_length, self.max_grad_norm);
        learner.threads = self.threads;
        learner.loss_normalisation = self.loss_normalisation;
        learner.activation_checkpointing = self.activation_checkpointing;
        let schedule = CosineSchedule::new(self.learning_rate, self.steps, self.warmup_ratio);
        let mut loader = BatchLoader::start(dataset, &self.loader_options(done * self.accumulation, world))?;
        let mut saved = checkpoint::newest_first(run.folder)?.into_iter().next();
        for step in done..self.steps {
            let (micro_batches, skipped) = self.next_step(&mut loader, run.description, &device, world)?;
            state.skipped += world.total(skipped.len() as f64) as usize;
            if state.skipped > self.max_skipped {
                return Err(too_many(&skipped, state.skipped, self.max_skipped));
            }
            state.step = step + 1;
            if world.total(micro_batches.len() as f64) > 0.0 {
                let mut report = learner
                    .step_with(world, &micro_batches, schedule.learning_rate(step), state.step)
                    .map_err(|error| with_checkpoint(error, saved.as_deref()))?;
                report.skipped = skipped;
                state.optimizer_steps = learner.optimizer.steps();
                if let Some(batch) = micro_batches.first().filter(|_| self.looks_at_router(state.step)) {
                    report.routing = learner.routing(batch)?;
                }
                observe(state.step, &report);
            } else {
                tracing::warn!("step {}: none of its samples can be used; it moves nothing", state.step);
            }
            let interrupted = world.any(run.stop.load(Ordering::Relaxed)) && state.step < self.steps;
            if interrupted || state.step.is_multiple_of(self.save_every) || state.step == self.steps {
                saved = self.save(world, folder.as_ref(), &mut learner, run.description, &state)?.or(saved);
            }
            if interrupted {
                let model = learner.into_model().materialize();
                return Ok(Outcome { model, steps: state.step, interrupted: true });
            }
        }
        let model = learner.into_model().materialize();
        Ok(Outcome { model, steps: self.steps, interrupted: false })
    }

    /// Writes a checkpoint: all processes bring their share of the optimizer, the one with the folder writes.
    fn save(
        &self,
        world: &World,
        folder: Option<&RunFolder>,
        learner: &mut Learner,
        description: &ModelDescription,
        state: &TrainState,
    ) -> Result<Option<PathBuf>> {
        let owners = learner.owners(world).clone();
        let device = device_of(learner.model()).inner();
        let optimizer = shard::gather(world, &owners, &learner.optimizer, &device);
        let saved = match (folder, optimizer) {
            (Some(folder), Some(optimizer)) => {
                let model = learner.model();
                Some(checkpoint::save(folder, model, &optimizer, description, state, self.keep)?)
            }
            _ => None,
        };
        world.barrier();
        Ok(saved)
    }

    fn looks_at_router(&self, step: usize) -> bool {
        step.is_multiple_of(ROUTING_EVERY) || step == self.steps
    }

    fn loader_options(&self, first_batch: usize, world: &World) -> LoaderOptions {
        LoaderOptions {
            micro_batch_size: self.micro_batch_size,
            seed: self.seed,
            grouping: self.grouping,
            first_batch,
            workers: self.workers,
            rank: world.rank(),
            ranks: world.size(),
        }
    }

    /// This process's micro-batches of a step, and what is missing from them.
    fn next_step(
        &self,
        loader: &mut BatchLoader<TrainingSample>,
        description: &ModelDescription,
        device: &Device,
        world: &World,
    ) -> Result<(Vec<MicroBatch>, Vec<Skipped>)> {
        let own = self.accumulation / world.size();
        let batches: Vec<Batch<TrainingSample>> = loader.take(own).collect::<Result<_>>()?;
        let (mut batches, skipped): (Vec<_>, Vec<_>) =
            batches.into_iter().map(|batch| (batch.samples, batch.skipped)).unzip();
        if self.grouping == Grouping::Step {
            let mut samples = batches.concat();
            samples.sort_by_key(|sample| (sample.pixels.len(), sample.input_ids.len()));
            batches = samples.chunks(self.micro_batch_size).map(<[_]>::to_vec).collect();
        }
        batches.retain(|samples| !samples.is_empty());
        let skipped = skipped.concat();
        let batches = batches.into_iter().map(|samples| collate(samples, description, device));
        Ok((batches.collect::<Result<_>>()?, skipped))
    }

    /// Refuses what would otherwise panic or quietly do something else.
    fn check(&self, world: &World) -> Result<()> {
        let counts = [
            ("micro_batch_size", self.micro_batch_size),
            ("accumulation", self.accumulation),
            ("save_every", self.save_every),
            ("keep", self.keep),
        ];
        let refuse =
            |key, expected: &str, found: String| Error::Setting { key, expected: expected.into(), found };
        if let Some((key, count)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return Err(refuse(key, "at least 1", count.to_string()));
        }
        if !self.accumulation.is_multiple_of(world.size()) {
            let expected = format!("a multiple of the {} processes", world.size());
            return Err(refuse("accumulation", &expected, self.accumulation.to_string()));
        }
        if let Some(lora) = &self.lora {
            lora.check()?;
            if self.trainable.contains(&Part::LanguageModel) {
                let expected = "without language_model, which the adapters learn for";
                return Err(refuse("trainable", expected, "language_model".into()));
            }
        } else if self.trainable.is_empty() {
            return Err(refuse("trainable", "at least one part", "none".into()));
        }
        let norm = self.max_grad_norm.unwrap_or(1.0);
        let rates = [
            ("learning_rate", self.learning_rate, "a number from 0 up", self.learning_rate >= 0.0),
            ("warmup_ratio", self.warmup_ratio, "from 0 to 1", (0.0..=1.0).contains(&self.warmup_ratio)),
            ("max_grad_norm", norm, "a number above 0", norm > 0.0),
        ];
        for (key, value, expected, is_sound) in rates.into_iter().chain(self.optimizer.constants()) {
            if !is_sound || !value.is_finite() {
                return Err(refuse(key, expected, value.to_string()));
            }
        }
        if self.max_length == Some(0) {
            return Err(refuse("max_length", "at least 1", "0".into()));
        }
        Ok(())
    }

    /// The state before the first step.
    fn start(&self, dataset: &dyn Dataset<Sample = TrainingSample>) -> TrainState {
        TrainState {
            stage: self.name.clone(),
            trainable: self.trainable.clone(),
            seed: self.seed,
            micro_batch_size: self.micro_batch_size,
            accumulation: self.accumulation,
            dataset_len: dataset.len(),
            data: dataset.fingerprint(),
            grouping: self.grouping,
            optimizer: self.optimizer.name().into(),
            lora: self.lora.clone(),
            step: 0,
            optimizer_steps: 0,
            skipped: 0,
        }
    }

    /// The newest checkpoint that can be read, with its state in `state`, or else `model` at step 0. A
    /// checkpoint of another run is an error, not a reason to look further: the folder was meant for something
    /// else.
    fn resume(&self, folder: &Path, model: Parrot, state: &mut TrainState) -> Result<(Parrot, Optimizer)> {
        let checkpoints = checkpoint::newest_first(folder)?;
        let device = device_of(&model);
        let Some(newest) = checkpoints.first() else {
            let model = match &self.lora {
                Some(lora) => {
                    Parrot { language_model: lora.attach(model.language_model, self.seed), ..model }
                }
                None => model,
            };
            return Ok((model, Optimizer::new(self.optimizer)));
        };
        // Memory need not hold two models: of the first only what the adapters go on.
        let adapted = self.lora.as_ref().map(|lora| lora.attach(model.language_model, self.seed));
        let mut reason = None;
        for path in &checkpoints {
            // Before the weights: another run's may not even fit the optimizer.
            let loaded = checkpoint::read_state(path).and_then(|saved| {
                let too_far = || format!("its step is {}, the stage ends at {}", saved.step, self.steps);
                let difference = state.difference(&saved).or_else(|| (saved.step > self.steps).then(too_far));
                match difference {
                    Some(difference) => Ok(Err(difference)),
                    None => checkpoint::load(path, self.optimizer, adapted.clone(), &device).map(Ok),
                }
            });
            match loaded {
                Ok(Ok((model, optimizer, saved))) => {
                    tracing::info!("resuming from {}", path.display());
                    *state = saved;
                    return Ok((model, optimizer));
                }
                Ok(Err(difference)) => {
                    let reason = format!("it belongs to another run: {difference}");
                    return Err(Error::Checkpoint { path: path.clone(), reason });
                }
                Err(error) => {
                    let error = with_sources(&error);
                    tracing::warn!("{} cannot be resumed from: {error}", path.display());
                    reason.get_or_insert(error);
                }
            }
        }
        let reason = format!(
            "none of the run's {} checkpoints can be resumed from; the newest: {}",
            checkpoints.len(),
            reason.unwrap_or_default()
        );
        Err(Error::Checkpoint { path: newest.clone(), reason })
    }
}

/// Steps between looks at the router, each of which costs a pass through tower and experts.
const ROUTING_EVERY: usize = 20;

/// The error of a stage that has left out more than it may.
fn too_many(skipped: &[Skipped], found: usize, allowed: usize) -> Error {
    match skipped {
        [Skipped { id, reason }] if allowed == 0 => Error::Sample { id: id.clone(), reason: reason.clone() },
        _ => Error::BadRecords {
            found,
            allowed,
            examples: skipped
                .iter()
                .take(5)
                .map(|Skipped { id, reason }| format!("{id}: {reason}"))
                .collect(),
        },
    }
}

/// A loss that is no number ends a run, which can go on from here.
fn with_checkpoint(error: Error, saved: Option<&Path>) -> Error {
    match error {
        Error::NotFinite { step, what, value, samples, .. } => {
            Error::NotFinite { step, what, value, samples, checkpoint: saved.map(Path::to_path_buf) }
        }
        error => error,
    }
}

/// Checks samples and puts them together.
fn collate(
    samples: Vec<TrainingSample>,
    description: &ModelDescription,
    device: &Device,
) -> Result<MicroBatch> {
    for sample in &samples {
        sample.check(&description.config, &description.vision)?;
    }
    Ok(MicroBatch::collate(samples, device))
}

fn device_of(model: &Parrot) -> Device {
    model.devices().into_iter().next().unwrap_or_default()
}

/// An error and what caused it, in one line.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_stages_have_its_batches() {
        assert_eq!(Stage::stage1(10).samples(), 2560);
        assert_eq!(Stage::stage2(10).samples_per_step(), 128);
    }
}
