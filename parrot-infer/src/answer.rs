//! What comes back for a question.

use std::time::Duration;

use crate::generate::{FinishReason, TokenLogprob};

/// An answer and how it came about.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Answer {
    /// The text, exactly as generated; special tokens and the stop string are not part of it.
    pub text: String,
    /// Every generated id, including the one that ended the answer.
    pub token_ids: Vec<u32>,
    /// How likely each of these tokens was; empty unless [`AskOptions::top_logprobs`](crate::AskOptions::top_logprobs) asks.
    pub logprobs: Vec<TokenLogprob>,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Tokens of the prompt, including those of its pictures.
    pub prompt_tokens: usize,
    /// Those of them, from the first on, that did not have to be read, because their keys and values were known from an earlier
    /// turn or question.
    pub reused_tokens: usize,
    /// For each picture in turn, the weight that the question gave each expert (Eq. 3); they sum to 1.
    /// Empty where the model has no mixture of experts.
    pub routing_weights: Vec<Vec<f32>>,
    /// Pictures that had to go through the vision tower, in the whole batch; the others were remembered.
    pub encoded_images: usize,
    /// How long each part took.
    pub timings: Timings,
}

impl Answer {
    /// How sure the model was of its words, from 0 to 1: the geometric mean of the probabilities of all tokens, the one that
    /// ended the answer among them, so that long answers compare with short ones. `None` unless
    /// [`AskOptions::top_logprobs`](crate::AskOptions::top_logprobs) asked for them; 0 of the others suffice.
    ///
    /// It says how likely the model found *these words*, not whether they are true: how often answers of a confidence are
    /// right has to be measured for each model, as `emoji-vqa evaluate` does for the default one.
    #[must_use]
    pub fn confidence(&self) -> Option<f32> {
        let sum: f32 = self.logprobs.iter().map(|token| token.logprob).sum();
        (!self.logprobs.is_empty()).then(|| (sum / self.logprobs.len() as f32).exp())
    }
}

/// How long each part of an answer took. What is computed for several answers at once counts for each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timings {
    /// Reading the checkpoint, once per [`Parrot`](crate::Parrot).
    pub load: Duration,
    /// Resizing and normalising pictures; zero when they were remembered.
    pub preprocess: Duration,
    /// Vision tower, projector and experts; zero when the pictures were remembered.
    pub vision: Duration,
    /// From the prompt's ids to the first token: routing, and the decoder over the whole prompt, without the wait for other
    /// prompts before it.
    pub prefill: Duration,
    /// All tokens after the first.
    pub decode: Duration,
    /// Number of tokens after the first.
    pub decode_steps: usize,
}

impl Answer {
    /// An answer without a token.
    pub(crate) fn none(prompt_tokens: usize, finish_reason: FinishReason) -> Self {
        Self {
            text: String::new(),
            token_ids: Vec::new(),
            logprobs: Vec::new(),
            finish_reason,
            prompt_tokens,
            reused_tokens: 0,
            routing_weights: Vec::new(),
            encoded_images: 0,
            timings: Timings::default(),
        }
    }
}

impl Timings {
    /// Time of one token after the first; `None` when there was only one.
    #[must_use]
    pub fn per_token(&self) -> Option<Duration> {
        let steps = u32::try_from(self.decode_steps).ok().filter(|steps| *steps > 0)?;
        Some(self.decode / steps)
    }
}
