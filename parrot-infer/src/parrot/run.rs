//! Prompts that are answered together, a token at a time.

use std::ops::ControlFlow;

use parrot_model::text::Conversation;

use super::Parrot;
use super::admission::Admitted;
use super::prompt::{Prompt, Prompts};
use crate::Result;
use crate::answer::Answer;
use crate::generate::{AskOptions, Ended, PREFILL_CHUNK, Scheduler, Sequence, Ticket};
use crate::image::Image;
use crate::prefix::PrefixCache;

/// Prompts that are being answered.
#[derive(Debug)]
pub(super) struct Run<'p> {
    parrot: &'p Parrot,
    scheduler: Scheduler<'p>,
    asked: Vec<Admitted>,
    /// One for each prompt, once it has been answered.
    ended: Vec<Option<Ended<'p>>>,
}

impl<'p> Run<'p> {
    /// Encodes the prompts and their images.
    pub(super) async fn begin(
        parrot: &'p Parrot,
        prompts: &[(&Conversation, &[Image])],
        options: &AskOptions,
        mut prefixes: Option<&mut PrefixCache>,
    ) -> Result<Self> {
        parrot.check(options)?;
        // Everything that can be refused is refused before the vision tower runs.
        let Prompts { prompts, images } = parrot.encode(prompts)?;
        let sequence = |prompt: &Prompt| {
            let limit = options.max_new_tokens.min(prompt.room);
            let sequence = Sequence::new(options, limit, &parrot.tokenizer)?;
            Ok(sequence.constrained(parrot.constraint(options)?))
        };
        let sequences = prompts.iter().map(sequence).collect::<Result<Vec<_>>>()?;
        let images = parrot.encode_images(&images)?;

        let mut scheduler = parrot.scheduler(PREFILL_CHUNK);
        let mut asked = Vec::with_capacity(prompts.len());
        for (prompt, sequence) in prompts.iter().zip(sequences) {
            let embedded = parrot.embed_prompt(prompt, &images, prefixes.as_deref()).await?;
            asked.push(embedded.admit(sequence, &mut scheduler, prefixes.as_deref_mut()));
        }
        let ended = asked.iter().map(|_| None).collect();
        Ok(Self { parrot, scheduler, asked, ended })
    }

    /// The weights that a prompt's question gave the experts, one row for each image.
    pub(super) async fn routing_weights(&mut self, prompt: usize) -> Result<&[Vec<f32>]> {
        self.asked[prompt].begun.routing_weights().await
    }

    /// Gives every answer its next token; `false` if all of them had ended.
    ///
    /// - on_text: gets the number of a prompt and more text of its answer, which `Break` ends
    pub(super) async fn step(
        &mut self,
        on_text: &mut dyn FnMut(usize, &str) -> ControlFlow<()>,
    ) -> Result<bool> {
        if self.scheduler.is_empty() {
            return Ok(false);
        }
        let Self { scheduler, asked, ended, .. } = self;
        let number = |ticket: Ticket| asked.iter().position(|asked| asked.ticket == ticket).unwrap_or(0);
        // All prompts first: a step of decoding costs nearly the same however many take part.
        scheduler.step_async(usize::MAX, &mut |ticket, piece| on_text(number(ticket), piece.text)).await;
        for mut sequence in scheduler.retire() {
            if let Some(error) = sequence.error.take() {
                return Err(error);
            }
            let number = number(sequence.ticket);
            ended[number] = Some(sequence);
        }
        Ok(true)
    }

    /// The answers that have ended.
    pub(super) async fn finish(self, mut prefixes: Option<&mut PrefixCache>) -> Result<Vec<Answer>> {
        let Self { parrot, asked, ended, .. } = self;
        let mut answers = Vec::with_capacity(asked.len());
        for (ended, Admitted { chunks, begun, .. }) in ended.into_iter().flatten().zip(asked) {
            if let Some(prefixes) = &mut prefixes {
                prefixes.shrink(0);
                prefixes.keep(chunks, &ended.kv_cache, |positions| parrot.cache_bytes(positions), u64::MAX);
            }
            answers.push(begun.finish(ended).await?);
        }
        Ok(answers)
    }
}
