//! Errors as Ollama's clients expect them: `{"error": "…"}`.

use axum::body::Body;
use axum::extract::Request;
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::reply::to_json;

/// The body of every answer at Ollama's addresses that is not a success.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OllamaError {
    /// One line for people.
    pub(crate) error: String,
}

/// Whether an address is one of Ollama's interface, whether or not there is anything.
pub(crate) fn is_ollama_s(path: &str) -> bool {
    path.starts_with("/api/")
}

/// Gives all errors at Ollama's addresses Ollama's shape, wherever they come from.
pub(crate) async fn reshape(request: Request, next: Next) -> Response {
    let is_ollama_s = is_ollama_s(request.uri().path());
    let mut response = next.run(request).await;
    let error = response.extensions_mut().remove::<ApiError>();
    if let (true, Some(ApiError { message: error, .. })) = (is_ollama_s, error) {
        response.headers_mut().remove(header::CONTENT_LENGTH);
        *response.body_mut() = Body::from(to_json(&OllamaError { error }));
    }
    response
}
