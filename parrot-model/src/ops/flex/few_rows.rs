//! Products of few rows with a weight: a step of decoding. The weight is read once, from memory to registers, and how fast
//! that goes is how fast the product is.

use half::{bf16, f16};

use super::simd::{Isa, Kernel, LANES, Lanes};
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

impl<T: Number> Kernel for FewRows<'_, T> {
    #[inline(always)]
    fn run<V: Lanes>(mut self) {
        let columns = self.output.len() / self.rows;
        let mut column = 0;
        while column + 4 <= columns {
            self.columns::<V, 4>(column);
            column += 4;
        }
        while column < columns {
            self.columns::<V, 1>(column);
            column += 1;
        }
    }
}

impl<T: Number> FewRows<'_, T> {
    /// So many columns of all rows.
    #[inline(always)]
    fn columns<V: Lanes, const C: usize>(&mut self, column: usize) {
        let mut weights: [&[T]; C] = [&[]; C];
        for (i, weight) in weights.iter_mut().enumerate() {
            *weight = &self.weight[(column + i) * self.inner..][..self.inner];
        }
        let mut row = 0;
        if V::MANY {
            while row + 4 <= self.rows {
                self.tile::<V, 4, C>(row, column, weights);
                row += 4;
            }
        }
        while row + 2 <= self.rows {
            self.tile::<V, 2, C>(row, column, weights);
            row += 2;
        }
        if row < self.rows {
            self.tile::<V, 1, C>(row, column, weights);
        }
    }

    #[inline(always)]
    fn tile<V: Lanes, const R: usize, const C: usize>(
        &mut self,
        row: usize,
        column: usize,
        weights: [&[T]; C],
    ) {
        let (inner, steps) = (self.inner, self.inner / LANES);
        let mut xs: [&[f32]; R] = [&[]; R];
        let mut x_lanes: [&[[f32; LANES]]; R] = [&[]; R];
        for r in 0..R {
            xs[r] = &self.x[(row + r) * inner..][..inner];
            x_lanes[r] = &xs[r].as_chunks().0[..steps];
        }
        let mut w_lanes: [&[[T; LANES]]; C] = [&[]; C];
        for c in 0..C {
            w_lanes[c] = &weights[c].as_chunks().0[..steps];
        }
        // Loops instead of `map`: see `Kernel::run`.
        let mut sums = [[V::splat(0.0); R]; C];
        for step in 0..steps {
            let mut w = [V::splat(0.0); C];
            for c in 0..C {
                w[c] = T::widen(&w_lanes[c][step]);
            }
            for r in 0..R {
                let x = V::load(&x_lanes[r][step]);
                for c in 0..C {
                    sums[c][r] = sums[c][r].add_product(x, w[c]);
                }
            }
        }
        for c in 0..C {
            for r in 0..R {
                let mut sum = sums[c][r].sum();
                for i in steps * LANES..inner {
                    sum += xs[r][i] * weights[c][i].wide();
                }
                self.output[(column + c) * self.rows + row + r] = sum;
            }
        }
    }
}
