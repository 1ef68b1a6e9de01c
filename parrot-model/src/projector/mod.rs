//! From vision features to the decoder's tokens: the projector, then the paper's own part, the
//! [text-guided mixture of experts](moe).

pub mod mlp;
pub mod moe;

pub use mlp::Projector;
pub use moe::{Routing, TextGuidedMoe};
