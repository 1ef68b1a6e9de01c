//! Before the first step: the folder is locked, the stage checked, the newest readable checkpoint loaded.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::module::Module;
use burn::prelude::*;
use burn::tensor::{DType, FloatDType};
use parrot_model::config::{ParrotConfig, VisionConfig};
use parrot_model::error_chain;
use parrot_model::parrot::ParrotModel;

use super::{Run, Stage};
use crate::checkpoint::{self, RunFolder, TrainState};
use crate::data::loader::BatchLoader;
use crate::data::{Dataset, TrainingSample};
use crate::distributed::World;
use crate::distributed::shard::Owners;
use crate::optim::Optimizer;
use crate::step::{HeldIn, freeze_others, weight_dtype_of};
use crate::{Error, Result};

/// A stage with its model, its data and where it goes on from: all that its remaining steps need. Holds the run's folder
/// until it ends. [`Stage::train`] does both halves at once.
pub struct Trainer<'a> {
    pub(super) stage: &'a Stage,
    pub(super) dataset: &'a Arc<dyn Dataset<Sample = TrainingSample>>,
    pub(super) run: Run<'a>,
    /// `None` if the caller holds it.
    pub(super) folder: Option<RunFolder>,
    pub(super) model: ParrotModel,
    pub(super) optimizer: Optimizer,
    pub(super) state: TrainState,
    /// The checkpoint that it goes on from.
    pub(super) resumed: Option<PathBuf>,
    /// `None` when all steps have been done.
    pub(super) loader: Option<BatchLoader<TrainingSample>>,
}

impl fmt::Debug for Trainer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trainer").field("run", &self.run).field("state", &self.state).finish_non_exhaustive()
    }
}

/// What a checkpoint held.
struct Resumed {
    model: ParrotModel,
    optimizer: Optimizer,
    state: TrainState,
}

impl<'a> Trainer<'a> {
    /// Everything of a stage that can be refused before anything is written: locks the folder, checks the stage, loads
    /// the newest checkpoint that can be read, or else takes `model`.
    ///
    /// # Errors
    ///
    /// As [`Stage::train`].
    pub fn open(
        stage: &'a Stage,
        model: ParrotModel,
        dataset: &'a Arc<dyn Dataset<Sample = TrainingSample>>,
        run: &Run<'a>,
    ) -> Result<Self> {
        let alone = World::default();
        let world = run.world.unwrap_or(&alone);
        stage.check(world, &run.description.config)?;
        stage.check_widths(&model, run.description)?;
        // The first process writes; the others read once it has cleaned up.
        let holds = world.is_first() && run.held.is_none();
        let folder = if holds { Some(RunFolder::open(run.folder)?) } else { None };
        world.barrier();
        let initial = stage.initial_state(dataset.as_ref(), &model, run);
        let (resumed, Resumed { model, optimizer, state }) = stage.resume(world, run, model, initial)?;
        let loader = match state.step {
            done if done == stage.steps => None,
            done => {
                let options = stage.loader_options(done * stage.accumulation, world, &run.description.vision);
                Some(BatchLoader::start(dataset, &options)?)
            }
        };
        Ok(Self { stage, dataset, run: *run, folder, model, optimizer, state, resumed, loader })
    }

    /// Steps that have been done.
    #[must_use]
    pub fn steps_done(&self) -> usize {
        self.state.step
    }
}

