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

/// `x W + b`. What a low-rank adapter adds to a weight in [blocks](crate::quantization) is a product of its own: nothing can be
/// added to blocks. Burn adds it to weights that are numbers.
///
/// # Shapes
///
/// - x: `[rows, in]`
/// - bias: `[out]`
/// - output: `[rows, out]`
fn product(x: Tensor<2>, weight: &Param<Tensor<2>>, bias: Option<&Param<Tensor<1>>>) -> Tensor<2> {
    let base = weight.base();
    let is_in_blocks = block_format(base.dtype()).is_some();
    if let Some(bias) = bias.filter(|_| !is_in_blocks) {
        return crate::ops::linear(x, weight.val(), bias.val());
    }
    let output = match weight.adapter() {
        Some(LoraAdapter { a, b, scale }) if is_in_blocks => {
            let low_rank = matmul(x.clone(), a.val()) * *scale;
            matmul(x, base) + matmul(low_rank, b.val())
        }
        _ => matmul(x, weight.val()),
    };
    match bias {
        Some(bias) => output + bias.val().unsqueeze(),
        None => output,
    }
}
