//! Lanes in plain arrays, for which the compiler chooses the instructions.

use half::{bf16, f16};

use super::{LANES, Lanes};

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
        // The exponent's bias is 15 there and 127 here; multiplying corrects it for subnormals as well. Infinities and NaN have
        // all bits of the exponent, here as there.
        const BIAS: f32 = f32::from_bits((127 + 127 - 15) << 23);
        Self::from_fn(|i| {
            let bits = u32::from(from[i].to_bits());
            let magnitude = f32::from_bits((bits & 0x7fff) << 13) * BIAS;
            let special = if bits & 0x7c00 == 0x7c00 { 0x7f80_0000 } else { 0 };
            f32::from_bits(magnitude.to_bits() | special | (bits & 0x8000) << 16)
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
    fn times(self, x: Self) -> Self {
        Self::from_fn(|i| self.0[i] * x.0[i])
    }

    #[inline(always)]
    fn reciprocal(self) -> Self {
        Self::from_fn(|i| 1.0 / self.0[i])
    }

    #[inline(always)]
    fn max(self, x: Self) -> Self {
        Self::from_fn(|i| if self.0[i] > x.0[i] { self.0[i] } else { x.0[i] })
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
