//! `POST /v1/chat/completions`: whole answers and streamed ones.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use parrot_infer::{Answer, Event, FinishReason, TokenLogprob};

use super::request::ChatRequest;
use super::response::{
    AssistantMessage, ChatChunk, ChatCompletion, Choice, ChunkChoice, Delta, Extension, Logprobs,
    PromptTokens, ScoredToken, Timings, TokenScore, Usage,
};
use super::translate::translate;
use crate::answers::{Answers, Step};
use crate::error::ApiError;
use crate::json;
use crate::models::now;
use crate::reply::{Json, UNBUFFERED, to_json};
use crate::service::Shared;

/// `POST /v1/chat/completions`
#[utoipa::path(
    post, path = "/v1/chat/completions", tag = "OpenAI", request_body = ChatRequest,
    responses(
        (status = 200, body = ChatCompletion, description = "The answer. With `stream`: server-sent events, each a chunk, the last `[DONE]`."),
    ),
)]
pub(crate) async fn chat(State(service): State<Shared>, request: Request) -> Result<Response, ApiError> {
    let options = &service.options;
    let (request, share): (ChatRequest, _) = json::read(request, &service).await?;
    let streamed = request.stream.unwrap_or(false);
    let include_usage = request.stream_options.as_ref().and_then(|options| options.include_usage);
    if request.stream_options.is_some() && !streamed {
        return Err(ApiError::invalid("stream_options needs stream to be true").param("stream_options"));
    }
    let answers = service.ask(translate(request, options)?).await?;
    drop(share);
    if streamed {
        return Ok(stream(answers, include_usage.unwrap_or(false)));
    }
    let (model, has_logprobs) = (answers.model.clone(), answers.has_logprobs);
    let answers = answers.wait(options.request_timeout).await?;
    Ok(Json(completion(model, answers, has_logprobs)).into_response())
}

fn completion(model: String, answers: Vec<Answer>, has_logprobs: bool) -> ChatCompletion {
    let usage = Usage::of(&answers);
    let parrot = answers.iter().map(Extension::whole).collect();
    let choice = |(index, answer): (usize, Answer)| Choice {
        index,
        finish_reason: finish_reason(answer.finish_reason),
        logprobs: has_logprobs.then(|| Logprobs::new(&answer.logprobs)),
        message: AssistantMessage { role: "assistant", content: answer.text, refusal: None },
    };
    let choices = answers.into_iter().enumerate().map(choice).collect();
    ChatCompletion { id: id(), object: "chat.completion", created: now(), model, choices, usage, parrot }
}

fn stream(answers: Answers, include_usage: bool) -> Response {
    let mut chunks = Chunks::new(&answers, include_usage);
    let body: Body = answers.into_body(move |step| chunks.write(step));
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")];
    (headers, [UNBUFFERED], body).into_response()
}

/// Writes the events of a streamed response.
struct Chunks {
    id: String,
    created: u64,
    model: String,
    has_logprobs: bool,
    include_usage: bool,
    /// Whether each answer has had its first chunk.
    has_begun: bool,
    /// Tokens whose log-probabilities have been sent, for each answer.
    scored: Vec<usize>,
    complete: Vec<Answer>,
}

impl Chunks {
    fn new(answers: &Answers, include_usage: bool) -> Self {
        Self {
            id: id(),
            created: now(),
            model: answers.model.clone(),
            has_logprobs: answers.has_logprobs,
            include_usage,
            has_begun: false,
            scored: vec![0; answers.count()],
            complete: Vec::new(),
        }
    }

