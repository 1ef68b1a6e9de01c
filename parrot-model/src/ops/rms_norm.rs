//! The root mean square norm of Qwen2 and Llama ([arXiv 1910.07467](https://arxiv.org/abs/1910.07467)), in f32.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata, backend_extension};
use burn::prelude::*;
use burn::tensor::assert_shape;

use super::autodiff::{nary, record};

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
    let weight = as_row::<B>(weight, x.shape().num_dims());
    let (normal, _) = normalized::<B>(x, eps);
    B::float_mul(normal, weight)
}

/// `x / √(mean(x²) + ε)`, and that root.
fn normalized<B: Backend>(x: FloatTensor<B>, eps: f64) -> (FloatTensor<B>, FloatTensor<B>) {
    let last = x.shape().num_dims() - 1;
    let mean = B::float_mean_dim(B::float_mul(x.clone(), x.clone()), last);
    let root = B::float_sqrt(B::float_add_scalar(mean, eps.into()));
    (B::float_div(x, root.clone()), root)
}

/// A vector as the last of so many axes.
fn as_row<B: Backend>(vector: FloatTensor<B>, axes: usize) -> FloatTensor<B> {
    let mut shape = vec![1; axes];
    shape[axes - 1] = vector.shape()[0];
    B::float_reshape(vector, Shape::from(shape))
}

impl<B: Norm, C: CheckpointStrategy> Norm for Autodiff<B, C> {
    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, eps: f64) -> FloatTensor<Self> {
        let inputs = [x.node(), weight.node()];
        let (x, weight) = (x.into_primitive(), weight.into_primitive());
        let output = B::rms_norm(x.clone(), weight.clone(), eps);
        record::<B, C, _, 2>(NormStep, inputs, (x, weight, eps), output)
    }
}

#[derive(Debug)]
struct NormStep;

impl<B: Norm> Backward<B, 2> for NormStep {
    /// x, γ and ε.
    type State = (FloatTensor<B>, FloatTensor<B>, f64);

    /// With `n = x / root`: `dx = (dO ⊙ γ − n · mean(dO ⊙ γ ⊙ n)) / root` and `dγ = Σ dO ⊙ n` over all rows.
    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        nary::<B, _, 2>(ops, grads, |(x, weight, eps), grad| {
            let (axes, features) = (x.shape().num_dims(), weight.shape()[0]);
            let rows = x.shape().num_elements() / features.max(1);
            let (normal, root) = normalized::<B>(x, eps);
            let of_weight = B::float_mul(grad.clone(), normal.clone());
            let of_weight = B::float_sum_dim(B::float_reshape(of_weight, Shape::new([rows, features])), 0);
            let grad = B::float_mul(grad, as_row::<B>(weight, axes));
            let mean = B::float_mean_dim(B::float_mul(grad.clone(), normal.clone()), axes - 1);
            let of_x = B::float_div(B::float_sub(grad, B::float_mul(normal, mean)), root);
            [of_x, B::float_reshape(of_weight, Shape::new([features]))]
        });
    }
}

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
        check(
            [weight.clone()],
            |[weight]| rms_norm(x.clone(), weight, 0.5).sum_dim(2).sum_dim(1).reshape([-1]),
            |[weight]| formula(x.clone(), weight).sum_dim(2).sum_dim(1).reshape([-1]),
        );
        // Also of many rows, and of such that do not lie side by side.
        let x = random([37, 900, 2], &device).swap_dims(0, 2).inner();
        assert_close(rms_norm(x.clone(), weight.clone().inner(), 0.5), formula(x, weight.inner()));
    }
}
