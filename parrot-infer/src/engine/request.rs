//! What an [`Engine`](super::Engine) is asked, and what comes back while it answers.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_channel::mpsc::UnboundedReceiver;
use futures_core::Stream;
use parrot_model::text::Conversation;

use crate::answer::Answer;
use crate::cancel::CancelToken;
use crate::device::wait;
use crate::generate::{AskOptions, TokenLogprob};
use crate::image::Image;
use crate::{Error, Result};

/// A question to an [`Engine`](super::Engine).
#[derive(Debug, Clone)]
pub struct Request {
    /// What has been said so far, the question last.
    pub conversation: Conversation,
    /// One for each [`Content::Image`](parrot_model::text::Content::Image) of the conversation, in order.
    pub images: Vec<Image>,
    /// What shapes the answer. [`AskOptions::system`] does not apply, as in [`Parrot::answer`](crate::Parrot::answer).
    pub options: AskOptions,
}

/// What happens to a question, in this order: `Started`, `Routing` if there are images, any number of `Text`, and `Finished`. Or
/// `Failed` at any point, after which nothing comes any more.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// It has left the queue.
    Started {
        /// How long it was in there.
        waited: Duration,
    },
    /// For each image in turn, the weight that the question gave each expert: [`Answer::routing_weights`]. Not there without
    /// images, nor where the model has no mixture of experts.
    Routing(Vec<Vec<f32>>),
    /// More of the answer.
    Text {
        /// Whole characters, at least one.
        text: String,
        /// The tokens since the text before, if [`AskOptions::top_logprobs`] asks for them. Tokens that make no text, as the one
        /// that ends the answer, are in [`Answer::logprobs`] only.
        tokens: Vec<TokenLogprob>,
    },
    /// It is complete.
    Finished(Box<Answer>),
    /// There is no answer, or no more of it.
    Failed(Error),
}

/// An answer while it is made, by [`Engine::submit`](super::Engine::submit): a [`Stream`] of [`Event`]s for asynchronous
/// programs, an [`Iterator`] that blocks for others, and [`wait`](Self::wait) for those who want the answer alone.
///
/// Events that are not taken wait in memory; there are never more of them than the answer has tokens. Dropping this cancels
/// the answer at its next token and frees its memory.
#[derive(Debug)]
#[must_use = "dropping it cancels the answer"]
pub struct Answering {
    events: UnboundedReceiver<Event>,
    /// Cancelled once nobody waits any more.
    gone: CancelToken,
}

impl Answering {
    pub(super) fn new(events: UnboundedReceiver<Event>, gone: CancelToken) -> Self {
        Self { events, gone }
    }

    /// Blocks until the answer is complete.
    ///
    /// # Errors
    ///
    /// The error of [`Event::Failed`]; [`Error::ShutDown`] if the engine ended without a word.
    pub fn wait(self) -> Result<Answer> {
        for event in self {
            match event {
                Event::Finished(answer) => return Ok(*answer),
                Event::Failed(error) => return Err(error),
                _ => {}
            }
        }
        Err(Error::ShutDown)
    }
}

impl Stream for Answering {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        Pin::new(&mut self.events).poll_next(context)
    }
}

/// Each event, waited for on this thread.
impl Iterator for Answering {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        wait(poll_fn(|context| Pin::new(&mut self.events).poll_next(context)))
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.gone.cancel();
    }
}
