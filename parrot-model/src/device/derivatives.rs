//! Operations whose derivative is written here.
//!
//! Burn differentiates step by step: its attention keeps three tensors of the scores' size for the backward pass and
//! goes over the scores some twenty times, its softmax computes every exponential twice. The closed forms keep one tensor
//! and go over it five times. What they compute is in [`kernels`](super::kernels); that the backends have to be listed is
//! why both are part of the device module.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind, binary, unary};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, Dispatch, backend_extension};
use burn::prelude::*;
use burn::tensor::{DType, IndexingUpdateOp};

use super::kernels::{self, AttentionState, Kernels};

/// `lhs · rhs`, of two matrices or of as many as there are on either side.
///
/// # Shapes
///
/// - lhs: `[rows, inner]` or `[products, rows, inner]`
/// - rhs: `[inner, columns]` or `[products, inner, columns]`
/// - output: `[rows, columns]` or `[products, rows, columns]`
pub(crate) fn product<const D: usize>(lhs: Tensor<D>, rhs: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as DerivedOps>::product(lhs.into_dispatch(), rhs.into_dispatch()))
}

/// `softmax(Q Kᵀ / √d + bias) V`, the softmax in f32.
///
/// # Shapes
///
/// - query and output: `[batch, heads, seq, head_dim]`
/// - key, value: `[batch, kv_heads, keys, head_dim]`; each serves `heads / kv_heads` query heads
/// - bias: `[batch or 1, 1, seq or 1, keys or 1]`, f32; −∞ where a query must not look, though no row may be all −∞
pub(crate) fn attention(query: Tensor<4>, key: Tensor<4>, value: Tensor<4>, bias: Tensor<4>) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as DerivedOps>::attention(
        query.into_dispatch(),
        key.into_dispatch(),
        value.into_dispatch(),
        bias.into_dispatch(),
    ))
}

/// As [`attention`], for a bias that hides nothing or, `is_causal`, of each query the keys after it, the last query seeing
/// every key. A backend that has a kernel for this neither reads the bias nor holds all scores in memory at once.
pub(crate) fn flash_attention(
    query: Tensor<4>,
    key: Tensor<4>,
    value: Tensor<4>,
    bias: Tensor<4>,
    is_causal: bool,
) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as DerivedOps>::flash_attention(
        query.into_dispatch(),
        key.into_dispatch(),
        value.into_dispatch(),
        bias.into_dispatch(),
        is_causal,
    ))
}

/// The bias of [`attention`] that hides nothing. `[1, 1, 1, 1]`
pub(crate) fn open_sight(device: &Device) -> Tensor<4> {
    Tensor::zeros([1; 4], (device, DType::F32))
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

/// `x σ(1.702 x)`, CLIP's approximation of the GELU.
pub(crate) fn quick_gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as DerivedOps>::quick_gelu(x.into_dispatch()))
}

/// The operations, off the tape; see the functions of the same names. A backend has its own where that is better.
#[backend_extension(
    Autodiff,
    Flex: cfg(feature = "flex"),
    Cube: cfg(any(feature = "cuda", feature = "rocm", feature = "wgpu")),
    Fusion: cfg(any(feature = "cuda", feature = "rocm", feature = "wgpu"))
)]
pub(crate) trait DerivedOps: Kernels {
    #[fusion(default)]
    fn product(lhs: FloatTensor<Self>, rhs: FloatTensor<Self>) -> FloatTensor<Self> {
        <Self as Kernels>::product(lhs, rhs)
    }

    #[fusion(default)]
    fn attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        Self::attention_forward(query, key, value, bias).context
    }

    #[fusion(dtype = query, shape = query)]
    fn flash_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        _is_causal: bool,
    ) -> FloatTensor<Self> {
        <Self as DerivedOps>::attention(query, key, value, bias)
    }

    #[fusion(default)]
    fn negative_log_likelihood(logits: FloatTensor<Self>, targets: IntTensor<Self>) -> FloatTensor<Self> {
        Likelihood::<Self>::forward(logits, targets).1
    }

    #[fusion(default)]
    fn silu_product(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::silu_product_forward(gate, up)
    }

    #[fusion(default)]
    fn quick_gelu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        <Self as Kernels>::quick_gelu(x)
    }
}

