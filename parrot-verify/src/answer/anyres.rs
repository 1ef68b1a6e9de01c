//! LLaVA's "anyres" view of a picture: the whole, then tiles of a larger version of it.
//!
//! The reference carries this helper along but its model cannot consume the result, so nothing but the golden
//! cases needs it.

use image::{RgbImage, imageops};
use parrot_model::image::{AspectRatio, ImageProcessorConfig, Pixels, resize_bicubic};
use serde::Deserialize;

use crate::Result;
use crate::golden::{Case, CaseVerdict, Fixture, Quantity};

#[derive(Deserialize)]
struct AnyresCase {
    image: String,
    grid_pinpoints: Vec<(u32, u32)>,
}

/// `preprocess_anyres`: the whole picture and its tiles.
pub(super) fn case(fixture: &Fixture, case: &Case) -> Result<CaseVerdict> {
    let AnyresCase { image, grid_pinpoints } = fixture.directory.fields(case)?;
    let expected = fixture.directory.require(case, "pixel_values")?;
    let size = expected.shape.last().copied().and_then(|size| u32::try_from(size).ok()).unwrap_or(0);
    let tiled = |&(width, height): &(u32, u32)| width.is_multiple_of(size) && height.is_multiple_of(size);
    if size == 0 || grid_pinpoints.is_empty() || !grid_pinpoints.iter().all(tiled) {
        return Err(fixture.directory.error(format!("case {}: no grid of {size}-pixel tiles", case.id)));
    }
    let processor = ImageProcessorConfig::clip(size);
    let views = preprocess(&processor, &fixture.image(&image)?, &grid_pinpoints);
    let found: Vec<f32> = views.into_iter().flat_map(|view| view.data).collect();
    let mut checks = fixture.checks();
    checks.values(Quantity::PixelValues, "pixel_values", &found, &expected.values);
    Ok(checks.into())
}

/// The picture squeezed to a square, then the tiles, row by row, of the picture fitted into the best of
/// `resolutions` (width, height) with black around it. Every resolution is made of whole tiles, and there is at
/// least one.
fn preprocess(processor: &ImageProcessorConfig, image: &RgbImage, resolutions: &[(u32, u32)]) -> Vec<Pixels> {
    let tile = processor.image_size;
    let (width, height) = best_resolution(image.dimensions(), resolutions);
    let edge = processor.resize.edge();
    let mut views = vec![resize_bicubic(image, edge, edge)];
    let fitted = fit(image, width, height);
    for top in (0..height).step_by(tile as usize) {
        for left in (0..width).step_by(tile as usize) {
            views.push(imageops::crop_imm(&fitted, left, top, tile, tile).to_image());
        }
    }
    views.iter().map(|view| processor.preprocess(view, AspectRatio::None)).collect()
}

/// The resolution that keeps most of the picture's pixels, and of those the one that wastes fewest.
fn best_resolution((width, height): (u32, u32), resolutions: &[(u32, u32)]) -> (u32, u32) {
    let area = |(width, height): (u32, u32)| u64::from(width) * u64::from(height);
    let score = |&(to_width, to_height): &(u32, u32)| {
        let scale = (f64::from(to_width) / f64::from(width)).min(f64::from(to_height) / f64::from(height));
        let scaled = ((f64::from(width) * scale) as u32, (f64::from(height) * scale) as u32);
        let kept = area(scaled).min(area((width, height)));
        (kept, std::cmp::Reverse(area((to_width, to_height)) - kept))
    };
    // The first of equals, as the reference takes it; `max_by_key` alone would take the last.
    let best = resolutions.iter().rev().max_by_key(|resolution| score(resolution));
    *best.expect("there is at least one resolution to choose from")
}

/// The picture as large as it fits into `width`×`height`, in the middle of black.
fn fit(image: &RgbImage, width: u32, height: u32) -> RgbImage {
    let across = f64::from(width) / f64::from(image.width());
    let down = f64::from(height) / f64::from(image.height());
    let (new_width, new_height) = if across < down {
        (width, ((f64::from(image.height()) * across).ceil() as u32).min(height))
    } else {
        (((f64::from(image.width()) * down).ceil() as u32).min(width), height)
    };
    let resized = resize_bicubic(image, new_width, new_height);
    let mut canvas = RgbImage::new(width, height);
    let (left, top) = ((width - new_width) / 2, (height - new_height) / 2);
    imageops::replace(&mut canvas, &resized, left.into(), top.into());
    canvas
}