impl Stage {
    /// The state before the first step.
    fn initial_state(
        &self,
        dataset: &dyn Dataset<Sample = TrainingSample>,
        model: &ParrotModel,
        run: &Run<'_>,
    ) -> TrainState {
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
            skipped_ids: BTreeSet::new(),
            rules: self.rules(model, run),
            schedule: self.schedule(),
        }
    }

    /// What decides how fast the steps that are left are, and how many there are.
    fn schedule(&self) -> BTreeMap<String, String> {
        [
            ("train.learning_rate", self.learning_rate.to_string()),
            ("train.warmup_ratio", self.warmup_ratio.to_string()),
            ("train.steps", self.steps.to_string()),
        ]
        .map(|(key, value)| (key.into(), value))
        .into()
    }

    /// How the schedule differs from a checkpoint's.
    fn rescheduled(&self, saved: &TrainState) -> Vec<String> {
        let ours = self.schedule();
        let differing = saved.schedule.iter().filter_map(|(key, theirs)| {
            let ours = ours.get(key).filter(|ours| *ours != theirs)?;
            Some(format!("its {key} is {theirs}, this run's is {ours}"))
        });
        differing.collect()
    }

    /// What decides what is trained, besides what the state has fields for.
    fn rules(&self, model: &ParrotModel, run: &Run<'_>) -> BTreeMap<String, String> {
        let or_none = |value: Option<String>| value.unwrap_or_else(|| checkpoint::NO_LIMIT.into());
        let dtype = DType::from(trained_in(run, model));
        let blocks = model.language_model.block_format();
        let decoder =
            blocks.map_or_else(String::new, |format| format!("{}{}", checkpoint::DECODER_IN, format.name()));
        let rules = [
            (checkpoint::LOSS_NORMALISATION, self.loss_normalisation.name().into()),
            (checkpoint::MAX_LENGTH, or_none(self.max_length.map(|length| length.to_string()))),
            (checkpoint::MAX_GRAD_NORM, or_none(self.max_grad_norm.map(|norm| norm.to_string()))),
            ("moe", model.use_moe.to_string()),
            (checkpoint::DTYPE, format!("{dtype:?}").to_lowercase() + &decoder),
            ("shape", shape(&run.description.config, &run.description.vision)),
        ];
        let constants = self.optimizer.constants().into_iter().map(|(key, value, ..)| {
            // As checkpoints have always had them.
            (key.trim_start_matches("optimizer."), value.to_string())
        });
        let hash = run.description.weights_hash.as_ref();
        let weights =
            hash.map(|hash| (checkpoint::WEIGHTS_HASH, format!("one whose weights have the hash {hash}")));
        rules.into_iter().chain(constants).chain(weights).map(|(key, value)| (key.into(), value)).collect()
    }

    /// The newest checkpoint that all processes can read, or else `model` at step 0. A checkpoint of another run is an
    /// error, not a reason to look further: the folder was meant for something else.
    fn resume(
        &self,
        world: &World,
        run: &Run<'_>,
        model: ParrotModel,
        initial: TrainState,
    ) -> Result<(Option<PathBuf>, Resumed)> {
        let checkpoints = checkpoint::newest_first(run.folder)?;
        let mut held = (trained_in(run, &model), HeldIn::of(&model));
        let device = model.devices().into_iter().next().unwrap_or_default();
        let model = match &self.lora {
            Some(lora) => {
                ParrotModel { language_model: lora.attach(model.language_model, self.seed), ..model }
            }
            None => model,
        };
        if checkpoints.is_empty() {
            return Ok((None, Resumed { model, optimizer: Optimizer::new(self.optimizer), state: initial }));
        }
        // So that memory need not hold two models: only adapters, and blocks, come from the model that the stage started from.
        let is_base = self.lora.is_some() || model.language_model.block_format().is_some();
        let base = is_base.then_some(model);
        let mut reason = None;
        for path in &checkpoints {
            // Checked before the weights are read: those of another run may not even fit the optimizer.
            let found =
                checkpoint::read_state(path).and_then(|saved| match self.difference(&initial, &saved) {
                    Some(difference) => Ok(Err(difference)),
                    None => self.load(world, path, base.clone(), &device, &mut held, saved).map(Ok),
                });
            // All processes go on from the same checkpoint.
            let all_can = !world.any(found.is_err());
            let error = match found {
                Ok(Err(difference)) => {
                    let reason = format!("it belongs to another run: {difference}");
                    return Err(Error::Checkpoint { path: path.clone(), reason });
                }
                Ok(Ok(mut resumed)) if all_can => {
                    tracing::info!("resuming from {}", path.display());
                    let rescheduled = self.rescheduled(&resumed.state);
                    if !rescheduled.is_empty() {
                        tracing::warn!(
                            "{}: {}; the new schedule holds from step {} on",
                            path.display(),
                            rescheduled.join("; "),
                            resumed.state.step + 1
                        );
                    }
                    if let Some(limit) = self.max_length.filter(|_| resumed.state.has_no_limit()) {
                        tracing::warn!(
                            "{}: it was begun without data.max_length; from step {} on the longest sequence is {limit}",
                            path.display(),
                            resumed.state.step + 1
                        );
                    }
                    resumed.state.rules.extend(initial.rules);
                    resumed.state.schedule = initial.schedule;
                    return Ok((Some(path.clone()), resumed));
                }
                Ok(Ok(_)) => "another process cannot read it".into(),
                Err(error) => error_chain(&error),
            };
            tracing::warn!("{} cannot be resumed from: {error}", path.display());
            reason.get_or_insert(error);
        }
        let reason = format!(
            "none of the run's {} checkpoints can be resumed from; the newest: {}",
            checkpoints.len(),
            reason.unwrap_or_default()
        );
        Err(Error::Checkpoint { path: checkpoints.into_iter().next().unwrap_or_default(), reason })
    }

    /// The weights of a checkpoint, and this process's share of its optimizer.
    fn load(
        &self,
        world: &World,
        path: &Path,
        base: Option<ParrotModel>,
        device: &Device,
        (dtype, held): &mut (FloatDType, HeldIn),
        state: TrainState,
    ) -> Result<Resumed> {
        checkpoint::verify(path)?;
        let model = checkpoint::load_model(path, base, device, *dtype, &self.trainable)?;
        let model = freeze_others(held.hold(model), &self.trainable);
        let own = (world.size() > 1).then(|| Owners::new(&model, world.size()).owned_by(world.rank()));
        let optimizer = checkpoint::load_optimizer(path, &model, self.optimizer, &state, own.as_ref())?;
        Ok(Resumed { model, optimizer, state })
    }

    /// Why the run cannot go on from a state.
    fn difference(&self, initial: &TrainState, saved: &TrainState) -> Option<String> {
        let too_far = || format!("its step is {}, the stage ends at {}", saved.step, self.steps);
        // With no step left, another schedule would be of no effect, and nobody would be told.
        let rescheduled = || {
            let rescheduled = self.rescheduled(saved);
            let is_done = saved.step == self.steps && !rescheduled.is_empty();
            is_done.then(|| format!("it is done, and {}", rescheduled.join("; ")))
        };
        let too_far = || (saved.step > self.steps).then(too_far);
        initial.difference(saved).or_else(too_far).or_else(rescheduled)
    }
}

/// What the stage trains in.
fn trained_in(run: &Run<'_>, model: &ParrotModel) -> FloatDType {
    run.dtype.or_else(|| weight_dtype_of(model)).unwrap_or(FloatDType::F32)
}

/// The shape of a model in a line: another one's checkpoint is another run's.
fn shape(config: &ParrotConfig, vision: &VisionConfig) -> String {
    let decoder = &config.decoder;
    format!(
        "{} of {} layers, {} wide, {} words; tower of {} layers, {} wide, {} pixels",
        config.model_type,
        decoder.num_hidden_layers,
        decoder.hidden_size,
        decoder.vocab_size,
        vision.num_hidden_layers,
        vision.hidden_size,
        vision.image_size
    )
}
