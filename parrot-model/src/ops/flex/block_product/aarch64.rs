//! The kernel for 64-bit Arm, with the vector instructions (NEON) that all of them have.
//!
//! Four registers have the sums of the panel's 16 rows. The products of four columns take two steps: they are computed in
//! 16 bits, then added up in pairs.

use std::arch::aarch64::*;

use half::f16;

use super::activations::ActivationBlock;
use crate::quantization::{BLOCK, BlockFormat, PANEL};

/// As [`panel_product`](super::portable::panel_product), one row of the tile at a time.
#[target_feature(enable = "neon")]
pub(super) fn panel_product_neon(
    format: BlockFormat,
    panel: &[u8],
    activations: &[ActivationBlock],
    output: &mut [[f32; PANEL]],
) {
    let tile = output.len();
    for (row, output) in output.iter_mut().enumerate() {
        let mut sums = [vdupq_n_f32(0.0); 4];
        let activations = activations.iter().skip(row).step_by(tile);
        for (bytes, x) in panel.chunks_exact(format.block_bytes()).zip(activations) {
            let (scales, rest) = bytes.split_at(2 * PANEL);
            match format {
                BlockFormat::Q8 => {
                    let products = q8_products(rest, &x.codes);
                    for quarter in 0..4 {
                        let scales = vmulq_n_f32(halves(scales, quarter), x.scale);
                        sums[quarter] = vfmaq_f32(sums[quarter], vcvtq_f32_s32(products[quarter]), scales);
                    }
                }
                BlockFormat::Q4 => {
                    let (minima, codes) = rest.split_at(2 * PANEL);
                    let products = q4_products(codes, &x.codes);
                    for quarter in 0..4 {
                        let of_minima = vmulq_n_f32(halves(minima, quarter), x.sum as f32);
                        let products = vcvtq_f32_s32(products[quarter]);
                        let both = vfmaq_f32(of_minima, products, halves(scales, quarter));
                        sums[quarter] = vfmaq_n_f32(sums[quarter], both, x.scale);
                    }
                }
            }
        }
        for (output, sums) in output.as_chunks_mut::<4>().0.iter_mut().zip(sums) {
            // SAFETY: 4 numbers.
            #[allow(unsafe_code)]
            unsafe {
                vst1q_f32(output.as_mut_ptr(), sums);
            }
        }
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn q8_products(codes: &[u8], x: &[i8; BLOCK]) -> [int32x4_t; 4] {
    let mut products = [[vdupq_n_s32(0); 2]; 4];
    for (group, codes) in codes.as_chunks::<64>().0.iter().enumerate() {
        let x = four(x, group);
        for (products, codes) in products.iter_mut().zip(codes.as_chunks::<16>().0) {
            let codes = vreinterpretq_s8_u8(veorq_u8(load(codes), vdupq_n_u8(128)));
            multiply_add(products, codes, x);
        }
    }
    products.map(|[low, high]| vpaddq_s32(low, high))
}

#[inline]
#[target_feature(enable = "neon")]
fn q4_products(codes: &[u8], x: &[i8; BLOCK]) -> [int32x4_t; 4] {
    let mut products = [[vdupq_n_s32(0); 2]; 4];
    for (group, codes) in codes.as_chunks::<64>().0.iter().enumerate() {
        let (x_low, x_high) = (four(x, group), four(x, group + BLOCK / 8));
        for (products, codes) in products.iter_mut().zip(codes.as_chunks::<16>().0) {
            let codes = load(codes);
            multiply_add(products, vreinterpretq_s8_u8(vandq_u8(codes, vdupq_n_u8(15))), x_low);
            multiply_add(products, vreinterpretq_s8_u8(vshrq_n_u8::<4>(codes)), x_high);
        }
    }
    products.map(|[low, high]| vpaddq_s32(low, high))
}

/// Adds the products of four rows with four activations; what is left to add lies side by side.
#[inline]
#[target_feature(enable = "neon")]
fn multiply_add([low, high]: &mut [int32x4_t; 2], codes: int8x16_t, x: int8x8_t) {
    *low = vpadalq_s16(*low, vmull_s8(vget_low_s8(codes), x));
    *high = vpadalq_s16(*high, vmull_s8(vget_high_s8(codes), x));
}

/// The four activations of a group, twice.
#[inline]
#[target_feature(enable = "neon")]
fn four(codes: &[i8; BLOCK], group: usize) -> int8x8_t {
    let codes = codes.as_chunks::<4>().0[group].map(|code| code as u8);
    vreinterpret_s8_s32(vdup_n_s32(i32::from_le_bytes(codes)))
}

#[inline]
#[target_feature(enable = "neon")]
fn load(bytes: &[u8; 16]) -> uint8x16_t {
    // SAFETY: 16 bytes.
    #[allow(unsafe_code)]
    unsafe {
        vld1q_u8(bytes.as_ptr())
    }
}

/// Four of 16 numbers of f16.
#[inline]
#[target_feature(enable = "neon")]
fn halves(bytes: &[u8], quarter: usize) -> float32x4_t {
    let halves: &[[u8; 2]] = bytes.as_chunks().0;
    let floats: [f32; 4] = std::array::from_fn(|i| f16::from_le_bytes(halves[4 * quarter + i]).to_f32());
    // SAFETY: 4 numbers.
    #[allow(unsafe_code)]
    unsafe {
        vld1q_f32(floats.as_ptr())
    }
}
