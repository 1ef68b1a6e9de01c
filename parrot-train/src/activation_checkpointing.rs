//! Layer-by-layer activation checkpointing: the decoder's forward pass keeps only the input of each layer, and the
//! backward pass computes the layers again, one at a time.
//!
//! ```text
//! forward, off the tape     x₀ = embeddings, xᵢ₊₁ = layerᵢ(xᵢ), i < n − 1
//! last layer and head       L = loss(norm(layerₙ₋₁(xₙ₋₁)))        → ∂L/∂xₙ₋₁ and their gradients
//! layer n − 2 … 0           yᵢ = layerᵢ(xᵢ), Σ yᵢ · ∂L/∂xᵢ₊₁      → ∂L/∂xᵢ and the layer's gradients
//! images and embeddings   Σ x₀ · ∂L/∂x₀                         → gradients of projector, experts, embeddings
//! ```
//!
//! This takes the memory of one layer's activations and one `[batch, seq, hidden]` per layer, at the cost of one more forward
//! pass of all layers but the last. Burn 0.22 checkpoints only single operations; the chain rule over pieces does not need
//! that. Every piece has a tape of its own, and so a replica of the parameters where two pieces share one: the embedding
//! table, when it is also the head.

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::prelude::*;
use parrot_model::batch::{Prepared, Targets};
use parrot_model::language::DecoderInput;
use parrot_model::parrot::ParrotModel;

use crate::Result;

/// The loss of a prepared batch, and `share` times its gradients. `[1]`, f32, off the tape
///
/// - prepare: makes the batch with a model's embeddings, projector and experts, and says what there is to learn
///
/// # Errors
///
/// What `prepare` returns.
pub(crate) fn backward(
    model: &ParrotModel,
    prepare: impl FnOnce(&ParrotModel) -> Result<(Prepared, Targets)>,
    share: f64,
) -> Result<(Tensor<1>, GradientsParams)> {
    let (Prepared { input, .. }, targets) = prepare(model)?;
    // Without gradients, but on a device with autodiff, where products with weights in blocks are those of the backward pass.
    let decoder = model.language_model.clone().freeze();
    let first = Tensor::from_inner(input.inputs_embeds.clone().inner());
    let context = decoder.context(&DecoderInput { inputs_embeds: first.clone(), ..input.clone() }, 0);
    let last = decoder.num_layers() - 1;
    let mut inputs = vec![first];
    for layer in 0..last {
        inputs.push(decoder.forward_layer(layer, inputs[layer].clone(), &context));
    }

    let replica = model.valid().train();
    let mut gradients = GradientsAccumulator::<ParrotModel>::new();
    // The input of a piece is a leaf; its gradient is passed on to the piece before.
    let leaf =
        |inputs: &mut Vec<Tensor<3>>| inputs.pop().map(|x| Tensor::from_inner(x.inner()).require_grad());
    let x = leaf(&mut inputs).expect("each layer has an input");
    let context =
        replica.language_model.context(&DecoderInput { inputs_embeds: x.clone(), ..input.clone() }, 0);
    let hidden_states = replica.language_model.forward_last_layer(x.clone(), &context, targets.rows.clone());
    let loss = replica.cross_entropy(hidden_states, targets);
    let mut head = (loss.clone() * share).backward();
    let mut passed_on = x.grad_remove(&mut head);
    gradients.accumulate(model, GradientsParams::from_grads(head, &replica));

    for layer in (0..last).rev() {
        let (Some(x), Some(gradient)) = (leaf(&mut inputs), passed_on.take()) else {
            break;
        };
        let y = replica.language_model.forward_layer(layer, x.clone(), &context);
        let mut piece = (y * Tensor::from_inner(gradient)).sum().backward();
        passed_on = x.grad_remove(&mut piece);
        gradients.accumulate(model, GradientsParams::from_grads(piece, &replica));
    }
    // Text alone reaches nothing here unless the embeddings learn.
    let embeddings = input.inputs_embeds;
    if let Some(gradient) = passed_on.filter(|_| embeddings.is_tracked()) {
        let piece = (embeddings * Tensor::from_inner(gradient)).sum().backward();
        gradients.accumulate(model, GradientsParams::from_grads(piece, model));
    }
    Ok((loss.inner(), gradients.grads()))
}
