//! Products of matrices.
//!
//! Burn's CPU backend zeroes a product's output before it fills it, and then copies it elsewhere (`FlexTensor::empty` in
//! 0.22); [`flex`](super::flex) does neither. And for a frozen weight nothing is kept for the backward pass.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, binary};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata, backend_extension};
use burn::prelude::*;
use burn::tensor::assert_shape;

use super::autodiff::record;
use super::blocks::{block_format, matmul_blocks};

/// `lhs · rhs`, of two matrices, or of as many on the left as on the right; nothing is broadcast.
///
/// On the CPU the right side may be held in another width than the left one: f32, bf16, f16, or
/// [blocks](super::blocks()) of 8 or 4 bits, which have no gradient. That is how every linear layer
/// meets its weight, which lies in memory transposed; the output is as the left side.
///
/// # Shapes
///
/// - lhs: `[rows, inner]` or `[matrices, rows, inner]`
/// - rhs: `[inner, columns]` or `[matrices, inner, columns]`
/// - output: `[rows, columns]` or `[matrices, rows, columns]`
///
/// # Panics
///
/// If the sides differ in `inner` or in `matrices`.
pub(crate) fn matmul<const D: usize>(lhs: Tensor<D>, rhs: Tensor<D>) -> Tensor<D> {
    const { assert!(D == 2 || D == 3, "matrices, or several of them") };
    let (inner, matrices) = (lhs.dims()[D - 1], lhs.dims()[0]);
    assert_shape!(rhs, [.., inner, _]);
    if D == 3 {
        assert_shape!(rhs, [matrices, ..]);
    }
    if block_format(rhs.dtype()).is_some() {
        return matmul_blocks(lhs, rhs);
    }
    Tensor::from_dispatch(<Dispatch as MatMul>::matmul(lhs.into_dispatch(), rhs.into_dispatch()))
}

/// `x W + b`, of two matrices. Where nothing is learnt, the CPU adds the bias to the product while it is written.
///
/// # Shapes
///
/// - x: `[rows, in]`
/// - weight: `[in, out]`, of numbers, not of blocks
/// - bias: `[out]`
/// - output: `[rows, out]`
///
/// # Panics
///
/// If the shapes are not these.
pub(crate) fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    let ([_, inner], [columns]) = (x.dims(), bias.dims());
    assert_shape!(weight, [inner, columns]);
    let [x, weight] = [x, weight].map(Tensor::into_dispatch);
    Tensor::from_dispatch(<Dispatch as MatMul>::linear(x, weight, bias.into_dispatch()))
}

/// [`matmul`] on a backend.
#[backend_extension(
    Autodiff,
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "cube"),
    Fusion: cfg(feature = "tuning")
)]
pub(super) trait MatMul: Backend {
    /// See [`matmul`].
    #[fusion(default)]
    fn matmul(lhs: FloatTensor<Self>, rhs: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::float_matmul(lhs, rhs)
    }

    /// See [`linear`].
    #[fusion(default)]
    fn linear(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        add_bias::<Self>(Self::matmul(x, weight), bias)
    }
}

/// A matrix with a bias added to each row.
pub(super) fn add_bias<B: Backend>(x: FloatTensor<B>, bias: FloatTensor<B>) -> FloatTensor<B> {
    let columns = bias.shape()[0];
    B::float_add(x, B::float_reshape(bias, Shape::new([1, columns])))
}

impl<B: MatMul, C: CheckpointStrategy> MatMul for Autodiff<B, C> {
    fn matmul(lhs: FloatTensor<Self>, rhs: FloatTensor<Self>) -> FloatTensor<Self> {
        let inputs = [lhs.node(), rhs.node()];
        let (lhs_learns, rhs_learns) = (lhs.is_tracked(), rhs.is_tracked());
        let (lhs, rhs) = (lhs.into_primitive(), rhs.into_primitive());
        // The gradient of each side takes the other side.
        let state = (rhs_learns.then(|| lhs.clone()), lhs_learns.then(|| rhs.clone()));
        record::<B, C, _, 2>(MatMulStep, inputs, state, B::matmul(lhs, rhs))
    }
}

#[derive(Debug)]
struct MatMulStep;

impl<B: MatMul> Backward<B, 2> for MatMulStep {
    /// The left side if the right one learns, and the right side if the left one does.
    type State = (Option<FloatTensor<B>>, Option<FloatTensor<B>>);

