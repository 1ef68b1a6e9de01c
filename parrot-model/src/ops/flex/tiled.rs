//! Products of many rows with a weight in bf16, in a processor's [tiles]: what [`many_rows`](super::many_rows) does without.
//!
//! The left side's strips are what one operand has to be, and the panel of some of the weight's columns is the other, so
//! nothing is laid out anew for it.

use half::bf16;

use super::many_rows::{DEPTH, PAIRS, Packed, copy_pairs, stride};
use super::simd::tiles::{self, Tiles};
use super::simd::{Kernel, LANES, Lanes};

/// Columns of a panel: so many that what the tiles are fed with is read as fast as they multiply.
pub(super) const BLOCK: usize = 2 * tiles::COLUMNS;

/// `sums[column, row] = left[row] · weight[column]`, on this thread.
///
/// # Shapes
///
/// - weight: `[columns, inner]`
/// - sums: `[columns, stride]`
pub(super) fn multiply(left: &Packed, weight: &[bf16], sums: &mut [f32]) {
    left.isa.run(Block { left, weight, sums, tiles: Tiles::of_processor() });
}

/// Some columns of a product.
struct Block<'a> {
    left: &'a Packed,
    /// `[columns, inner]`
    weight: &'a [bf16],
    /// `[columns, stride]`
    sums: &'a mut [f32],
    tiles: Tiles,
}

impl Kernel for Block<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let Self { left, weight, sums, tiles } = self;
        let (inner, stride) = (left.inner, stride(left.rows));
        let columns = sums.len() / stride;
        let mut panel = [[0; DEPTH]; BLOCK];
        sums.fill(0.0);
        for begin in (0..inner).step_by(2 * DEPTH) {
            let end = (begin + 2 * DEPTH).min(inner);
            let pairs = (end - begin).div_ceil(2);
            let depth = begin / 2..begin / 2 + pairs.next_multiple_of(PAIRS);
            for (column, to) in panel[..columns].iter_mut().enumerate() {
                copy_pairs(&weight[column * inner..][begin..end], to);
                to[pairs..depth.len()].fill(0);
            }
            for (sums, panel) in sums.chunks_mut(tiles::COLUMNS * stride).zip(panel.as_chunks().0) {
                for (at, strip) in left.strips().enumerate() {
                    let strip = &strip[depth.clone()];
                    let sums = &mut sums[at * LANES..];
                    if sums.len() > (tiles::COLUMNS - 1) * stride {
                        tiles.add_products(panel, strip, sums, stride);
                        continue;
                    }
                    // The last columns are fewer than the tiles have.
                    let mut apart = [0.0; tiles::COLUMNS * LANES];
                    tiles.add_products(panel, strip, &mut apart, LANES);
                    for (sums, apart) in sums.chunks_mut(stride).zip(apart.chunks_exact(LANES)) {
                        sums.iter_mut().zip(apart).for_each(|(sum, apart)| *sum += apart);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::flex::columns::Threads;
    use crate::ops::flex::many_rows::Element;
    use crate::ops::flex::matrix::Matrix;
    use crate::ops::flex::simd::Isa;

    /// Products of whole numbers, which are exact, with tiles that are emulated, and the processor's if it has them.
    #[test]
    fn products_of_every_shape_are_their_formula() {
        let number = |at: usize, modulus: usize| (at % modulus) as f32 - 4.0;
        for (rows, inner, columns) in
            [(1, 1, 1), (13, 31, 47), (16, 32, 48), (17, 33, 49), (40, 530, 95), (33, 1024, BLOCK)]
        {
            let lhs: Vec<f32> = (0..rows * inner).map(|at| number(at, 9)).collect();
            let weight: Vec<f32> = (0..columns * inner).map(|at| number(at, 11)).collect();
            let held: Vec<bf16> = weight.iter().map(|x| bf16::from_f32(*x)).collect();
            let lhs_matrix = Matrix::new(&lhs, [rows, inner], [inner, 1]);
            let left = Packed::new(Isa::best(), lhs_matrix, Element::PairOfBf16, Threads::One);
            let mut all = vec![Tiles::Emulated];
            if Isa::best() == Isa::Amx {
                all.push(Tiles::of_processor());
            }
            for tiles in all {
                let mut sums = vec![f32::NAN; columns * stride(rows)];
                Isa::best().run(Block { left: &left, weight: &held, sums: &mut sums, tiles });
                for (column, weight) in weight.chunks_exact(inner.max(1)).enumerate() {
                    for (row, lhs) in lhs.chunks_exact(inner.max(1)).enumerate() {
                        let expected: f32 = lhs.iter().zip(weight).map(|(a, b)| a * b).sum();
                        assert_eq!(sums[column * stride(rows) + row], expected, "{rows} {inner} {columns}");
                    }
                }
            }
        }
    }
}
