//! Which address leads where, and what stands before it.

mod guard;
mod openapi;
mod page;
mod status;
mod trace;

use std::any::Any;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::error::ApiError;
use crate::service::Shared;
use crate::{ollama, openai};
use guard::Keys;

/// Everything that the server answers.
///
/// # Errors
///
/// In a few words, for an origin that cannot stand in a header.
pub(crate) fn router(service: &Shared, only_local_names: bool) -> Result<Router, String> {
    let keys = Keys::new(&service.options.api_keys);
    let with_key = Router::new()
        .route("/v1/chat/completions", post(openai::chat::chat))
        .route("/v1/models", get(openai::list::models))
        .route("/v1/models/{*id}", get(openai::list::model))
        .route("/api/chat", post(ollama::answer::chat))
        .route("/api/generate", post(ollama::answer::generate))
        .route("/api/tags", get(ollama::tags::tags))
        .route("/api/version", get(ollama::tags::version))
        .route("/metrics", get(status::metrics))
        .route_layer(from_fn_with_state(keys, guard::require_key));
    let mut router = Router::new()
        .route("/", get(page::page))
        .route("/samples/{name}", get(page::sample))
        .route("/openapi.json", get(openapi::document))
        .route("/health", get(status::health))
        .route("/ready", get(status::ready))
        .merge(with_key)
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(CatchPanicLayer::custom(panicked));
    if let Some(cors) = cors(&service.options.cors_origins)? {
        router = router.layer(cors);
    }
    if only_local_names {
        router = router.layer(from_fn(guard::require_local_name));
    }
    Ok(router.layer(from_fn_with_state(service.clone(), trace::trace)).with_state(service.clone()))
}

async fn not_found() -> ApiError {
    let message = "there is nothing here: /openapi.json describes what there is";
    ApiError::new(StatusCode::NOT_FOUND, message).code("not_found")
}

async fn wrong_method() -> ApiError {
    let message = "this address does not take this method: /openapi.json describes what there is";
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, message).code("method_not_allowed")
}

/// What a panic while a request was handled becomes; no other request notices.
fn panicked(_panic: Box<dyn Any + Send + 'static>) -> Response {
    // What it said may quote the request.
    tracing::error!("a request's handler panicked");
    ApiError::internal("the server failed while it handled this request").into_response()
}

/// Lets pages of these origins ask; `None` where there are none, and browsers let nobody.
fn cors(origins: &[String]) -> Result<Option<CorsLayer>, String> {
    if origins.is_empty() {
        return Ok(None);
    }
    let allowed = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        let values = origins.iter().map(|origin| {
            let value = is_origin(origin).then(|| HeaderValue::from_str(origin).ok()).flatten();
            value.ok_or_else(|| format!("{origin:?} is no origin, such as https://example.org or null"))
        });
        AllowOrigin::list(values.collect::<Result<Vec<_>, _>>()?)
    };
    let layer = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
        .expose_headers([HeaderName::from_static("x-request-id"), header::RETRY_AFTER])
        .max_age(Duration::from_secs(600));
    Ok(Some(layer))
}

/// Whether a browser can send it as a page's origin: a scheme, a host and perhaps a port, nothing behind them.
fn is_origin(text: &str) -> bool {
    let parsed = text.parse::<Uri>().ok();
    let is_whole = |uri: &Uri| uri.scheme().is_some() && uri.path() == "/" && uri.query().is_none();
    text == "null" || (!text.ends_with('/') && parsed.is_some_and(|uri| is_whole(&uri)))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt;

    use super::*;

    #[test]
    fn origins() {
        for origin in ["https://example.org", "http://localhost:3000", "http://[::1]:80", "null"] {
            assert!(is_origin(origin), "{origin}");
        }
        for other in ["x y", "example.org", "https://example.org/", "https://example.org/a", "", "https://"] {
            assert!(!is_origin(other), "{other}");
        }
    }

    #[tokio::test]
    async fn a_panic_is_an_error_of_its_request() {
        async fn broken() -> &'static str {
            panic!("as a test")
        }
        let router = Router::new().route("/", get(broken)).layer(CatchPanicLayer::custom(panicked));
        let response = router.oneshot(Request::new(Body::empty())).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
    }
}
