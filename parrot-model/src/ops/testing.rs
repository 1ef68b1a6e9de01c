//! What the operations' tests share.

use burn::prelude::*;
use burn::tensor::{Distribution, Tolerance};

/// The processor, and what computes on it by way of a graphics API where that is built in and there is one (Mesa's lavapipe).
pub(super) fn devices() -> Vec<Device> {
    let mut devices = Vec::new();
    #[cfg(feature = "flex")]
    devices.push(Device::flex());
    #[cfg(feature = "wgpu")]
    devices.extend(crate::device::open("wgpu:cpu"));
    devices
}

/// Standard normal numbers.
pub(super) fn random<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
}

/// Asserts that two tensors agree but for the order of their sums.
pub(super) fn assert_close<const D: usize>(found: Tensor<D>, expected: Tensor<D>) {
    // Sums of some hundred products of normal numbers: in another order they differ by some 1e-5.
    found.into_data().assert_approx_eq::<f32>(&expected.into_data(), Tolerance::absolute(1e-4));
}

/// Asserts that output and gradients of every input are those that Burn derives from the same formula.
pub(super) fn check<const D: usize, const N: usize>(
    inputs: [Tensor<D>; N],
    operation: impl Fn([Tensor<D>; N]) -> Tensor<D>,
    formula: impl Fn([Tensor<D>; N]) -> Tensor<D>,
) {
    // Both get leaves of their own, cut off from how the inputs were made.
    let leaves = || inputs.clone().map(|x| x.detach().require_grad());
    let (our_leaves, burn_leaves) = (leaves(), leaves());
    let (output, expected) = (operation(our_leaves.clone()), formula(burn_leaves.clone()));
    assert_close(output.clone().inner(), expected.clone().inner());
    let weights = random(output.dims(), &output.device());
    let grads = (output * weights.clone()).sum().backward();
    let expected_grads = (expected * weights).sum().backward();
    for (ours, burns) in our_leaves.iter().zip(&burn_leaves) {
        assert_close(ours.grad(&grads).unwrap(), burns.grad(&expected_grads).unwrap());
    }
}
