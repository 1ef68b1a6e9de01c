//! CLIP's patch embedding: `concat(class, conv(pixels)) + positions`.

use burn::module::Param;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Embedding, EmbeddingConfig, Initializer};
use burn::prelude::*;

use crate::config::VisionConfig;

/// Pixels → embedded patches, class token in row 0. The tower normalises them before its encoder.
#[derive(Module, Debug)]
pub struct ClipEmbeddings {
    class_embedding: Param<Tensor<1>>,
    patch_embedding: Conv2d,
    position_embedding: Embedding,
}

impl ClipEmbeddings {
    /// Builds the embedding for a CLIP tower's configuration.
    #[must_use]
    pub fn init(config: &VisionConfig, device: &Device) -> Self {
        let normal = Initializer::Normal { mean: 0.0, std: 0.02 };
        let patch = [config.patch_size, config.patch_size];
        Self {
            class_embedding: normal.init([config.hidden_size], device),
            patch_embedding: Conv2dConfig::new([3, config.hidden_size], patch)
                .with_stride(patch)
                .with_bias(false)
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
    /// - output: `[pictures, 1 + patches, vision_hidden]`
    #[must_use]
    pub fn forward(&self, pixel_values: Tensor<4>) -> Tensor<3> {
        // [pictures, hidden, rows, columns] -> [pictures, patches, hidden]
        let patches = self.patch_embedding.forward(pixel_values).flatten::<3>(2, 3).swap_dims(1, 2);
        let [pictures, _, hidden] = patches.dims();
        let class = self.class_embedding.val().unsqueeze::<3>().expand([pictures, 1, hidden]);
        let positions = self.position_embedding.weight.val().unsqueeze();
        Tensor::cat(vec![class, patches], 1) + positions
    }
}
