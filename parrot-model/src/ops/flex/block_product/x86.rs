//! Kernels for x86: with AVX-512 and its products of bytes (VNNI), and with AVX2.
//!
//! A register, or two of half its size, has a sum for each of the panel's 16 rows. For every four columns, the products of
//! those rows' codes with the same four activations are added to it.

use std::arch::x86_64::*;

use super::super::aligned::LINE;
use super::super::simd::fetch_ahead;
use super::activations::ActivationBlock;
use crate::quantization::{BLOCK, BlockFormat, PANEL};

const Q8_BYTES: usize = BlockFormat::Q8.block_bytes();
const Q4_BYTES: usize = BlockFormat::Q4.block_bytes();

/// Has the cache fetch the block that comes a page later.
#[inline(always)]
fn fetch_block_ahead(bytes: &[u8]) {
    bytes.iter().step_by(LINE).for_each(fetch_ahead);
}

/// As [`panel_product`](super::portable::panel_product), for a whole tile.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn panel_product_avx512(
    format: BlockFormat,
    panel: &[u8],
    activations: &[ActivationBlock],
    output: &mut [[f32; PANEL]],
) {
    match (format, output.len()) {
        (BlockFormat::Q8, 1) => q8_avx512::<1>(panel, activations, output),
        (BlockFormat::Q8, 2) => q8_avx512::<2>(panel, activations, output),
        (BlockFormat::Q8, 4) => q8_avx512::<4>(panel, activations, output),
        (BlockFormat::Q8, 8) => q8_avx512::<8>(panel, activations, output),
        (BlockFormat::Q4, 1) => q4_avx512::<1>(panel, activations, output),
        (BlockFormat::Q4, 2) => q4_avx512::<2>(panel, activations, output),
        (BlockFormat::Q4, 4) => q4_avx512::<4>(panel, activations, output),
        (BlockFormat::Q4, 8) => q4_avx512::<8>(panel, activations, output),
        (_, rows) => unreachable!("a tile of {rows} rows"),
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn q8_avx512<const ROWS: usize>(panel: &[u8], activations: &[ActivationBlock], output: &mut [[f32; PANEL]]) {
    let mut sums = [_mm512_setzero_ps(); ROWS];
    for (bytes, x) in panel.as_chunks::<Q8_BYTES>().0.iter().zip(activations.as_chunks::<ROWS>().0) {
        fetch_block_ahead(bytes);
        let [scales, codes @ ..] = bytes.as_chunks::<{ 2 * PANEL }>().0 else { continue };
        // The instruction takes codes as unsigned: 128 times the activations are too much.
        let mut products: [__m512i; ROWS] = std::array::from_fn(|row| _mm512_set1_epi32(-128 * x[row].sum));
        for (group, codes) in codes.as_chunks::<2>().0.iter().enumerate() {
            let codes = load_512(codes);
            for row in 0..ROWS {
                let x = _mm512_set1_epi32(four(&x[row].codes, group));
                products[row] = _mm512_dpbusd_epi32(products[row], codes, x);
            }
        }
        let scales = halves_512(scales);
        for row in 0..ROWS {
            let scales = _mm512_mul_ps(scales, _mm512_set1_ps(x[row].scale));
            sums[row] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(products[row]), scales, sums[row]);
        }
    }
    for (output, sums) in output.iter_mut().zip(sums) {
        store_512(output, sums);
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn q4_avx512<const ROWS: usize>(panel: &[u8], activations: &[ActivationBlock], output: &mut [[f32; PANEL]]) {
    let mut sums = [_mm512_setzero_ps(); ROWS];
    for (bytes, x) in panel.as_chunks::<Q4_BYTES>().0.iter().zip(activations.as_chunks::<ROWS>().0) {
        fetch_block_ahead(bytes);
        let [scales, minima, codes @ ..] = bytes.as_chunks::<{ 2 * PANEL }>().0 else { continue };
        let mut products = [_mm512_setzero_si512(); ROWS];
        for (group, codes) in codes.as_chunks::<2>().0.iter().enumerate() {
            let (codes, low_half) = (load_512(codes), _mm512_set1_epi8(15));
            let low = _mm512_and_si512(codes, low_half);
            let high = _mm512_and_si512(_mm512_srli_epi16::<4>(codes), low_half);
            for row in 0..ROWS {
                let x = _mm512_set1_epi32(four(&x[row].codes, group));
                products[row] = _mm512_dpbusd_epi32(products[row], low, x);
            }
            for row in 0..ROWS {
                let x = _mm512_set1_epi32(four(&x[row].codes, group + BLOCK / 8));
                products[row] = _mm512_dpbusd_epi32(products[row], high, x);
            }
        }
        let (scales, minima) = (halves_512(scales), halves_512(minima));
        for row in 0..ROWS {
            let of_minima = _mm512_mul_ps(minima, _mm512_set1_ps(x[row].sum as f32));
            let both = _mm512_fmadd_ps(_mm512_cvtepi32_ps(products[row]), scales, of_minima);
            sums[row] = _mm512_fmadd_ps(both, _mm512_set1_ps(x[row].scale), sums[row]);
        }
    }
    for (output, sums) in output.iter_mut().zip(sums) {
        store_512(output, sums);
    }
}

/// As [`panel_product`](super::portable::panel_product), two rows of the tile at a time.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn panel_product_avx2(
    format: BlockFormat,
    panel: &[u8],
    activations: &[ActivationBlock],
    output: &mut [[f32; PANEL]],
) {
    let tile = output.len();
    let (pairs, last) = output.as_chunks_mut::<2>();
    for (pair, output) in pairs.iter_mut().enumerate() {
        match format {
            BlockFormat::Q8 => q8_avx2(panel, activations, [tile, 2 * pair], output),
            BlockFormat::Q4 => q4_avx2(panel, activations, [tile, 2 * pair], output),
        }
    }
    if let [last] = last {
        let output = std::array::from_mut(last);
        match format {
            BlockFormat::Q8 => q8_avx2(panel, activations, [tile, tile - 1], output),
            BlockFormat::Q4 => q4_avx2(panel, activations, [tile, tile - 1], output),
        }
    }
}

/// The rows of a tile from `first` on.
#[target_feature(enable = "avx2,fma,f16c")]
fn q8_avx2<const ROWS: usize>(
    panel: &[u8],
    activations: &[ActivationBlock],
    [tile, first]: [usize; 2],
    output: &mut [[f32; PANEL]; ROWS],
) {
    let mut sums = [[_mm256_setzero_ps(); 2]; ROWS];
    for (bytes, x) in panel.as_chunks::<Q8_BYTES>().0.iter().zip(activations.chunks_exact(tile)) {
        fetch_block_ahead(bytes);
        let [scales, codes @ ..] = bytes.as_chunks::<{ 2 * PANEL }>().0 else { continue };
        let Some(x) = x[first..].first_chunk::<ROWS>() else { continue };
        let mut products = [[_mm256_setzero_si256(); 2]; ROWS];
        for (group, codes) in codes.as_chunks::<2>().0.iter().enumerate() {
            for half in 0..2 {
                // From codes to signed numbers, −127 to 127. The instruction takes one side as unsigned: their
                // magnitudes, and their signs go over to the activations.
                let codes = _mm256_xor_si256(load_256(&codes[half]), _mm256_set1_epi8(-128));
                let magnitudes = _mm256_abs_epi8(codes);
                for row in 0..ROWS {
                    let x = _mm256_set1_epi32(four(&x[row].codes, group));
                    let pairs = _mm256_maddubs_epi16(magnitudes, _mm256_sign_epi8(x, codes));
                    products[row][half] = add_pairs(products[row][half], pairs);
                }
            }
        }
        let scales = halves_256(scales);
        for row in 0..ROWS {
            for half in 0..2 {
                let scales = _mm256_mul_ps(scales[half], _mm256_set1_ps(x[row].scale));
                let products = _mm256_cvtepi32_ps(products[row][half]);
                sums[row][half] = _mm256_fmadd_ps(products, scales, sums[row][half]);
            }
        }
    }
    for (output, sums) in output.iter_mut().zip(sums) {
        store_256(output, sums);
    }
}

/// The rows of a tile from `first` on.
#[target_feature(enable = "avx2,fma,f16c")]
fn q4_avx2<const ROWS: usize>(
    panel: &[u8],
    activations: &[ActivationBlock],
    [tile, first]: [usize; 2],
    output: &mut [[f32; PANEL]; ROWS],
) {
    let mut sums = [[_mm256_setzero_ps(); 2]; ROWS];
    for (bytes, x) in panel.as_chunks::<Q4_BYTES>().0.iter().zip(activations.chunks_exact(tile)) {
        fetch_block_ahead(bytes);
        let [scales, minima, codes @ ..] = bytes.as_chunks::<{ 2 * PANEL }>().0 else { continue };
        let Some(x) = x[first..].first_chunk::<ROWS>() else { continue };
        let mut products = [[_mm256_setzero_si256(); 2]; ROWS];
        for (group, codes) in codes.as_chunks::<2>().0.iter().enumerate() {
            for half in 0..2 {
                let (codes, low_half) = (load_256(&codes[half]), _mm256_set1_epi8(15));
                let low = _mm256_and_si256(codes, low_half);
                let high = _mm256_and_si256(_mm256_srli_epi16::<4>(codes), low_half);
                for row in 0..ROWS {
                    let x_low = _mm256_set1_epi32(four(&x[row].codes, group));
                    let x_high = _mm256_set1_epi32(four(&x[row].codes, group + BLOCK / 8));
                    let low = _mm256_maddubs_epi16(low, x_low);
                    let high = _mm256_maddubs_epi16(high, x_high);
                    // At most 4 · 15 · 127, which 16 bits hold.
                    products[row][half] = add_pairs(products[row][half], _mm256_add_epi16(low, high));
                }
            }
        }
        let (scales, minima) = (halves_256(scales), halves_256(minima));
        for row in 0..ROWS {
            for half in 0..2 {
                let of_minima = _mm256_mul_ps(minima[half], _mm256_set1_ps(x[row].sum as f32));
                let products = _mm256_cvtepi32_ps(products[row][half]);
                let both = _mm256_fmadd_ps(products, scales[half], of_minima);
                sums[row][half] = _mm256_fmadd_ps(both, _mm256_set1_ps(x[row].scale), sums[row][half]);
            }
        }
    }
    for (output, sums) in output.iter_mut().zip(sums) {
        store_256(output, sums);
    }
}

/// The four activations of a group.
#[inline(always)]
fn four(codes: &[i8; BLOCK], group: usize) -> i32 {
    i32::from_le_bytes(codes.as_chunks::<4>().0[group].map(|code| code as u8))
}

/// Adds both numbers of 16 bits that lie where a sum of 32 bits does.
#[inline]
#[target_feature(enable = "avx2")]
fn add_pairs(sums: __m256i, pairs: __m256i) -> __m256i {
    _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_512(bytes: &[[u8; 32]; 2]) -> __m512i {
    // SAFETY: 64 bytes, at any address.
    #[allow(unsafe_code)]
    unsafe {
        _mm512_loadu_si512(bytes.as_ptr().cast())
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_256(bytes: &[u8; 32]) -> __m256i {
    // SAFETY: 32 bytes, at any address.
    #[allow(unsafe_code)]
    unsafe {
        _mm256_loadu_si256(bytes.as_ptr().cast())
    }
}

/// Sixteen numbers of f16.
#[inline]
#[target_feature(enable = "avx512f")]
fn halves_512(bytes: &[u8; 32]) -> __m512 {
    _mm512_cvtph_ps(load_256(bytes))
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn halves_256(bytes: &[u8; 32]) -> [__m256; 2] {
    let halves = load_256(bytes);
    let (low, high) = (_mm256_castsi256_si128(halves), _mm256_extracti128_si256::<1>(halves));
    [_mm256_cvtph_ps(low), _mm256_cvtph_ps(high)]
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store_512(output: &mut [f32; PANEL], sums: __m512) {
    // SAFETY: 16 numbers, at any address.
    #[allow(unsafe_code)]
    unsafe {
        _mm512_storeu_ps(output.as_mut_ptr(), sums);
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store_256(output: &mut [f32; PANEL], sums: [__m256; 2]) {
    for (output, sums) in output.as_chunks_mut::<8>().0.iter_mut().zip(sums) {
        // SAFETY: 8 numbers, at any address.
        #[allow(unsafe_code)]
        unsafe {
            _mm256_storeu_ps(output.as_mut_ptr(), sums);
        }
    }
}
