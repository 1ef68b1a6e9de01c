//! The one way in which this crate makes a linear layer.

use burn::nn::{Initializer, Linear};
use burn::prelude::*;

/// A linear layer stored as `[out, in]`, the checkpoint's own layout: loading and saving transpose nothing,
/// and the rows that a single token's product reads are contiguous.
///
/// Burn's `LinearLayout::Col` is the same but for waiting on the device twice per weight, which in training
/// would be twice per weight and step.
///
/// Fresh weights are normal with the σ = 0.02 of Qwen2 and CLIP, fresh biases zero.
pub(crate) fn linear(d_input: usize, d_output: usize, bias: bool, device: &Device) -> Linear {
    let normal = Initializer::Normal { mean: 0.0, std: 0.02 };
    Linear {
        weight: normal
            .init([d_output, d_input], device)
            .save_mapper(Tensor::transpose)
            .load_mapper(Tensor::transpose)
            .init_mapper(Tensor::transpose),
        bias: bias.then(|| Initializer::Zeros.init([d_output], device)),
    }
}