/// The operations, on the tape.
impl<B: DerivedOps, C: CheckpointStrategy> DerivedOps for Autodiff<B, C> {
    fn product(lhs: FloatTensor<Self>, rhs: FloatTensor<Self>) -> FloatTensor<Self> {
        let inputs = [lhs.node(), rhs.node()];
        let (lhs_learns, rhs_learns) = (lhs.is_tracked(), rhs.is_tracked());
        let (lhs, rhs) = (lhs.into_primitive(), rhs.into_primitive());
        // Each is what the other's gradient takes: nothing is kept for a weight that is frozen.
        let state = (rhs_learns.then(|| lhs.clone()), lhs_learns.then(|| rhs.clone()));
        record::<B, C, _, 2>(ProductStep, inputs, state, <B as Kernels>::product(lhs, rhs))
    }

    fn attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let inputs = [query.node(), key.node(), value.node()];
        let state = B::attention_forward(
            query.into_primitive(),
            key.into_primitive(),
            value.into_primitive(),
            bias.into_primitive(),
        );
        let context = state.context.clone();
        record::<B, C, _, 3>(AttentionStep, inputs, state, context)
    }

    fn negative_log_likelihood(logits: FloatTensor<Self>, targets: IntTensor<Self>) -> FloatTensor<Self> {
        let inputs = [logits.node()];
        let (likelihood, output) = Likelihood::<B>::forward(logits.into_primitive(), targets);
        record::<B, C, _, 1>(LikelihoodStep, inputs, likelihood, output)
    }

    fn silu_product(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        let inputs = [gate.node(), up.node()];
        let (gate, up) = (gate.into_primitive(), up.into_primitive());
        let output = B::silu_product_forward(gate.clone(), up.clone());
        record::<B, C, _, 2>(SiluProductStep, inputs, (gate, up), output)
    }

    fn quick_gelu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let inputs = [x.node()];
        let x = x.into_primitive();
        record::<B, C, _, 1>(QuickGeluStep, inputs, x.clone(), <B as Kernels>::quick_gelu(x))
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

#[derive(Debug)]
struct ProductStep;

impl<B: Kernels> Backward<B, 2> for ProductStep {
    type State = (Option<FloatTensor<B>>, Option<FloatTensor<B>>);

    /// `dlhs = d rhsᵀ`, `drhs = (dᵀ lhs)ᵀ`, which lies in memory as a weight does that is stored transposed.
    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (lhs, rhs) = ops.state;
        let of_lhs = |grad| match rhs {
            Some(rhs) => B::product(grad, B::float_transpose(rhs)),
            None => unreachable!("kept where the left side learns"),
        };
        let of_rhs = |grad| match lhs {
            Some(lhs) => B::float_transpose(B::product(B::float_transpose(grad), lhs)),
            None => unreachable!("kept where the right side learns"),
        };
        binary::<B, _, _>(ops.parents, ops.node, grads, of_lhs, of_rhs);
    }
}

#[derive(Debug)]
struct AttentionStep;

impl<B: Kernels> Backward<B, 3> for AttentionStep {
    type State = AttentionState<B>;

