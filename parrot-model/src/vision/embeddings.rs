//! The patch embedding of all towers: `conv(pixels) + positions`, with a class token in front where the family has one.
//!
//! SigLIP has none. With Parrot, its first (top-left) patch then stands in for the class token in the routing, as in
//! the reference.

use burn::module::Param;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Embedding, EmbeddingConfig, Initializer};
use burn::prelude::*;

use crate::config::VisionConfig;
use crate::linear::INITIALIZER_RANGE;

/// Pixels → embedded patches, a class token in row 0 where there is one.
#[derive(Module, Debug)]
pub(super) struct VisionEmbeddings {
    class_embedding: Option<Param<Tensor<1>>>,
    /// It has a bias where there is no class token.
    patch_embedding: Conv2d,
    position_embedding: Embedding,
    image_size: usize,
}

impl VisionEmbeddings {
    pub(super) fn init(config: &VisionConfig, device: &Device) -> Self {
        let normal = Initializer::Normal { mean: 0.0, std: INITIALIZER_RANGE };
        let patch = [config.patch_size, config.patch_size];
        Self {
            class_embedding: config.has_class_token().then(|| normal.init([config.hidden_size], device)),
            patch_embedding: Conv2dConfig::new([3, config.hidden_size], patch)
                .with_stride(patch)
                .with_bias(!config.has_class_token())
                .with_initializer(normal.clone())
                .init(device),
            position_embedding: EmbeddingConfig::new(config.num_positions(), config.hidden_size)
                .with_initializer(normal)
                .init(device),
            image_size: config.image_size,
        }
    }

    /// # Shapes
    ///
    /// - pixel_values: `[images, 3, image_size, image_size]`, of any float type
    /// - output: `[images, positions, vision_hidden]`
    ///
    /// # Panics
    ///
    /// If `pixel_values` has another shape.
    pub(super) fn forward(&self, pixel_values: Tensor<4>) -> Tensor<3> {
        let [images, channels, height, width] = pixel_values.dims();
        let size = self.image_size;
        assert!(
            [channels, height, width] == [3, size, size],
            "pixel_values should be [images, 3, image_size, image_size] = [{images}, 3, {size}, {size}], \
             found [{images}, {channels}, {height}, {width}]"
        );
        let dtype = self.patch_embedding.weight.val().dtype();
        let pixel_values = pixel_values.cast(dtype);
        // [images, hidden, rows, columns] -> [images, patches, hidden]
        let patches = self.patch_embedding.forward(pixel_values).flatten::<3>(2, 3).swap_dims(1, 2);
        let [images, _, hidden] = patches.dims();
        let embedded = match &self.class_embedding {
            Some(class) => {
                let class = class.val().unsqueeze::<3>().expand([images, 1, hidden]);
                Tensor::cat(vec![class, patches], 1)
            }
            None => patches,
        };
        embedded + self.position_embedding.weight.val().cast(dtype).unsqueeze()
    }
}
