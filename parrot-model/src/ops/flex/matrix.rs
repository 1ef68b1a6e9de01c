//! Products of matrices. With a weight as it is stored: [`weight_product`]. All others by the `gemm` crate, which Burn's CPU
//! backend multiplies with as well.

use std::borrow::Cow;
use std::ops::Range;

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::backend::ops::FloatTensorOps;
use burn::tensor::{DType, FloatDType};
use gemm::Parallelism;
use rayon::prelude::*;

use super::simd::Isa;
use super::weight::Weight;
use super::weight_product::{self, stored_weight};
use super::{PARALLEL_FROM, matrix_at, readable, tensor};
use crate::ops::matmul::MatMul;

impl MatMul for Flex {
    fn matmul(lhs: FlexTensor, rhs: FlexTensor) -> FlexTensor {
        let dtype = lhs.dtype();
        if !is_float(dtype) || !is_float(rhs.dtype()) {
            return Self::float_matmul(lhs, rhs);
        }
        let lhs = wide(lhs);
        let output = match stored_weight(&rhs) {
            Some(weight) => weight_products(lhs, weight, &rhs),
            None => products(&readable(lhs), &readable(wide(rhs))),
        };
        if dtype == DType::F32 { output } else { Self::float_cast(output, FloatDType::from(dtype)) }
    }
}

fn is_float(dtype: DType) -> bool {
    matches!(dtype, DType::F32 | DType::F16 | DType::BF16)
}

/// In f32.
pub(super) fn wide(x: FlexTensor) -> FlexTensor {
    if x.dtype() == DType::F32 { x } else { Flex::float_cast(x, FloatDType::F32) }
}

/// [`products`] with weights as they are stored.
fn weight_products(lhs: FlexTensor, weight: Weight<'_>, rhs: &FlexTensor) -> FlexTensor {
    let mut shape = lhs.layout().shape().clone();
    let last = shape.num_dims() - 1;
    let columns = rhs.layout().shape()[last];
    let lhs = readable(lhs);
    let lhs = if lhs.layout().strides()[last] == 1 { lhs } else { lhs.to_contiguous() };
    let matrices: Vec<_> = match last {
        1 => vec![matrix_at(&lhs, [])],
        _ => (0..shape[0]).map(|at| matrix_at(&lhs, [at])).collect(),
    };
    shape[last] = columns;
    tensor(weight_product::product(Isa::best(), &matrices, weight, columns), shape)
}

/// # Shapes
///
/// - lhs: `[matrices, rows, inner]`, or one matrix
/// - rhs: `[matrices, inner, columns]`
/// - output: `[matrices, rows, columns]`
fn products(lhs: &FlexTensor, rhs: &FlexTensor) -> FlexTensor {
    if lhs.layout().num_dims() == 2 {
        let (lhs, rhs) = (matrix_at(lhs, []), matrix_at(rhs, []));
        return tensor(product(lhs, rhs), [lhs.rows, rhs.columns]);
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

/// A matrix within `data`, which begins with its first element.
#[derive(Debug, Clone, Copy)]
pub(super) struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// `[rows, columns]`, and the distances in `data` between two rows and between two columns.
    ///
    /// # Panics
    ///
    /// If the last element is not in `data`.
    pub(super) fn new(data: &'a [f32], [rows, columns]: [usize; 2], strides: [usize; 2]) -> Self {
        let [row_stride, column_stride] = strides;
        if rows > 0 && columns > 0 {
            let last = (rows - 1) * row_stride + (columns - 1) * column_stride;
            assert!(last < data.len(), "a matrix of [{rows}, {columns}] is larger than its data");
        }
        Self { data, rows, columns, row_stride, column_stride }
    }

    /// Rows that follow one another without a gap.
    pub(super) fn contiguous(data: &'a [f32], columns: usize) -> Self {
        Self::new(data, [data.len() / columns.max(1), columns], [columns, 1])
    }

    /// The transpose; nothing is copied.
    pub(super) fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    /// The matrix of these rows.
    ///
    /// # Panics
    ///
    /// If there are no such rows.
    pub(super) fn some_rows(self, range: Range<usize>) -> Self {
        let data = self.data.get(range.start * self.row_stride..).unwrap_or_default();
        Self::new(data, [range.len(), self.columns], [self.row_stride, self.column_stride])
    }

    /// `[rows, columns]`
    pub(super) fn dims(&self) -> [usize; 2] {
        [self.rows, self.columns]
    }

    /// One row, whose elements lie side by side.
    ///
    /// # Panics
    ///
    /// If they do not, or there is no such row.
    pub(super) fn contiguous_row(&self, row: usize) -> &'a [f32] {
        assert!(self.column_stride == 1 || self.columns <= 1, "a row's elements lie side by side");
        &self.data[row * self.row_stride..][..self.columns]
    }

    /// The elements row by row.
    ///
    /// # Panics
    ///
    /// If those of a row do not lie side by side.
    pub(super) fn to_contiguous(self) -> Cow<'a, [f32]> {
        if self.row_stride == self.columns || self.rows <= 1 {
            return Cow::Borrowed(&self.data[..self.rows * self.columns]);
        }
        Cow::Owned((0..self.rows).flat_map(|row| self.contiguous_row(row)).copied().collect())
    }

    /// One row's elements.
    pub(super) fn row(&self, row: usize) -> impl Iterator<Item = f32> + use<'a> {
        let (data, stride) = (&self.data[row * self.row_stride..], self.column_stride);
        (0..self.columns).map(move |column| data[column * stride])
    }
}

