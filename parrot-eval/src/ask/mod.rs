//! Asking a model: the order of questions, and what was answered so far.

pub(crate) mod answers;
mod decoded;
pub(crate) mod generate;
pub(crate) mod job;
pub(crate) mod journal;
pub(crate) mod parts;
pub(crate) mod request;
