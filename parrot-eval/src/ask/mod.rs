//! Asking a model: the prompts of each protocol, the order of questions, what was answered so far.

pub(crate) mod candidate;
pub(crate) mod generate;
pub(crate) mod journal;
pub(crate) mod prompt;
pub(crate) mod protocol;
pub(crate) mod request;
