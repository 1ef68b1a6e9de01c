//! ChatML, the template of Qwen, SmolLM2 and Parrot.
//!
//! ```text
//! <|im_start|>system
//! You are a helpful assistant.<|im_end|>
//! <|im_start|>user
//! <image>
//! What is this?<|im_end|>
//! <|im_start|>assistant
//! A parrot.<|im_end|>
//! ```
//!
//! For ordinary text the ids and labels are those of Parrot's reference code. There are two differences: in the reference
//! a typed `<|im_end|>` ends the question, and line breaks at the beginning of an answer merge with the
//! one that ends the header.

use super::super::encode::{Learning, RenderedPrompt};
use super::super::{Message, Role, Tokenizer};
use super::LastMessage;
use crate::Result;

/// Opens a message.
pub(super) const IM_START: &str = "<|im_start|>";
/// Closes a message.
pub(super) const IM_END: &str = "<|im_end|>";

#[derive(Clone, Debug)]
pub(super) struct ChatMl {
    im_start: u32,
    im_end: u32,
    /// What a conversation begins with unless its first message is a system message.
    pub(super) default_system_prompt: Option<String>,
}

impl ChatMl {
    pub(super) fn new(tokenizer: &Tokenizer, default_system_prompt: Option<String>) -> Result<Self> {
        let (im_start, im_end) = (tokenizer.control_token(IM_START)?, tokenizer.control_token(IM_END)?);
        Ok(Self { im_start, im_end, default_system_prompt })
    }

    pub(super) fn end_of_turn(&self) -> u32 {
        self.im_end
    }

    pub(super) fn prompt(&self, messages: &[Message], last_message: LastMessage) -> RenderedPrompt {
        let default = self.default_system_prompt.as_ref().filter(|_| messages[0].role != Role::System);
        let default = default.map(|prompt| Message::text(Role::System, prompt));
        let mut prompt = RenderedPrompt::default();
        let mut messages = default.iter().chain(messages).peekable();
        while let Some(message) = messages.next() {
            let learning = Learning::from_role(message.role);
            let is_last = messages.peek().is_none();
            prompt.control(self.im_start, Learning::Ignored);
            prompt.text(message.role.name(), Learning::Ignored);
            prompt.text("\n", Learning::Ignored);
            prompt.content(&message.content, learning);
            if !is_last || last_message == LastMessage::Ended {
                prompt.control(self.im_end, learning);
            }
            if !is_last {
                prompt.text("\n", learning);
            }
        }
        prompt
    }
}
