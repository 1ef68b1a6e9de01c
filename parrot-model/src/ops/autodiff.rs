//! How an operation gets onto autodiff's tape, and its gradients off it.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend};

/// Puts an operation on the tape, if one of its inputs is on it.
///
/// - step: computes the gradients of the inputs from `state`
/// - output: what the operation has computed
pub(super) fn record<B: Backend, C: CheckpointStrategy, S: Backward<B, N>, const N: usize>(
    step: S,
    inputs: [NodeGuard; N],
    state: S::State,
    output: FloatTensor<B>,
) -> FloatTensor<Autodiff<B, C>> {
    match step.prepare::<C>(inputs).compute_bound().stateful() {
        OpsKind::Tracked(step) => step.finish(state, output),
        OpsKind::UnTracked(step) => step.finish(output),
    }
}

/// The backward pass of an operation that computes the gradients of all its inputs together; Burn's `unary` and `binary`
/// ask for each on its own.
///
/// - gradients: of the inputs, from the state and the output's gradient
pub(super) fn nary<B: Backend, S, const N: usize>(
    ops: Ops<S, N>,
    grads: &mut Gradients,
    gradients: impl FnOnce(S, FloatTensor<B>) -> [FloatTensor<B>; N],
) {
    let grad_output = grads.consume::<B>(&ops.node);
    for (parent, grad) in ops.parents.into_iter().zip(gradients(ops.state, grad_output)) {
        if let Some(parent) = parent {
            grads.register::<B>(parent.id, grad);
        }
    }
}
