//! Operations whose derivative is written here.
//!
//! Burn differentiates step by step: its attention keeps three tensors of the scores' size for the backward pass and
//! goes over the scores some twenty times, its softmax computes every exponential twice. The closed forms keep one tensor
//! and go over it five times. Forwards and derivatives are composed of the backend's own operations, so they are the
//! same on every backend; that the backends have to be listed is why this file is part of the device module.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind, unary};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata, backend_extension};
use burn::prelude::*;
use burn::tensor::{DType, FloatDType, IndexingUpdateOp};

/// `softmax(Q Kᵀ / √d + bias) V`, the softmax in f32.
///
/// # Shapes
///
/// - query and output: `[batch, heads, seq, head_dim]`
/// - key, value: `[batch, kv_heads, keys, head_dim]`; each serves `heads / kv_heads` query heads
/// - bias: `[batch or 1, 1, seq, keys]`, f32; −∞ where a query must not look, though no row may be all −∞
pub(crate) fn attention(query: Tensor<4>, key: Tensor<4>, value: Tensor<4>, bias: Tensor<4>) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as DerivedOps>::attention_with_bias(
        query.into_dispatch(),
        key.into_dispatch(),
        value.into_dispatch(),
        bias.into_dispatch(),
    ))
}

/// `−log softmax(logits)` at each row's target.
///
/// # Shapes
///
/// - logits: `[rows, vocab]`, f32
/// - targets: `[rows, 1]`
/// - output: `[rows, 1]`
pub(crate) fn negative_log_likelihood(logits: Tensor<2>, targets: Tensor<2, Int>) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as DerivedOps>::negative_log_likelihood(
        logits.into_dispatch(),
        targets.into_dispatch(),
    ))
}

/// `silu(gate) ⊙ up`, the middle of a SwiGLU.
///
/// # Shapes
///
/// - gate, up and output: `[…, intermediate]`
pub(crate) fn silu_product<const D: usize>(gate: Tensor<D>, up: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as DerivedOps>::silu_product(gate.into_dispatch(), up.into_dispatch()))
}

/// What each operation computes, on any backend; see the functions of the same names.
#[backend_extension(
    Autodiff,
    Flex: cfg(feature = "flex"),
    Cube: cfg(any(feature = "cuda", feature = "rocm", feature = "wgpu")),
    Fusion: cfg(any(feature = "cuda", feature = "rocm", feature = "wgpu"))
)]
pub(crate) trait DerivedOps: Backend {
    #[fusion(default)]
    fn attention_with_bias(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        Attention::<Self>::forward(query, key, value, bias).context
    }

    #[fusion(default)]
    fn negative_log_likelihood(logits: FloatTensor<Self>, targets: IntTensor<Self>) -> FloatTensor<Self> {
        Likelihood::<Self>::forward(logits, targets).1
    }

    #[fusion(default)]
    fn silu_product(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        SiluProduct::<Self>::forward(gate, up).1
    }
}

#[cfg(feature = "flex")]
impl DerivedOps for burn::backend::Flex {}

#[cfg(any(feature = "cuda", feature = "rocm", feature = "wgpu"))]
impl DerivedOps for burn::backend::Cube {}

/// The derivatives.
impl<B: DerivedOps, C: CheckpointStrategy> DerivedOps for Autodiff<B, C> {
    fn attention_with_bias(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let inputs = [query.node(), key.node(), value.node()];
        let attention = Attention::<B>::forward(
            query.into_primitive(),
            key.into_primitive(),
            value.into_primitive(),
            bias.into_primitive(),
        );
        let context = attention.context.clone();
        record::<B, C, _, 3>(AttentionStep, inputs, attention, context)
    }

    fn negative_log_likelihood(logits: FloatTensor<Self>, targets: IntTensor<Self>) -> FloatTensor<Self> {
        let inputs = [logits.node()];
        let (likelihood, output) = Likelihood::<B>::forward(logits.into_primitive(), targets);
        record::<B, C, _, 1>(LikelihoodStep, inputs, likelihood, output)
    }

    fn silu_product(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        let inputs = [gate.node(), up.node()];
        let (product, output) = SiluProduct::<B>::forward(gate.into_primitive(), up.into_primitive());
        record::<B, C, _, 2>(SiluProductStep, inputs, product, output)
    }
}

