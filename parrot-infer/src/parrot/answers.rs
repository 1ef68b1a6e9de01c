//! Prompts → answers, on the caller's thread.

use std::ops::ControlFlow;

use parrot_model::language::KvCache;
use parrot_model::text::Conversation;

use super::Parrot;
use super::admission::Admitted;
use super::prompt::{Prompt, Prompts};
use crate::answer::Answer;
use crate::generate::{AskOptions, Constraint, Ended, Formats, PREFILL_CHUNK, Scheduler, Sequence, Ticket};
use crate::image::Image;
use crate::prefix::PrefixCache;
use crate::{Error, Result};

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
        let Prompts { prompts, images } = self.encode(prompts)?;
        let sequence = |prompt: &Prompt| {
            let limit = options.max_new_tokens.min(prompt.room);
            Ok(Sequence::new(options, limit, &self.tokenizer)?.constrained(self.constraint(options)?))
        };
        let sequences = prompts.iter().map(sequence).collect::<Result<Vec<_>>>()?;
        let images = self.encode_images(&images)?;

        let mut scheduler = self.scheduler(PREFILL_CHUNK);
        let mut asked = Vec::with_capacity(prompts.len());
        for (prompt, sequence) in prompts.iter().zip(sequences) {
            let embedded = self.embed_prompt(prompt, &images, prefixes.as_deref())?;
            asked.push(embedded.admit(sequence, &mut scheduler, prefixes.as_deref_mut()));
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
        let mut answers = Vec::with_capacity(asked.len());
        for (ended, Admitted { chunks, begun, .. }) in ended.into_iter().flatten().zip(asked) {
            if let Some(prefixes) = &mut prefixes {
                prefixes.shrink(0);
                prefixes.keep(chunks, &ended.kv_cache, |positions| self.cache_bytes(positions), u64::MAX);
            }
            answers.push(begun.finish(ended)?);
        }
        Ok(answers)
    }

    /// A scheduler of this model's decoder.
    pub(crate) fn scheduler(&self, prefill_chunk: usize) -> Scheduler<'_> {
        Scheduler::new(self.model.decoder(), &self.config, &self.eos, prefill_chunk)
    }

    /// The memory that keys and values of so many positions take.
    pub(crate) fn cache_bytes(&self, positions: usize) -> u64 {
        KvCache::bytes(&self.config, positions, self.decoder().activation_dtype())
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
}
