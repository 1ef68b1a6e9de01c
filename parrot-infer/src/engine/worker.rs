//! The loop on an [`Engine`](super::Engine)'s thread.

use std::collections::HashMap;
use std::ops::ControlFlow;

use futures_channel::mpsc::UnboundedSender;
use parrot_model::batch::Sample;
use parrot_model::language::KvCache;
use parrot_model::parrot::ImageFeatures;
use parrot_model::untrusted::contained;
use web_time::Instant;

use super::handle::{Queue, Shared};
use super::request::Event;
use crate::answer::{Answer, Timings};
use crate::cancel::CancelToken;
use crate::error::panics_as_errors;
use crate::generate::{
    AskOptions, Constraint, Ended, FinishReason, Phases, Piece, Scheduler, Sequence, Step, Ticket,
};
use crate::image::Image;
use crate::parrot::routing_weights;
use crate::prefix::{ChunkName, PrefixCache};
use crate::{Error, Result};

/// A question that waits.
#[derive(Debug)]
pub(super) struct Job {
    /// The prompt; it refers to `images` by index.
    pub(super) sample: Sample,
    /// Each once.
    pub(super) images: Vec<Image>,
    /// Tokens that the answer may have.
    pub(super) limit: usize,
    pub(super) prompt_tokens: usize,
    /// What its keys and values will take at most.
    pub(super) bytes: u64,
    pub(super) options: AskOptions,
    /// What the answer must be; taken once it begins.
    pub(super) constraint: Option<Constraint>,
    pub(super) events: UnboundedSender<Event>,
    /// Nobody waits for it any more.
    pub(super) gone: CancelToken,
    pub(super) asked: Instant,
}

/// Somebody who waits for an answer that is being computed.
struct Client {
    events: UnboundedSender<Event>,
    gone: CancelToken,
    bytes: u64,
    /// Of the prompt.
    chunks: Vec<ChunkName>,
    /// What is known of the answer.
    answer: Answer,
}

impl Job {
    /// Tells who asked; if nobody listens any more, it is noticed elsewhere.
    fn tell(&self, event: Event) {
        let _ = self.events.unbounded_send(event);
    }

    /// Why there is nothing to answer any more, although somebody waits.
    fn is_over(&self) -> Option<FinishReason> {
        let AskOptions { cancel, time_limit, .. } = &self.options;
        if cancel.as_ref().is_some_and(CancelToken::is_cancelled) {
            return Some(FinishReason::Cancelled);
        }
        time_limit.is_some_and(|limit| self.asked.elapsed() >= limit).then_some(FinishReason::TimeLimit)
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
    /// In what the running answers leave of the budget.
    prefixes: PrefixCache,
}

impl<'e> Worker<'e> {
    pub(super) fn new(shared: &'e Shared) -> Self {
        let scheduler = shared.parrot.scheduler(shared.options.prefill_chunk);
        Self { shared, scheduler, clients: HashMap::new(), prefixes: PrefixCache::default() }
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
                    job.tell(Event::Finished(Box::new(Answer::none(job.prompt_tokens, reason))));
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
            self.admit(jobs);
        }
        let Self { scheduler, clients, shared, .. } = self;
        let mut on_piece = |ticket: Ticket, piece: Piece<'_>| {
            if let Some(client) = clients.get(&ticket) {
                let event = Event::Text { text: piece.text.into(), tokens: piece.tokens.to_vec() };
                let _ = client.events.unbounded_send(event);
            }
            // Those that nobody waits for any more are let go of at the next turn.
            ControlFlow::Continue(())
        };
        let step = scheduler.step(shared.options.prefill_chunk, &mut on_piece);
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
        for (client, sequence) in ended {
            let _ = client.events.unbounded_send(finished(client.answer, sequence));
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
        let pick = |job: &Job, all: &Encoded| {
            let at = |image: &Image| images.iter().position(|known| known.content() == image.content());
            let features = job.images.iter().filter_map(at).map(|at| all.features[at].clone());
            Encoded { features: features.collect(), ..*all }
        };
        let of_job: Vec<Result<Encoded>> = jobs
            .iter()
            .map(|job| match &together {
                Ok(all) => Ok(pick(job, all)),
                // One of the images is at fault; alone it is the fault of those who ask about it.
                Err(_) => self.encode(&job.images.iter().collect::<Vec<_>>()),
            })
            .collect();
        for (mut job, encoded) in jobs.into_iter().zip(of_job) {
            if let Err(error) =
                encoded.and_then(|encoded| panics_as_errors(|| self.admit_one(&mut job, encoded)))
            {
                job.tell(Event::Failed(error));
                self.shared.lock().stats.failed += 1;
            }
        }
    }

