//! A weight as it lies in memory, in its own width.

use std::ops::Range;

use half::{bf16, f16};

use super::simd::{LANES, Lanes};

/// `[outputs, inputs]`, row after row: as a linear layer's weight is stored.
#[derive(Debug, Clone, Copy)]
pub(super) enum Weight<'a> {
    /// Four bytes a number.
    F32(&'a [f32]),
    /// Two, with the range of f32.
    Bf16(&'a [bf16]),
    /// Two, with more digits.
    F16(&'a [f16]),
}

impl<'a> Weight<'a> {
    /// Its numbers.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::Bf16(values) => values.len(),
            Self::F16(values) => values.len(),
        }
    }

    /// Its bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::F32(values) => size_of_val(*values),
            Self::Bf16(values) => size_of_val(*values),
            Self::F16(values) => size_of_val(*values),
        }
    }

    /// The numbers in this range.
    ///
    /// # Panics
    ///
    /// If there are no such.
    pub(super) fn slice(self, range: Range<usize>) -> Self {
        match self {
            Self::F32(values) => Self::F32(&values[range]),
            Self::Bf16(values) => Self::Bf16(&values[range]),
            Self::F16(values) => Self::F16(&values[range]),
        }
    }
}

/// A number of a weight.
pub(super) trait Number: Copy {
    /// The number in f32, exactly.
    fn wide(self) -> f32;
    /// Sixteen of them in f32.
    fn widen<V: Lanes>(from: &[Self; LANES]) -> V;
}

impl Number for f32 {
    #[inline(always)]
    fn wide(self) -> f32 {
        self
    }

    #[inline(always)]
    fn widen<V: Lanes>(from: &[Self; LANES]) -> V {
        V::load(from)
    }
}

impl Number for bf16 {
    #[inline(always)]
    fn wide(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    #[inline(always)]
    fn widen<V: Lanes>(from: &[Self; LANES]) -> V {
        V::widen_bf16(from)
    }
}

impl Number for f16 {
    #[inline(always)]
    fn wide(self) -> f32 {
        self.to_f32()
    }

    #[inline(always)]
    fn widen<V: Lanes>(from: &[Self; LANES]) -> V {
        V::widen_f16(from)
    }
}
