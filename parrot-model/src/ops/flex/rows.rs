//! What is computed of each row on its own, into new memory: [`rms_norm`](crate::ops::rms_norm()) and
//! [`rotate`](crate::ops::rotate()).

use std::mem::MaybeUninit;

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::DType;
use pulp::Arch;

use super::elementwise::{TASK_ELEMENTS, fold};
use super::team::{Threads, for_each_chunk};
use super::{elements, tensor};
use crate::ops::rms_norm::{self, Norm};
use crate::ops::rotary::{self, Rotary};

impl Norm for Flex {
    fn rms_norm(x: FlexTensor, weight: FlexTensor, eps: f64) -> FlexTensor {
        if x.dtype() != DType::F32 || weight.dtype() != DType::F32 {
            return rms_norm::composed::<Self>(x, weight, eps);
        }
        let (x, weight) = (x.to_contiguous(), weight.to_contiguous());
        let (values, weight) = (elements(&x), elements(&weight));
        let output = rows(values.len(), weight.len(), |row, output| {
            normalize(&values[row * weight.len()..][..weight.len()], weight, eps as f32, output);
        });
        tensor(output, x.layout().shape().clone())
    }
}

impl Rotary for Flex {
    fn rotate(x: FlexTensor, cos: FlexTensor, sin: FlexTensor) -> FlexTensor {
        let strides = x.layout().strides();
        let is_read = strides.iter().all(|stride| *stride >= 0) && strides[3] == 1;
        if [&x, &cos, &sin].iter().any(|x| x.dtype() != DType::F32) || !is_read {
            return rotary::composed::<Self>(x, cos, sin);
        }
        let [batch, heads, seq, head_dim] = x.layout().shape().dims();
        let [cos, sin] = [cos, sin].map(|angles| angles.to_contiguous());
        let is_shared = cos.layout().shape()[0] < batch;
        let [cos, sin] = [elements(&cos), elements(&sin)];
        let values: &[f32] = &x.storage()[x.layout().start_offset()..];
        let [of_batch, of_head, of_position] = [0, 1, 2].map(|axis| strides[axis] as usize);
        let output = rows(batch * heads * seq * head_dim, head_dim, |row, output| {
            let (batch, head, position) = (row / seq / heads, row / seq % heads, row % seq);
            let begin = batch * of_batch + head * of_head + position * of_position;
            let angle = (if is_shared { 0 } else { batch * seq } + position) * head_dim;
            let [cos, sin] = [cos, sin].map(|angles| &angles[angle..][..head_dim]);
            turn(&values[begin..][..head_dim], cos, sin, output);
        });
        tensor(output, [batch, heads, seq, head_dim])
    }
}

/// Rows one after the other, many at a time on each thread.
///
/// - fill: writes every element of the row of this number
fn rows(len: usize, width: usize, fill: impl Fn(usize, &mut [MaybeUninit<f32>]) + Sync) -> Vec<f32> {
    let mut output = Vec::with_capacity(len);
    let at_a_time = (TASK_ELEMENTS / width.max(1)).max(1);
    let fill_task = |task: usize, some: &mut [MaybeUninit<f32>]| {
        some.chunks_exact_mut(width).zip(task * at_a_time..).for_each(|(row, at)| fill(at, row));
    };
    if len > 0 {
        let all = &mut output.spare_capacity_mut()[..len];
        let threads = Threads::for_work(len, TASK_ELEMENTS + 1);
        for_each_chunk(threads, all, at_a_time * width, fill_task);
    }
    // SAFETY: `fill` has written every row, and rows are all of it.
    #[allow(unsafe_code)]
    unsafe {
        output.set_len(len);
    }
    output
}

/// `x / √(mean(x²) + ε) · γ`
fn normalize(x: &[f32], weight: &[f32], eps: f32, output: &mut [MaybeUninit<f32>]) {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            let mean = fold(x, 0.0, |x| x * x, |a, b| a + b) / x.len() as f32;
            let root = (mean + eps).sqrt();
            for ((output, x), weight) in output.iter_mut().zip(x).zip(weight) {
                output.write(x / root * weight);
            }
        },
    );
}

/// `[a, b] ⊙ cos + [−b, a] ⊙ sin`
fn turn(x: &[f32], cos: &[f32], sin: &[f32], output: &mut [MaybeUninit<f32>]) {
    let half = x.len() / 2;
    Arch::new().dispatch(
        #[inline(always)]
        || {
            let ([a, b], [low, high]) = ([&x[..half], &x[half..]], output.split_at_mut(half).into());
            let [cos, more_cos] = [&cos[..half], &cos[half..]];
            let [sin, more_sin] = [&sin[..half], &sin[half..]];
            for i in 0..half {
                low[i].write(a[i] * cos[i] - b[i] * sin[i]);
                high[i].write(b[i] * more_cos[i] + a[i] * more_sin[i]);
            }
        },
    );
}
