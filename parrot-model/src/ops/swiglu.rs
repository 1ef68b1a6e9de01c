//! The middle of a SwiGLU feed-forward ([arXiv 2002.05202](https://arxiv.org/abs/2002.05202)).

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, backend_extension};
use burn::prelude::*;

use super::autodiff::{nary, record};

/// `silu(gate) ⊙ up`, where `silu(x) = x σ(x)`.
///
/// # Shapes
///
/// - gate, up and output: `[…, intermediate]`
///
/// # Panics
///
/// If gate and up differ in shape.
pub(crate) fn silu_product<const D: usize>(gate: Tensor<D>, up: Tensor<D>) -> Tensor<D> {
    assert_eq!(gate.dims(), up.dims(), "silu_product: gate and up must have the same shape");
    Tensor::from_dispatch(<Dispatch as SwiGluOps>::silu_product(gate.into_dispatch(), up.into_dispatch()))
}

/// [`silu_product`] on a backend.
#[backend_extension(
    Autodiff,
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "cube"),
    Fusion: cfg(feature = "tuning")
)]
pub(super) trait SwiGluOps: Backend {
    /// See [`silu_product`].
    #[fusion(default)]
    fn silu_product(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        composed::<Self>(gate, up)
    }

    /// The gradients of gate and up from that of the output.
    #[fusion(default)]
    fn silu_product_backward(
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        composed_backward::<Self>(gate, up, grad)
    }
}

/// [`SwiGluOps::silu_product`] of elementary operations.
pub(super) fn composed<B: Backend>(gate: FloatTensor<B>, up: FloatTensor<B>) -> FloatTensor<B> {
    let silu = B::float_mul(gate.clone(), B::sigmoid(gate));
    B::float_mul(silu, up)
}

/// [`SwiGluOps::silu_product_backward`] of elementary operations: `dgate = dO ⊙ up ⊙ (σ + silu − σ ⊙ silu)` and
/// `dup = dO ⊙ silu`, the sigmoid computed again rather than kept.
pub(super) fn composed_backward<B: Backend>(
    gate: FloatTensor<B>,
    up: FloatTensor<B>,
    grad: FloatTensor<B>,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let sigmoid = B::sigmoid(gate.clone());
    let silu = B::float_mul(gate, sigmoid.clone());
    let grad_up = B::float_mul(grad.clone(), silu.clone());
    let product = B::float_mul(sigmoid.clone(), silu.clone());
    let derivative = B::float_sub(B::float_add(silu, sigmoid), product);
    let grad_gate = B::float_mul(B::float_mul(grad, up), derivative);
    (grad_gate, grad_up)
}

impl<B: SwiGluOps, C: CheckpointStrategy> SwiGluOps for Autodiff<B, C> {
    fn silu_product(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        let inputs = [gate.node(), up.node()];
        let (gate, up) = (gate.into_primitive(), up.into_primitive());
        let output = B::silu_product(gate.clone(), up.clone());
        record::<B, C, _, 2>(SwiGluStep, inputs, (gate, up), output)
    }
}

#[derive(Debug)]
struct SwiGluStep;

impl<B: SwiGluOps> Backward<B, 2> for SwiGluStep {
    /// Gate and up.
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        nary::<B, _, 2>(ops, grads, |(gate, up), grad| B::silu_product_backward(gate, up, grad).into());
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::activation::silu;

    use super::*;
    use crate::ops::testing::{assert_close, check, random};

    #[test]
    fn silu_product_is_its_formula() {
        let device = Device::default().autodiff();
        check(
            [random([2, 3, 9], &device), random([2, 3, 9], &device)],
            |[gate, up]| silu_product(gate, up),
            |[gate, up]| silu(gate) * up,
        );
    }

    #[test]
    fn what_needs_no_gradient_is_computed_all_the_same() {
        let device = Device::default();
        let [gate, up] = [random([2, 9], &device), random([2, 9], &device)];
        assert_close(silu_product(gate.clone(), up.clone()), silu(gate.clone()) * up.clone());
        let on_tape = silu_product(gate.clone().autodiff(), up.clone().autodiff());
        assert_close(on_tape.inner(), silu(gate) * up);
    }

    #[test]
    #[should_panic(expected = "gate and up must have the same shape")]
    fn nothing_is_broadcast() {
        let device = Device::default();
        silu_product::<2>(random([2, 9], &device), random([1, 9], &device));
    }
}
