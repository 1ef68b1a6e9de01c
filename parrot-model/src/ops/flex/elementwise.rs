//! Exponentials and functions made of them, compiled for the vector instructions that the processor has.

use std::marker::PhantomData;

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::DType;
use pulp::Arch;
use rayon::prelude::*;

use super::simd::{Isa, Kernel, LANES, Lanes};
use super::team::{Threads, for_each_chunk};
use super::{elements, tensor};
use crate::ops::gelu::{self, QUICK_GELU, QuickGelu};
use crate::ops::swiglu::{self, SwiGluOps};

/// Elements that one thread takes at a time. Fewer than that stay on the calling thread: handing work over to the pool takes
/// as long as computing some ten thousand of them.
pub(super) const TASK_ELEMENTS: usize = 1 << 16;

impl SwiGluOps for Flex {
    fn silu_product(gate: FlexTensor, up: FlexTensor) -> FlexTensor {
        if gate.dtype() != DType::F32 {
            return swiglu::composed::<Self>(gate, up);
        }
        let (mut gate, up) = (owned(gate), up.to_contiguous());
        in_place(&mut gate, elements(&up), silu_product);
        gate
    }

    fn silu_product_backward(gate: FlexTensor, up: FlexTensor, grad: FlexTensor) -> (FlexTensor, FlexTensor) {
        if gate.dtype() != DType::F32 {
            return swiglu::composed_backward::<Self>(gate, up, grad);
        }
        let shape = gate.layout().shape().clone();
        let (gate, up, mut grad) = (gate.to_contiguous(), up.to_contiguous(), grad.to_contiguous());
        let mut grad_gate = vec![0.0; shape.num_elements()];
        // The gradient of `up` takes the place of the output's.
        let begin = grad.layout().start_offset();
        let grad_up: &mut [f32] = &mut grad.storage_mut()[begin..];
        let (gate, up) = (elements(&gate), elements(&up));
        if gate.len() <= TASK_ELEMENTS {
            silu_product_backward(gate, up, grad_up, &mut grad_gate);
        } else {
            let inputs = gate.par_chunks(TASK_ELEMENTS).zip(up.par_chunks(TASK_ELEMENTS));
            let outputs = grad_gate.par_chunks_mut(TASK_ELEMENTS).zip(grad_up.par_chunks_mut(TASK_ELEMENTS));
            outputs.zip(inputs).for_each(|((grad_gate, grad_up), (gate, up))| {
                silu_product_backward(gate, up, grad_up, grad_gate);
            });
        }
        (tensor(grad_gate, shape), grad)
    }
}

impl QuickGelu for Flex {
    fn quick_gelu(x: FlexTensor) -> FlexTensor {
        if x.dtype() != DType::F32 {
            return gelu::composed::<Self>(x);
        }
        let mut x = owned(x);
        in_place(&mut x, &[], |x, _| quick_gelu(x));
        x
    }
}

/// A tensor with memory of its own to be changed in: the same if nobody else has it.
fn owned(x: FlexTensor) -> FlexTensor {
    let is_whole = x.is_contiguous() && x.storage::<f32>().len() == x.layout().num_elements();
    if is_whole && x.is_unique() {
        return x;
    }
    let x = x.to_contiguous();
    tensor(elements(&x).to_vec(), x.layout().shape().clone())
}

/// Changes a contiguous tensor task by task.
///
/// - other: as long, or empty
fn in_place(x: &mut FlexTensor, other: &[f32], change: impl Fn(&mut [f32], &[f32]) + Sync) {
    let (begin, len) = (x.layout().start_offset(), x.layout().num_elements());
    let x: &mut [f32] = &mut x.storage_mut()[begin..][..len];
    let threads = Threads::for_work(len, TASK_ELEMENTS + 1);
    for_each_chunk(threads, x, TASK_ELEMENTS, |at, x| {
        let other = other.get(at * TASK_ELEMENTS..).map_or(other, |other| &other[..x.len().min(other.len())]);
        change(x, other);
    });
}

/// ln 2 in two parts, the first of which has so few digits that a whole number times it is exact.
pub(super) const LN_2_HIGH: f32 = 0.693_359_4;
/// The second part.
pub(super) const LN_2_LOW: f32 = -2.121_944_4e-4;
/// The coefficients of `(eʳ − 1 − r) / r²`, that of the highest power first; Cephes'.
pub(super) const EXP: [f32; 6] =
    [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];

