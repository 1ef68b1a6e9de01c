//! Products of few rows with a weight: a step of decoding. The weight is read once, from memory into registers, and the speed
//! of that is the speed of the product.
//!
//! Each row is summed in the same order, however many there are: a row's product does not depend on the others.

use half::{bf16, f16};

use super::aligned::LINE;
use super::simd::{Isa, Kernel, LANES, Lanes, fetch_ahead};
use super::weight::{Number, Weight};

/// `output[column, row] = x[row] · weight[column]`, on this thread.
///
/// # Shapes
///
/// - x: `[rows, inner]`
/// - weight: `[columns, inner]`
/// - output: `[columns, rows]`
///
/// # Panics
///
/// If the lengths do not go together.
pub(super) fn multiply(isa: Isa, x: &[f32], rows: usize, weight: Weight<'_>, output: &mut [f32]) {
    let inner = x.len() / rows;
    assert_eq!(x.len(), rows * inner, "x is [rows, inner]");
    assert_eq!(
        weight.len() * rows,
        output.len() * inner,
        "weight is [columns, inner], output [columns, rows]"
    );
    match weight {
        Weight::F32(weight) => isa.run(FewRows { x, rows, inner, weight, output }),
        Weight::Bf16(weight) => isa.run(FewRows::<bf16> { x, rows, inner, weight, output }),
        Weight::F16(weight) => isa.run(FewRows::<f16> { x, rows, inner, weight, output }),
    }
}

struct FewRows<'a, T> {
    x: &'a [f32],
    rows: usize,
    inner: usize,
    weight: &'a [T],
    output: &'a mut [f32],
}

/// Sums of a row and a column, each of every second step; the order in which a row is summed.
const SUMS: usize = 2;

/// From this many rows on, two columns are multiplied at a time. Memory is no longer the bottleneck then, and each number of
/// the left side is loaded once for both.
const TWO_COLUMNS_FROM: usize = 8;

impl<T: Number> Kernel for FewRows<'_, T> {
    #[inline(always)]
    fn run<V: Lanes>(mut self) {
        let columns = self.output.len() / self.rows;
        let mut column = 0;
        if V::MANY && self.rows >= TWO_COLUMNS_FROM {
            while column + 2 <= columns {
                self.columns::<V, 2>(column);
                column += 2;
            }
        }
        while column < columns {
            self.columns::<V, 1>(column);
            column += 1;
        }
    }
}

impl<T: Number> FewRows<'_, T> {
    /// `C` columns of all rows.
    #[inline(always)]
    fn columns<V: Lanes, const C: usize>(&mut self, column: usize) {
        let mut row = 0;
        if V::MANY {
            while row + 4 <= self.rows {
                self.tile::<V, 4, C>(row, column);
                row += 4;
            }
        }
        while row + 2 <= self.rows {
            self.tile::<V, 2, C>(row, column);
            row += 2;
        }
        if row < self.rows {
            self.tile::<V, 1, C>(row, column);
        }
    }

    /// `C` columns of `R` rows, with [`SUMS`] sums for each. Where memory is what is waited for, `C` should be 1: a single stream
    /// the processor fetches ahead, twice as fast as it reads four side by side.
    // Indices, as iterators over arrays of registers are not inlined: see `Kernel::run`.
    #[allow(clippy::needless_range_loop)]
    #[inline(always)]
    fn tile<V: Lanes, const R: usize, const C: usize>(&mut self, row: usize, column: usize) {
        let inner = self.inner;
        let steps = inner / LANES;
        let mut w_lanes: [&[[T; LANES]]; C] = [&[]; C];
        for c in 0..C {
            w_lanes[c] = &self.weight[(column + c) * inner..][..inner].as_chunks().0[..steps];
        }
        let mut x_lanes: [&[[f32; LANES]]; R] = [&[]; R];
        for r in 0..R {
            x_lanes[r] = &self.x[(row + r) * inner..][..inner].as_chunks().0[..steps];
        }
        let mut sums = [[[V::splat(0.0); SUMS]; R]; C];
        let mut step = 0;
        while step + SUMS <= steps {
            for c in 0..C {
                fetch_ahead(&w_lanes[c][step]);
                if SUMS * size_of::<[T; LANES]>() > LINE {
                    fetch_ahead(&w_lanes[c][step + 1]);
                }
            }
            for u in 0..SUMS {
                let mut w = [V::splat(0.0); C];
                for c in 0..C {
                    w[c] = T::widen(&w_lanes[c][step + u]);
                }
                for r in 0..R {
                    let x = V::load(&x_lanes[r][step + u]);
                    for c in 0..C {
                        sums[c][r][u] = sums[c][r][u].add_product(x, w[c]);
                    }
                }
            }
            step += SUMS;
        }
        while step < steps {
            for c in 0..C {
                let w = T::widen(&w_lanes[c][step]);
                for r in 0..R {
                    sums[c][r][0] = sums[c][r][0].add_product(V::load(&x_lanes[r][step]), w);
                }
            }
            step += 1;
        }
        for c in 0..C {
            for r in 0..R {
                let mut all = sums[c][r][0];
                for u in 1..SUMS {
                    all = all.add(sums[c][r][u]);
                }
                let mut sum = all.sum();
                let x = &self.x[(row + r) * inner..][steps * LANES..inner];
                let w = &self.weight[(column + c) * inner..][steps * LANES..inner];
                for (x, w) in x.iter().zip(w) {
                    sum += x * w.wide();
                }
                self.output[(column + c) * self.rows + row + r] = sum;
            }
        }
    }
}
