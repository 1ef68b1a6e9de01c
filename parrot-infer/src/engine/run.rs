//! Prompts → answers.

use std::ops::ControlFlow;
use std::time::Instant;

use burn::prelude::*;
use parrot_model::batch::{PrepareOptions, Sample};
use parrot_model::config::PaddingSide;
use parrot_model::image::Pixels;
use parrot_model::parrot::ImageFeatures;
use parrot_model::projector::Routing;
use parrot_model::text::{Conversation, IMAGE_TOKEN_INDEX};

use super::{Answer, Image, Parrot, Timings};
use crate::generate::{FinishReason, Phases, Sequence, generate};
use crate::options::AskOptions;
use crate::{Error, Result};

impl Parrot {
    /// Answers a batch of prompts.
    pub(super) fn run(
        &self,
        prompts: &[(&Conversation, &[Image])],
        options: &AskOptions,
        on_text: impl FnMut(usize, &str) -> ControlFlow<()>,
    ) -> Result<Vec<Answer>> {
        if prompts.is_empty() {
            return Ok(Vec::new());
        }
        options.validate()?;
        // Everything that can be refused is refused before the vision tower runs.
        let Prompts { samples, images, room } = self.encode(prompts)?;
        let sequence =
            |room: &usize| Sequence::new(options, options.max_new_tokens.min(*room), &self.tokenizer);
        let mut sequences = room.iter().map(sequence).collect::<Result<Vec<_>>>()?;
        let mut timings = Timings { load: self.load, ..Timings::default() };
        let (features, encoded_images) = self.features(&images, &mut timings)?;

        let started = Instant::now();
        let prepared = self.network.prepare(&samples, features.as_ref(), left_padded())?;
        let lengths = prepared.lengths.clone();
        let routing = prepared.routing.clone();
        let preparing = started.elapsed();
        let decoder = self.network.decoder();
        let Phases { prefill, decode, decode_steps } =
            generate(decoder, &self.config, prepared, &mut sequences, &self.eos, on_text)?;
        timings = Timings { prefill: preparing + prefill, decode, decode_steps, ..timings };
        // Read last, so that the prompt does not wait for it.
        let mut routing = routing_weights(routing)?.into_iter();

        let answers =
            sequences.into_iter().zip(samples).zip(lengths).map(|((sequence, sample), length)| Answer {
                text: sequence.text,
                token_ids: sequence.token_ids,
                finish_reason: sequence.finish_reason.unwrap_or(FinishReason::Length),
                prompt_tokens: length,
                routing_weights: routing.by_ref().take(sample.images.len()).collect(),
                encoded_images,
                timings,
            });
        Ok(answers.collect())
    }

    /// Encodes the prompts, each followed by the header of its answer.
    ///
    /// # Errors
    ///
    /// As [`answer`](Self::answer), for what can be known before anything is computed.
    pub(super) fn encode<'p>(&self, prompts: &[(&Conversation, &'p [Image])]) -> Result<Prompts<'p>> {
        let mut encoded = Prompts { samples: Vec::new(), images: Vec::new(), room: Vec::new() };
        for (conversation, images) in prompts {
            if !images.is_empty() {
                self.network.parrot()?;
            }
            let rows = images.iter().map(|image| row_of(image, &mut encoded.images)).collect();
            let input_ids = self.template.encode(&self.tokenizer, conversation, Some(""))?.input_ids;
            encoded.room.push(self.room(&input_ids, images.len())?);
            let routing_text = self.routing_text.clone();
            encoded.samples.push(Sample { routing_text, ..Sample::new(input_ids, rows) });
        }
        Ok(encoded)
    }

    /// How many tokens of an answer fit behind this prompt.
    fn room(&self, input_ids: &[i64], images: usize) -> Result<usize> {
        let placeholders = input_ids.iter().filter(|id| **id == IMAGE_TOKEN_INDEX).count();
        if placeholders != images {
            return Err(parrot_model::Error::ImageCount { placeholders, images }.into());
        }
        let image_tokens = self.network.parrot().map_or(0, |(_, images)| images.tokens);
        let found = input_ids.len() - placeholders + placeholders * image_tokens;
        let limit = self.config.max_position_embeddings;
        if found > limit {
            return Err(parrot_model::Error::TooLong { found, limit }.into());
        }
        // The last token of an answer is never read back, so it takes no position.
        Ok(limit - found + 1)
    }

    /// The features of the pictures, one row each, and how many had to be computed.
    ///
    /// Pictures go through the tower one at a time, so that a remembered one is bit for bit what it would be
    /// if it were computed again.
    pub(super) fn features(
        &self,
        images: &[&Image],
        timings: &mut Timings,
    ) -> Result<(Option<ImageFeatures>, usize)> {
        let mut encoded = 0;
        let mut rows = Vec::with_capacity(images.len());
        for image in images {
            if let Some(features) = self.remembered.get(image.content()) {
                rows.push(features);
                continue;
            }
            if image.pixels().is_empty() {
                let reason = "the picture has no pixels".into();
                return Err(parrot_model::Error::Image { name: "given as pixels".into(), reason }.into());
            }
            let started = Instant::now();
            let (parrot, images) = self.network.parrot()?;
            let pixels = images.processor.preprocess(image.pixels(), images.aspect_ratio);
            let pixel_values = Pixels::to_tensor(&[pixels], &self.device);
            timings.preprocess += started.elapsed();
            let started = Instant::now();
            let features = parrot.encode_images(pixel_values);
            self.device.sync().map_err(|source| Error::Compute(source.into()))?;
            timings.vision += started.elapsed();
            encoded += 1;
            self.remembered.insert(*image.content(), features.clone());
            rows.push(features);
        }
        Ok((stack(rows), encoded))
    }
}

/// A batch of prompts.
pub(super) struct Prompts<'p> {
    pub(super) samples: Vec<Sample>,
    /// Every picture that is shown, once; the samples refer to these by index.
    pub(super) images: Vec<&'p Image>,
    /// How many tokens the answer to each prompt may have.
    pub(super) room: Vec<usize>,
}

/// Padding before the prompt, so that answers begin in the same column.
pub(super) fn left_padded() -> PrepareOptions {
    PrepareOptions { padding_side: PaddingSide::Left, ..PrepareOptions::default() }
}

/// The row of `image` among the `unique` ones, to which it is added if it is new.
fn row_of<'a>(image: &'a Image, unique: &mut Vec<&'a Image>) -> usize {
    let known = unique.iter().position(|known| known.content() == image.content());
    known.unwrap_or_else(|| {
        unique.push(image);
        unique.len() - 1
    })
}

/// Features of one picture each → features of all.
fn stack(mut rows: Vec<ImageFeatures>) -> Option<ImageFeatures> {
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

/// One row per routed picture, in the order of the prompts.
fn routing_weights(routing: Option<Routing>) -> Result<Vec<Vec<f32>>> {
    let Some(Routing { routing_weights, .. }) = routing else { return Ok(Vec::new()) };
    let [_, experts] = routing_weights.dims();
    let weights = routing_weights.try_into_vec_as::<f32>()?;
    Ok(weights.chunks_exact(experts).map(<[f32]>::to_vec).collect())
}
