//! Samples that go through the network together.

use burn::prelude::*;
use parrot_model::batch::Sample;
use parrot_model::image::Pixels;

use crate::data::TrainingSample;

/// Samples that go through the network together.
#[derive(Debug, Clone)]
pub struct MicroBatch {
    /// Ids and labels; `images` are rows of `pixel_values`.
    pub samples: Vec<Sample>,
    /// `[images, 3, size, size]`; `None` when no sample has a picture.
    pub pixel_values: Option<Tensor<4>>,
    /// The samples' names, for reports.
    pub ids: Vec<String>,
}

impl MicroBatch {
    /// Puts samples together. Pictures go to `device`, which may be one with or without autodiff.
    ///
    /// # Panics
    ///
    /// If pictures differ in size; [`TrainingSample::check`] tells beforehand.
    #[must_use]
    pub fn collate(samples: Vec<TrainingSample>, device: &Device) -> Self {
        let mut pixels: Vec<Pixels> = Vec::new();
        let mut batch = Self { samples: Vec::new(), pixel_values: None, ids: Vec::new() };
        for sample in samples {
            let images = (pixels.len()..pixels.len() + sample.pixels.len()).collect();
            pixels.extend(sample.pixels);
            batch.ids.push(sample.id);
            batch.samples.push(Sample {
                input_ids: sample.input_ids,
                labels: Some(sample.labels),
                images,
                routing_text: sample.routing_text,
            });
        }
        if !pixels.is_empty() {
            batch.pixel_values = Some(Pixels::to_tensor(&pixels, &device.clone().inner()));
        }
        batch
    }
}
