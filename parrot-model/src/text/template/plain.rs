//! No template: text in, text out, for decoders that were never taught to chat.
//!
//! The messages follow each other as they are, with nothing between them; an answer ends with the token that ends
//! texts, if there is one.

use super::super::encode::Prompt;
use super::super::{Message, Role, Tokenizer};

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

    /// Lays the messages out; the last one is left `open` if the model is to go on with it.
    pub(super) fn lay_out(&self, messages: &[Message], open: bool) -> Prompt {
        let mut prompt = Prompt::default();
        prompt.start.clone_from(&self.start);
        for (index, message) in messages.iter().enumerate() {
            let learnt = message.role == Role::Assistant;
            prompt.content(&message.content, learnt);
            let end = self.end_of_text.filter(|_| learnt && !(open && index + 1 == messages.len()));
            if let Some(end) = end {
                prompt.control(end, learnt);
            }
        }
        prompt
    }
}
