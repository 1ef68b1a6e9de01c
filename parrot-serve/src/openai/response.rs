//! What `POST /v1/chat/completions` answers, whole or in chunks.

use serde::Serialize;
use utoipa::ToSchema;

/// A whole answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChatCompletion {
    /// `chatcmpl-…`
    pub(crate) id: String,
    /// `chat.completion`
    pub(crate) object: &'static str,
    /// When, in seconds since 1970.
    pub(crate) created: u64,
    /// The model's name.
    pub(crate) model: String,
    /// As many answers as were asked for.
    pub(crate) choices: Vec<Choice>,
    /// How many tokens.
    pub(crate) usage: Usage,
    /// What only Parrot has to say, for each answer. Not part of OpenAI's interface.
    pub(crate) parrot: Vec<Extension>,
}

/// One of the answers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Choice {
    /// From 0 on.
    pub(crate) index: usize,
    /// What the model says.
    pub(crate) message: AssistantMessage,
    /// The log-probabilities, if they were asked for.
    pub(crate) logprobs: Option<Logprobs>,
    /// `stop` or `length`.
    pub(crate) finish_reason: &'static str,
}

/// What the model says.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AssistantMessage {
    /// `assistant`
    pub(crate) role: &'static str,
    /// The text.
    pub(crate) content: String,
    /// Always null.
    pub(crate) refusal: Option<String>,
}

/// A piece of a streamed answer: one server-sent event.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChatChunk<'a> {
    /// `chatcmpl-…`, the same in all chunks.
    pub(crate) id: &'a str,
    /// `chat.completion.chunk`
    pub(crate) object: &'static str,
    /// When, in seconds since 1970.
    pub(crate) created: u64,
    /// The model's name.
    pub(crate) model: &'a str,
    /// One, or none where the chunk says how many tokens there were.
    pub(crate) choices: Vec<ChunkChoice>,
    /// How many tokens, in the last chunk if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) usage: Option<Usage>,
    /// What only Parrot has to say. Not part of OpenAI's interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parrot: Option<Extension>,
}

/// What a chunk adds to one of the answers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChunkChoice {
    /// Which of the answers, from 0 on.
    pub(crate) index: usize,
    /// What is new.
    pub(crate) delta: Delta,
    /// The log-probabilities of what is new, if they were asked for.
    pub(crate) logprobs: Option<Logprobs>,
    /// `stop` or `length`, in an answer's last chunk.
    pub(crate) finish_reason: Option<&'static str>,
}

/// What is new.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Delta {
    /// `assistant`, in the first chunk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<&'static str>,
    /// The next piece of text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content: Option<String>,
}

/// How many tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Usage {
    /// The prompt's, those of its images included.
    pub(crate) prompt_tokens: usize,
    /// All answers'.
    pub(crate) completion_tokens: usize,
    /// Both.
    pub(crate) total_tokens: usize,
    /// More about those of the prompt.
    pub(crate) prompt_tokens_details: PromptTokens,
}

/// More about the tokens of a prompt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct PromptTokens {
    /// Those that did not have to be read: an earlier turn or question began with them.
    pub(crate) cached_tokens: usize,
}

/// The log-probabilities of an answer.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct Logprobs {
    /// One for each token.
    pub(crate) content: Vec<ScoredToken>,
}

/// A token and what else could have stood in its place.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct ScoredToken {
    /// The token that was chosen.
    #[serde(flatten)]
    pub(crate) chosen: TokenScore,
    /// The likeliest tokens, best first.
    pub(crate) top_logprobs: Vec<TokenScore>,
}

/// A token and its log-probability.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct TokenScore {
    /// Its text; a part of a character is U+FFFD.
    pub(crate) token: String,
    /// The natural logarithm of its probability.
    pub(crate) logprob: f32,
    /// Its bytes, of which several tokens may make one character.
    pub(crate) bytes: Vec<u8>,
}

/// What only Parrot has to say about an answer.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Extension {
    /// For each image in turn, the weight that the question gave each expert; they sum to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) routing: Option<Vec<Vec<f32>>>,
    /// Why the answer ended, in more words than OpenAI has: `eos`, `stop`, `length`, `time_limit` or `cancelled`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(crate) finish_reason: Option<parrot_infer::FinishReason>,
    /// Where the time went.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timings: Option<Timings>,
}

/// Where the time of an answer went, in milliseconds.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Timings {
    /// Vision tower, projector and experts; 0 when the images were remembered.
    pub(crate) vision_ms: f64,
    /// From the prompt to the first token.
    pub(crate) prefill_ms: f64,
    /// All tokens after the first.
    pub(crate) decode_ms: f64,
}
