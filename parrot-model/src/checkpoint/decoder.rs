//! A decoder alone: the folder of a text model, whose `config.json` has the `model_type` qwen2, qwen3, llama or mistral, or one
//! of llama.cpp's files (GGUF) of the architecture qwen2, qwen3 or llama.

use std::path::PathBuf;

use burn::prelude::*;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::model_weights::{ModelWeights, StoredModel};
use super::names;
use super::weights::{self, Weights};
use crate::config::keys::read_keys;
use crate::config::{DecoderConfig, DecoderFamily, Keys, TokenIds};
use crate::device::WeightDtype;
use crate::files::Files;
use crate::language::Decoder;
use crate::layout::CONFIG_FILE;
use crate::quantization::BlockFormat;
use crate::{Error, Result, device, gguf};

/// What a text model's folder says about its decoder. Weights are not read and need not be there.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct DecoderDescription {
    /// The decoder's shape.
    pub config: DecoderConfig,
    /// The ids that begin a text, according to `config.json`.
    pub bos_token_id: Option<u32>,
    /// The ids that end a text, according to `config.json`.
    pub eos_token_id: Option<TokenIds>,
    /// Keys of `config.json` that are neither used nor known to be without effect on the numbers: for a notice to the user.
    pub unknown_keys: Vec<String>,
}

impl DecoderDescription {
    /// Whether a folder's `config.json`, or a GGUF, describes a decoder alone rather than a Parrot.
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`] for a folder that is not there; [`Error::Io`] and [`Error::Json`] for a `config.json` that
    /// cannot be read.
    pub fn is_in(model: impl Into<Files>) -> Result<bool> {
        let keys = folder_keys(&model.into())?;
        let model_type = keys.get("model_type").and_then(Value::as_str);
        Ok(model_type.is_some_and(|model_type| DecoderFamily::from_model_type(model_type).is_some()))
    }

    /// Reads a text model's folder or GGUF.
    ///
    /// # Errors
    ///
    /// As [`DecoderCheckpoint::open`], except for those about weights.
    pub fn open(model: impl Into<Files>) -> Result<Self> {
        let model = model.into();
        let keys = folder_keys(&model)?;
        if !gguf::is_gguf(&model) {
            return Self::from_keys(keys).map_err(|error| error.in_file(model.join(CONFIG_FILE).path()));
        }
        let family = keys.get("model_type").and_then(Value::as_str).and_then(DecoderFamily::from_model_type);
        let called = |key: &str| family.map_or_else(|| key.into(), |family| gguf::own_key(family, key));
        Self::from_keys(keys).map_err(|error| error.under(called).in_file(model.path()))
    }

    fn from_keys(keys: Keys) -> Result<Self> {
        let bos_token_id = token_ids(&keys, "bos_token_id")?;
        let eos_token_id = token_ids(&keys, "eos_token_id")?;
        let unknown_keys = DecoderConfig::unknown_keys(&keys);
        let config = DecoderConfig::from_keys(keys)?;
        Ok(Self { config, bos_token_id, eos_token_id, unknown_keys })
    }
}

/// A text model's folder, opened: configuration read, weight files mapped, no weight loaded yet.
#[derive(Debug)]
pub struct DecoderCheckpoint {
    /// What the folder says besides the weights.
    pub description: DecoderDescription,
    path: PathBuf,
    weights: Weights,
}

impl DecoderCheckpoint {
    /// Opens a text model's folder or GGUF.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], [`Error::Json`] or [`Error::Config`] for a configuration that cannot be used;
    /// [`Error::Checkpoint`] for weight files that are missing or broken, as [`Weights::from_folder`] says.
    pub fn open(model: impl Into<Files>) -> Result<Self> {
        let model = model.into();
        let description = DecoderDescription::open(&model)?;
        Ok(Self { description, path: model.path().to_path_buf(), weights: Weights::from_folder(model)? })
    }

    /// The format of the weights of products in a quantised model, the only one that it can be loaded in. `None` for
    /// other models.
    #[must_use]
    pub fn block_format(&self) -> Option<BlockFormat> {
        self.weights.block_format()
    }

    /// As [`Checkpoint::suited_dtype`](super::Checkpoint::suited_dtype).
    ///
    /// # Errors
    ///
    /// [`Error::Device`] for a quantised model on another device than the CPU.
    pub fn suited_dtype(&self, device: &Device) -> Result<WeightDtype> {
        weights::suited_dtype(&self.weights, None, device)
    }

    /// As [`Checkpoint::widest_dtype`](super::Checkpoint::widest_dtype).
    ///
    /// # Errors
    ///
    /// [`Error::Device`] when nothing fits, or for a quantised model on another device than the CPU.
    pub fn widest_dtype(&self, device: &Device) -> Result<WeightDtype> {
        match self.block_format() {
            Some(format) => device::weight_dtype(device, Some(format.into())),
            None => device::widest_dtype(&Decoder::init(&self.description.config, device), device),
        }
    }

    /// As [`Checkpoint::check`](super::Checkpoint::check).
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`] listing every missing, unexpected or mis-shaped tensor.
    pub fn check(&self, device: &Device) -> Result<()> {
        self.model_weights().check_model(&Decoder::init(&self.description.config, device), &names::decoder)
    }

    fn model_weights(&self) -> ModelWeights<'_> {
        let model = StoredModel::Decoder(&self.description.config);
        ModelWeights { path: &self.path, weights: &self.weights, model }
    }

    /// Builds the decoder and loads every weight as `dtype`, one tensor at a time.
    ///
    /// # Errors
    ///
    /// As [`Checkpoint::load`](super::Checkpoint::load).
    pub fn load(&self, dtype: impl Into<WeightDtype>, device: &Device) -> Result<Decoder> {
        self.load_with(dtype, device, |_, _| ())
    }

    /// [`load`](Self::load), telling how many of the stored bytes have been read: `progress(done, total)`.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn load_with(
        &self,
        dtype: impl Into<WeightDtype>,
        device: &Device,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<Decoder> {
        let model = Decoder::init(&self.description.config, device);
        self.model_weights().load(model, &names::decoder, dtype.into().into(), device, &mut progress)
    }
}

/// One or more token ids; a missing key and `null` are none.
fn token_ids<T: DeserializeOwned>(keys: &Keys, key: &str) -> Result<Option<T>> {
    let Some(ids) = keys.get(key) else { return Ok(None) };
    Option::deserialize(ids).map_err(|_| Error::config(key, "a token's id", ids))
}

/// The keys of a folder's `config.json`, or what a GGUF says in their place.
fn folder_keys(model: &Files) -> Result<Keys> {
    if gguf::is_gguf(model) {
        return gguf::with_header(model, |header| header.decoder_keys());
    }
    if !model.is_folder() {
        let reason = match model.is_file() {
            true => "is a file, and neither a model's folder nor a GGUF",
            false => "no such folder",
        };
        return Err(Error::checkpoint(model.path(), reason));
    }
    read_keys(&weights::config_file(model)?)
}
