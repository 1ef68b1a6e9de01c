//! The loop on an [`Engine`](super::Engine)'s thread.

use std::collections::HashMap;
use std::mem;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use futures_channel::mpsc::UnboundedSender;
use parrot_model::language::KvCache;
use parrot_model::untrusted::contained;

use super::queue::{Job, Queue, Shared};
use super::request::Event;
use crate::answer::Answer;
use crate::cancel::CancelToken;
use crate::device::wait;
use crate::error::panics_as_errors;
use crate::generate::{CHUNKS_AT_ONCE, Ended, Piece, Scheduler, Sequence, Step, Ticket, TokenLogprob};
use crate::image::Image;
use crate::parrot::{Admitted, BegunAnswer, EncodedImages};
use crate::prefix::{ChunkName, PrefixCache};
use crate::{Error, Result};

/// Somebody who waits for an answer that is being computed.
struct Client {
    events: UnboundedSender<Event>,
    gone: CancelToken,
    bytes: u64,
    /// The names of the prompt's chunks.
    chunks: Vec<ChunkName>,
    begun: BegunAnswer,
    /// What has been written and not sent yet.
    text: String,
    tokens: Vec<TokenLogprob>,
    /// When text was sent last.
    sent: Option<Instant>,
}

impl Client {
    /// Sends this piece, or holds it back if the last one went less than `interval` ago.
    fn write(&mut self, piece: Piece<'_>, interval: Duration) {
        self.text.push_str(piece.text);
        self.tokens.extend_from_slice(piece.tokens);
        if self.sent.is_none_or(|sent| sent.elapsed() >= interval) {
            self.flush();
        }
    }

    /// Sends what has been held back.
    fn flush(&mut self) {
        if self.text.is_empty() {
            return;
        }
        let (text, tokens) = (mem::take(&mut self.text), mem::take(&mut self.tokens));
        let _ = self.events.unbounded_send(Event::Text { text, tokens });
        self.sent = Some(Instant::now());
    }
}

/// Answers until the queue is closed and empty.
pub(super) fn work(shared: &Shared) {
    let mut worker = Worker::new(shared);
    while let Some(jobs) = worker.next_jobs() {
        // What is foreseen is an error of one answer; anything else ends those under way, but not the thread.
        if let Err(what) = contained(|| worker.turn(jobs)) {
            tracing::error!(what, "a turn of the engine failed");
            worker.drop_all(|| Error::Panicked { what: what.clone() });
        }
    }
    worker.drop_all(|| Error::ShutDown);
    let mut queue = shared.lock();
    queue.is_over = true;
    queue.stats.running = 0;
    let left: Vec<Job> = queue.waiting.drain(..).collect();
    drop(queue);
    left.iter().for_each(|job| job.tell(Event::Failed(Error::ShutDown)));
    shared.tell();
}

pub(super) struct Worker<'e> {
    shared: &'e Shared,
    scheduler: Scheduler<'e>,
    clients: HashMap<Ticket, Client>,
    /// The beginnings of prompts that are kept, in what the running answers leave of the budget.
    prefixes: PrefixCache,
}

impl<'e> Worker<'e> {
    pub(super) fn new(shared: &'e Shared) -> Self {
        let scheduler = shared.parrot.scheduler(shared.options.prefill_chunk);
        let prefixes = PrefixCache::new(shared.options.prefill_chunk);
        Self { shared, scheduler, clients: HashMap::new(), prefixes }
    }

    /// The waiting questions that can be answered now; waits for one if there is nothing to do. `None` once there will be nothing
    /// more.
    fn next_jobs(&mut self) -> Option<Vec<Job>> {
        self.let_go();
        let mut queue = self.shared.lock();
        loop {
            if queue.is_aborted {
                return None;
            }
            let jobs = self.admissible(&mut queue);
            if !jobs.is_empty() || !self.is_idle() {
                return Some(jobs);
            }
            if queue.is_closed && queue.waiting.is_empty() {
                return None;
            }
            queue = self.shared.wait(queue);
        }
    }

