//! Who said what: conversations of text and images, before a template lays them out.
//!
//! An image is not text. A [`Message`] holds text and images side by side, so an `<image>` or an `<|im_end|>`
//! that a user typed reaches the model as those characters and as nothing else.

use std::fmt;

use crate::{Error, Result};

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The instructions above the conversation.
    System,
    /// The user.
    User,
    /// The model: its messages are what training learns.
    Assistant,
}

impl Role {
    /// The name that templates know it by.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// A piece of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Characters, none of which has a special meaning.
    Text(String),
    /// The place of an image.
    Image,
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// Text and images in reading order.
    pub content: Vec<Content>,
}

impl Message {
    /// A message without images. The text is taken literally, whatever it contains.
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self { role, content: vec![Content::Text(text.into())] }
    }

    /// A user's question about this number of images, each on a line of its own before the text.
    pub fn question(text: impl AsRef<str>, images: usize) -> Self {
        let image = [Content::Image, Content::Text("\n".into())];
        let mut content: Vec<_> = std::iter::repeat_n(image, images).flatten().collect();
        content.push(Content::Text(text.as_ref().into()));
        Self { role: Role::User, content }
    }

    /// How many images the message shows.
    #[must_use]
    pub fn images(&self) -> usize {
        self.content.iter().filter(|content| **content == Content::Image).count()
    }

    /// The content without the leading characters that `start` takes and the trailing ones that `end` takes; an image is none.
    pub(super) fn trimmed(
        &self,
        start: impl Fn(char) -> bool + Copy,
        end: impl Fn(char) -> bool + Copy,
    ) -> Vec<Content> {
        let mut content = self.content.clone();
        while let Some(Content::Text(text)) = content.first_mut() {
            *text = text.trim_start_matches(start).into();
            if !text.is_empty() {
                break;
            }
            content.remove(0);
        }
        while let Some(Content::Text(text)) = content.last_mut() {
            *text = text.trim_end_matches(end).into();
            if !text.is_empty() {
                break;
            }
            content.pop();
        }
        content
    }
}

/// The message for people to read: an image and a typed `<image>` look the same.
impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.content.iter().try_for_each(|content| match content {
            Content::Text(text) => f.write_str(text),
            Content::Image => f.write_str("<image>"),
        })
    }
}

/// The turns of a conversation, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conversation(pub Vec<Message>);

impl Conversation {
    /// A conversation that begins with a question about this number of images ([`Message::question`]).
    pub fn question(text: impl AsRef<str>, images: usize) -> Self {
        Self(vec![Message::question(text, images)])
    }

    /// How many images all messages show together.
    #[must_use]
    pub fn images(&self) -> usize {
        self.0.iter().map(Message::images).sum()
    }

    /// The messages, of which there must be one.
    pub(super) fn messages(&self) -> Result<&[Message]> {
        if self.0.is_empty() {
            return Err(Error::Conversation { reason: "it has no messages".into() });
        }
        Ok(&self.0)
    }
}
