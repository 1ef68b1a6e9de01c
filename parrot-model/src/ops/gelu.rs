//! The GELU, exact and as CLIP approximates it ([arXiv 1606.08415](https://arxiv.org/abs/1606.08415)).

use std::f64::consts::SQRT_2;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, unary};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, backend_extension};
use burn::prelude::*;
use burn::tensor::activation;

use super::autodiff::record;

/// The steepness of CLIP's approximation.
pub(super) const QUICK_GELU: f64 = 1.702;

/// `x Φ(x)`, the exact GELU of PyTorch's `nn.GELU()`.
///
/// Where a gradient is wanted it is composed of Burn's operations: on the GPU backends, Burn 0.22 differentiates its own
/// exact GELU as if it were the tanh approximation, and the projector's gradients are up to a thousandth off.
///
/// # Shapes
///
/// - x and output: any
pub(crate) fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if !x.is_tracked() {
        return activation::gelu(x);
    }
    let cdf = (x.clone() / SQRT_2).erf().add_scalar(1.0) * 0.5;
    x * cdf
}

/// `x σ(1.702 x)`, CLIP's approximation of the GELU.
///
/// # Shapes
///
/// - x and output: any
pub(crate) fn quick_gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as QuickGelu>::quick_gelu(x.into_dispatch()))
}

/// [`quick_gelu`] on a backend.
#[backend_extension(
    Autodiff,
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "cube"),
    Fusion: cfg(feature = "tuning")
)]
pub(super) trait QuickGelu: Backend {
    /// See [`quick_gelu`].
    #[fusion(default)]
    fn quick_gelu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        composed::<Self>(x)
    }
}

/// [`QuickGelu::quick_gelu`] of elementary operations.
pub(super) fn composed<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let sigmoid = B::sigmoid(B::float_mul_scalar(x.clone(), QUICK_GELU.into()));
    B::float_mul(x, sigmoid)
}

/// `dx = dO ⊙ (σ + 1.702 x σ (1 − σ))`, of elementary operations on every backend.
fn composed_backward<B: Backend>(x: FloatTensor<B>, grad: FloatTensor<B>) -> FloatTensor<B> {
    let scaled = B::float_mul_scalar(x, QUICK_GELU.into());
    let sigmoid = B::sigmoid(scaled.clone());
    let slope = B::float_sub(sigmoid.clone(), B::float_mul(sigmoid.clone(), sigmoid.clone()));
    B::float_mul(grad, B::float_add(sigmoid, B::float_mul(scaled, slope)))
}

impl<B: QuickGelu, C: CheckpointStrategy> QuickGelu for Autodiff<B, C> {
    fn quick_gelu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let inputs = [x.node()];
        let x = x.into_primitive();
        record::<B, C, _, 1>(QuickGeluStep, inputs, x.clone(), B::quick_gelu(x))
    }
}

#[derive(Debug)]
struct QuickGeluStep;

impl<B: Backend> Backward<B, 1> for QuickGeluStep {
    /// The input.
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        unary::<B, _>(ops.parents, ops.node, grads, |grad| composed_backward::<B>(ops.state, grad));
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::activation::sigmoid;

    use super::*;
    use crate::ops::testing::{check, random};

    /// φ(x) is the normal density, Φ(x) its integral: the derivative is Φ(x) + x φ(x). Values from their definitions.
    #[test]
    fn value_and_derivative_are_exact() {
        let x = [-3.0f32, -1.0, -0.2, 0.0, 0.5, 1.0, 2.5];
        let phi = [0.001_349_898, 0.158_655_25, 0.420_740_3, 0.5, 0.691_462_46, 0.841_344_7, 0.993_790_3];
        let tracked = Tensor::<1>::from_data(x, &Device::default().autodiff()).require_grad();
        let y = gelu(tracked.clone());
        let gradients = y.clone().sum().backward();
        let derivative: Vec<f32> = tracked.grad(&gradients).unwrap().into_data().iter().collect();
        let plain: Vec<f32> =
            gelu(Tensor::<1>::from_data(x, &Device::default())).into_data().iter().collect();
        let y: Vec<f32> = y.inner().into_data().iter().collect();
        for i in 0..x.len() {
            let density = (-x[i] * x[i] / 2.0).exp() / (2.0 * std::f32::consts::PI).sqrt();
            assert!((y[i] - x[i] * phi[i]).abs() < 1e-6 && (plain[i] - y[i]).abs() < 1e-6, "GELU({})", x[i]);
            let expected = phi[i] + x[i] * density;
            assert!((derivative[i] - expected).abs() < 1e-6, "{} should be {expected}", derivative[i]);
        }
    }

    #[test]
    fn quick_gelu_is_its_formula() {
        let device = Device::default().autodiff();
        let far = Tensor::from_data([[-200.0, -90.0, -3.0, 0.0], [0.5, 20.0, 88.0, 200.0]], &device);
        for x in [far, random([3, 9], &device)] {
            check([x], |[x]| quick_gelu(x), |[x]| x.clone() * sigmoid(x * 1.702));
        }
    }
}