    fn write(&mut self, step: Step) -> String {
        match step {
            Step::Waiting => ": waiting\n\n".into(),
            Step::Event(_, Event::Started { .. }) => self.begin(),
            Step::Event(index, Event::Routing(weights)) => {
                let routing = Extension { routing: Some(weights), ..Extension::default() };
                self.chunk(index, Delta::default(), None, None, Some(routing))
            }
            Step::Event(index, Event::Text { text, tokens }) => {
                self.scored[index] += tokens.len();
                let logprobs = self.has_logprobs.then(|| Logprobs::new(&tokens));
                self.chunk(index, Delta { content: Some(text), ..Delta::default() }, logprobs, None, None)
            }
            Step::Event(index, Event::Finished(answer)) => {
                // Tokens without text, such as the one that ended the answer.
                let rest = answer.logprobs.get(self.scored[index]..).unwrap_or_default();
                let logprobs = self.has_logprobs.then(|| Logprobs::new(rest));
                let reason = finish_reason(answer.finish_reason);
                let extension = Extension { routing: None, ..Extension::whole(&answer) };
                self.complete.push(*answer);
                self.chunk(index, Delta::default(), logprobs, Some(reason), Some(extension))
            }
            Step::Failed(error) => data(&error.body()),
            Step::Event(..) => String::new(),
            Step::End => {
                let usage = if self.include_usage { self.last_chunk() } else { String::new() };
                usage + "data: [DONE]\n\n"
            }
        }
    }

    /// The first chunks of all answers, in order, once one of them begins: OpenAI's client takes no answer of an index before
    /// those of lower ones.
    fn begin(&mut self) -> String {
        if std::mem::replace(&mut self.has_begun, true) {
            return String::new();
        }
        let first = |index| {
            let delta = Delta { role: Some("assistant"), content: Some(String::new()) };
            self.chunk(index, delta, None, None, None)
        };
        (0..self.scored.len()).map(first).collect()
    }

    fn chunk(
        &self,
        index: usize,
        delta: Delta,
        logprobs: Option<Logprobs>,
        finish_reason: Option<&'static str>,
        parrot: Option<Extension>,
    ) -> String {
        let choices = vec![ChunkChoice { index, delta, logprobs, finish_reason }];
        data(&ChatChunk { choices, parrot, ..self.empty() })
    }

    fn last_chunk(&self) -> String {
        data(&ChatChunk { usage: Some(Usage::of(&self.complete)), ..self.empty() })
    }

    fn empty(&self) -> ChatChunk<'_> {
        ChatChunk {
            id: &self.id,
            object: "chat.completion.chunk",
            created: self.created,
            model: &self.model,
            choices: Vec::new(),
            usage: None,
            parrot: None,
        }
    }
}

/// A server-sent event. JSON has no line breaks but between its tokens, and none are written there.
fn data(value: &impl serde::Serialize) -> String {
    format!("data: {}\n\n", to_json(value))
}

fn id() -> String {
    format!("chatcmpl-{:016x}", rand::random::<u64>())
}

/// OpenAI's word for it. Where the time ran out, [`Extension::finish_reason`] says so.
fn finish_reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Eos | FinishReason::Stop => "stop",
        _ => "length",
    }
}

impl Usage {
    /// The answers' tokens together; they have one prompt.
    pub(crate) fn of(answers: &[Answer]) -> Self {
        let prompt_tokens = answers.first().map_or(0, |answer| answer.prompt_tokens);
        let completion_tokens = answers.iter().map(|answer| answer.token_ids.len()).sum();
        let cached_tokens = answers.first().map_or(0, |answer| answer.reused_tokens);
        Self {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens + completion_tokens,
            prompt_tokens_details: PromptTokens { cached_tokens },
        }
    }
}

impl Extension {
    fn whole(answer: &Answer) -> Self {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let timings = &answer.timings;
        Self {
            routing: (!answer.routing_weights.is_empty()).then(|| answer.routing_weights.clone()),
            finish_reason: Some(answer.finish_reason),
            timings: Some(Timings {
                vision_ms: ms(timings.vision),
                prefill_ms: ms(timings.prefill),
                decode_ms: ms(timings.decode),
            }),
        }
    }
}

impl Logprobs {
    fn new(tokens: &[TokenLogprob]) -> Self {
        let score = |bytes: &[u8], logprob: f32| TokenScore {
            token: String::from_utf8_lossy(bytes).into_owned(),
            // JSON has no infinity.
            logprob: logprob.max(f32::MIN),
            bytes: bytes.to_vec(),
        };
        let scored = |token: &TokenLogprob| ScoredToken {
            chosen: score(&token.bytes, token.logprob),
            top_logprobs: token.top.iter().map(|top| score(&top.bytes, top.logprob)).collect(),
        };
        Self { content: tokens.iter().map(scored).collect() }
    }
}
