//! [`Engine`]: a model on a thread of its own, which answers many at once.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use futures_channel::mpsc::unbounded;
use parrot_model::config::DecoderConfig;
use parrot_model::text::{ChatTemplate, Tokenizer};
use web_time::Instant;

use super::request::{Answering, Request};
use super::worker::{Job, work};
use crate::cancel::CancelToken;
use crate::generate::{PREFILL_CHUNK, Scheduler};
use crate::parrot::{IMAGE_CACHE_BYTES, ImageCacheUse, Parrot, Prompts};
use crate::{Error, Result};

/// What an [`Engine`] may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineOptions {
    /// Bytes for keys and values. A question is answered once there is room for it and its longest answer; until then it waits,
    /// and those behind it with it. What is left keeps the beginnings of prompts for those that begin in the same way
    /// ([`Answer::reused_tokens`](crate::Answer::reused_tokens)).
    pub cache_bytes: u64,
    /// Bytes for the features of images, as [`Parrot::remember_image_bytes`].
    pub image_cache_bytes: u64,
    /// Answers that are computed together at most; at least 1.
    pub max_running: usize,
    /// Questions that wait at most; at least 1.
    pub max_waiting: usize,
    /// Tokens of a prompt that are read between two tokens of those that are answering; at least 1. With another value than
    /// [`PREFILL_CHUNK`] answers differ by roundings from those of [`Parrot::answer`].
    pub prefill_chunk: usize,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 4 << 30,
            image_cache_bytes: IMAGE_CACHE_BYTES,
            max_running: 32,
            max_waiting: 256,
            prefill_chunk: PREFILL_CHUNK,
        }
    }
}

/// What an [`Engine`] is doing and has done.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineStats {
    /// Answers that are being computed.
    pub running: usize,
    /// Questions that wait.
    pub waiting: usize,
    /// Bytes that the running answers' keys and values may come to take.
    pub cache_bytes: u64,
    /// Bytes of keys and values that are kept of earlier prompts.
    pub kept_bytes: u64,
    /// Bytes that both may take together.
    pub cache_budget: u64,
    /// The memory of images.
    pub images: ImageCacheUse,
    /// Answers that had begun and ended, whatever the reason, since the start; those that nobody waited for any more are not among
    /// them.
    pub finished: u64,
    /// Answers that failed.
    pub failed: u64,
    /// Answers that were dropped because nobody waited for them any more.
    pub cancelled: u64,
    /// Tokens of prompts that were read.
    pub prompt_tokens: u64,
    /// Tokens of prompts that did not have to be read, as their keys and values were known.
    pub reused_tokens: u64,
    /// Tokens of answers.
    pub generated_tokens: u64,
    /// Steps of decoding. The tokens of each are as many as answers took part in it.
    pub decode_steps: u64,
    /// Tokens that came from steps of decoding: all but each answer's first. Divided by the steps, the mean size of a batch.
    pub decoded_tokens: u64,
}

/// A [`Parrot`] on a thread of its own, which answers many questions at once. Clones share it; when the last is dropped it
/// finishes what was submitted and ends.
///
/// Every turn of its loop takes waiting questions in, as long as there is memory for their keys and values, reads some of a
/// prompt, computes one token for every answer under way, and lets go of those that have ended or that nobody waits for. So
/// answers begin and end at any time, and a long prompt does not stop the others.
///
/// **Batch invariance.** On the CPU, with weights in f32, an answer has the same tokens and the same log-probabilities, bit for
/// bit, whoever else is asking at the same time, and [`Parrot::answer`] gives the same alone. Other devices choose their kernels
/// by the number of rows; there answers may differ by roundings, and now and then in a token.
///
/// ```
/// use parrot_infer::{AskOptions, Engine, EngineOptions, Event, Image, Parrot, Request, device, tiny};
/// use parrot_model::text::Conversation;
///
/// # let folder = tempfile::tempdir()?;
/// # tiny::write(folder.path(), 0)?;
/// # let folder = folder.path();
/// let parrot = Parrot::load(folder, &device::open("auto")?)?;
/// let engine = Engine::start(parrot, EngineOptions::default())?;
/// let request = Request {
///     conversation: Conversation::question("What is this?", 1),
///     images: vec![Image::from_rgb(image::RgbImage::new(48, 32))],
///     options: AskOptions { max_new_tokens: 8, ..AskOptions::default() },
/// };
/// // Asynchronous programs take the events as a stream.
/// for event in engine.submit(request)? {
///     match event {
///         Event::Text { text, .. } => print!("{text}"),
///         Event::Finished(answer) => println!("\n{} tokens", answer.token_ids.len()),
///         Event::Failed(error) => return Err(error.into()),
///         _ => {}
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Engine(Arc<Handle>);

/// What all clones share; the last to be dropped closes the queue.
#[derive(Debug)]
struct Handle(Arc<Shared>);

/// What the thread and those who ask share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) parrot: Parrot,
    pub(super) options: EngineOptions,
    queue: Mutex<Queue>,
    /// Something in the queue has changed.
    changed: Condvar,
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

