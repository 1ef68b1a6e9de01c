//! Exponentials and functions made of them, compiled for the vector instructions that the processor has.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::DType;
use pulp::Arch;
use rayon::prelude::*;

use super::{elements, tensor};
use crate::ops::gelu::{self, QUICK_GELU, QuickGelu};
use crate::ops::swiglu::{self, SwiGluOps};

/// Elements that one thread takes at a time. Fewer than that stay on the calling thread: handing work over to the pool takes
/// as long as computing some ten thousand of them.
const TASK_ELEMENTS: usize = 1 << 16;

/// Accumulators of a sum or a maximum along a row: as many as the widest registers hold.
const LANES: usize = 16;

impl SwiGluOps for Flex {
    fn silu_product(gate: FlexTensor, up: FlexTensor) -> FlexTensor {
        if gate.dtype() != DType::F32 {
            return swiglu::composed::<Self>(gate, up);
        }
        let shape = gate.layout().shape().clone();
        let (gate, up) = (gate.to_contiguous(), up.to_contiguous());
        let inputs = [elements(&gate), elements(&up)];
        tensor(map(inputs, |[gate, up], output| silu_product(gate, up, output)), shape)
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
        let x = x.to_contiguous();
        let output = map([elements(&x)], |[x], output| quick_gelu(x, output));
        tensor(output, x.layout().shape().clone())
    }
}

/// What `fill` makes of inputs of the same length, task by task.
fn map<const N: usize>(inputs: [&[f32]; N], fill: impl Fn([&[f32]; N], &mut [f32]) + Sync) -> Vec<f32> {
    let mut output = vec![0.0; inputs[0].len()];
    let fill_task = |(at, output): (usize, &mut [f32])| {
        fill(inputs.map(|input| &input[at * TASK_ELEMENTS..][..output.len()]), output);
    };
    if output.len() <= TASK_ELEMENTS {
        fill_task((0, &mut output));
    } else {
        output.par_chunks_mut(TASK_ELEMENTS).enumerate().for_each(fill_task);
    }
    output
}

/// `eˣ` to two units in the last place; 0 below −87, where f32 has no normal numbers any more, ∞ above 88.3.
#[inline(always)]
fn exp(x: f32) -> f32 {
    // x = n ln 2 + r with |r| ≤ ln 2 / 2, and eˣ = 2ⁿ eʳ. Adding 1.5 · 2²³ rounds to a whole number and leaves it in the
    // lowest bits. ln 2 is in two parts, the first of which has so few digits that n times it is exact.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * LN_2_HIGH - n * LN_2_LOW;
    // (eʳ − 1 − r) / r², the coefficients of Cephes.
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
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
/// If the rows differ in length.
pub(super) fn softmax(scores: &mut [f32], bias: &[f32]) {
    assert_eq!(scores.len(), bias.len(), "scores and bias of a row");
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for (score, bias) in scores.iter_mut().zip(bias) {
                *score += bias;
            }
            let largest = fold(scores, f32::NEG_INFINITY, |a, b| if a > b { a } else { b });
            for score in scores.iter_mut() {
                *score = exp(*score - largest);
            }
            let scale = 1.0 / fold(scores, 0.0, |a, b| a + b);
            for score in scores.iter_mut() {
                *score *= scale;
            }
        },
    );
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

/// `silu(gate) ⊙ up`
///
/// # Panics
///
/// If `output` is longer than the others.
fn silu_product(gate: &[f32], up: &[f32], output: &mut [f32]) {
    let (gate, up) = (&gate[..output.len()], &up[..output.len()]);
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for ((output, gate), up) in output.iter_mut().zip(gate).zip(up) {
                *output = gate * sigmoid(*gate) * up;
            }
        },
    );
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

/// `x σ(1.702 x)`
///
/// # Panics
///
/// If `output` is longer.
fn quick_gelu(x: &[f32], output: &mut [f32]) {
    let x = &x[..output.len()];
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for (output, x) in output.iter_mut().zip(x) {
                *output = x * sigmoid(QUICK_GELU as f32 * x);
            }
        },
    );
}

/// Combines a row's elements, several at a time.
#[inline(always)]
fn fold(row: &[f32], start: f32, combine: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [start; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane = combine(*lane, *x);
        }
    }
    lanes.into_iter().chain(rest.iter().copied()).fold(start, &combine)
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
