//! How large the numbers of a configuration may be.
//!
//! A file may claim anything; numbers far beyond those of any real network would overflow a product or
//! fill the memory with empty layers long before a missing weight is noticed.

use crate::{Error, Result};

/// Layers of a tower or decoder, experts of a mixture.
pub(super) const BLOCKS: usize = 1 << 12;
/// Widths of hidden states and of what is between them.
pub(super) const WIDTH: usize = 1 << 20;
/// Rows of an embedding table, positions of a context.
pub(super) const ROWS: usize = 1 << 26;
/// Edges of pictures and patches, in pixels.
pub(super) const EDGE: usize = 1 << 14;

/// Refuses what is no number above 0 in single precision.
pub(super) fn check_positive(key: &str, value: f64) -> Result<()> {
    let single = value as f32;
    if single > 0.0 && single.is_finite() {
        return Ok(());
    }
    Err(Error::config(key, "a number above 0 in single precision", value))
}

/// Refuses 0 and what exceeds `most`.
pub(super) fn check(key: &str, value: usize, most: usize) -> Result<()> {
    if value == 0 {
        return Err(Error::config(key, "at least 1", value));
    }
    if value > most {
        return Err(Error::config(key, format!("at most {most}"), value));
    }
    Ok(())
}