    fn backward(self, ops: Ops<AttentionState<B>, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        for (parent, grad) in ops.parents.into_iter().zip(B::attention_backward(ops.state, grad)) {
            if let Some(parent) = parent {
                grads.register::<B>(parent.id, grad);
            }
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

#[derive(Debug)]
struct SiluProductStep;

impl<B: Kernels> Backward<B, 2> for SiluProductStep {
    /// Gate and up.
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (gate, up) = ops.state;
        let grad = grads.consume::<B>(&ops.node);
        for (parent, grad) in ops.parents.into_iter().zip(B::silu_product_backward(gate, up, grad)) {
            if let Some(parent) = parent {
                grads.register::<B>(parent.id, grad);
            }
        }
    }
}

#[derive(Debug)]
struct QuickGeluStep;

impl<B: Kernels> Backward<B, 1> for QuickGeluStep {
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        unary::<B, _>(ops.parents, ops.node, grads, |grad| {
            kernels::quick_gelu_backward::<B>(ops.state, grad)
        });
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::activation::{log_softmax, sigmoid, silu, softmax};
    use burn::tensor::{Distribution, Tolerance};

    use super::*;

    fn random<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
        Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
    }

    fn same<const D: usize>(a: Tensor<D>, b: Tensor<D>) {
        // Sums of some hundred normal numbers, in another order.
        a.into_data().assert_approx_eq::<f32>(&b.into_data(), Tolerance::absolute(1e-5));
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
    fn product_is_its_formula() {
        let device = Device::default().autodiff();
        let (lhs, rhs) = (random([5, 7], &device), random([3, 7], &device).transpose());
        check([lhs.clone()], |[lhs]| product(lhs, rhs.clone()), |[lhs]| lhs.matmul(rhs.clone()));
        check([rhs], |[rhs]| product(lhs.clone(), rhs), |[rhs]| lhs.clone().matmul(rhs));
    }

    #[test]
    fn products_are_their_formula() {
        let device = Device::default().autodiff();
        // Few small ones, and as many as are shared among threads; the left sides lie side by side.
        for size in [5, 130] {
            let lhs = random([size, 4, 130], &device).swap_dims(0, 1);
            let rhs = random([4, 150, 130], &device).swap_dims(1, 2);
            check([lhs.clone()], |[lhs]| product(lhs, rhs.clone()), |[lhs]| lhs.matmul(rhs.clone()));
            check([rhs], |[rhs]| product(lhs.clone(), rhs), |[rhs]| lhs.clone().matmul(rhs));
        }
    }

    #[test]
    fn attention_is_its_formula() {
        // A few positions, the last key of which is out of sight; and more than the CPU's kernel takes at a time, in
        // sequences that see the past alone, the second without its first two and last three positions.
        let far = |sequence, query, key| {
            let inside = sequence != 1 || !(2..297).contains(&query) || (2..297).contains(&key);
            key <= query && inside
        };
        attention_check([5, 7], |_, _, key| key < 6);
        attention_check([300, 300], far);
    }

    fn attention_check([seq, keys]: [usize; 2], sees: impl Fn(usize, usize, usize) -> bool) {
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
    fn flash_attention_is_its_formula() {
        let device = Device::default().autodiff();
        let formula = |[query, key, value]: [Tensor<4>; 3], bias: Tensor<4>| {
            softmax(query.matmul(key.transpose()) / 8f64.sqrt() + bias, 3).matmul(value)
        };
        let later = Tensor::<2, Bool>::triu_mask([150, 150], 1, &device).unsqueeze::<4>();
        let later = Tensor::zeros([1, 1, 150, 150], &device).mask_fill(later, f32::NEG_INFINITY);
        for (bias, is_causal) in [(open_sight(&device), false), (later, true)] {
            let inputs = [(); 3].map(|()| random([2, 3, 150, 8], &device));
            check(
                inputs.clone(),
                |[query, key, value]| flash_attention(query, key, value, bias.clone(), is_causal),
                |inputs| formula(inputs, bias.clone()),
            );
            let ([query, key, value], bias) = (inputs.map(Tensor::inner), bias.inner());
            same(
                flash_attention(query.clone(), key.clone(), value.clone(), bias.clone(), is_causal),
                formula([query, key, value], bias),
            );
        }
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
    fn quick_gelu_is_its_formula() {
        let device = Device::default().autodiff();
        let far = Tensor::from_data([[-200.0, -90.0, -3.0, 0.0], [0.5, 20.0, 88.0, 200.0]], &device);
        for x in [far, random([3, 9], &device)] {
            check([x], |[x]| quick_gelu(x), |[x]| x.clone() * sigmoid(x * 1.702));
        }
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
