//! How this crate makes and applies linear layers.

use burn::module::{LoraAdapter, Param};
use burn::nn::{Initializer, Linear};
use burn::prelude::*;
use burn::tensor::DType;

use crate::ops::{block_format, matmul};

/// The standard deviation of fresh weights in CLIP and in the reference's own parts; a decoder's is in its
/// configuration.
pub(crate) const INITIALIZER_RANGE: f64 = 0.02;

/// A linear layer without a bias, stored as `[out, in]`, the checkpoint's own layout: loading and saving transpose nothing,
/// and the rows that a single token's product reads are contiguous.
///
/// Burn's `LinearLayout::Col` does the same, but waits for the device twice per weight, which in training
/// would be twice per weight and step.
///
/// - std: the standard deviation of fresh weights, which are normal
pub(crate) fn linear(d_input: usize, d_output: usize, std: f64, device: &Device) -> Linear {
    let normal = Initializer::Normal { mean: 0.0, std };
    Linear {
        weight: normal
            .init([d_output, d_input], device)
            .save_mapper(Tensor::transpose)
            .load_mapper(Tensor::transpose)
            .init_mapper(Tensor::transpose),
        bias: None,
    }
}

/// [`linear`] with a bias, which begins as zeros.
pub(crate) fn linear_with_bias(d_input: usize, d_output: usize, std: f64, device: &Device) -> Linear {
    let bias = Initializer::Zeros.init([d_output], device);
    Linear { bias: Some(bias), ..linear(d_input, d_output, std, device) }
}

/// What a linear layer's weight is held in.
pub(crate) fn dtype(layer: &Linear) -> DType {
    layer.weight.base().dtype()
}

/// A linear layer on every row, as one product of two matrices.
///
/// Given three dimensions Burn makes the weight three-dimensional as well, and on the CPU that copies it, transposed, at
/// every call: more than twice the work of the product itself where a single token is decoded.
///
/// # Shapes
///
/// - x: `[batch, seq, in]`
/// - output: `[batch, seq, out]`
///
/// # Panics
///
/// If x is not as wide as the layer's input.
pub(crate) fn forward(layer: &Linear, x: Tensor<3>) -> Tensor<3> {
    let [batch, seq, d_input] = x.dims();
    let output = product(x.reshape([batch * seq, d_input]), &layer.weight, layer.bias.as_ref());
    let [_, d_output] = output.dims();
    output.reshape([batch, seq, d_output])
}

/// `x W + b`, and `scale · (x A) B` where the weight has a low-rank adapter (LoRA, Eq. 3 of Hu et al., arXiv 2106.09685).
///
/// Burn's `weight.val()` adds `A B` to the weight, and its backward pass makes the gradient of a whole weight to get at those of
/// `A` and `B`: a product as large as the layer's own, which the order above has no need of. Nor could anything be added to weights
/// in [blocks](crate::quantization), or be kept of it in weights of less bits than what learns.
///
/// # Shapes
///
/// - x: `[rows, in]`
/// - bias: `[out]`
/// - output: `[rows, out]`
fn product(x: Tensor<2>, weight: &Param<Tensor<2>>, bias: Option<&Param<Tensor<1>>>) -> Tensor<2> {
    let base = weight.base();
    let low_rank = weight
        .adapter()
        .map(|LoraAdapter { a, b, scale }| matmul(matmul(x.clone(), a.val()) * *scale, b.val()));
    let output = match bias {
        Some(bias) if block_format(base.dtype()).is_none() => crate::ops::linear(x, base, bias.val()),
        Some(bias) => matmul(x, base) + bias.val().unsqueeze(),
        None => matmul(x, base),
    };
    match low_rank {
        Some(low_rank) => output + low_rank,
        None => output,
    }
}
