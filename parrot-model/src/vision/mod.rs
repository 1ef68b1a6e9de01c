//! The vision tower: a picture's pixels → hidden states of its patches.
//!
//! [`image`](crate::image) turns picture files into pixel tensors; [`VisionTower`] turns those into the features that the
//! [projector](crate::projector) maps into the decoder's space. One struct serves all families; they differ in what
//! [`TowerKind`](crate::config::TowerKind) says:
//!
//! ```text
//! CLIP, Chinese-CLIP   [class token; conv(pixels)] + positions  →  norm  →  encoder
//! SigLIP, SigLIP 2     conv(pixels) + bias + positions          →           encoder
//! ```

mod embeddings;
mod encoder;

use burn::prelude::*;

use crate::Result;
use crate::config::{ParrotConfig, SelectFeature, VisionConfig};
use crate::norm::LayerNorm;

use embeddings::VisionEmbeddings;
use encoder::Encoder;

/// A vision transformer of any [family](crate::config::TowerKind) that stops at the hidden state that Parrot uses.
#[derive(Module, Debug)]
pub struct VisionTower {
    embeddings: VisionEmbeddings,
    /// Only of towers with a class token; in the checkpoints' own spelling.
    pre_layrnorm: Option<LayerNorm>,
    encoder: Encoder,
    /// Stored by every checkpoint and used by none: Parrot takes a hidden state before it.
    post_layernorm: LayerNorm,
    /// Encoder layers to run: the index of the hidden state that is returned.
    num_layers: usize,
    /// Whether to drop the class token from the result.
    drop_class_token: bool,
    /// Rows of the result.
    tokens_per_image: usize,
}

impl VisionTower {
    /// Builds the tower; weights are made when first used, or loaded.
    ///
    /// # Errors
    ///
    /// [`Error::Config`](crate::Error::Config) when `mm_vision_select_layer` names a hidden state that the tower does not have.
    pub fn init(config: &ParrotConfig, vision: &VisionConfig, device: &Device) -> Result<Self> {
        vision.validate()?;
        let norm = || LayerNorm::init(vision.hidden_size, vision.layer_norm_eps, device);
        Ok(Self {
            embeddings: VisionEmbeddings::init(vision, device),
            pre_layrnorm: vision.has_class_token().then(norm),
            encoder: Encoder::init(vision, device),
            post_layernorm: norm(),
            num_layers: vision.selected_layers(config.mm_vision_select_layer)?,
            drop_class_token: vision.has_class_token()
                && config.mm_vision_select_feature == SelectFeature::Patch,
            tokens_per_image: vision.tokens_per_image(config.mm_vision_select_feature),
        })
    }

    /// Encoder layers that run: those below the selected hidden state.
    #[must_use]
    pub fn num_layers(&self) -> usize {
        self.num_layers
    }

    /// Positions that an image takes in a sequence: [`VisionConfig::tokens_per_image`].
    #[must_use]
    pub fn tokens_per_image(&self) -> usize {
        self.tokens_per_image
    }

    /// `hidden_states[select_layer]`, with or without the class token as `mm_vision_select_feature` says.
    ///
    /// Layers above the selected one are never run.
    ///
    /// # Shapes
    ///
    /// - pixel_values: `[images, 3, image_size, image_size]`
    /// - output: `[images, tokens_per_image, vision_hidden]`
    ///
    /// # Panics
    ///
    /// If `pixel_values` has another shape.
    #[must_use]
    pub fn forward(&self, pixel_values: Tensor<4>) -> Tensor<3> {
        let hidden_states = self.encoder.forward(self.embed(pixel_values), self.num_layers);
        if self.drop_class_token { hidden_states.slice(s![.., 1.., ..]) } else { hidden_states }
    }

    /// Every hidden state from the encoder's input (index 0) to its last layer's output.
    ///
    /// # Shapes
    ///
    /// - pixel_values: `[images, 3, image_size, image_size]`
    /// - each output: `[images, positions, vision_hidden]`
    ///
    /// # Panics
    ///
    /// If `pixel_values` has another shape.
    #[must_use]
    pub fn hidden_states(&self, pixel_values: Tensor<4>) -> Vec<Tensor<3>> {
        self.encoder.hidden_states(self.embed(pixel_values))
    }

    fn embed(&self, pixel_values: Tensor<4>) -> Tensor<3> {
        let embedded = self.embeddings.forward(pixel_values);
        match &self.pre_layrnorm {
            Some(norm) => norm.forward(embedded),
            None => embedded,
        }
    }
}
