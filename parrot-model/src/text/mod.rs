//! Text on its way into the model and out of it.
//!
//! ```text
//! Conversation ──ChatTemplate──► token ids, −200 at each image ──model──► ids ──DecodeStream──► text
//! ```
//!
//! A [`Tokenizer`] turns strings into ids and back. A [`ChatTemplate`] lays a [`Conversation`] out as the decoder
//! was trained to read it, puts [`IMAGE_TOKEN_INDEX`] where an image stands and marks what training learns from.

mod conversation;
mod encode;
pub mod llava;
pub mod template;
pub mod tokenizer;

pub use conversation::{Content, Conversation, Message, Role};
pub use encode::{Encoded, IGNORE_INDEX, IMAGE_TOKEN_INDEX};
pub use template::ChatTemplate;
pub use tokenizer::{DecodeStream, Tokenizer};
