//! A loaded model: a whole Parrot, or a decoder, which reads only text.

use std::path::Path;

use burn::prelude::*;
use parrot_model::batch::{PrepareOptions, Prepared, Sample};
use parrot_model::checkpoint::{Checkpoint, DecoderCheckpoint, DecoderDescription, Description, Files};
use parrot_model::config::{DecoderConfig, TokenIds};
use parrot_model::device::WeightDtype;
use parrot_model::image::{AspectRatio, ImageProcessorConfig};
use parrot_model::language::Decoder;
use parrot_model::parrot::{ImageFeatures, ParrotModel, prepare_text};

use crate::{Error, Result};

/// An opened checkpoint, no weight loaded yet.
#[derive(Debug)]
pub(super) enum Opened {
    Parrot(Box<Checkpoint>),
    Text(Box<DecoderCheckpoint>),
}

/// A network with its weights.
#[derive(Debug)]
pub(super) enum LoadedModel {
    Parrot(Box<ParrotModel>, ImageInput),
    Text(Box<Decoder>),
}

/// How images are prepared for a Parrot.
#[derive(Debug)]
pub(super) struct ImageInput {
    pub(super) processor: ImageProcessorConfig,
    pub(super) aspect_ratio: AspectRatio,
    /// Tokens of one image.
    pub(super) tokens: usize,
    /// The most images of one conversation, if the checkpoint says.
    pub(super) per_conversation: Option<usize>,
}

impl Opened {
    pub(super) fn open(folder: &Files) -> Result<Self> {
        if DecoderDescription::is_in(folder)? {
            Ok(Self::Text(Box::new(DecoderCheckpoint::open(folder)?)))
        } else {
            Ok(Self::Parrot(Box::new(Checkpoint::open(folder)?)))
        }
    }

    pub(super) fn config(&self) -> &DecoderConfig {
        match self {
            Self::Parrot(checkpoint) => &checkpoint.description.config.decoder,
            Self::Text(checkpoint) => &checkpoint.description.config,
        }
    }

    /// The ids that end an answer, according to `config.json`.
    pub(super) fn eos_token_id(&self) -> Option<&TokenIds> {
        match self {
            Self::Parrot(checkpoint) => checkpoint.description.config.eos_token_id.as_ref(),
            Self::Text(checkpoint) => checkpoint.description.eos_token_id.as_ref(),
        }
    }

    /// What suits the device and how the weights are stored.
    pub(super) fn suited_dtype(&self, device: &Device) -> Result<WeightDtype> {
        Ok(match self {
            Self::Parrot(checkpoint) => checkpoint.suited_dtype(device)?,
            Self::Text(checkpoint) => checkpoint.suited_dtype(device)?,
        })
    }

    /// The widest dtype that fits the device.
    pub(super) fn widest_dtype(&self, device: &Device) -> Result<WeightDtype> {
        Ok(match self {
            Self::Parrot(checkpoint) => checkpoint.widest_dtype(device)?,
            Self::Text(checkpoint) => checkpoint.widest_dtype(device)?,
        })
    }

    pub(super) fn load(
        &self,
        dtype: WeightDtype,
        device: &Device,
        progress: impl FnMut(u64, u64),
    ) -> Result<LoadedModel> {
        match self {
            Self::Parrot(checkpoint) => {
                let images = ImageInput::of(&checkpoint.description, &checkpoint.config_file())?;
                Ok(LoadedModel::Parrot(Box::new(checkpoint.load_with(dtype, device, progress)?), images))
            }
            Self::Text(checkpoint) => {
                Ok(LoadedModel::Text(Box::new(checkpoint.load_with(dtype, device, progress)?)))
            }
        }
    }
}

impl ImageInput {
    /// What a model's description says.
    ///
    /// - config_file: its `config.json`, for errors
    pub(super) fn of(description: &Description, config_file: &Path) -> Result<Self> {
        let Description { config, vision, image_processor, .. } = description;
        let aspect_ratio = AspectRatio::from_key(config.image_aspect_ratio.as_deref(), vision.kind);
        Ok(Self {
            processor: image_processor.clone(),
            aspect_ratio: aspect_ratio.map_err(|error| error.in_file(config_file))?,
            tokens: vision.tokens_per_image(config.mm_vision_select_feature),
            per_conversation: config.max_images_per_conversation,
        })
    }
}

impl LoadedModel {
    pub(super) fn decoder(&self) -> &Decoder {
        match self {
            Self::Parrot(parrot, _) => &parrot.language_model,
            Self::Text(decoder) => decoder,
        }
    }

    /// The Parrot, and how images are prepared for it.
    ///
    /// # Errors
    ///
    /// [`Error::TextOnly`] for a text model.
    pub(super) fn parrot(&self) -> Result<(&ParrotModel, &ImageInput)> {
        match self {
            Self::Parrot(parrot, images) => Ok((parrot, images)),
            Self::Text(_) => Err(Error::TextOnly),
        }
    }

    /// Positions that an image takes in a prompt; none for a text model.
    pub(super) fn image_tokens(&self) -> usize {
        self.parrot().map_or(0, |(_, images)| images.tokens)
    }

    /// As [`ParrotModel::prepare`].
    pub(super) fn prepare(
        &self,
        samples: &[Sample],
        images: Option<&ImageFeatures>,
        options: PrepareOptions,
    ) -> parrot_model::Result<Prepared> {
        match self {
            Self::Parrot(parrot, _) => parrot.prepare(samples, images, options),
            Self::Text(decoder) => prepare_text(decoder, samples, options),
        }
    }
}
