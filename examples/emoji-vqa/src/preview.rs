//! `emoji-vqa preview`: look at samples before training on them.

use std::path::Path;

use anyhow::{Context, Result};
use image::{RgbImage, imageops};

use crate::{
    dataset::{Dataset, DatasetConfig},
    language::Language,
};

/// What to look at.
#[derive(Clone, Copy, Debug)]
pub struct Preview {
    /// How many samples.
    pub samples: usize,
    /// Edge of a picture in pixels.
    pub size: u32,
    /// Evaluation items instead of training samples; the number is that of scenes.
    pub evaluation: bool,
}

/// Writes a contact sheet of samples to `out` and gives their questions, a line each.
///
/// # Errors
///
/// When the data set cannot be read or the sheet cannot be written.
pub fn preview(assets: &Path, out: &Path, config: DatasetConfig, preview: Preview) -> Result<String> {
    let dataset = Dataset::load(assets, config)?;
    let mut images = Vec::new();
    let mut lines = Vec::new();
    if preview.evaluation {
        for (index, item) in dataset.evaluation(preview.samples).iter().enumerate() {
            lines.push(format!("{index} {:?} {:?}", item.scene.style, item.query.task));
            for language in Language::ALL {
                let turn = item.choice.get(language);
                lines.push(format!("  {}  {}", turn.prompt().replace('\n', "  "), turn.text));
            }
            images.push(dataset.render(&item.scene, preview.size));
        }
    } else {
        for index in 0..preview.samples as u64 {
            let sample = dataset.sample(index);
            lines.push(format!("{index} {:?}", sample.scene.style));
            lines
                .push(format!("  {}", dataset.describe(&sample.scene, sample.language).replace('\n', " | ")));
            for turn in &sample.turns {
                lines.push(format!("  {}  -> {}", turn.prompt().replace('\n', "  "), turn.text));
            }
            images.push(dataset.render(&sample.scene, preview.size));
        }
    }
    contact_sheet(&images, preview.size)
        .save(out)
        .with_context(|| format!("cannot write {}", out.display()))?;
    Ok(lines.join("\n") + "\n")
}

/// Pictures in reading order on white.
fn contact_sheet(images: &[RgbImage], size: u32) -> RgbImage {
    const GAP: u32 = 6;
    let count = images.len().max(1) as u32;
    let columns = (1..).find(|side| side * side >= count).unwrap_or(count);
    let step = size + GAP;
    let rows = count.div_ceil(columns);
    let mut sheet =
        RgbImage::from_pixel(columns * step + GAP, rows * step + GAP, image::Rgb([255, 255, 255]));
    for (index, image) in (0..).zip(images) {
        let (x, y) = (index % columns * step + GAP, index / columns * step + GAP);
        imageops::replace(&mut sheet, image, i64::from(x), i64::from(y));
    }
    sheet
}
