//! Sprites: small drawings with alpha, and painting them on a picture at any size and place.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, Result, ensure};
use image::{RgbImage, RgbaImage};

use crate::{
    catalogue::{Catalogue, Style},
    random::Random,
};

/// A square drawing, colours multiplied by alpha (so that scaling needs no division and leaves no halo).
#[derive(Clone, Debug, PartialEq)]
pub struct Sprite {
    size: usize,
    /// `[size, size, 4]`, premultiplied sRGB.
    pixels: Vec<[u8; 4]>,
}

/// Where a sprite goes, in pixels of the target; positions may lie between pixels.
#[derive(Clone, Copy, Debug)]
pub struct Placement {
    /// Left edge.
    pub x: f32,
    /// Upper edge.
    pub y: f32,
    /// Edge of the painted square.
    pub size: f32,
    /// Left and right swapped.
    pub mirrored: bool,
}

/// A change of a drawing that leaves what it shows the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distortion {
    /// Turned by, in radians, clockwise.
    pub turn: f32,
    /// Factors on width and height.
    pub stretch: [f32; 2],
    /// Turns colours about the axis of greys, in radians.
    pub hue: f32,
    /// Factor on a colour's distance from grey; below zero, that of the opposite colour.
    pub saturation: f32,
    /// Factor on all channels.
    pub brightness: f32,
}

impl Distortion {
    /// One at random. What is at most changed by an `extent` of 1 can be recognised; the changes of larger ones are as
    /// many times as far.
    pub fn draw(extent: f32, random: &mut Random) -> Self {
        let mut around = |middle: f32, by: f32| random.uniform(middle - extent * by, middle + extent * by);
        Self {
            turn: around(0.0, 0.35),
            stretch: [0; 2].map(|_: u8| around(0.9, 0.15)),
            hue: around(0.0, 0.5),
            saturation: around(0.85, 0.55),
            brightness: around(0.95, 0.25),
        }
    }

    /// What every channel takes from the three: a turn about the axis of greys, scaled around it.
    fn colours(&self) -> [[f32; 3]; 3] {
        let (sin, cos) = self.hue.sin_cos();
        let (along, across, beside) = (1.0 / 3.0, self.saturation * cos, self.saturation * sin / 3f32.sqrt());
        // Rodrigues' formula: the projection on the axis stays, the rest is turned and scaled.
        let row = |row: usize| {
            std::array::from_fn(|column| {
                let same = if row == column { 1.0 } else { 0.0 };
                let cross = match (3 + column - row) % 3 {
                    1 => -beside,
                    2 => beside,
                    _ => 0.0,
                };
                self.brightness * (along + across * (same - along) + cross)
            })
        };
        [row(0), row(1), row(2)]
    }
}

impl Sprite {
    /// A sprite of premultiplied pixels in reading order.
    ///
    /// # Panics
    ///
    /// When there are not `size * size` pixels.
    pub fn from_premultiplied(size: usize, pixels: Vec<[u8; 4]>) -> Self {
        assert_eq!(pixels.len(), size * size, "a sprite is square");
        Self { size, pixels }
    }

    /// The square of `size` pixels at `(left, top)` of a picture with straight alpha.
    fn cut(sheet: &RgbaImage, left: u32, top: u32, size: u32) -> Self {
        let mut pixels = Vec::with_capacity((size * size) as usize);
        for y in top..top + size {
            for x in left..left + size {
                let [r, g, b, a] = sheet.get_pixel(x, y).0;
                let times_alpha = |c: u8| ((u16::from(c) * u16::from(a) + 127) / 255) as u8;
                pixels.push([times_alpha(r), times_alpha(g), times_alpha(b), a]);
            }
        }
        Self { size: size as usize, pixels }
    }

    /// The pixels in reading order, colours multiplied by alpha.
    pub fn premultiplied(&self) -> &[[u8; 4]] {
        &self.pixels
    }

