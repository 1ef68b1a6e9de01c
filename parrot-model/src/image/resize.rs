//! Pillow's antialiased bicubic and bilinear resize, to the byte.
//!
//! Every output pixel is a weighted mean of the input pixels around it. The weights come from a kernel, stretched
//! by the reduction factor so that it also low-passes, and are rounded to fixed point with 22 fractional bits.
//! Pillow filters columns first, rounds to 8 bits, then filters rows; both roundings are part of the result, so both
//! are made here. Since version 13 it takes the other order where that is less work, as for a tall picture that is
//! made smaller; the towers were trained with older ones.
//!
//! Two things are done differently from Pillow, with the same result: only the window that is asked for is
//! computed, and a picture on a larger canvas of one colour is resized without building the canvas. A
//! 65535×1 picture padded to a square would otherwise take 13 GB.

use std::ops::Range;

use ::image::RgbImage;

/// Fractional bits of the weights: 32 minus 8 for the pixel and 2 for the kernel's overshoot.
const PRECISION_BITS: u32 = 22;
/// Added before the shift, so that the shift rounds to nearest.
const HALF: i32 = 1 << (PRECISION_BITS - 1);

/// The kernel that weighs the pixels of a resize.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resample {
    /// A triangle: SigLIP 2.
    Bilinear,
    /// Cubic convolution with a = -0.5: CLIP, Chinese-CLIP, SigLIP.
    Bicubic,
}

impl Resample {
    /// The kernel's reach on either side, in output pixels when reducing and input pixels when enlarging.
    fn support(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }

    /// The weight at a distance of `x`.
    fn kernel(self, x: f64) -> f64 {
        match self {
            Self::Bilinear => (1.0 - x.abs()).max(0.0),
            Self::Bicubic => cubic_kernel(x),
        }
    }
}

/// A picture on a canvas of one colour; the picture must lie within the canvas.
pub(crate) struct Canvas<'a> {
    pub(crate) image: &'a RgbImage,
    pub(crate) x: Extent,
    pub(crate) y: Extent,
    pub(crate) fill: [u8; 3],
}

/// One axis of a canvas.
#[derive(Clone, Copy)]
pub(crate) struct Extent {
    /// Where the picture starts.
    pub(crate) offset: u32,
    /// How long the canvas is.
    pub(crate) length: u32,
}

impl<'a> Canvas<'a> {
    /// The picture alone.
    pub(crate) fn bare(image: &'a RgbImage) -> Self {
        let extent = |length| Extent { offset: 0, length };
        Self { image, x: extent(image.width()), y: extent(image.height()), fill: [0; 3] }
    }

    /// The picture in the middle of a square, the smaller half of an odd margin first.
    pub(crate) fn square(image: &'a RgbImage, fill: [u8; 3]) -> Self {
        let (width, height) = image.dimensions();
        let side = width.max(height);
        let extent = |length| Extent { offset: (side - length) / 2, length: side };
        Self { image, x: extent(width), y: extent(height), fill }
    }
}

/// Resizes as Pillow's `Image.resize((width, height), Image.Resampling.BICUBIC)` does, to the byte.
///
/// # Panics
/// If the picture or the new size is empty.
pub fn resize_bicubic(image: &RgbImage, width: u32, height: u32) -> RgbImage {
    resize_window(&Canvas::bare(image), Resample::Bicubic, width, 0..width, height, 0..height)
}

