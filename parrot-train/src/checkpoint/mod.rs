//! Training checkpoints: everything that a run needs to go on as if it had never stopped.
//!
//! ```text
//! <run>/.lock               held by the process at work
//! <run>/step-000500/
//!   model/                  the model in the Hugging Face layout: `parrot --model …/model` runs it
//!   optimizer.safetensors   `<parameter>.m`, `.v` (AdamW), `.t` and, where weights are held in less than f32,
//!                           `.master`
//!   adapters.safetensors    of a stage that trains low-rank adapters; `model/` has them merged, into a decoder in blocks
//!                           as it was before it was quantised
//!   state.json              TrainState
//!   checksums.json          CRC-32C of every other file: a checkpoint with a flipped bit, or without this file, counts as
//!                           unreadable
//! ```
//!
//! The checkpoint of any other module ([`save_module`]) has its weights in `module.safetensors`, beside
//! `optimizer.safetensors`.
//!
//! A checkpoint is written beside its place, waits until it is on the disk and is then renamed, so that a
//! name never stands for half of one. [`newest_first`] lists them; a run that cannot read the newest goes on
//! from the one before.

mod checksums;
mod folder;
mod optimizer;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::module::Module;
use burn::prelude::*;
use burn::tensor::FloatDType;
use parrot_model::checkpoint::{
    Checkpoint, SaveOptions, Weights, load_module as read_part, names, save_with_numbers,
};
use parrot_model::config::{ParrotConfig, VisionConfig};
use parrot_model::device::PartDtypes;
use parrot_model::image::ImageProcessorConfig;
use parrot_model::layout::CONFIG_FILE;
use parrot_model::parrot::ParrotModel;
use parrot_model::untrusted;
use serde::{Deserialize, Serialize};

use crate::data::loader::LengthGrouping;
use crate::distributed::World;
use crate::lora::{self, LoraConfig};
use crate::optim::{Optimizer, OptimizerConfig};
use crate::part::{Part, training_dtypes};
use crate::{Error, Result};

pub(crate) use checksums::verify;
pub use folder::{RunFolder, newest_first};
pub(crate) use optimizer::ShardedState;

/// What `state.json` holds at most; the ids of left out samples make it long.
const MOST_STATE_BYTES: u64 = 64 << 20;
/// The optimizer's state.
const OPTIMIZER_FILE: &str = "optimizer.safetensors";
/// The rule of the longest sequence, and what it says where there is none.
pub(crate) const MAX_LENGTH: &str = "max_length";
pub(crate) const NO_LIMIT: &str = "none";
/// The rules of what counts alike in a loss and of the norm that gradients are clipped at.
pub(crate) const LOSS_NORMALISATION: &str = "loss_normalisation";
pub(crate) const MAX_GRAD_NORM: &str = "max_grad_norm";
/// The rule of what weights are held in, and what stands in it before a decoder's own format.
pub(crate) const DTYPE: &str = "dtype";
pub(crate) const DECODER_IN: &str = ", the decoder's in ";
/// The rule of the weights that a run starts from.
pub(crate) const WEIGHTS_HASH: &str = "weights_hash";
/// The weights of a module other than a Parrot.
const MODULE_FILE: &str = "module.safetensors";

/// What describes a model besides its weights.
#[derive(Debug, Clone, derive_new::new)]
pub struct ModelDescription {
    /// `config.json`.
    pub config: ParrotConfig,
    /// The vision tower's configuration.
    pub vision: VisionConfig,
    /// The folder that tokenizer and tower files are copied from.
    pub source: PathBuf,
    /// How its pictures are preprocessed; `None`: as the source's tower says, or else as its family does.
    #[new(default)]
    pub image_processor: Option<ImageProcessorConfig>,
    /// The stored weights that a decoder in blocks of 8 or 4 bits was quantised from: what it has learnt is saved merged into
    /// them. `None` where it is held in numbers.
    #[new(default)]
    pub decoder_weights: Option<Arc<Weights>>,
    /// What distinguishes the weights that a run starts from; checkpoints of a run that started from others are refused. `None`
    /// where that is not to be compared.
    #[new(default)]
    pub weights_hash: Option<String>,
}

