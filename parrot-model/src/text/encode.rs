//! A prompt that a template has laid out → the ids that the model reads and the labels that it learns.

use super::tokenizer::{Before, Fragment, Tokenizer};
use super::{Content, Role};
use crate::Result;

/// Stands in `input_ids` where an image goes.
pub const IMAGE_TOKEN_INDEX: i64 = -200;

/// The label of a position that training does not learn from.
pub const IGNORE_INDEX: i64 = -100;

/// What the model reads and what it learns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// `[seq]`: token ids, [`IMAGE_TOKEN_INDEX`] where an image stands.
    pub input_ids: Vec<i64>,
    /// `[seq]`: the same ids where the model speaks, [`IGNORE_INDEX`] elsewhere.
    ///
    /// The model's messages count from behind their header to the token that ends them; in ChatML also the line
    /// break after it when another message follows. An image in them keeps its [`IMAGE_TOKEN_INDEX`], as in the
    /// reference; putting the image's features in its place turns that into [`IGNORE_INDEX`].
    pub labels: Vec<i64>,
}

/// A prompt in reading order, before text becomes ids.
///
/// Neighbouring texts are tokenised as one piece, the header of a message with the text behind it: that is what
/// the model was trained on. But what the model says is tokenised apart from what stands before it, as it is when
/// the model generates: otherwise the line breaks that begin an answer would merge with the one that ends the
/// header, and the model would learn an answer that it cannot give.
#[derive(Debug, Default)]
pub(super) struct RenderedPrompt {
    /// What the tokenizer puts before the whole text, which therefore still counts as the beginning.
    pub(super) start: Vec<u32>,
    parts: Vec<(Part, Learning)>,
}

/// Whether training learns a part of a prompt: what its labels are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Learning {
    /// The ids themselves.
    Learnt,
    /// [`IGNORE_INDEX`].
    Ignored,
}

impl Learning {
    /// What a speaker says is learnt if it is the model.
    pub(super) fn from_role(role: Role) -> Self {
        if role == Role::Assistant { Self::Learnt } else { Self::Ignored }
    }
}

#[derive(Debug)]
enum Part {
    Control(u32),
    Text(String),
    Image,
}

impl RenderedPrompt {
    pub(super) fn control(&mut self, id: u32, learning: Learning) {
        self.parts.push((Part::Control(id), learning));
    }

    pub(super) fn text(&mut self, text: &str, learning: Learning) {
        match self.parts.last_mut() {
            Some((Part::Text(before), same)) if *same == learning => before.push_str(text),
            _ if text.is_empty() => {}
            _ => self.parts.push((Part::Text(text.into()), learning)),
        }
    }

    /// What someone said.
    pub(super) fn content(&mut self, content: &[Content], learning: Learning) {
        for part in content {
            match part {
                Content::Text(text) => self.text(text, learning),
                Content::Image => self.parts.push((Part::Image, learning)),
            }
        }
    }

    /// Text of a template's own, its tokens found.
    #[cfg_attr(not(feature = "jinja"), expect(dead_code, reason = "only Jinja templates spell their tokens"))]
    pub(super) fn fragments(&mut self, fragments: &[Fragment<'_>], learning: Learning) {
        for fragment in fragments {
            match fragment {
                Fragment::Token(id) => self.control(*id, learning),
                Fragment::Text(text) => self.text(text, learning),
            }
        }
    }

    /// The ids and labels.
    ///
    /// # Errors
    ///
    /// [`Error::Conversation`](crate::Error::Conversation) when a text cannot be tokenised.
    pub(super) fn encode(self, tokenizer: &Tokenizer) -> Result<Encoded> {
        let mut encoded = Encoded {
            input_ids: self.start.iter().copied().map(i64::from).collect(),
            labels: vec![IGNORE_INDEX; self.start.len()],
        };
        let mut before = Before::Nothing;
        for (part, learning) in self.parts {
            let ids = match &part {
                Part::Control(id) => vec![i64::from(*id)],
                Part::Text(text) => {
                    tokenizer.encode_piece(text, before)?.into_iter().map(i64::from).collect()
                }
                Part::Image => vec![IMAGE_TOKEN_INDEX],
            };
            before = if matches!(part, Part::Text(_)) { Before::Text } else { Before::Control };
            encoded.labels.extend(ids.iter().map(|id| match learning {
                Learning::Learnt => *id,
                Learning::Ignored => IGNORE_INDEX,
            }));
            encoded.input_ids.extend(ids);
        }
        Ok(encoded)
    }
}
