//! Products of many rows with a weight in bf16, in a processor's [tiles]: what [`many_rows`](super::many_rows) does without.
//!
//! The left side's strips are what one operand has to be, and the panel of some of the weight's columns is the other, so
//! nothing is laid out anew for it.

use std::cell::RefCell;
use std::ops::Range;

use half::bf16;

use super::aligned::LINE;
use super::many_rows::{DEPTH, FILLED, Strips, stride};
use super::simd::tiles::{self, Sums, Tiles};
use super::simd::{Kernel, LANES, Lanes, fetch_ahead};

/// The most columns of a block: so many that what is packed of the left side is read seldom from beyond the cache.
pub(super) const BLOCK: usize = 4 * tiles::COLUMNS;
/// The most bytes of a block's weights, which stay in the second-level cache.
const BLOCK_BYTES: usize = 1 << 20;
/// A column of a panel: 64 bytes more than is used, so that neighbours lie in different sets of the cache.
const WIDTH: usize = 2 * (DEPTH + LANES);

thread_local! {
    /// Where this thread lays out its blocks' weights: some 1 MiB.
    static PANELS: RefCell<Vec<Panel>> = const { RefCell::new(Vec::new()) };
}

/// Some numbers of a few columns of the weight; each column begins with a line of the cache.
#[derive(Clone)]
#[repr(align(64))]
struct Panel([[bf16; WIDTH]; tiles::COLUMNS]);

/// Columns of a block, where there are so many and all threads take part.
pub(super) fn block(columns: usize, inner: usize) -> usize {
    // Several for each thread, so that none has to wait long for the last.
    let share = columns / (4 * rayon::current_num_threads());
    let fitting = BLOCK_BYTES / (size_of::<bf16>() * inner).max(1);
    (share.min(fitting) / tiles::COLUMNS * tiles::COLUMNS).clamp(tiles::COLUMNS, BLOCK)
}

/// `sums[column, row] = left[row] · weight[column]`, on this thread.
///
/// # Shapes
///
/// - weight: `[columns, inner]`
/// - sums: `[columns, stride]`
pub(super) fn multiply(left: Strips<'_>, weight: &[bf16], sums: &mut [f32]) {
    PANELS.with_borrow_mut(|panels| multiply_in(&Tiles::of_processor(), panels, left, weight, sums));
}

/// [`multiply`] in these tiles.
fn multiply_in(tiles: &Tiles, panels: &mut Vec<Panel>, left: Strips<'_>, weight: &[bf16], sums: &mut [f32]) {
    let (inner, stride) = (left.inner, stride(left.rows));
    let depths = inner.div_ceil(2 * DEPTH);
    let across = weight.len().div_ceil(tiles::COLUMNS * inner);
    panels.resize(panels.len().max(depths * across), Panel([[bf16::ZERO; WIDTH]; tiles::COLUMNS]));
    left.isa.run(Layout { weight, inner, across, panels });
    let mut apart = Vec::new();
    for (at, panels) in panels.chunks(across).take(depths).enumerate() {
        let depth = at * DEPTH..((at + 1) * DEPTH).min(inner.next_multiple_of(FILLED) / 2);
        let become_of = if at == 0 { Sums::New } else { Sums::Added };
        for (sums, panel) in sums.chunks_mut(tiles::COLUMNS * stride).zip(panels) {
            if sums.len() == tiles::COLUMNS * stride {
                add_panel(tiles, left, depth.clone(), panel, sums, become_of);
                continue;
            }
            // The last columns are fewer than the tiles have.
            apart.resize(tiles::COLUMNS * stride, 0.0);
            apart[..sums.len()].copy_from_slice(sums);
            add_panel(tiles, left, depth.clone(), panel, &mut apart, become_of);
            sums.copy_from_slice(&apart[..sums.len()]);
        }
    }
}

/// Lays out a block's weights in panels: `[depths][across][columns][numbers]`
struct Layout<'a> {
    weight: &'a [bf16],
    inner: usize,
    across: usize,
    panels: &'a mut [Panel],
}

impl Kernel for Layout<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let Self { weight, inner, across, panels } = self;
        // The weight is read from its begin to its end, as memory is fastest.
        for (at, column) in weight.chunks_exact(inner).enumerate() {
            for (depth, from) in column.chunks(2 * DEPTH).enumerate() {
                let to = &mut panels[depth * across + at / tiles::COLUMNS].0[at % tiles::COLUMNS];
                let (lines, rest) = from.as_chunks::<{ LINE / size_of::<bf16>() }>();
                let (to_lines, to_rest) = to.split_at_mut(from.len() - rest.len());
                for (to, line) in to_lines.as_chunks_mut().0.iter_mut().zip(lines) {
                    fetch_ahead(line);
                    *to = *line;
                }
                to_rest[..rest.len()].copy_from_slice(rest);
                to_rest[rest.len()..rest.len().next_multiple_of(FILLED)].fill(bf16::ZERO);
            }
        }
    }
}

/// All strips times a panel.
fn add_panel(
    tiles: &Tiles,
    left: Strips<'_>,
    depth: Range<usize>,
    Panel(panel): &Panel,
    sums: &mut [f32],
    become_of: Sums,
) {
    let stride = stride(left.rows);
    let mut strips = left.each().map(|strip| &strip[depth.clone()]);
    let mut at = 0;
    while let Some(first) = strips.next() {
        let sums = &mut sums[at * LANES..];
        match strips.next() {
            Some(second) => tiles.add_products(panel, [first, second], sums, stride, become_of),
            None => tiles.add_products(panel, [first], sums, stride, become_of),
        }
        at += 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::flex::many_rows::{Element, Packed};
    use crate::ops::flex::matrix::Matrix;
    use crate::ops::flex::simd::Isa;
    use crate::ops::flex::team::Threads;

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
            // Used before, for another product.
            let mut panels = vec![Panel([[bf16::ONE; WIDTH]; tiles::COLUMNS]); 2];
            let of_processor = (Isa::best() == Isa::Amx).then(Tiles::of_processor);
            for tiles in [Some(Tiles::Emulated), of_processor].into_iter().flatten() {
                let mut sums = vec![f32::NAN; columns * stride(rows)];
                multiply_in(&tiles, &mut panels, left.all(), &held, &mut sums);
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