impl ModelDescription {
    /// Writes the model's folder, adapters merged: into a decoder in blocks as it was before it was quantised, in f32 unless
    /// `dtype` says otherwise. `config.json` says of the mixture of experts what the model does: in the paper's stage 1 it is
    /// there and bypassed.
    ///
    /// # Errors
    ///
    /// As [`parrot_model::checkpoint::save`], which refuses a decoder in blocks where
    /// [`decoder_weights`](Self::decoder_weights) are missing.
    pub fn save(&self, model: &ParrotModel, out: &Path, dtype: Option<FloatDType>) -> Result<()> {
        let options = SaveOptions {
            dtype,
            source: Some(self.source.clone()),
            image_processor: self.image_processor.clone(),
            ..SaveOptions::default()
        };
        let config = ParrotConfig { use_moe: model.use_moe, ..self.config.clone() };
        let in_blocks = model.language_model.block_format().is_some();
        let saved = match &self.decoder_weights {
            Some(stored) if in_blocks => {
                let numbers = lora::merged(&model.language_model, stored);
                save_with_numbers(model, &config, &self.vision, out, &options, &numbers)
            }
            _ => parrot_model::checkpoint::save(&merged(model.clone()), &config, &self.vision, out, &options),
        };
        Ok(saved?)
    }
}

/// The model with its adapters merged, which are added in the dtype that they learn in: weights of less bits would keep nothing of
/// what is small. Those beside weights in blocks stay: nothing can be merged into blocks.
pub(crate) fn merged(model: ParrotModel) -> ParrotModel {
    match model.language_model.block_format() {
        Some(_) => model,
        None => model.materialize(),
    }
}

/// Where a run stands, and what it must have in common with the run that goes on from there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainState {
    /// The stage's name.
    pub stage: String,
    /// The parts that learn.
    pub trainable: BTreeSet<Part>,
    /// The seed of the data's order.
    pub seed: u64,
    /// Samples of a micro-batch.
    pub micro_batch_size: usize,
    /// Micro-batches of a step.
    pub accumulation: usize,
    /// Samples of an epoch, which the order is drawn over.
    pub dataset_len: usize,
    /// What the data is: [`Dataset::fingerprint`](crate::data::Dataset::fingerprint).
    pub data: String,
    /// Which samples share a micro-batch.
    pub grouping: LengthGrouping,
    /// The optimizer's name.
    pub optimizer: String,
    /// The adapters that learn in the decoder's place.
    pub lora: Option<LoraConfig>,
    /// Steps done; the data goes on with the next one's batches.
    pub step: usize,
    /// Updates that the optimizer has counted.
    pub optimizer_steps: usize,
    /// Different samples that have been left out so far.
    pub skipped: usize,
    /// Their ids.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub skipped_ids: BTreeSet<String>,
    /// What else decides what is trained, by name: the loss, the optimizer's constants, lengths, what weights are
    /// held in. What an older version's checkpoint does not tell is not compared.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rules: BTreeMap<String, String>,
    /// The schedule that it was trained by, by the recipe's keys: learning rate, warm-up, steps. Another one is applied to
    /// the steps that are left.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub schedule: BTreeMap<String, String>,
}

impl TrainState {
    /// Why a run in this state cannot go on from `saved`; `None` when it can, whatever the steps are.
    ///
    /// What is compared is which samples come next, which weights have a state, what a step does with them, and which weights
    /// the run started from. Free to change are the schedule (learning rate, warm-up, number of steps) as long as steps are left, when checkpoints are
    /// written, threads, workers, processes, activation checkpointing and how many samples may be skipped.
    #[must_use]
    pub fn difference(&self, saved: &Self) -> Option<String> {
        let parts = |state: &Self| serde_json::to_string(&state.trainable).unwrap_or_default();
        let lora = |state: &Self| match &state.lora {
            Some(lora) => toml::Value::try_from(lora).map(|lora| lora.to_string()).unwrap_or_default(),
            None => "none".into(),
        };
        let batch_size = |state: &Self| state.micro_batch_size.saturating_mul(state.accumulation).to_string();
        let fields = [
            ("name", self.stage.clone(), saved.stage.clone()),
            ("train.parts", parts(self), parts(saved)),
            ("seed", self.seed.to_string(), saved.seed.to_string()),
            ("train.micro_batch_size", self.micro_batch_size.to_string(), saved.micro_batch_size.to_string()),
            ("train.batch_size", batch_size(self), batch_size(saved)),
            ("number of samples", self.dataset_len.to_string(), saved.dataset_len.to_string()),
            ("data", self.data.clone(), saved.data.clone()),
            ("data.grouping", self.grouping.name().into(), saved.grouping.name().into()),
            ("optimizer.name", self.optimizer.clone(), saved.optimizer.clone()),
            ("lora", lora(self), lora(saved)),
        ];
        let rules = self
            .rules
            .iter()
            .filter(|(name, _)| !saved.has_no_limit() || *name != MAX_LENGTH)
            .filter_map(|(name, ours)| Some((name, ours, saved.rules.get(name)?)))
            .flat_map(|(name, ours, theirs)| {
                let [ours, theirs] = [ours, theirs].map(|value| settings(name, value));
                ours.into_iter().zip(theirs).map(|((key, ours), (_, theirs))| (key, ours, theirs))
            });
        let differing: Vec<String> = fields
            .into_iter()
            .chain(rules)
            .filter(|(_, ours, theirs)| ours != theirs)
            .map(|(name, ours, theirs)| format!("its {name} is {theirs}, this run's is {ours}"))
            .collect();
        (!differing.is_empty()).then(|| differing.join("; "))
    }

