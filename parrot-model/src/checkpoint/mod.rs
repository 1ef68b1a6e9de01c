//! The Hugging Face layout of a model ⇄ [`Parrot`].
//!
//! ```text
//! config.json                          ParrotConfig
//! model.safetensors                    or model-0000i-of-0000n.safetensors + model.safetensors.index.json
//! tokenizer.json …                     not read here, copied when saving
//! <mm_vision_tower>/config.json        VisionConfig; here, beside this folder, or a tower known by name
//! ```
//!
//! [`Checkpoint::open`] reads the descriptions, [`Checkpoint::load`] the weights, [`save`] writes the same
//! layout so that the reference reads it back.

mod cast;
mod hub;
mod load;
pub mod names;
mod save;
mod staging;
mod tensors;
mod tower;
mod weights;

use std::path::{Path, PathBuf};

use burn::prelude::*;
use burn::tensor::FloatDType;

use crate::config::{ParrotConfig, VisionConfig};
use crate::parrot::Parrot;
use crate::vision::preprocess::ImageProcessorConfig;
use crate::{Error, Result};

pub use hub::{DownloadProgress, resolve, resolve_with};
pub use load::load_module;
pub use save::{SaveOptions, save};
pub use tensors::{ModuleTensor, module_tensors, save_module};
pub use weights::{StoredTensor, Weights};

/// A model's folder, opened: configuration read, weight files mapped, no weight loaded yet.
#[derive(Debug)]
pub struct Checkpoint {
    /// `config.json`.
    pub config: ParrotConfig,
    /// The vision tower's own `config.json`, or the built-in one of a well-known tower.
    pub vision: VisionConfig,
    /// The vision tower's `preprocessor_config.json`, or what its family uses.
    pub image_processor: ImageProcessorConfig,
    path: PathBuf,
    weights: Weights,
    /// Only where the checkpoint's own files lack the tower.
    tower_weights: Option<Weights>,
}

impl Checkpoint {
    /// Opens a model's folder.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], [`Error::Json`] or [`Error::Config`] for a configuration that cannot be used;
    /// [`Error::Checkpoint`] for weight files that are missing or broken, as [`Weights::from_folder`] says.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        if !path.is_dir() {
            return Err(Error::checkpoint(path, "no such folder"));
        }
        let config = ParrotConfig::from_file(path.join("config.json"))?;
        Self::open_with_config(path, config)
    }

    /// [`open`](Self::open) with another configuration than the folder's, for the same weights.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_with_config(path: impl AsRef<Path>, config: ParrotConfig) -> Result<Self> {
        let path = path.as_ref();
        config.validate()?;
        let tower = tower::find(path, &config)?;
        let weights = Weights::from_folder(path)?;
        let tower_weights = match weights.names().any(|name| names::in_tower_folder(name).is_some()) {
            true => None,
            false => Some(tower.weights(path)?),
        };
        Ok(Self {
            config,
            vision: tower.config,
            image_processor: tower.image_processor,
            path: path.to_path_buf(),
            weights,
            tower_weights,
        })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Builds the network and loads every weight as `dtype`, one tensor at a time.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when the configuration describes no possible model; [`Error::Checkpoint`] listing
    /// every missing, unexpected or mis-shaped tensor, or else every one whose elements cannot be used
    /// (NaN, infinite, too large for `dtype`).
    pub fn load(&self, dtype: FloatDType, device: &Device) -> Result<Parrot> {
        self.load_with(dtype, device, |_, _| ())
    }

    /// [`load`](Self::load), telling how many of the stored bytes have been read: `progress(done, total)`.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn load_with(
        &self,
        dtype: FloatDType,
        device: &Device,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<Parrot> {
        let model = Parrot::init(&self.config, &self.vision, device)?;
        let name_of = names::parrot(&self.config)?;
        let wanted = load::parameters(&model, &name_of);
        let mut problems = load::mismatches(&wanted, |name| self.find(name));
        for name in load::unwanted(&wanted, &self.weights) {
            if name == LM_HEAD && self.config.tie_word_embeddings {
                problems.extend(self.tied_head_problem());
            } else if !names::is_surplus(name, &self.config, &self.vision) {
                problems.push(format!("`{name}` is unexpected"));
            }
        }
        if !problems.is_empty() {
            return Err(self.error(problems));
        }
        let bytes = |wanted: &load::Wanted| self.find(&wanted.name).map_or(0, |stored| stored.bytes.len());
        let total = wanted.iter().map(bytes).sum::<usize>() as u64;
        let mut done = 0;
        let mut advance = |bytes| {
            done += bytes;
            progress(done, total);
        };
        load::fill(model, &name_of, |name| self.find(name), dtype, &mut advance)
            .map_err(|problems| self.error(problems))
    }

    /// A tensor of the checkpoint, or of the tower's own folder where that holds the tower.
    fn find(&self, name: &str) -> Option<StoredTensor<'_>> {
        match (&self.tower_weights, names::in_tower_folder(name)) {
            (Some(tower_weights), Some(name)) => tower_weights.get(name),
            _ => self.weights.get(name),
        }
    }

    /// A tied head may be stored, but then it has to be the embedding table.
    fn tied_head_problem(&self) -> Option<String> {
        let (head, table) = (self.weights.get(LM_HEAD)?, self.weights.get(EMBED_TOKENS)?);
        let equal = head.dtype == table.dtype && head.shape == table.shape && head.bytes == table.bytes;
        (!equal).then(|| {
            format!("`{LM_HEAD}` differs from `{EMBED_TOKENS}` although tie_word_embeddings is true")
        })
    }

    fn error(&self, problems: Vec<String>) -> Error {
        Error::Checkpoint { path: self.path.clone(), problems }
    }
}

const LM_HEAD: &str = "lm_head.weight";
const EMBED_TOKENS: &str = "model.embed_tokens.weight";
