//! The answers to one request while they are made: a stream of numbered events, measured as they pass.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use parrot_infer::{Answer, Answering, Event, FinishReason};
use tokio_stream::{Stream, StreamExt, StreamMap};

use crate::budget::Share;
use crate::error::ApiError;
use crate::metrics::ModelMetrics;
use crate::names::Names;
use crate::words::loggable;

/// How often a client that waits for an event is told that it does not wait in vain.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How much longer than the engine's own limit a request may take, before the server gives up on it.
const GRACE: Duration = Duration::from_secs(10);

/// The answers to one request, by their index. Dropping them cancels those that are not complete.
#[derive(Debug)]
pub(crate) struct Answers {
    /// The model's name.
    pub(crate) model: String,
    /// Whether log-probabilities were asked for.
    pub(crate) has_logprobs: bool,
    count: usize,
    answering: StreamMap<usize, Answering>,
    names: Names,
    metrics: ModelMetrics,
    asked: Instant,
    log_text: bool,
    /// The memory of the images that are asked about.
    _pixels: Option<Share>,
}

/// What a streamed response is made of.
#[derive(Debug)]
pub(crate) enum Step {
    /// Something happened to one of the answers.
    Event(usize, Event),
    /// There is no answer, or no more of it.
    Failed(ApiError),
    /// Nothing has happened for a while.
    Waiting,
    /// All answers are complete.
    End,
}

impl Answers {
    pub(crate) fn new(
        model: String,
        answering: Vec<Answering>,
        names: Names,
        metrics: ModelMetrics,
        asked: Instant,
    ) -> Self {
        let count = answering.len();
        Self {
            model,
            has_logprobs: false,
            count,
            answering: answering.into_iter().enumerate().collect(),
            names,
            metrics,
            asked,
            log_text: false,
            _pixels: None,
        }
    }

    /// The same, with log-probabilities if they were asked for.
    pub(crate) fn with_logprobs(self, has_logprobs: bool) -> Self {
        Self { has_logprobs, ..self }
    }

    /// The same, whose text goes into the log if the operator wants that.
    pub(crate) fn with_text_logged(self, log_text: bool) -> Self {
        Self { log_text, ..self }
    }

    /// The same, with the memory that the question's images take.
    pub(crate) fn holding(self, pixels: Share) -> Self {
        Self { _pixels: Some(pixels), ..self }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Waits until all are complete, but not much longer than the engine's own limit.
    ///
    /// # Errors
    ///
    /// The first that failed.
    pub(crate) async fn wait(mut self, request_timeout: Duration) -> Result<Vec<Answer>, ApiError> {
        let limit = request_timeout + GRACE;
        let mut complete: Vec<Option<Answer>> = vec![None; self.count];
        let names = self.names;
        let all = async {
            while let Some((index, event)) = self.next().await {
                match Step::new(index, event, names) {
                    Step::Event(index, Event::Finished(answer)) => complete[index] = Some(*answer),
                    Step::Failed(error) => return Err(error),
                    _ => {}
                }
            }
            complete.into_iter().collect::<Option<Vec<_>>>().ok_or_else(ApiError::stopping)
        };
        tokio::time::timeout(limit, all).await.unwrap_or_else(|_| {
            Err(ApiError::timeout(format!("there was no answer within {} seconds", limit.as_secs())))
        })
    }

    /// A response's body that `write` makes of every step.
    pub(crate) fn into_body(self, write: impl FnMut(Step) -> String + Send + 'static) -> Body {
        let names = self.names;
        let steps = self.timeout_repeating(tokio::time::interval(KEEP_ALIVE)).map(move |event| match event {
            Ok((index, event)) => Step::new(index, event, names),
            Err(_) => Step::Waiting,
        });
        let steps = steps.chain(tokio_stream::once(Step::End));
        let pieces = steps.map(write).filter(|piece| !piece.is_empty());
        Body::from_stream(pieces.map(|piece| Ok::<_, Infallible>(Bytes::from(piece))))
    }
}

impl Step {
    /// What an event comes to. An answer that its time ran out for before it had begun is none.
    fn new(index: usize, event: Event, names: Names) -> Self {
        match event {
            Event::Failed(error) => Self::Failed(names.error(error)),
            Event::Finished(answer)
                if answer.finish_reason == FinishReason::TimeLimit && answer.token_ids.is_empty() =>
            {
                Self::Failed(ApiError::timeout("the time for a request was over before its answer began"))
            }
            event => Self::Event(index, event),
        }
    }
}

impl Stream for Answers {
    type Item = (usize, Event);

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<(usize, Event)>> {
        let Self { model, answering, metrics, asked, log_text, .. } = self.get_mut();
        let next = Pin::new(answering).poll_next(context);
        if let Poll::Ready(Some((index, event))) = &next {
            metrics.observe(event, *asked);
            if let (true, Event::Finished(answer)) = (*log_text, event) {
                tracing::info!(%model, index, text = loggable(&answer.text), "answered");
            }
        }
        next
    }
}
