//! Prefill and decoding: from the embeddings of a prompt to token ids.
//!
//! A [`Scheduler`] continues any number of [`Sequence`]s together; [`generate`] is the shortest way through it. Ids leave the
//! device as they are chosen: one integer per sequence and step when all are decoded greedily, a row of scores each when one
//! samples or wants log-probabilities.
//!
//! [`Parrot`](crate::Parrot) and [`Engine`](crate::Engine) call this with prompts made of conversations. Callers with prompts of
//! their own, as embeddings, call it directly.

mod choice;
mod format;
#[cfg(test)]
mod invariance;
mod logprobs;
mod options;
mod sampling;
mod scheduler;
#[cfg(feature = "grammar")]
mod schema;
mod sequence;
mod stop;

use std::ops::ControlFlow;
use std::time::Duration;

use burn::prelude::*;
use parrot_model::config::DecoderConfig;
use parrot_model::language::Decoder;

pub use format::AnswerFormat;
pub(crate) use format::{Constraint, Formats};
pub use logprobs::{TokenLogprob, TopToken};
pub use options::AskOptions;
pub use sampling::Sampling;
pub(crate) use scheduler::CHUNKS_AT_ONCE;
pub use scheduler::{Ended, PREFILL_CHUNK, Scheduler, Step, Ticket};
pub use sequence::{Piece, Sequence};

use crate::Result;

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FinishReason {
    /// The model ended it, with the token that ends a turn (`<|im_end|>`, say) or another id that
    /// `generation_config.json` names.
    Eos,
    /// It reached `max_new_tokens` or the end of the context.
    Length,
    /// A stop string appeared.
    Stop,
    /// The callback returned `Break`, or the [`CancelToken`](crate::CancelToken) was cancelled.
    Cancelled,
    /// [`AskOptions::time_limit`](crate::AskOptions::time_limit) ran out.
    TimeLimit,
}

/// How long the two phases took.
#[derive(Debug, Default, Clone, Copy)]
#[non_exhaustive]
pub struct Phases {
    /// From the prompt to the first token.
    pub prefill: Duration,
    /// All tokens after the first.
    pub decode: Duration,
    /// Steps after the first token.
    pub decode_steps: usize,
}

/// Generates one answer to a prompt: a [`Scheduler`] with a single sequence.
///
/// # Shapes
///
/// - prompt: embeddings, `[1, seq, hidden]`
///
/// # Errors
///
/// [`Error::NotFinite`](crate::Error::NotFinite) when the scores are, [`Error::Compute`](crate::Error::Compute) when the device
/// fails, [`Error::Panicked`](crate::Error::Panicked).
///
/// # Panics
///
/// If the prompt is empty, or its batch is not 1.
pub fn generate<'n>(
    decoder: &'n Decoder,
    config: &'n DecoderConfig,
    prompt: Tensor<3>,
    sequence: Sequence<'n>,
    eos: &'n [u32],
    mut on_text: impl FnMut(&str) -> ControlFlow<()>,
) -> Result<(Sequence<'n>, Phases)> {
    let mut scheduler = Scheduler::new(decoder, config, eos, PREFILL_CHUNK);
    scheduler.admit(prompt, sequence);
    loop {
        scheduler.step(usize::MAX, &mut |_, piece| on_text(piece.text));
        if let Some(Ended { sequence, phases, error, .. }) = scheduler.retire().pop() {
            return error.map_or(Ok((sequence, phases)), Err);
        }
    }
}
