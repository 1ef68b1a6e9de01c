//! How LLaVA's JSON writes images in text. Only for data; what a user typed goes through
//! [`Message::text`] or [`Message::question`].

use super::{Content, Message, Role};

/// Where an image stands in a message.
pub const PLACEHOLDER: &str = "<image>";

/// A message of a record: each `<image>` in `value` is an image.
#[must_use]
pub fn message(role: Role, value: &str) -> Message {
    let mut content = Vec::new();
    for (index, text) in value.split(PLACEHOLDER).enumerate() {
        if index > 0 {
            content.push(Content::Image);
        }
        if !text.is_empty() {
            content.push(Content::Text(text.into()));
        }
    }
    Message { role, content }
}
