//! A request in this server's own terms, whichever interface it came through.

use parrot_infer::{AskOptions, Image, Request};
use parrot_model::text::{Content, Conversation, Message, Role};

use crate::error::ApiError;
use crate::images::ImageSource;
use crate::names::Names;
use crate::options::ServeOptions;

/// Text of a whole conversation, in bytes: more than any context holds, and little enough to be tokenised at once.
const MAX_TEXT_BYTES: usize = 1 << 20;

/// What is asked, checked as far as that needs no model.
#[derive(Debug)]
pub(crate) struct Ask {
    /// The model's name, if one was given.
    pub(crate) model: Option<String>,
    pub(crate) conversation: Conversation,
    /// Those of the conversation, in order.
    pub(crate) images: Vec<ImageSource>,
    pub(crate) options: AskOptions,
    /// How many answers.
    pub(crate) choices: usize,
    /// What the request calls its options.
    pub(crate) names: Names,
}

impl Ask {
    /// The requests for the engine, one for each answer. Their seeds follow one another.
    pub(crate) fn requests(&self, images: &[Image]) -> Vec<Request> {
        let request = |choice| {
            let mut options = self.options.clone();
            options.sampling.seed = options.sampling.seed.wrapping_add(choice);
            Request { conversation: self.conversation.clone(), images: images.to_vec(), options }
        };
        (0..self.choices as u64).map(request).collect()
    }

    /// The text of all messages, in bytes.
    pub(crate) fn text_bytes(&self) -> usize {
        let contents = self.conversation.0.iter().flat_map(|message| &message.content);
        contents.map(|content| if let Content::Text(text) = content { text.len() } else { 0 }).sum()
    }

    /// The text of all messages, for a log that was asked for.
    pub(crate) fn text(&self) -> String {
        let lines = self.conversation.0.iter().map(|message| format!("{}: {message}", message.role.name()));
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// Collects a conversation's messages, within the limits of a request.
#[derive(Debug)]
pub(crate) struct ConversationBuilder {
    messages: Vec<Message>,
    images: Vec<ImageSource>,
    text_bytes: usize,
    max_images: usize,
}

impl ConversationBuilder {
    pub(crate) fn new(options: &ServeOptions) -> Self {
        Self { messages: Vec::new(), images: Vec::new(), text_bytes: 0, max_images: options.max_images }
    }

    /// Adds a message. Its images come first, each on a line of its own: so they stood in training.
    pub(crate) fn push(
        &mut self,
        role: Role,
        text: String,
        images: Vec<ImageSource>,
    ) -> Result<(), ApiError> {
        self.text_bytes += text.len();
        if self.text_bytes > MAX_TEXT_BYTES {
            let message =
                format!("the conversation is too long: the limit is {MAX_TEXT_BYTES} bytes of text");
            return Err(ApiError::invalid(message).param("messages").code("context_length_exceeded"));
        }
        if self.images.len() + images.len() > self.max_images {
            let message = format!("a request may have at most {} images", self.max_images);
            return Err(ApiError::invalid(message).param("messages").code("too_many_images"));
        }
        self.messages.push(Message { role, ..Message::question(text, images.len()) });
        self.images.extend(images);
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<(Conversation, Vec<ImageSource>), ApiError> {
        let is_question = |message: &Message| {
            let has_words =
                |content: &Content| matches!(content, Content::Text(text) if !text.trim().is_empty());
            message.role == Role::User
                && message.content.iter().any(|content| *content == Content::Image || has_words(content))
        };
        if !self.messages.iter().any(is_question) {
            let message = "messages should have one of the role user that asks something";
            return Err(ApiError::invalid(message).param("messages"));
        }
        Ok((Conversation(self.messages), self.images))
    }
}
