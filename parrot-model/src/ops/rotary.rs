//! Rotary position embedding in its rotate-half form ([arXiv 2104.09864](https://arxiv.org/abs/2104.09864)).

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, unary};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata, backend_extension};
use burn::prelude::*;

use super::autodiff::record;

/// `x ⊙ cos + rotate_half(x) ⊙ sin`, where `rotate_half([a, b]) = [−b, a]`. Angles do not learn.
///
/// # Shapes
///
/// - x and output: `[batch, heads, seq, head_dim]`
/// - cos, sin: `[batch, 1, seq, head_dim]`, or for all sequences `[1, 1, seq, head_dim]`; their two halves are equal
///
/// # Panics
///
/// If the shapes are not these, or `head_dim` is odd.
pub(crate) fn rotate(x: Tensor<4>, cos: Tensor<4>, sin: Tensor<4>) -> Tensor<4> {
    let [batch, _, seq, head_dim] = x.dims();
    for angles in [&cos, &sin] {
        let [sequences, heads, positions, width] = angles.dims();
        assert!(
            (sequences == 1 || sequences == batch) && [heads, positions, width] == [1, seq, head_dim],
            "rotate: angles of another shape"
        );
    }
    assert_eq!(cos.dims(), sin.dims(), "rotate: an angle's cosine and sine");
    assert!(head_dim.is_multiple_of(2), "rotate: the two halves of a head");
    Tensor::from_dispatch(<Dispatch as Rotary>::rotate(
        x.into_dispatch(),
        cos.into_dispatch(),
        sin.into_dispatch(),
    ))
}

/// [`rotate`] on a backend.
#[backend_extension(
    Autodiff,
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "cube"),
    Fusion: cfg(feature = "tuning")
)]
pub(super) trait Rotary: Backend {
    /// See [`rotate`].
    #[fusion(default)]
    fn rotate(x: FloatTensor<Self>, cos: FloatTensor<Self>, sin: FloatTensor<Self>) -> FloatTensor<Self> {
        composed::<Self>(x, cos, sin)
    }
}

/// [`Rotary::rotate`] of elementary operations.
pub(super) fn composed<B: Backend>(
    x: FloatTensor<B>,
    cos: FloatTensor<B>,
    sin: FloatTensor<B>,
) -> FloatTensor<B> {
    let half = x.shape()[3] / 2;
    let first = B::float_slice(x.clone(), &s![.., .., .., ..half]);
    let second = B::float_slice(x.clone(), &s![.., .., .., half..]);
    let rotated = B::float_cat(vec![B::float_neg(second), first], 3);
    B::float_add(B::float_mul(x, cos), B::float_mul(rotated, sin))
}

impl<B: Rotary, C: CheckpointStrategy> Rotary for Autodiff<B, C> {
    fn rotate(x: FloatTensor<Self>, cos: FloatTensor<Self>, sin: FloatTensor<Self>) -> FloatTensor<Self> {
        let inputs = [x.node()];
        let [x, cos, sin] = [x, cos, sin].map(|x| x.into_primitive());
        let output = B::rotate(x, cos.clone(), sin.clone());
        record::<B, C, _, 1>(RotationStep, inputs, (cos, sin), output)
    }
}

#[derive(Debug)]
struct RotationStep;

impl<B: Rotary> Backward<B, 1> for RotationStep {
    /// Cosines and sines.
    type State = (FloatTensor<B>, FloatTensor<B>);

    /// A rotation's transpose turns the other way round.
    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (cos, sin) = ops.state;
        unary::<B, _>(ops.parents, ops.node, grads, |grad| B::rotate(grad, cos, B::float_neg(sin)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{check, random};

    #[test]
    fn a_rotation_is_its_formula() {
        let device = Device::default().autodiff();
        for [batch, sequences, seq] in [[2, 2, 3], [2, 1, 5], [3, 1, 400]] {
            let twice = |half: Tensor<4>| Tensor::cat(vec![half.clone(), half], 3).inner();
            let angles = random([sequences, 1, seq, 16], &device);
            let [cos, sin] = [angles.clone().cos(), angles.sin()].map(twice).map(Tensor::autodiff);
            // Lies in memory as projections do, head beside head.
            let x = random([batch, seq, 4, 32], &device).swap_dims(1, 2);
            check(
                [x],
                |[x]| rotate(x, cos.clone(), sin.clone()),
                |[x]| {
                    let [first, second] = [x.clone().narrow(3, 0, 16), x.clone().narrow(3, 16, 16)];
                    let rotated = Tensor::cat(vec![second.neg(), first], 3);
                    x * cos.clone() + rotated * sin.clone()
                },
            );
        }
    }
}
