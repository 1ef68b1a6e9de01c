//! Sixteen numbers at a time, in the widest instructions that the processor has.
//!
//! A [`Kernel`] is written once, on any [`Lanes`]; [`Isa::run`] compiles it for each set of instructions and enters the
//! one that was asked for. Lanes are loaded from arrays, so that no address needs checking.

mod portable;
mod rate;
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
pub(super) mod tiles;
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod x86;

use half::{bf16, f16};

use super::elementwise::exp;

use portable::Portable;
pub(crate) use rate::bf16_rate;

/// Has the cache fetch what lies a page behind `here`, if the processor can be told. Weights are read from end to end, and
/// by itself a processor does not fetch beyond the page that it reads.
#[inline(always)]
pub(super) fn fetch_ahead<T>(here: &T) {
    #[cfg(target_arch = "x86_64")]
    x86::fetch_ahead(here);
    #[cfg(not(target_arch = "x86_64"))]
    let _ = here;
}

/// Numbers in one [`Lanes`].
pub(super) const LANES: usize = 16;

/// A set of instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Isa {
    /// AVX-512 with bf16, and [tiles] for products of many rows: Intel's server processors since 2023.
    #[cfg(target_arch = "x86_64")]
    Amx,
    /// AVX-512 with its sums of two products of bf16: Intel since Cooper Lake, AMD since Zen 4.
    #[cfg(target_arch = "x86_64")]
    Avx512Bf16,
    /// AVX-512.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// AVX2, FMA and F16C: every x86 processor since 2015 or so.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// What the compiler makes of plain arrays, for the target that it compiles for.
    Portable,
}

impl Isa {
    /// The best that this processor has.
    pub(super) fn best() -> Self {
        Self::all().next().unwrap_or(Self::Portable)
    }

