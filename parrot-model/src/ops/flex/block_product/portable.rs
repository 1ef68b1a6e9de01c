//! The kernel for every processor.

use half::f16;

use super::activations::ActivationBlock;
use crate::quantization::{BlockFormat, PANEL};

/// `output ← panel · activations`, for each row of a tile.
///
/// # Shapes
///
/// - activations: `[blocks, rows]`
/// - output: `[rows, 16]`
pub(super) fn panel_product(
    format: BlockFormat,
    panel: &[u8],
    activations: &[ActivationBlock],
    output: &mut [[f32; PANEL]],
) {
    output.fill([0.0; PANEL]);
    let rows = output.len();
    for (bytes, activations) in panel.chunks_exact(format.block_bytes()).zip(activations.chunks_exact(rows)) {
        let halves = bytes.as_chunks().0;
        let half = |at: usize| f16::from_le_bytes(halves[at]).to_f32();
        let scales: [f32; PANEL] = std::array::from_fn(half);
        for (x, output) in activations.iter().zip(output.iter_mut()) {
            match format {
                BlockFormat::Q8 => {
                    let sums = q8_sums(&bytes[2 * PANEL..], x);
                    for (row, output) in output.iter_mut().enumerate() {
                        *output += scales[row] * x.scale * (sums[row] - 128 * x.sum) as f32;
                    }
                }
                BlockFormat::Q4 => {
                    let sums = q4_sums(&bytes[4 * PANEL..], x);
                    for (row, output) in output.iter_mut().enumerate() {
                        let minimum = half(PANEL + row);
                        *output += x.scale * (scales[row] * sums[row] as f32 + minimum * x.sum as f32);
                    }
                }
            }
        }
    }
}

/// Products of the codes of a block's 16 rows.
fn q8_sums(codes: &[u8], x: &ActivationBlock) -> [i32; PANEL] {
    let mut sums = [0; PANEL];
    for (codes, x) in codes.as_chunks::<64>().0.iter().zip(x.codes.as_chunks::<4>().0) {
        for (sum, codes) in sums.iter_mut().zip(codes.as_chunks::<4>().0) {
            *sum += dot(*codes, *x);
        }
    }
    sums
}

fn q4_sums(codes: &[u8], x: &ActivationBlock) -> [i32; PANEL] {
    let mut sums = [0; PANEL];
    let (low, high) = x.codes.split_at(x.codes.len() / 2);
    let x = low.as_chunks::<4>().0.iter().zip(high.as_chunks::<4>().0);
    for (codes, (low, high)) in codes.as_chunks::<64>().0.iter().zip(x) {
        for (sum, codes) in sums.iter_mut().zip(codes.as_chunks::<4>().0) {
            *sum += dot(codes.map(|code| code & 15), *low) + dot(codes.map(|code| code >> 4), *high);
        }
    }
    sums
}

fn dot(codes: [u8; 4], x: [i8; 4]) -> i32 {
    codes.into_iter().zip(x).map(|(code, x)| i32::from(code) * i32::from(x)).sum()
}
