//! The Hugging Face layout of a model ⇄ [`ParrotModel`].
//!
//! ```text
//! config.json                          ParrotConfig
//! model.safetensors                    or model-0000i-of-0000n.safetensors + model.safetensors.index.json
//! tokenizer.json …                     not read here, copied when saving
//! <mm_vision_tower>/config.json        VisionConfig; here, beside this folder, or a tower known by name
//! <mm_vision_tower>/model.safetensors  the tower alone, for the reference and `CLIPVisionModel`
//! ```
//!
//! A decoder alone has the same layout without a tower: [`DecoderCheckpoint`].
//!
//! [`Checkpoint::open`] reads the descriptions ([`Description::open`] nothing else), [`Checkpoint::load`] the weights,
//! [`save`] writes the same layout so that the reference reads it back.

mod block_file;
mod cast;
mod cast_gguf;
mod decoder;
mod hub;
mod load;
mod model_weights;
pub mod names;
mod quantize;
mod save;
mod save_quantized;
mod staging;
mod stored_tensor;
mod tensors;
#[cfg(test)]
mod testing;
mod tower;
mod transformers;
mod weights;

use std::path::{Path, PathBuf};

use burn::prelude::*;

use self::tower::Tower;
use crate::config::{ParrotConfig, VisionConfig};
use crate::device::{PartDtypes, WeightDtype};
use crate::image::ImageProcessorConfig;
use crate::layout::CONFIG_FILE;
use crate::parrot::ParrotModel;
use crate::quantization::BlockFormat;
use crate::{Error, Result, device, gguf};

use model_weights::{ModelWeights, StoredModel};

pub use crate::files::Files;
pub use decoder::{DecoderCheckpoint, DecoderDescription};
pub use hub::{
    DownloadProgress, resolve, resolve_description, resolve_part, resolve_part_description, resolve_with,
};
pub use load::{load_found, load_module};
pub use save::{SaveOptions, save, save_with_numbers};
pub use staging::keep_other_files;
pub use stored_tensor::StoredTensor;
pub use tensors::{Numbers, save_module};
pub use tower::load_vision_tower;
pub use transformers::export_transformers;
pub use weights::Weights;

/// What a model's folder says about the network. Weights are not read and need not be there.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Description {
    /// `config.json`.
    pub config: ParrotConfig,
    /// The vision tower's own `config.json`, or the built-in one of a well-known tower.
    pub vision: VisionConfig,
    /// The vision tower's `preprocessor_config.json`, or what its family uses.
    pub image_processor: ImageProcessorConfig,
    /// As [`VisionConfig::unknown_keys`] names them, of the tower's own `config.json`.
    pub unknown_tower_keys: Vec<String>,
    /// As [`ImageProcessorConfig::unknown_keys`] names them.
    pub unknown_processor_keys: Vec<String>,
    /// For a notice to the user: the model's own folder has an image processor that is not read, because the one in the tower's
    /// folder counts, and it says otherwise or is broken.
    pub unread_processor: Option<String>,
}

impl Description {
    /// Reads a model's folder. A tower that is only on the hub is downloaded from there.
    ///
    /// # Errors
    ///
    /// As [`Checkpoint::open`], except for those about weights.
    pub fn open(model: impl Into<Files>) -> Result<Self> {
        let model = model.into();
        let config = read_config(&model)?;
        let tower = tower::find(&model, &config)?;
        Ok(Self::of(config, &tower))
    }

    fn of(config: ParrotConfig, tower: &Tower) -> Self {
        Self {
            config,
            vision: tower.config.clone(),
            image_processor: tower.image_processor.clone(),
            unknown_tower_keys: tower.unknown_keys.clone(),
            unknown_processor_keys: tower.unknown_processor_keys.clone(),
            unread_processor: tower.unread_processor.clone(),
        }
    }
}

fn read_config(model: &Files) -> Result<ParrotConfig> {
    if gguf::is_gguf(model) {
        let reason = "is a GGUF, which holds a text model; this needs a Parrot's folder";
        return Err(Error::checkpoint(model.path(), reason));
    }
    if !model.is_folder() {
        return Err(Error::checkpoint(model.path(), "no such folder"));
    }
    ParrotConfig::from_file(weights::config_file(model)?)
}

/// Whether a checkpoint's own files hold its tower.
///
/// # Errors
///
/// [`Error::Checkpoint`] where all names begin with a wrapper's: the tower is not missing then, nor to be looked for elsewhere.
fn holds_tower(weights: &Weights) -> Result<bool> {
    if weights.names().any(|name| names::in_tower_folder(name).is_some()) {
        return Ok(true);
    }
    match names::wrapped(weights.names()) {
        Some(wrapper) => Err(Error::checkpoint(weights.path(), wrapper)),
        None => Ok(false),
    }
}

