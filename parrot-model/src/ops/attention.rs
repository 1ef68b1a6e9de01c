//! Scaled dot-product attention with grouped queries.
//!
//! Besides the inputs, one tensor of the scores' size is kept for the backward pass: the softmax.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, ExtensionType, TensorMetadata, backend_extension};
use burn::prelude::*;
use burn::tensor::{DType, FloatDType, assert_shape};

use super::autodiff::{nary, record};

/// `softmax(Q Kᵀ / √head_dim + bias) V`, the softmax in f32.
///
/// - operands: what the model's weights are held in. On the CPU, where activations are f32, the operands of both products are
///   rounded to it if the processor multiplies bf16, it is bf16, and no derivative is taken
///
/// # Shapes
///
/// - query and output: `[batch, heads, seq, head_dim]`
/// - key, value: `[batch, kv_heads, keys, head_dim]`; each serves `heads / kv_heads` query heads
/// - bias: `[batch or 1, 1, seq or 1, keys or 1]`, f32; −∞ where a query must not look, though no row may be all −∞
///
/// # Panics
///
/// If the shapes are not these.
pub(crate) fn attention(
    query: Tensor<4>,
    key: Tensor<4>,
    value: Tensor<4>,
    bias: Tensor<4>,
    operands: DType,
) -> Tensor<4> {
    assert_shapes(&query, &key, &value, &bias);
    Tensor::from_dispatch(<Dispatch as AttentionOps>::attention(
        query.into_dispatch(),
        key.into_dispatch(),
        value.into_dispatch(),
        bias.into_dispatch(),
        operands,
    ))
}

/// [`attention`] under the causal mask: each query sees the keys up to its own, and the last query all of them.
///
/// A backend with a kernel for this mask neither reads the bias nor holds all scores in memory. Others add the
/// bias, which must therefore be the same mask.
///
/// # Shapes
///
/// As [`attention`].
///
/// # Panics
///
/// As [`attention`].
pub(crate) fn causal_attention(
    query: Tensor<4>,
    key: Tensor<4>,
    value: Tensor<4>,
    bias: Tensor<4>,
    operands: DType,
) -> Tensor<4> {
    flash_attention(query, key, value, bias, true, operands)
}

/// [`attention`] where every query sees every key, on the kernels of [`causal_attention`].
///
/// - bias: [`unmasked_bias`], made once for many calls
///
/// # Shapes
///
/// As [`attention`].
///
/// # Panics
///
/// As [`attention`].
pub(crate) fn unmasked_attention(
    query: Tensor<4>,
    key: Tensor<4>,
    value: Tensor<4>,
    bias: Tensor<4>,
    operands: DType,
) -> Tensor<4> {
    flash_attention(query, key, value, bias, false, operands)
}

fn flash_attention(
    query: Tensor<4>,
    key: Tensor<4>,
    value: Tensor<4>,
    bias: Tensor<4>,
    is_causal: bool,
    operands: DType,
) -> Tensor<4> {
    assert_shapes(&query, &key, &value, &bias);
    Tensor::from_dispatch(<Dispatch as AttentionOps>::flash_attention(
        query.into_dispatch(),
        key.into_dispatch(),
        value.into_dispatch(),
        bias.into_dispatch(),
        is_causal,
        operands,
    ))
}

/// The bias of [`attention`] under which every query sees every key. `[1, 1, 1, 1]`
pub(crate) fn unmasked_bias(device: &Device) -> Tensor<4> {
    Tensor::zeros([1; 4], (device, DType::F32))
}

/// Checks what [`attention`] is given.
fn assert_shapes(query: &Tensor<4>, key: &Tensor<4>, value: &Tensor<4>, bias: &Tensor<4>) {
    let [batch, heads, seq, head_dim] = query.dims();
    let [_, kv_heads, keys, _] = key.dims();
    assert_shape!(key, [batch, kv_heads, keys, head_dim]);
    assert_shape!(value, [batch, kv_heads, keys, head_dim]);
    assert!(
        kv_heads > 0 && heads % kv_heads == 0,
        "attention: {heads} query heads cannot share {kv_heads} key/value heads evenly"
    );
    let (found, full) = (bias.dims(), [batch, 1, seq, keys]);
    assert!(
        found.iter().zip(full).all(|(found, full)| [1, full].contains(found)),
        "attention: a bias of {found:?} does not broadcast to [batch, 1, seq, keys] = {full:?}"
    );
}

