//! Asking a model: the order of questions, and what was answered so far.

pub(crate) mod generate;
pub(crate) mod journal;
pub(crate) mod request;