    fn encode(&self, images: &[&Image]) -> Result<Encoded> {
        let mut timings = Timings { load: self.shared.parrot.load, ..Timings::default() };
        let (features, new) = panics_as_errors(|| self.shared.parrot.features(images, &mut timings))?;
        Ok(Encoded { features, new, timings })
    }

    fn admit_one(&mut self, job: &mut Job, encoded: Encoded) -> Result<()> {
        let parrot = &self.shared.parrot;
        job.tell(Event::Started { waited: job.asked.elapsed() });
        let started = Instant::now();
        let prepared = parrot.prepare(&job.sample, &encoded.features)?;
        let routing_weights = routing_weights(prepared.routing)?;
        if !routing_weights.is_empty() {
            job.tell(Event::Routing(routing_weights.clone()));
        }
        let sequence = Sequence::asked_at(job.asked, &job.options, job.limit, &parrot.tokenizer)?
            .constrained(job.constraint.take());
        let chunk = self.shared.options.prefill_chunk;
        let chunks = parrot.chunk_names(&job.sample, &job.images, &routing_weights, chunk);
        // Asked for before there is room, so that what makes room is anything but this.
        self.prefixes.find(&chunks);
        self.make_room(job.bytes);
        let prompt = prepared.input.inputs_embeds;
        let (ticket, reused_tokens) = match self.prefixes.find(&chunks) {
            Some((known, count)) => {
                let len = count * chunk;
                (self.scheduler.resume(prompt, sequence, known, len), len)
            }
            None => (self.scheduler.admit(prompt, sequence), 0),
        };
        let answer = Answer {
            reused_tokens,
            routing_weights,
            encoded_images: encoded.new,
            timings: Timings { prefill: started.elapsed(), ..encoded.timings },
            ..Answer::none(job.prompt_tokens, FinishReason::Length)
        };
        let (events, gone) = (job.events.clone(), job.gone.clone());
        self.clients.insert(ticket, Client { events, gone, bytes: job.bytes, chunks, answer });
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
        self.prefixes.keep(
            chunks.to_vec(),
            kv_cache,
            options.prefill_chunk,
            |len| parrot.cache_bytes(len),
            budget,
        );
    }

    fn count(&self, step: Step, ended: &[(Client, Ended<'_>)]) {
        let (kept_bytes, cache_bytes) = (self.prefixes.bytes(), self.running_bytes());
        let mut queue = self.shared.lock();
        let stats = &mut queue.stats;
        (stats.kept_bytes, stats.cache_bytes) = (kept_bytes, cache_bytes);
        stats.running = self.clients.len();
        stats.prompt_tokens += step.read as u64;
        stats.decoded_tokens += step.decoded as u64;
        stats.decode_steps += u64::from(step.decoded > 0);
        for (client, sequence) in ended {
            match &sequence.error {
                None => stats.finished += 1,
                Some(_) => stats.failed += 1,
            }
            stats.generated_tokens += sequence.sequence.token_ids.len() as u64;
            stats.reused_tokens += client.answer.reused_tokens as u64;
        }
    }

    /// Ends everything that is being answered.
    fn drop_all(&mut self, why: impl Fn() -> Error) {
        self.scheduler.cancel(|_| true);
        self.scheduler.retire();
        self.prefixes = PrefixCache::default();
        let mut queue = self.shared.lock();
        for (_, client) in self.clients.drain() {
            let _ = client.events.unbounded_send(Event::Failed(why()));
            queue.stats.failed += 1;
        }
    }
}

/// Images' features, each once.
struct Encoded {
    features: Vec<ImageFeatures>,
    /// How many had to be computed.
    new: usize,
    timings: Timings,
}

/// What is said at the end.
fn finished(answer: Answer, ended: Ended<'_>) -> Event {
    if let Some(error) = ended.error {
        return Event::Failed(error);
    }
    let Phases { prefill, decode, decode_steps } = ended.phases;
    let prefill = answer.timings.prefill + prefill;
    Event::Finished(Box::new(Answer {
        prompt_tokens: answer.prompt_tokens,
        routing_weights: answer.routing_weights,
        encoded_images: answer.encoded_images,
        reused_tokens: answer.reused_tokens,
        timings: Timings { prefill, decode, decode_steps, ..answer.timings },
        ..Answer::from_sequence(ended.sequence)
    }))
}
