//! [`Engine`]: a model on a thread of its own, which answers many at once.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parrot_model::config::DecoderConfig;
use parrot_model::text::{ChatTemplate, Tokenizer};

use super::options::EngineOptions;
use super::queue::Shared;
use super::request::{Answering, Request};
use super::stats::EngineStats;
use super::worker::work;
use crate::parrot::Parrot;
use crate::{Error, Result};

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

impl Engine {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] for an option outside its range; [`Error::Thread`] when there is no thread to be had.
    pub fn start(parrot: Parrot, options: EngineOptions) -> Result<Self> {
        options.validate()?;
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
        self.shared().tell();
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
        self.shared().parrot.model().is_some()
    }

    /// The most images that it has learnt to talk about in one conversation
    /// ([`Parrot::max_images_per_conversation`](crate::Parrot::max_images_per_conversation)).
    #[must_use]
    pub fn max_images_per_conversation(&self) -> Option<usize> {
        self.shared().parrot.max_images_per_conversation()
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
        shared.tell();
        let waited = shared.changed.wait_timeout_while(queue, limit, |queue| !queue.is_over);
        queue = waited.map_or_else(|poisoned| poisoned.into_inner().0, |(queue, _)| queue);
        if queue.is_over {
            return 0;
        }
        let dropped = queue.waiting.len() + queue.stats.running;
        queue.is_aborted = true;
        shared.tell();
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
        shared.tell();
    }
}
