//! What the operations of [`derivatives`](super::derivatives) and their derivatives compute: composed of a backend's own
//! operations, unless the backend has something better.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata};
use burn::prelude::*;
use burn::tensor::{DType, FloatDType};

/// The steepness of CLIP's approximation of the GELU.
pub(super) const QUICK_GELU: f64 = 1.702;

/// What attention's derivative needs, as the backend's kernel wants it.
#[derive(Debug, Clone)]
pub(crate) struct AttentionState<B: Backend> {
    pub(super) query: FloatTensor<B>,
    /// `[batch, kv_heads, keys, head_dim]`
    pub(super) key: FloatTensor<B>,
    /// `[batch, kv_heads, keys, head_dim]`
    pub(super) value: FloatTensor<B>,
    /// P, the softmax.
    pub(super) probabilities: FloatTensor<B>,
    /// `P V`. `[batch, heads, seq, head_dim]`
    pub(super) context: FloatTensor<B>,
    /// How many keys each block of queries sees, where P has only those; empty where it has all.
    pub(super) visible: Vec<usize>,
}

/// Forwards and derivatives on one backend.
pub(crate) trait Kernels: Backend {
    /// See [`derivatives::product`](super::derivatives::product).
    fn product(lhs: FloatTensor<Self>, rhs: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::float_matmul(lhs, rhs)
    }

    /// See [`derivatives::attention`](super::derivatives::attention).
    fn attention_forward(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> AttentionState<Self> {
        attention_forward(query, key, value, bias)
    }

    /// The gradients of query, key and value.
    fn attention_backward(state: AttentionState<Self>, grad: FloatTensor<Self>) -> [FloatTensor<Self>; 3] {
        attention_backward(state, grad)
    }

    /// `silu(gate) ⊙ up`
    fn silu_product_forward(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        silu_product_forward::<Self>(gate, up)
    }

    /// The gradients of gate and up.
    fn silu_product_backward(
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 2] {
        silu_product_backward::<Self>(gate, up, grad)
    }

    /// `x σ(1.702 x)`
    fn quick_gelu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        quick_gelu::<Self>(x)
    }
}

// Both only pass operations on: to a backend, and to one off the tape.
impl Kernels for Dispatch {}
impl<B: Kernels, C: CheckpointStrategy> Kernels for Autodiff<B, C> {}

// Its operations are fused where they are composed; the others it hands to the backend that it fuses for.
#[cfg(any(feature = "cuda", feature = "rocm", feature = "wgpu"))]
impl<B: burn::backend::fusion::FusionBackend + Kernels> Kernels for burn::backend::fusion::Fusion<B> {}

/// The query heads that share a key/value head stand as rows of one matrix.
pub(super) fn attention_forward<B: Backend>(
    query: FloatTensor<B>,
    key: FloatTensor<B>,
    value: FloatTensor<B>,
    bias: FloatTensor<B>,
) -> AttentionState<B> {
    let dtype = query.dtype();
    let [batch, heads, seq, head_dim] = query.shape().dims();
    let [_, kv_heads, keys, _] = key.shape().dims();
    let rows = heads / kv_heads * seq;
    let query =
        B::float_reshape(over_root::<B>(query, head_dim), Shape::new([batch, kv_heads, rows, head_dim]));
    let scores = B::float_matmul(query.clone(), B::float_transpose(key.clone()));
    let scores = B::float_reshape(cast::<B>(scores, DType::F32), Shape::new([batch, heads, seq, keys]));
    let probabilities = cast::<B>(B::softmax(B::float_add(scores, bias), 3), dtype);
    let probabilities = B::float_reshape(probabilities, Shape::new([batch, kv_heads, rows, keys]));
    let context = B::float_matmul(probabilities.clone(), value.clone());
    let context = B::float_reshape(context, Shape::new([batch, heads, seq, head_dim]));
    AttentionState { query, key, value, probabilities, context, visible: Vec::new() }
}

