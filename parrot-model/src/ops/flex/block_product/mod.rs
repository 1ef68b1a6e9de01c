//! Products with weights in [blocks](crate::quantization) of 8 or 4 bits.
//!
//! The activations become blocks of 8 bits as well. So a product multiplies bytes, and multiplies every 32 of them by both
//! scales, as in llama.cpp; everything else stays in f32. A [`Kernel`] multiplies a panel of 16 weight rows with up to eight
//! rows of activations. Weights are never unpacked in memory, however many rows of activations there are.

#[cfg(target_arch = "aarch64")]
mod aarch64;
mod activations;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::sync::LazyLock;

use super::team::{Threads, for_each_chunk};
use crate::quantization::{BLOCK, BlockFormat, BlockMatrix, PANEL};
use activations::{ActivationBlock, TILE, quantize, tiles};

/// From this many rows on, threads share the rows, each with all weights; with fewer they share the weights.
const SHARE_ROWS_FROM: usize = 32;

/// Bytes of weights that stay in the second-level cache while all rows of a thread pass over them.
const WEIGHTS_AT_ONCE: usize = 128 << 10;

/// Products with fewer weights than this stay on the calling thread: to hand a part over takes as long.
const PARALLEL_FROM: usize = 1 << 16;

/// The instructions that products are computed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kernel {
    /// AVX-512 with its products of bytes (VNNI).
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "aarch64")]
    Neon,
    Portable,
}

