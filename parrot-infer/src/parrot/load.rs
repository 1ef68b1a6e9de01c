//! A checkpoint → [`Parrot`].

use std::fmt;
use std::sync::OnceLock;

use burn::prelude::*;
use parrot_model::checkpoint::{DecoderDescription, Description, Files, resolve};
use parrot_model::config::{DecoderConfig, ParrotConfig, TokenIds};
use parrot_model::layout::{CONFIG_FILE, GENERATION_CONFIG_FILE};
use parrot_model::text::{ChatTemplate, Tokenizer};
use serde::Deserialize;
use web_time::Instant;

use super::image_cache::ImageCache;
use super::loaded_model::{ImageInput, Opened};
use super::{IMAGE_CACHE_BYTES, Parrot};
use crate::device::WeightDtype;
use crate::{Error, Result, device};

/// How a model is to be loaded; from [`Parrot::loader`].
///
/// ```
/// # use parrot_infer::{Parrot, burn::tensor::FloatDType, device, tiny};
/// # let folder = tempfile::tempdir()?;
/// # tiny::write(folder.path(), 0)?;
/// # let folder = folder.path();
/// let parrot = Parrot::loader()
///     .dtype(FloatDType::F16)
///     .on_progress(|done, total| println!("{done} of {total} bytes"))
///     .load(folder, &device::open("auto")?)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub struct Loader<'a> {
    width: Width,
    progress: Box<dyn FnMut(u64, u64) + 'a>,
}

/// How it is decided what weights are held in.
#[derive(Debug)]
enum Width {
    /// What suits the device, or what the model is stored in if that is blocks.
    Suited,
    Given(WeightDtype),
    Widest,
}

impl fmt::Debug for Loader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loader").field("width", &self.width).finish_non_exhaustive()
    }
}

impl Parrot {
    /// Loads a model, weights in the dtype that [suits](parrot_model::checkpoint::Checkpoint::suited_dtype) the device and how they
    /// are stored.
    ///
    /// # Errors
    ///
    /// As [`Loader::load`].
    pub fn load(model: impl Into<Files>, device: &Device) -> Result<Self> {
        Self::loader().load(model, device)
    }

    /// Loads a model with options that [`load`](Self::load) does not have.
    pub fn loader<'a>() -> Loader<'a> {
        Loader { width: Width::Suited, progress: Box::new(|_, _| ()) }
    }

    /// Reads what a model's folder, or a text model's GGUF, says besides its weights as [`load`](Self::load) does: tokenizer, chat
    /// template, the ids that end an answer, how images are prepared. No weights need be there.
    ///
    /// # Errors
    ///
    /// Those of [`Loader::load`] that no weights are needed for.
    pub fn check_description(model: impl Into<Files>) -> Result<()> {
        let folder = &model.into();
        if DecoderDescription::is_in(folder)? {
            let DecoderDescription { config, eos_token_id, .. } = DecoderDescription::open(folder)?;
            Words::open(folder, &config, eos_token_id.as_ref())?;
        } else {
            let description = Description::open(folder)?;
            let ParrotConfig { decoder, eos_token_id, .. } = &description.config;
            Words::open(folder, decoder, eos_token_id.as_ref())?;
            ImageInput::of(&description, folder.join(CONFIG_FILE).path())?;
        }
        Ok(())
    }
}

impl<'a> Loader<'a> {
    /// What weights are held in, [`FloatDType`](burn::tensor::FloatDType)s or blocks of 8 or 4 bits, if not what
    /// [suits](parrot_model::checkpoint::Checkpoint::suited_dtype) the device and how they are stored.
    pub fn dtype(mut self, dtype: impl Into<WeightDtype>) -> Self {
        self.width = Width::Given(dtype.into());
        self
    }

    /// Holds weights in the widest dtype that fits the device, from its default on
    /// ([`device::widest_dtype`](parrot_model::device::widest_dtype)).
    pub fn widest_dtype(mut self) -> Self {
        self.width = Width::Widest;
        self
    }

    /// Tells how many of the stored bytes have been read: `progress(done, total)`.
    pub fn on_progress(mut self, progress: impl FnMut(u64, u64) + 'a) -> Self {
        self.progress = Box::new(progress);
        self
    }