/// `eˣ` to two units in the last place; 0 below −87, where f32 has no normal numbers any more, ∞ above 88.3.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // x = n ln 2 + r with |r| ≤ ln 2 / 2, and eˣ = 2ⁿ eʳ. Adding 1.5 · 2²³ rounds to a whole number and leaves it in the
    // lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * LN_2_HIGH - n * LN_2_LOW;
    let [first, rest @ ..] = EXP;
    let mut p = first;
    for coefficient in rest {
        p = p * r + coefficient;
    }
    let exp_r = p * r * r + r + 1.0;
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    let y = exp_r * power;
    // Comparisons that are false for NaN, which is passed on.
    let y = if x < -87.0 { 0.0 } else { y };
    if x > 88.3 { f32::INFINITY } else { y }
}

/// `1 / (1 + e⁻ˣ)`
#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// `softmax(scores + bias)` in place of the scores.
///
/// # Panics
///
/// As [`exponentials`].
pub(super) fn softmax(scores: &mut [f32], bias: &[f32]) {
    let sum = exponentials(scores, bias);
    scale_by(scores, 1.0 / sum);
}

/// `row ← scale · row`
pub(super) fn scale_by(row: &mut [f32], scale: f32) {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for x in row.iter_mut() {
                *x *= scale;
            }
        },
    );
}

/// `e^(scores + bias − their largest)` in place of the scores, and the sum of that: a softmax that is not divided by it yet.
///
/// - bias: what is added to as many of the scores, from the first
///
/// # Panics
///
/// If it is longer than they are.
pub(super) fn exponentials(scores: &mut [f32], bias: &[f32]) -> f32 {
    assert!(bias.len() <= scores.len(), "scores and bias of a row");
    let mut sum = 0.0;
    Isa::best().run(Exponentials { scores, bias, sum: &mut sum });
    sum
}

struct Exponentials<'a> {
    scores: &'a mut [f32],
    bias: &'a [f32],
    sum: &'a mut f32,
}

impl Kernel for Exponentials<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let Self { scores, bias, sum } = self;
        let (biased, _) = scores.split_at_mut(bias.len());
        let (biased, last_biased) = biased.as_chunks_mut::<LANES>();
        let (biases, last_biases) = bias.as_chunks::<LANES>();
        for (scores, bias) in biased.iter_mut().zip(biases) {
            V::load(scores).add(V::load(bias)).store(scores);
        }
        for (score, bias) in last_biased.iter_mut().zip(last_biases) {
            *score += bias;
        }
        let (whole, rest) = scores.as_chunks_mut::<LANES>();
        let mut largest = V::splat(f32::NEG_INFINITY);
        for scores in whole.iter() {
            largest = largest.max(V::load(scores));
        }
        let mut lanes = [0.0; LANES];
        largest.store(&mut lanes);
        let largest = lanes.iter().chain(&*rest).copied().fold(f32::NEG_INFINITY, f32::max);
        let mut sums = V::splat(0.0);
        for scores in whole.iter_mut() {
            let x = V::load(scores).add(V::splat(-largest)).exp();
            sums = sums.add(x);
            x.store(scores);
        }
        *sum = sums.sum();
        for score in rest {
            *score = exp(*score - largest);
            *sum += *score;
        }
    }
}

/// `grad ← probabilities ⊙ (grad − row_sum)`, the softmax's derivative along one row.
///
/// - row_sum: the sum of `probabilities ⊙ grad`
///
/// # Panics
///
/// If the rows differ in length.
pub(super) fn softmax_backward(grad: &mut [f32], probabilities: &[f32], row_sum: f32) {
    assert_eq!(grad.len(), probabilities.len(), "gradient and probabilities of a row");
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for (grad, probability) in grad.iter_mut().zip(probabilities) {
                *grad = probability * (*grad - row_sum);
            }
        },
    );
}

/// `silu(gate) ⊙ up` in place of the gate.
fn silu_product(gate: &mut [f32], up: &[f32]) {
    Isa::best().run(InPlace::<SiluTimes> { x: gate, other: up, function: PhantomData });
}

struct SiluTimes;

impl OfLanes for SiluTimes {
    #[inline(always)]
    fn of<V: Lanes>(gate: V, up: V) -> V {
        gate.times(gate.sigmoid()).times(up)
    }
}

