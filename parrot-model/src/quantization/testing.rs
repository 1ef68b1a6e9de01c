//! What tests of quantised matrices share.

use super::BlockFormat;

/// A whole matrix in blocks.
pub(crate) fn encode(format: BlockFormat, values: &[f32], columns: usize) -> Vec<u8> {
    format.encode(values, [values.len() / columns, columns]).unwrap()
}

/// Numbers that are nearly normal, always the same.
pub(crate) fn normal(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    (0..count).map(|_| (0..12).map(|_| uniform()).sum()).collect()
}
