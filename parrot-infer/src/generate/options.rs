//! The options of a question.

use std::time::Duration;

use super::AnswerFormat;
use super::sampling::Sampling;
use super::stop::StopStrings;
use crate::cancel::CancelToken;
use crate::{Error, Result};

/// Everything that shapes an answer besides the question.
#[derive(Debug, Clone, PartialEq)]
pub struct AskOptions {
    /// The system message; `None` takes the one that the model was trained with.
    pub system: Option<String>,
    /// The most tokens that an answer may have; at least 1.
    pub max_new_tokens: usize,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// An answer ends before the first of these strings.
    pub stop: Vec<String>,
    /// What form the answer must have; `None`: any.
    pub format: Option<AnswerFormat>,
    /// Cancels the answer at its next token.
    pub cancel: Option<CancelToken>,
    /// How long an answer may take, counted from the question; it ends at the first token after that.
    pub time_limit: Option<Duration>,
    /// Says how likely each token was, and this many of the likeliest in its place
    /// ([`Answer::logprobs`](crate::Answer::logprobs)); `None`: says nothing.
    pub top_logprobs: Option<usize>,
}

impl Default for AskOptions {
    fn default() -> Self {
        Self {
            system: None,
            max_new_tokens: 512,
            sampling: Sampling::default(),
            stop: Vec::new(),
            format: None,
            cancel: None,
            time_limit: None,
            top_logprobs: None,
        }
    }
}

impl AskOptions {
    /// Checks the values without a model. Asking checks them, too.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] for a value outside its range.
    pub fn validate(&self) -> Result<()> {
        if self.max_new_tokens == 0 {
            return Err(Error::option("max_new_tokens", "at least 1", 0));
        }
        self.sampling.validate()?;
        StopStrings::new(&self.stop)?;
        Ok(())
    }
}
