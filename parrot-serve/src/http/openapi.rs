//! The description of the interface, made from its types.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};

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
    components(schemas(ChatChunk<'static>)),
    modifiers(&Key),
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
        for path in ["/v1/chat/completions", "/v1/models/{id}", "/api/tags", "/metrics"] {
            assert!(document["paths"].get(path).is_some(), "{path}");
        }
    }
}