/// `lhs · rhs`, row by row; large ones on all threads.
fn product(lhs: Matrix<'_>, rhs: Matrix<'_>) -> Vec<f32> {
    let len = lhs.rows * rhs.columns;
    let mut output = Vec::with_capacity(len);
    let is_small = len * lhs.columns < PARALLEL_FROM;
    let parallelism = if is_small { Parallelism::None } else { Parallelism::Rayon(0) };
    // SAFETY: there is room for `len` elements, and every one of them is written.
    #[allow(unsafe_code)]
    unsafe {
        write_product(lhs, rhs, 1.0, false, output.as_mut_ptr(), parallelism);
        output.set_len(len);
    }
    output
}

/// `output ← scale · lhs · rhs`, row by row, on this thread.
///
/// # Panics
///
/// If `output` is of another size.
pub(super) fn multiply(lhs: Matrix<'_>, rhs: Matrix<'_>, scale: f32, output: &mut [f32]) {
    assert_eq!(output.len(), lhs.rows * rhs.columns, "the output of a product");
    // SAFETY: `output` is as large as the product, and nobody else's.
    #[allow(unsafe_code)]
    unsafe {
        write_product(lhs, rhs, scale, false, output.as_mut_ptr(), Parallelism::None);
    }
}

/// `output ← output + scale · lhs · rhs`, row by row, on this thread.
///
/// # Panics
///
/// If `output` is of another size.
pub(super) fn multiply_add(lhs: Matrix<'_>, rhs: Matrix<'_>, scale: f32, output: &mut [f32]) {
    assert_eq!(output.len(), lhs.rows * rhs.columns, "the output of a product");
    // SAFETY: as above, and all of `output` has been written before.
    #[allow(unsafe_code)]
    unsafe {
        write_product(lhs, rhs, scale, true, output.as_mut_ptr(), Parallelism::None);
    }
}

/// `output ← scale · lhs · rhs`, row by row; added to what is there if `add`.
///
/// # Panics
///
/// If the inner sizes differ.
///
/// # Safety
///
/// `output` must be valid for writes of `lhs.rows · rhs.columns` elements, and for reads of them if `add`.
#[allow(unsafe_code)]
unsafe fn write_product(
    lhs: Matrix<'_>,
    rhs: Matrix<'_>,
    scale: f32,
    add: bool,
    output: *mut f32,
    parallelism: Parallelism,
) {
    assert_eq!(lhs.columns, rhs.rows, "the inner sizes of a product");
    // SAFETY: a `Matrix` has all of its elements within its data, and the caller vouches for the output.
    unsafe {
        gemm::gemm(
            lhs.rows,
            rhs.columns,
            lhs.columns,
            output,
            1,
            rhs.columns as isize,
            add,
            lhs.data.as_ptr(),
            lhs.column_stride as isize,
            lhs.row_stride as isize,
            rhs.data.as_ptr(),
            rhs.column_stride as isize,
            rhs.row_stride as isize,
            if add { 1.0 } else { 0.0 },
            scale,
            false,
            false,
            false,
            parallelism,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_read_matrices_where_they_lie() {
        // [[1, 2], [3, 4], [5, 6]] inside of a larger one, and [[1, 0, 2], [0, 1, 3]] by columns.
        let wide = [1.0, 2.0, 9.0, 3.0, 4.0, 9.0, 5.0, 6.0];
        let lhs = Matrix::new(&wide, [3, 2], [3, 1]);
        let rhs = Matrix::contiguous(&[1.0, 0.0, 0.0, 1.0, 2.0, 3.0], 2).transposed();
        let expected = [1.0, 2.0, 8.0, 3.0, 4.0, 18.0, 5.0, 6.0, 28.0];
        assert_eq!(product(lhs, rhs), expected);
        let mut output = [f32::NAN; 6];
        multiply(lhs.some_rows(1..3), rhs, 0.5, &mut output);
        assert_eq!(output, [1.5, 2.0, 9.0, 2.5, 3.0, 14.0]);
        multiply_add(lhs.some_rows(0..2), rhs, 2.0, &mut output);
        assert_eq!(output, [3.5, 6.0, 25.0, 8.5, 11.0, 50.0]);
        assert_eq!(lhs.row(1).collect::<Vec<_>>(), [3.0, 4.0]);
    }

    #[test]
    fn empty_matrices_multiply() {
        assert!(product(Matrix::new(&[], [0, 3], [3, 1]), Matrix::contiguous(&[1.0; 6], 2)).is_empty());
        let nothing = Matrix::new(&[], [2, 0], [0, 1]);
        assert_eq!(product(nothing, Matrix::new(&[], [0, 2], [2, 1])), [0.0; 4]);
    }

    #[test]
    #[should_panic(expected = "larger than its data")]
    fn a_matrix_must_lie_within_its_data() {
        Matrix::new(&[0.0; 5], [2, 3], [3, 1]);
    }
}
