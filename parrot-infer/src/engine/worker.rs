//! The loop on an [`Engine`](super::Engine)'s thread.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::Instant;

use futures_channel::mpsc::UnboundedSender;
use parrot_model::batch::Sample;
use parrot_model::parrot::ImageFeatures;
use parrot_model::untrusted::contained;

use super::handle::{Queue, Shared};
use super::request::Event;
use super::run::routing_weights;
use super::{Answer, Image, Timings};
use crate::cancel::CancelToken;
use crate::generate::{Ended, FinishReason, Phases, Piece, Scheduler, Sequence, Step, Ticket};
use crate::options::AskOptions;
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
}

impl<'e> Worker<'e> {
    pub(super) fn new(shared: &'e Shared) -> Self {
        let scheduler = shared.parrot.scheduler(shared.options.prefill_chunk);
        Self { shared, scheduler, clients: HashMap::new() }
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
            if !jobs.is_empty() || !self.clients.is_empty() {
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
        queue.waiting.retain(|job| {
            if let Some(reason) = job.is_over() {
                job.tell(Event::Finished(Box::new(Answer::none(job.prompt_tokens, reason))));
            }
            job.is_over().is_none() && !job.gone.is_cancelled()
        });
        let limits = &self.shared.options;
        let mut bytes: u64 = self.clients.values().map(|client| client.bytes).sum();
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
        let Self { scheduler, clients, shared } = self;
        let gone = |ticket: &Ticket| clients.get(ticket).is_none_or(|client| client.gone.is_cancelled());
        let dropped = scheduler.cancel(|ticket| gone(&ticket));
        if dropped > 0 {
            clients.retain(|_, client| !client.gone.is_cancelled());
            let mut queue = shared.lock();
            queue.stats.cancelled += dropped as u64;
            queue.stats.running = clients.len();
        }
    }

    /// Admits these questions and computes a token for every answer.
    pub(super) fn turn(&mut self, jobs: Vec<Job>) {
        if !jobs.is_empty() {
            self.admit(jobs);
        }
        let Self { scheduler, clients, shared } = self;
        let mut on_piece = |ticket: Ticket, piece: Piece<'_>| {
            if let Some(client) = clients.get(&ticket) {
                let event = Event::Text { text: piece.text.into(), tokens: piece.tokens.to_vec() };
                let _ = client.events.unbounded_send(event);
            }
            // Those that nobody waits for any more are let go of at the next turn.
            ControlFlow::Continue(())
        };
        let step = scheduler.step(shared.options.prefill_chunk, &mut on_piece);
        let ended = scheduler.retire();
        self.count(step, &ended);
        for sequence in ended {
            if let Some(client) = self.clients.remove(&sequence.ticket) {
                let _ = client.events.unbounded_send(finished(client.answer, sequence));
            }
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
        for (job, encoded) in jobs.into_iter().zip(of_job) {
            if let Err(error) = encoded.and_then(|encoded| panics_as_errors(|| self.admit_one(&job, encoded)))
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

    fn admit_one(&mut self, job: &Job, encoded: Encoded) -> Result<()> {
        let parrot = &self.shared.parrot;
        job.tell(Event::Started { waited: job.asked.elapsed() });
        let started = Instant::now();
        let prepared = parrot.prepare(&job.sample, &encoded.features)?;
        let routing_weights = routing_weights(prepared.routing)?;
        if !routing_weights.is_empty() {
            job.tell(Event::Routing(routing_weights.clone()));
        }
        let sequence = Sequence::asked_at(job.asked, &job.options, job.limit, &parrot.tokenizer)?;
        let ticket = self.scheduler.admit(prepared.input.inputs_embeds, sequence);
        let answer = Answer {
            routing_weights,
            encoded_images: encoded.new,
            timings: Timings { prefill: started.elapsed(), ..encoded.timings },
            ..Answer::none(job.prompt_tokens, FinishReason::Length)
        };
        let client = Client { events: job.events.clone(), gone: job.gone.clone(), bytes: job.bytes, answer };
        self.clients.insert(ticket, client);
        Ok(())
    }

    fn count(&self, step: Step, ended: &[Ended<'_>]) {
        let mut queue = self.shared.lock();
        let stats = &mut queue.stats;
        stats.prompt_tokens += step.read as u64;
        stats.decoded_tokens += step.decoded as u64;
        stats.decode_steps += u64::from(step.decoded > 0);
        for sequence in ended {
            match &sequence.error {
                None => stats.finished += 1,
                Some(_) => stats.failed += 1,
            }
            stats.generated_tokens += sequence.sequence.token_ids.len() as u64;
        }
    }

    /// Ends everything that is being answered.
    fn drop_all(&mut self, why: impl Fn() -> Error) {
        self.scheduler.cancel(|_| true);
        self.scheduler.retire();
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
        timings: Timings { prefill, decode, decode_steps, ..answer.timings },
        ..Answer::from_sequence(ended.sequence)
    }))
}

fn panics_as_errors<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    contained(work).unwrap_or_else(|what| Err(Error::Panicked { what }))
}
