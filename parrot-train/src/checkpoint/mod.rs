//! Training checkpoints: all that a run needs to go on as if it had never stopped.
//!
//! ```text
//! <run>/.lock               held by the process at work
//! <run>/step-000500/
//!   model/                  the model in the Hugging Face layout: `parrot --model …/model` runs it
//!   optimizer.safetensors   `<parameter>.m`, `.v` (AdamW), `.t` and, where weights are held in less than f32,
//!                           `.master`
//!   adapters.safetensors    of a stage that trains low-rank adapters; `model/` has them merged
//!   state.json              TrainState
//! ```
//!
//! That of a module that is no Parrot ([`save_module`]) has its weights in `module.safetensors`, beside
//! `optimizer.safetensors`.
//!
//! A checkpoint is written beside its place, waits until it is on the disk and is then renamed, so that a
//! name never stands for half of one. [`newest_first`] lists them; a run that cannot read the newest goes on
//! from the one before.

mod folder;
mod optimizer;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::prelude::*;
use burn::tensor::FloatDType;
use parrot_model::checkpoint::{Checkpoint, SaveOptions, Weights};
use parrot_model::config::{ParrotConfig, VisionConfig};
use parrot_model::language::Qwen2;
use parrot_model::parrot::Parrot;
use serde::{Deserialize, Serialize};

use crate::data::loader::Grouping;
use crate::lora::{self, LoraConfig};
use crate::optim::{Optimizer, OptimizerConfig};
use crate::step::Part;
use crate::{Error, Result};

pub use folder::{RunFolder, newest_first};

/// The optimizer's state.
const OPTIMIZER_FILE: &str = "optimizer.safetensors";
/// The weights of a module that is no Parrot.
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
}

