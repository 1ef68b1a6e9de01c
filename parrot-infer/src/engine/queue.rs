//! What an [`Engine`](super::Engine)'s thread shares with those who ask: the model, and the questions that wait.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use futures_channel::mpsc::{UnboundedSender, unbounded};
use web_time::Instant;

use super::options::EngineOptions;
use super::request::{Answering, Event, Request};
use super::stats::EngineStats;
use crate::cancel::CancelToken;
use crate::generate::{AskOptions, Constraint, FinishReason, Scheduler};
use crate::image::Image;
use crate::parrot::{Parrot, Prompt, Prompts};
use crate::{Error, Result};

/// What the thread and those who ask share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) parrot: Parrot,
    pub(super) options: EngineOptions,
    queue: Mutex<Queue>,
    /// Something in the queue has changed.
    pub(super) changed: Condvar,
}

/// What waits, and what is known about the thread.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) waiting: VecDeque<Job>,
    /// Nothing more is taken.
    pub(super) is_closed: bool,
    /// Nothing more is answered.
    pub(super) is_aborted: bool,
    /// The thread has ended.
    pub(super) is_over: bool,
    pub(super) stats: EngineStats,
}

impl Queue {
    /// Drops the questions that nobody waits for any more, and counts them.
    pub(super) fn drop_gone(&mut self) {
        let before = self.waiting.len();
        self.waiting.retain(|job| !job.gone.is_cancelled());
        self.stats.cancelled += (before - self.waiting.len()) as u64;
    }
}

/// A question that waits.
#[derive(Debug)]
pub(super) struct Job {
    /// It refers to `images` by index.
    pub(super) prompt: Prompt,
    /// Each once.
    pub(super) images: Vec<Image>,
    /// Tokens that the answer may have.
    pub(super) limit: usize,
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

impl Job {
    /// Tells who asked; if nobody listens any more, it is noticed elsewhere.
    pub(super) fn tell(&self, event: Event) {
        let _ = self.events.unbounded_send(event);
    }

    /// Why there is nothing to answer any more, although somebody waits.
    pub(super) fn is_over(&self) -> Option<FinishReason> {
        let AskOptions { cancel, time_limit, .. } = &self.options;
        if cancel.as_ref().is_some_and(CancelToken::is_cancelled) {
            return Some(FinishReason::Cancelled);
        }
        time_limit.is_some_and(|limit| self.asked.elapsed() >= limit).then_some(FinishReason::TimeLimit)
    }
}

impl Shared {
    pub(super) fn new(parrot: Parrot, options: EngineOptions) -> Self {
        let parrot = parrot.remember_image_bytes(options.image_cache_bytes);
        Self { parrot, options, queue: Mutex::default(), changed: Condvar::new() }
    }

    /// A question, encoded, and what its answer will come out of.
    ///
    /// # Errors
    ///
    /// As [`Engine::submit`](super::Engine::submit), but for those of the queue.
    pub(super) fn job(&self, request: Request) -> Result<(Job, Answering)> {
        let Request { conversation, images, options } = request;
        let parrot = &self.parrot;
        parrot.check(&options)?;
        let Prompts { mut prompts, images } = parrot.encode(&[(&conversation, &images)])?;
        let Some(prompt) = prompts.pop() else { unreachable!("one prompt was encoded") };
        let images: Vec<_> = images.into_iter().cloned().collect();
        let limit = options.max_new_tokens.min(prompt.room);
        let bytes = parrot.cache_bytes(Scheduler::positions(prompt.tokens, limit));
        if bytes > self.options.cache_bytes {
            return Err(Error::NeverFits { needed: bytes, budget: self.options.cache_bytes });
        }
        let constraint = parrot.constraint(&options)?;
        let (events, received) = unbounded();
        let gone = CancelToken::default();
        let answering = Answering::new(received, gone.clone());
        let asked = Instant::now();
        let job = Job { prompt, images, limit, bytes, options, constraint, events, gone, asked };
        Ok((job, answering))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while it holds the lock; if it did, the queue would still be one.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is something to do.
    pub(super) fn wait<'q>(&self, queue: MutexGuard<'q, Queue>) -> MutexGuard<'q, Queue> {
        self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells those who wait for it that something has changed.
    pub(super) fn tell(&self) {
        self.changed.notify_all();
    }
}
