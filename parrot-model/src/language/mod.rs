//! The decoder: embeddings → logits. It does not know which embeddings come from pictures.

mod attention;
mod cache;
mod context;
mod decoder;
mod rope;
mod vocabulary;

pub use cache::KvCache;
pub use context::ForwardContext;
pub use decoder::{Decoder, DecoderInput, STEP_ROWS};
