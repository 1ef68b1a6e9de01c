//! What all requests share, and how a question gets from [`Ask`] to the engine.

use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parrot_infer::Engine;
use parrot_model::untrusted::contained;
use tokio::sync::Semaphore;

use crate::answers::Answers;
use crate::ask::Ask;
use crate::budget::Budget;
use crate::error::ApiError;
use crate::images::{DECODED, Images};
use crate::metrics::Metrics;
use crate::models::{Model, Models};
use crate::options::ServeOptions;
use crate::words::loggable;

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) models: Models,
    pub(crate) options: ServeOptions,
    pub(crate) metrics: Metrics,
    pub(crate) bodies: Budget,
    images: Images,
    /// Conversations that are turned into tokens at a time: that takes many times their memory.
    encoding: Arc<Semaphore>,
    stopping: AtomicBool,
}

/// [`Service`] as handlers get it.
pub(crate) type Shared = Arc<Service>;

impl Service {
    /// # Errors
    ///
    /// As [`Models::new`].
    pub(crate) fn new(models: Vec<Model>, options: ServeOptions) -> Result<Self, String> {
        let models = Models::new(models)?;
        let images = Images::new(options.max_pixels, DECODED);
        let images = if options.allow_url_images { images.fetching() } else { images };
        let metrics = Metrics::new(&models);
        let bodies = Budget::new(options.max_bodies_bytes.max(options.max_body_bytes));
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let encoding = Arc::new(Semaphore::new(cores));
        let stopping = AtomicBool::new(false);
        Ok(Self { models, options, metrics, bodies, images, encoding, stopping })
    }

    /// Whether the server has been told to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Hands a question to its model. Dropping what comes back cancels it.
    pub(crate) async fn ask(&self, mut ask: Ask) -> Result<Answers, ApiError> {
        if self.is_stopping() {
            return Err(ApiError::stopping());
        }
        let asked = Instant::now();
        let known = self.models.find(ask.model.as_deref())?;
        known.check_length(ask.text_bytes())?;
        let model = known.model.clone();
        let vocab = model.engine.config().vocab_size;
        if let Some((id, _)) = ask.options.sampling.logit_bias.iter().find(|(id, _)| *id as usize >= vocab) {
            return Err(ApiError::value("logit_bias", &format!("about tokens below {vocab}"), id));
        }
        // All wait before the first can begin: more would be told to come back for ever.
        let most = model.engine.options().max_waiting;
        if ask.choices > most {
            let expected = format!("at most {most}, as many answers as may wait here at a time");
            return Err(ApiError::value("n", &expected, ask.choices));
        }
        if !ask.images.is_empty() && !model.engine.has_images() {
            return Err(parrot_infer::Error::TextOnly.into());
        }
        // Waiting for a turn to be decoded is part of what an answer may take.
        let limit = self.options.request_timeout;
        let opened = tokio::time::timeout(limit, self.images.open(std::mem::take(&mut ask.images))).await;
        let too_slow =
            |_| ApiError::timeout("the time for a request was over before its images were decoded");
        let (images, pixels) = opened.map_err(too_slow)??;
        if self.options.log_text {
            tracing::info!(model = %model.name, text = loggable(&ask.text()), "asked");
        }
        let engine: Engine = model.engine.clone();
        let has_logprobs = ask.options.top_logprobs.is_some();
        // Turning words into tokens takes milliseconds for a long conversation.
        let turn = self.encoding.clone().acquire_owned().await.map_err(|_| ApiError::stopping())?;
        ask.options.time_limit = Some(limit.saturating_sub(asked.elapsed()));
        let names = ask.names;
        let submitted = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            contained(|| {
                let requests = ask.requests(&images).into_iter();
                requests.map(|request| engine.submit(request)).collect::<Result<Vec<_>, _>>()
            })
        });
        // What a panic said may quote the request.
        let submitted = submitted.await.ok().and_then(Result::ok).ok_or_else(ApiError::panicked)?;
        let answering = submitted.map_err(|error| names.error(error))?;
        let metrics = self.metrics.of_model(&model.name);
        let answers = Answers::new(model.name, answering, names, metrics, asked);
        let answers = answers.with_logprobs(has_logprobs).with_text_logged(self.options.log_text);
        Ok(answers.holding(pixels))
    }
}
