//! What the page asks → a conversation.

use js_sys::{Array, Uint8Array};
use parrot_infer::{Image, Result};
use parrot_model::text::{Conversation, Message, Role};
use serde::Deserialize;
use wasm_bindgen::JsCast;

/// What the page asks.
#[derive(Debug, Deserialize)]
pub(crate) struct Request {
    messages: Vec<Said>,
    pub(crate) temperature: f32,
    pub(crate) max_tokens: usize,
}

#[derive(Debug, Deserialize)]
struct Said {
    role: Who,
    text: String,
    /// Images that are shown before the words.
    images: usize,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Who {
    System,
    User,
    Assistant,
}

impl Request {
    pub(crate) fn conversation(&self) -> Conversation {
        let message = |Said { role, text, images }: &Said| match role {
            Who::System => Message::text(Role::System, text),
            Who::User => Message::question(text, *images),
            Who::Assistant => Message::text(Role::Assistant, text),
        };
        Conversation(self.messages.iter().map(message).collect())
    }
}

/// Decodes the images.
pub(crate) fn images(files: &Array) -> Result<Vec<Image>> {
    let files = files.iter().enumerate();
    let read = files.map(|(at, file)| {
        let bytes = file.unchecked_into::<Uint8Array>().to_vec();
        Image::from_bytes(&bytes, &(at + 1).to_string())
    });
    read.collect()
}
