//! Prompts → answers, on the caller's thread.

use std::ops::ControlFlow;

use parrot_model::language::KvCache;
use parrot_model::text::Conversation;

use super::Parrot;
use super::run::Run;
use crate::answer::Answer;
use crate::device::wait;
use crate::generate::{AskOptions, Constraint, Formats, Scheduler};
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
        wait(async {
            let mut run = Run::begin(self, prompts, options, prefixes.as_deref_mut()).await?;
            while run.step(&mut on_text).await? {}
            run.finish(prefixes).await
        })
    }

    /// A scheduler of this model's decoder.
    pub(crate) fn scheduler(&self, prefill_chunk: usize) -> Scheduler<'_> {
        Scheduler::new(self.model.decoder(), &self.config, &self.eos, prefill_chunk)
    }

    /// The memory that the keys and values of `positions` positions take.
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
