//! Tile registers, Intel's AMX: server processors since 2023.
//!
//! A tile has 16 rows of 64 bytes: 16 × 32 numbers in bf16, or 16 × 16 sums in f32. One instruction multiplies two of the
//! former and adds to one of the latter, as much work as 32 instructions of AVX-512.
//!
//! Linux gives a process tiles when it asks for them. Whether they compute what they should is tried once, against
//! [`Tiles::Emulated`]; where they do not, they count as missing.

use std::arch::asm;
use std::arch::x86_64::__cpuid_count;
use std::marker::PhantomData;
use std::sync::LazyLock;

use half::bf16;

use super::LANES;

/// Columns of sums that [`Tiles::add_products`] adds to: three tiles, so that no instruction waits for the one before.
pub(in crate::ops::flex) const COLUMNS: usize = 3 * LANES;
/// A product's depth is a multiple of so many pairs.
pub(in crate::ops::flex) const DEPTH: usize = LANES;

/// Whether this processor has tiles, and this process may use them.
pub(super) fn are_present() -> bool {
    static ARE_PRESENT: LazyLock<bool> =
        LazyLock::new(|| has_instructions() && is_permitted() && compute_rightly());
    *ARE_PRESENT
}

/// Whether there are tiles, and products of bf16 in them.
fn has_instructions() -> bool {
    const TILES: u32 = 1 << 24;
    const BF16_PRODUCTS: u32 = 1 << 22;
    // Leaf 7 is there wherever AVX-512 is.
    #[allow(unused_unsafe, reason = "`__cpuid_count` is safe in newer compilers")]
    // SAFETY: every x86-64 processor has the instruction.
    let features = is_x86_feature_detected!("avx512f").then(|| unsafe { __cpuid_count(7, 0) }.edx);
    features.is_some_and(|features| features & (TILES | BF16_PRODUCTS) == TILES | BF16_PRODUCTS)
}

/// Asks the system for the state of tiles.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn is_permitted() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_long = 18;
    // SAFETY: this reads and writes no memory of the process.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
}

/// Other systems have other ways of asking.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn is_permitted() -> bool {
    false
}

/// Small whole numbers, whose products and sums are exact in any order.
fn compute_rightly() -> bool {
    const DEPTH: usize = 2 * self::DEPTH;
    let number = |at: usize, modulus: usize| bf16::from_f32((at % modulus) as f32 - 3.0).to_bits();
    let pair = |at: usize, modulus| {
        u32::from(number(2 * at, modulus)) | u32::from(number(2 * at + 1, modulus)) << 16
    };
    let panel: [[u32; DEPTH]; COLUMNS] =
        std::array::from_fn(|column| std::array::from_fn(|i| pair(column * DEPTH + i, 7)));
    let strip: [[u32; LANES]; DEPTH] =
        std::array::from_fn(|i| std::array::from_fn(|row| pair(i * LANES + row, 11)));
    let [found, expected] = [Tiles::of_processor(), Tiles::Emulated].map(|tiles| {
        let mut sums = vec![1.0; COLUMNS * 2 * LANES];
        tiles.add_products(&panel, &strip, &mut sums, 2 * LANES);
        sums
    });
    found == expected
}

/// What multiplies in tiles.
pub(in crate::ops::flex) enum Tiles {
    /// The processor's registers, laid out for [`Tiles::add_products`].
    Processor(Configured),
    /// The same, number by number.
    Emulated,
}

impl Tiles {
    /// Those of a processor that [has them](are_present). They are this thread's, and free again when they are dropped.
    pub(in crate::ops::flex) fn of_processor() -> Self {
        Self::Processor(Configured::new())
    }

    /// `sums[column, row] += panel[column] · strip[.., row]`
    ///
    /// # Shapes
    ///
    /// - panel: `[COLUMNS, depth or more]`, pairs of bf16, the first in the low half
    /// - strip: `[depth, LANES]`, pairs alike
    /// - sums: `[COLUMNS, stride]`, of which each column's first `LANES` are used
    ///
    /// # Panics
    ///
    /// If the shapes are not these, or the depth is no multiple of [`DEPTH`].
    #[inline(always)]
    pub(in crate::ops::flex) fn add_products<const WIDTH: usize>(
        &self,
        panel: &[[u32; WIDTH]; COLUMNS],
        strip: &[[u32; LANES]],
        sums: &mut [f32],
        stride: usize,
    ) {
        assert!(strip.len() <= WIDTH && strip.len().is_multiple_of(DEPTH), "the depth of a product in tiles");
        assert!(stride >= LANES && sums.len() >= (COLUMNS - 1) * stride + LANES, "room for sums of tiles");
        match self {
            Self::Processor(_) if strip.is_empty() => {}
            // SAFETY: the tiles are configured, and everything is as long as was asserted.
            Self::Processor(Configured(_)) => unsafe {
                add_products(panel, strip, sums.as_mut_ptr(), stride);
            },
            Self::Emulated => {
                for (column, panel) in panel.iter().enumerate() {
                    for (row, sum) in sums[column * stride..][..LANES].iter_mut().enumerate() {
                        for (a, b) in panel.iter().zip(strip) {
                            let [a, b] = [*a, b[row]].map(numbers);
                            *sum += a[0] * b[0];
                            *sum += a[1] * b[1];
                        }
                    }
                }
            }
        }
    }
}