/// The columns `columns` and rows `rows` of what `canvas` resized to `width`×`height` looks like.
///
/// # Panics
/// If the canvas or the new size is empty.
pub(crate) fn resize_window(
    canvas: &Canvas<'_>,
    resample: Resample,
    width: u32,
    columns: Range<u32>,
    height: u32,
    rows: Range<u32>,
) -> RgbImage {
    let image = canvas.image;
    assert!(
        canvas.x.length > 0 && canvas.y.length > 0 && width > 0 && height > 0,
        "an empty picture has no pixels"
    );
    let mut out = RgbImage::new(columns.end - columns.start, rows.end - rows.start);
    let across = Axis::new(canvas.x, image.width(), resample, width, columns);
    let down = Axis::new(canvas.y, image.height(), resample, height, rows);

    // A canvas row without picture looks the same wherever it lies.
    let blank: Vec<u8> = (across.outputs.iter())
        .flat_map(|output| canvas.fill.map(|fill| round(HALF + i32::from(fill) * output.total)))
        .collect();
    let stride = blank.len();
    let mut sums = vec![0i32; stride * down.outputs.len()];
    for (output, sums) in down.outputs.iter().zip(sums.chunks_exact_mut(stride)) {
        for (sum, &fill) in sums.iter_mut().zip(&blank) {
            *sum = HALF + i32::from(fill) * output.outside;
        }
    }

    // Each picture row is filtered across once and added to the few output rows that it reaches, so that
    // memory does not grow with the picture's height.
    let mut filtered = vec![0u8; stride];
    let mut first = 0;
    for (y, row) in image.as_raw().chunks_exact(3 * image.width() as usize).enumerate() {
        while down.outputs.get(first).is_some_and(|output| output.taps.end <= y) {
            first += 1;
        }
        let reached = down.outputs[first..].iter().take_while(|output| output.taps.start <= y).count();
        if reached == 0 {
            continue;
        }
        across.filter_row(row, canvas.fill, &mut filtered);
        let sums = &mut sums[first * stride..(first + reached) * stride];
        for (output, sums) in down.outputs[first..].iter().zip(sums.chunks_exact_mut(stride)) {
            let weight = down.weights(output)[y - output.taps.start];
            for (sum, &value) in sums.iter_mut().zip(&filtered) {
                *sum += i32::from(value) * weight;
            }
        }
    }
    for (value, &sum) in out.iter_mut().zip(&sums) {
        *value = round(sum);
    }
    out
}