    /// All that this processor has, best first.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let known = [Self::Amx, Self::Avx512Bf16, Self::Avx512, Self::Avx2, Self::Portable];
        #[cfg(not(target_arch = "x86_64"))]
        let known = [Self::Portable];
        known.into_iter().filter(|isa| isa.is_present())
    }

    fn is_present(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = || {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("fma")
                    && is_x86_feature_detected!("f16c")
            };
            let avx512 = || {
                avx2()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
            };
            let avx512_bf16 = || avx512() && is_x86_feature_detected!("avx512bf16");
            match self {
                Self::Amx => avx512_bf16() && tiles::are_present(),
                Self::Avx512Bf16 => avx512_bf16(),
                Self::Avx512 => avx512(),
                Self::Avx2 => avx2(),
                Self::Portable => true,
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        true
    }

    /// Whether it multiplies pairs of bf16: [`Lanes::add_pair_products`].
    pub(super) fn multiplies_bf16(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return matches!(self, Self::Avx512Bf16 | Self::Amx);
        #[cfg(not(target_arch = "x86_64"))]
        false
    }

    /// Whether it multiplies pairs of bf16 in [`tiles`].
    #[cfg(target_arch = "x86_64")]
    pub(super) fn has_tiles(self) -> bool {
        self == Self::Amx
    }

    /// Runs a kernel in these instructions.
    ///
    /// # Panics
    ///
    /// If the processor does not have them.
    pub(super) fn run<K: Kernel>(self, kernel: K) {
        assert!(self.is_present(), "this processor has no {self:?}");
        match self {
            // SAFETY: the processor has what the functions are compiled for.
            #[cfg(target_arch = "x86_64")]
            #[allow(unsafe_code)]
            Self::Avx512Bf16 | Self::Amx => unsafe { x86::run_avx512_bf16(kernel) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            #[allow(unsafe_code)]
            Self::Avx512 => unsafe { x86::run_avx512(kernel) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            #[allow(unsafe_code)]
            Self::Avx2 => unsafe { x86::run_avx2(kernel) },
            Self::Portable => kernel.run::<Portable>(),
        }
    }
}

/// The first sixteen numbers, or as many as there are and zeros.
#[inline(always)]
pub(super) fn filled_up<T: Copy + Default>(numbers: &[T]) -> [T; LANES] {
    numbers.first_chunk().copied().unwrap_or_else(|| {
        let mut filled = [T::default(); LANES];
        filled[..numbers.len()].copy_from_slice(numbers);
        filled
    })
}

/// The bits of a number rounded to bf16, as [`bf16::from_f32`] has them, without a branch: of many numbers, compilers make
/// vector instructions of it.
#[inline(always)]
pub(super) fn bf16_bits(x: f32) -> u32 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
    if x.is_nan() { bits >> 16 | 0x40 } else { rounded }
}

/// [`Lanes::round_to_pairs`] number by number.
#[inline(always)]
fn round_to_pairs<V: Lanes>(low: V, high: V) -> V {
    let mut values = [[0.0; LANES]; 2];
    low.store(&mut values[0]);
    high.store(&mut values[1]);
    let mut pairs = [0; LANES];
    for (pair, [low, high]) in pairs.iter_mut().zip(values.as_flattened().as_chunks().0) {
        *pair = bf16_bits(*low) | bf16_bits(*high) << 16;
    }
    V::load_bits(&pairs)
}

/// [`Lanes::paired`] number by number.
#[inline(always)]
fn paired<V: Lanes>(low: V, high: V) -> V {
    let mut values = [[0.0; LANES]; 2];
    low.store(&mut values[0]);
    high.store(&mut values[1]);
    let mut pairs = [0; LANES];
    for (at, pair) in pairs.iter_mut().enumerate() {
        *pair = bf16_bits(values[0][at]) | bf16_bits(values[1][at]) << 16;
    }
    V::load_bits(&pairs)
}

/// Work that is the same in all instructions.
pub(super) trait Kernel {
    /// Does it. Has to be `#[inline(always)]`, as all that it calls and that names `V`: what is not inlined is compiled
    /// for the oldest processor.
    fn run<V: Lanes>(self);
}

/// Sixteen numbers in f32.
pub(super) trait Lanes: Copy {
    /// Whether there are registers for 24 sums beside what they are made of; else for 6.
    const MANY: bool;

    /// The same number in each.
    fn splat(x: f32) -> Self;
    /// Reads f32.
    fn load(from: &[f32; LANES]) -> Self;
    /// Reads bf16.
    fn widen_bf16(from: &[bf16; LANES]) -> Self;
    /// Reads f16.
    fn widen_f16(from: &[f16; LANES]) -> Self;
    /// Reads the bits of f32.
    fn load_bits(from: &[u32; LANES]) -> Self;
    /// Writes f32.
    fn store(self, to: &mut [f32; LANES]);
    /// Writes the bits of f32.
    fn store_bits(self, to: &mut [u32; LANES]);
    /// `self + x`
    fn add(self, x: Self) -> Self;
    /// `self + a ⊙ b`; rounded once where that costs nothing.
    fn add_product(self, a: Self, b: Self) -> Self;
    /// `self ⊙ x`
    fn times(self, x: Self) -> Self;
    /// `1 / self`
    fn reciprocal(self) -> Self;
    /// The larger of each two; if one is NaN, either.
    fn max(self, x: Self) -> Self;
    /// `eˣ` as [`exp`] has it, to two units in the last place.
    #[inline(always)]
    fn exp(self) -> Self {
        let mut values = [0.0; LANES];
        self.store(&mut values);
        for x in &mut values {
            *x = exp(*x);
        }
        Self::load(&values)
    }
    /// `1 / (1 + e⁻ˣ)`
    #[inline(always)]
    fn sigmoid(self) -> Self {
        self.times(Self::splat(-1.0)).exp().add(Self::splat(1.0)).reciprocal()
    }
    /// Their sum.
    fn sum(self) -> f32;
    /// Rows and columns of a square swapped.
    #[inline(always)]
    fn transpose(rows: [Self; LANES]) -> [Self; LANES] {
        let mut square = [[0.0; LANES]; LANES];
        for (to, row) in square.iter_mut().zip(rows) {
            row.store(to);
        }
        let mut columns = rows;
        for (i, column) in columns.iter_mut().enumerate() {
            let mut values = [0.0; LANES];
            for (value, row) in values.iter_mut().zip(&square) {
                *value = row[i];
            }
            *column = Self::load(&values);
        }
        columns
    }
    /// The bits of 32 numbers, `low` before `high`, rounded to bf16, two neighbours in each lane, the first in the low half.
    #[inline(always)]
    fn round_to_pairs(low: Self, high: Self) -> Self {
        round_to_pairs(low, high)
    }
    /// Each number of `self` and of `high` rounded to bf16 in one lane, that of `self` in the low half.
    #[inline(always)]
    fn paired(self, high: Self) -> Self {
        paired(self, high)
    }
    /// `self + a₀ b₀ + a₁ b₁`, where each lane of `a`, and `b`, hold two bf16, the first in the low half.
    ///
    /// # Panics
    ///
    /// Unless the instructions [multiply bf16](Isa::multiplies_bf16).
    fn add_pair_products(self, a: &[u32; LANES], b: u32) -> Self;
}
