//! Sixteen numbers at a time, in the widest instructions that the processor has.
//!
//! A [`Kernel`] is written once, on any [`Lanes`]; [`Isa::run`] compiles it for each set of instructions and enters the
//! one that was asked for. This is the only file that names instructions. Lanes are loaded from arrays, so that no
//! address needs checking.

use half::{bf16, f16};

/// Numbers in one [`Lanes`].
pub(super) const LANES: usize = 16;

/// A set of instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Isa {
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
        let known = [Self::Avx512Bf16, Self::Avx512, Self::Avx2, Self::Portable];
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
            match self {
                Self::Avx512Bf16 => avx512() && is_x86_feature_detected!("avx512bf16"),
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
        return self == Self::Avx512Bf16;
        #[cfg(not(target_arch = "x86_64"))]
        false
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
            Self::Avx512Bf16 => unsafe { x86::run_avx512_bf16(kernel) },
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
    /// Their sum.
    fn sum(self) -> f32;
    /// `self + a₀ b₀ + a₁ b₁`, where each lane of `a`, and `b`, hold two bf16, the first in the low half.
    ///
    /// # Panics
    ///
    /// Unless the instructions [multiply bf16](Isa::multiplies_bf16).
    fn add_pair_products(self, a: &[u32; LANES], b: u32) -> Self;
}

/// Plain numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Portable([f32; LANES]);

impl Portable {
    #[inline(always)]
    fn from_fn(f: impl Fn(usize) -> f32) -> Self {
        let mut values = [0.0; LANES];
        for (i, value) in values.iter_mut().enumerate() {
            *value = f(i);
        }
        Self(values)
    }
}

impl Lanes for Portable {
    const MANY: bool = false;

    #[inline(always)]
    fn splat(x: f32) -> Self {
        Self([x; LANES])
    }

    #[inline(always)]
    fn load(from: &[f32; LANES]) -> Self {
        Self(*from)
    }

    #[inline(always)]
    fn widen_bf16(from: &[bf16; LANES]) -> Self {
        Self::from_fn(|i| f32::from_bits(u32::from(from[i].to_bits()) << 16))
    }

    #[inline(always)]
    fn widen_f16(from: &[f16; LANES]) -> Self {
        // The exponent's bias is 15 there and 127 here; multiplying corrects it for subnormals as well. Infinities and
        // NaN, which no weight is, would come out as numbers.
        const BIAS: f32 = f32::from_bits((127 + 127 - 15) << 23);
        Self::from_fn(|i| {
            let bits = u32::from(from[i].to_bits());
            let magnitude = f32::from_bits((bits & 0x7fff) << 13) * BIAS;
            f32::from_bits(magnitude.to_bits() | (bits & 0x8000) << 16)
        })
    }

    #[inline(always)]
    fn load_bits(from: &[u32; LANES]) -> Self {
        Self::from_fn(|i| f32::from_bits(from[i]))
    }

    #[inline(always)]
    fn store(self, to: &mut [f32; LANES]) {
        *to = self.0;
    }

    #[inline(always)]
    fn store_bits(self, to: &mut [u32; LANES]) {
        for (to, x) in to.iter_mut().zip(self.0) {
            *to = x.to_bits();
        }
    }

    #[inline(always)]
    fn add(self, x: Self) -> Self {
        Self::from_fn(|i| self.0[i] + x.0[i])
    }

