//! Prompts → answers.

use std::ops::ControlFlow;
use std::time::Duration;

use burn::prelude::*;
use parrot_model::batch::{PrepareOptions, Prepared, Sample};
use parrot_model::image::Pixels;
use parrot_model::int_tensor;
use parrot_model::language::{KvCache, STEP_ROWS};
use parrot_model::parrot::ImageFeatures;
use parrot_model::projector::Routing;
use parrot_model::text::{Conversation, IMAGE_TOKEN_INDEX};
use web_time::Instant;

use super::Parrot;
use crate::answer::{Answer, Timings};
use crate::generate::{
    AskOptions, Constraint, Ended, Formats, PREFILL_CHUNK, Phases, Scheduler, Sequence, Ticket,
};
use crate::image::Image;
use crate::prefix::{ChunkName, PrefixCache, chunk_names};
use crate::{Error, Result};

/// Images that go through the vision tower together at most: enough to keep a GPU busy, few enough that answers under way do
/// not wait long.
const IMAGE_BATCH: usize = 4;

impl Parrot {
    /// Answers a batch of prompts.
    ///
    /// - prefixes: the beginning of the prompt before; becomes that of the last of these
    pub(crate) fn run(
        &self,
        prompts: &[(&Conversation, &[Image])],
        options: &AskOptions,
        mut prefixes: Option<&mut PrefixCache>,
        mut on_text: impl FnMut(usize, &str) -> ControlFlow<()>,
    ) -> Result<Vec<Answer>> {
        if prompts.is_empty() {
            return Ok(Vec::new());
        }
        self.check(options)?;
        // Everything that can be refused is refused before the vision tower runs.
        let Prompts { samples, images, room } = self.encode(prompts)?;
        let sequence = |room: &usize| {
            let sequence = Sequence::new(options, options.max_new_tokens.min(*room), &self.tokenizer)?;
            Ok(sequence.constrained(self.constraint(options)?))
        };
        let sequences = room.iter().map(sequence).collect::<Result<Vec<_>>>()?;
        let mut timings = Timings { load: self.load, ..Timings::default() };
        let (features, encoded_images) = self.features(&images, &mut timings)?;

        let mut scheduler = self.scheduler(PREFILL_CHUNK);
        let mut asked = Vec::with_capacity(prompts.len());
        for (sample, sequence) in samples.iter().zip(sequences) {
            let started = Instant::now();
            let prepared = self.prepare(sample, &features)?;
            let (prompt, prompt_tokens) = (prepared.input.inputs_embeds, prepared.lengths[0]);
            let mut chunks = Vec::new();
            let mut known = None;
            if let Some(prefixes) = &mut prefixes {
                let images: Vec<Image> = images.iter().copied().cloned().collect();
                let weights = routing_weights(prepared.routing.clone())?;
                chunks = self.chunk_names(sample, &images, &weights, PREFILL_CHUNK);
                known = prefixes.find(&chunks);
            }
            let reused_tokens = known.map_or(0, |(_, chunks)| chunks * PREFILL_CHUNK);
            let ticket = match known {
                Some((kv_cache, _)) => scheduler.resume(prompt, sequence, kv_cache, reused_tokens),
                None => scheduler.admit(prompt, sequence),
            };
            let routing = prepared.routing;
            asked.push(Asked {
                ticket,
                prompt_tokens,
                reused_tokens,
                chunks,
                routing,
                preparing: started.elapsed(),
            });
        }
        let number = |ticket: Ticket| asked.iter().position(|asked| asked.ticket == ticket).unwrap_or(0);
        let mut ended: Vec<Option<Ended<'_>>> = asked.iter().map(|_| None).collect();
        while !scheduler.is_empty() {
            // All prompts first: a step of decoding costs nearly the same however many take part.
            scheduler.step(usize::MAX, &mut |ticket, piece| on_text(number(ticket), piece.text));
            for mut sequence in scheduler.retire() {
                if let Some(error) = sequence.error.take() {
                    return Err(error);
                }
                let number = number(sequence.ticket);
                ended[number] = Some(sequence);
            }
        }
        let mut answers = Vec::with_capacity(prompts.len());
        for (ended, asked) in ended.into_iter().flatten().zip(asked) {
            let Asked { prompt_tokens, reused_tokens, chunks, routing, preparing, .. } = asked;
            if let Some(prefixes) = &mut prefixes {
                prefixes.shrink(0);
                let bytes_of = |positions| self.cache_bytes(positions);
                prefixes.keep(chunks, &ended.kv_cache, PREFILL_CHUNK, bytes_of, u64::MAX);
            }
            let Phases { prefill, decode, decode_steps } = ended.phases;
            answers.push(Answer {
                timings: Timings { prefill: preparing + prefill, decode, decode_steps, ..timings },
                prompt_tokens,
                reused_tokens,
                // Read last, so that the prompt does not wait for it.
                routing_weights: routing_weights(routing)?,
                encoded_images,
                ..Answer::from_sequence(ended.sequence)
            });
        }
        Ok(answers)
    }