    /// Whether it is of a run without a longest sequence. Older versions began such runs where no `max_length` was given; the
    /// model's own limit, which holds since, is applied to the steps that are left.
    pub(crate) fn has_no_limit(&self) -> bool {
        self.rules.get(MAX_LENGTH).is_some_and(|limit| limit == NO_LIMIT)
    }
}

/// What a rule says in a recipe's words: its keys and their values. Checkpoints have the words that they always had.
fn settings<'r>(rule: &'r str, value: &str) -> Vec<(&'r str, String)> {
    let key = key_of(rule);
    let in_recipe = match (rule, value) {
        (LOSS_NORMALISATION, "MicroBatch") => "micro_batch",
        (LOSS_NORMALISATION, "Tokens") => "tokens",
        (MAX_GRAD_NORM, NO_LIMIT) => "0",
        (DTYPE, _) => {
            let (dtype, decoder) = value.split_once(DECODER_IN).unwrap_or((value, "missing"));
            return vec![(key, dtype.into()), ("model.decoder_dtype", decoder.into())];
        }
        _ => value,
    };
    vec![(key, in_recipe.into())]
}

/// A rule's key in a recipe; checkpoints have the names that they always had.
fn key_of(rule: &str) -> &str {
    match rule {
        LOSS_NORMALISATION => "train.loss_normalisation",
        MAX_LENGTH => "data.max_length",
        MAX_GRAD_NORM => "train.max_grad_norm",
        "moe" => "train.moe",
        DTYPE => "model.dtype",
        "shape" => "model",
        WEIGHTS_HASH => "starting model",
        "beta1" => "optimizer.beta1",
        "beta2" => "optimizer.beta2",
        "epsilon" => "optimizer.epsilon",
        "weight_decay" => "optimizer.weight_decay",
        "decay" => "optimizer.decay",
        "clip_threshold" => "optimizer.clip_threshold",
        other => other,
    }
}

/// Writes a checkpoint into a run's folder and removes all but the newest `keep`, which is at least 1.
/// Unreadable ones that claim a later step go as well. Where the optimizer is spread over processes, they hand their
/// shares over meanwhile.
///
/// # Errors
///
/// [`Error::Io`] or what saving the model refuses; older checkpoints are then still there.
pub(crate) fn save(
    run: &RunFolder,
    model: &ParrotModel,
    optimizer: &ShardedState<'_>,
    description: &ModelDescription,
    state: &TrainState,
    keep: usize,
) -> Result<PathBuf> {
    let place = run.publish(state.step, |folder| {
        if lora::is_adapted(&model.language_model) {
            lora::write(&folder.join(lora::ADAPTERS_FILE), &model.language_model)?;
        }
        description.save(model, &folder.join("model"), None)?;
        optimizer::write(&folder.join(OPTIMIZER_FILE), optimizer)?;
        let path = folder.join("state.json");
        let text = serde_json::to_string_pretty(state).map_err(|source| broken(&path, &source))?;
        fs::write(&path, text + "\n").map_err(Error::io("write", &path))?;
        checksums::write(folder)
    })?;
    run.prune(state.step, keep.max(1))?;
    Ok(place)
}

