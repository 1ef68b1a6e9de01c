//! One answer while it grows: which token comes next, what text that makes, and whether it is over.

use std::ops::ControlFlow;

use parrot_model::text::{DecodeStream, Tokenizer};
use web_time::Instant;

use super::FinishReason;
use super::format::Constraint;
use super::logprobs::TokenLogprob;
use super::options::AskOptions;
use super::sampling::Sampler;
use super::stop::StopStrings;
use crate::Result;
use crate::cancel::CancelToken;

/// An answer while it grows.
#[derive(Debug)]
pub struct Sequence<'t> {
    sampler: Sampler,
    tokenizer: Option<&'t Tokenizer>,
    /// Turns ids into text; `None` if no text is wanted, and once the sequence is finished.
    decode: Option<DecodeStream<'t>>,
    stop: StopStrings,
    cancel: Option<CancelToken>,
    deadline: Option<Instant>,
    top_logprobs: Option<usize>,
    /// What its text must be.
    constraint: Option<Constraint>,
    /// The most ids it may have.
    limit: usize,
    /// How many of the log-probabilities have been shown.
    shown: usize,
    /// Ids so far, including the one that ended the sequence.
    pub token_ids: Vec<u32>,
    /// One for each id, if [`AskOptions::top_logprobs`] asks for them; else none.
    pub logprobs: Vec<TokenLogprob>,
    /// Text so far, stop string and special tokens excluded.
    pub text: String,
    /// Why it ended, if it did.
    pub finish_reason: Option<FinishReason>,
}

/// Text that has been added to an answer.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Piece<'a> {
    /// Whole characters, at least one.
    pub text: &'a str,
    /// The tokens since the piece before, if log-probabilities were asked for.
    pub tokens: &'a [TokenLogprob],
}

/// Gets each piece; `Break` ends the sequence.
pub(super) type OnPiece<'a> = &'a mut dyn FnMut(Piece<'_>) -> ControlFlow<()>;

/// A token that was chosen.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) id: u32,
    pub(super) logprob: Option<TokenLogprob>,
}

impl<'t> Sequence<'t> {
    /// An empty answer of at most `limit` tokens, to a question that was asked just now.
    ///
    /// # Errors
    ///
    /// [`Error::Option`](crate::Error::Option) for options outside their range.
    pub fn new(options: &AskOptions, limit: usize, tokenizer: &'t Tokenizer) -> Result<Self> {
        Self::asked_at(Instant::now(), options, limit, tokenizer)
    }

    /// As [`new`](Self::new), to a question that may have waited: its time limit counts from when it was asked.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn asked_at(
        asked: Instant,
        options: &AskOptions,
        limit: usize,
        tokenizer: &'t Tokenizer,
    ) -> Result<Self> {
        Ok(Self {
            tokenizer: Some(tokenizer),
            decode: Some(tokenizer.stream()),
            stop: StopStrings::new(&options.stop)?,
            cancel: options.cancel.clone(),
            deadline: options.time_limit.and_then(|limit| asked.checked_add(limit)),
            top_logprobs: options.top_logprobs,
            ..Self::ids_only(Sampler::new(&options.sampling)?, limit)
        })
    }

    /// An empty answer of at most `limit` greedy tokens and without text: for measurements.
    #[must_use]
    pub fn without_text(limit: usize) -> Self {
        Self::ids_only(Sampler::argmax(), limit)
    }

    fn ids_only(sampler: Sampler, limit: usize) -> Self {
        Self {
            sampler,
            tokenizer: None,
            decode: None,
            stop: StopStrings::default(),
            cancel: None,
            deadline: None,
            top_logprobs: None,
            constraint: None,
            limit,
            shown: 0,
            token_ids: Vec::new(),
            logprobs: Vec::new(),
            text: String::new(),
            finish_reason: None,
        }
    }

    /// The same answer, of a given form.
    #[must_use]
    pub(crate) fn constrained(self, constraint: Option<Constraint>) -> Self {
        Self { constraint, ..self }
    }

    /// The most ids it may have.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    pub(super) fn is_finished(&self) -> bool {
        self.finish_reason.is_some()
    }

    /// Whether the next token is the one with the highest score, and nothing else is wanted of the scores.
    pub(super) fn needs_argmax_only(&self) -> bool {
        self.sampler.is_argmax() && self.top_logprobs.is_none() && self.constraint.is_none()
    }

    /// The next token from the scores of the whole vocabulary `[vocab]`; `None` when one of them is infinite or NaN.
    ///
    /// # Errors
    ///
    /// [`Error::Format`](crate::Error::Format) when the form that the answer must have cannot be followed any further.
    pub(super) fn choose(&mut self, scores: &[f32]) -> Result<Option<Chosen>> {
        let Self { sampler, constraint, token_ids, .. } = self;
        let allowed = constraint.as_mut().map(Constraint::allowed).transpose()?;
        let forbid = |scores: &mut [f32]| {
            if let Some(allowed) = &allowed {
                allowed.apply(scores);
            }
        };
        let Some(id) = sampler.next(scores.to_vec(), token_ids, forbid) else { return Ok(None) };
        if let Some(constraint) = constraint {
            constraint.take(id)?;
        }
        let logprob = self.top_logprobs.map(|top| TokenLogprob::new(scores, id, top, self.tokenizer));
        Ok(Some(Chosen { id, logprob }))
    }

    /// Takes the next token; `on_piece` gets the text that it completes.
    pub(super) fn push(&mut self, chosen: Chosen, eos: &[u32], on_piece: OnPiece<'_>) {
        if self.is_finished() {
            return;
        }
        let Chosen { id, logprob } = chosen;
        self.token_ids.push(id);
        self.logprobs.extend(logprob);
        if eos.contains(&id) {
            return self.finish(FinishReason::Eos, on_piece);
        }
        if let Some(piece) = self.decode.as_mut().and_then(|decode| decode.push(id)) {
            let (text, stopped) = self.stop.push(&piece);
            if self.show(&text, on_piece).is_break() {
                return self.end(FinishReason::Cancelled);
            }
            if stopped {
                return self.end(FinishReason::Stop);
            }
        }
        if self.token_ids.len() == self.limit {
            return self.finish(FinishReason::Length, on_piece);
        }
        if self.cancel.as_ref().is_some_and(CancelToken::is_cancelled) {
            self.finish(FinishReason::Cancelled, on_piece);
        } else if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            self.finish(FinishReason::TimeLimit, on_piece);
        }
    }

    /// Ends the sequence after showing what was held back.
    fn finish(&mut self, reason: FinishReason, on_piece: OnPiece<'_>) {
        let unfinished_character = self.decode.take().and_then(DecodeStream::finish);
        let (text, stopped) = self.stop.push(&unfinished_character.unwrap_or_default());
        let text = if stopped { text } else { text + &self.stop.finish() };
        let shown = self.show(&text, on_piece);
        self.end(if shown.is_break() {
            FinishReason::Cancelled
        } else if stopped {
            FinishReason::Stop
        } else {
            reason
        });
    }

    fn end(&mut self, reason: FinishReason) {
        self.decode = None;
        self.finish_reason = Some(reason);
    }

    fn show(&mut self, text: &str, on_piece: OnPiece<'_>) -> ControlFlow<()> {
        self.text.push_str(text);
        if text.is_empty() {
            return ControlFlow::Continue(());
        }
        let tokens = &self.logprobs[self.shown..];
        self.shown = self.logprobs.len();
        on_piece(Piece { text, tokens })
    }
}