/// [`attention`] on a backend.
#[backend_extension(
    Autodiff,
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "cube"),
    Fusion: cfg(feature = "tuning")
)]
pub(super) trait AttentionOps: Backend {
    /// See [`attention`].
    #[fusion(default)]
    fn attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        operands: DType,
    ) -> FloatTensor<Self> {
        Self::attention_forward(query, key, value, bias, operands).context
    }

    /// See [`causal_attention`] and [`unmasked_attention`]; `is_causal` tells them apart.
    #[fusion(dtype = query, shape = query)]
    fn flash_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        _is_causal: bool,
        operands: DType,
    ) -> FloatTensor<Self> {
        // Burn has an operation of this name as well.
        <Self as AttentionOps>::attention(query, key, value, bias, operands)
    }

    /// [`attention`](Self::attention), and what its derivative needs.
    #[fusion(default)]
    fn attention_forward(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        _operands: DType,
    ) -> AttentionState<Self> {
        composed::<Self>(query, key, value, bias)
    }

    /// The gradients of query, key and value from that of the context.
    #[fusion(default)]
    fn attention_backward(
        #[extension_type] state: AttentionState<Self>,
        grad: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        composed_backward::<Self>(state, grad)
    }
}

/// What attention's derivative needs, laid out as the backend's kernel wants it.
#[derive(Debug, Clone, ExtensionType)]
pub(super) struct AttentionState<B: Backend> {
    /// The query as given; in the composed form divided by `√head_dim`, and grouped as
    /// `[batch, kv_heads, heads / kv_heads · seq, head_dim]`
    pub(super) query: FloatTensor<B>,
    /// `[batch, kv_heads, keys, head_dim]`
    pub(super) key: FloatTensor<B>,
    /// `[batch, kv_heads, keys, head_dim]`
    pub(super) value: FloatTensor<B>,
    /// P, the softmax.
    pub(super) probabilities: FloatTensor<B>,
    /// `P V`. `[batch, heads, seq, head_dim]`
    pub(super) context: FloatTensor<B>,
    /// How many keys each block of queries sees, if P holds only those; empty if it holds all.
    pub(super) visible: Vec<usize>,
    /// Whether the operands of products are rounded to bf16.
    pub(super) rounds: bool,
}

/// [`AttentionOps::attention_forward`] of elementary operations. The query heads that share a key/value head stand as rows of
/// one matrix.
pub(super) fn composed<B: Backend>(
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
    AttentionState { query, key, value, probabilities, context, visible: Vec::new(), rounds: false }
}

/// [`AttentionOps::attention_backward`] of elementary operations. With S the scores and O the context:
/// `dV = Pᵀ dO`, `dS = P ⊙ (dO Vᵀ − rowsum(dO ⊙ O))`, `dQ = dS K / √d`, `dK = dSᵀ Q / √d`.
pub(super) fn composed_backward<B: Backend>(
    state: AttentionState<B>,
    grad: FloatTensor<B>,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let AttentionState { query, key, value, probabilities, context, .. } = state;
    let (dtype, shape) = (grad.dtype(), grad.shape());
    let [.., head_dim] = shape.dims::<4>();
    let grouped = query.shape();
    let grad = B::float_reshape(grad, grouped.clone());
    let context = B::float_reshape(context, grouped);
    let grad_value = B::float_matmul(B::float_transpose(probabilities.clone()), grad.clone());
    let row_sums = B::float_mul(cast::<B>(grad.clone(), DType::F32), cast::<B>(context, DType::F32));
    let row_sums = B::float_sum_dim(row_sums, 3);
    let grad_probabilities = cast::<B>(B::float_matmul(grad, B::float_transpose(value)), DType::F32);
    let centred = B::float_sub(grad_probabilities, row_sums);
    let grad_scores = cast::<B>(B::float_mul(centred, cast::<B>(probabilities, DType::F32)), dtype);
    let grad_key = B::float_matmul(B::float_transpose(grad_scores.clone()), query);
    let grad_query = B::float_reshape(B::float_matmul(grad_scores, key), shape);
    (over_root::<B>(grad_query, head_dim), grad_key, grad_value)
}

