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

/// Columns of sums that [`Tiles::add_products`] adds to: two tiles. With two strips they are four, so that as many tiles are
/// read as are multiplied, and no instruction waits for the one before.
pub(in crate::ops::flex) const COLUMNS: usize = 2 * LANES;
/// A product's depth is a multiple of so many pairs.
pub(in crate::ops::flex) const DEPTH: usize = LANES;

/// What a round of [`Tiles::multiply_in_registers`] multiplies and adds.
pub(super) const OPERATIONS_OF_ROUND: f64 = (4 * LANES * LANES * 4 * DEPTH) as f64;

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
    let number = |at: usize, modulus: usize| bf16::from_f32((at % modulus) as f32 - 3.0);
    let pair = |at: usize, modulus| {
        let [low, high] = [2 * at, 2 * at + 1].map(|at| u32::from(number(at, modulus).to_bits()));
        low | high << 16
    };
    let panel: [[bf16; 2 * DEPTH]; COLUMNS] =
        std::array::from_fn(|column| std::array::from_fn(|i| number(2 * column * DEPTH + i, 7)));
    let strip: [[u32; LANES]; DEPTH] =
        std::array::from_fn(|i| std::array::from_fn(|row| pair(i * LANES + row, 11)));
    let [found, expected] = [Tiles::of_processor(), Tiles::Emulated].map(|tiles| {
        let mut sums = vec![1.0; COLUMNS * 2 * LANES];
        tiles.add_products(&panel, [&strip, &strip], &mut sums, 2 * LANES, Sums::Added);
        tiles.add_products(&panel, [&strip], &mut sums, 2 * LANES, Sums::Added);
        let mut new = vec![1.0; COLUMNS * 2 * LANES];
        tiles.add_products(&panel, [&strip, &strip], &mut new, 2 * LANES, Sums::New);
        tiles.add_products(&panel, [&strip], &mut new[LANES..], 2 * LANES, Sums::New);
        [sums, new]
    });
    found == expected
}