    /// The changed drawing, of the same size; what leaves the square is cut off.
    #[must_use]
    pub fn distorted(&self, distortion: &Distortion) -> Self {
        let (sin, cos) = distortion.turn.sin_cos();
        let colours = distortion.colours();
        let middle = (self.size as f32 - 1.0) / 2.0;
        let mut pixels = Vec::with_capacity(self.pixels.len());
        for row in 0..self.size {
            for column in 0..self.size {
                let (x, y) = (column as f32 - middle, row as f32 - middle);
                let from = [(x * cos + y * sin), (y * cos - x * sin)];
                let [x, y] = [0, 1].map(|axis| from[axis] / distortion.stretch[axis] + middle);
                let [red, green, blue, alpha] = self.between(x, y);
                let channel =
                    |row: [f32; 3]| (row[0] * red + row[1] * green + row[2] * blue).clamp(0.0, alpha);
                let [red, green, blue] = colours.map(channel);
                pixels.push([red, green, blue, alpha].map(|value| (value + 0.5) as u8));
            }
        }
        Self { size: self.size, pixels }
    }

    /// The value at a place between pixels, bilinear; nothing outside.
    fn between(&self, x: f32, y: f32) -> [f32; 4] {
        let (left, top) = (x.floor(), y.floor());
        let mut value = [0.0; 4];
        for (row, weight) in [(top, 1.0 - (y - top)), (top + 1.0, y - top)] {
            for (column, weight) in [(left, weight * (1.0 - (x - left))), (left + 1.0, weight * (x - left))] {
                let inside = |at: f32| (0.0..self.size as f32).contains(&at);
                if inside(row) && inside(column) {
                    let pixel = self.pixels[row as usize * self.size + column as usize];
                    for channel in 0..4 {
                        value[channel] += weight * f32::from(pixel[channel]);
                    }
                }
            }
        }
        value
    }

    /// Paints over a picture, antialiased: a tent filter as wide as one target pixel (or one sprite pixel
    /// when enlarging), first along rows, then along columns.
    pub fn paint(&self, image: &mut RgbImage, at: Placement) {
        let (width, height) = image.dimensions();
        let columns = taps(self.size, at.x, at.size, width as usize, at.mirrored);
        let rows = taps(self.size, at.y, at.size, height as usize, false);
        let Some((first, last)) = rows.reach() else { return };

        // Rows of the sprite that are needed, squeezed to the width of the target: [row, column, channel].
        let mut squeezed = vec![[0f32; 4]; (last + 1 - first) * columns.len()];
        for (line, row) in squeezed.chunks_mut(columns.len().max(1)).zip(first..) {
            let source = &self.pixels[row * self.size..(row + 1) * self.size];
            for (value, tap) in line.iter_mut().zip(&columns.taps) {
                for (weight, pixel) in tap.weights.iter().zip(&source[tap.start..]) {
                    for channel in 0..4 {
                        value[channel] += weight * f32::from(pixel[channel]);
                    }
                }
            }
        }

        let stride = 3 * width as usize;
        let target: &mut [u8] = image;
        for (tap, y) in rows.taps.iter().zip(rows.first..) {
            let line = &mut target[y * stride + 3 * columns.first..];
            for (column, under) in line.chunks_exact_mut(3).take(columns.len()).enumerate() {
                let mut over = [0f32; 4];
                for (weight, row) in tap.weights.iter().zip(tap.start - first..) {
                    let value = squeezed[row * columns.len() + column];
                    for channel in 0..4 {
                        over[channel] += weight * value[channel];
                    }
                }
                let through = 1.0 - over[3] / 255.0;
                for channel in 0..3 {
                    // `as u8` saturates.
                    under[channel] = (over[channel] + through * f32::from(under[channel]) + 0.5) as u8;
                }
            }
        }
    }
}

/// What one target pixel takes from a line of the sprite.
struct Tap {
    start: usize,
    weights: Vec<f32>,
}

/// The taps of consecutive target pixels.
struct Taps {
    /// The first target pixel.
    first: usize,
    taps: Vec<Tap>,
}

