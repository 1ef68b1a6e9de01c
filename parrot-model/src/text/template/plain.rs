//! No template: text in, text out, for decoders that were never taught to chat.
//!
//! The messages follow each other as they are, with nothing between them; an answer ends with the token that ends
//! texts, if there is one.

use super::super::encode::{Learning, RenderedPrompt};
use super::super::{Message, Tokenizer};
use super::LastMessage;

#[derive(Clone, Debug)]
pub(super) struct Plain {
    /// What the tokenizer puts before a text.
    start: Vec<u32>,
    pub(super) end_of_text: Option<u32>,
}

impl Plain {
    pub(super) fn new(tokenizer: &Tokenizer, end_of_text: Option<u32>) -> Self {
        Self { start: tokenizer.prompt_start().to_vec(), end_of_text }
    }

    pub(super) fn prompt(&self, messages: &[Message], last_message: LastMessage) -> RenderedPrompt {
        let mut prompt = RenderedPrompt::default();
        prompt.start.clone_from(&self.start);
        for (index, message) in messages.iter().enumerate() {
            let learning = Learning::from_role(message.role);
            prompt.content(&message.content, learning);
            let is_open = last_message == LastMessage::Open && index + 1 == messages.len();
            if let Some(end) = self.end_of_text
                && learning == Learning::Learnt
                && !is_open
            {
                prompt.control(end, learning);
            }
        }
        prompt
    }
}
