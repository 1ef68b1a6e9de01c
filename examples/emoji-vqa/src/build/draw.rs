//! SVG to sprites to sprite sheets.

use std::{collections::BTreeMap, io::BufWriter, path::Path};

use anyhow::{Context, Result};
use color_quant::NeuQuant;
use resvg::{
    tiny_skia::{Pixmap, Transform},
    usvg::{Options, Tree},
};

use crate::sprite::Sprite;

/// Draws an SVG so that its painted part fills a square of `size` pixels but for a rim of one pixel, centred.
///
/// The sets leave different margins; cutting them off makes a cat equally large in all of them.
///
/// # Errors
///
/// When the text is no SVG, or an empty one.
pub(crate) fn rasterise(svg: &str, size: u32) -> Result<Sprite> {
    const PROBE: f32 = 128.0;
    let tree = Tree::from_str(svg, &Options::default()).context("not a valid SVG")?;
    let unit = PROBE / tree.size().width().max(tree.size().height());
    let probe = draw(&tree, PROBE as u32, Transform::from_scale(unit, unit))?;
    let (left, top, right, bottom) = painted_part(&probe).context("the drawing is empty")?;

    let (width, height) = (right - left, bottom - top);
    let room = size as f32 - 2.0;
    let zoom = room / width.max(height);
    let (dx, dy) = (1.0 + (room - zoom * width) / 2.0, 1.0 + (room - zoom * height) / 2.0);
    let transform =
        Transform::from_row(unit * zoom, 0.0, 0.0, unit * zoom, dx - zoom * left, dy - zoom * top);
    let drawn = draw(&tree, size, transform)?;
    let pixels = drawn.pixels().iter().map(|p| [p.red(), p.green(), p.blue(), p.alpha()]).collect();
    Ok(Sprite::from_premultiplied(size as usize, pixels))
}

fn draw(tree: &Tree, size: u32, transform: Transform) -> Result<Pixmap> {
    let mut pixmap = Pixmap::new(size, size).context("a sprite needs a size")?;
    resvg::render(tree, transform, &mut pixmap.as_mut());
    Ok(pixmap)
}

/// Left, top, right and bottom of what is visible.
fn painted_part(pixmap: &Pixmap) -> Option<(f32, f32, f32, f32)> {
    let visible = pixmap.pixels().iter().enumerate().filter(|(_, pixel)| pixel.alpha() > 8);
    let width = pixmap.width() as usize;
    let (mut left, mut top, mut right, mut bottom) = (usize::MAX, usize::MAX, 0, 0);
    for (at, _) in visible {
        let (x, y) = (at % width, at / width);
        (left, top) = (left.min(x), top.min(y));
        (right, bottom) = (right.max(x + 1), bottom.max(y + 1));
    }
    (right > 0).then_some((left as f32, top as f32, right as f32, bottom as f32))
}

/// Writes sprites in reading order as one PNG with a palette of 256 colours, the first of them clear.
///
/// # Errors
///
/// When the file cannot be written.
pub(crate) fn write_sheet(
    path: &Path,
    sprites: &[Option<Sprite>],
    size: usize,
    columns: usize,
) -> Result<u64> {
    let (width, height) = (columns * size, sprites.len().div_ceil(columns) * size);
    let mut pixels = vec![[0u8; 4]; width * height];
    for (index, sprite) in sprites.iter().enumerate() {
        let Some(sprite) = sprite else { continue };
        let (left, top) = (index % columns * size, index / columns * size);
        for (y, row) in sprite.premultiplied().chunks(size).enumerate() {
            let at = (top + y) * width + left;
            for (target, pixel) in pixels[at..at + size].iter_mut().zip(row) {
                *target = straight(*pixel);
            }
        }
    }
    let (palette, alpha, indices) = quantise(&pixels);

    let file = std::fs::File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut encoder = png::Encoder::new(BufWriter::new(file), width as u32, height as u32);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(palette);
    encoder.set_trns(alpha);
    encoder.set_compression(png::Compression::High);
    // Filters predict a pixel from its neighbours, which palette indices do not allow.
    encoder.set_filter(png::Filter::NoFilter);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&indices)?;
    writer.finish()?;
    Ok(std::fs::metadata(path)?.len())
}