/// What becomes of the sums that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ops::flex) enum Sums {
    /// They are overwritten.
    New,
    /// They are added to.
    Added,
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

    /// Multiplies so many times four pairs of tiles, which hold nothing, and touches no memory.
    pub(super) fn multiply_in_registers(&self, rounds: usize) {
        if matches!(self, Self::Processor(_)) && rounds > 0 {
            // SAFETY: the tiles are configured.
            unsafe {
                asm!(
                    "tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3",
                    "tilezero tmm4", "tilezero tmm5", "tilezero tmm6", "tilezero tmm7",
                    "2:",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tdpbf16ps tmm1, tmm4, tmm7",
                    "tdpbf16ps tmm2, tmm5, tmm6",
                    "tdpbf16ps tmm3, tmm5, tmm7",
                    "dec {rounds}",
                    "jnz 2b",
                    rounds = inout(reg) rounds => _,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack, nomem),
                );
            }
        }
    }

    /// `sums[column, strip, row] += panel[column] · strips[strip][.., row]`
    ///
    /// # Shapes
    ///
    /// - panel: `[COLUMNS, 2 * depth or more]`
    /// - strips: one or two of `[depth, LANES]`, pairs of bf16, the first in the low half
    /// - sums: `[COLUMNS, stride]`, of which each column's first `LANES` for each strip are used
    ///
    /// # Panics
    ///
    /// If the shapes are not these, or the depth is no multiple of [`DEPTH`].
    #[inline(always)]
    pub(in crate::ops::flex) fn add_products<const WIDTH: usize, const STRIPS: usize>(
        &self,
        panel: &[[bf16; WIDTH]; COLUMNS],
        strips: [&[[u32; LANES]]; STRIPS],
        sums: &mut [f32],
        stride: usize,
        become_of: Sums,
    ) {
        let depth = strips[0].len();
        assert!(strips.iter().all(|strip| strip.len() == depth), "strips of one depth");
        assert!(2 * depth <= WIDTH && depth.is_multiple_of(DEPTH), "the depth of a product in tiles");
        assert!(stride >= STRIPS * LANES, "room for sums of tiles");
        assert!(sums.len() >= (COLUMNS - 1) * stride + STRIPS * LANES, "room for sums of tiles");
        match self {
            Self::Processor(_) if depth > 0 => {
                let first = strips[0].as_ptr();
                let last = strips[STRIPS - 1].as_ptr();
                let (sums, is_new) = (sums.as_mut_ptr(), become_of == Sums::New);
                // SAFETY: the tiles are configured, and everything is as long as was asserted.
                unsafe {
                    match STRIPS {
                        1 => add_to_one_strip(panel, first, depth, sums, stride, is_new),
                        2 => add_to_two_strips(panel, [first, last], depth, sums, stride, is_new),
                        _ => unreachable!("one strip or two"),
                    }
                }
            }
            _ => {
                for (column, panel) in panel.iter().enumerate() {
                    let sums = &mut sums[column * stride..][..STRIPS * LANES];
                    for (sums, strip) in sums.as_chunks_mut::<LANES>().0.iter_mut().zip(strips) {
                        if become_of == Sums::New {
                            sums.fill(0.0);
                        }
                        for (row, sum) in sums.iter_mut().enumerate() {
                            for (a, b) in panel.as_chunks().0.iter().zip(strip) {
                                let [low, high] = a;
                                let b = numbers(b[row]);
                                *sum += low.to_f32() * b[0];
                                *sum += high.to_f32() * b[1];
                            }
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

/// [`Tiles::add_products`] of two strips in the processor's tiles: 0 to 3 have the sums, 4 and 5 some of the panel, 6 and 7 some
/// of the strips.
///
/// # Safety
///
/// The tiles must be [`Configured`]; the depth must be that of both strips, not 0, a multiple of [`DEPTH`] and no more than the
/// panel is wide; and behind `sums` there must be room for `[COLUMNS - 1, stride]` and `2 * LANES` more.
#[inline(always)]
unsafe fn add_to_two_strips<const WIDTH: usize>(
    panel: &[[bf16; WIDTH]; COLUMNS],
    strips: [*const [u32; LANES]; 2],
    depth: usize,
    sums: *mut f32,
    stride: usize,
    is_new: bool,
) {
    // SAFETY: two tiles of the panel are COLUMNS columns; a step goes on by DEPTH pairs.
    unsafe {
        asm!(
            "test {is_new:l}, {is_new:l}",
            "jz 2f",
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "jmp 3f",
            "2:",
            "tileloadd tmm0, [{sums_0} + {sums_stride}]",
            "tileloadd tmm1, [{sums_0} + {sums_stride} + 64]",
            "tileloadd tmm2, [{sums_1} + {sums_stride}]",
            "tileloadd tmm3, [{sums_1} + {sums_stride} + 64]",
            "3:",
            "tileloadd tmm4, [{panel_0} + {panel_stride}]",
            "tileloadd tmm6, [{strip_0} + {strip_stride}]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{strip_1} + {strip_stride}]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tileloadd tmm5, [{panel_1} + {panel_stride}]",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            // What of the strips comes after the next step.
            ".irp at, 0, 64, 128, 192, 256, 320, 384, 448, 512, 576, 640, 704, 768, 832, 896, 960",
            "prefetcht0 [{strip_0} + 2048 + \\at]",
            "prefetcht0 [{strip_1} + 2048 + \\at]",
            ".endr",
            "add {panel_0}, 64",
            "add {panel_1}, 64",
            "add {strip_0}, 1024",
            "add {strip_1}, 1024",
            "dec {steps}",
            "jnz 3b",
            "tilestored [{sums_0} + {sums_stride}], tmm0",
            "tilestored [{sums_0} + {sums_stride} + 64], tmm1",
            "tilestored [{sums_1} + {sums_stride}], tmm2",
            "tilestored [{sums_1} + {sums_stride} + 64], tmm3",
            is_new = in(reg) u64::from(is_new),
            sums_0 = in(reg) sums,
            sums_1 = in(reg) sums.add(LANES * stride),
            sums_stride = in(reg) stride * size_of::<f32>(),
            strip_0 = inout(reg) strips[0] => _,
            strip_1 = inout(reg) strips[1] => _,
            strip_stride = in(reg) size_of::<[u32; LANES]>(),
            panel_0 = inout(reg) panel.as_ptr() => _,
            panel_1 = inout(reg) panel.as_ptr().add(LANES) => _,
            panel_stride = in(reg) size_of::<[bf16; WIDTH]>(),
            steps = inout(reg) depth / DEPTH => _,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}

/// The same of one strip: 0 and 1 have the sums, 4 and 5 some of the panel, 6 some of the strip.
///
/// # Safety
///
/// As of [`add_to_two_strips`], with room for `LANES` in the last column.
#[inline(always)]
unsafe fn add_to_one_strip<const WIDTH: usize>(
    panel: &[[bf16; WIDTH]; COLUMNS],
    strip: *const [u32; LANES],
    depth: usize,
    sums: *mut f32,
    stride: usize,
    is_new: bool,
) {
    // SAFETY: as above.
    unsafe {
        asm!(
            "test {is_new:l}, {is_new:l}",
            "jz 2f",
            "tilezero tmm0",
            "tilezero tmm1",
            "jmp 3f",
            "2:",
            "tileloadd tmm0, [{sums_0} + {sums_stride}]",
            "tileloadd tmm1, [{sums_1} + {sums_stride}]",
            "3:",
            "tileloadd tmm4, [{panel_0} + {panel_stride}]",
            "tileloadd tmm6, [{strip} + {strip_stride}]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm5, [{panel_1} + {panel_stride}]",
            "tdpbf16ps tmm1, tmm5, tmm6",
            "add {panel_0}, 64",
            "add {panel_1}, 64",
            "add {strip}, 1024",
            "dec {steps}",
            "jnz 3b",
            "tilestored [{sums_0} + {sums_stride}], tmm0",
            "tilestored [{sums_1} + {sums_stride}], tmm1",
            is_new = in(reg) u64::from(is_new),
            sums_0 = in(reg) sums,
            sums_1 = in(reg) sums.add(LANES * stride),
            sums_stride = in(reg) stride * size_of::<f32>(),
            strip = inout(reg) strip => _,
            strip_stride = in(reg) size_of::<[u32; LANES]>(),
            panel_0 = inout(reg) panel.as_ptr() => _,
            panel_1 = inout(reg) panel.as_ptr().add(LANES) => _,
            panel_stride = in(reg) size_of::<[bf16; WIDTH]>(),
            steps = inout(reg) depth / DEPTH => _,
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
        let mut panel = [[bf16::ZERO; 4 * DEPTH]; COLUMNS];
        // The first number of the pair at 17, and the second at 3.
        (panel[20][2 * 17], panel[20][2 * 3 + 1]) = (bf16::ONE, bf16::ONE);
        let mut strip = [[0; LANES]; 2 * DEPTH];
        (strip[17][5], strip[3][5], strip[4][5]) = (one, (one << 16) | one, one);
        let mut sums = vec![0.5; COLUMNS * LANES];
        Tiles::Emulated.add_products(&panel, [&strip], &mut sums, LANES, Sums::Added);
        let changed: Vec<_> = sums.iter().enumerate().filter(|(_, sum)| **sum != 0.5).collect();
        assert_eq!(changed, [(20 * LANES + 5, &2.5)]);
        Tiles::Emulated.add_products(&panel, [&strip], &mut sums, LANES, Sums::New);
        assert_eq!((sums[20 * LANES + 5], sums[0]), (2.0, 0.0));
    }
}
