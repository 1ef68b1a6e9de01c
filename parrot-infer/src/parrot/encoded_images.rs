//! Images → their features, through the vision tower or from memory.

use burn::prelude::*;
use parrot_model::image::Pixels;
use parrot_model::int_tensor;
use parrot_model::language::STEP_ROWS;
use parrot_model::parrot::ImageFeatures;
use web_time::Instant;

use super::Parrot;
use crate::Result;
use crate::answer::Timings;
use crate::image::{ContentHash, Image};

/// Images that go through the vision tower together at most: enough to keep a GPU busy, few enough that answers under way do
/// not wait long.
const IMAGE_BATCH: usize = 4;

/// Images with their features.
#[derive(Debug)]
pub(crate) struct EncodedImages {
    /// Which images they are.
    pub(crate) contents: Vec<ContentHash>,
    /// The features of each.
    pub(crate) features: Vec<ImageFeatures>,
    /// How many had to be computed; the others were remembered.
    pub(crate) computed: usize,
    /// How long loading the model and encoding these took.
    pub(crate) timings: Timings,
}

impl EncodedImages {
    /// Some of them: those of one of the prompts that they were encoded for.
    pub(crate) fn select(&self, images: &[Image]) -> Self {
        let position = |image: &Image| self.contents.iter().position(|known| known == image.content());
        let features = images.iter().filter_map(position).map(|at| self.features[at].clone()).collect();
        Self { contents: images.iter().map(|image| *image.content()).collect(), features, ..*self }
    }
}

impl Parrot {
    /// The features of each image.
    pub(crate) fn encode_images(&self, images: &[&Image]) -> Result<EncodedImages> {
        let mut timings = Timings { load: self.load, ..Timings::default() };
        let mut features: Vec<_> = images.iter().map(|image| self.remembered.get(image.content())).collect();
        let new: Vec<usize> = (0..images.len()).filter(|at| features[*at].is_none()).collect();
        for batch in new.chunks(self.images_at_once()) {
            let computed = self.compute_features(batch.iter().map(|at| images[*at]), &mut timings)?;
            for (at, computed) in batch.iter().zip(computed) {
                self.remembered.insert(*images[*at].content(), computed.clone());
                features[*at] = Some(computed);
            }
        }
        let contents = images.iter().map(|image| *image.content()).collect();
        let features = features.into_iter().flatten().collect();
        Ok(EncodedImages { contents, features, computed: new.len(), timings })
    }

    /// How many images go through the vision tower together. On the CPU an image's features are then bit for bit what they are
    /// alone: the rows of a product are few in both, or many in both.
    fn images_at_once(&self) -> usize {
        let tokens = self.model.image_tokens().max(1);
        // The class token takes no part in the first product.
        if tokens > STEP_ROWS + 1 { IMAGE_BATCH } else { (STEP_ROWS / tokens).clamp(1, IMAGE_BATCH) }
    }

    /// Images through the vision tower, the projector and the experts, all at once.
    fn compute_features<'i>(
        &self,
        images: impl Iterator<Item = &'i Image>,
        timings: &mut Timings,
    ) -> Result<Vec<ImageFeatures>> {
        let started = Instant::now();
        let (parrot, input) = self.model.parrot()?;
        let pixels = images.map(|image| {
            if image.pixels().is_empty() {
                let reason = "the picture has no pixels".into();
                return Err(parrot_model::Error::Image { name: "given as pixels".into(), reason }.into());
            }
            Ok(input.processor.preprocess(image.pixels(), input.aspect_ratio))
        });
        let pixels = pixels.collect::<Result<Vec<_>>>()?;
        let pixel_values = Pixels::to_tensor(&pixels, &self.device);
        timings.preprocess += started.elapsed();
        let started = Instant::now();
        let features = parrot.encode_images(pixel_values);
        // A browser cannot wait here: there, an error shows when a result is read, and the time is the prompt's.
        #[cfg(not(target_family = "wasm"))]
        self.device.sync().map_err(|source| crate::Error::Compute(source.into()))?;
        timings.vision += started.elapsed();
        Ok(unstack(features, pixels.len()))
    }
}

/// Features of one image each → features of all.
pub(super) fn stack(mut rows: Vec<ImageFeatures>) -> Option<ImageFeatures> {
    if rows.len() < 2 {
        return rows.pop();
    }
    let experts_output: Option<Vec<_>> = rows.iter().map(|row| row.experts_output.clone()).collect();
    let image_features = rows.into_iter().map(|row| row.image_features).collect();
    Some(ImageFeatures {
        image_features: Tensor::cat(image_features, 0),
        experts_output: experts_output.map(|rows| Tensor::cat(rows, 0)),
    })
}

/// Features of several images → features of one each, in memory of their own.
fn unstack(features: ImageFeatures, count: usize) -> Vec<ImageFeatures> {
    if count == 1 {
        return vec![features];
    }
    let ImageFeatures { image_features, experts_output } = features;
    let device = image_features.device();
    let row = |at: usize| {
        let at = int_tensor(&[at as i64], &device);
        ImageFeatures {
            image_features: image_features.clone().select(0, at.clone()),
            experts_output: experts_output.clone().map(|experts| experts.select(0, at)),
        }
    };
    (0..count).map(row).collect()
}