    /// Takes questions from the front of the queue, as long as they fit.
    fn admissible(&self, queue: &mut Queue) -> Vec<Job> {
        queue.drop_gone();
        queue.waiting.retain(|job| {
            // Asked once: the time may run out between two looks.
            match job.is_over() {
                Some(reason) => {
                    job.tell(Event::Finished(Box::new(Answer::none(job.prompt.tokens, reason))));
                    false
                }
                None => true,
            }
        });
        let limits = &self.shared.options;
        let mut bytes = self.running_bytes();
        let mut jobs: Vec<Job> = Vec::new();
        while let Some(job) = queue.waiting.front()
            && bytes + job.bytes <= limits.cache_bytes
            && self.clients.len() + jobs.len() < limits.max_running
        {
            bytes += job.bytes;
            jobs.extend(queue.waiting.pop_front());
        }
        queue.stats.running = self.clients.len() + jobs.len();
        queue.stats.cache_bytes = bytes;
        jobs
    }

    /// Lets go of what nobody waits for any more.
    fn let_go(&mut self) {
        let Self { scheduler, clients, shared, .. } = self;
        let gone = |ticket: &Ticket| clients.get(ticket).is_none_or(|client| client.gone.is_cancelled());
        let dropped = scheduler.cancel(|ticket| gone(&ticket));
        if dropped > 0 {
            clients.retain(|_, client| !client.gone.is_cancelled());
            let mut queue = shared.lock();
            queue.stats.cancelled += dropped as u64;
            queue.stats.running = clients.len();
        }
    }

    /// Whether nothing is being answered.
    pub(super) fn is_idle(&self) -> bool {
        self.clients.is_empty()
    }

