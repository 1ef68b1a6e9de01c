//! Planes of several resolutions → RGB.
//!
//! A plane of half the width or height is enlarged with a triangle filter: three quarters of the nearer sample, one quarter
//! of the farther, rounded alternately up and down. At other ratios samples are repeated.

use ::image::RgbImage;

use super::idct::inverse;
use super::{Color, Component, Frame};

/// A colour plane, `width` samples a row, of which the picture covers `width` × `height`.
struct Plane {
    samples: Vec<u8>,
    stride: usize,
    width: usize,
    height: usize,
    /// How much smaller than the picture.
    shrink_h: usize,
    shrink_v: usize,
}

pub(super) fn to_rgb(frame: Frame, color: Color) -> Result<RgbImage, String> {
    let Frame { width, height, max_h, max_v, components, .. } = frame;
    let mut planes = Vec::new();
    for component in components {
        if max_h % component.h != 0 || max_v % component.v != 0 {
            return Err(format!(
                "JPEG planes of {}/{max_h} by {}/{max_v} of the picture are not supported",
                component.h, component.v
            ));
        }
        // Each plane's coefficients go as its samples come.
        planes.push(Plane::new(component, max_h, max_v)?);
    }
    let mut out = RgbImage::new(width as u32, height as u32);
    let mut rows: Vec<Vec<u8>> = planes.iter().map(|plane| vec![0; plane.width * plane.shrink_h]).collect();
    for (y, line) in out.chunks_exact_mut(width * 3).enumerate() {
        for (plane, row) in planes.iter().zip(&mut rows) {
            plane.row(y, row);
        }
        let pixels = line.as_chunks_mut::<3>().0.iter_mut().enumerate();
        match (color, &*rows) {
            (Color::Grey, [grey, ..]) => pixels.for_each(|(x, pixel)| *pixel = [grey[x]; 3]),
            (Color::Rgb, [r, g, b, ..]) => pixels.for_each(|(x, pixel)| *pixel = [r[x], g[x], b[x]]),
            (Color::YCbCr, [y, cb, cr, ..]) => {
                pixels.for_each(|(x, pixel)| *pixel = ycbcr_to_rgb(y[x], cb[x], cr[x]));
            }
            (Color::Cmyk, [c, m, y, k]) => {
                pixels.for_each(|(x, pixel)| *pixel = cmyk_to_rgb([c[x], m[x], y[x]], k[x]));
            }
            (Color::Ycck, [y, cb, cr, k]) => pixels.for_each(|(x, pixel)| {
                let cmy = ycbcr_to_rgb(y[x], cb[x], cr[x]).map(|value| 255 - value);
                *pixel = cmyk_to_rgb(cmy, k[x]);
            }),
            _ => return Err("JPEG planes that make no colour".into()),
        }
    }
    Ok(out)
}

impl Plane {
    fn new(component: Component, max_h: usize, max_v: usize) -> Result<Self, String> {
        let quant = component.quant.ok_or("a JPEG quantisation table is missing")?;
        let stride = component.blocks_across * 8;
        let mut samples = vec![0; stride * component.blocks_down * 8];
        let blocks = component.coefficients.as_chunks::<64>().0;
        for (at, block) in blocks.iter().enumerate() {
            let (row, column) = (at / component.blocks_across, at % component.blocks_across);
            for (y, line) in inverse(block, &quant).as_chunks::<8>().0.iter().enumerate() {
                let start = (row * 8 + y) * stride + column * 8;
                samples[start..start + 8].copy_from_slice(line);
            }
        }
        let Component { width, height, h, v, .. } = component;
        Ok(Self { samples, stride, width, height, shrink_h: max_h / h, shrink_v: max_v / v })
    }

    fn samples(&self, row: usize) -> &[u8] {
        &self.samples[row * self.stride..][..self.width]
    }

    /// Row `y` of the picture in full width; a few samples more may follow.
    fn row(&self, y: usize, out: &mut [u8]) {
        let (row, phase) = (y / self.shrink_v, y % self.shrink_v);
        let near = self.samples(row);
        // The row on the other side, at the edge the same once more.
        let far =
            || self.samples(if phase == 0 { row.saturating_sub(1) } else { (row + 1).min(self.height - 1) });
        match (self.shrink_h, self.shrink_v) {
            (1, 1) => out.copy_from_slice(near),
            (1, 2) => {
                let rounding = 1 + phase as u16;
                for ((out, near), far) in out.iter_mut().zip(near).zip(far()) {
                    *out = ((u16::from(*near) * 3 + u16::from(*far) + rounding) >> 2) as u8;
                }
            }
            // Narrower planes are repeated, in libjpeg for want of neighbours.
            (2, 1) if self.width > 2 => {
                enlarge(self.width, out, 2, [1, 2], |x| u16::from(near[x]));
            }
            (2, 2) if self.width > 2 => {
                let far = far();
                enlarge(self.width, out, 4, [8, 7], |x| u16::from(near[x]) * 3 + u16::from(far[x]));
            }
            (times, _) => {
                for (out, sample) in out.chunks_exact_mut(times).zip(near) {
                    out.fill(*sample);
                }
            }
        }
    }
}

/// Doubles a row: each sample becomes (3·sample + neighbour) on either side, rounded by `rounding`, shifted by `shift`.
fn enlarge(width: usize, out: &mut [u8], shift: u32, rounding: [u16; 2], sample: impl Fn(usize) -> u16) {
    for (x, pair) in out.as_chunks_mut::<2>().0.iter_mut().enumerate() {
        let here = sample(x);
        // At the ends the sample is its own neighbour.
        let (left, right) = (sample(x.saturating_sub(1)), sample((x + 1).min(width - 1)));
        let blend = |other: u16, rounding: u16| ((here * 3 + other + rounding) >> shift) as u8;
        *pair = [blend(left, rounding[0]), blend(right, rounding[1])];
    }
}

fn ycbcr_to_rgb(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let red = y + ((91881 * cr + HALF) >> 16);
    let green = y + ((-22554 * cb - 46802 * cr + HALF) >> 16);
    let blue = y + ((116_130 * cb + HALF) >> 16);
    [red, green, blue].map(|value| value.clamp(0, 255) as u8)
}

/// The samples are taken as inverted: 255 is no ink.
fn cmyk_to_rgb(cmy: [u8; 3], k: u8) -> [u8; 3] {
    cmy.map(|inverted| {
        let (ink, white) = (u32::from(255 - inverted), u32::from(k));
        let product = ink * white + 128;
        white.saturating_sub(((product >> 8) + product) >> 8) as u8
    })
}
