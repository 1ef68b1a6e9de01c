//! Products in f32 with weights in [blocks](crate::quantization), as training computes them: no operand is rounded, unlike
//! in [`block_product`](super::block_product).
//!
//! A thread unpacks a tile of the weight, multiplies it, and unpacks the next one in its place. So whatever the weight's
//! size, it lies in memory in blocks alone.

use pulp::Arch;

use super::PARALLEL_FROM;
use super::columns::by_columns;
use super::matrix::{Matrix, multiply_add};
use super::team::Threads;
use crate::quantization::{BLOCK, BlockMatrix, PANEL};

/// Columns of the output that a thread computes at a time, at most; they begin with a block or a panel.
const WIDTH: usize = 256;
/// How many products are added up with one tile: it then has 256 KiB, which the second-level cache holds.
const DEPTH: usize = 256;

const _: () = assert!(DEPTH.is_multiple_of(BLOCK) && BLOCK.is_multiple_of(PANEL));

/// Which way round a weight is multiplied with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// `x · Wᵀ`: the layer.
    Transposed,
    /// `x · W`: the gradient of its input.
    AsStored,
}

/// Each left side times its weight.
///
/// # Shapes
///
/// - lhs: `[rows, inner]` each, all alike
/// - weights: as many, all alike: `[columns, inner]` if transposed, else `[inner, columns]`
/// - output: `[lhs.len(), rows, columns]`
///
/// # Panics
///
/// If the shapes are not these.
pub(super) fn product(lhs: &[Matrix<'_>], weights: &[BlockMatrix<'_>], side: Side) -> Vec<f32> {
    assert_eq!(lhs.len(), weights.len(), "a weight for each left side");
    let (Some(first), Some(weight)) = (lhs.first(), weights.first()) else { return Vec::new() };
    let [rows, inner] = first.dims();
    let [outputs, inputs] = weight.dims();
    let (columns, depth) = match side {
        Side::Transposed => (outputs, inputs),
        Side::AsStored => (inputs, outputs),
    };
    assert_eq!(inner, depth, "the inner sizes of a product");
    let threads = Threads::for_work(lhs.len() * rows * inner * columns, PARALLEL_FROM);
    // Two for each thread, where there are so few.
    let width =
        columns.div_ceil(2 * rayon::current_num_threads()).next_multiple_of(BLOCK).clamp(BLOCK, WIDTH);
    by_columns([lhs.len(), rows, columns], &[], width, rows, threads, |matrix, range, sums| {
        let (lhs, weight) = (lhs[matrix], weights[matrix]);
        let mut tile = vec![0.0; WIDTH * DEPTH];
        sums.fill(0.0);
        for begin in (0..inner).step_by(DEPTH) {
            let depth = begin..(begin + DEPTH).min(inner);
            let (outputs, inputs) = match side {
                Side::Transposed => (range.clone(), depth.clone()),
                Side::AsStored => (depth.clone(), range.clone()),
            };
            Arch::new().dispatch(|| weight.decode_columns(outputs.clone(), inputs.clone(), &mut tile));
            let strides = [1, outputs.len().next_multiple_of(PANEL)];
            let unpacked = Matrix::new(&tile, [outputs.len(), inputs.len()], strides);
            let unpacked = if side == Side::Transposed { unpacked } else { unpacked.transposed() };
            multiply_add(unpacked, lhs.some_columns(depth).transposed(), 1.0, sums);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantization::BlockFormat;
    use crate::quantization::testing::{encode, normal};

    #[test]
    fn products_are_those_of_what_the_blocks_stand_for() {
        for format in BlockFormat::ALL {
            for (rows, outputs, inputs) in
                [(1, 1, 1), (1, 16, 32), (3, 33, 70), (40, 300, 31), (7, 530, 600), (70, 5, 290)]
            {
                let count = 1 + rows % 2;
                let bytes: Vec<_> = (0..count)
                    .map(|at| encode(format, &normal(outputs * inputs, 11 + at as u64), inputs))
                    .collect();
                let weights: Vec<_> =
                    bytes.iter().map(|bytes| BlockMatrix::new(format, [outputs, inputs], bytes)).collect();
                for (side, inner, columns) in
                    [(Side::Transposed, inputs, outputs), (Side::AsStored, outputs, inputs)]
                {
                    let x = normal(count * rows * inner, 7);
                    let lhs: Vec<_> = x.chunks(rows * inner).map(|x| Matrix::contiguous(x, inner)).collect();
                    let found = product(&lhs, &weights, side);
                    assert_eq!(found.len(), count * rows * columns);
                    for (at, found) in found.chunks_exact(rows * columns).enumerate() {
                        check(&x[at * rows * inner..][..rows * inner], weights[at], side, found);
                    }
                }
            }
        }
    }

    /// In f64.
    fn check(x: &[f32], weight: BlockMatrix<'_>, side: Side, found: &[f32]) {
        let [outputs, inputs] = weight.dims();
        let (inner, columns) = if side == Side::Transposed { (inputs, outputs) } else { (outputs, inputs) };
        let mut expected = vec![0.0; found.len()];
        let mut values = vec![0.0; inputs];
        for output in 0..outputs {
            weight.decode_row(output, &mut values);
            for (input, value) in values.iter().enumerate() {
                let (at, column) = if side == Side::Transposed { (input, output) } else { (output, input) };
                for (x, expected) in x.chunks_exact(inner).zip(expected.chunks_exact_mut(columns)) {
                    expected[column] += f64::from(x[at]) * f64::from(*value);
                }
            }
        }
        for (found, expected) in found.iter().zip(expected) {
            let error = (f64::from(*found) - expected).abs();
            assert!(error < 1e-5 * (inner as f64).sqrt(), "{side:?} [{outputs}, {inputs}]: {error}");
        }
    }

    #[test]
    fn empty_products() {
        let weight = [BlockMatrix::new(BlockFormat::Q8, [3, 0], &[])];
        let nothing = [Matrix::new(&[], [2, 0], [0, 1])];
        assert_eq!(product(&nothing, &weight, Side::Transposed), [0.0; 6]);
        assert!(product(&[], &[], Side::AsStored).is_empty());
        assert!(product(&[Matrix::contiguous(&[1.0; 6], 3)], &weight, Side::AsStored).is_empty());
    }
}
