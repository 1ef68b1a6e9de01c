//! Whether the server is alive, whether it takes questions, and what it measures.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::metrics::CONTENT_TYPE;
use crate::reply::Json;
use crate::service::Shared;

/// Says that all is well.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Status {
    /// `ok`
    status: &'static str,
}

/// `GET /health`: the process is alive.
#[utoipa::path(get, path = "/health", tag = "Server", responses((status = 200, body = Status)))]
pub(super) async fn health() -> Json<Status> {
    Json(Status { status: "ok" })
}

/// `GET /ready`: the models are loaded, which they are before the server listens, and it is not about to stop.
#[utoipa::path(
    get, path = "/ready", tag = "Server",
    responses((status = 200, body = Status), (status = 503, body = crate::error::ErrorBody))
)]
pub(super) async fn ready(State(service): State<Shared>) -> Result<Json<Status>, ApiError> {
    if service.is_stopping() { Err(ApiError::stopping()) } else { Ok(Json(Status { status: "ok" })) }
}

/// `GET /metrics`, for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "Server", responses((status = 200, body = String, content_type = "application/openmetrics-text")))]
pub(super) async fn metrics(State(service): State<Shared>) -> Result<Response, ApiError> {
    let text = service.metrics.text().map_err(|error| ApiError::internal(error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}
