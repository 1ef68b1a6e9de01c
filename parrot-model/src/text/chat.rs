//! ChatML: how a conversation becomes the ids that the model reads and the labels that it learns from.
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
//! A picture is not text. A [`Message`] holds text and pictures side by side, so an `<image>` or an
//! `<|im_end|>` that a user typed reaches the model as those characters and as nothing else. The one place
//! where `<image>` does mean a picture is a record of a LLaVA data set: deserialise it, or call
//! [`Message::from_record`].
//!
//! For ordinary text the ids and labels are those of the reference, with one exception that
//! [`ReferenceQuirks::answer_merges_with_header`] explains.

use std::fmt;

use serde::Deserialize;

use super::Tokenizer;
use crate::{Error, ReferenceQuirks, Result};

/// Stands in `input_ids` where a picture goes.
pub const IMAGE_TOKEN_INDEX: i64 = -200;

/// The label of a position that training does not learn from.
pub const IGNORE_INDEX: i64 = -100;

/// What a conversation begins with unless its first message is a system message.
pub const DEFAULT_SYSTEM_PROMPT: &str = "You are a helpful assistant.";

/// How a LLaVA record and a printed prompt write a picture.
const PLACEHOLDER: &str = "<image>";

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The instructions above the conversation.
    System,
    /// The user.
    Human,
    /// The model: its messages are what training learns.
    Gpt,
}

impl Role {
    /// The header of a message after `<|im_start|>`.
    fn header(self) -> &'static str {
        match self {
            Self::System => "system\n",
            Self::Human => "user\n",
            Self::Gpt => "assistant\n",
        }
    }
}

/// A piece of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Characters, none of which has a special meaning.
    Text(String),
    /// The place of a picture.
    Picture,
}

/// One turn of a conversation.
///
/// Deserialises from a LLaVA record, `{"from": "human", "value": "<image>\nWhat is this?"}`, in which
/// `<image>` is a picture. There is no `Serialize`: a typed `<image>` would come back as a picture.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "Record")]
pub struct Message {
    /// Who speaks.
    pub from: Role,
    /// Text and pictures in reading order.
    pub content: Vec<Content>,
}

/// A message as LLaVA's JSON has it.
#[derive(Deserialize)]
struct Record {
    from: Role,
    value: String,
}

impl From<Record> for Message {
    fn from(record: Record) -> Self {
        Self::from_record(record.from, &record.value)
    }
}

impl Message {
    /// A message without pictures. The text is taken literally, whatever it contains.
    pub fn text(from: Role, text: impl Into<String>) -> Self {
        Self { from, content: vec![Content::Text(text.into())] }
    }

    /// A user's question about so many pictures, each on a line of its own before the text.
    pub fn question(text: impl AsRef<str>, pictures: usize) -> Self {
        let picture = [Content::Picture, Content::Text("\n".into())];
        let mut content: Vec<_> = std::iter::repeat_n(picture, pictures).flatten().collect();
        content.push(Content::Text(text.as_ref().into()));
        Self { from: Role::Human, content }
    }

    /// A message of a LLaVA record: each `<image>` in `value` is a picture.
    ///
    /// Only for data; what a user typed goes through [`Message::text`] or [`Message::question`].
    pub fn from_record(from: Role, value: &str) -> Self {
        let mut content = Vec::new();
        for (i, text) in value.split(PLACEHOLDER).enumerate() {
            if i > 0 {
                content.push(Content::Picture);
            }
            if !text.is_empty() {
                content.push(Content::Text(text.into()));
            }
        }
        Self { from, content }
    }

    /// How many pictures the message shows.
    pub fn pictures(&self) -> usize {
        self.content.iter().filter(|c| **c == Content::Picture).count()
    }
}

/// The content as a LLaVA record writes it, pictures as `<image>`. For people to read: a picture and a
/// typed `<image>` look the same.
impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.content.iter().try_for_each(|content| match content {
            Content::Text(text) => f.write_str(text),
            Content::Picture => f.write_str(PLACEHOLDER),
        })
    }
}

/// The turns of a conversation, oldest first. Deserialises from the `conversations` of a LLaVA record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Conversation(pub Vec<Message>);

impl Conversation {
    /// A conversation that begins with a question about so many pictures ([`Message::question`]).
    pub fn question(text: impl AsRef<str>, pictures: usize) -> Self {
        Self(vec![Message::question(text, pictures)])
    }

    /// How many pictures all messages show together.
    pub fn pictures(&self) -> usize {
        self.0.iter().map(Message::pictures).sum()
    }