impl Engine {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] for an option outside its range; [`Error::Thread`] when there is no thread to be had.
    pub fn start(parrot: Parrot, options: EngineOptions) -> Result<Self> {
        for (option, value) in [
            ("max_running", options.max_running),
            ("max_waiting", options.max_waiting),
            ("prefill_chunk", options.prefill_chunk),
        ] {
            if value == 0 {
                return Err(Error::option(option, "at least 1", value));
            }
        }
        let shared = Arc::new(Shared::new(parrot, options));
        let of_thread = Arc::clone(&shared);
        let named = thread::Builder::new().name("parrot-engine".into());
        named.spawn(move || work(&of_thread)).map_err(Error::Thread)?;
        Ok(Self(Arc::new(Handle(shared))))
    }

    /// Asks a question. What can be refused is refused here, on the caller's thread, which also turns the words into tokens.
    ///
    /// # Errors
    ///
    /// [`Error::QueueFull`], [`Error::NeverFits`], [`Error::ShutDown`], and those of [`Parrot::answer`] that show before anything
    /// is computed; the others come as [`Event::Failed`](super::Event::Failed).
    pub fn submit(&self, request: Request) -> Result<Answering> {
        let limits = &self.shared().options;
        let (job, answering) = self.shared().job(request)?;
        let mut queue = self.shared().lock();
        if queue.is_closed || queue.is_over {
            return Err(Error::ShutDown);
        }
        // Those that nobody waits for any more take nobody's place.
        queue.drop_gone();
        if queue.waiting.len() >= limits.max_waiting {
            return Err(Error::QueueFull { limit: limits.max_waiting });
        }
        queue.waiting.push_back(job);
        drop(queue);
        self.shared().changed.notify_all();
        Ok(answering)
    }

    /// The decoder's configuration.
    #[must_use]
    pub fn config(&self) -> &DecoderConfig {
        self.shared().parrot.config()
    }

    /// The tokenizer.
    #[must_use]
    pub fn tokenizer(&self) -> &Tokenizer {
        self.shared().parrot.tokenizer()
    }

    /// How prompts are laid out.
    #[must_use]
    pub fn template(&self) -> &ChatTemplate {
        self.shared().parrot.template()
    }

    /// Whether it can be shown images; else it reads text alone.
    #[must_use]
    pub fn has_images(&self) -> bool {
        self.shared().parrot.network().is_some()
    }

    /// What it was started with.
    #[must_use]
    pub fn options(&self) -> &EngineOptions {
        &self.shared().options
    }

    /// What it is doing and has done.
    #[must_use]
    pub fn stats(&self) -> EngineStats {
        let Shared { parrot, options, .. } = self.shared();
        let queue = self.shared().lock();
        let waiting = queue.waiting.iter().filter(|job| !job.gone.is_cancelled()).count();
        let images = parrot.remembered.used();
        EngineStats { waiting, images, cache_budget: options.cache_bytes, ..queue.stats }
    }

    /// Takes no more questions, waits until those submitted are answered, but no longer than `limit`, and drops the rest:
    /// their [`Answering`] gets [`Error::ShutDown`]. Returns how many those were.
    pub fn shut_down(&self, limit: Duration) -> usize {
        let shared = self.shared();
        let mut queue = shared.lock();
        queue.is_closed = true;
        shared.changed.notify_all();
        let waited = shared.changed.wait_timeout_while(queue, limit, |queue| !queue.is_over);
        queue = waited.map_or_else(|poisoned| poisoned.into_inner().0, |(queue, _)| queue);
        if queue.is_over {
            return 0;
        }
        let dropped = queue.waiting.len() + queue.stats.running;
        queue.is_aborted = true;
        shared.changed.notify_all();
        dropped
    }

    fn shared(&self) -> &Shared {
        let Handle(shared) = &*self.0;
        shared
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let Self(shared) = self;
        shared.lock().is_closed = true;
        shared.changed.notify_all();
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
    /// As [`Engine::submit`], but for those of the queue.
    pub(super) fn job(&self, request: Request) -> Result<(Job, Answering)> {
        let Request { conversation, images, options } = request;
        let parrot = &self.parrot;
        parrot.check(&options)?;
        let Prompts { samples, images, room } = parrot.encode(&[(&conversation, &images)])?;
        let (Some(sample), Some(room)) = (samples.into_iter().next(), room.first()) else {
            unreachable!("one prompt was encoded")
        };
        let images: Vec<_> = images.into_iter().cloned().collect();
        let limit = options.max_new_tokens.min(*room);
        let prompt_tokens = parrot.config.max_position_embeddings + 1 - room;
        let bytes = parrot.cache_bytes(Scheduler::positions(prompt_tokens, limit));
        if bytes > self.options.cache_bytes {
            return Err(Error::NeverFits { needed: bytes, budget: self.options.cache_bytes });
        }
        let constraint = parrot.constraint(&options)?;
        let (events, received) = unbounded();
        let gone = CancelToken::default();
        let answering = Answering::new(received, gone.clone());
        let asked = Instant::now();
        let job =
            Job { sample, images, limit, prompt_tokens, bytes, options, constraint, events, gone, asked };
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
