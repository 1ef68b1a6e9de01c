//! Losses of micro-batches → gradients of the step.

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::prelude::*;
use rayon::prelude::*;

use crate::Result;

/// A loss off its tape, and `share` times its gradients.
pub fn backward<M: Module>(module: &M, loss: Tensor<1>, share: f64) -> (Tensor<1>, GradientsParams) {
    // The loss may depend on nothing that learns: that of text alone, say, while only the projector learns.
    let gradients = if loss.is_tracked() {
        GradientsParams::from_grads((loss.clone() * share).backward(), module)
    } else {
        GradientsParams::new()
    };
    (loss.inner(), gradients)
}

/// Losses of micro-batches, and the accumulated gradients of their sum weighted by `shares`.
///
/// `backward` gives a micro-batch's loss and its share of the gradients, as the function of this name does.
///
/// Up to `threads` of them are computed at the same time; they are added up in their order, so that the
/// result does not depend on it.
///
/// # Errors
///
/// What `backward` returns.
///
/// # Panics
///
/// If `backward` panics, or there are not as many shares as micro-batches.
pub fn gradients<M: Module + Sync, B: Sync>(
    module: &M,
    micro_batches: &[B],
    shares: &[f64],
    threads: usize,
    backward: impl Fn(&M, &B, f64) -> Result<(Tensor<1>, GradientsParams)> + Sync,
) -> Result<(Vec<Tensor<1>>, GradientsParams)> {
    // Tapes that share a parameter's node are one tape to Burn, and the first backward pass consumes it.
    // A replica shares the values and the ids, but has nodes of its own.
    let backward_apart = |(batch, share): (&B, f64)| backward(&module.valid().train(), batch, share);
    let mut losses = Vec::with_capacity(micro_batches.len());
    let mut accumulator = GradientsAccumulator::<M>::new();
    assert_eq!(micro_batches.len(), shares.len(), "one share per micro-batch");
    let shared: Vec<(&B, f64)> = micro_batches.iter().zip(shares.iter().copied()).collect();
    for wave in shared.chunks(threads.max(1)) {
        let results: Vec<Result<_>> = match *wave {
            [(batch, share)] => vec![backward(module, batch, share)],
            // On the threads that compute the matrix products: a thread from outside would wait for them at each one.
            _ => wave.par_iter().map(|batch| backward_apart(*batch)).collect(),
        };
        for result in results {
            let (loss, gradients) = result?;
            losses.push(loss);
            accumulator.accumulate(module, gradients);
        }
    }
    Ok((losses, accumulator.grads()))
}