    /// Admits these questions and computes a token for every answer.
    pub(super) fn turn(&mut self, jobs: Vec<Job>) {
        if !jobs.is_empty() {
            // Images take longer than a token, and nobody is to wait for those of others.
            self.clients.values_mut().for_each(Client::flush);
            self.admit(jobs);
        }
        let Self { scheduler, clients, shared, .. } = self;
        let chunks = if clients.len() == 1 { CHUNKS_AT_ONCE } else { 1 };
        let prompt_tokens = shared.options.prefill_chunk.saturating_mul(chunks);
        let mut on_piece = |ticket: Ticket, piece: Piece<'_>| {
            if let Some(client) = clients.get_mut(&ticket) {
                client.write(piece, shared.options.text_interval);
            }
            // Those that nobody waits for any more are let go of at the next turn.
            ControlFlow::Continue(())
        };
        let step = scheduler.step(prompt_tokens, &mut on_piece);
        let mut ended = Vec::new();
        for sequence in scheduler.retire() {
            ended.extend(self.clients.remove(&sequence.ticket).map(|client| (client, sequence)));
        }
        for (client, sequence) in &ended {
            if sequence.error.is_none() {
                self.keep(&client.chunks, &sequence.kv_cache);
            }
        }
        // Before anybody is told, so that who has an answer finds it counted.
        self.count(step, &ended);
        for (mut client, sequence) in ended {
            client.flush();
            let event = match wait(client.begun.finish(sequence)) {
                Ok(answer) => Event::Finished(Box::new(answer)),
                Err(error) => Event::Failed(error),
            };
            let _ = client.events.unbounded_send(event);
        }
    }

    /// Encodes what is new of their images, and hands the prompts over to the scheduler.
    fn admit(&mut self, jobs: Vec<Job>) {
        let mut images: Vec<&Image> = Vec::new();
        for image in jobs.iter().flat_map(|job| &job.images) {
            if !images.iter().any(|known| known.content() == image.content()) {
                images.push(image);
            }
        }
        let together = self.encode(&images);
        let of_job: Vec<Result<EncodedImages>> = jobs
            .iter()
            .map(|job| match &together {
                Ok(all) => Ok(all.select(&job.images)),
                // One of the images is at fault; alone it is the fault of those who ask about it.
                Err(_) => self.encode(&job.images.iter().collect::<Vec<_>>()),
            })
            .collect();
        for (mut job, images) in jobs.into_iter().zip(of_job) {
            let admitted = images.and_then(|images| panics_as_errors(|| self.admit_one(&mut job, &images)));
            if let Err(error) = admitted {
                job.tell(Event::Failed(error));
                self.shared.lock().stats.failed += 1;
            }
        }
    }

    fn encode(&self, images: &[&Image]) -> Result<EncodedImages> {
        panics_as_errors(|| self.shared.parrot.encode_images(images))
    }

    fn admit_one(&mut self, job: &mut Job, images: &EncodedImages) -> Result<()> {
        let parrot = &self.shared.parrot;
        job.tell(Event::Started { waited: job.asked.elapsed() });
        let mut embedded = wait(parrot.embed_prompt(&job.prompt, images, Some(&self.prefixes)))?;
        let routing_weights = wait(embedded.routing_weights())?;
        if !routing_weights.is_empty() {
            job.tell(Event::Routing(routing_weights.to_vec()));
        }
        let sequence = Sequence::asked_at(job.asked, &job.options, job.limit, &parrot.tokenizer)?
            .constrained(job.constraint.take());
        // Asked for before there is room, so that what makes room is anything but this.
        self.prefixes.find(&embedded.chunks);
        self.make_room(job.bytes);
        let Admitted { ticket, chunks, begun } =
            embedded.admit(sequence, &mut self.scheduler, Some(&mut self.prefixes));
        let (events, gone) = (job.events.clone(), job.gone.clone());
        let (text, tokens, sent) = (String::new(), Vec::new(), None);
        let client = Client { events, gone, bytes: job.bytes, chunks, begun, text, tokens, sent };
        self.clients.insert(ticket, client);
        Ok(())
    }

    /// Bytes that the running answers may come to take.
    fn running_bytes(&self) -> u64 {
        self.clients.values().map(|client| client.bytes).sum()
    }

    /// Forgets beginnings of prompts until there is room for another answer.
    fn make_room(&mut self, bytes: u64) {
        let left = self.shared.options.cache_bytes.saturating_sub(self.running_bytes() + bytes);
        self.prefixes.shrink(left);
    }

    /// Keeps the beginning of a prompt that has been answered.
    fn keep(&mut self, chunks: &[ChunkName], kv_cache: &KvCache) {
        let Shared { parrot, options, .. } = self.shared;
        let budget = options.cache_bytes.saturating_sub(self.running_bytes());
        self.prefixes.keep(chunks.to_vec(), kv_cache, |len| parrot.cache_bytes(len), budget);
    }

    fn count(&self, step: Step, ended: &[(Client, Ended<'_>)]) {
        let (kept_bytes, cache_bytes) = (self.prefixes.bytes(), self.running_bytes());
        let mut queue = self.shared.lock();
        let stats = &mut queue.stats;
        (stats.kept_bytes, stats.cache_bytes) = (kept_bytes, cache_bytes);
        stats.running = self.clients.len();
        stats.prompt_tokens += step.read as u64;
        stats.generated_tokens += step.chosen as u64;
        stats.decoded_tokens += step.decoded as u64;
        stats.decode_steps += u64::from(step.decoded > 0);
        for (client, sequence) in ended {
            match &sequence.error {
                None => stats.finished += 1,
                Some(_) => stats.failed += 1,
            }
            stats.reused_tokens += client.begun.reused_tokens as u64;
        }
    }

    /// Ends everything that is being answered.
    fn drop_all(&mut self, why: impl Fn() -> Error) {
        self.scheduler.cancel(|_| true);
        self.scheduler.retire();
        self.prefixes.shrink(0);
        let mut queue = self.shared.lock();
        for (_, mut client) in self.clients.drain() {
            client.flush();
            let _ = client.events.unbounded_send(Event::Failed(why()));
            queue.stats.failed += 1;
        }
    }
}