/// The two numbers of a pair.
fn numbers(pair: u32) -> [f32; 2] {
    [f32::from_bits(pair << 16), f32::from_bits(pair & 0xffff_0000)]
}

/// That this thread's tiles have 16 rows of 64 bytes each.
pub(in crate::ops::flex) struct Configured(PhantomData<*const ()>);

impl Configured {
    fn new() -> Self {
        /// What `ldtilecfg` reads.
        #[repr(C, align(64))]
        struct Layout {
            palette: u8,
            start_row: u8,
            reserved: [u8; 14],
            bytes_per_row: [u16; 16],
            rows: [u8; 16],
        }
        let each = |at: usize, size| if at < 8 { size } else { 0 };
        let layout = Layout {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            bytes_per_row: std::array::from_fn(|at| each(at, 64)),
            rows: std::array::from_fn(|at| each(at, 16) as u8),
        };
        // SAFETY: whoever asks has found that there are tiles. They are used by nobody else: the compiler knows none, and a
        // thread has one of these at a time.
        unsafe {
            asm!(
                "ldtilecfg [{layout}]",
                layout = in(reg) &raw const layout,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack, preserves_flags, readonly),
            );
        }
        Self(PhantomData)
    }
}

impl Drop for Configured {
    fn drop(&mut self) {
        // SAFETY: nothing of them is needed any more.
        unsafe {
            asm!(
                "tilerelease",
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack, preserves_flags, nomem),
            );
        }
    }
}

/// [`Tiles::add_products`] in the processor's tiles: 0 to 2 have the sums, 3 some of the strip, 4 to 6 some of the panel.
///
/// # Safety
///
/// The tiles must be [`Configured`], the strip not empty, a multiple of [`DEPTH`] and no longer than the panel is wide, and
/// behind `sums` there must be room for `[COLUMNS - 1, stride]` and [`LANES`] more.
#[inline(always)]
unsafe fn add_products<const WIDTH: usize>(
    panel: &[[u32; WIDTH]; COLUMNS],
    strip: &[[u32; LANES]],
    sums: *mut f32,
    stride: usize,
) {
    // SAFETY: three tiles of sums, and of the panel 16 rows apart, are COLUMNS columns; a step goes on by DEPTH pairs.
    unsafe {
        asm!(
            "tileloadd tmm0, [{sums_0} + {sums_stride}]",
            "tileloadd tmm1, [{sums_1} + {sums_stride}]",
            "tileloadd tmm2, [{sums_2} + {sums_stride}]",
            "2:",
            "tileloadd tmm3, [{strip} + {strip_stride}]",
            "tileloadd tmm4, [{panel} + {panel_stride}]",
            "tdpbf16ps tmm0, tmm4, tmm3",
            "tileloadd tmm5, [{panel} + {panel_stride} + {panel_tile}]",
            "tdpbf16ps tmm1, tmm5, tmm3",
            "tileloadd tmm6, [{panel} + {panel_stride} + 2 * {panel_tile}]",
            "tdpbf16ps tmm2, tmm6, tmm3",
            "add {panel}, 64",
            "add {strip}, 1024",
            "dec {steps}",
            "jnz 2b",
            "tilestored [{sums_0} + {sums_stride}], tmm0",
            "tilestored [{sums_1} + {sums_stride}], tmm1",
            "tilestored [{sums_2} + {sums_stride}], tmm2",
            sums_0 = in(reg) sums,
            sums_1 = in(reg) sums.add(LANES * stride),
            sums_2 = in(reg) sums.add(2 * LANES * stride),
            sums_stride = in(reg) stride * size_of::<f32>(),
            strip = inout(reg) strip.as_ptr() => _,
            strip_stride = in(reg) size_of::<[u32; LANES]>(),
            panel = inout(reg) panel.as_ptr() => _,
            panel_stride = in(reg) size_of::<[u32; WIDTH]>(),
            panel_tile = const LANES * size_of::<[u32; WIDTH]>(),
            steps = inout(reg) strip.len() / DEPTH => _,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_has_its_first_number_in_the_low_half() {
        let [a, b] = [1.5, -2.0].map(|x| u32::from(bf16::from_f32(x).to_bits()));
        assert_eq!(numbers(a | b << 16), [1.5, -2.0]);
    }

    #[test]
    fn emulated_tiles_are_their_formula() {
        let one = u32::from(bf16::ONE.to_bits());
        let mut panel = [[0; 2 * DEPTH]; COLUMNS];
        // The first number of the pair at 17, and the second at 3.
        (panel[40][17], panel[40][3]) = (one, one << 16);
        let mut strip = [[0; LANES]; 2 * DEPTH];
        (strip[17][5], strip[3][5], strip[4][5]) = (one, (one << 16) | one, one);
        let mut sums = vec![0.5; COLUMNS * LANES];
        Tiles::Emulated.add_products(&panel, &strip, &mut sums, LANES);
        let changed: Vec<_> = sums.iter().enumerate().filter(|(_, sum)| **sum != 0.5).collect();
        assert_eq!(changed, [(40 * LANES + 5, &2.5)]);
    }
}