impl Taps {
    fn len(&self) -> usize {
        self.taps.len()
    }

    /// The first and the last sprite line that any target pixel takes from.
    fn reach(&self) -> Option<(usize, usize)> {
        let first = self.taps.iter().map(|tap| tap.start).min()?;
        let last = self.taps.iter().map(|tap| tap.start + tap.weights.len() - 1).max()?;
        Some((first, last))
    }
}

/// Taps of a sprite of `source` pixels painted from `position` over `size` of `limit` target pixels.
fn taps(source: usize, position: f32, size: f32, limit: usize, mirrored: bool) -> Taps {
    let scale = source as f32 / size.max(1e-3);
    let support = scale.max(1.0);
    let first = (position.floor().max(0.0) as usize).min(limit);
    let end = ((position + size).ceil().max(0.0) as usize).clamp(first, limit);
    let taps = (first..end).map(|target| {
        let mut center = (target as f32 + 0.5 - position) * scale - 0.5;
        if mirrored {
            center = source as f32 - 1.0 - center;
        }
        let low = ((center - support).ceil().max(0.0) as usize).min(source - 1);
        let high = ((center + support).floor().max(0.0) as usize).clamp(low, source - 1);
        let mut weights: Vec<f32> =
            (low..=high).map(|i| (1.0 - (i as f32 - center).abs() / support).max(0.0) / support).collect();
        // Inside the sprite the weights sum to one but for rounding; at its edge less is right (fading out).
        let total: f32 = weights.iter().sum();
        if total > 1.0 || (low > 0 && high + 1 < source && total > 0.0) {
            weights.iter_mut().for_each(|weight| *weight /= total);
        }
        Tap { start: low, weights }
    });
    Taps { first, taps: taps.collect() }
}

/// The sprites of every style.
#[derive(Clone, Debug)]
pub struct Sprites(BTreeMap<Style, Vec<Option<Sprite>>>);

impl Sprites {
    /// Cuts the sprite sheets of the given styles, for the first `count` concepts.
    ///
    /// # Errors
    ///
    /// When a sheet is missing, is no picture, or is too small for the catalogue.
    pub fn load(folder: &Path, catalogue: &Catalogue, styles: &[Style], count: usize) -> Result<Self> {
        let mut sprites = BTreeMap::new();
        for style in styles {
            let path = folder.join(style.sheet());
            let sheet = image::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let sheet = sheet.into_rgba8();
            let size = catalogue.sprite;
            let rows = (count as u32).div_ceil(catalogue.columns);
            ensure!(
                sheet.width() >= catalogue.columns * size && sheet.height() >= rows * size,
                "{} is {}x{}, too small for {count} sprites of {size} pixels",
                path.display(),
                sheet.width(),
                sheet.height()
            );
            let cell = |index: u32| {
                let (left, top) = (index % catalogue.columns * size, index / catalogue.columns * size);
                Sprite::cut(&sheet, left, top, size)
            };
            let cells = catalogue.concepts.iter().take(count).zip(0..);
            let cut = cells.map(|(concept, index)| concept.styles.contains(style).then(|| cell(index)));
            sprites.insert(*style, cut.collect());
        }
        Ok(Self(sprites))
    }

    /// Sprites that were made elsewhere: per style, one per concept.
    pub fn new(sprites: BTreeMap<Style, Vec<Option<Sprite>>>) -> Self {
        Self(sprites)
    }