    /// A scheduler of this model's decoder.
    pub(crate) fn scheduler(&self, prefill_chunk: usize) -> Scheduler<'_> {
        Scheduler::new(self.network.decoder(), &self.config, &self.eos, prefill_chunk)
    }

    /// The memory that keys and values of so many positions take.
    pub(crate) fn cache_bytes(&self, positions: usize) -> u64 {
        KvCache::bytes(&self.config, positions, self.decoder().activation_dtype())
    }

    /// As [`chunk_names`].
    pub(crate) fn chunk_names(
        &self,
        sample: &Sample,
        images: &[Image],
        routing_weights: &[Vec<f32>],
        chunk: usize,
    ) -> Vec<ChunkName> {
        let image_tokens = self.network.parrot().map_or(0, |(_, images)| images.tokens);
        chunk_names(sample, images, routing_weights, image_tokens, chunk)
    }

    /// Validates the options, also against the model's vocabulary.
    pub(crate) fn check(&self, options: &AskOptions) -> Result<()> {
        options.validate()?;
        let vocab = self.config.vocab_size;
        match options.sampling.logit_bias.iter().find(|(id, _)| *id as usize >= vocab) {
            Some((id, _)) => Err(Error::option("logit_bias", "of tokens in the vocabulary", id)),
            None => Ok(()),
        }
    }

    /// What an answer must be; `None` where the options ask for no form.
    ///
    /// # Errors
    ///
    /// [`Error::Format`].
    pub(crate) fn constraint(&self, options: &AskOptions) -> Result<Option<Constraint>> {
        let Some(format) = &options.format else { return Ok(None) };
        let formats = match self.formats.get() {
            Some(formats) => formats,
            None => {
                let made = Formats::new(&self.tokenizer, self.decoder().vocab_size(), &self.eos)?;
                self.formats.get_or_init(|| made)
            }
        };
        formats.constraint(format).map(Some)
    }

    /// One prompt's embeddings.
    ///
    /// - features: those of every image that the sample may refer to
    pub(crate) fn prepare(&self, sample: &Sample, features: &[ImageFeatures]) -> Result<Prepared> {
        let shown = stack(sample.images.iter().map(|image| features[*image].clone()).collect());
        let sample = Sample { images: (0..sample.images.len()).collect(), ..sample.clone() };
        Ok(self.network.prepare(&[sample], shown.as_ref(), PrepareOptions::default())?)
    }

    /// Encodes the prompts, each followed by the header of its answer.
    ///
    /// # Errors
    ///
    /// As [`answer`](Self::answer), for what can be known before anything is computed.
    pub(crate) fn encode<'p>(&self, prompts: &[(&Conversation, &'p [Image])]) -> Result<Prompts<'p>> {
        let mut encoded = Prompts { samples: Vec::new(), images: Vec::new(), room: Vec::new() };
        for (conversation, images) in prompts {
            if !images.is_empty() {
                self.network.parrot()?;
            }
            let rows = images.iter().map(|image| row_of(image, &mut encoded.images)).collect();
            let input_ids = self.template.encode_prompt(&self.tokenizer, conversation, "")?.input_ids;
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

    /// The features of each image, and how many had to be computed.
    pub(crate) fn features(
        &self,
        images: &[&Image],
        timings: &mut Timings,
    ) -> Result<(Vec<ImageFeatures>, usize)> {
        let mut features: Vec<_> = images.iter().map(|image| self.remembered.get(image.content())).collect();
        let new: Vec<usize> = (0..images.len()).filter(|at| features[*at].is_none()).collect();
        for batch in new.chunks(self.images_at_once()) {
            let encoded = self.encode_images(batch.iter().map(|at| images[*at]), timings)?;
            for (at, encoded) in batch.iter().zip(encoded) {
                self.remembered.insert(*images[*at].content(), encoded.clone());
                features[*at] = Some(encoded);
            }
        }
        Ok((features.into_iter().flatten().collect(), new.len()))
    }

    /// How many images go through the vision tower together. On the CPU an image's features are then bit for bit what they are
    /// alone: the rows of a product are few in both, or many in both.
    fn images_at_once(&self) -> usize {
        let tokens = self.network.parrot().map_or(1, |(_, images)| images.tokens);
        // The class token takes no part in the first product.
        if tokens > STEP_ROWS + 1 { IMAGE_BATCH } else { (STEP_ROWS / tokens).clamp(1, IMAGE_BATCH) }
    }

    /// Images through the vision tower, the projector and the experts, all at once.
    fn encode_images<'i>(
        &self,
        images: impl Iterator<Item = &'i Image>,
        timings: &mut Timings,
    ) -> Result<Vec<ImageFeatures>> {
        let started = Instant::now();
        let (parrot, input) = self.network.parrot()?;
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
        self.device.sync().map_err(|source| Error::Compute(source.into()))?;
        timings.vision += started.elapsed();
        Ok(unstack(features, pixels.len()))
    }
}

/// A prompt that is being answered.
struct Asked {
    ticket: Ticket,
    prompt_tokens: usize,
    reused_tokens: usize,
    /// Of the prompt, if its beginning is to be kept.
    chunks: Vec<ChunkName>,
    routing: Option<Routing>,
    preparing: Duration,
}

/// A batch of prompts.
pub(crate) struct Prompts<'p> {
    pub(crate) samples: Vec<Sample>,
    /// Every picture that is shown, once; the samples refer to these by index.
    pub(crate) images: Vec<&'p Image>,
    /// How many tokens the answer to each prompt may have.
    pub(crate) room: Vec<usize>,
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
pub(crate) fn stack(mut rows: Vec<ImageFeatures>) -> Option<ImageFeatures> {
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

/// Features of several pictures → features of one each, in memory of their own.
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

/// One row per routed picture, in the order of the prompts.
pub(crate) fn routing_weights(routing: Option<Routing>) -> Result<Vec<Vec<f32>>> {
    let Some(Routing { routing_weights, .. }) = routing else { return Ok(Vec::new()) };
    let [_, experts] = routing_weights.dims();
    let weights = routing_weights.try_into_vec_as::<f32>()?;
    Ok(weights.chunks_exact(experts).map(<[f32]>::to_vec).collect())
}
