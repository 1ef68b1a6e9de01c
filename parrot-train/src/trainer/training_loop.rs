//! The remaining steps of a stage, to the last one or until it is asked to stop.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use burn::module::Module;
use burn::prelude::*;

use super::{Stage, StageOutcome, Trainer};
use crate::checkpoint::{self, ModelDescription, RunFolder, ShardedState, TrainState, merged};
use crate::data::TrainingSample;
use crate::data::loader::{Batch, BatchLoader, LengthGrouping, Skipped};
use crate::distributed::World;
use crate::optim::CosineSchedule;
use crate::step::{ExpertUse, Learner, MicroBatch, StepReport, not_finite};
use crate::{Error, Result};

/// One process's share of a step.
struct Share {
    micro_batches: Vec<MicroBatch>,
    /// The numbers of the first micro-batch's samples in the data set.
    first: Vec<usize>,
    skipped: Vec<Skipped>,
}

impl Trainer<'_> {
    /// Does the steps that are left, to the last one or until the run is asked to stop.
    ///
    /// - observe: as for [`Stage::train`]
    ///
    /// # Errors
    ///
    /// As [`Stage::train`].
    pub fn train(self, mut observe: impl FnMut(usize, &StepReport)) -> Result<StageOutcome> {
        let Self { stage, dataset, run, folder, model, optimizer, mut state, resumed, loader } = self;
        let alone = World::default();
        let world = run.world.unwrap_or(&alone);
        let folder = folder.as_ref().or(run.held);
        let done = state.step;
        let Some(mut loader) = loader else {
            return Ok(StageOutcome { model: merged(model), steps: done, interrupted: false });
        };
        let device = model.devices().into_iter().next().unwrap_or_default();
        let mut learner = stage.learner(model, optimizer);
        let schedule = CosineSchedule::new(stage.learning_rate, stage.steps, stage.warmup_ratio);
        let mut saved = resumed;
        let mut untold = Vec::new();
        for step in done..stage.steps {
            let share = stage.next_share(&mut loader, &learner, run.description, &device, world)?;
            let skipped =
                if world.any(!share.skipped.is_empty()) { world.gather(share.skipped) } else { Vec::new() };
            for Skipped { id, .. } in &skipped {
                state.skipped += usize::from(state.skipped_ids.insert(id.clone()));
            }
            if state.skipped > stage.max_skipped {
                return Err(too_many(&skipped, state.skipped, stage.max_skipped));
            }
            state.step = step + 1;
            if world.any(!share.micro_batches.is_empty()) {
                let mut report = learner
                    .step_with(world, &share.micro_batches, schedule.learning_rate(step), state.step)
                    .map_err(|error| with_checkpoint(error, saved.as_deref()))?;
                untold.extend(skipped);
                report.skipped = std::mem::take(&mut untold);
                state.optimizer_steps = learner.optimizer.steps();
                if let Some(batch) = share.micro_batches.first().filter(|_| stage.looks_at_router(state.step))
                {
                    let languages: Vec<_> =
                        share.first.iter().map(|index| dataset.language(*index)).collect();
                    report.routing = learner.routing(batch, &languages)?;
                    check_routing(&report.routing, state.step, &batch.ids)
                        .map_err(|error| with_checkpoint(error, saved.as_deref()))?;
                }
                observe(state.step, &report);
            } else {
                let all: Vec<_> =
                    skipped.iter().map(|skipped| format!("{}: {}", skipped.id, skipped.reason)).collect();
                let all = all.join("; ");
                if state.optimizer_steps == 0 && state.step == stage.steps {
                    return Err(Error::NothingLearnt { step: state.step, samples: all });
                }
                tracing::warn!(
                    "step {}: none of its samples can be used; it moves nothing: {all}",
                    state.step
                );
                untold.extend(skipped);
            }
            let interrupted = world.any(run.stop.load(Ordering::Relaxed)) && state.step < stage.steps;
            if interrupted || state.step.is_multiple_of(stage.save_every) || state.step == stage.steps {
                if let Some(weight) = not_finite(learner.model())? {
                    let checkpoint = saved.clone();
                    return Err(Error::WeightNotFinite { step: state.step, weight, checkpoint });
                }
                saved = stage.save(world, folder, &mut learner, run.description, &state)?.or(saved);
            }
            if interrupted {
                let model = merged(learner.into_model());
                return Ok(StageOutcome { model, steps: state.step, interrupted: true });
            }
        }
        let model = merged(learner.into_model());
        Ok(StageOutcome { model, steps: stage.steps, interrupted: false })
    }
}

