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
//! What is said is trimmed, as Meta's code does. There is no default system message; the one with the dates that
//! the templates of Llama 3.1 and later write comes out of the checkpoint's own template alone.

use super::super::encode::Prompt;
use super::super::{Message, Role, Tokenizer};
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

    /// Lays the messages out; the last one is left `open` if the model is to go on with it, its text untrimmed.
    pub(super) fn lay_out(&self, messages: &[Message], open: bool) -> Prompt {
        let mut prompt = Prompt::default();
        prompt.control(self.begin_of_text, false);
        for (index, message) in messages.iter().enumerate() {
            let learnt = message.role == Role::Assistant;
            prompt.control(self.start_header, false);
            prompt.text(message.role.name(), false);
            prompt.control(self.end_header, false);
            prompt.text("\n\n", false);
            if open && index + 1 == messages.len() {
                prompt.content(&message.content, learnt);
            } else {
                prompt.content(&message.trimmed(char::is_whitespace, char::is_whitespace), learnt);
                prompt.control(self.eot, learnt);
            }
        }
        prompt
    }
}