/// Back from fixed point to a pixel value.
fn round(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

/// Cubic convolution with a = -0.5.
fn cubic_kernel(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

/// How the outputs along one axis are made from the inputs along it.
struct Axis {
    outputs: Vec<Output>,
    /// The weights of all outputs' taps, one output after the other.
    weights: Vec<i32>,
}

/// One output column or row.
struct Output {
    /// The columns or rows of the picture that it is made from; empty where it sees only canvas.
    taps: Range<usize>,
    /// Where their weights start in [`Axis::weights`].
    weights: usize,
    /// Sum of the weights that fall on canvas outside the picture.
    outside: i32,
    /// Sum of all weights: 2²² up to rounding.
    total: i32,
}

impl Axis {
    /// The outputs `window` of `canvas`, with `image` inputs of picture on it, resized to `size`.
    fn new(canvas: Extent, image: u32, resample: Resample, size: u32, window: Range<u32>) -> Self {
        let Extent { offset, length } = canvas;
        let scale = f64::from(length) / f64::from(size);
        let stretch = scale.max(1.0);
        let support = resample.support() * stretch;
        let inverse = 1.0 / stretch;
        let mut axis = Self { outputs: Vec::with_capacity(window.len()), weights: Vec::new() };
        let mut exact = Vec::new();
        for position in window {
            // The order of these operations is Pillow's: another one rounds differently.
            let center = (f64::from(position) + 0.5) * scale;
            let start = (center - support + 0.5).max(0.0) as u32;
            let end = ((center + support + 0.5) as u32).min(length);
            exact.clear();
            exact
                .extend((0..end - start).map(|tap| {
                    resample.kernel((f64::from(tap) + f64::from(start) - center + 0.5) * inverse)
                }));
            let sum: f64 = exact.iter().sum();

            let first = start.clamp(offset, offset + image);
            let last = end.clamp(offset, offset + image);
            let (mut outside, mut total) = (0, 0);
            let weights = axis.weights.len();
            for (input, exact) in (start..end).zip(&exact) {
                let exact = if sum == 0.0 { *exact } else { exact / sum };
                let scaled = exact * f64::from(1 << PRECISION_BITS);
                let weight = (scaled + 0.5_f64.copysign(scaled)) as i32;
                total += weight;
                if (first..last).contains(&input) {
                    axis.weights.push(weight);
                } else {
                    outside += weight;
                }
            }
            let taps = (first - offset) as usize..(last - offset) as usize;
            axis.outputs.push(Output { taps, weights, outside, total });
        }
        axis
    }

    fn weights(&self, output: &Output) -> &[i32] {
        &self.weights[output.weights..output.weights + output.taps.len()]
    }

    /// Filters one row of RGB pixels that lies on a canvas of colour `fill`.
    fn filter_row(&self, row: &[u8], fill: [u8; 3], filtered: &mut [u8]) {
        for (output, pixel) in self.outputs.iter().zip(filtered.chunks_exact_mut(3)) {
            let [mut r, mut g, mut b] = fill.map(|fill| HALF + i32::from(fill) * output.outside);
            let taps = row[3 * output.taps.start..3 * output.taps.end].chunks_exact(3);
            for (tap, &weight) in taps.zip(self.weights(output)) {
                r += i32::from(tap[0]) * weight;
                g += i32::from(tap[1]) * weight;
                b += i32::from(tap[2]) * weight;
            }
            pixel.copy_from_slice(&[round(r), round(g), round(b)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use ::image::{Rgb, imageops};

    use super::*;

    fn noise(width: u32, height: u32) -> RgbImage {
        let mut state = 1u32;
        RgbImage::from_fn(width, height, |_, _| {
            Rgb([0; 3].map(|_: u8| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            }))
        })
    }

    #[test]
    fn the_same_size_is_the_same_image() {
        let image = noise(17, 9);
        assert_eq!(resize_bicubic(&image, 17, 9), image);
    }

    #[test]
    fn one_colour_stays_one_colour() {
        let image = RgbImage::from_pixel(501, 7, Rgb([255, 1, 128]));
        for (width, height) in [(3, 3), (1000, 20), (1, 1)] {
            let resized = resize_bicubic(&image, width, height);
            assert!(resized.pixels().all(|pixel| pixel.0 == [255, 1, 128]));
        }
    }

    /// By hand: halving weighs four taps either side, 0.5·k(0.25), 0.5·k(0.75), …; the far ones overshoot.
    #[test]
    fn an_edge_overshoots_as_the_kernel_says() {
        let image = RgbImage::from_fn(16, 1, |x, _| Rgb([if x < 8 { 60 } else { 200 }; 3]));
        let row: Vec<u8> = resize_bicubic(&image, 8, 1).pixels().map(|pixel| pixel.0[0]).collect();
        let cubic = |x: f64| cubic_kernel(x) / 2.0;
        let below = 140.0 * (cubic(0.75) + cubic(1.25) + cubic(1.75));
        let next = 140.0 * cubic(1.75);
        let expected = [60.0, 60.0, 60.0 + next, 60.0 + below, 200.0 - below, 200.0 - next, 200.0, 200.0];
        assert_eq!(row, expected.map(|value: f64| value.round() as u8));
    }

    /// By hand: halving weighs four pixels 1 : 3 : 3 : 1, or as many of them as there are.
    #[test]
    fn bilinear_halving_weighs_a_triangle() {
        let image = RgbImage::from_fn(8, 1, |x, _| Rgb([if x < 4 { 60 } else { 220 }; 3]));
        let halved = resize_window(&Canvas::bare(&image), Resample::Bilinear, 4, 0..4, 1, 0..1);
        let row: Vec<u8> = halved.pixels().map(|pixel| pixel.0[0]).collect();
        assert_eq!(row, [60, 80, 200, 220]);
    }

    #[test]
    fn a_canvas_is_as_good_as_a_padded_image() {
        for (width, height) in [(40, 13), (13, 40), (1, 30), (31, 30)] {
            let image = noise(width, height);
            let canvas = Canvas::square(&image, [122, 116, 104]);
            let side = width.max(height);
            let mut padded = RgbImage::from_pixel(side, side, Rgb([122, 116, 104]));
            imageops::replace(&mut padded, &image, canvas.x.offset.into(), canvas.y.offset.into());
            for size in [7, 56] {
                let virtually = resize_window(&canvas, Resample::Bicubic, size, 0..size, size, 0..size);
                assert_eq!(virtually, resize_bicubic(&padded, size, size), "{width}×{height} → {size}");
            }
        }
    }

    #[test]
    fn a_window_is_a_crop_of_the_whole() {
        let image = noise(30, 50);
        let whole = resize_bicubic(&image, 12, 90);
        let window = resize_window(&Canvas::bare(&image), Resample::Bicubic, 12, 3..10, 90, 41..60);
        assert_eq!(window, imageops::crop_imm(&whole, 3, 41, 7, 19).to_image());
    }
}
