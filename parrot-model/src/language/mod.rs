//! The Qwen2 decoder: token and picture embeddings → logits.

pub mod attention;
pub mod cache;
pub mod decoder;
pub mod rope;
mod vocabulary;

pub use attention::Pass;
pub use cache::KvCache;
pub use decoder::Qwen2;