/// `x / √head_dim`
fn over_root<B: Backend>(x: FloatTensor<B>, head_dim: usize) -> FloatTensor<B> {
    B::float_mul_scalar(x, (1.0 / (head_dim as f64).sqrt()).into())
}

/// A copy only if the type is another one.
fn cast<B: Backend>(x: FloatTensor<B>, dtype: DType) -> FloatTensor<B> {
    if x.dtype() == dtype { x } else { B::float_cast(x, FloatDType::from(dtype)) }
}

impl<B: AttentionOps, C: CheckpointStrategy> AttentionOps for Autodiff<B, C> {
    fn attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        operands: DType,
    ) -> FloatTensor<Self> {
        let inputs = [query.node(), key.node(), value.node()];
        let state = B::attention_forward(
            query.into_primitive(),
            key.into_primitive(),
            value.into_primitive(),
            bias.into_primitive(),
            operands,
        );
        let context = state.context.clone();
        record::<B, C, _, 3>(AttentionStep, inputs, state, context)
    }
}

#[derive(Debug)]
struct AttentionStep;

impl<B: AttentionOps> Backward<B, 3> for AttentionStep {
    type State = AttentionState<B>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        nary::<B, _, 3>(ops, grads, |state, grad| B::attention_backward(state, grad).into());
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::activation::softmax;

    use super::*;
    use crate::ops::testing::{assert_close, check, random};

    #[test]
    fn attention_is_its_formula() {
        // Few positions, the last key masked; and more than the CPU's kernel takes at a time, under a causal mask, the
        // second sequence without its first two and last three positions.
        let is_causal_in_token = |sequence, query, key| {
            let is_token = sequence != 1 || !(2..297).contains(&query) || (2..297).contains(&key);
            key <= query && is_token
        };
        check_attention([5, 7], |_, _, key| key < 6);
        check_attention([300, 300], is_causal_in_token);
    }

    /// Rounded to bf16, where the CPU multiplies that, the numbers have eight digits: so have the context and its gradients.
    #[test]
    fn rounded_operands_change_the_gradients_little() {
        let device = Device::default().autodiff();
        for (seq, keys, head_dim) in [(20, 20, 16), (300, 300, 64), (150, 170, 8)] {
            let bias = (0..seq * keys)
                .map(|at| if at % keys <= at / keys + keys - seq { 0.0 } else { f32::NEG_INFINITY });
            let bias = TensorData::new::<f32, _>(bias.collect(), [1, 1, seq, keys]);
            let bias = Tensor::<4>::from_data(bias, &device);
            let inputs = [
                random([2, 6, seq, head_dim], &device),
                random([2, 2, keys, head_dim], &device),
                random([2, 2, keys, head_dim], &device),
            ];
            let upstream = random([2, 6, seq, head_dim], &device);
            let computed = |operands| {
                let [query, key, value] = inputs.clone().map(|x| x.detach().require_grad());
                let context = attention(query.clone(), key.clone(), value.clone(), bias.clone(), operands);
                let grads = (context.clone() * upstream.clone()).sum().backward();
                let [query, key, value] = [query, key, value].map(|x| x.grad(&grads).unwrap());
                [context.inner(), query, key, value]
            };
            for (found, expected) in computed(DType::BF16).into_iter().zip(computed(DType::F32)) {
                let difference = (found - expected.clone()).abs().max().into_scalar::<f32>();
                let largest = expected.abs().max().into_scalar::<f32>();
                assert!(difference < 0.01 * largest, "[{seq}, {keys}]: {difference} of {largest}");
            }
        }
    }

