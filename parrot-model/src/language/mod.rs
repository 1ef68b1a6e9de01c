//! The decoder: embeddings → logits. It does not know which embeddings come from pictures.

pub mod attention;
pub mod cache;
pub mod context;
pub mod decoder;
pub mod rope;
mod vocabulary;

pub use cache::KvCache;
pub use context::{AttentionMask, ForwardContext};
pub use decoder::{Decoder, DecoderInput, STEP_ROWS};
