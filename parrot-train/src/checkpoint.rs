//! Training checkpoints: all that a run needs to go on as if it had never stopped.
//!
//! ```text
//! <run>/step-000500/
//!   model/                  the model in the Hugging Face layout: `parrot --model …/model` runs it
//!   optimizer.safetensors   `<parameter>.m`, `.v` and, where weights are held in less than f32, `.master`
//!   state.json              TrainState
//! ```
//!
//! A checkpoint is written beside its place and renamed into it, so that a name never stands for half of
//! one. [`newest_first`] lists them; a run that cannot read the newest goes on from the one before.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use burn::prelude::*;
use burn::tensor::{DType, FloatDType};
use parrot_model::checkpoint::{Checkpoint, SaveOptions, Weights};
use parrot_model::config::{ParrotConfig, VisionConfig};
use parrot_model::parrot::Parrot;
use safetensors::tensor::TensorView;
use serde::{Deserialize, Serialize};

use crate::optim::adamw::Moments;
use crate::optim::{AdamW, AdamWConfig};
use crate::step::Learner;
use crate::{Error, Result};

/// What describes a model besides its weights.
#[derive(Debug, Clone)]
pub struct ModelDescription {
    /// `config.json`.
    pub config: ParrotConfig,
    /// The vision tower's configuration.
    pub vision: VisionConfig,
    /// The folder that tokenizer and tower files are copied from.
    pub source: PathBuf,
}

impl ModelDescription {
    /// Writes the model's folder.
    ///
    /// # Errors
    ///
    /// As [`parrot_model::checkpoint::save`].
    pub fn save(&self, model: &Parrot, out: &Path, dtype: Option<FloatDType>) -> Result<()> {
        let options = SaveOptions { dtype, source: Some(self.source.clone()), ..SaveOptions::default() };
        Ok(parrot_model::checkpoint::save(model, &self.config, &self.vision, out, &options)?)
    }
}

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainState {
    /// The stage's name.
    pub stage: String,
    /// Steps done; the data goes on with the next one's batches.
    pub step: usize,
    /// Updates that the optimizer has counted.
    pub optimizer_steps: usize,
    /// The seed of the data's order. A run with another one is another run.
    pub seed: u64,
    /// Samples per step, which the data's position is counted in.
    pub samples_per_step: usize,
}

/// Writes a checkpoint into `run` and removes all but the newest `keep`.
///
/// # Errors
///
/// [`Error::Io`] or what saving the model refuses; older checkpoints are then still there.
pub fn save(
    run: &Path,
    learner: &Learner,
    description: &ModelDescription,
    state: &TrainState,
    keep: usize,
) -> Result<PathBuf> {
    fs::create_dir_all(run).map_err(Error::io("create", run))?;
    let place = run.join(format!("step-{:06}", state.step));
    let aside = run.join(format!(".partial-{}", std::process::id()));
    if aside.exists() {
        fs::remove_dir_all(&aside).map_err(Error::io("remove", &aside))?;
    }
    fs::create_dir(&aside).map_err(Error::io("create", &aside))?;
    let written = write(&aside, learner, description, state);
    if let Err(error) = written {
        // Best effort: the error that matters is the first one.
        let _ = fs::remove_dir_all(&aside);
        return Err(error);
    }
    if place.exists() {
        fs::remove_dir_all(&place).map_err(Error::io("replace", &place))?;
    }
    fs::rename(&aside, &place).map_err(Error::io("publish", &place))?;
    for old in newest_first(run)?.into_iter().skip(keep.max(1)) {
        fs::remove_dir_all(&old).map_err(Error::io("remove", &old))?;
    }
    Ok(place)
}

fn write(folder: &Path, learner: &Learner, description: &ModelDescription, state: &TrainState) -> Result<()> {
    description.save(learner.model(), &folder.join("model"), None)?;
    write_optimizer(&folder.join("optimizer.safetensors"), &learner.optimizer)?;
    let path = folder.join("state.json");
    let text = serde_json::to_string_pretty(state).map_err(|source| broken(&path, &source))?;
    fs::write(&path, text + "\n").map_err(Error::io("write", &path))?;
    for file in [path, folder.join("optimizer.safetensors")] {
        fs::File::open(&file).and_then(|file| file.sync_all()).map_err(Error::io("sync", &file))?;
    }
    Ok(())
}

