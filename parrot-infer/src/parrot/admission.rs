//! A prompt → an answer, around the decode loop: the prompt is embedded and handed over to a [`Scheduler`], and what comes back
//! becomes the [`Answer`]. [`Parrot`] and [`Engine`](crate::Engine) both work this way.

use burn::prelude::*;
use burn::tensor::TensorReadError;
use parrot_model::projector::Routing;
use web_time::Instant;

use super::Parrot;
use super::encoded_images::EncodedImages;
use super::prompt::Prompt;
use crate::Result;
use crate::answer::{Answer, Timings};
use crate::generate::{Ended, FinishReason, Phases, Scheduler, Sequence, Ticket};
use crate::prefix::{ChunkName, PrefixCache, chunk_names};

/// A prompt that a scheduler can read.
#[derive(Debug)]
pub(crate) struct EmbeddedPrompt {
    /// `[1, seq, hidden]`
    embeddings: Tensor<3>,
    /// The names of its chunks, if beginnings of prompts are kept.
    pub(crate) chunks: Vec<ChunkName>,
    begun: BegunAnswer,
    started: Instant,
}

/// A prompt in the hands of a scheduler.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) ticket: Ticket,
    /// As in [`EmbeddedPrompt`].
    pub(crate) chunks: Vec<ChunkName>,
    pub(crate) begun: BegunAnswer,
}

/// What is known of an answer before its first token.
#[derive(Debug)]
pub(crate) struct BegunAnswer {
    prompt_tokens: usize,
    /// Tokens of the prompt that need not be read.
    pub(crate) reused_tokens: usize,
    routing: RoutingWeights,
    encoded_images: usize,
    timings: Timings,
}

/// The weights that a prompt gives the experts for each of its images. To read them is to wait for the device.
#[derive(Debug)]
struct RoutingWeights {
    on_device: Option<Routing>,
    /// One row for each image, once they have been read.
    read: Vec<Vec<f32>>,
}

impl Parrot {
    /// Embeds a prompt.
    ///
    /// - images: those that it refers to
    /// - prefixes: where its beginning is looked for and kept, if it is
    pub(crate) async fn embed_prompt(
        &self,
        prompt: &Prompt,
        images: &EncodedImages,
        prefixes: Option<&PrefixCache>,
    ) -> Result<EmbeddedPrompt> {
        let started = Instant::now();
        let prepared = self.embed(&prompt.sample, &images.features)?;
        let mut routing = RoutingWeights { on_device: prepared.routing, read: Vec::new() };
        let chunks = match prefixes {
            Some(prefixes) => {
                let (weights, image_tokens) = (routing.read().await?, self.model.image_tokens());
                chunk_names(&prompt.sample, &images.contents, weights, image_tokens, prefixes.chunk())
            }
            None => Vec::new(),
        };
        let begun = BegunAnswer {
            prompt_tokens: prompt.tokens,
            reused_tokens: 0,
            routing,
            encoded_images: images.computed,
            timings: images.timings,
        };
        Ok(EmbeddedPrompt { embeddings: prepared.input.inputs_embeds, chunks, begun, started })
    }
}

impl EmbeddedPrompt {
    /// For each image in turn, the weight that the prompt gives each expert; none where nothing is routed.
    pub(crate) async fn routing_weights(&mut self) -> Result<&[Vec<f32>]> {
        self.begun.routing.read().await
    }

    /// Hands the prompt over, to be read from behind its longest known beginning on.
    pub(crate) fn admit<'n>(
        self,
        sequence: Sequence<'n>,
        scheduler: &mut Scheduler<'n>,
        prefixes: Option<&mut PrefixCache>,
    ) -> Admitted {
        let Self { embeddings, chunks, mut begun, started } = self;
        let known = prefixes.and_then(|prefixes| {
            let chunk = prefixes.chunk();
            prefixes.find(&chunks).map(|(kv_cache, count)| (kv_cache, count * chunk))
        });
        let ticket = match known {
            Some((kv_cache, len)) => {
                begun.reused_tokens = len;
                scheduler.resume(embeddings, sequence, kv_cache, len)
            }
            None => scheduler.admit(embeddings, sequence),
        };
        begun.timings.prefill = started.elapsed();
        Admitted { ticket, chunks, begun }
    }
}

impl BegunAnswer {
    /// As [`EmbeddedPrompt::routing_weights`].
    pub(super) async fn routing_weights(&mut self) -> Result<&[Vec<f32>]> {
        self.routing.read().await
    }

    /// The whole answer, from what the scheduler made of the prompt.
    ///
    /// # Errors
    ///
    /// That of the sequence, if it failed.
    pub(crate) async fn finish(mut self, ended: Ended<'_>) -> Result<Answer> {
        let Ended { sequence, phases, error, .. } = ended;
        if let Some(error) = error {
            return Err(error);
        }
        // Read last, so that the prompt does not wait for it.
        self.routing.read().await?;
        let Self { prompt_tokens, reused_tokens, routing, encoded_images, timings } = self;
        let Phases { prefill, decode, decode_steps } = phases;
        Ok(Answer {
            text: sequence.text,
            token_ids: sequence.token_ids,
            logprobs: sequence.logprobs,
            finish_reason: sequence.finish_reason.unwrap_or(FinishReason::Length),
            prompt_tokens,
            reused_tokens,
            routing_weights: routing.read,
            encoded_images,
            timings: Timings { prefill: timings.prefill + prefill, decode, decode_steps, ..timings },
        })
    }
}

impl RoutingWeights {
    async fn read(&mut self) -> Result<&[Vec<f32>]> {
        if let Some(Routing { routing_weights, .. }) = self.on_device.take() {
            let [_, experts] = routing_weights.dims();
            let data = routing_weights.into_data_async().await.map_err(TensorReadError::from)?;
            let weights = data.try_into_vec_as::<f32>().map_err(TensorReadError::from)?;
            self.read = weights.chunks_exact(experts).map(<[f32]>::to_vec).collect();
        }
        Ok(&self.read)
    }
}
