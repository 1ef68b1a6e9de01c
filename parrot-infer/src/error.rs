//! The one error type of this crate.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};

use burn::tensor::TensorReadError;
use parrot_model::untrusted::contained;

/// Short for `Result<T, parrot_infer::Error>`.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A checkpoint, device, picture or prompt that cannot be used.
    #[error(transparent)]
    Model(#[from] parrot_model::Error),
    /// Nothing was asked.
    #[error("the question is empty")]
    EmptyQuestion,
    /// A picture was shown to a model that reads text only.
    #[error("this model reads text only, it cannot be shown an image")]
    TextOnly,
    /// An option outside its range.
    #[error("{option} should be {expected}, found {found}")]
    Option {
        /// The option's name.
        option: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What it was.
        found: String,
    },
    /// [`AskOptions::format`](crate::AskOptions::format) asks for what cannot be followed.
    #[error("the answer's format cannot be followed: {reason}")]
    Format {
        /// Why, in a few words.
        reason: String,
    },
    /// The network's scores are infinite or not a number: f16 has overflowed, or the weights are broken.
    #[error("the model's scores are not finite: its weights are damaged or too large for {dtype}")]
    NotFinite {
        /// The dtype that the network computed in.
        dtype: String,
    },
    /// Computing this answer panicked; whatever else was being answered goes on.
    #[error("the answer failed: {what}")]
    Panicked {
        /// `panicked: ` and what was said.
        what: String,
    },
    /// An [`Engine`](crate::Engine) has as many questions waiting as it takes.
    #[error("{limit} questions are waiting already, and no more are taken")]
    QueueFull {
        /// How many may wait.
        limit: usize,
    },
    /// A question and its longest answer need more memory than an [`Engine`](crate::Engine) has for keys and values.
    #[error(
        "the question and its answer need {needed} bytes for keys and values, of {budget} that there are; a lower max_new_tokens needs fewer"
    )]
    NeverFits {
        /// Bytes that it needs.
        needed: u64,
        /// Bytes that there are.
        budget: u64,
    },
    /// There is no thread to be had for an [`Engine`](crate::Engine).
    #[error("cannot start the engine's thread")]
    Thread(#[source] std::io::Error),
    /// An [`Engine`](crate::Engine) was shut down.
    #[error("the engine is shut down")]
    ShutDown,
    /// The device failed while it computed.
    #[error("the device failed")]
    Compute(#[from] TensorReadError),
}

impl Error {
    /// An [`Error::Option`].
    pub(crate) fn option(option: &'static str, expected: &'static str, found: impl ToString) -> Self {
        Self::Option { option, expected, found: found.to_string() }
    }
}

/// Computes for one question, whose error a panic becomes.
pub(crate) fn panics_as_errors<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    contained(work).unwrap_or_else(|what| Err(Error::Panicked { what }))
}

/// [`panics_as_errors`] for what is waited for.
pub(crate) async fn panics_as_errors_async<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let mut work = pin!(work);
    let poll = |context: &mut Context<'_>| {
        let polled = contained(|| work.as_mut().poll(context));
        polled.unwrap_or_else(|what| Poll::Ready(Err(Error::Panicked { what })))
    };
    poll_fn(poll).await
}
