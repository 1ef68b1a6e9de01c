//! The costliest operations on the CPU. Burn calls its CPU backend *flex*: hence this folder's name. Activations are f32;
//! weights may be held in less.
//!
//! Burn's own products zero the output before they fill it and then copy it elsewhere (`FlexTensor::empty` in 0.22), its
//! attention goes over the scores once for each elementary operation, and its exponentials come one by one from the C
//! library. Together that costs a fifth of a half-billion model's training step.

mod aligned;
mod attention;
mod block_product;
mod blocks;
mod columns;
mod decode_attention;
mod elementwise;
mod few_rows;
mod flash_attention;
mod gradient_product;
mod many_rows;
mod matmul;
mod matrix;
mod rounded_attention;
mod rows;
mod simd;

mod team;
#[cfg(target_arch = "x86_64")]
mod tiled;
mod unpacked_product;
mod weight;
mod weight_product;

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::prelude::*;

use super::cross_entropy::CrossEntropy;
use matrix::Matrix;
pub(crate) use simd::bf16_rate;

// Each operation's `impl` is beside its kernel. This one is composed.
impl CrossEntropy for Flex {}

/// The number of multiplications from which a product is split among threads; Burn's threshold.
const PARALLEL_FROM: usize = 192 * 192 * 192;

/// A contiguous tensor of these elements.
fn tensor(data: Vec<f32>, shape: impl Into<Shape>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(data, shape.into()))
}

/// The same tensor, copied if one of its strides is negative, which a [`Matrix`] does not allow.
fn readable(x: FlexTensor) -> FlexTensor {
    if x.layout().strides().iter().all(|stride| *stride >= 0) { x } else { x.to_contiguous() }
}

/// The same tensor, copied if the elements of a row do not lie side by side.
fn with_contiguous_rows(x: FlexTensor) -> FlexTensor {
    let x = readable(x);
    if x.layout().strides().last().is_none_or(|stride| *stride == 1) { x } else { x.to_contiguous() }
}

/// The elements of a contiguous tensor.
fn elements(x: &FlexTensor) -> &[f32] {
    &x.storage()[x.layout().start_offset()..][..x.layout().num_elements()]
}

/// One matrix of many: the one at these leading indices.
///
/// # Shapes
///
/// - x: `[…, rows, columns]`, [readable]
fn matrix_at<const N: usize>(x: &FlexTensor, leading: [usize; N]) -> Matrix<'_> {
    let (sizes, strides) = (x.layout().shape(), x.layout().strides());
    let begin: usize = leading.iter().zip(strides).map(|(index, stride)| index * *stride as usize).sum();
    let strides = [strides[N] as usize, strides[N + 1] as usize];
    Matrix::new(&x.storage()[x.layout().start_offset() + begin..], [sizes[N], sizes[N + 1]], strides)
}