/// Colours (RGB), their alpha, and per pixel the index of its colour. Index 0 is clear.
fn quantise(pixels: &[[u8; 4]]) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let visible: Vec<u8> = pixels.iter().filter(|pixel| pixel[3] > 0).flatten().copied().collect();
    if visible.is_empty() {
        return (vec![0; 3], vec![0], vec![0; pixels.len()]);
    }
    let quantiser = NeuQuant::new(3, 255, &visible);
    let (mut palette, mut alpha) = (vec![0; 3], vec![0]);
    for colour in quantiser.color_map_rgba().chunks_exact(4) {
        palette.extend(&colour[..3]);
        alpha.push(colour[3]);
    }
    let mut known: BTreeMap<[u8; 4], u8> = BTreeMap::new();
    let index = |pixel: &[u8; 4]| match pixel[3] {
        0 => 0,
        _ => *known.entry(*pixel).or_insert_with(|| quantiser.index_of(pixel) as u8 + 1),
    };
    let indices = pixels.iter().map(index).collect();
    (palette, alpha, indices)
}

fn straight([r, g, b, a]: [u8; 4]) -> [u8; 4] {
    let divide = |c: u8| match a {
        0 => 0,
        _ => ((u32::from(c) * 255 + u32::from(a) / 2) / u32::from(a)).min(255) as u8,
    };
    [divide(r), divide(g), divide(b), a]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn svg(body: &str) -> String {
        format!("<svg xmlns='http://www.w3.org/2000/svg' width='40' height='40'>{body}</svg>")
    }

    #[test]
    fn drawings_are_cropped_and_centred() {
        // A small square in a corner fills the sprite but for the rim.
        let sprite = rasterise(&svg("<rect x='2' y='30' width='5' height='5' fill='#ff0000'/>"), 16).unwrap();
        let pixels = sprite.premultiplied();
        assert_eq!(pixels[8 * 16 + 8], [255, 0, 0, 255]);
        assert_eq!(pixels[0], [0; 4]);
        // A wide one keeps its shape and stands in the middle.
        let wide = rasterise(&svg("<rect x='0' y='0' width='40' height='10' fill='#ff0000'/>"), 16).unwrap();
        assert_eq!(wide.premultiplied()[8 * 16 + 8][3], 255);
        assert_eq!(wide.premultiplied()[2 * 16 + 8][3], 0);
    }

    #[test]
    fn what_is_no_drawing_is_refused() {
        assert!(rasterise("<html>", 16).is_err());
        assert!(rasterise("", 16).is_err());
        assert!(rasterise(&svg(""), 16).unwrap_err().to_string().contains("empty"));
    }

    #[test]
    fn a_sheet_reads_back_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sheet.png");
        let red = Sprite::from_premultiplied(4, vec![[200, 0, 0, 255]; 16]);
        let blue = Sprite::from_premultiplied(4, vec![[0, 0, 64, 128]; 16]);
        write_sheet(&path, &[Some(red), None, Some(blue)], 4, 2).unwrap();
        let sheet = image::open(&path).unwrap().into_rgba8();
        assert_eq!(sheet.dimensions(), (8, 8));
        let near = |x, y, wanted: [u8; 4]| {
            let found = sheet.get_pixel(x, y).0;
            assert!(found.iter().zip(wanted).all(|(f, w)| f.abs_diff(w) <= 4), "{found:?} {wanted:?}");
        };
        near(1, 1, [200, 0, 0, 255]);
        near(6, 1, [0; 4]);
        near(1, 6, [0, 0, 128, 128]);
    }
}