    /// Loads a model: a folder on disk or [in memory](Files::in_memory), a text model's GGUF or, with the cargo feature `hub`, an id like `AIDC-AI/Parrot-7B`, whose files are then
    /// downloaded once.
    ///
    /// # Errors
    ///
    /// Every [`parrot_model::Error`] of a device that does not compute in the dtype, and of a checkpoint, tokenizer or
    /// configuration that cannot be used.
    pub fn load(self, model: impl Into<Files>, device: &Device) -> Result<Parrot> {
        let started = Instant::now();
        let folder = &folder_of(model.into())?;
        // What is small is read first: a missing tokenizer should not cost a minute of loading.
        let opened = Opened::open(folder)?;
        let dtype = match self.width {
            Width::Suited => opened.suited_dtype(device)?,
            Width::Given(dtype) => device::weight_dtype(device, Some(dtype))?,
            Width::Widest => opened.widest_dtype(device)?,
        };
        let config = opened.config().clone();
        let Words { tokenizer, template, eos } = Words::open(folder, &config, opened.eos_token_id())?;
        tracing::debug!(?folder, ?dtype, ?eos, "opened the checkpoint");
        let model = opened.load(dtype, device, self.progress)?;
        let load = started.elapsed();
        tracing::debug!(?load, "loaded");
        Ok(Parrot {
            model,
            config,
            tokenizer,
            template,
            eos,
            device: device.clone(),
            dtype,
            remembered: ImageCache::new(IMAGE_CACHE_BYTES),
            formats: OnceLock::new(),
            routing_text: None,
            load,
        })
    }
}

/// What a model reads and writes words with.
struct Words {
    tokenizer: Tokenizer,
    template: ChatTemplate,
    /// The ids that end an answer.
    eos: Vec<u32>,
}

impl Words {
    /// - config_eos: the ids that end an answer according to the configuration
    fn open(folder: &Files, config: &DecoderConfig, config_eos: Option<&TokenIds>) -> Result<Self> {
        let tokenizer = Tokenizer::open(folder)?;
        let config_file = if folder.is_file() { folder.clone() } else { folder.join(CONFIG_FILE) };
        if tokenizer.vocab_size() > config.vocab_size {
            let expected = format!("at least the tokenizer's {}", tokenizer.vocab_size());
            return Err(config_error(&config_file, "vocab_size", expected, config.vocab_size));
        }
        let template = ChatTemplate::open(folder, &tokenizer)?;
        let generation_eos = generation_eos(&folder.join(GENERATION_CONFIG_FILE))?;
        let eos = generation_eos.as_ref().or(config_eos);
        let mut eos = eos.map_or_else(Vec::new, |eos| eos.as_slice().to_vec());
        eos.extend(template.end_of_turn());
        if !eos.is_empty() && eos.iter().all(|id| *id as usize >= config.vocab_size) {
            let expected = format!("an id of the vocabulary of {}: no answer would end", config.vocab_size);
            let own = generation_eos.is_some().then(|| folder.join(GENERATION_CONFIG_FILE));
            let file = own.unwrap_or(config_file);
            return Err(config_error(&file, "eos_token_id", expected, format!("{eos:?}")));
        }
        Ok(Self { tokenizer, template, eos })
    }
}

/// The folder, if there is one at this path; anything else may be an id on the hub.
fn folder_of(model: Files) -> Result<Files> {
    let is_there = model.is_in_memory() || model.is_folder();
    Ok(if is_there { model } else { resolve(&model.path().to_string_lossy())?.into() })
}

fn config_error(file: &Files, key: &str, expected: String, found: impl ToString) -> Error {
    parrot_model::Error::config(key, expected, found).in_file(file.path()).into()
}

/// The part of `generation_config.json` that is used.
#[derive(Deserialize)]
struct GenerationConfig {
    eos_token_id: Option<TokenIds>,
}

/// The ids that end an answer according to `generation_config.json`, if there is such a file.
fn generation_eos(file: &Files) -> Result<Option<TokenIds>> {
    if !file.is_listed() {
        return Ok(None);
    }
    let config: GenerationConfig = file.read_json()?;
    Ok(config.eos_token_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generation_config_names_one_end_or_several_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("generation_config.json");
        let file = Files::from(&path);
        assert_eq!(generation_eos(&file).unwrap(), None);
        for (json, expected) in [
            (r#"{"eos_token_id": 7, "do_sample": true}"#, Some(TokenIds::One(7))),
            (r#"{"eos_token_id": [7, 8]}"#, Some(TokenIds::Several(vec![7, 8]))),
            (r#"{"eos_token_id": null}"#, None),
            ("{}", None),
        ] {
            std::fs::write(&path, json).unwrap();
            assert_eq!(generation_eos(&file).unwrap(), expected);
        }
        std::fs::write(&path, r#"{"eos_token_id": "end"}"#).unwrap();
        assert!(generation_eos(&file).unwrap_err().to_string().contains("generation_config.json"));
    }
}