/// The gradients of [`silu_product`]: `grad_gate ← grad ⊙ up ⊙ silu′(gate)`, and in place `grad ← grad ⊙ silu(gate)`, that of
/// `up`.
///
/// # Panics
///
/// If `grad_gate` is longer than the others.
fn silu_product_backward(gate: &[f32], up: &[f32], grad: &mut [f32], grad_gate: &mut [f32]) {
    let len = grad_gate.len();
    let (gate, up, grad) = (&gate[..len], &up[..len], &mut grad[..len]);
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for (((grad_gate, grad), gate), up) in grad_gate.iter_mut().zip(grad).zip(gate).zip(up) {
                let sigmoid = sigmoid(*gate);
                let silu = gate * sigmoid;
                *grad_gate = *grad * up * (sigmoid + silu - sigmoid * silu);
                *grad *= silu;
            }
        },
    );
}

/// `x σ(1.702 x)` in place.
fn quick_gelu(x: &mut [f32]) {
    Isa::best().run(InPlace::<OfQuickGelu> { x, other: &[], function: PhantomData });
}

struct OfQuickGelu;

impl OfLanes for OfQuickGelu {
    #[inline(always)]
    fn of<V: Lanes>(x: V, _: V) -> V {
        x.times(x.times(V::splat(QUICK_GELU as f32)).sigmoid())
    }
}

/// A function of lanes. No closure: those are not compiled for the instructions that the kernel round them is.
trait OfLanes {
    /// `#[inline(always)]`, as a [`Kernel`].
    fn of<V: Lanes>(x: V, other: V) -> V;
}

/// Changes `x` in place. The last lanes, which may be fewer, are computed as all others: what a number becomes does not depend
/// on where it stands.
struct InPlace<'a, F> {
    x: &'a mut [f32],
    /// As long, or empty.
    other: &'a [f32],
    function: PhantomData<F>,
}

impl<F: OfLanes> Kernel for InPlace<'_, F> {
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let (whole, rest) = self.x.as_chunks_mut::<LANES>();
        let (others, other_rest) = self.other.as_chunks::<LANES>();
        if others.is_empty() {
            for x in whole {
                F::of(V::load(x), V::splat(0.0)).store(x);
            }
        } else {
            for (x, other) in whole.iter_mut().zip(others) {
                F::of(V::load(x), V::load(other)).store(x);
            }
        }
        let mut lanes = [[0.0; LANES]; 2];
        lanes[0][..rest.len()].copy_from_slice(rest);
        lanes[1][..other_rest.len()].copy_from_slice(other_rest);
        F::of(V::load(&lanes[0]), V::load(&lanes[1])).store(&mut lanes[0]);
        rest.copy_from_slice(&lanes[0][..rest.len()]);
    }
}

/// Combines what becomes of a row's elements, several at a time.
#[inline(always)]
pub(super) fn fold(
    row: &[f32],
    start: f32,
    each: impl Fn(f32) -> f32,
    combine: impl Fn(f32, f32) -> f32,
) -> f32 {
    let mut lanes = [start; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane = combine(*lane, each(*x));
        }
    }
    lanes.into_iter().chain(rest.iter().map(|x| each(*x))).fold(start, &combine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_right_to_two_units_in_the_last_place() {
        for step in -86_999..=88_299 {
            let x = step as f32 * 1e-3;
            let (found, expected) = (exp(x), f64::from(x).exp());
            let unit =
                f64::from(f32::from_bits((expected as f32).to_bits() + 1)) - f64::from(expected as f32);
            let error = (f64::from(found) - expected).abs() / unit;
            assert!(error <= 2.0, "exp({x}) is {found}, should be {expected}");
        }
        assert_eq!([exp(0.0), exp(-87.5), exp(f32::NEG_INFINITY)], [1.0, 0.0, 0.0]);
        assert_eq!([exp(88.5), exp(f32::INFINITY)], [f32::INFINITY; 2]);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn a_softmax_of_any_length_sums_to_one() {
        for len in [1, 15, 16, 17, 100] {
            let mut scores: Vec<f32> = (0..len).map(|i| (i % 7) as f32 - 1e3).collect();
            softmax(&mut scores, &vec![0.5; len]);
            assert!((scores.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            assert!(scores.iter().all(|probability| *probability > 0.0));
        }
        let mut scores = [1.0, f32::NAN, 2.0];
        softmax(&mut scores, &[0.0, 0.0, f32::NEG_INFINITY]);
        assert!(scores[0].is_nan(), "what is broken has to show");
    }
}
