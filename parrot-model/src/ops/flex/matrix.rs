//! Matrices in f32 as they lie in memory, and their products by the `gemm` crate, with which Burn's CPU backend multiplies as
//! well.

use std::borrow::Cow;
use std::ops::Range;

use gemm::Parallelism;

use super::PARALLEL_FROM;

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

    /// The matrix of these columns.
    ///
    /// # Panics
    ///
    /// If there are no such columns.
    pub(super) fn some_columns(self, range: Range<usize>) -> Self {
        let data = self.data.get(range.start * self.column_stride..).unwrap_or_default();
        Self::new(data, [self.rows, range.len()], [self.row_stride, self.column_stride])
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
pub(super) fn product(lhs: Matrix<'_>, rhs: Matrix<'_>) -> Vec<f32> {
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
