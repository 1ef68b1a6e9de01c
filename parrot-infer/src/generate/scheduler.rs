//! The one decode loop: many sequences, which join and leave at any token.
//!
//! A sequence's prompt is read alone, in chunks; then the sequence takes part in every decoding step until it ends. Each has a
//! [`KvCache`] of its own, so nothing is padded or masked, and what one sequence computes does not depend on the others: on the
//! CPU not in a single bit ([`Decoder::step`]).

use std::collections::VecDeque;
use std::ops::{ControlFlow, Range};

use burn::prelude::*;
use parrot_model::config::DecoderConfig;
use parrot_model::device::{lanes, side_by_side};
use parrot_model::int_tensor;
use parrot_model::language::{Decoder, DecoderInput, KvCache, STEP_ROWS};
use parrot_model::untrusted::contained;
use web_time::Instant;

use super::Phases;
use super::choice::{OnDevice, Scores};
use super::sequence::{Chosen, OnPiece, Piece, Sequence};
use crate::device::wait;
use crate::error::{panics_as_errors, panics_as_errors_async};
use crate::{Error, Result};

/// Tokens of a prompt that are read at a time unless something else is asked for.
///
/// More read a little faster, fewer let those that are answering wait less. The answer depends on it as on any other order of
/// summing: by roundings.
pub const PREFILL_CHUNK: usize = 256;

/// Whole chunks that are read together at most, where nobody waits for them. More would read the weights less often, and let who
/// comes, or stops an answer, wait longer.
pub(crate) const CHUNKS_AT_ONCE: usize = 2;

/// Names a sequence of a [`Scheduler`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(u64);

/// Sequences that one decoder continues.
///
/// Whoever owns it calls [`step`](Self::step) again and again, and takes out what has ended with [`retire`](Self::retire).
///
/// A sequence whose computing fails, in an error or a panic, ends alone; the others go on as if it had not been there.
#[derive(Debug)]
pub struct Scheduler<'n> {
    decoder: &'n Decoder,
    config: &'n DecoderConfig,
    /// Ids that end a sequence.
    eos: &'n [u32],
    prefill_chunk: usize,
    /// How many prompts are read, and groups of sequences continued, at the same time.
    lanes: usize,
    tickets: u64,
    /// Those whose prompts are not read yet, in the order of admission.
    reading: VecDeque<Slot<'n>>,
    running: Vec<Slot<'n>>,
    ended: Vec<Ended<'n>>,
    /// Tokens chosen in this step.
    chosen: usize,
}

/// A sequence that has ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct Ended<'n> {
    /// Its name.
    pub ticket: Ticket,
    /// What it became.
    pub sequence: Sequence<'n>,
    /// How long that took.
    pub phases: Phases,
    /// The keys and values of the prompt and all tokens but the last.
    pub kv_cache: KvCache,
    /// Why it failed, if it did: [`Error::NotFinite`], [`Error::Compute`] or [`Error::Panicked`].
    pub error: Option<Error>,
}

/// What one [`Scheduler::step`] did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    /// Prompt tokens read.
    pub read: usize,
    /// Sequences that were given a token by decoding.
    pub decoded: usize,
    /// Tokens that were chosen: those of decoding, and the first of each sequence whose prompt has been read.
    pub chosen: usize,
}

/// A sequence and what it needs.
#[derive(Debug)]
struct Slot<'n> {
    ticket: Ticket,
    sequence: Sequence<'n>,
    kv_cache: KvCache,
    /// The embeddings of the prompt, while it is read. `[1, seq, hidden]`
    prompt: Option<Tensor<3>>,
    /// The token to be read next.
    next: u32,
    phases: Phases,
    /// When the first of its prompt was read.
    started: Option<Instant>,
}

impl<'n> Scheduler<'n> {
    /// No sequences yet.
    ///
    /// - eos: ids that end a sequence
    /// - prefill_chunk: tokens of a prompt that are read at a time, at least 1
    #[must_use]
    pub fn new(
        decoder: &'n Decoder,
        config: &'n DecoderConfig,
        eos: &'n [u32],
        prefill_chunk: usize,
    ) -> Self {
        Self {
            decoder,
            config,
            eos,
            prefill_chunk: prefill_chunk.max(1),
            lanes: lanes(&decoder.device(), decoder.num_params()),
            tickets: 0,
            reading: VecDeque::new(),
            running: Vec::new(),
            ended: Vec::new(),
            chosen: 0,
        }
    }

