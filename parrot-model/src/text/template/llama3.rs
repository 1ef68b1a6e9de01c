//! The template of Llama 3.
//!
//! ```text
//! <|begin_of_text|><|start_header_id|>user<|end_header_id|>
//!
//! What is this?<|eot_id|><|start_header_id|>assistant<|end_header_id|>
//!
//! A parrot.<|eot_id|>
//! ```
//!
//! What is said is trimmed, as in Meta's code. There is no default system message; only the checkpoint's own template
//! writes the one with dates that Llama 3.1 and later have.

use super::super::encode::{Learning, RenderedPrompt};
use super::super::{Message, Tokenizer};
use super::LastMessage;
use crate::Result;

/// Begins the name of who speaks.
pub(super) const START_HEADER: &str = "<|start_header_id|>";
/// Closes a message.
pub(super) const EOT: &str = "<|eot_id|>";

#[derive(Clone, Debug)]
pub(super) struct Llama3 {
    begin_of_text: u32,
    start_header: u32,
    end_header: u32,
    eot: u32,
}

impl Llama3 {
    pub(super) fn new(tokenizer: &Tokenizer) -> Result<Self> {
        Ok(Self {
            begin_of_text: tokenizer.control_token("<|begin_of_text|>")?,
            start_header: tokenizer.control_token(START_HEADER)?,
            end_header: tokenizer.control_token("<|end_header_id|>")?,
            eot: tokenizer.control_token(EOT)?,
        })
    }

    pub(super) fn end_of_turn(&self) -> u32 {
        self.eot
    }

    /// An open message's text stays untrimmed.
    pub(super) fn prompt(&self, messages: &[Message], last_message: LastMessage) -> RenderedPrompt {
        let mut prompt = RenderedPrompt::default();
        prompt.control(self.begin_of_text, Learning::Ignored);
        for (index, message) in messages.iter().enumerate() {
            let learning = Learning::from_role(message.role);
            prompt.control(self.start_header, Learning::Ignored);
            prompt.text(message.role.name(), Learning::Ignored);
            prompt.control(self.end_header, Learning::Ignored);
            prompt.text("\n\n", Learning::Ignored);
            if last_message == LastMessage::Open && index + 1 == messages.len() {
                prompt.content(&message.content, learning);
            } else {
                prompt.content(&message.trimmed(char::is_whitespace, char::is_whitespace), learning);
                prompt.control(self.eot, learning);
            }
        }
        prompt
    }
}