/// With S the scores and O the context: `dV = Pᵀ dO`, `dS = P ⊙ (dO Vᵀ − rowsum(dO ⊙ O))`, `dQ = dS K / √d`,
/// `dK = dSᵀ Q / √d`.
pub(super) fn attention_backward<B: Backend>(
    state: AttentionState<B>,
    grad: FloatTensor<B>,
) -> [FloatTensor<B>; 3] {
    let AttentionState { query, key, value, probabilities, context, .. } = state;
    let (dtype, shape) = (grad.dtype(), grad.shape());
    let [.., head_dim] = shape.dims::<4>();
    let grouped = query.shape();
    let grad = B::float_reshape(grad, grouped.clone());
    let context = B::float_reshape(context, grouped);
    let of_value = B::float_matmul(B::float_transpose(probabilities.clone()), grad.clone());
    let of_rows = B::float_mul(cast::<B>(grad.clone(), DType::F32), cast::<B>(context, DType::F32));
    let of_rows = B::float_sum_dim(of_rows, 3);
    let of_probabilities = cast::<B>(B::float_matmul(grad, B::float_transpose(value)), DType::F32);
    let centred = B::float_sub(of_probabilities, of_rows);
    let of_scores = cast::<B>(B::float_mul(centred, cast::<B>(probabilities, DType::F32)), dtype);
    let of_key = B::float_matmul(B::float_transpose(of_scores.clone()), query);
    let of_query = B::float_reshape(B::float_matmul(of_scores, key), shape);
    [over_root::<B>(of_query, head_dim), of_key, of_value]
}

pub(super) fn silu_product_forward<B: Backend>(gate: FloatTensor<B>, up: FloatTensor<B>) -> FloatTensor<B> {
    let silu = B::float_mul(gate.clone(), B::sigmoid(gate));
    B::float_mul(silu, up)
}

/// `dgate = d ⊙ up ⊙ (σ + silu − σ ⊙ silu)`, `dup = d ⊙ silu`, the sigmoid computed again rather than kept.
pub(super) fn silu_product_backward<B: Backend>(
    gate: FloatTensor<B>,
    up: FloatTensor<B>,
    grad: FloatTensor<B>,
) -> [FloatTensor<B>; 2] {
    let sigmoid = B::sigmoid(gate.clone());
    let silu = B::float_mul(gate, sigmoid.clone());
    let of_up = B::float_mul(grad.clone(), silu.clone());
    let product = B::float_mul(sigmoid.clone(), silu.clone());
    let derivative = B::float_sub(B::float_add(silu, sigmoid), product);
    [B::float_mul(B::float_mul(grad, up), derivative), of_up]
}

pub(super) fn quick_gelu<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let sigmoid = B::sigmoid(B::float_mul_scalar(x.clone(), QUICK_GELU.into()));
    B::float_mul(x, sigmoid)
}

/// `d ⊙ (σ + 1.702 x σ (1 − σ))`
pub(super) fn quick_gelu_backward<B: Backend>(x: FloatTensor<B>, grad: FloatTensor<B>) -> FloatTensor<B> {
    let scaled = B::float_mul_scalar(x, QUICK_GELU.into());
    let sigmoid = B::sigmoid(scaled.clone());
    let slope = B::float_sub(sigmoid.clone(), B::float_mul(sigmoid.clone(), sigmoid.clone()));
    B::float_mul(grad, B::float_add(sigmoid, B::float_mul(scaled, slope)))
}

/// `x / √d`
fn over_root<B: Backend>(x: FloatTensor<B>, head_dim: usize) -> FloatTensor<B> {
    B::float_mul_scalar(x, (1.0 / (head_dim as f64).sqrt()).into())
}

/// A copy only if the type is another one.
fn cast<B: Backend>(x: FloatTensor<B>, dtype: DType) -> FloatTensor<B> {
    if x.dtype() == dtype { x } else { B::float_cast(x, FloatDType::from(dtype)) }
}
