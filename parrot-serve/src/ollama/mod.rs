//! Ollama's interface, as far as its clients need it: a thin translation.

pub(crate) mod answer;
pub(crate) mod error;
pub(crate) mod request;
pub(crate) mod tags;