    fn check_attention([seq, keys]: [usize; 2], sees: impl Fn(usize, usize, usize) -> bool) {
        let device = Device::default().autodiff();
        let bias: Vec<f32> = (0..3 * seq * keys)
            .map(|at| (at / keys / seq, at / keys % seq, at % keys))
            .map(|(sequence, query, key)| if sees(sequence, query, key) { 0.0 } else { f32::NEG_INFINITY })
            .collect();
        let bias = Tensor::<4>::from_data(TensorData::new(bias, [3, 1, seq, keys]), &device);
        // Six query heads over two key/value heads.
        let inputs = [random([3, 6, seq, 8], &device), random([3, 2, keys, 8], &device)];
        let value = random([3, 2, keys, 8], &device);
        let formula = |query: Tensor<4>, key: Tensor<4>, value: Tensor<4>| {
            let repeat = |x: Tensor<4>| x.unsqueeze_dim::<5>(2).repeat_dim(2, 3).reshape([3, 6, keys, 8]);
            let scores = query.matmul(repeat(key).transpose()) / 8f64.sqrt() + bias.clone();
            softmax(scores, 3).matmul(repeat(value))
        };
        check(
            inputs.clone(),
            |[query, key]| attention(query, key, value.clone(), bias.clone(), DType::F32),
            |[query, key]| formula(query, key, value.clone()),
        );
        let [query, key] = inputs;
        check(
            [value],
            |[value]| attention(query.clone(), key.clone(), value, bias.clone(), DType::F32),
            |[value]| formula(query.clone(), key.clone(), value),
        );
    }

    #[test]
    fn flash_attention_is_its_formula() {
        let device = Device::default().autodiff();
        let formula = |[query, key, value]: [Tensor<4>; 3], bias: Tensor<4>| {
            softmax(query.matmul(key.transpose()) / 8f64.sqrt() + bias, 3).matmul(value)
        };
        let causal: Vec<f32> =
            (0..150 * 150).map(|at| if at % 150 > at / 150 { f32::NEG_INFINITY } else { 0.0 }).collect();
        let causal = Tensor::from_data(TensorData::new(causal, [1, 1, 150, 150]), &device);
        for (bias, is_causal) in [(unmasked_bias(&device), false), (causal, true)] {
            let inputs = [(); 3].map(|()| random([2, 3, 150, 8], &device));
            check(
                inputs.clone(),
                |[query, key, value]| flash_attention(query, key, value, bias.clone(), is_causal, DType::F32),
                |inputs| formula(inputs, bias.clone()),
            );
            let (inputs, bias) = (inputs.map(Tensor::inner), bias.inner());
            let expected = formula(inputs.clone(), bias.clone());
            let found = |operands| {
                let [query, key, value] = inputs.clone();
                flash_attention(query, key, value, bias.clone(), is_causal, operands)
            };
            assert_close(found(DType::F32), expected.clone());
            // A few roundings of numbers up to 4.
            let error = (found(DType::BF16) - expected).abs().max().into_scalar::<f32>();
            assert!(error < 0.03, "{error}");
        }
    }

    /// Attention of these shapes: query, key, value, bias.
    fn attend(shapes: [[usize; 4]; 4]) {
        let device = Device::default();
        let [query, key, value, bias] = shapes.map(|shape| random(shape, &device));
        attention(query, key, value, bias, DType::F32);
    }

    #[test]
    #[should_panic(expected = "axis 3 expected 8, got 7")]
    fn keys_must_be_as_wide_as_queries() {
        attend([[1, 2, 3, 8], [1, 2, 5, 7], [1, 2, 5, 7], [1, 1, 1, 1]]);
    }

    #[test]
    #[should_panic(expected = "axis 2 expected 5, got 4")]
    fn every_key_needs_a_value() {
        attend([[1, 2, 3, 8], [1, 2, 5, 8], [1, 2, 4, 8], [1, 1, 1, 1]]);
    }

    #[test]
    #[should_panic(expected = "3 query heads cannot share 2 key/value heads evenly")]
    fn groups_of_heads_must_be_equal() {
        attend([[1, 3, 3, 8], [1, 2, 5, 8], [1, 2, 5, 8], [1, 1, 1, 1]]);
    }

    #[test]
    #[should_panic(expected = "does not broadcast to [batch, 1, seq, keys] = [1, 1, 3, 5]")]
    fn the_bias_must_fit_the_scores() {
        attend([[1, 2, 3, 8], [1, 2, 5, 8], [1, 2, 5, 8], [1, 1, 3, 4]]);
    }
}
