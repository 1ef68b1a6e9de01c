//! The cross-entropy of every row of logits; whoever calls it takes the mean.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, unary};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, Dispatch, backend_extension};
use burn::prelude::*;
use burn::tensor::IndexingUpdateOp;

use super::autodiff::record;

/// `−log softmax(logits)` at each row's target.
///
/// # Shapes
///
/// - logits: `[rows, vocab]`, f32
/// - targets: `[rows, 1]`, each below `vocab`
/// - output: `[rows, 1]`
///
/// # Panics
///
/// If there are not as many targets as rows.
pub(crate) fn cross_entropy(logits: Tensor<2>, targets: Tensor<2, Int>) -> Tensor<2> {
    let [rows, _] = logits.dims();
    assert_eq!(targets.dims(), [rows, 1], "cross_entropy: targets must be [rows, 1]");
    Tensor::from_dispatch(<Dispatch as CrossEntropy>::cross_entropy(
        logits.into_dispatch(),
        targets.into_dispatch(),
    ))
}

/// [`cross_entropy()`] on a backend.
#[backend_extension(
    Autodiff,
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "cube"),
    Fusion: cfg(feature = "tuning")
)]
pub(super) trait CrossEntropy: Backend {
    /// See [`cross_entropy()`].
    #[fusion(default)]
    fn cross_entropy(logits: FloatTensor<Self>, targets: IntTensor<Self>) -> FloatTensor<Self> {
        composed::<Self>(logits, targets).0
    }
}

/// What the derivative needs.
#[derive(Debug, Clone)]
struct CrossEntropyState<B: Backend> {
    /// `exp(logits − their largest)`. `[rows, vocab]`
    exponentials: FloatTensor<B>,
    /// The sum of each row of those. `[rows, 1]`
    sums: FloatTensor<B>,
    /// `[rows, 1]`
    targets: IntTensor<B>,
}

/// The output, and what its derivative needs.
fn composed<B: Backend>(
    logits: FloatTensor<B>,
    targets: IntTensor<B>,
) -> (FloatTensor<B>, CrossEntropyState<B>) {
    let largest = B::float_max_dim(logits.clone(), 1);
    let shifted = B::float_sub(logits, largest);
    let at_targets = B::float_gather(1, shifted.clone(), targets.clone());
    let exponentials = B::float_exp(shifted);
    let sums = B::float_sum_dim(exponentials.clone(), 1);
    let output = B::float_sub(B::float_log(sums.clone()), at_targets);
    (output, CrossEntropyState { exponentials, sums, targets })
}

impl<B: CrossEntropy, C: CheckpointStrategy> CrossEntropy for Autodiff<B, C> {
    fn cross_entropy(logits: FloatTensor<Self>, targets: IntTensor<Self>) -> FloatTensor<Self> {
        let inputs = [logits.node()];
        let (output, state) = composed::<B>(logits.into_primitive(), targets);
        record::<B, C, _, 1>(CrossEntropyStep, inputs, state, output)
    }
}

#[derive(Debug)]
struct CrossEntropyStep;

impl<B: Backend> Backward<B, 1> for CrossEntropyStep {
    type State = CrossEntropyState<B>;

    /// `dlogits = (softmax(logits) − one-hot(targets)) · dO`
    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let CrossEntropyState { exponentials, sums, targets } = ops.state;
        unary::<B, _>(ops.parents, ops.node, grads, |grad| {
            let grad_logits = B::float_mul(exponentials, B::float_div(grad.clone(), sums));
            B::float_scatter(1, grad_logits, targets, B::float_neg(grad), IndexingUpdateOp::Add)
        });
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::activation::log_softmax;

    use super::*;
    use crate::ops::testing::{check, random};

    #[test]
    fn the_cross_entropy_is_its_formula() {
        let device = Device::default().autodiff();
        let targets = Tensor::<2, Int>::from_data([[3], [0], [10]], &device);
        check(
            [random([3, 11], &device) * 4.0],
            |[logits]| cross_entropy(logits, targets.clone()),
            |[logits]| log_softmax(logits, 1).gather(1, targets.clone()).neg(),
        );
    }

    #[test]
    fn a_target_that_the_model_rules_out_has_a_finite_cross_entropy() {
        let device = Device::default().autodiff();
        let logits = Tensor::<2>::from_data([[0.0, -300.0]], &device).require_grad();
        let targets = Tensor::<2, Int>::from_data([[1]], &device);
        let loss = cross_entropy(logits.clone(), targets);
        let grads = loss.clone().sum().backward();
        assert_eq!(loss.into_scalar::<f32>(), 300.0);
        logits.grad(&grads).unwrap().into_data().assert_eq(&TensorData::from([[1.0f32, -1.0]]), true);
    }

    #[test]
    #[should_panic(expected = "targets must be [rows, 1]")]
    fn every_row_needs_a_target() {
        let device = Device::default();
        let targets = Tensor::<2, Int>::from_data([[0]], &device);
        cross_entropy(random([2, 3], &device), targets);
    }
}
