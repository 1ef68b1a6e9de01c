//! What `POST /v1/chat/completions` takes.

use std::collections::BTreeMap;
use std::fmt;

use parrot_model::untrusted::object;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::json::{object_or_null, objects};

/// A conversation to be continued.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(crate) struct ChatRequest {
    /// The name of a model, from `/v1/models`; the first one if there is none.
    pub(crate) model: Option<String>,
    /// The conversation, oldest message first.
    #[serde(deserialize_with = "objects")]
    pub(crate) messages: Vec<ChatMessage>,
    /// Whether the answer comes as server-sent events, piece by piece.
    pub(crate) stream: Option<bool>,
    /// What a stream holds besides.
    #[serde(default, deserialize_with = "object_or_null")]
    pub(crate) stream_options: Option<StreamOptions>,
    /// The most tokens that an answer may have. The older name of `max_completion_tokens`.
    pub(crate) max_tokens: Option<u64>,
    /// The most tokens that an answer may have; 512 if not said.
    pub(crate) max_completion_tokens: Option<u64>,
    /// 0 takes the likeliest token, as does leaving it out; up to 2.
    pub(crate) temperature: Option<f32>,
    /// Draw from the likeliest tokens that together have this probability.
    pub(crate) top_p: Option<f32>,
    /// Draw from this many of the likeliest tokens. Not part of OpenAI's interface.
    pub(crate) top_k: Option<u64>,
    /// Above 1, tokens that the answer already has become less likely. Not part of OpenAI's interface.
    pub(crate) repetition_penalty: Option<f32>,
    /// The same seed draws the same tokens.
    pub(crate) seed: Option<i64>,
    /// The answer ends before the first of these.
    pub(crate) stop: Option<Stop>,
    /// How many answers; 1 if not said.
    pub(crate) n: Option<u64>,
    /// Whether each token's log-probability is wanted.
    pub(crate) logprobs: Option<bool>,
    /// For each place, this many of the likeliest tokens, with their log-probabilities.
    pub(crate) top_logprobs: Option<u64>,
    /// Taken off the score of every token that the answer already has.
    pub(crate) presence_penalty: Option<f32>,
    /// Taken off the score of a token as often as the answer already has it.
    pub(crate) frequency_penalty: Option<f32>,
    /// What form the answer must have.
    #[serde(default, deserialize_with = "object_or_null")]
    pub(crate) response_format: Option<ResponseFormat>,
    /// The answer must be one of these texts. Not part of OpenAI's interface, but of vLLM's.
    pub(crate) guided_choice: Option<Vec<String>>,
    /// Added to the scores of these tokens, by id.
    pub(crate) logit_bias: Option<BTreeMap<String, f32>>,
    /// All other fields, of which most are refused.
    #[serde(flatten)]
    #[schema(ignore)]
    pub(crate) others: BTreeMap<String, Value>,
}

/// What a stream holds besides the answer.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StreamOptions {
    /// A last event with the number of tokens.
    pub(crate) include_usage: Option<bool>,
    /// Accepted and without effect: no event is padded.
    #[serde(rename = "include_obfuscation")]
    _include_obfuscation: Option<bool>,
}

/// What form an answer must have.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum ResponseFormat {
    // Braces, as serde passes over what stands beside a variant without them.
    /// Any.
    Text {},
    /// A JSON object.
    JsonObject {},
    /// JSON that a schema describes.
    JsonSchema {
        /// The schema.
        #[serde(deserialize_with = "object")]
        json_schema: NamedSchema,
    },
}

/// A JSON schema.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NamedSchema {
    /// Accepted and without effect.
    #[serde(rename = "name")]
    _name: Option<String>,
    /// Accepted and without effect.
    #[serde(rename = "description")]
    _description: Option<String>,
    /// Accepted and without effect: the schema is always followed.
    #[serde(rename = "strict")]
    _strict: Option<bool>,
    /// The schema itself.
    pub(crate) schema: Value,
}

/// One string or several.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged, expecting = "expected a string or an array of strings")]
pub(crate) enum Stop {
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
}

/// One message of a conversation.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct ChatMessage {
    /// Who speaks.
    pub(crate) role: ChatRole,
    /// What is said, and shown.
    #[serde(default)]
    pub(crate) content: Content,
    /// All other fields, of which most are refused.
    #[serde(flatten)]
    #[schema(ignore)]
    pub(crate) others: BTreeMap<String, Value>,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ChatRole {
    /// Instructions.
    System,
    /// Instructions, by their newer name.
    Developer,
    /// The user.
    User,
    /// The model.
    Assistant,
}

/// What a message says: a string, or parts. `null` is empty.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Content {
    /// Text.
    Text(String),
    /// Texts and images.
    Parts(Vec<Part>),
}

/// A text or an image.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Part {
    /// A text.
    Text {
        /// Its characters, none of which has a special meaning.
        text: String,
    },
    /// An image.
    ImageUrl {
        /// Where it is.
        image_url: ImageUrl,
    },
}

/// Where an image is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ImageUrl {
    /// `data:image/png;base64,…`, or an address if the server is allowed to fetch images.
    pub(crate) url: String,
    /// Accepted and without effect: the model sees every image at one resolution.
    pub(crate) detail: Option<String>,
}

impl Default for Content {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

// By hand instead of `untagged`: its errors say neither where nor what.
impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrParts;
        impl<'de> Visitor<'de> for TextOrParts {
            type Value = Content;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of parts")
            }

            fn visit_unit<E: de::Error>(self) -> Result<Content, E> {
                Ok(Content::default())
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Content, E> {
                Ok(Content::Text(text.into()))
            }

            fn visit_string<E: de::Error>(self, text: String) -> Result<Content, E> {
                Ok(Content::Text(text))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, parts: A) -> Result<Content, A::Error> {
                objects(SeqAccessDeserializer::new(parts)).map(Content::Parts)
            }
        }
        deserializer.deserialize_any(TextOrParts)
    }
}

// OpenAI documents an object; several clients send the string alone.
impl<'de> Deserialize<'de> for ImageUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Object {
            url: String,
            detail: Option<String>,
        }

        struct UrlOrObject;
        impl<'de> Visitor<'de> for UrlOrObject {
            type Value = ImageUrl;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a url, or a string")
            }

            fn visit_str<E: de::Error>(self, url: &str) -> Result<ImageUrl, E> {
                Ok(ImageUrl { url: url.into(), detail: None })
            }

            fn visit_string<E: de::Error>(self, url: String) -> Result<ImageUrl, E> {
                Ok(ImageUrl { url, detail: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ImageUrl, A::Error> {
                let Object { url, detail } = Object::deserialize(MapAccessDeserializer::new(map))?;
                Ok(ImageUrl { url, detail })
            }
        }
        deserializer.deserialize_any(UrlOrObject)
    }
}