/// A model's folder, opened: configuration read, weight files mapped, no weight loaded yet.
#[derive(Debug)]
pub struct Checkpoint {
    /// What the folder says about the network.
    pub description: Description,
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
    pub fn open(model: impl Into<Files>) -> Result<Self> {
        let model = model.into();
        let config = read_config(&model)?;
        Self::open_with_config(model, config)
    }

    /// [`open`](Self::open) with another configuration than the folder's, for the same weights.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_with_config(model: impl Into<Files>, config: ParrotConfig) -> Result<Self> {
        let model = model.into();
        config.validate()?;
        let tower = tower::find(&model, &config)?;
        let weights = Weights::from_folder(&model)?;
        let tower_weights = if holds_tower(&weights)? { None } else { Some(tower.weights(model.path())?) };
        Ok(Self {
            description: Description::of(config, &tower),
            path: model.path().to_path_buf(),
            weights,
            tower_weights,
        })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What `device` should hold the weights in unless something else is asked for: of a quantised model, what it is stored in; on
    /// the CPU bf16 if all matrices are stored in it; else the device's default ([`device::weight_dtype`]).
    ///
    /// In bf16 a file is used where it lies, with half the memory of f32 and nothing of the weights lost. Where the processor
    /// multiplies bf16 itself, what goes into products of many rows is rounded to it; f32, asked for, avoids that.
    ///
    /// # Errors
    ///
    /// [`Error::Device`] for a quantised model on another device than the CPU.
    pub fn suited_dtype(&self, device: &Device) -> Result<WeightDtype> {
        weights::suited_dtype(&self.weights, self.tower_weights.as_ref(), device)
    }

    /// What `device` should hold the weights in if it is to be the widest that fits
    /// ([`device::widest_dtype`]); of a quantised model, what it is stored in.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when the configuration describes no possible model; [`Error::Device`] when nothing fits, or for a
    /// quantised model on another device than the CPU.
    pub fn widest_dtype(&self, device: &Device) -> Result<WeightDtype> {
        match self.block_format() {
            Some(format) => device::weight_dtype(device, Some(format.into())),
            None => device::widest_dtype(&self.init(device)?, device),
        }
    }

    /// Its `config.json`, for errors.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.path.join(CONFIG_FILE)
    }

    /// Compares the names and shapes of all tensors with the network's, as loading does before it reads an element.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when the configuration describes no possible model; [`Error::Checkpoint`] listing every missing,
    /// unexpected or mis-shaped tensor.
    pub fn check(&self, device: &Device) -> Result<()> {
        let name_of = names::parrot(&self.description.config)?;
        self.model_weights().check_model(&self.init(device)?, &name_of)
    }

    /// Opens a model's folder and [checks](Self::check) its weights. A tower that is only on the hub is not fetched to be
    /// looked at.
    ///
    /// - config: the folder's, or another one for the same weights
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open) and [`check`](Self::check).
    pub fn check_folder(model: impl Into<Files>, config: ParrotConfig) -> Result<()> {
        let model = model.into();
        let weights = Weights::from_folder(&model)?;
        if !holds_tower(&weights)? && !tower::find(&model, &config)?.is_here() {
            return Ok(());
        }
        Self::open_with_config(model, config)?.check(&Device::default())
    }

    /// Builds the network and loads every weight in the dtype of its part, one tensor at a time.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when the configuration describes no possible model; [`Error::Checkpoint`] listing
    /// every missing, unexpected or mis-shaped tensor, or else every one whose elements cannot be used
    /// (NaN, infinite, too large for the dtype); [`Error::Device`] when the device has too little memory.
    pub fn load(&self, dtypes: impl Into<PartDtypes>, device: &Device) -> Result<ParrotModel> {
        self.load_with(dtypes, device, |_, _| ())
    }

    /// [`load`](Self::load), telling how many of the stored bytes have been read: `progress(done, total)`.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn load_with(
        &self,
        dtypes: impl Into<PartDtypes>,
        device: &Device,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<ParrotModel> {
        let model = self.init(device)?;
        let name_of = names::parrot(&self.description.config)?;
        self.model_weights().load(model, &name_of, dtypes.into(), device, &mut progress)
    }

    fn init(&self, device: &Device) -> Result<ParrotModel> {
        let Description { config, vision, .. } = &self.description;
        let network = ParrotModel::init(config, vision, device);
        network.map_err(|error| error.in_file(self.config_file()))
    }

    /// The format of the weights of products in a [quantised](Self::quantize) model, the only one that it can be loaded in.
    /// `None` for other models.
    #[must_use]
    pub fn block_format(&self) -> Option<BlockFormat> {
        self.weights.block_format()
    }

    /// All weights, those of the tower included.
    fn model_weights(&self) -> ModelWeights<'_> {
        let Description { config, vision, .. } = &self.description;
        let tower_weights = self.tower_weights.as_ref();
        let model = StoredModel::Parrot { config, vision, tower_weights };
        ModelWeights { path: &self.path, weights: &self.weights, model }
    }
}

#[cfg(test)]
mod tests;
