//! `/api/chat` and `/api/generate`: whole answers, and streamed ones as a JSON object on each line.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use parrot_infer::{Answer, Event, FinishReason};
use serde_json::{Value, json};

use super::error::OllamaError;
use super::request::{OllamaChat, OllamaGenerate, Wanted};
use crate::answers::Step;
use crate::budget::Share;
use crate::error::ApiError;
use crate::json;
use crate::models::now;
use crate::reply::{Json, UNBUFFERED, to_json};
use crate::service::{Service, Shared};

/// What the piece of text in an answer is called.
#[derive(Debug, Clone, Copy)]
enum Shape {
    /// `message`, of a chat
    Message,
    /// `response`, to a question
    Response,
}

/// `POST /api/chat`
#[utoipa::path(
    post, path = "/api/chat", tag = "Ollama", operation_id = "ollama_chat", request_body = OllamaChat,
    responses((status = 200, description = "The answer, or with `stream` a JSON object on each line"))
)]
pub(crate) async fn chat(State(service): State<Shared>, request: Request) -> Result<Response, ApiError> {
    let (request, share): (OllamaChat, _) = json::read_untyped(request, &service).await?;
    let wanted = request.translate(&service.options)?;
    answer(&service, wanted, share, Shape::Message).await
}

/// `POST /api/generate`
#[utoipa::path(
    post, path = "/api/generate", tag = "Ollama", operation_id = "ollama_generate", request_body = OllamaGenerate,
    responses((status = 200, description = "The answer, or with `stream` a JSON object on each line"))
)]
pub(crate) async fn generate(State(service): State<Shared>, request: Request) -> Result<Response, ApiError> {
    let (request, share): (OllamaGenerate, _) = json::read_untyped(request, &service).await?;
    let wanted = request.translate(&service.options)?;
    answer(&service, wanted, share, Shape::Response).await
}

async fn answer(service: &Service, wanted: Wanted, share: Share, shape: Shape) -> Result<Response, ApiError> {
    let (ask, streamed) = match wanted {
        Wanted::Answer { ask, streamed } => (ask, streamed),
        Wanted::Load(model) => {
            let name = &service.models.find(model.as_deref())?.model.name;
            return Ok(Json(loaded(name, shape)).into_response());
        }
    };
    let answers = service.ask(*ask).await?;
    drop(share);
    let model = answers.model.clone();
    if streamed {
        let body = answers.into_body(move |step| match write(step, &model, shape) {
            Some(line) => to_json(&line) + "\n",
            None => String::new(),
        });
        let headers = [(header::CONTENT_TYPE, "application/x-ndjson"), (header::CACHE_CONTROL, "no-cache")];
        return Ok((headers, [UNBUFFERED], body).into_response());
    }
    let answers = answers.wait(service.options.request_timeout).await?;
    let answer = answers.first().ok_or_else(ApiError::stopping)?;
    Ok(Json(whole(answer, &answer.text, &model, shape)).into_response())
}

/// A line of a streamed answer.
fn write(step: Step, model: &str, shape: Shape) -> Option<Value> {
    match step {
        Step::Event(_, Event::Text { text, .. }) => Some(piece(&text, model, shape)),
        Step::Event(_, Event::Finished(answer)) => Some(whole(&answer, "", model, shape)),
        Step::Failed(error) => Some(json!(OllamaError { error: error.message })),
        _ => None,
    }
}

fn piece(text: &str, model: &str, shape: Shape) -> Value {
    let mut line = json!({"model": model, "created_at": timestamp(now()), "done": false});
    match shape {
        Shape::Message => line["message"] = json!({"role": "assistant", "content": text}),
        Shape::Response => line["response"] = text.into(),
    }
    line
}

/// What a client gets that asks nothing, for the model to be loaded: it is.
fn loaded(model: &str, shape: Shape) -> Value {
    let mut line = piece("", model, shape);
    line["done"] = true.into();
    line["done_reason"] = "load".into();
    line
}

/// An answer's end, with `text`.
fn whole(answer: &Answer, text: &str, model: &str, shape: Shape) -> Value {
    let mut line = piece(text, model, shape);
    let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let timings = &answer.timings;
    line["done"] = true.into();
    line["done_reason"] = match answer.finish_reason {
        FinishReason::Eos | FinishReason::Stop => "stop".into(),
        _ => "length".into(),
    };
    let total = timings.preprocess + timings.vision + timings.prefill + timings.decode;
    line["total_duration"] = nanoseconds(total).into();
    line["load_duration"] = 0.into();
    line["prompt_eval_count"] = answer.prompt_tokens.into();
    line["prompt_eval_duration"] = nanoseconds(timings.prefill).into();
    line["eval_count"] = answer.token_ids.len().into();
    line["eval_duration"] = nanoseconds(timings.decode).into();
    line
}

/// Seconds since 1970 as RFC 3339 has it.
pub(super) fn timestamp(seconds: u64) -> String {
    humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + Duration::from_secs(seconds)).to_string()
}