    /// Positions of the cache that an answer needs: the last token is never read back.
    #[must_use]
    pub fn positions(prompt_tokens: usize, limit: usize) -> usize {
        prompt_tokens + limit.max(1) - 1
    }

    /// Adds a sequence. From the next step on its prompt is read, after those of all that came before.
    ///
    /// # Shapes
    ///
    /// - prompt: embeddings, `[1, seq, hidden]`, at least one
    ///
    /// # Panics
    ///
    /// If the prompt is empty, or its batch is not 1.
    pub fn admit(&mut self, prompt: Tensor<3>, sequence: Sequence<'n>) -> Ticket {
        let kv_cache = KvCache::new(self.config, 0);
        self.resume(prompt, sequence, &kv_cache, 0)
    }

    /// As [`admit`](Self::admit), with a prompt whose beginning has been read before.
    ///
    /// - known: keys and values of the prompt's first positions; copied
    /// - len: how many of them; less than the prompt has, and a multiple of the chunks in which prompts are read if the answer is
    ///   to be bit for bit the same as without
    ///
    /// # Panics
    ///
    /// As [`admit`](Self::admit), and if `known` has fewer positions than `len`, or none is left to be read.
    pub fn resume(
        &mut self,
        prompt: Tensor<3>,
        sequence: Sequence<'n>,
        known: &KvCache,
        len: usize,
    ) -> Ticket {
        let [batch, seq, _] = prompt.dims();
        assert!(batch == 1 && seq > len, "a sequence's prompt is [1, seq, hidden], its last position new");
        let capacity = Self::positions(seq, sequence.limit());
        let kv_cache =
            if len > 0 { known.prefix(len, capacity) } else { KvCache::new(self.config, capacity) };
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.reading.push_back(Slot {
            ticket,
            sequence,
            kv_cache,
            prompt: Some(prompt),
            next: 0,
            phases: Phases::default(),
            started: None,
        });
        ticket
    }

