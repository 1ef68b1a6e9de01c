//! One row's block: 32 weights with their scale.

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::{BLOCK, BlockFormat, PANEL};

/// 32 weights of one row, unpacked.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Block {
    /// What a code is multiplied with.
    pub(super) scale: f16,
    /// What is added in [`Q4`](BlockFormat::Q4); without a meaning in [`Q8`](BlockFormat::Q8).
    pub(super) minimum: f16,
    /// One for each weight, below 16 in `Q4`.
    pub(super) codes: [u8; BLOCK],
}

impl Block {
    /// The block that comes nearest to these weights.
    ///
    /// # Errors
    ///
    /// In words, a weight that the format cannot hold.
    pub(super) fn quantize(format: BlockFormat, values: &[f32; BLOCK]) -> Result<Self, String> {
        let finite = values.iter().find(|value| !value.is_finite());
        if let Some(value) = finite {
            return Err(format!("holds {value}"));
        }
        let block = match format {
            BlockFormat::Q8 => Self::quantize_symmetric(values),
            BlockFormat::Q4 => Self::quantize_with_minimum(values),
        };
        if block.scale.is_finite() && block.minimum.is_finite() {
            Ok(block)
        } else {
            let value = values.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap_or_default();
            Err(format!("holds {value}, which {} cannot hold", format.name()))
        }
    }

    fn quantize_symmetric(values: &[f32; BLOCK]) -> Self {
        let peak = values.iter().fold(0.0_f32, |peak, value| peak.max(value.abs()));
        let scale = f16::from_f32(peak / 127.0);
        let inverse = inverse(scale);
        let codes = values.map(|value| (round(value * inverse).clamp(-127.0, 127.0) + 128.0) as u8);
        Self { scale, minimum: f16::ZERO, codes }
    }

    /// The best of a few grids: from the least weight to the largest, one that is a tenth narrower, and for both the line
    /// that fits best (least squares) through the codes that they give.
    fn quantize_with_minimum(values: &[f32; BLOCK]) -> Self {
        let least = values.iter().copied().fold(f32::INFINITY, f32::min);
        let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let range = largest - least;
        let (mut best, mut least_error) = Self::on_grid(values, range / 15.0, least);
        let mut keep_better = |(block, error): (Self, f32)| {
            if error < least_error {
                (best, least_error) = (block, error);
            }
        };
        for shrunk in [0.0, 0.1] {
            let mut grid = Self::on_grid(values, range * (1.0 - shrunk) / 15.0, least + range * shrunk / 2.0);
            for _ in 0..2 {
                let fitted = grid.0.fit(values);
                keep_better(grid);
                let Some((scale, minimum)) = fitted else { break };
                grid = Self::on_grid(values, scale, minimum);
                keep_better(grid.clone());
            }
        }
        best
    }

    /// The weights' nearest neighbours on a grid, and the sum of their errors' squares.
    fn on_grid(values: &[f32; BLOCK], scale: f32, minimum: f32) -> (Self, f32) {
        let (scale, minimum) = (f16::from_f32(scale), f16::from_f32(minimum));
        let (inverse, step, start) = (inverse(scale), scale.to_f32(), minimum.to_f32());
        let codes = values.map(|value| round((value - start) * inverse).clamp(0.0, 15.0));
        let errors = std::array::from_fn::<_, BLOCK, _>(|i| values[i] - start - step * codes[i]);
        (Self { scale, minimum, codes: codes.map(|code| code as u8) }, sum(errors.map(|error| error * error)))
    }

    /// The scale and the minimum that come nearest to the weights with these codes; `None` if no line leads upwards.
    fn fit(&self, values: &[f32; BLOCK]) -> Option<(f32, f32)> {
        let codes = self.codes.map(f32::from);
        let count = BLOCK as f32;
        let (sum_codes, sum_values) = (sum(codes), sum(*values));
        let products = sum(std::array::from_fn(|i| codes[i] * values[i]));
        let squares = sum(codes.map(|code| code * code));
        let scale = (count * products - sum_codes * sum_values) / (count * squares - sum_codes * sum_codes);
        (scale > 0.0).then(|| (scale, (sum_values - scale * sum_codes) / count))
    }

    /// The weights that it stands for.
    #[must_use]
    pub(super) fn values(&self, format: BlockFormat) -> [f32; BLOCK] {
        let (scale, minimum) = (self.scale.to_f32(), self.minimum.to_f32());
        match format {
            BlockFormat::Q8 => self.codes.map(|code| scale * (f32::from(code) - 128.0)),
            BlockFormat::Q4 => self.codes.map(|code| scale * f32::from(code) + minimum),
        }
    }

