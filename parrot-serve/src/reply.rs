//! Responses that are JSON.

use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// Of a stream: proxies that collect a response before they pass it on would undo it.
pub(crate) const UNBUFFERED: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");

/// A value as a JSON response.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "application/json")], to_json(&self.0)).into_response()
    }
}

/// A value of this crate as JSON.
pub(crate) fn to_json(value: &impl Serialize) -> String {
    // Only maps with keys that are no strings cannot be written, and no type of this crate has one.
    serde_json::to_string(value).unwrap_or_else(|error| format!("{{\"error\":{{\"message\":\"{error}\"}}}}"))
}