    /// The drawing of a concept, if the style has one.
    pub fn get(&self, style: Style, concept: usize) -> Option<&Sprite> {
        self.0.get(&style)?.get(concept)?.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(size: usize, pixel: [u8; 4]) -> Sprite {
        Sprite::from_premultiplied(size, vec![pixel; size * size])
    }

    fn paint(sprite: &Sprite, x: f32, y: f32, size: f32, mirrored: bool) -> RgbImage {
        let mut image = RgbImage::from_pixel(16, 16, image::Rgb([10, 20, 30]));
        sprite.paint(&mut image, Placement { x, y, size, mirrored });
        image
    }

    #[test]
    fn an_opaque_sprite_covers_and_a_clear_one_leaves_the_ground() {
        let image = paint(&flat(8, [200, 100, 50, 255]), 4.0, 4.0, 8.0, false);
        assert_eq!(image.get_pixel(8, 8).0, [200, 100, 50]);
        assert_eq!(image.get_pixel(2, 8).0, [10, 20, 30]);
        let untouched = paint(&flat(8, [0; 4]), 4.0, 4.0, 8.0, false);
        assert!(untouched.pixels().all(|pixel| pixel.0 == [10, 20, 30]));
    }

    #[test]
    fn same_size_on_whole_pixels_copies() {
        let pixels: Vec<[u8; 4]> = (0..64).map(|i| [i, 2 * i, 3 * i, 255]).collect();
        let image = paint(&Sprite::from_premultiplied(8, pixels.clone()), 3.0, 5.0, 8.0, false);
        for (i, pixel) in pixels.iter().enumerate() {
            let found = image.get_pixel(3 + i as u32 % 8, 5 + i as u32 / 8).0;
            assert_eq!(found, [pixel[0], pixel[1], pixel[2]]);
        }
    }

    #[test]
    fn a_distortion_that_changes_nothing_copies_and_colours_turn() {
        let pixels: Vec<[u8; 4]> = (0..64).map(|i| [i, 2 * i, 3 * i, 255]).collect();
        let sprite = Sprite::from_premultiplied(8, pixels);
        let none = Distortion { turn: 0.0, stretch: [1.0; 2], hue: 0.0, saturation: 1.0, brightness: 1.0 };
        assert_eq!(sprite.distorted(&none), sprite);
        // A third of a turn brings every channel to the next.
        let third = Distortion { hue: std::f32::consts::TAU / 3.0, ..none };
        let turned = sprite.distorted(&third);
        assert_eq!(turned.pixels[20], [60, 20, 40, 255]);
        let grey = sprite.distorted(&Distortion { saturation: 0.0, ..none });
        assert_eq!(grey.pixels[20], [40, 40, 40, 255]);
        // Half a turn brings the first pixel to the last place.
        let upside_down = sprite.distorted(&Distortion { turn: std::f32::consts::PI, ..none });
        assert_eq!(upside_down.pixels[63], sprite.pixels[0]);
        let narrow = sprite.distorted(&Distortion { stretch: [0.5, 1.0], ..none });
        assert_eq!(narrow.pixels[0], [0; 4]);
    }

    #[test]
    fn mirroring_twice_is_the_same_as_not_at_all() {
        let mut pixels = vec![[0, 0, 0, 255]; 64];
        pixels[0] = [255, 255, 255, 255];
        let sprite = Sprite::from_premultiplied(8, pixels);
        let mirrored = paint(&sprite, 4.0, 4.0, 8.0, true);
        assert_eq!(mirrored.get_pixel(11, 4).0, [255, 255, 255]);
        assert_eq!(image::imageops::flip_horizontal(&mirrored), paint(&sprite, 4.0, 4.0, 8.0, false));
    }

    #[test]
    fn shrinking_averages() {
        let checker: Vec<[u8; 4]> = (0..1024).map(|i| [((i + i / 32) % 2 * 255) as u8, 0, 0, 255]).collect();
        let image = paint(&Sprite::from_premultiplied(32, checker), 0.0, 0.0, 16.0, false);
        assert!((120..=135).contains(&image.get_pixel(8, 8).0[0]), "{:?}", image.get_pixel(8, 8));
    }

    #[test]
    fn painting_outside_the_image_is_cut_off() {
        for (x, y) in [(-4.0, -4.0), (12.0, 12.0), (-100.0, 3.0), (100.0, 100.0)] {
            let image = paint(&flat(8, [255; 4]), x, y, 8.0, false);
            assert_eq!(image.dimensions(), (16, 16));
        }
    }
}