/// Puts an operation on the tape, if one of its inputs is.
fn record<B: Backend, C: CheckpointStrategy, S: Backward<B, N>, const N: usize>(
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

/// What attention's derivative needs. The query heads that share a key/value head stand as rows of one matrix.
#[derive(Debug, Clone)]
struct Attention<B: Backend> {
    /// `Q / √d`. `[batch, kv_heads, rows, head_dim]`
    query: FloatTensor<B>,
    /// `[batch, kv_heads, keys, head_dim]`
    key: FloatTensor<B>,
    /// `[batch, kv_heads, keys, head_dim]`
    value: FloatTensor<B>,
    /// P. `[batch, kv_heads, rows, keys]`
    probabilities: FloatTensor<B>,
    /// `P V`. `[batch, heads, seq, head_dim]`
    context: FloatTensor<B>,
}

impl<B: Backend> Attention<B> {
    fn forward(
        query: FloatTensor<B>,
        key: FloatTensor<B>,
        value: FloatTensor<B>,
        bias: FloatTensor<B>,
    ) -> Self {
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
        Self { query, key, value, probabilities, context }
    }
}

#[derive(Debug)]
struct AttentionStep;

impl<B: Backend> Backward<B, 3> for AttentionStep {
    type State = Attention<B>;

    /// With S the scores and O the context: `dV = Pᵀ dO`, `dS = P ⊙ (dO Vᵀ − rowsum(dO ⊙ O))`, `dQ = dS K / √d`,
    /// `dK = dSᵀ Q / √d`.
    fn backward(self, ops: Ops<Attention<B>, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let Attention { query, key, value, probabilities, context } = ops.state;
        let [to_query, to_key, to_value] = ops.parents;
        let grad = grads.consume::<B>(&ops.node);
        let (dtype, shape) = (grad.dtype(), grad.shape());
        let [.., head_dim] = shape.dims::<4>();
        let grouped = query.shape();
        let grad = B::float_reshape(grad, grouped.clone());
        let context = B::float_reshape(context, grouped);
        if let Some(parent) = to_value {
            let transposed = B::float_transpose(probabilities.clone());
            grads.register::<B>(parent.id, B::float_matmul(transposed, grad.clone()));
        }
        if to_query.is_none() && to_key.is_none() {
            return;
        }
        let of_rows = B::float_mul(cast::<B>(grad.clone(), DType::F32), cast::<B>(context, DType::F32));
        let of_rows = B::float_sum_dim(of_rows, 3);
        let of_probabilities = cast::<B>(B::float_matmul(grad, B::float_transpose(value)), DType::F32);
        let centred = B::float_sub(of_probabilities, of_rows);
        let of_scores = cast::<B>(B::float_mul(centred, cast::<B>(probabilities, DType::F32)), dtype);
        if let Some(parent) = to_key {
            let transposed = B::float_transpose(of_scores.clone());
            grads.register::<B>(parent.id, B::float_matmul(transposed, query));
        }
        if let Some(parent) = to_query {
            let of_query = B::float_reshape(B::float_matmul(of_scores, key), shape);
            grads.register::<B>(parent.id, over_root::<B>(of_query, head_dim));
        }
    }
}

/// What the likelihood's derivative needs.
#[derive(Debug, Clone)]
struct Likelihood<B: Backend> {
    /// `exp(logits − their largest)`. `[rows, vocab]`
    exponentials: FloatTensor<B>,
    /// Of each row. `[rows, 1]`
    sums: FloatTensor<B>,
    /// `[rows, 1]`
    targets: IntTensor<B>,
}

impl<B: Backend> Likelihood<B> {
    fn forward(logits: FloatTensor<B>, targets: IntTensor<B>) -> (Self, FloatTensor<B>) {
        let largest = B::float_max_dim(logits.clone(), 1);
        let shifted = B::float_sub(logits, largest);
        let at_targets = B::float_gather(1, shifted.clone(), targets.clone());
        let exponentials = B::float_exp(shifted);
        let sums = B::float_sum_dim(exponentials.clone(), 1);
        let output = B::float_sub(B::float_log(sums.clone()), at_targets);
        (Self { exponentials, sums, targets }, output)
    }
}

#[derive(Debug)]
struct LikelihoodStep;

impl<B: Backend> Backward<B, 1> for LikelihoodStep {
    type State = Likelihood<B>;

    /// `dlogits = (softmax(logits) − one-hot(targets)) · d`
    fn backward(self, ops: Ops<Likelihood<B>, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let Likelihood { exponentials, sums, targets } = ops.state;
        unary::<B, _>(ops.parents, ops.node, grads, |grad| {
            let of_softmax = B::float_mul(exponentials, B::float_div(grad.clone(), sums));
            B::float_scatter(1, of_softmax, targets, B::float_neg(grad), IndexingUpdateOp::Add)
        });
    }
}

/// What the gated product's derivative needs. All `[…, intermediate]`.
#[derive(Debug, Clone)]
struct SiluProduct<B: Backend> {
    /// `σ(gate)`.
    sigmoid: FloatTensor<B>,
    /// `gate · σ(gate)`.
    silu: FloatTensor<B>,
    up: FloatTensor<B>,
}

impl<B: Backend> SiluProduct<B> {
    fn forward(gate: FloatTensor<B>, up: FloatTensor<B>) -> (Self, FloatTensor<B>) {
        let sigmoid = B::sigmoid(gate.clone());
        let silu = B::float_mul(gate, sigmoid.clone());
        let output = B::float_mul(silu.clone(), up.clone());
        (Self { sigmoid, silu, up }, output)
    }
}

#[derive(Debug)]
struct SiluProductStep;

impl<B: Backend> Backward<B, 2> for SiluProductStep {
    type State = SiluProduct<B>;

    /// `dup = d ⊙ silu`, `dgate = d ⊙ up ⊙ (σ + silu − σ ⊙ silu)`
    fn backward(self, ops: Ops<SiluProduct<B>, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let SiluProduct { sigmoid, silu, up } = ops.state;
        let [to_gate, to_up] = ops.parents;
        let grad = grads.consume::<B>(&ops.node);
        if let Some(parent) = to_up {
            grads.register::<B>(parent.id, B::float_mul(grad.clone(), silu.clone()));
        }
        if let Some(parent) = to_gate {
            let product = B::float_mul(sigmoid.clone(), silu.clone());
            let derivative = B::float_sub(B::float_add(silu, sigmoid), product);
            grads.register::<B>(parent.id, B::float_mul(B::float_mul(grad, up), derivative));
        }
    }
}

/// `x / √d`
fn over_root<B: Backend>(x: FloatTensor<B>, head_dim: usize) -> FloatTensor<B> {
    B::float_mul_scalar(x, (1.0 / (head_dim as f64).sqrt()).into())
}

/// A copy only if the type is another one.
fn cast<B: Backend>(x: FloatTensor<B>, dtype: DType) -> FloatTensor<B> {
    if x.dtype() == dtype { x } else { B::float_cast(x, FloatDType::from(dtype)) }
}

#[cfg(test)]
mod tests {
    use burn::tensor::activation::{log_softmax, silu, softmax};
    use burn::tensor::{Distribution, Tolerance};

    use super::*;

    fn random<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
        Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
    }

    fn same<const D: usize>(a: Tensor<D>, b: Tensor<D>) {
        a.into_data().assert_approx_eq::<f32>(&b.into_data(), Tolerance::absolute(2e-6));
    }

    /// Output and gradients of every input must be those that Burn derives from the same formula.
    fn check<const D: usize, const N: usize>(
        inputs: [Tensor<D>; N],
        ours: impl Fn([Tensor<D>; N]) -> Tensor<D>,
        burns: impl Fn([Tensor<D>; N]) -> Tensor<D>,
    ) {
        // Away from the tape: both get leaves of their own.
        let leaves = || inputs.clone().map(|x| x.detach().require_grad());
        let (a, b) = (leaves(), leaves());
        let (y, expected) = (ours(a.clone()), burns(b.clone()));
        same(y.clone().inner(), expected.clone().inner());
        let weights = random(y.dims(), &y.device());
        let grads = (y * weights.clone()).sum().backward();
        let expected = (expected * weights).sum().backward();
        for (a, b) in a.iter().zip(&b) {
            same(a.grad(&grads).unwrap(), b.grad(&expected).unwrap());
        }
    }

    #[test]
    fn attention_is_its_formula() {
        let device = Device::default().autodiff();
        let (seq, keys) = (5, 7);
        // Six query heads over two key/value heads; the last key is out of sight.
        let bias =
            Tensor::<4>::zeros([3, 1, seq, keys], &device).slice_fill(s![.., .., .., 6..], f32::NEG_INFINITY);
        let inputs = [random([3, 6, seq, 8], &device), random([3, 2, keys, 8], &device)];
        let value = random([3, 2, keys, 8], &device);
        let formula = |query: Tensor<4>, key: Tensor<4>, value: Tensor<4>| {
            let repeat = |x: Tensor<4>| x.unsqueeze_dim::<5>(2).repeat_dim(2, 3).reshape([3, 6, keys, 8]);
            let scores = query.matmul(repeat(key).transpose()) / 8f64.sqrt() + bias.clone();
            softmax(scores, 3).matmul(repeat(value))
        };
        check(
            inputs.clone(),
            |[query, key]| attention(query, key, value.clone(), bias.clone()),
            |[query, key]| formula(query, key, value.clone()),
        );
        let [query, key] = inputs;
        check(
            [value],
            |[value]| attention(query.clone(), key.clone(), value, bias.clone()),
            |[value]| formula(query.clone(), key.clone(), value),
        );
    }

    #[test]
    fn likelihood_is_its_formula() {
        let device = Device::default().autodiff();
        let targets = Tensor::<2, Int>::from_data([[3], [0], [10]], &device);
        check(
            [random([3, 11], &device) * 4.0],
            |[logits]| negative_log_likelihood(logits, targets.clone()),
            |[logits]| log_softmax(logits, 1).gather(1, targets.clone()).neg(),
        );
    }

    #[test]
    fn a_target_that_the_model_rules_out_has_a_finite_likelihood() {
        let device = Device::default().autodiff();
        let logits = Tensor::<2>::from_data([[0.0, -300.0]], &device).require_grad();
        let targets = Tensor::<2, Int>::from_data([[1]], &device);
        let loss = negative_log_likelihood(logits.clone(), targets);
        let grads = loss.clone().sum().backward();
        assert_eq!(loss.into_scalar::<f32>(), 300.0);
        logits.grad(&grads).unwrap().into_data().assert_eq(&TensorData::from([[1.0f32, -1.0]]), true);
    }

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
        same(silu_product(gate.clone(), up.clone()), silu(gate.clone()) * up.clone());
        let tracked = silu_product(gate.clone().autodiff(), up.clone().autodiff());
        same(tracked.inner(), silu(gate) * up);
    }
}
