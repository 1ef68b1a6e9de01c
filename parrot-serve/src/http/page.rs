//! The page at `/`: one file, in the binary as are its sample pictures, that loads nothing from anywhere else.

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::error::ApiError;

const PAGE: &str = include_str!("page.html");

/// Pictures to try, from the repository's `assets/pictures`.
const SAMPLES: [(&str, &[u8]); 4] = [
    ("rocket.png", include_bytes!("samples/rocket.png")),
    ("monkey.png", include_bytes!("samples/monkey.png")),
    ("butterfly.png", include_bytes!("samples/butterfly.png")),
    ("four-things.png", include_bytes!("samples/four-things.png")),
];

/// Nothing but this page's own script and style runs in it, whatever an answer may hold, and it talks to this server alone.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src 'self' data: blob:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// `GET /`
pub(super) async fn page() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, PAGE).into_response()
}

/// `GET /samples/{name}`
pub(super) async fn sample(name: Result<Path<String>, PathRejection>) -> Result<Response, ApiError> {
    let Path(name) = name?;
    let sample = SAMPLES.iter().find(|(known, _)| *known == name);
    let (_, bytes) = sample.ok_or_else(|| {
        ApiError::new(StatusCode::NOT_FOUND, "there is no such sample picture").code("not_found")
    })?;
    Ok(([(header::CONTENT_TYPE, "image/png")], *bytes).into_response())
}
