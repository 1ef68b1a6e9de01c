//! Lanes in AVX-512 and in AVX2.
//!
//! Every `unsafe` in these `impl`s rests on this: only kernels call the methods, and [`Isa::run`](super::Isa::run) enters
//! a kernel only after the processor was found to have the instructions. Arrays are as long as what is read or written.

use std::arch::x86_64::*;
use std::f32::consts::LOG2_E;

use half::{bf16, f16};

use super::super::elementwise::{EXP, LN_2_HIGH, LN_2_LOW};
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

/// How far: nearer comes too late, farther is gone from the cache before it is read, and belongs to another thread more often.
const AHEAD: usize = 4 << 10;

#[inline(always)]
pub(super) fn fetch_ahead<T>(here: &T) {
    let ahead = std::ptr::from_ref(here).wrapping_byte_add(AHEAD);
    // SAFETY: every processor has the instruction, which reads nothing into the program, whatever lies there.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(ahead.cast()) }
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
    fn times(self, x: Self) -> Self {
        // SAFETY: see the module.
        Self(unsafe { _mm512_mul_ps(self.0, x.0) })
    }

    #[inline(always)]
    fn reciprocal(self) -> Self {
        // SAFETY: see the module.
        Self(unsafe { _mm512_div_ps(_mm512_set1_ps(1.0), self.0) })
    }

    #[inline(always)]
    fn max(self, x: Self) -> Self {
        // SAFETY: see the module.
        Self(unsafe { _mm512_max_ps(self.0, x.0) })
    }

    #[inline(always)]
    fn exp(self) -> Self {
        // As the scalar one, but that the last step reaches down to 0 and up to infinity by itself.
        let constant = Self::splat;
        // SAFETY: see the module.
        unsafe {
            let n = _mm512_roundscale_ps::<0>(_mm512_mul_ps(self.0, constant(LOG2_E).0));
            let r = _mm512_fnmadd_ps(n, constant(LN_2_HIGH).0, self.0);
            let r = _mm512_fnmadd_ps(n, constant(LN_2_LOW).0, r);
            let mut p = constant(EXP[0]).0;
            for coefficient in &EXP[1..] {
                p = _mm512_fmadd_ps(p, r, constant(*coefficient).0);
            }
            let exp_r = _mm512_add_ps(_mm512_fmadd_ps(_mm512_mul_ps(r, r), p, r), constant(1.0).0);
            let y = _mm512_scalef_ps(exp_r, n);
            // What is infinite has no n.
            let low = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(self.0, constant(-87.0).0);
            let high = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(self.0, constant(88.3).0);
            let y = _mm512_mask_mov_ps(y, low, constant(0.0).0);
            Self(_mm512_mask_mov_ps(y, high, constant(f32::INFINITY).0))
        }
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        // SAFETY: see the module.
        unsafe { _mm512_reduce_add_ps(self.0) }
    }

    #[inline(always)]
    fn transpose(rows: [Self; LANES]) -> [Self; LANES] {
        // Pairs of rows by single numbers, of those by two, then by four in a register's quarters, and by eight.
        let x = rows.map(|row| row.0);
        // SAFETY: see the module.
        unsafe {
            let mut y = x;
            for i in (0..LANES).step_by(2) {
                y[i] = _mm512_unpacklo_ps(x[i], x[i + 1]);
                y[i + 1] = _mm512_unpackhi_ps(x[i], x[i + 1]);
            }
            // `z[4 q + i]`: of each quarter's column i, rows 4 q to 4 q + 3.
            let mut z = y;
            for q in (0..LANES).step_by(4) {
                let [a, b, c, d] = [y[q], y[q + 1], y[q + 2], y[q + 3]].map(|y| _mm512_castps_pd(y));
                z[q] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
                z[q + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
                z[q + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
                z[q + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
            }
            let mut columns = rows;
            for i in 0..4 {
                let low = _mm512_shuffle_f32x4::<0x88>(z[i], z[4 + i]);
                let low_odd = _mm512_shuffle_f32x4::<0xdd>(z[i], z[4 + i]);
                let high = _mm512_shuffle_f32x4::<0x88>(z[8 + i], z[12 + i]);
                let high_odd = _mm512_shuffle_f32x4::<0xdd>(z[8 + i], z[12 + i]);
                columns[i] = Self(_mm512_shuffle_f32x4::<0x88>(low, high));
                columns[4 + i] = Self(_mm512_shuffle_f32x4::<0x88>(low_odd, high_odd));
                columns[8 + i] = Self(_mm512_shuffle_f32x4::<0xdd>(low, high));
                columns[12 + i] = Self(_mm512_shuffle_f32x4::<0xdd>(low_odd, high_odd));
            }
            columns
        }
    }

    #[inline(always)]
    fn round_to_pairs(low: Self, high: Self) -> Self {
        if !BF16 {
            return super::round_to_pairs(low, high);
        }
        // SAFETY: see the module. The type has the same bits.
        unsafe {
            let pairs = _mm512_cvtne2ps_pbh(high.0, low.0);
            Self(_mm512_castsi512_ps(std::mem::transmute::<__m512bh, __m512i>(pairs)))
        }
    }

    #[inline(always)]
    fn paired(self, high: Self) -> Self {
        if !BF16 {
            return super::paired(self, high);
        }
        // SAFETY: see the module. The type that the instruction makes has the same bits.
        unsafe {
            let [low, high] = [self, high].map(|x| {
                let rounded = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(x.0));
                _mm512_cvtepu16_epi32(rounded)
            });
            Self(_mm512_castsi512_ps(_mm512_or_si512(low, _mm512_slli_epi32::<16>(high))))
        }
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
    fn times(self, x: Self) -> Self {
        // SAFETY: see the module.
        unsafe { Self(_mm256_mul_ps(self.0, x.0), _mm256_mul_ps(self.1, x.1)) }
    }

    #[inline(always)]
    fn reciprocal(self) -> Self {
        let one = Self::splat(1.0);
        // SAFETY: see the module.
        unsafe { Self(_mm256_div_ps(one.0, self.0), _mm256_div_ps(one.1, self.1)) }
    }

    #[inline(always)]
    fn max(self, x: Self) -> Self {
        // SAFETY: see the module.
        unsafe { Self(_mm256_max_ps(self.0, x.0), _mm256_max_ps(self.1, x.1)) }
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
