//! LLaVA's JSON: records of a conversation, usually about a picture.
//!
//! ```json
//! [{"id": "17", "image": "coco/17.jpg",
//!   "conversations": [{"from": "human", "value": "<image>\nWhat is this?"},
//!                     {"from": "gpt", "value": "A parrot."}]}]
//! ```
//!
//! A `.json` file is such a list, a `.jsonl` file has one record a line; `image` may be a list of pictures. Files
//! of hundreds of thousands of records have broken ones: each becomes a [`BadRecord`], and the rest is read.
//! A record with videos, sound and the like, which other programs have, counts as broken: its text alone would teach
//! something else. Keys that are not known are counted ([`Records::not_read`]).

mod reader;
#[cfg(test)]
mod tests;

use std::fmt;

use parrot_model::text::llava::{self, PLACEHOLDER};
use parrot_model::text::{Conversation, Role};
use parrot_model::untrusted::printable;
use serde::{Deserialize, Deserializer, Serialize};

pub use reader::{Records, read};

/// Pictures of one record at most: no model's sequence has room for more, and each is decoded before that shows.
pub(crate) const MOST_IMAGES: usize = 128;

/// What stands in a message for what other programs' records may show: videos, sound and the like.
const OTHER_PLACEHOLDERS: [&str; 8] =
    ["<video>", "<audio>", "<sound>", "<speech>", "<music>", "<point_cloud>", "<depth>", "<3d>"];

/// One record of a file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Record {
    /// Names the record in reports. Files have strings or numbers.
    #[serde(default, deserialize_with = "string_or_number")]
    pub id: String,
    /// Picture files, relative to the folder of pictures; empty for text alone.
    #[serde(default, rename = "image", deserialize_with = "one_or_many")]
    pub images: Vec<String>,
    /// The messages, oldest first.
    pub conversations: Vec<Turn>,
}

/// A message as the file has it; each `<image>` in it stands for a picture.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(expecting = "a message with `from` and `value`")]
pub struct Turn {
    /// Who speaks: `human` or `user`, `gpt` or `assistant`, `system`.
    #[serde(deserialize_with = "role")]
    pub from: Role,
    /// What is said.
    pub value: String,
}

/// `1 record`, `2 records`: how messages count them.
#[must_use]
pub fn counted(count: usize) -> String {
    format!("{count} record{}", if count == 1 { "" } else { "s" })
}

/// A record that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadRecord {
    /// The source that it is from.
    pub source: String,
    /// The record's number in its file, counted from 1; the line of a `.jsonl` file.
    pub number: usize,
    /// Its id, if it has one.
    pub id: String,
    /// What is wrong with it.
    pub reason: String,
    /// What kind of problem that is.
    #[serde(skip)]
    pub kind: BadRecordKind,
}

/// What kind of problem makes a record a bad one: those of a kind are counted together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadRecordKind {
    /// It is no JSON.
    NotJson,
    /// A picture of it is not there.
    MissingImage,
    /// A picture of it is outside the source's folder.
    ImageOutsideFolder,
    /// Something else; the reason names no file or place then, so that equal reasons are equal problems.
    #[default]
    Other,
}

impl fmt::Display for BadRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // From the file: neither a terminal's commands nor further lines.
        let shown = |text: &str| printable(text).replace('\n', " ");
        write!(f, "{} record {}", shown(&self.source), self.number)?;
        if !self.id.is_empty() {
            write!(f, " (id {})", shown(&self.id))?;
        }
        write!(f, ": {}", shown(&self.reason))
    }
}

impl Record {
    /// The messages as the template takes them.
    ///
    /// Like the reference, a record with one picture has each message's `<image>` moved to its front, on a
    /// line of its own: several in one message become one. With several pictures each stays where it is.
    #[must_use]
    pub fn conversation(&self) -> Conversation {
        let message = |Turn { from, value }: &Turn| {
            let moved = self.images.len() == 1 && value.contains(PLACEHOLDER);
            if moved {
                let value = format!("{PLACEHOLDER}\n{}", value.replace(PLACEHOLDER, "").trim());
                llava::message(*from, value.trim())
            } else {
                llava::message(*from, value)
            }
        };
        Conversation(self.conversations.iter().map(message).collect())
    }

    /// Why nothing can be learnt from the record, as far as its text tells.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.lesson().err()
    }

    /// The [conversation](Self::conversation), if something can be learnt from it.
    ///
    /// # Errors
    ///
    /// The [`problem`](Self::problem).
    pub(crate) fn lesson(&self) -> Result<Conversation, String> {
        if self.images.len() > MOST_IMAGES {
            let images = self.images.len();
            return Err(format!("it has {images} pictures, more than the {MOST_IMAGES} that a record may"));
        }
        if let Some(other) = self.conversations.iter().find_map(Turn::other_placeholder) {
            return Err(format!("it shows something else than pictures: {other}"));
        }
        let conversation = self.conversation();
        if conversation.0.iter().any(|message| message.role == Role::Assistant && message.images() > 0) {
            return Err("<image> stands in an answer: a model is shown pictures and gives none".into());
        }
        let placeholders = conversation.images();
        if placeholders != self.images.len() {
            let images = self.images.len();
            return Err(format!("it has {placeholders} <image> placeholder(s) for {images} picture(s)"));
        }
        let has_answer = self
            .conversations
            .iter()
            .any(|turn| turn.from == Role::Assistant && !turn.value.trim().is_empty());
        if has_answer { Ok(conversation) } else { Err("it has no answer to learn from".into()) }
    }
}

impl Turn {
    /// A placeholder of a video or the like in a place where placeholders stand: on a line of its own, or at the beginning or
    /// the end of the message. In the middle of a sentence it is a word about HTML.
    fn other_placeholder(&self) -> Option<&'static str> {
        let stands = |word: &&&str| {
            self.value.lines().any(|line| line.trim() == **word)
                || self.value.trim().starts_with(**word)
                || self.value.trim().ends_with(**word)
        };
        let human = self.from == Role::User;
        OTHER_PLACEHOLDERS.iter().filter(|_| human).find(stands).copied()
    }
}

fn string_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a text or a number")]
    enum Id {
        None(()),
        String(String),
        Number(serde_json::Number),
    }
    Ok(match Id::deserialize(deserializer)? {
        Id::None(()) => String::new(),
        Id::String(id) => id,
        Id::Number(id) => id.to_string(),
    })
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a file's name or a list of them")]
    enum Images {
        None(()),
        One(String),
        Many(Vec<String>),
    }
    Ok(match Images::deserialize(deserializer)? {
        Images::None(()) => Vec::new(),
        Images::One(image) => vec![image],
        Images::Many(images) => images,
    })
}

fn role<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Role, D::Error> {
    let role = String::deserialize(deserializer)?;
    match role.as_str() {
        "human" | "user" => Ok(Role::User),
        "gpt" | "assistant" => Ok(Role::Assistant),
        "system" => Ok(Role::System),
        _ => Err(serde::de::Error::custom(format!(
            "unknown role `{role}`, expected human, user, gpt, assistant or system"
        ))),
    }
}
