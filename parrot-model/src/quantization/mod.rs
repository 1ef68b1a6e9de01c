//! Matrices in 8 or 4 bits a weight: how they lie in memory.
//!
//! 32 weights of a row that follow one another are a *block*. They share a scale, and in 4 bits also a minimum, both in f16:
//!
//! | format | a weight is | bits a weight | relative error of normal weights |
//! |---|---|---|---|
//! | [`Q8`](BlockFormat::Q8) | scale · (code − 128), codes 1 to 255 | 8.5 | 0.5 % |
//! | [`Q4`](BlockFormat::Q4) | scale · code + minimum, codes 0 to 15 | 5 | 7.1 % |
//!
//! The words, here and in `ops` and [`checkpoint`](crate::checkpoint): *to quantise* is to turn numbers into blocks; a
//! matrix *in blocks* has a [`BlockFormat`], `q8` or `q4`; the weights of a *quantised model*'s products are in blocks.
//!
//! A minimum costs half a bit and makes the error smaller. It also makes every block of llama.cpp's q4_0 and q4_1 one of ours.
//!
//! # Layout
//!
//! 16 rows lie together as a *panel*, so that one 64-byte register holds four weights of each of them and one instruction
//! multiplies them with four activations. The last panel's missing rows are zeros; the last block's missing columns have the code
//! 0 and are multiplied with 0. A panel is its blocks one after the other, and a block of 16 rows is
//!
//! | bytes in q8 | bytes in q4 | what |
//! |---|---|---|
//! | 0..32 | 0..32 | the rows' scales, f16, little-endian |
//! | | 32..64 | the rows' minima, f16, little-endian |
//! | 32..544 | 64..320 | the codes |
//!
//! The code of row `r` and column `k` of the block is, in q8, the byte `64 · (k / 4) + 4 · r + k % 4` of the codes. In q4
//! columns `k` and `k + 16` share the byte `64 · (k / 4) + 4 · r + k % 4` for `k` below 16: the former has its lower half.

mod block;
#[cfg(test)]
pub(crate) mod testing;

use std::ops::Range;

use half::f16;
use rayon::prelude::*;

use block::{Block, panel_values};

/// Weights of a block.
pub(crate) const BLOCK: usize = 32;
/// Rows of a panel.
pub(crate) const PANEL: usize = 16;

/// How a block's weights are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlockFormat {
    /// 8 bits a weight and a scale.
    Q8,
    /// 4 bits a weight, a scale and a minimum.
    Q4,
}

impl BlockFormat {
    /// Every format, the most precise first.
    pub const ALL: [Self; 2] = [Self::Q8, Self::Q4];

    /// `q8` or `q4`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Q8 => "q8",
            Self::Q4 => "q4",
        }
    }

    /// Bytes of a block of all rows of a panel.
    #[must_use]
    pub(crate) const fn block_bytes(self) -> usize {
        match self {
            Self::Q8 => PANEL * (2 + BLOCK),
            Self::Q4 => PANEL * (2 + 2 + BLOCK / 2),
        }
    }

    /// Bytes of 16 rows that are so wide.
    #[must_use]
    pub(crate) const fn panel_bytes(self, columns: usize) -> usize {
        columns.div_ceil(BLOCK) * self.block_bytes()
    }

    /// Bytes of a whole matrix.
    #[must_use]
    pub(crate) const fn matrix_bytes(self, [rows, columns]: [usize; 2]) -> usize {
        rows.div_ceil(PANEL) * self.panel_bytes(columns)
    }

    /// Packs up to 16 rows into a panel.
    ///
    /// # Shapes
    ///
    /// - rows: `[up to 16, columns]`
    ///
    /// # Errors
    ///
    /// In words, a weight that the format cannot hold: NaN, infinite, too large for a scale in f16.
    ///
    /// # Panics
    ///
    /// If there are more rows, or `panel` is not [`panel_bytes`](Self::panel_bytes) long.
    pub(crate) fn encode_panel(self, rows: &[f32], columns: usize, panel: &mut [u8]) -> Result<(), String> {
        assert_eq!(panel.len(), self.panel_bytes(columns), "the bytes of a panel");
        assert!(rows.len() <= PANEL * columns, "a panel has {PANEL} rows");
        panel.fill(0);
        if columns == 0 {
            return Ok(());
        }
        for (row, values) in rows.chunks_exact(columns).enumerate() {
            for (values, bytes) in values.chunks(BLOCK).zip(panel.chunks_exact_mut(self.block_bytes())) {
                let block = match values.as_array() {
                    Some(values) => Block::quantize(self, values)?,
                    None => {
                        // What is missing stands for the last weight, so that it does not widen the block's range.
                        let mut padded = [values[values.len() - 1]; BLOCK];
                        padded[..values.len()].copy_from_slice(values);
                        let mut block = Block::quantize(self, &padded)?;
                        block.codes[values.len()..].fill(0);
                        block
                    }
                };
                block.write(self, row, bytes);
            }
        }
        Ok(())
    }

    /// Packs 32 weights that are coded already into row `row` of a panel's block; `minimum` is without a meaning in `Q8`.
    ///
    /// # Panics
    ///
    /// If there is no such row, or `block` are not a block's bytes; in `Q4`, if a code has more than four bits.
    pub(crate) fn pack(self, scale: f16, minimum: f16, codes: [u8; BLOCK], row: usize, block: &mut [u8]) {
        Block { scale, minimum, codes }.write(self, row, block);
    }

    /// Packs a whole matrix, on all threads.
    ///
    /// # Shapes
    ///
    /// - values: `[rows, columns]`
    ///
    /// # Errors
    ///
    /// As [`encode_panel`](Self::encode_panel).
    ///
    /// # Panics
    ///
    /// If there are more or fewer values.
    pub(crate) fn encode(self, values: &[f32], [rows, columns]: [usize; 2]) -> Result<Vec<u8>, String> {
        assert_eq!(values.len(), rows * columns, "the values of a matrix of [{rows}, {columns}]");
        let mut bytes = vec![0; self.matrix_bytes([rows, columns])];
        let panels = bytes.par_chunks_exact_mut(self.panel_bytes(columns).max(1));
        let rows_of_panels = values.par_chunks((PANEL * columns).max(1));
        let problem = rows_of_panels
            .zip(panels)
            .find_map_first(|(rows, panel)| self.encode_panel(rows, columns, panel).err());
        problem.map_or(Ok(bytes), Err)
    }
}