    /// The messages as the template sees them: with a system prompt in front, and at the end the answer
    /// that the model is to continue.
    fn turns(&self, generation_preface: Option<&str>) -> Result<Vec<Message>> {
        let first = self.0.first();
        let first = first.ok_or_else(|| Error::Conversation { reason: "it has no messages".into() })?;
        let mut turns = Vec::with_capacity(self.0.len() + 2);
        if first.from != Role::System {
            turns.push(Message::text(Role::System, DEFAULT_SYSTEM_PROMPT));
        }
        turns.extend(self.0.iter().cloned());
        turns.extend(generation_preface.map(|preface| Message::text(Role::Gpt, preface)));
        Ok(turns)
    }
}

/// What the model reads and what it learns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// `[seq]`: token ids, [`IMAGE_TOKEN_INDEX`] where a picture stands.
    pub input_ids: Vec<i64>,
    /// `[seq]`: the same ids where the model speaks, [`IGNORE_INDEX`] elsewhere.
    ///
    /// The model's messages count from behind their header to the `<|im_end|>`, and to the line break after
    /// it when another message follows. A picture in them keeps its [`IMAGE_TOKEN_INDEX`], as in the
    /// reference; putting the picture's features in its place turns that into [`IGNORE_INDEX`].
    pub labels: Vec<i64>,
}

/// The prompt as text, control tokens and `<image>` spelled out, for people to read.
///
/// Not a step on the way to ids: [`encode`] does not go through this string, in which a typed control token
/// and a real one look the same. `generation_preface` is as in [`encode`].
///
/// # Errors
///
/// [`Error::Conversation`] when there is no message.
pub fn format(conversation: &Conversation, generation_preface: Option<&str>) -> Result<String> {
    let turns: Vec<_> = conversation
        .turns(generation_preface)?
        .iter()
        .map(|message| format!("<|im_start|>{}{message}", message.from.header()))
        .collect();
    let end = if generation_preface.is_some() { "" } else { "<|im_end|>" };
    Ok(turns.join("<|im_end|>\n") + end)
}

/// The ids and labels of a conversation.
///
/// `generation_preface` decides what the ids are for. `None`: training, every message is closed. `Some`: a
/// prompt for generation, which ends in an open assistant message that begins with the given text, usually
/// `""`.
///
/// # Errors
///
/// [`Error::Conversation`] when there is no message or when the text cannot be tokenised.
pub fn encode(
    tokenizer: &Tokenizer,
    conversation: &Conversation,
    generation_preface: Option<&str>,
    quirks: ReferenceQuirks,
) -> Result<Encoded> {
    let turns = conversation.turns(generation_preface)?;
    let line_break = widen(tokenizer.encode_text("\n")?);
    let answer_header = 1 + tokenizer.encode_text(Role::Gpt.header())?.len();

    let mut encoded = Encoded { input_ids: Vec::new(), labels: Vec::new() };
    for (i, message) in turns.iter().enumerate() {
        let last = i + 1 == turns.len();
        let mut ids = encode_open(tokenizer, message, quirks)?;
        if !last || generation_preface.is_none() {
            ids.push(tokenizer.im_end().into());
        }
        if !last {
            ids.extend(&line_break);
        }
        let unlabelled = if message.from == Role::Gpt { answer_header } else { ids.len() };
        let labels = ids.iter().enumerate().map(|(at, &id)| if at < unlabelled { IGNORE_INDEX } else { id });
        encoded.labels.extend(labels);
        encoded.input_ids.extend(ids);
    }
    Ok(encoded)
}

/// The ids of one message up to, not including, its `<|im_end|>`.
///
/// Text between pictures is tokenised as one piece, the header with the text behind it: that is what the
/// reference does, and a line break at the start of a question shares a token with the header's.
fn encode_open(tokenizer: &Tokenizer, message: &Message, quirks: ReferenceQuirks) -> Result<Vec<i64>> {
    let parsed;
    let mut content = &message.content;
    if quirks.control_tokens_in_text {
        parsed = Message::from_record(message.from, &message.to_string());
        content = &parsed.content;
    }
    let encode_piece = |text: &str| match quirks.control_tokens_in_text {
        true => tokenizer.encode_with_specials(text).map(widen),
        false => tokenizer.encode_text(text).map(widen),
    };

    let mut ids = vec![i64::from(tokenizer.im_start())];
    let mut piece = String::from(message.from.header());
    if message.from == Role::Gpt && !quirks.answer_merges_with_header {
        ids.extend(encode_piece(&std::mem::take(&mut piece))?);
    }
    for part in content {
        match part {
            Content::Text(text) => piece.push_str(text),
            Content::Picture => {
                ids.extend(encode_piece(&std::mem::take(&mut piece))?);
                ids.push(IMAGE_TOKEN_INDEX);
            }
        }
    }
    ids.extend(encode_piece(&piece)?);
    Ok(ids)
}

fn widen(ids: Vec<u32>) -> Vec<i64> {
    ids.into_iter().map(i64::from).collect()
}
