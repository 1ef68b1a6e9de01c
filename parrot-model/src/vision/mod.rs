//! The vision tower: a picture's pixels → hidden states of its patches.
//!
//! [`preprocess`] turns picture files into pixel tensors; [`VisionTower`] turns those into the features
//! that the [projector](crate::projector) maps into the decoder's space. The two families differ in how
//! they embed patches ([`clip`], [`siglip`]) and share their [`encoder`].

pub mod clip;
pub mod encoder;
pub mod siglip;

use burn::prelude::*;

use crate::config::{ParrotConfig, SelectFeature, TowerKind, VisionConfig};
use crate::norm::LayerNorm;
use crate::{Error, Result};

use clip::ClipEmbeddings;
use encoder::Encoder;
use siglip::SiglipEmbeddings;

/// A CLIP or SigLIP vision transformer that stops at the hidden state that Parrot uses.
#[derive(Module, Debug)]
pub struct VisionTower {
    embeddings: Embeddings,
    /// CLIP only, in the checkpoint's own spelling.
    pre_layrnorm: Option<LayerNorm>,
    encoder: Encoder,
    /// Stored by every checkpoint and used by none: Parrot takes a hidden state before it.
    post_layernorm: LayerNorm,
    /// Encoder layers to run: the index of the hidden state that is returned.
    num_layers: usize,
    /// Whether to drop the class token from the result.
    drop_class_token: bool,
}

/// How a tower turns pixels into the encoder's input.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // One per model.
enum Embeddings {
    Clip(ClipEmbeddings),
    Siglip(SiglipEmbeddings),
}

impl VisionTower {
    /// Builds the tower; weights are made when first used, or loaded.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when `mm_vision_select_layer` names a hidden state that the tower does not have.
    pub fn init(config: &ParrotConfig, vision: &VisionConfig, device: &Device) -> Result<Self> {
        vision.validate()?;
        let embeddings = match vision.kind {
            TowerKind::Clip => Embeddings::Clip(ClipEmbeddings::init(vision, device)),
            TowerKind::Siglip => Embeddings::Siglip(SiglipEmbeddings::init(vision, device)),
        };
        let norm = || LayerNorm::init(vision.hidden_size, vision.layer_norm_eps, device);
        Ok(Self {
            embeddings,
            pre_layrnorm: (vision.kind == TowerKind::Clip).then(norm),
            encoder: Encoder::init(vision, device),
            post_layernorm: norm(),
            num_layers: selected_hidden_state(config, vision)?,
            drop_class_token: vision.kind == TowerKind::Clip
                && config.mm_vision_select_feature == SelectFeature::Patch,
        })
    }

    /// Encoder layers that run: those below the selected hidden state.
    #[must_use]
    pub fn num_layers(&self) -> usize {
        self.num_layers
    }

    /// Positions that a picture takes in a sequence.
    #[must_use]
    pub fn tokens_per_picture(&self) -> usize {
        let positions = match &self.embeddings {
            Embeddings::Clip(embeddings) => embeddings.num_positions(),
            Embeddings::Siglip(embeddings) => embeddings.num_positions(),
        };
        positions - usize::from(self.drop_class_token)
    }

    /// `hidden_states[select_layer]`, with or without the class token as `mm_vision_select_feature` says.
    ///
    /// Layers above the selected one are never run.
    ///
    /// # Shapes
    ///
    /// - pixel_values: `[pictures, 3, image_size, image_size]`
    /// - output: `[pictures, tokens, vision_hidden]`
    #[must_use]
    pub fn forward(&self, pixel_values: Tensor<4>) -> Tensor<3> {
        let hidden_states = self.encoder.forward(self.embed(pixel_values), self.num_layers);
        if self.drop_class_token { hidden_states.slice(s![.., 1.., ..]) } else { hidden_states }
    }

    /// Every hidden state from the encoder's input (index 0) to its last layer's output.
    ///
    /// # Shapes
    ///
    /// - pixel_values: `[pictures, 3, image_size, image_size]`
    /// - each output: `[pictures, positions, vision_hidden]`
    #[must_use]
    pub fn hidden_states(&self, pixel_values: Tensor<4>) -> Vec<Tensor<3>> {
        self.encoder.hidden_states(self.embed(pixel_values))
    }

    fn embed(&self, pixel_values: Tensor<4>) -> Tensor<3> {
        let embedded = match &self.embeddings {
            Embeddings::Clip(embeddings) => embeddings.forward(pixel_values),
            Embeddings::Siglip(embeddings) => embeddings.forward(pixel_values),
        };
        match &self.pre_layrnorm {
            Some(norm) => norm.forward(embedded),
            None => embedded,
        }
    }
}

/// Resolves `mm_vision_select_layer` to an index into the hidden states.
///
/// SigLIP ignores the key: the reference drops the last layer and takes what is left.
fn selected_hidden_state(config: &ParrotConfig, vision: &VisionConfig) -> Result<usize> {
    let layers = vision.stored_layers();
    if vision.kind == TowerKind::Siglip {
        return Ok(layers);
    }
    let select = config.mm_vision_select_layer;
    let index = if select < 0 { select + layers as i64 + 1 } else { select };
    usize::try_from(index).ok().filter(|index| *index <= layers).ok_or_else(|| {
        let expected = format!("between -{} and {layers}", layers + 1);
        Error::config("mm_vision_select_layer", expected, select)
    })
}