    /// Puts it into the block of a panel's rows, as the [layout](super#layout) says.
    ///
    /// # Panics
    ///
    /// If there is no such row, or `bytes` are not a block's; in `Q4`, if a code has more than four bits.
    pub(super) fn write(&self, format: BlockFormat, row: usize, bytes: &mut [u8]) {
        assert_eq!(bytes.len(), format.block_bytes(), "the bytes of a block");
        let (scales, rest) = bytes.split_at_mut(2 * PANEL);
        scales[2 * row..][..2].copy_from_slice(&self.scale.to_le_bytes());
        match format {
            BlockFormat::Q8 => {
                for (group, codes) in self.codes.as_chunks::<4>().0.iter().enumerate() {
                    rest[64 * group + 4 * row..][..4].copy_from_slice(codes);
                }
            }
            BlockFormat::Q4 => {
                assert!(self.codes.iter().all(|code| *code < 16), "a code of four bits");
                let (minima, rest) = rest.split_at_mut(2 * PANEL);
                minima[2 * row..][..2].copy_from_slice(&self.minimum.to_le_bytes());
                let (low, high) = self.codes.split_at(BLOCK / 2);
                for (group, (low, high)) in low.chunks_exact(4).zip(high.chunks_exact(4)).enumerate() {
                    for (byte, (low, high)) in
                        rest[64 * group + 4 * row..][..4].iter_mut().zip(low.iter().zip(high))
                    {
                        *byte = low | high << 4;
                    }
                }
            }
        }
    }

    /// Takes it out of the block of a panel's rows.
    ///
    /// # Panics
    ///
    /// If there is no such row, or `bytes` are not a block's.
    #[must_use]
    pub(super) fn read(format: BlockFormat, row: usize, bytes: &[u8]) -> Self {
        assert_eq!(bytes.len(), format.block_bytes(), "the bytes of a block");
        let half = |at: usize| f16::from_le_bytes([bytes[at + 2 * row], bytes[at + 2 * row + 1]]);
        let byte = |codes: usize, k: usize| bytes[codes + 64 * (k / 4) + 4 * row + k % 4];
        match format {
            BlockFormat::Q8 => Self {
                scale: half(0),
                minimum: f16::ZERO,
                codes: std::array::from_fn(|k| byte(2 * PANEL, k)),
            },
            BlockFormat::Q4 => Self {
                scale: half(0),
                minimum: half(2 * PANEL),
                codes: std::array::from_fn(|k| {
                    let both = byte(4 * PANEL, k % (BLOCK / 2));
                    if k < BLOCK / 2 { both & 15 } else { both >> 4 }
                }),
            },
        }
    }
}

/// The weights that the block of a panel's rows stands for, column by column: those of [`Block::values`], a register of
/// rows at once.
#[inline(always)]
pub(super) fn panel_values(format: BlockFormat, bytes: &[u8]) -> [[f32; PANEL]; BLOCK] {
    assert_eq!(bytes.len(), format.block_bytes(), "the bytes of a block");
    let mut values = [[0.0; PANEL]; BLOCK];
    let (scales, rest) = bytes.split_at(2 * PANEL);
    let scales = halves(scales);
    // Each group of four columns is a word of every row.
    let words = |group: &[u8]| -> [u32; PANEL] {
        let words = group.as_chunks::<4>().0;
        std::array::from_fn(|row| u32::from_le_bytes(words[row]))
    };
    match format {
        BlockFormat::Q8 => {
            for (group, columns) in rest.chunks_exact(4 * PANEL).zip(values.chunks_exact_mut(4)) {
                let words = words(group);
                for (at, column) in columns.iter_mut().enumerate() {
                    for row in 0..PANEL {
                        let code = (words[row] >> (8 * at)) & 255;
                        column[row] = scales[row] * (code as i32 as f32 - 128.0);
                    }
                }
            }
        }
        BlockFormat::Q4 => {
            let (minima, codes) = rest.split_at(2 * PANEL);
            let minima = halves(minima);
            let (low, high) = values.split_at_mut(BLOCK / 2);
            let columns = low.chunks_exact_mut(4).zip(high.chunks_exact_mut(4));
            for (group, (low, high)) in codes.chunks_exact(4 * PANEL).zip(columns) {
                let words = words(group);
                for at in 0..4 {
                    for row in 0..PANEL {
                        let code = |shift: usize| ((words[row] >> shift) & 15) as i32 as f32;
                        low[at][row] = scales[row] * code(8 * at) + minima[row];
                        high[at][row] = scales[row] * code(8 * at + 4) + minima[row];
                    }
                }
            }
        }
    }
    values
}

/// A number of every row, in f32.
#[inline(always)]
fn halves(bytes: &[u8]) -> [f32; PANEL] {
    let bytes = bytes.as_chunks::<2>().0;
    let halves: [f16; PANEL] = std::array::from_fn(|row| f16::from_le_bytes(bytes[row]));
    let mut wide = [0.0; PANEL];
    halves.convert_to_f32_slice(&mut wide);
    wide
}

/// What to multiply with in place of a division; 0 where all weights are the same.
fn inverse(scale: f16) -> f32 {
    let scale = scale.to_f32();
    if scale == 0.0 { 0.0 } else { 1.0 / scale }
}

/// The nearest integer to a number below 2²²; of two equally near the even one. Unlike [`f32::round_ties_even`] this is two
/// additions on every processor, and a whole register at once.
fn round(value: f32) -> f32 {
    const SHIFT: f32 = 12_582_912.0;
    (value + SHIFT) - SHIFT
}

/// The sum, eight numbers at a time.
fn sum(values: [f32; BLOCK]) -> f32 {
    let mut sums = [0.0; 8];
    for values in values.as_chunks::<8>().0 {
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += value;
        }
    }
    sums.iter().sum()
}