fn write_optimizer(path: &Path, optimizer: &AdamW) -> Result<()> {
    let mut tensors: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for (name, moments) in optimizer.state() {
        let parts =
            [("m", Some(&moments.first)), ("v", Some(&moments.second)), ("master", moments.master.as_ref())];
        for (part, tensor) in parts {
            let Some(tensor) = tensor else { continue };
            let data = tensor.clone().try_into_data().map_err(|error| broken(path, &error))?;
            tensors.insert(format!("{name}.{part}"), data.as_bytes().to_vec());
        }
    }
    let views: Result<Vec<_>, _> = tensors
        .iter()
        .map(|(name, bytes)| {
            let view = TensorView::new(safetensors::Dtype::F32, vec![bytes.len() / 4], bytes);
            view.map(|view| (name, view))
        })
        .collect();
    let views = views.map_err(|error| broken(path, &error))?;
    safetensors::serialize_to_file(views, None, path).map_err(|error| broken(path, &error))
}

/// The checkpoints of a run, newest first.
///
/// # Errors
///
/// [`Error::Io`] when the folder is there and cannot be listed.
pub fn newest_first(run: &Path) -> Result<Vec<PathBuf>> {
    if !run.exists() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(run).map_err(Error::io("read", run))? {
        let path = entry.map_err(Error::io("read", run))?.path();
        let is_checkpoint = path
            .file_name()
            .and_then(|name| name.to_str()?.strip_prefix("step-")?.parse::<usize>().ok())
            .is_some();
        if is_checkpoint {
            found.push(path);
        }
    }
    found.sort();
    found.reverse();
    Ok(found)
}

/// Reads a checkpoint.
///
/// # Errors
///
/// [`Error::Checkpoint`] or the model's own error, naming the file that is missing or broken.
pub fn load(
    path: &Path,
    optimizer: AdamWConfig,
    dtype: FloatDType,
    device: &Device,
) -> Result<(Parrot, AdamW, TrainState)> {
    let file = path.join("state.json");
    let text = fs::read_to_string(&file).map_err(Error::io("read", &file))?;
    let state: TrainState = serde_json::from_str(&text).map_err(|error| broken(&file, &error))?;
    let model = Checkpoint::open(path.join("model"))?.load(dtype, device)?;
    let moments = read_optimizer(&path.join("optimizer.safetensors"), device)?;
    Ok((model, AdamW::resume(optimizer, state.optimizer_steps, moments), state))
}

fn read_optimizer(path: &Path, device: &Device) -> Result<BTreeMap<String, Moments>> {
    let weights = Weights::from_file(path)?;
    let device = device.clone().inner();
    let read = |name: &str| -> Option<Tensor<1>> {
        let stored = weights.get(name)?;
        let bytes = burn::tensor::Bytes::from_bytes_vec(stored.bytes.to_vec());
        let data = TensorData::from_bytes(bytes, [stored.bytes.len() / 4], DType::F32);
        Some(Tensor::from_data(data, (&device, DType::F32)))
    };
    let names = weights.names().filter_map(|name| name.strip_suffix(".m"));
    let mut state = BTreeMap::new();
    for name in names {
        let first = read(&format!("{name}.m"));
        let second = read(&format!("{name}.v"));
        let (Some(first), Some(second)) = (first, second) else {
            return Err(broken(path, &format!("`{name}.v` is missing")));
        };
        state.insert(name.to_string(), Moments { first, second, master: read(&format!("{name}.master")) });
    }
    Ok(state)
}

fn broken(path: &Path, reason: &impl ToString) -> Error {
    Error::Checkpoint { path: path.to_path_buf(), reason: reason.to_string() }
}