    /// `dL = dO Rᵀ` and `dR = (dOᵀ L)ᵀ`, which lies in memory as a weight does that is stored transposed.
    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (lhs, rhs) = ops.state;
        let grad_lhs = |grad| match rhs {
            Some(rhs) => B::matmul(grad, B::float_transpose(rhs)),
            None => unreachable!("kept where the left side learns"),
        };
        let grad_rhs = |grad| match lhs {
            Some(lhs) => B::float_transpose(B::matmul(B::float_transpose(grad), lhs)),
            None => unreachable!("kept where the right side learns"),
        };
        binary::<B, _, _>(ops.parents, ops.node, grads, grad_lhs, grad_rhs);
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::FloatDType;

    use super::*;
    use crate::ops::testing::{assert_close, check, random};

    #[test]
    fn a_product_is_its_formula() {
        let device = Device::default().autodiff();
        let (lhs, rhs) = (random([5, 7], &device), random([3, 7], &device).transpose());
        check([lhs.clone()], |[lhs]| matmul(lhs, rhs.clone()), |[lhs]| lhs.matmul(rhs.clone()));
        check([rhs], |[rhs]| matmul(lhs.clone(), rhs), |[rhs]| lhs.clone().matmul(rhs));
    }

    #[test]
    fn many_products_are_their_formula() {
        let device = Device::default().autodiff();
        // Few small ones, and as many as are shared among threads; the left sides lie side by side.
        for size in [5, 130] {
            let lhs = random([size, 4, 130], &device).swap_dims(0, 1);
            let rhs = random([4, 150, 130], &device).swap_dims(1, 2);
            check([lhs.clone()], |[lhs]| matmul(lhs, rhs.clone()), |[lhs]| lhs.matmul(rhs.clone()));
            check([rhs], |[rhs]| matmul(lhs.clone(), rhs), |[rhs]| lhs.clone().matmul(rhs));
        }
    }

    #[test]
    fn a_product_with_a_bias_is_its_formula() {
        let device = Device::default().autodiff();
        for rows in [2, 40] {
            let (x, weight) = (random([rows, 70], &device), random([90, 70], &device).transpose());
            let bias = random([90], &device);
            let formula = |x: Tensor<2>, bias: Tensor<1>| x.matmul(weight.clone()) + bias.unsqueeze();
            check([x.clone()], |[x]| linear(x, weight.clone(), bias.clone()), |[x]| formula(x, bias.clone()));
            let [x, weight] = [x, weight.clone()].map(Tensor::inner);
            let expected = x.clone().matmul(weight.clone()) + bias.clone().inner().unsqueeze();
            assert_close(linear(x, weight, bias.inner()), expected);
        }
    }

    /// Rounding what is multiplied to bf16 costs 2⁻⁹ of each number; where the processor cannot multiply bf16, nothing is rounded.
    #[cfg(feature = "flex")]
    #[test]
    fn a_gradient_beside_a_frozen_weight_in_bf16_is_that_of_what_it_holds() {
        let device = Device::flex().autodiff();
        for (rows, outputs, inputs) in [(40, 90, 70), (3, 33, 130)] {
            let weight = random([outputs, inputs], &device).cast(FloatDType::BF16);
            let upstream = random([rows, outputs], &device);
            let x = random([rows, inputs], &device);
            let gradient = |weight: Tensor<2>| {
                let x = x.clone().detach().require_grad();
                let output = matmul(x.clone(), weight.transpose());
                x.grad(&(output * upstream.clone()).sum().backward()).unwrap()
            };
            let (found, expected) = (gradient(weight.clone()), gradient(weight.cast(FloatDType::F32)));
            let difference = (found - expected.clone()).abs().max().into_scalar::<f32>();
            let largest = expected.abs().max().into_scalar::<f32>();
            assert!(difference < 4e-3 * largest, "{difference} of {largest}");
        }
    }

    #[test]
    #[should_panic(expected = "axis 0 expected 7, got 6")]
    fn the_inner_sizes_must_agree() {
        let device = Device::default();
        matmul::<2>(random([5, 7], &device), random([6, 3], &device));
    }

    #[test]
    #[should_panic(expected = "axis 0 expected 2, got 1")]
    fn nothing_is_broadcast() {
        let device = Device::default();
        matmul::<3>(random([2, 5, 7], &device), random([1, 7, 3], &device));
    }
}