impl ModelDescription {
    /// Writes the model's folder. `config.json` says of the mixture of experts what the model does: in the
    /// paper's stage 1 it is there and bypassed.
    ///
    /// # Errors
    ///
    /// As [`parrot_model::checkpoint::save`].
    pub fn save(&self, model: &Parrot, out: &Path, dtype: Option<FloatDType>) -> Result<()> {
        let options = SaveOptions { dtype, source: Some(self.source.clone()), ..SaveOptions::default() };
        let config = ParrotConfig { use_moe: model.use_moe, ..self.config.clone() };
        Ok(parrot_model::checkpoint::save(model, &config, &self.vision, out, &options)?)
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
    pub grouping: Grouping,
    /// The optimizer's name.
    pub optimizer: String,
    /// The adapters that learn in the decoder's place.
    pub lora: Option<LoraConfig>,
    /// Steps done; the data goes on with the next one's batches.
    pub step: usize,
    /// Updates that the optimizer has counted.
    pub optimizer_steps: usize,
    /// Samples that could not be made so far.
    pub skipped: usize,
}

impl TrainState {
    /// Why a run in this state cannot go on from `saved`; `None` when it can, whatever the steps are.
    ///
    /// Learning rate, number of steps, threads and workers are free to change: they have no part in which
    /// samples come next or in which weights have a state.
    #[must_use]
    pub fn difference(&self, saved: &Self) -> Option<String> {
        let parts = |state: &Self| format!("{:?}", state.trainable);
        let fields = [
            ("stage", self.stage.clone(), saved.stage.clone()),
            ("trainable", parts(self), parts(saved)),
            ("seed", self.seed.to_string(), saved.seed.to_string()),
            ("micro_batch_size", self.micro_batch_size.to_string(), saved.micro_batch_size.to_string()),
            ("accumulation", self.accumulation.to_string(), saved.accumulation.to_string()),
            ("dataset_len", self.dataset_len.to_string(), saved.dataset_len.to_string()),
            ("data", self.data.clone(), saved.data.clone()),
            ("grouping", format!("{:?}", self.grouping), format!("{:?}", saved.grouping)),
            ("optimizer", self.optimizer.clone(), saved.optimizer.clone()),
            ("lora", format!("{:?}", self.lora), format!("{:?}", saved.lora)),
        ];
        let differing: Vec<String> = fields
            .into_iter()
            .filter(|(_, ours, theirs)| ours != theirs)
            .map(|(name, ours, theirs)| format!("its {name} is {theirs}, this run's is {ours}"))
            .collect();
        (!differing.is_empty()).then(|| differing.join("; "))
    }
}

/// Writes a checkpoint into a run's folder and removes all but the newest `keep`, which is at least 1.
/// Unreadable ones that claim a later step go as well.
///
/// # Errors
///
/// [`Error::Io`] or what saving the model refuses; older checkpoints are then still there.
pub fn save(
    run: &RunFolder,
    model: &Parrot,
    optimizer: &Optimizer,
    description: &ModelDescription,
    state: &TrainState,
    keep: usize,
) -> Result<PathBuf> {
    let place = run.publish(state.step, |folder| {
        if lora::is_adapted(&model.language_model) {
            lora::write(&folder.join(lora::ADAPTERS_FILE), &model.language_model)?;
            description.save(&model.clone().materialize(), &folder.join("model"), None)?;
        } else {
            description.save(model, &folder.join("model"), None)?;
        }
        optimizer::write(&folder.join(OPTIMIZER_FILE), optimizer)?;
        let path = folder.join("state.json");
        let text = serde_json::to_string_pretty(state).map_err(|source| broken(&path, &source))?;
        fs::write(&path, text + "\n").map_err(Error::io("write", &path))
    })?;
    run.prune(state.step, keep.max(1))?;
    Ok(place)
}

/// Reads a checkpoint onto an autodiff device, weights held in the dtype that they were trained in.
///
/// - adapted: the decoder, with adapters, that the stage started from, if it trains some
///
/// # Errors
///
/// [`Error::Checkpoint`] or the model's own error, naming the file that is missing or broken.
pub fn load(
    path: &Path,
    optimizer: OptimizerConfig,
    adapted: Option<Qwen2>,
    device: &Device,
) -> Result<(Parrot, Optimizer, TrainState)> {
    let state = read_state(path)?;
    if state.optimizer != optimizer.name() {
        let reason = format!("its optimizer is {}, this run's is {}", state.optimizer, optimizer.name());
        return Err(broken(path, &reason));
    }
    let stored = Checkpoint::open(path.join("model"))?;
    let dtype = match stored.config.torch_dtype.as_deref() {
        Some("float16") => FloatDType::F16,
        Some("bfloat16") => FloatDType::BF16,
        _ => FloatDType::F32,
    };
    let mut model = stored.load(dtype, device)?;
    if let Some(decoder) = adapted {
        model.language_model = lora::read(&path.join(lora::ADAPTERS_FILE), decoder)?;
    }
    let parameters = optimizer::read(&path.join(OPTIMIZER_FILE), &model, &optimizer)?;
    Ok((model, Optimizer::resume(optimizer, state.optimizer_steps, parameters), state))
}

/// Writes a checkpoint of a module that is no Parrot, a vision tower with heads of its own for one, into its run's
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
        optimizer::write(&folder.join(OPTIMIZER_FILE), optimizer)
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
        let weights = Weights::from_file(path.join(MODULE_FILE))?;
        let module =
            parrot_model::checkpoint::load_module(module.clone(), &weights, dotted, FloatDType::F32)?;
        let parameters = optimizer::read(&path.join(OPTIMIZER_FILE), &module, &config)?;
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

/// Where the run stood that wrote a checkpoint.
///
/// # Errors
///
/// [`Error::Io`] or [`Error::Checkpoint`].
pub fn read_state(path: &Path) -> Result<TrainState> {
    let file = path.join("state.json");
    let text = fs::read_to_string(&file).map_err(Error::io("read", &file))?;
    serde_json::from_str(&text).map_err(|error| broken(&file, &error))
}

fn broken(path: &Path, reason: &impl ToString) -> Error {
    Error::Checkpoint { path: path.to_path_buf(), reason: reason.to_string() }
}
