//! An answer, while it is made and afterwards.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use eframe::egui;
use futures_core::Stream;
use parrot_infer::{Answering, CancelToken, Engine, Error, Event, FinishReason, Request};

use crate::advice;
use crate::languages::Language;

/// An answer and the question that asked for it.
pub(crate) struct Answer {
    /// Whose column it is, if there are six.
    pub(crate) language: Option<&'static Language>,
    pub(crate) question: String,
    /// As far as it has come.
    pub(crate) text: String,
    /// The weights of the experts, for the last picture.
    pub(crate) routing: Vec<f32>,
    pub(crate) state: State,
    request: Request,
}

/// How far an answer is.
pub(crate) enum State {
    /// For the model that is being loaded.
    Waiting,
    Running {
        events: Answering,
        cancel: CancelToken,
        since: Instant,
    },
    Done {
        tokens: usize,
        took: Duration,
        was_cut: bool,
    },
    Stopped,
    /// What happened, and what to do.
    Failed(String),
}

impl Answer {
    /// One that waits to be [asked for](Self::ask).
    pub(crate) fn new(language: Option<&'static Language>, question: String, request: Request) -> Self {
        Self { language, question, text: String::new(), routing: Vec::new(), state: State::Waiting, request }
    }

    /// Asks, or asks once more.
    ///
    /// - engine: `None` where no model is loaded
    pub(crate) fn ask(&mut self, engine: Option<&Engine>) {
        self.text.clear();
        self.routing.clear();
        let cancel = CancelToken::default();
        self.request.options.cancel = Some(cancel.clone());
        self.state = match engine.map(|engine| engine.submit(self.request.clone())) {
            Some(Ok(events)) => State::Running { events, cancel, since: Instant::now() },
            Some(Err(error)) => State::Failed(advice::with_advice(&error)),
            None => State::Failed("There is no model. Choose one in Settings.".into()),
        };
    }

    /// Whether there is more to come.
    pub(crate) fn is_under_way(&self) -> bool {
        matches!(self.state, State::Waiting | State::Running { .. })
    }

    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting)
    }

    /// Ends it, at its next token if it has begun.
    pub(crate) fn stop(&mut self) {
        match &self.state {
            State::Running { cancel, .. } => cancel.cancel(),
            State::Waiting => self.state = State::Stopped,
            _ => {}
        }
    }

    /// Takes what has happened since the last call, without waiting; the waker is woken when there is more. Returns the error
    /// if it has just failed.
    pub(crate) fn update(&mut self, waker: &Waker) -> Option<Error> {
        let context = &mut Context::from_waker(waker);
        while let State::Running { events, cancel, since } = &mut self.state {
            let (event, took) = match Pin::new(events).poll_next(context) {
                Poll::Pending => break,
                Poll::Ready(event) => (event, since.elapsed()),
            };
            match event {
                Some(Event::Routing(weights)) => {
                    self.routing = weights.into_iter().last().unwrap_or_default();
                }
                Some(Event::Text { text, .. }) => self.text += &text,
                Some(Event::Finished(answer)) if cancel.is_cancelled() => {
                    self.text = answer.text;
                    self.state = State::Stopped;
                }
                Some(Event::Finished(answer)) => {
                    let was_cut = answer.finish_reason == FinishReason::Length;
                    self.text = answer.text;
                    self.state = State::Done { tokens: answer.token_ids.len(), took, was_cut };
                }
                Some(Event::Failed(error)) => {
                    self.state = State::Failed(advice::with_advice(&error));
                    return Some(error);
                }
                Some(_) => {}
                None => self.state = State::Failed(advice::with_advice(&Error::ShutDown)),
            }
        }
        None
    }

    /// What is said below it.
    pub(crate) fn facts(&self) -> String {
        match &self.state {
            State::Waiting => "waiting for the model".into(),
            State::Running { .. } if self.text.is_empty() => "…".into(),
            State::Running { .. } | State::Failed(_) => String::new(),
            State::Stopped => "stopped".into(),
            State::Done { tokens, took, was_cut } => {
                let plural = if *tokens == 1 { "" } else { "s" };
                let cut = if *was_cut { ", cut off" } else { "" };
                let silent = if self.text.trim().is_empty() {
                    ": it had nothing to say. Put it in other words, or begin a new conversation."
                } else {
                    ""
                };
                format!("{tokens} token{plural}, {:.1} s{cut}{silent}", took.as_secs_f32())
            }
        }
    }
}

/// Has the window drawn again when an answer gets on.
pub(crate) struct Repaint(pub(crate) egui::Context);

impl Wake for Repaint {
    fn wake(self: Arc<Self>) {
        self.0.request_repaint();
    }
}
