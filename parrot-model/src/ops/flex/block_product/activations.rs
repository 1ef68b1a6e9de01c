//! Rows of activations in 8 bits, as the products with quantised weights read them.

use pulp::Arch;

use crate::quantization::BLOCK;

/// Rows that a kernel takes at once at most: as many sums as leave room for the rest in 32 registers.
pub(super) const TILE: usize = 8;

/// As many activations as a block has weights: `scale · codes`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ActivationBlock {
    pub(super) codes: [i8; BLOCK],
    pub(super) scale: f32,
    /// The sum of the codes.
    pub(super) sum: i32,
}

impl ActivationBlock {
    const ZERO: Self = Self { codes: [0; BLOCK], scale: 0.0, sum: 0 };

    /// The nearest multiples of a 127th of the largest.
    #[inline(always)]
    fn quantize(values: &[f32; BLOCK]) -> Self {
        let mut peaks = [0.0_f32; 16];
        for values in values.as_chunks::<16>().0 {
            for (peak, value) in peaks.iter_mut().zip(values) {
                *peak = peak.max(value.abs());
            }
        }
        let peak = peaks.into_iter().fold(0.0_f32, f32::max);
        let inverse = if peak > 0.0 { 127.0 / peak } else { 0.0 };
        // Adding this rounds to the nearest integer and leaves it in the number's lowest bits.
        const SHIFT: f32 = 12_582_912.0;
        let codes = values.map(|value| (value * inverse + SHIFT).to_bits() as i8);
        Self { codes, scale: peak / 127.0, sum: codes.iter().map(|code| i32::from(*code)).sum() }
    }
}

/// Sizes of the tiles that rows are taken in: 8, and then what halves of it are left.
pub(super) fn tiles(rows: usize) -> impl Iterator<Item = usize> {
    let mut left = rows;
    std::iter::from_fn(move || {
        let size = (0..).map(|halvings| TILE >> halvings).find(|size| *size <= left)?;
        left -= size;
        (size > 0).then_some(size)
    })
}

/// Activations in blocks, tile by tile; in a tile block by block, and of each block row by row.
///
/// # Shapes
///
/// - x: `[rows, columns]`
pub(super) fn quantize(x: &[f32], columns: usize) -> Vec<ActivationBlock> {
    let (rows, blocks) = (x.len() / columns, columns.div_ceil(BLOCK));
    let mut output = vec![ActivationBlock::ZERO; rows * blocks];
    Arch::new().dispatch(|| {
        let (mut x, mut output) = (x, output.as_mut_slice());
        for tile in tiles(rows) {
            let (rows, rest) = x.split_at(tile * columns);
            let (into, rest_output) = std::mem::take(&mut output).split_at_mut(tile * blocks);
            (x, output) = (rest, rest_output);
            for (row, values) in rows.chunks_exact(columns).enumerate() {
                quantize_row(values, into[row..].iter_mut().step_by(tile));
            }
        }
    });
    output
}

#[inline(always)]
fn quantize_row<'a>(values: &[f32], blocks: impl Iterator<Item = &'a mut ActivationBlock>) {
    let (whole, rest) = values.as_chunks();
    let mut blocks = blocks;
    for (values, block) in whole.iter().zip(&mut blocks) {
        *block = ActivationBlock::quantize(values);
    }
    if let Some(block) = blocks.next() {
        let mut values = [0.0; BLOCK];
        values[..rest.len()].copy_from_slice(rest);
        *block = ActivationBlock::quantize(&values);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantization::testing::normal;

    #[test]
    fn rows_are_taken_in_tiles() {
        for (rows, expected) in
            [(0, vec![]), (1, vec![1]), (7, vec![4, 2, 1]), (8, vec![8]), (19, vec![8, 8, 2, 1])]
        {
            assert_eq!(tiles(rows).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn activations_come_back_within_half_a_step() {
        let (rows, columns) = (11, 70);
        let x = normal(rows * columns, 5);
        let blocks = quantize(&x, columns);
        let mut first = 0;
        for tile in tiles(rows) {
            for row in 0..tile {
                for column in 0..columns {
                    let block = &blocks[first * 3 + column / BLOCK * tile + row];
                    let found = block.scale * f32::from(block.codes[column % BLOCK]);
                    let expected = x[(first + row) * columns + column];
                    assert!((found - expected).abs() <= block.scale * 0.5001, "{found} {expected}");
                }
            }
            first += tile;
        }
        for block in &blocks {
            assert_eq!(block.sum, block.codes.iter().map(|code| i32::from(*code)).sum::<i32>());
            assert!(block.codes.iter().any(|code| code.unsigned_abs() == 127));
        }
    }

    #[test]
    fn zeros_stay_zeros() {
        assert_eq!(quantize(&[0.0; 40], 40), [ActivationBlock::ZERO; 2]);
        assert!(quantize(&[], 40).is_empty());
    }
}
