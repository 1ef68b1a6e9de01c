//! Prefill and decoding: from a prepared prompt to token ids, for one sequence or a padded batch.
//!
//! Prefill runs the whole prompt once and scores only its last position; each further step runs one token
//! against the [`KvCache`]. Ids leave the device as they are chosen: one integer per sequence and step when
//! decoding greedily, a row of scores when sampling.
//!
//! [`Parrot`](crate::Parrot) calls this with prompts made of conversations. Callers with prompts of their own, as token
//! ids or embeddings, call it directly.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use burn::prelude::*;
use parrot_model::batch::Prepared;
use parrot_model::config::DecoderConfig;
use parrot_model::language::{Decoder, DecoderInput, KvCache};
use parrot_model::text::{DecodeStream, Tokenizer};

use crate::cancel::CancelToken;
use crate::options::AskOptions;
use crate::sampling::Sampler;
use crate::stop::StopStrings;
use crate::{Error, Result};

/// Stands for an id that could not be chosen.
const NOT_FINITE: i64 = -1;

/// One sequence of a batch while it grows.
#[derive(Debug)]
pub struct Sequence<'t> {
    sampler: Sampler,
    /// Turns ids into text; `None` if no text is wanted, and once the sequence is finished.
    decode: Option<DecodeStream<'t>>,
    stop: StopStrings,
    cancel: Option<CancelToken>,
    deadline: Option<Instant>,
    /// The most ids it may have.
    limit: usize,
    /// Ids so far, including the one that ended the sequence.
    pub token_ids: Vec<u32>,
    /// Text so far, stop string and special tokens excluded.
    pub text: String,
    /// Why it ended, if it did.
    pub finish_reason: Option<FinishReason>,
}

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
    /// The callback returned `Break`, or the [`CancelToken`] was cancelled.
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

impl<'t> Sequence<'t> {
    /// An empty answer of at most `limit` tokens.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] for options outside their range.
    pub fn new(options: &AskOptions, limit: usize, tokenizer: &'t Tokenizer) -> Result<Self> {
        let deadline = options.time_limit.and_then(|limit| Instant::now().checked_add(limit));
        Ok(Self {
            decode: Some(tokenizer.stream()),
            stop: StopStrings::new(&options.stop)?,
            cancel: options.cancel.clone(),
            deadline,
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
            decode: None,
            stop: StopStrings::default(),
            cancel: None,
            deadline: None,
            limit,
            token_ids: Vec::new(),
            text: String::new(),
            finish_reason: None,
        }
    }

    fn is_finished(&self) -> bool {
        self.finish_reason.is_some()
    }

    /// Takes the next id; `on_text` gets the text that it completes.
    fn push(&mut self, id: u32, eos: &[u32], on_text: &mut dyn FnMut(&str) -> ControlFlow<()>) {
        if self.is_finished() {
            return;
        }
        self.token_ids.push(id);
        if eos.contains(&id) {
            return self.finish(FinishReason::Eos, on_text);
        }
        if let Some(piece) = self.decode.as_mut().and_then(|decode| decode.push(id)) {
            let (text, stopped) = self.stop.push(&piece);
            if self.show(&text, on_text).is_break() {
                return self.end(FinishReason::Cancelled);
            }
            if stopped {
                return self.end(FinishReason::Stop);
            }
        }
        if self.token_ids.len() == self.limit {
            return self.finish(FinishReason::Length, on_text);
        }
        if self.cancel.as_ref().is_some_and(CancelToken::is_cancelled) {
            self.finish(FinishReason::Cancelled, on_text);
        } else if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            self.finish(FinishReason::TimeLimit, on_text);
        }
    }

