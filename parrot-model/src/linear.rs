//! The one way in which this crate makes a linear layer.

use burn::nn::{Initializer, Linear, LinearConfig, LinearLayout};
use burn::prelude::*;

/// A linear layer stored as `[out, in]`, the checkpoint's own layout: loading and saving transpose nothing,
/// and the rows that a single token's product reads are contiguous.
///
/// Fresh weights are normal with the σ = 0.02 of Qwen2 and CLIP, fresh biases zero.
pub(crate) fn linear(d_input: usize, d_output: usize, bias: bool, device: &Device) -> Linear {
    let mut layer = LinearConfig::new(d_input, d_output)
        .with_bias(false)
        .with_layout(LinearLayout::Col)
        .with_initializer(Initializer::Normal { mean: 0.0, std: 0.02 })
        .init(device);
    layer.bias = bias.then(|| Initializer::Zeros.init([d_output], device));
    layer
}