    /// Reads prompts, then gives every sequence whose prompt is read its next token.
    ///
    /// - prompt_tokens: how many tokens of prompts are read, if there are any; rounded up to whole chunks, at least one. As far as
    ///   it allows, two chunks of a prompt are read together, which costs less and is the same on the CPU, bit for bit
    /// - on_piece: gets the text of each; `Break` ends that sequence
    pub fn step(
        &mut self,
        prompt_tokens: usize,
        on_piece: &mut dyn FnMut(Ticket, Piece<'_>) -> ControlFlow<()>,
    ) -> Step {
        wait(self.step_async(prompt_tokens, on_piece))
    }

    /// [`step`](Self::step) for programs that must not block: what the device computes is waited for. It is one and the same loop.
    pub async fn step_async(
        &mut self,
        prompt_tokens: usize,
        on_piece: &mut dyn FnMut(Ticket, Piece<'_>) -> ControlFlow<()>,
    ) -> Step {
        self.chosen = 0;
        let read = self.read_prompts(prompt_tokens, on_piece).await;
        let decoded = self.decode(on_piece).await;
        Step { read, decoded, chosen: self.chosen }
    }

    /// Takes out the sequences that have ended.
    pub fn retire(&mut self) -> Vec<Ended<'n>> {
        std::mem::take(&mut self.ended)
    }

    /// Drops every sequence of which this is true, whatever it was doing; returns how many there were.
    pub fn cancel(&mut self, mut is_gone: impl FnMut(Ticket) -> bool) -> usize {
        let before = self.len();
        self.reading.retain(|slot| !is_gone(slot.ticket));
        self.running.retain(|slot| !is_gone(slot.ticket));
        before - self.len()
    }

    /// Sequences that have not ended.
    #[must_use]
    pub fn len(&self) -> usize {
        self.reading.len() + self.running.len()
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    async fn read_prompts(
        &mut self,
        prompt_tokens: usize,
        on_piece: &mut dyn FnMut(Ticket, Piece<'_>) -> ControlFlow<()>,
    ) -> usize {
        let (decoder, chunk) = (self.decoder, self.prefill_chunk);
        let mut read = 0;
        loop {
            // As many prompts as there is to be read of, a chunk of each.
            let mut slots = Vec::new();
            while (read == 0 || read < prompt_tokens)
                && let Some(slot) = self.reading.pop_front()
            {
                let chunks = chunks_at_once(chunk, prompt_tokens.saturating_sub(read));
                let range = slot.next_chunks(chunk, chunks);
                read += range.len().max(1);
                slots.push((slot, range));
            }
            if slots.is_empty() {
                return read;
            }
            let outcomes = side_by_side(self.lanes, slots, |(mut slot, range)| {
                let started = *slot.started.get_or_insert_with(Instant::now);
                let outcome = panics_as_errors(|| slot.read(decoder, range));
                slot.phases.prefill = started.elapsed();
                (slot, outcome)
            });
            let mut unread = Vec::new();
            for (mut slot, outcome) in outcomes {
                let outcome = match outcome {
                    Ok(Some(last)) => slot.first_token(last).await.map(Some),
                    Ok(None) => Ok(None),
                    Err(error) => Err(error),
                };
                match outcome {
                    Ok(None) => unread.push(slot),
                    Ok(Some(chosen)) => self.push(slot, chosen, on_piece),
                    Err(error) => self.end(slot, Some(error)),
                }
            }
            unread.into_iter().rev().for_each(|slot| self.reading.push_front(slot));
        }
    }

    async fn decode(&mut self, on_piece: &mut dyn FnMut(Ticket, Piece<'_>) -> ControlFlow<()>) -> usize {
        let mut slots = std::mem::take(&mut self.running);
        let decoded = slots.len();
        let size = decoded.div_ceil(self.lanes).clamp(1, STEP_ROWS);
        let groups: Vec<_> = slots.chunks_mut(size).collect();
        let outcomes = next_tokens(self.decoder, self.lanes, groups).await;
        for (mut slot, outcome) in slots.into_iter().zip(outcomes) {
            slot.phases.decode_steps += 1;
            match outcome {
                Ok(chosen) => self.push(slot, chosen, on_piece),
                Err(error) => self.end(slot, Some(error)),
            }
        }
        decoded
    }

    /// Gives a sequence its next token.
    fn push(
        &mut self,
        mut slot: Slot<'n>,
        chosen: Chosen,
        on_piece: &mut dyn FnMut(Ticket, Piece<'_>) -> ControlFlow<()>,
    ) {
        slot.next = chosen.id;
        self.chosen += 1;
        let ticket = slot.ticket;
        let on_piece: OnPiece<'_> = &mut |piece| on_piece(ticket, piece);
        match contained(|| slot.sequence.push(chosen, self.eos, on_piece)) {
            Ok(()) if slot.sequence.is_finished() => self.end(slot, None),
            Ok(()) => self.running.push(slot),
            Err(what) => self.end(slot, Some(Error::Panicked { what })),
        }
    }

    fn end(&mut self, slot: Slot<'n>, error: Option<Error>) {
        let Slot { ticket, sequence, mut phases, kv_cache, started, .. } = slot;
        phases.decode =
            started.map_or_else(Default::default, |at| at.elapsed()).saturating_sub(phases.prefill);
        self.ended.push(Ended { ticket, sequence, phases, kv_cache, error });
    }
}

/// How many chunks of a prompt are read together: several are the same as one after the other only if they are computed in the same
/// way, which a product of up to [`STEP_ROWS`] rows is not.
fn chunks_at_once(chunk: usize, tokens: usize) -> usize {
    if chunk > STEP_ROWS { (tokens / chunk).clamp(1, CHUNKS_AT_ONCE) } else { 1 }
}

impl Slot<'_> {
    /// The positions of the prompt that are read next: so many whole chunks, or what is left behind the last whole one.
    fn next_chunks(&self, chunk: usize, count: usize) -> Range<usize> {
        let seq = self.prompt.as_ref().map_or(0, |prompt| prompt.dims()[1]);
        let begin = self.kv_cache.len();
        let whole = (seq - begin) / chunk;
        if whole == 0 { begin..seq } else { begin..begin + whole.min(count) * chunk }
    }

    /// Reads these positions of the prompt; what the first token is chosen by if they were the last.
    fn read(&mut self, decoder: &Decoder, Range { start, end }: Range<usize>) -> Result<Option<OnDevice>> {
        let Some(prompt) = &self.prompt else { unreachable!("its prompt is being read") };
        let [_, seq, _] = prompt.dims();
        let input = DecoderInput::unpadded(prompt.clone().narrow(1, start, end - start));
        let last = int_tensor(&[(end - start - 1) as i64], &prompt.device());
        let last = decoder.forward_rows(input, last, Some(&mut self.kv_cache));
        if end < seq {
            return Ok(None);
        }
        self.prompt = None;
        let dtype = last.dtype();
        Ok(Some(OnDevice::new(decoder.logits(last), dtype, std::iter::once(&self.sequence))))
    }

    /// Chooses the first token.
    async fn first_token(&mut self, last: OnDevice) -> Result<Chosen> {
        let started = Instant::now();
        let scores = panics_as_errors_async(last.read()).await?;
        let sequence = &mut self.sequence;
        let mut chosen = panics_as_errors(|| Ok(scores.choose(std::iter::once(sequence))))?;
        self.phases.prefill += started.elapsed();
        chosen.swap_remove(0)
    }
}

/// The next token of each sequence in groups of up to [`STEP_ROWS`]. Where something fails for all of a group, each of it is
/// tried alone.
async fn next_tokens(
    decoder: &Decoder,
    lanes: usize,
    mut groups: Vec<&mut [Slot<'_>]>,
) -> Vec<Result<Chosen>> {
    let len = |slot: &Slot<'_>| slot.kv_cache.len();
    let past: Vec<Vec<usize>> = groups.iter().map(|group| group.iter().map(len).collect()).collect();
    let compute = |group: &mut &mut [Slot<'_>]| panics_as_errors(|| Ok(decode_step(decoder, group)));
    let computed = side_by_side(lanes, groups.iter_mut().collect(), compute);
    let mut read = Vec::with_capacity(computed.len());
    for computed in computed {
        read.push(match computed {
            Ok(computed) => panics_as_errors_async(computed.read()).await,
            Err(error) => Err(error),
        });
    }
    let is_choosing_slow = read.iter().flatten().any(|scores| !scores.are_ids());
    let work: Vec<_> = groups.iter_mut().zip(read).collect();
    let chosen = side_by_side(if is_choosing_slow { lanes } else { 1 }, work, |(group, scores)| {
        let sequences = group.iter_mut().map(|slot| &mut slot.sequence);
        scores.and_then(|scores: Scores| panics_as_errors(|| Ok(scores.choose(sequences))))
    });
    let mut outcomes = Vec::new();
    for ((group, chosen), past) in groups.into_iter().zip(chosen).zip(past) {
        match chosen {
            Ok(chosen) => outcomes.extend(chosen),
            Err(error) if group.len() == 1 => outcomes.push(Err(error)),
            Err(error) => {
                tracing::warn!(%error, sequences = group.len(), "a step failed; each sequence is tried alone");
                for (slot, past) in group.iter_mut().zip(past) {
                    slot.kv_cache.truncate(past);
                    outcomes
                        .extend(Box::pin(next_tokens(decoder, 1, vec![std::slice::from_mut(slot)])).await);
                }
            }
        }
    }
    outcomes
}

/// Reads each sequence's token.
fn decode_step(decoder: &Decoder, slots: &mut [Slot<'_>]) -> OnDevice {
    let ids: Vec<i64> = slots.iter().map(|slot| i64::from(slot.next)).collect();
    let ids = int_tensor(&ids, &decoder.device());
    let mut kv_caches: Vec<&mut KvCache> = slots.iter_mut().map(|slot| &mut slot.kv_cache).collect();
    let read = decoder.step(decoder.embed(ids), &mut kv_caches);
    let dtype = read.dtype();
    OnDevice::new(decoder.logits(read), dtype, slots.iter().map(|slot| &slot.sequence))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::{AskOptions, FinishReason};
    use crate::{Parrot, device, tiny};

    fn parrot() -> Parrot {
        let folder = tempfile::tempdir().unwrap();
        tiny::write(folder.path(), 2).unwrap();
        Parrot::load(folder.path(), &device::open("cpu").unwrap()).unwrap()
    }

    fn prompt(parrot: &Parrot, text: &str) -> Tensor<3> {
        let ids: Vec<i64> =
            parrot.tokenizer().encode_text(text).unwrap().into_iter().map(i64::from).collect();
        parrot.decoder().embed(Tensor::from_ints(&ids[..], parrot.device())).unsqueeze()
    }

    fn sequence(parrot: &Parrot, limit: usize) -> Sequence<'_> {
        let options = AskOptions { top_logprobs: Some(1), ..AskOptions::default() };
        Sequence::new(&options, limit, parrot.tokenizer()).unwrap()
    }

    fn step<'n>(scheduler: &mut Scheduler<'n>) -> Vec<Ended<'n>> {
        scheduler.step(5, &mut |_, _| ControlFlow::Continue(()));
        scheduler.retire()
    }

    /// Ids and the bits of their probabilities.
    fn essence(sequence: &Sequence<'_>) -> Vec<(u32, u32)> {
        sequence.logprobs.iter().map(|token| (token.id, token.logprob.to_bits())).collect()
    }

    const TEXTS: [&str; 4] = ["Hm?", "What is this, and why is it there?", "这是什么?", "x"];

    fn alone(parrot: &Parrot, text: &str, limit: usize) -> Vec<(u32, u32)> {
        let mut scheduler = Scheduler::new(parrot.decoder(), parrot.config(), &[], 5);
        scheduler.admit(prompt(parrot, text), sequence(parrot, limit));
        loop {
            if let Some(ended) = step(&mut scheduler).pop() {
                assert!(scheduler.is_empty() && ended.error.is_none());
                assert_eq!(ended.sequence.finish_reason, Some(FinishReason::Length));
                return essence(&ended.sequence);
            }
        }
    }

    #[test]
    fn sequences_join_and_leave_at_any_token() {
        let parrot = parrot();
        let expected: Vec<_> = TEXTS.iter().map(|text| alone(&parrot, text, 12)).collect();
        for gap in 0..7 {
            let mut scheduler = Scheduler::new(parrot.decoder(), parrot.config(), &[], 5);
            let mut tickets = Vec::new();
            let mut ended = Vec::new();
            for (at, text) in TEXTS.iter().enumerate() {
                // Each ends at another token.
                tickets.push(scheduler.admit(prompt(&parrot, text), sequence(&parrot, 12 - 3 * at)));
                (0..gap).for_each(|_| ended.extend(step(&mut scheduler)));
            }
            while !scheduler.is_empty() {
                ended.extend(step(&mut scheduler));
            }
            assert_eq!(ended.len(), TEXTS.len());
            for Ended { ticket, sequence, .. } in &ended {
                let at = tickets.iter().position(|known| known == ticket).unwrap();
                assert_eq!(essence(sequence), expected[at][..12 - 3 * at], "{gap} steps between");
            }
        }
    }

    #[test]
    fn a_sequence_that_panics_ends_alone() {
        let parrot = parrot();
        let expected: Vec<_> = TEXTS.iter().map(|text| alone(&parrot, text, 12)).collect();
        let mut scheduler = Scheduler::new(parrot.decoder(), parrot.config(), &[], 5);
        let tickets: Vec<_> =
            TEXTS.iter().map(|text| scheduler.admit(prompt(&parrot, text), sequence(&parrot, 12))).collect();
        // One whose prompt is as wide as no embedding.
        let narrow = scheduler.admit(Tensor::zeros([1, 3, 5], parrot.device()), sequence(&parrot, 12));
        let mut ended = Vec::new();
        while !scheduler.reading.is_empty() {
            ended.extend(step(&mut scheduler));
        }
        // Another loses its keys and values while it is answered.
        let lost = scheduler.running.iter_mut().find(|slot| slot.ticket == tickets[1]).unwrap();
        let len = lost.kv_cache.len();
        lost.kv_cache = KvCache::new(parrot.config(), 0);
        assert!(len > 0);
        while !scheduler.is_empty() {
            ended.extend(step(&mut scheduler));
        }
        for Ended { ticket, sequence, error, .. } in &ended {
            if *ticket == narrow || *ticket == tickets[1] {
                assert!(matches!(error, Some(Error::Panicked { .. })), "{error:?}");
            } else {
                let at = tickets.iter().position(|known| known == ticket).unwrap();
                assert!(error.is_none());
                assert_eq!(essence(sequence), expected[at]);
            }
        }
        assert_eq!(ended.len(), 5);
    }

    #[test]
    fn what_is_cancelled_is_gone_at_once() {
        let parrot = parrot();
        let mut scheduler = Scheduler::new(parrot.decoder(), parrot.config(), &[], 5);
        let tickets = TEXTS.map(|text| scheduler.admit(prompt(&parrot, text), sequence(&parrot, 12)));
        step(&mut scheduler);
        // One that answers, and one whose prompt is not read.
        assert_eq!(scheduler.cancel(|ticket| [tickets[0], tickets[3]].contains(&ticket)), 2);
        assert_eq!(scheduler.len(), 2);
        let mut ended = Vec::new();
        while !scheduler.is_empty() {
            ended.extend(step(&mut scheduler));
        }
        let ended: Vec<_> = ended.iter().map(|ended| ended.ticket).collect();
        assert_eq!(ended, [tickets[1], tickets[2]]);
    }
}