impl Stage {
    /// Writes a checkpoint: all processes bring their share of the optimizer, the one with the folder writes.
    fn save(
        &self,
        world: &World,
        folder: Option<&RunFolder>,
        learner: &mut Learner,
        description: &ModelDescription,
        state: &TrainState,
    ) -> Result<Option<PathBuf>> {
        learner.owners(world);
        let optimizer = ShardedState::list(world, &learner.optimizer);
        let saved = match folder {
            Some(folder) => {
                let model = learner.model();
                Some(checkpoint::save(folder, model, &optimizer, description, state, self.keep)?)
            }
            None => {
                optimizer.stream(|_| Ok(()))?;
                None
            }
        };
        world.barrier();
        Ok(saved)
    }

    /// This process's micro-batches of a step, and what is missing from them.
    fn next_share(
        &self,
        loader: &mut BatchLoader<TrainingSample>,
        learner: &Learner,
        description: &ModelDescription,
        device: &Device,
        world: &World,
    ) -> Result<Share> {
        let mut skipped = Vec::new();
        let mut batches = Vec::new();
        for batch in loader.take(self.accumulation / world.size()) {
            let Batch { samples, numbers, skipped: not_made } = batch?;
            skipped.extend(not_made);
            let mut usable = Vec::with_capacity(samples.len());
            for (number, sample) in numbers.into_iter().zip(samples) {
                match learner.check(&sample, description) {
                    Ok(()) => usable.push((number, sample)),
                    Err(Error::Sample { id, reason }) => skipped.push(Skipped { id, reason }),
                    Err(error) => return Err(error),
                }
            }
            batches.push(usable);
        }
        if self.grouping == LengthGrouping::Step {
            let mut samples = batches.concat();
            samples.sort_by_key(|(_, sample)| (sample.pixels.len(), sample.input_ids.len()));
            batches = samples.chunks(self.micro_batch_size).map(<[_]>::to_vec).collect();
        }
        batches.retain(|samples| !samples.is_empty());
        let first =
            batches.first().map_or_else(Vec::new, |batch| batch.iter().map(|(number, _)| *number).collect());
        let collate = |batch: Vec<(usize, TrainingSample)>| {
            MicroBatch::collate(batch.into_iter().map(|(_, sample)| sample).collect(), device)
        };
        Ok(Share { micro_batches: batches.into_iter().map(collate).collect(), first, skipped })
    }
}

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

/// Refuses a model whose router gives no numbers: its weights may be finite, but nothing that it answers is.
fn check_routing(routing: &[ExpertUse], step: usize, samples: &[String]) -> Result<()> {
    match routing.iter().flat_map(|used| &used.weights).find(|weight| !weight.is_finite()) {
        None => Ok(()),
        Some(weight) => Err(Error::NotFinite {
            step,
            what: "router's weight of an expert",
            value: f64::from(*weight),
            samples: samples.to_vec(),
            checkpoint: None,
        }),
    }
}

/// Adds the checkpoint to go on from to the error about a loss that is no number.
fn with_checkpoint(error: Error, saved: Option<&Path>) -> Error {
    match error {
        Error::NotFinite { step, what, value, samples, .. } => {
            Error::NotFinite { step, what, value, samples, checkpoint: saved.map(Path::to_path_buf) }
        }
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After the last step nobody would see a loss; the model was written, and its answers were none.
    #[test]
    fn a_router_that_gives_no_numbers_ends_the_run() {
        let used = |weight| [ExpertUse { language: "en".into(), weights: vec![0.5, weight] }];
        check_routing(&used(0.5), 2, &["#1".into()]).unwrap();
        let error = check_routing(&used(f32::NAN), 2, &["#1".into()]).unwrap_err().to_string();
        assert_eq!(error, "step 2: the router's weight of an expert is NaN; samples of the step: #1");
    }
}
