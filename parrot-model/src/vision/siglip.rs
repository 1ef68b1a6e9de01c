//! SigLIP's patch embedding: `conv(pixels) + positions`, no class token.
//!
//! With Parrot, the first (top-left) patch then takes the class token's part in the routing, as it does
//! in the reference.

use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Embedding, EmbeddingConfig, Initializer};
use burn::prelude::*;

use crate::config::VisionConfig;

/// Pixels → the encoder's input.
#[derive(Module, Debug)]
pub struct SiglipEmbeddings {
    patch_embedding: Conv2d,
    position_embedding: Embedding,
}

impl SiglipEmbeddings {
    /// Builds the embedding for a SigLIP tower's configuration.
    #[must_use]
    pub fn init(config: &VisionConfig, device: &Device) -> Self {
        let normal = Initializer::Normal { mean: 0.0, std: 0.02 };
        let patch = [config.patch_size, config.patch_size];
        Self {
            patch_embedding: Conv2dConfig::new([3, config.hidden_size], patch)
                .with_stride(patch)
                .with_initializer(normal.clone())
                .init(device),
            position_embedding: EmbeddingConfig::new(config.num_positions(), config.hidden_size)
                .with_initializer(normal)
                .init(device),
        }
    }

    /// Rows of the output.
    pub(super) fn num_positions(&self) -> usize {
        self.position_embedding.weight.lazy_shape()[0]
    }

    /// # Shapes
    ///
    /// - pixel_values: `[pictures, 3, image_size, image_size]`
    /// - output: `[pictures, patches, vision_hidden]`
    #[must_use]
    pub fn forward(&self, pixel_values: Tensor<4>) -> Tensor<3> {
        // [pictures, hidden, rows, columns] -> [pictures, patches, hidden]
        let patches = self.patch_embedding.forward(pixel_values).flatten::<3>(2, 3).swap_dims(1, 2);
        patches + self.position_embedding.weight.val().unsqueeze()
    }
}