/// The model of a checkpoint, on an autodiff device, weights held in the dtype that they were trained in.
///
/// - base: the model that the stage started from, if its decoder has adapters or is held in blocks
/// - dtype: what the stage trains in
/// - learn: the parts that learn
///
/// # Errors
///
/// [`Error::Checkpoint`] or the model's own error, naming the file that is missing or broken.
pub(crate) fn load_model(
    path: &Path,
    base: Option<ParrotModel>,
    device: &Device,
    dtype: FloatDType,
    learn: &BTreeSet<Part>,
) -> Result<ParrotModel> {
    let folder = path.join("model");
    let dtypes = training_dtypes(device, dtype.into(), learn);
    let Some(mut model) = base else {
        return Ok(Checkpoint::open(&folder)?.load(dtypes, device)?);
    };
    // The decoder that is stored has the adapters merged, or is what the blocks were made from: it is not even read.
    if lora::is_adapted(&model.language_model) {
        model.language_model = lora::read(&path.join(lora::ADAPTERS_FILE), model.language_model)?;
    }
    let config = ParrotConfig::from_file(folder.join(CONFIG_FILE))?;
    let weights = Weights::from_folder(&folder)?;
    let PartDtypes { vision_tower, others, .. } = dtypes;
    let name_of = names::parrot(&config)?;
    let within = |part: &str| {
        let (part, name_of) = (part.to_owned(), &name_of);
        move |path: &[String]| name_of(&[std::slice::from_ref(&part), path].concat())
    };
    model.vision_tower = read_part(model.vision_tower, &weights, within("vision_tower"), vision_tower)?;
    model.mm_projector = read_part(model.mm_projector, &weights, within("mm_projector"), others)?;
    let moe = model.moe_model.map(|moe| read_part(moe, &weights, within("moe_model"), others));
    model.moe_model = moe.transpose()?;
    model.use_moe = config.use_moe;
    Ok(model)
}

/// The optimizer of a checkpoint.
///
/// - only: the parameters whose state is wanted; all where it is missing
pub(crate) fn load_optimizer(
    path: &Path,
    model: &ParrotModel,
    config: OptimizerConfig,
    state: &TrainState,
    only: Option<&BTreeSet<String>>,
) -> Result<Optimizer> {
    if state.optimizer != config.name() {
        let reason = format!("its optimizer is {}, this run's is {}", state.optimizer, config.name());
        return Err(broken(path, &reason));
    }
    let parameters = optimizer::read(&path.join(OPTIMIZER_FILE), model, &config, only)?;
    Ok(Optimizer::resume(config, state.optimizer_steps, parameters))
}

/// Writes a checkpoint of a module other than a Parrot, such as a vision tower with heads of its own, into its run's
/// folder, and removes all but the newest `keep`, which is at least 1.
///
/// # Errors
///
/// [`Error::Io`] or what saving the weights refuses; older checkpoints are then still there.
pub fn save_module(
    run: &RunFolder,
    module: &impl Module,
    optimizer: &Optimizer,
    keep: usize,
) -> Result<PathBuf> {
    let step = optimizer.steps();
    let place = run.publish(step, |folder| {
        parrot_model::checkpoint::save_module(module, dotted, folder.join(MODULE_FILE), None)?;
        optimizer::write(&folder.join(OPTIMIZER_FILE), &ShardedState::list(&World::default(), optimizer))?;
        checksums::write(folder)
    })?;
    run.prune(step, keep.max(1))?;
    Ok(place)
}

/// Reads the newest checkpoint of [`save_module`] that is readable into a fresh module; unreadable ones are passed over
/// with a warning. Without any, module and optimizer stay fresh. [`Optimizer::steps`] tells how far they are.
///
/// # Errors
///
/// [`Error::Io`] when the folder cannot be listed.
pub fn load_module<M: Module>(run: &RunFolder, module: M, config: OptimizerConfig) -> Result<(M, Optimizer)> {
    let read = |path: &Path| -> Result<(M, Optimizer)> {
        let steps = folder::step_of(path).unwrap_or(0);
        checksums::verify(path)?;
        let weights = Weights::from_file(path.join(MODULE_FILE))?;
        let module = read_part(module.clone(), &weights, dotted, FloatDType::F32)?;
        let parameters = optimizer::read(&path.join(OPTIMIZER_FILE), &module, &config, None)?;
        Ok((module, Optimizer::resume(config, steps, parameters)))
    };
    for path in newest_first(run.path())? {
        match read(&path) {
            Ok(found) => return Ok(found),
            Err(error) => tracing::warn!("{} is passed over: {error}", path.display()),
        }
    }
    Ok((module, Optimizer::new(config)))
}

/// A parameter's name in [`MODULE_FILE`].
fn dotted(path: &[String]) -> String {
    path.join(".")
}

/// The state of the run that wrote a checkpoint.
///
/// # Errors
///
/// [`Error::Io`] or [`Error::Checkpoint`].
pub fn read_state(path: &Path) -> Result<TrainState> {
    let file = path.join("state.json");
    let text = untrusted::read_text(&file, MOST_STATE_BYTES)?;
    untrusted::from_json(text.as_bytes()).map_err(|error| broken(&file, &error))
}

fn broken(path: &Path, reason: &impl ToString) -> Error {
    Error::Checkpoint { path: path.to_path_buf(), reason: reason.to_string() }
}
