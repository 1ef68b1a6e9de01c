//! [`matmul`](crate::ops::matmul()) on the CPU: [`weight_product`] multiplies with a weight as it is stored,
//! [`matrix`](super::matrix) computes all other products.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::backend::ops::FloatTensorOps;
use burn::tensor::{DType, FloatDType};
use half::bf16;
use rayon::prelude::*;

use super::gradient_product;
use super::matrix::{Matrix, multiply, product};
use super::simd::Isa;
use super::weight::Weight;
use super::weight_product::{self, stored_weight};
use super::{PARALLEL_FROM, elements, matrix_at, readable, tensor, with_contiguous_rows};
use crate::ops::matmul::{MatMul, add_bias};

impl MatMul for Flex {
    fn matmul(lhs: FlexTensor, rhs: FlexTensor) -> FlexTensor {
        let dtype = lhs.dtype();
        if !is_float(dtype) || !is_float(rhs.dtype()) {
            return Self::float_matmul(lhs, rhs);
        }
        let lhs = wide(lhs);
        let output = match (stored_weight(&rhs), columns_in_bf16(&rhs)) {
            (Some(weight), _) => weight_products(lhs, weight, &rhs, &[]),
            (None, Some(weight)) => column_products(lhs, weight, &rhs),
            (None, None) => products(&readable(lhs), &readable(wide(rhs))),
        };
        if dtype == DType::F32 { output } else { Self::float_cast(output, FloatDType::from(dtype)) }
    }

    fn linear(x: FlexTensor, weight: FlexTensor, bias: FlexTensor) -> FlexTensor {
        let is_f32 = [x.dtype(), bias.dtype()] == [DType::F32; 2];
        match stored_weight(&weight).filter(|_| is_f32) {
            Some(stored) => weight_products(x, stored, &weight, elements(&bias.to_contiguous())),
            None => add_bias::<Self>(Self::matmul(x, weight), bias),
        }
    }
}

/// What is stored behind a right side, if it is one or several weights in bf16, contiguous and not transposed: what the gradient
/// of a frozen layer's input is multiplied with.
fn columns_in_bf16(rhs: &FlexTensor) -> Option<&[bf16]> {
    let begin = rhs.layout().start_offset();
    let range = begin..begin + rhs.layout().num_elements();
    (rhs.dtype() == DType::BF16 && rhs.is_contiguous()).then(|| &rhs.storage()[range])
}

fn is_float(dtype: DType) -> bool {
    matches!(dtype, DType::F32 | DType::F16 | DType::BF16)
}

/// The tensor in f32.
pub(super) fn wide(x: FlexTensor) -> FlexTensor {
    if x.dtype() == DType::F32 { x } else { Flex::float_cast(x, FloatDType::F32) }
}

/// [`products`] with weights as they are stored, transposed.
fn weight_products(lhs: FlexTensor, weight: Weight<'_>, rhs: &FlexTensor, bias: &[f32]) -> FlexTensor {
    by_matrix(lhs, rhs, |lhs, columns| weight_product::product(Isa::best(), lhs, weight, columns, bias))
}

/// [`products`] with weights as they are stored.
fn column_products(lhs: FlexTensor, weight: &[bf16], rhs: &FlexTensor) -> FlexTensor {
    by_matrix(lhs, rhs, |lhs, columns| gradient_product::product(Isa::best(), lhs, weight, columns))
}

/// - product: of as many left sides, whose rows are contiguous, and the number of columns
fn by_matrix(
    lhs: FlexTensor,
    rhs: &FlexTensor,
    product: impl FnOnce(&[Matrix<'_>], usize) -> Vec<f32>,
) -> FlexTensor {
    let mut shape = lhs.layout().shape().clone();
    let last = shape.num_dims() - 1;
    let columns = rhs.layout().shape()[last];
    let lhs = with_contiguous_rows(lhs);
    let matrices: Vec<_> = match last {
        1 => vec![matrix_at(&lhs, [])],
        _ => (0..shape[0]).map(|at| matrix_at(&lhs, [at])).collect(),
    };
    shape[last] = columns;
    tensor(product(&matrices, columns), shape)
}

/// # Shapes
///
/// - lhs: `[matrices, rows, inner]`, or one matrix
/// - rhs: `[matrices, inner, columns]`
/// - output: `[matrices, rows, columns]`
fn products(lhs: &FlexTensor, rhs: &FlexTensor) -> FlexTensor {
    if lhs.layout().num_dims() == 2 {
        let (lhs, rhs) = (matrix_at(lhs, []), matrix_at(rhs, []));
        return tensor(product(lhs, rhs), [lhs.dims()[0], rhs.dims()[1]]);
    }
    let [matrices, rows, inner] = lhs.layout().shape().dims();
    let [_, _, columns] = rhs.layout().shape().dims();
    let mut output = vec![0.0; matrices * rows * columns];
    let one_product = |(at, output): (usize, &mut [f32])| {
        multiply(matrix_at(lhs, [at]), matrix_at(rhs, [at]), 1.0, output);
    };
    if matrices * rows * inner * columns < PARALLEL_FROM {
        output.chunks_exact_mut(rows * columns).enumerate().for_each(one_product);
    } else {
        output.par_chunks_exact_mut(rows * columns).enumerate().for_each(one_product);
    }
    tensor(output, [matrices, rows, columns])
}
