//! How much an [`Engine`](super::Engine) takes on.

use std::time::Duration;

use crate::generate::PREFILL_CHUNK;
use crate::parrot::IMAGE_CACHE_BYTES;
use crate::{Error, Result};

/// How much an [`Engine`](super::Engine) takes on: memory, answers, questions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineOptions {
    /// Bytes for keys and values. A question is answered once there is room for it and its longest answer; until then it waits,
    /// and those behind it with it. What is left keeps the beginnings of prompts for those that begin in the same way
    /// ([`Answer::reused_tokens`](crate::Answer::reused_tokens)).
    pub cache_bytes: u64,
    /// Bytes for the features of images, as [`Parrot::remember_image_bytes`](crate::Parrot::remember_image_bytes).
    pub image_cache_bytes: u64,
    /// Answers that are computed together at most; at least 1.
    pub max_running: usize,
    /// Questions that wait at most; at least 1.
    pub max_waiting: usize,
    /// Tokens of a prompt that are read between two tokens of those that are answering; at least 1. With another value than
    /// [`PREFILL_CHUNK`] answers differ by roundings from those of [`Parrot::answer`](crate::Parrot::answer).
    pub prefill_chunk: usize,
    /// Text that comes sooner than this after an [`Event::Text`](crate::Event::Text) waits for the next token and is sent with it.
    /// Whoever sends events on has then less to do where tokens come faster than anyone reads; zero sends each token's text by
    /// itself.
    pub text_interval: Duration,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 4 << 30,
            image_cache_bytes: IMAGE_CACHE_BYTES,
            max_running: 32,
            max_waiting: 256,
            prefill_chunk: PREFILL_CHUNK,
            text_interval: Duration::ZERO,
        }
    }
}

impl EngineOptions {
    /// # Errors
    ///
    /// [`Error::Option`] for a value outside its range.
    pub(super) fn validate(&self) -> Result<()> {
        for (option, value) in [
            ("max_running", self.max_running),
            ("max_waiting", self.max_waiting),
            ("prefill_chunk", self.prefill_chunk),
        ] {
            if value == 0 {
                return Err(Error::option(option, "at least 1", value));
            }
        }
        Ok(())
    }
}