/// A matrix in blocks, wherever it lies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockMatrix<'a> {
    format: BlockFormat,
    rows: usize,
    columns: usize,
    bytes: &'a [u8],
}

impl<'a> BlockMatrix<'a> {
    /// `[rows, columns]` in these bytes.
    ///
    /// # Panics
    ///
    /// If there are more or fewer bytes.
    #[must_use]
    pub(crate) fn new(format: BlockFormat, [rows, columns]: [usize; 2], bytes: &'a [u8]) -> Self {
        let expected = format.matrix_bytes([rows, columns]);
        assert_eq!(
            bytes.len(),
            expected,
            "the bytes of a matrix of [{rows}, {columns}] in {}",
            format.name()
        );
        Self { format, rows, columns, bytes }
    }

    /// How its weights are coded.
    #[must_use]
    pub(crate) fn format(&self) -> BlockFormat {
        self.format
    }

    /// `[rows, columns]`
    #[must_use]
    pub(crate) fn dims(&self) -> [usize; 2] {
        [self.rows, self.columns]
    }

    /// Its panels, of 16 rows each, the first first.
    pub(crate) fn panels(&self) -> std::slice::ChunksExact<'a, u8> {
        // A matrix without columns has no bytes, and a chunk has to have some.
        self.bytes.chunks_exact(self.format.panel_bytes(self.columns).max(1))
    }

    /// A row's weights.
    ///
    /// # Panics
    ///
    /// If there is no such row, or `output` is not as long as it.
    pub(crate) fn decode_row(&self, row: usize, output: &mut [f32]) {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        assert_eq!(output.len(), self.columns, "a row of {}", self.columns);
        let panel_bytes = self.format.panel_bytes(self.columns);
        let panel = &self.bytes[row / PANEL * panel_bytes..][..panel_bytes];
        for (bytes, output) in panel.chunks_exact(self.format.block_bytes()).zip(output.chunks_mut(BLOCK)) {
            let values = Block::read(self.format, row % PANEL, bytes).values(self.format);
            output.copy_from_slice(&values[..output.len()]);
        }
    }

    /// The weights of some rows and columns, column by column.
    ///
    /// # Shapes
    ///
    /// - output: `[columns, rows]`, the rows filled up to whole panels
    ///
    /// # Panics
    ///
    /// If there are no such rows or columns, they do not begin with a panel and a block, or `output` has no room for them.
    #[inline(always)]
    pub(crate) fn decode_columns(&self, rows: Range<usize>, columns: Range<usize>, output: &mut [f32]) {
        assert!(rows.end <= self.rows && rows.start.is_multiple_of(PANEL), "rows {rows:?} of {}", self.rows);
        let known = columns.end <= self.columns && columns.start.is_multiple_of(BLOCK);
        assert!(known, "columns {columns:?} of {}", self.columns);
        let stride = rows.len().next_multiple_of(PANEL);
        let panel_bytes = self.format.panel_bytes(self.columns);
        let block_bytes = self.format.block_bytes();
        for (at, panel) in (rows.start / PANEL..rows.end.div_ceil(PANEL)).enumerate() {
            let panel = &self.bytes[panel * panel_bytes..][..panel_bytes];
            let blocks = panel[columns.start / BLOCK * block_bytes..].chunks_exact(block_bytes);
            for (block, output) in blocks.zip(output[..columns.len() * stride].chunks_mut(BLOCK * stride)) {
                let values = panel_values(self.format, block);
                for (values, output) in values.iter().zip(output.chunks_exact_mut(stride)) {
                    output[PANEL * at..][..PANEL].copy_from_slice(values);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{encode, normal};
    use super::*;

    fn relative_error(format: BlockFormat, values: &[f32], columns: usize) -> f64 {
        let bytes = encode(format, values, columns);
        let matrix = BlockMatrix::new(format, [values.len() / columns, columns], &bytes);
        let mut row = vec![0.0; columns];
        let (mut error, mut square) = (0.0, 0.0);
        for (index, values) in values.chunks(columns).enumerate() {
            matrix.decode_row(index, &mut row);
            for (value, decoded) in values.iter().zip(&row) {
                error += f64::from(value - decoded).powi(2);
                square += f64::from(*value).powi(2);
            }
        }
        (error / square).sqrt()
    }

    #[test]
    fn normal_weights_are_as_near_as_the_table_says() {
        let values = normal(64 * 1024, 1);
        for (format, expected) in [(BlockFormat::Q8, 0.0051..0.0054), (BlockFormat::Q4, 0.070..0.072)] {
            let error = relative_error(format, &values, 1024);
            assert!(expected.contains(&error), "{format:?} {error}");
        }
    }

    #[test]
    fn odd_sizes_are_padded() {
        for (rows, columns) in [(1, 1), (16, 32), (17, 33), (5, 100), (40, 31)] {
            let values = normal(rows * columns, 2);
            assert!(relative_error(BlockFormat::Q8, &values, columns) < 0.007, "[{rows}, {columns}]");
            assert!(relative_error(BlockFormat::Q4, &values, columns) < 0.1, "[{rows}, {columns}]");
        }
        assert_eq!(BlockFormat::Q4.matrix_bytes([17, 33]), 2 * 2 * 320);
        assert_eq!(BlockMatrix::new(BlockFormat::Q8, [3, 0], &[]).panels().count(), 0);
    }

    #[test]
    fn columns_are_those_of_the_rows() {
        for format in BlockFormat::ALL {
            for [rows, columns] in [[1, 1], [16, 32], [37, 100], [64, 31], [50, 160]] {
                let bytes = encode(format, &normal(rows * columns, 3), columns);
                let matrix = BlockMatrix::new(format, [rows, columns], &bytes);
                for (some_rows, some_columns) in [
                    (0..rows, 0..columns),
                    (0..rows.min(16), 0..columns.min(64)),
                    (rows / 16 * 16..rows, columns / 32 * 32..columns),
                ] {
                    let stride = some_rows.len().next_multiple_of(PANEL);
                    let mut found = vec![f32::NAN; stride * some_columns.len()];
                    matrix.decode_columns(some_rows.clone(), some_columns.clone(), &mut found);
                    let mut row = vec![0.0; columns];
                    for (at, index) in some_rows.enumerate() {
                        matrix.decode_row(index, &mut row);
                        let found = found.iter().skip(at).step_by(stride);
                        assert!(
                            found.eq(&row[some_columns.clone()]),
                            "{format:?} [{rows}, {columns}] row {index}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn what_lies_on_the_grid_changes_no_bit() {
        // Sixteen values evenly apart, and the multiples of a power of two.
        let values: Vec<f32> = (0..64).map(|i| -3.0 + 0.25 * (i * 7 % 16) as f32).collect();
        assert_eq!(relative_error(BlockFormat::Q4, &values, 32), 0.0);
        let values: Vec<f32> = (0..64).map(|i| (i * 53 % 255) as f32 - 127.0).collect();
        let values: Vec<f32> = values.chunks(32).flat_map(|half| [&[127.0], &half[1..]].concat()).collect();
        assert_eq!(relative_error(BlockFormat::Q8, &values, 32), 0.0);
        for value in [0.0, 1.0, -0.125] {
            assert_eq!(relative_error(BlockFormat::Q4, &[value; 32], 32).max(0.0), 0.0, "{value}");
        }
    }

    #[test]
    fn what_a_block_cannot_hold_is_refused() {
        for (value, expected) in [
            (f32::NAN, "holds NaN"),
            (f32::INFINITY, "holds inf"),
            (1e8, "holds 100000000, which q8 cannot hold"),
        ] {
            let mut values = [0.5; 40];
            values[37] = value;
            let error = BlockFormat::Q8.encode_panel(&values, 40, &mut [0; 2 * 544]).unwrap_err();
            assert_eq!(error, expected);
        }
    }
}
