//! The description of the interface, made from its types.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use utoipa::OpenApi;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, OpenApi as Document, Ref, ResponseBuilder};

use crate::error::ErrorBody;
use crate::ollama::error::{OllamaError, is_ollama_s};
use crate::openai::response::ChatChunk;
use crate::reply::to_json;
use crate::{ollama, openai};

#[derive(OpenApi)]
#[openapi(
    info(title = "parrot-serve", description = "Ask Parrot about images, as one asks OpenAI's or Ollama's models."),
    paths(
        openai::chat::chat, openai::list::models, openai::list::model,
        ollama::answer::chat, ollama::answer::generate, ollama::tags::tags, ollama::tags::version,
        super::status::health, super::status::ready, super::status::metrics,
    ),
    components(schemas(ChatChunk<'static>, ErrorBody, OllamaError)),
    modifiers(&Key, &Errors),
)]
struct Api;

/// The key that a server may ask for.
struct Key;

impl utoipa::Modify for Key {
    fn modify(&self, document: &mut Document) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        document.components.get_or_insert_default().add_security_scheme("key", scheme);
    }
}

/// Addresses that need no key, and answer until the end.
const WITHOUT_KEY: [&str; 2] = ["/health", "/ready"];

/// What may go wrong anywhere.
const ERRORS: [(u16, &str); 3] = [
    (403, "The server is called by a name that is not of its machine."),
    (405, "The address does not take the method."),
    (500, "The server is at fault."),
];

/// What may go wrong with a question besides.
const ERRORS_OF_QUESTIONS: [(u16, &str); 7] = [
    (400, "The request is at fault; OpenAI's `param` says which field."),
    (404, "There is no such model."),
    (408, "The request did not arrive in time."),
    (413, "The request is too large."),
    (415, "The request is no JSON."),
    (429, "Too many wait already. The header `retry-after` says when to come back."),
    (504, "The time for the request was over before its answer began."),
];

/// What all operations have in common.
struct Errors;

impl utoipa::Modify for Errors {
    fn modify(&self, document: &mut Document) {
        for (path, item) in &mut document.paths.paths {
            let body = if is_ollama_s(path) { "OllamaError" } else { "ErrorBody" };
            let add = |operation: &mut Operation, status: u16, description: &str| {
                let content = Content::new(Some(Ref::from_schema_name(body)));
                let response = ResponseBuilder::new().description(description);
                let response = response.content("application/json", content).build();
                operation.responses.responses.entry(status.to_string()).or_insert_with(|| response.into());
            };
            let questions =
                item.post.as_mut().into_iter().map(|operation| (operation, &ERRORS_OF_QUESTIONS[..]));
            let others = item.get.as_mut().into_iter().map(|operation| (operation, &[][..]));
            for (operation, more) in questions.chain(others) {
                for (status, description) in ERRORS.iter().chain(more) {
                    add(operation, *status, description);
                }
                if !WITHOUT_KEY.contains(&&**path) {
                    add(operation, 401, "The key is missing or wrong.");
                    add(operation, 503, "The server is shutting down.");
                    let key = SecurityRequirement::new::<_, _, String>("key", []);
                    // A server may have no keys.
                    operation.security = Some(vec![SecurityRequirement::default(), key]);
                }
            }
        }
    }
}

/// `GET /openapi.json`
pub(super) async fn document() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], to_json(&Api::openapi())).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_is_there() {
        let document = serde_json::to_value(Api::openapi()).unwrap();
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1) {
            let pointer = reference.split('"').next().unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
        }
        assert!(document.pointer("/components/schemas/OllamaChat/properties/options").is_some());
        let request = "/components/schemas/ChatRequest/properties";
        assert!(document.pointer(&format!("{request}/top_logprobs")).is_some(), "{text}");
        assert!(document.pointer(&format!("{request}/others")).is_none());
        let status = |path: &str, status: &str| document["paths"][path]["post"]["responses"][status].clone();
        for (path, body) in [("/v1/chat/completions", "ErrorBody"), ("/api/chat", "OllamaError")] {
            for error in ["400", "401", "403", "405", "415", "429", "503", "504"] {
                let schema = &status(path, error)["content"]["application/json"]["schema"]["$ref"];
                assert_eq!(*schema, format!("#/components/schemas/{body}"), "{path} {error}");
            }
            assert_eq!(document["paths"][path]["post"]["security"], serde_json::json!([{}, {"key": []}]));
        }
        assert!(document["paths"]["/health"]["get"].get("security").is_none());
        for path in ["/v1/chat/completions", "/v1/models/{id}", "/api/tags", "/metrics"] {
            assert!(document["paths"].get(path).is_some(), "{path}");
        }
    }
}
