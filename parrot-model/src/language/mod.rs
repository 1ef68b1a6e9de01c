//! The decoder: token and picture embeddings → logits. It knows nothing of pictures.

pub mod attention;
pub mod cache;
pub mod context;
pub mod decoder;
pub mod rope;
mod vocabulary;

pub use cache::KvCache;
pub use context::{AttentionMask, ForwardContext};
pub use decoder::{Decoder, DecoderInput};