    #[inline(always)]
    fn add_product(self, a: Self, b: Self) -> Self {
        if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
            Self::from_fn(|i| a.0[i].mul_add(b.0[i], self.0[i]))
        } else {
            Self::from_fn(|i| a.0[i] * b.0[i] + self.0[i])
        }
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        let mut x = self.0;
        for half in [8, 4, 2, 1] {
            for i in 0..half {
                x[i] += x[i + half];
            }
        }
        x[0]
    }

    #[inline(always)]
    fn add_pair_products(self, _: &[u32; LANES], _: u32) -> Self {
        unreachable!("asked of instructions that multiply bf16")
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod x86 {
    //! In each `impl`, what every `unsafe` rests on: its methods are called by kernels alone, and those are entered by
    //! [`Isa::run`](super::Isa::run), once the processor was found to have the instructions. Arrays are as long as what
    //! is read or written.

    use std::arch::x86_64::*;

    use half::{bf16, f16};

    use super::{Kernel, LANES, Lanes};

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16,avx2,fma,f16c")]
    pub(super) fn run_avx512_bf16<K: Kernel>(kernel: K) {
        kernel.run::<Avx512<true>>();
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,fma,f16c")]
    pub(super) fn run_avx512<K: Kernel>(kernel: K) {
        kernel.run::<Avx512<false>>();
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) fn run_avx2<K: Kernel>(kernel: K) {
        kernel.run::<Avx2>();
    }

    /// Which number comes to each half of a lane.
    const UPPER_HALVES: [u16; 2 * LANES] = {
        let mut order = [0; 2 * LANES];
        let mut half = 0;
        while half < order.len() {
            order[half] = half as u16 / 2;
            half += 1;
        }
        order
    };

    /// One register; `BF16`: with products of bf16.
    #[derive(Clone, Copy)]
    struct Avx512<const BF16: bool>(__m512);

    impl<const BF16: bool> Lanes for Avx512<BF16> {
        const MANY: bool = true;

        #[inline(always)]
        fn splat(x: f32) -> Self {
            // SAFETY: see the module.
            Self(unsafe { _mm512_set1_ps(x) })
        }

        #[inline(always)]
        fn load(from: &[f32; LANES]) -> Self {
            // SAFETY: see the module.
            Self(unsafe { _mm512_loadu_ps(from.as_ptr()) })
        }

        #[inline(always)]
        fn widen_bf16(from: &[bf16; LANES]) -> Self {
            // SAFETY: see the module.
            unsafe {
                // Each to the upper half of its lane, in one step; the lower halves are zero.
                let bits = _mm512_castsi256_si512(_mm256_loadu_si256(from.as_ptr().cast()));
                let order = _mm512_loadu_si512(UPPER_HALVES.as_ptr().cast());
                let wide = _mm512_maskz_permutexvar_epi16(0xaaaa_aaaa, order, bits);
                Self(_mm512_castsi512_ps(wide))
            }
        }

        #[inline(always)]
        fn widen_f16(from: &[f16; LANES]) -> Self {
            // SAFETY: see the module.
            unsafe { Self(_mm512_cvtph_ps(_mm256_loadu_si256(from.as_ptr().cast()))) }
        }

        #[inline(always)]
        fn load_bits(from: &[u32; LANES]) -> Self {
            // SAFETY: see the module.
            Self(unsafe { _mm512_loadu_ps(from.as_ptr().cast()) })
        }

        #[inline(always)]
        fn store(self, to: &mut [f32; LANES]) {
            // SAFETY: see the module.
            unsafe { _mm512_storeu_ps(to.as_mut_ptr(), self.0) }
        }

        #[inline(always)]
        fn store_bits(self, to: &mut [u32; LANES]) {
            // SAFETY: see the module.
            unsafe { _mm512_storeu_ps(to.as_mut_ptr().cast(), self.0) }
        }

        #[inline(always)]
        fn add(self, x: Self) -> Self {
            // SAFETY: see the module.
            Self(unsafe { _mm512_add_ps(self.0, x.0) })
        }

        #[inline(always)]
        fn add_product(self, a: Self, b: Self) -> Self {
            // SAFETY: see the module.
            Self(unsafe { _mm512_fmadd_ps(a.0, b.0, self.0) })
        }

        #[inline(always)]
        fn sum(self) -> f32 {
            // SAFETY: see the module.
            unsafe { _mm512_reduce_add_ps(self.0) }
        }

        #[inline(always)]
        fn add_pair_products(self, a: &[u32; LANES], b: u32) -> Self {
            assert!(BF16, "asked of instructions that multiply bf16");
            // SAFETY: see the module. The type that the instruction wants has the same bits.
            unsafe {
                let a = _mm512_loadu_si512(a.as_ptr().cast());
                let b = _mm512_set1_epi32(b.cast_signed());
                Self(_mm512_dpbf16_ps(
                    self.0,
                    std::mem::transmute::<__m512i, __m512bh>(a),
                    std::mem::transmute::<__m512i, __m512bh>(b),
                ))
            }
        }
    }

    /// Two registers, the first eight numbers in the first.
    #[derive(Clone, Copy)]
    struct Avx2(__m256, __m256);

    impl Lanes for Avx2 {
        const MANY: bool = false;

        #[inline(always)]
        fn splat(x: f32) -> Self {
            // SAFETY: see the module.
            let x = unsafe { _mm256_set1_ps(x) };
            Self(x, x)
        }

        #[inline(always)]
        fn load(from: &[f32; LANES]) -> Self {
            // SAFETY: see the module.
            unsafe { Self(_mm256_loadu_ps(from.as_ptr()), _mm256_loadu_ps(from.as_ptr().add(8))) }
        }

        #[inline(always)]
        fn widen_bf16(from: &[bf16; LANES]) -> Self {
            // SAFETY: see the module.
            let widen = |at: usize| unsafe {
                let bits = _mm_loadu_si128(from.as_ptr().add(at).cast());
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(bits)))
            };
            Self(widen(0), widen(8))
        }

        #[inline(always)]
        fn widen_f16(from: &[f16; LANES]) -> Self {
            // SAFETY: see the module.
            let widen = |at: usize| unsafe { _mm256_cvtph_ps(_mm_loadu_si128(from.as_ptr().add(at).cast())) };
            Self(widen(0), widen(8))
        }

        #[inline(always)]
        fn load_bits(from: &[u32; LANES]) -> Self {
            let from = from.as_ptr().cast::<f32>();
            // SAFETY: see the module.
            unsafe { Self(_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))) }
        }

        #[inline(always)]
        fn store(self, to: &mut [f32; LANES]) {
            // SAFETY: see the module.
            unsafe {
                _mm256_storeu_ps(to.as_mut_ptr(), self.0);
                _mm256_storeu_ps(to.as_mut_ptr().add(8), self.1);
            }
        }

        #[inline(always)]
        fn store_bits(self, to: &mut [u32; LANES]) {
            let to = to.as_mut_ptr().cast::<f32>();
            // SAFETY: see the module.
            unsafe {
                _mm256_storeu_ps(to, self.0);
                _mm256_storeu_ps(to.add(8), self.1);
            }
        }

        #[inline(always)]
        fn add(self, x: Self) -> Self {
            // SAFETY: see the module.
            unsafe { Self(_mm256_add_ps(self.0, x.0), _mm256_add_ps(self.1, x.1)) }
        }

        #[inline(always)]
        fn add_product(self, a: Self, b: Self) -> Self {
            // SAFETY: see the module.
            unsafe { Self(_mm256_fmadd_ps(a.0, b.0, self.0), _mm256_fmadd_ps(a.1, b.1, self.1)) }
        }

        #[inline(always)]
        fn sum(self) -> f32 {
            // SAFETY: see the module.
            unsafe {
                let eight = _mm256_add_ps(self.0, self.1);
                let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
                let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
                _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
            }
        }

        #[inline(always)]
        fn add_pair_products(self, _: &[u32; LANES], _: u32) -> Self {
            unreachable!("asked of instructions that multiply bf16")
        }
    }
}
