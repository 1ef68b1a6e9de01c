//! Text on its way into the model and out of it.
//!
//! ```text
//! Conversation ──chat::encode──► token ids, −200 at each picture ──model──► ids ──DecodeStream──► text
//! ```
//!
//! [`tokenizer`] turns strings into ids and back; [`chat`] lays a [`Conversation`] out in ChatML, puts
//! [`IMAGE_TOKEN_INDEX`] where a picture stands and marks what training learns from.

pub mod chat;
pub mod tokenizer;

pub use chat::{Content, Conversation, Encoded, IGNORE_INDEX, IMAGE_TOKEN_INDEX, Message, Role};
pub use tokenizer::{DecodeStream, Tokenizer};