impl Kernel {
    /// All that this processor has, the fastest first.
    fn available() -> Vec<Self> {
        let mut kernels = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            let has_avx512 = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
            if has_avx512 && is_x86_feature_detected!("avx512vnni") {
                kernels.push(Self::Avx512Vnni);
            }
            let has_avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            if has_avx2 && is_x86_feature_detected!("f16c") {
                kernels.push(Self::Avx2);
            }
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon") {
            kernels.push(Self::Neon);
        }
        kernels.push(Self::Portable);
        kernels
    }

    /// `output ← panel · activations`, for each row of a tile.
    ///
    /// # Shapes
    ///
    /// - activations: `[blocks, rows]`
    /// - output: `[rows, 16]`
    fn panel_product(
        self,
        format: BlockFormat,
        panel: &[u8],
        activations: &[ActivationBlock],
        output: &mut [[f32; PANEL]],
    ) {
        match self {
            // SAFETY: `available` has only kernels whose instructions the processor has, and there is no other way to one.
            #[cfg(target_arch = "x86_64")]
            #[allow(unsafe_code)]
            Self::Avx512Vnni => unsafe { x86::panel_product_avx512(format, panel, activations, output) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            #[allow(unsafe_code)]
            Self::Avx2 => unsafe { x86::panel_product_avx2(format, panel, activations, output) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            #[allow(unsafe_code)]
            Self::Neon => unsafe { aarch64::panel_product_neon(format, panel, activations, output) },
            Self::Portable => portable::panel_product(format, panel, activations, output),
        }
    }
}

/// The fastest kernel of this processor.
static KERNEL: LazyLock<Kernel> = LazyLock::new(|| Kernel::available()[0]);

/// `x · weightᵀ`
///
/// # Shapes
///
/// - x: `[rows, columns]`
/// - weight: `[outputs, columns]`
/// - output: `[rows, outputs]`
///
/// # Panics
///
/// If x is not a whole number of rows.
pub(super) fn product(x: &[f32], weight: BlockMatrix<'_>) -> Vec<f32> {
    product_by(*KERNEL, x, weight)
}

fn product_by(kernel: Kernel, x: &[f32], weight: BlockMatrix<'_>) -> Vec<f32> {
    let [outputs, columns] = weight.dims();
    let rows = x.len().checked_div(columns).unwrap_or(0);
    if outputs == 0 || rows == 0 {
        return Vec::new();
    }
    assert_eq!(x.len(), rows * columns, "rows of {columns}");
    if rows < SHARE_ROWS_FROM {
        return few_rows(kernel, x, rows, weight);
    }
    let mut output = vec![0.0; rows * outputs];
    let share = rows.div_ceil(2 * rayon::current_num_threads()).next_multiple_of(TILE);
    for_each_chunk(Threads::All, &mut output, share * outputs, |at, output| {
        let rows = output.len() / outputs;
        many_rows(kernel, &x[at * share * columns..][..rows * columns], weight, output);
    });
    output
}

/// Threads share the panels.
fn few_rows(kernel: Kernel, x: &[f32], rows: usize, weight: BlockMatrix<'_>) -> Vec<f32> {
    let [outputs, columns] = weight.dims();
    let blocks = columns.div_ceil(BLOCK);
    let activations = quantize(x, columns);
    // [panels, rows]
    let mut sums = vec![[0.0; PANEL]; outputs.div_ceil(PANEL) * rows];
    let panels: Vec<&[u8]> = weight.panels().collect();
    let one_panel = |panel: &[u8], sums: &mut [[f32; PANEL]]| {
        let (mut activations, mut sums) = (activations.as_slice(), sums);
        for tile in tiles(rows) {
            let (these, rest) = activations.split_at(tile * blocks);
            let (output, rest_sums) = std::mem::take(&mut sums).split_at_mut(tile);
            (activations, sums) = (rest, rest_sums);
            kernel.panel_product(weight.format(), panel, these, output);
        }
    };
    let threads = Threads::for_work(outputs * columns, PARALLEL_FROM);
    let share = panels.len().div_ceil(4 * rayon::current_num_threads());
    for_each_chunk(threads, &mut sums, share * rows, |at, sums| {
        let panels = panels[at * share..].iter();
        panels.zip(sums.chunks_exact_mut(rows)).for_each(|(panel, sums)| one_panel(panel, sums));
    });
    if rows == 1 {
        let mut output = sums.into_flattened();
        output.truncate(outputs);
        return output;
    }
    let mut output = vec![0.0; rows * outputs];
    for (row, output) in output.chunks_exact_mut(outputs).enumerate() {
        for (output, sums) in output.chunks_mut(PANEL).zip(sums.chunks_exact(rows)) {
            output.copy_from_slice(&sums[row][..output.len()]);
        }
    }
    output
}

/// Multiplies on this thread: as many panels as the cache holds, with each tile of rows.
fn many_rows(kernel: Kernel, x: &[f32], weight: BlockMatrix<'_>, output: &mut [f32]) {
    let [outputs, columns] = weight.dims();
    let blocks = columns.div_ceil(BLOCK);
    let activations = quantize(x, columns);
    let panels: Vec<&[u8]> = weight.panels().collect();
    let at_once = (WEIGHTS_AT_ONCE / weight.format().panel_bytes(columns)).max(1);
    for (group, panels) in panels.chunks(at_once).enumerate() {
        let mut first_row = 0;
        for tile in tiles(x.len() / columns) {
            let activations = &activations[first_row * blocks..][..tile * blocks];
            for (panel_index, panel) in panels.iter().enumerate() {
                let mut sums = [[0.0; PANEL]; TILE];
                kernel.panel_product(weight.format(), panel, activations, &mut sums[..tile]);
                let first_output = (group * at_once + panel_index) * PANEL;
                let width = PANEL.min(outputs - first_output);
                for (row, sums) in sums[..tile].iter().enumerate() {
                    output[(first_row + row) * outputs + first_output..][..width]
                        .copy_from_slice(&sums[..width]);
                }
            }
            first_row += tile;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantization::testing::{encode, normal};

    /// The product of what the blocks on both sides stand for.
    fn expected(x: &[f32], weight: BlockMatrix<'_>) -> Vec<f64> {
        let [outputs, columns] = weight.dims();
        let mut row_of_weights = vec![0.0; columns];
        let mut output = vec![0.0; x.len() / columns * outputs];
        for at in 0..outputs {
            weight.decode_row(at, &mut row_of_weights);
            for (row, x) in x.chunks_exact(columns).enumerate() {
                let blocks = quantize(x, columns);
                let products = row_of_weights.iter().enumerate().map(|(column, weight)| {
                    let block = &blocks[column / BLOCK];
                    f64::from(block.scale) * f64::from(block.codes[column % BLOCK]) * f64::from(*weight)
                });
                output[row * outputs + at] = products.sum();
            }
        }
        output
    }

    #[test]
    fn every_kernel_computes_what_the_blocks_stand_for() {
        for format in BlockFormat::ALL {
            for (rows, outputs, columns) in [
                (1, 1, 1),
                (1, 16, 32),
                (1, 100, 333),
                (2, 33, 64),
                (7, 40, 70),
                (15, 17, 31),
                (33, 50, 96),
                (70, 5, 130),
                (1, 700, 128),
                (3, 600, 160),
            ] {
                let x = normal(rows * columns, 7);
                let bytes = encode(format, &normal(outputs * columns, 11), columns);
                let weight = BlockMatrix::new(format, [outputs, columns], &bytes);
                let expected = expected(&x, weight);
                for kernel in Kernel::available() {
                    let found = product_by(kernel, &x, weight);
                    assert_eq!(found.len(), expected.len());
                    for (found, expected) in found.iter().zip(&expected) {
                        let error = (f64::from(*found) - expected).abs();
                        let bound = 1e-5 * (columns as f64).sqrt();
                        assert!(
                            error < bound,
                            "{kernel:?} {format:?} [{rows}, {outputs}, {columns}]: {error}"
                        );
                    }
                }
            }
        }
    }

    /// The largest codes on both sides: nothing may overflow or saturate on the way.
    #[test]
    fn extremes_do_not_saturate() {
        let columns = 64;
        for (format, weights) in [(BlockFormat::Q8, [1.0, -1.0]), (BlockFormat::Q4, [0.0, 15.0])] {
            let weights: Vec<f32> = (0..16 * columns).map(|i| weights[usize::from(i % 32 > 1)]).collect();
            let bytes = encode(format, &weights, columns);
            let weight = BlockMatrix::new(format, [16, columns], &bytes);
            for sign in [1.0, -1.0] {
                let x = vec![sign; columns];
                let expected = expected(&x, weight);
                for kernel in Kernel::available() {
                    for (found, expected) in product_by(kernel, &x, weight).iter().zip(&expected) {
                        let error = (f64::from(*found) - expected).abs();
                        assert!(error < 1e-3, "{kernel:?} {format:?}: {found}, not {expected}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_product_is_near_the_one_in_f32() {
        let (rows, outputs, columns) = (40, 64, 512);
        let (x, weights) = (normal(rows * columns, 3), normal(outputs * columns, 4));
        for (format, limit) in [(BlockFormat::Q8, 0.012), (BlockFormat::Q4, 0.075)] {
            let bytes = encode(format, &weights, columns);
            let found = product(&x, BlockMatrix::new(format, [outputs, columns], &bytes));
            let (mut error, mut square) = (0.0, 0.0);
            for (x, found) in x.chunks_exact(columns).zip(found.chunks_exact(outputs)) {
                for (weights, found) in weights.chunks_exact(columns).zip(found) {
                    let exact: f32 = x.iter().zip(weights).map(|(x, weight)| x * weight).sum();
                    error += (exact - found).powi(2);
                    square += exact.powi(2);
                }
            }
            let relative = (error / square).sqrt();
            assert!(relative < limit, "{format:?}: {relative}");
        }
    }

    #[test]
    fn empty_products() {
        let empty = |dims: [usize; 2]| BlockMatrix::new(BlockFormat::Q8, dims, &[]);
        assert!(product(&[], empty([0, 32])).is_empty());
        assert!(product(&[1.0; 64], empty([0, 32])).is_empty());
        assert!(product(&[], empty([4, 0])).is_empty());
    }
}
