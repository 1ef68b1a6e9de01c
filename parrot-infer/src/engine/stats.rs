//! What an [`Engine`](super::Engine) is doing and has done.

use crate::parrot::ImageCacheUse;

/// What an [`Engine`](super::Engine) is doing and has done.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineStats {
    /// Answers that are being computed.
    pub running: usize,
    /// Questions that wait.
    pub waiting: usize,
    /// Bytes that the running answers' keys and values may come to take.
    pub cache_bytes: u64,
    /// Bytes of keys and values that are kept of earlier prompts.
    pub kept_bytes: u64,
    /// Bytes that both may take together.
    pub cache_budget: u64,
    /// The memory of images.
    pub images: ImageCacheUse,
    /// Answers that had begun and ended, whatever the reason, since the start; those that nobody waited for any more are not among
    /// them.
    pub finished: u64,
    /// Answers that failed.
    pub failed: u64,
    /// Answers that were dropped because nobody waited for them any more.
    pub cancelled: u64,
    /// Tokens of prompts that were read.
    pub prompt_tokens: u64,
    /// Tokens of prompts that did not have to be read, as their keys and values were known.
    pub reused_tokens: u64,
    /// Tokens of answers, counted as they come, those of answers that nobody waited for any more among them.
    pub generated_tokens: u64,
    /// Steps of decoding. The tokens of each are as many as answers took part in it.
    pub decode_steps: u64,
    /// Tokens that came from steps of decoding: all but each answer's first. Divided by the steps, the mean size of a batch.
    pub decoded_tokens: u64,
}
