//! What comes back for a question.

use std::time::Duration;

use crate::generate::FinishReason;

/// An answer and how it came about.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Answer {
    /// The text, exactly as generated; special tokens and the stop string are not part of it.
    pub text: String,
    /// Every generated id, including the one that ended the answer.
    pub token_ids: Vec<u32>,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Tokens of the prompt, including those of its pictures.
    pub prompt_tokens: usize,
    /// For each picture in turn, the weight that the question gave each expert (Eq. 3); they sum to 1.
    /// Empty where the model has no mixture of experts.
    pub routing_weights: Vec<Vec<f32>>,
    /// Pictures that had to go through the vision tower, in the whole batch; the others were remembered.
    pub encoded_images: usize,
    /// How long each part took.
    pub timings: Timings,
}

/// How long each part of an answer took. In a batch, all answers share one clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timings {
    /// Reading the checkpoint, once per [`Parrot`](crate::Parrot).
    pub load: Duration,
    /// Resizing and normalising pictures; zero when they were remembered.
    pub preprocess: Duration,
    /// Vision tower, projector and experts; zero when the pictures were remembered.
    pub vision: Duration,
    /// From the prompt's ids to the first token: routing, and the decoder over the whole prompt.
    pub prefill: Duration,
    /// All tokens after the first.
    pub decode: Duration,
    /// Number of tokens after the first.
    pub decode_steps: usize,
}

impl Timings {
    /// Time of one token after the first; `None` when there was only one.
    #[must_use]
    pub fn per_token(&self) -> Option<Duration> {
        let steps = u32::try_from(self.decode_steps).ok().filter(|steps| *steps > 0)?;
        Some(self.decode / steps)
    }
}
