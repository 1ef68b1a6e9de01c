//! The root mean square norm of Qwen2 and Llama ([arXiv 1910.07467](https://arxiv.org/abs/1910.07467)), in f32.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata, backend_extension};
use burn::prelude::*;
use burn::tensor::assert_shape;

/// `x / √(mean(x²) + ε) · γ` of each row of the last axis.
///
/// # Shapes
///
/// - x and output: `[…, features]`
/// - weight: `[features]`
///
/// # Panics
///
/// If x has another number of features.
pub(crate) fn rms_norm<const D: usize>(x: Tensor<D>, weight: Tensor<1>, eps: f64) -> Tensor<D> {
    assert_shape!(x, [.., weight.dims()[0]]);
    Tensor::from_dispatch(<Dispatch as Norm>::rms_norm(x.into_dispatch(), weight.into_dispatch(), eps))
}

/// [`rms_norm`] on a backend.
#[backend_extension(
    Autodiff,
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "cube"),
    Fusion: cfg(feature = "tuning")
)]
pub(super) trait Norm: Backend {
    /// See [`rms_norm`].
    #[fusion(default)]
    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, eps: f64) -> FloatTensor<Self> {
        composed::<Self>(x, weight, eps)
    }
}

/// [`Norm::rms_norm`] of elementary operations.
pub(super) fn composed<B: Backend>(x: FloatTensor<B>, weight: FloatTensor<B>, eps: f64) -> FloatTensor<B> {
    let axes = x.shape().num_dims();
    let features = weight.shape()[0];
    let mean = B::float_mean_dim(B::float_mul(x.clone(), x.clone()), axes - 1);
    let root = B::float_sqrt(B::float_add_scalar(mean, eps.into()));
    let mut row = vec![1; axes];
    row[axes - 1] = features;
    B::float_mul(B::float_div(x, root), B::float_reshape(weight, Shape::from(row)))
}

// Derived step by step.
impl<B: Norm, C: CheckpointStrategy> Norm for Autodiff<B, C> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{assert_close, check, random};

    #[test]
    fn a_norm_is_its_formula() {
        let device = Device::default().autodiff();
        let formula = |x: Tensor<3>, weight: Tensor<1>| {
            let root = (x.clone().square().mean_dim(2) + 0.5).sqrt();
            x / root * weight.unsqueeze()
        };
        let weight = random([37], &device);
        let x = random([2, 3, 37], &device);
        check([x.clone()], |[x]| rms_norm(x, weight.clone(), 0.5), |[x]| formula(x, weight.clone()));
        // Also of many rows, and of such that do not lie side by side.
        let x = random([37, 900, 2], &device).swap_dims(0, 2).inner();
        assert_close(rms_norm(x.clone(), weight.clone().inner(), 0.5), formula(x, weight.inner()));
    }
}