    /// Ends the sequence after showing what was held back.
    fn finish(&mut self, reason: FinishReason, on_text: &mut dyn FnMut(&str) -> ControlFlow<()>) {
        let unfinished_character = self.decode.take().and_then(DecodeStream::finish);
        let (text, stopped) = self.stop.push(&unfinished_character.unwrap_or_default());
        let text = if stopped { text } else { text + &self.stop.finish() };
        let shown = self.show(&text, on_text);
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

    fn show(&mut self, text: &str, on_text: &mut dyn FnMut(&str) -> ControlFlow<()>) -> ControlFlow<()> {
        self.text.push_str(text);
        if text.is_empty() { ControlFlow::Continue(()) } else { on_text(text) }
    }
}

/// Generates until every sequence has ended.
///
/// `on_text` gets the number of a sequence and its next piece of text; `Break` ends that sequence.
///
/// # Errors
///
/// [`Error::NotFinite`] when the prompt's scores are, [`Error::Compute`] when the device fails.
pub fn generate(
    decoder: &Decoder,
    config: &DecoderConfig,
    prompt: Prepared,
    sequences: &mut [Sequence<'_>],
    eos: &[u32],
    mut on_text: impl FnMut(usize, &str) -> ControlFlow<()>,
) -> Result<Phases> {
    let started = Instant::now();
    let [batch, seq, _] = prompt.input.inputs_embeds.dims();
    let device = prompt.input.inputs_embeds.device();
    let longest_answer = sequences.iter().map(|sequence| sequence.limit).max().unwrap_or(1);
    // The last token of an answer is never fed back.
    let mut kv_cache = KvCache::new(config, seq + longest_answer - 1);
    // Padding stands on the left, so a new token's position is not its column.
    let mut attention_mask = prompt.input.attention_mask.clone();
    let lengths = attention_mask.is_some().then(|| prompt.lengths.clone());

    let rows = prompt.last_rows();
    let mut last = decoder.forward_rows(prompt.input, rows, Some(&mut kv_cache));
    let mut phases = Phases::default();
    loop {
        let dtype = last.dtype();
        let logits: Tensor<2> = decoder.logits(last);
        let (ids, on_device) = choose(logits, sequences, &device)?;
        let ids: Option<Vec<u32>> = ids.into_iter().collect();
        let ids = ids.ok_or_else(|| Error::NotFinite { dtype: format!("{dtype:?}").to_lowercase() })?;
        if phases.decode_steps == 0 {
            phases.prefill = started.elapsed();
        }
        for (number, (sequence, id)) in sequences.iter_mut().zip(ids).enumerate() {
            sequence.push(id, eos, &mut |text| on_text(number, text));
        }
        if sequences.iter().all(Sequence::is_finished) {
            phases.decode = started.elapsed() - phases.prefill;
            return Ok(phases);
        }
        let new_column = || Tensor::full([batch, 1], true, &device);
        attention_mask = attention_mask.map(|mask| Tensor::cat(vec![mask, new_column()], 1));
        // A finished sequence stays in the batch; what it generates from here on is ignored.
        let next = DecoderInput {
            inputs_embeds: decoder.embed(on_device).unsqueeze_dim(1),
            attention_mask: attention_mask.clone(),
            position_ids: lengths.as_ref().map(|lengths| positions(lengths, phases.decode_steps, &device)),
        };
        last = decoder.forward(next, Some(&mut kv_cache)).squeeze_dim(1);
        phases.decode_steps += 1;
    }
}

/// The next id of every sequence, here and on the device `[batch]`; `None` where a sequence that is not
/// finished has scores that are infinite or no number.
fn choose(
    logits: Tensor<2>,
    sequences: &mut [Sequence<'_>],
    device: &Device,
) -> Result<(Vec<Option<u32>>, Tensor<1, Int>)> {
    if sequences.iter().all(|sequence| sequence.sampler.is_argmax()) {
        let on_device = logits.clone().argmax(1).squeeze_dim::<1>(1);
        // One read gives the ids and tells whether the scores are finite: where one is not, their sum is not either.
        let broken = logits.sum_dim(1).squeeze_dim::<1>(1).is_finite().bool_not();
        let ids = on_device.clone().mask_fill(broken, NOT_FINITE).try_into_vec_as::<i64>()?;
        let ids = ids.into_iter().zip(sequences);
        let ids = ids.map(|(id, sequence)| match id {
            NOT_FINITE => sequence.is_finished().then_some(0),
            id => Some(id as u32),
        });
        return Ok((ids.collect(), on_device));
    }
    let [batch, vocab] = logits.dims();
    let scores = logits.try_into_vec_as::<f32>()?;
    let next = |(sequence, row): (&mut Sequence<'_>, &[f32])| {
        if sequence.is_finished() {
            Some(0)
        } else {
            sequence.sampler.next(row.to_vec(), &sequence.token_ids)
        }
    };
    let ids: Vec<Option<u32>> = sequences.iter_mut().zip(scores.chunks_exact(vocab)).map(next).collect();
    let widened: Vec<i64> = ids.iter().map(|id| i64::from(id.unwrap_or(0))).collect();
    Ok((ids, Tensor::from_data(TensorData::new(widened, [batch]), device)))
}

/// The position of each sequence's next token. `[batch, 1]`
fn positions(lengths: &[usize], step: usize, device: &Device) -> Tensor<2, Int> {
    let positions: Vec<i64> = lengths.iter().map(|length| (length + step) as i64).collect();
    Tensor::from_data(TensorData::new(positions, [lengths.len(), 1]), device)
}
