//! A panic while a request is handled is an error of that request.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use parrot_model::untrusted::contained;

use crate::error::ApiError;

/// What comes behind, whose panic becomes a response. A program whose panic hook asks for
/// [`is_contained`](parrot_model::untrusted::is_contained) prints nothing of it.
pub(super) async fn contain(request: Request, next: Next) -> Response {
    let mut responding = pin!(next.run(request));
    poll_fn(|context| {
        let polled = contained(|| responding.as_mut().poll(context));
        polled.unwrap_or_else(|_| Poll::Ready(ApiError::panicked().into_response()))
    })
    .await
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::http::{Request, StatusCode, header};
    use axum::middleware::from_fn;
    use axum::routing::get;
    use parrot_model::untrusted::is_contained;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error_of_its_request() {
        async fn broken() -> &'static str {
            tokio::task::yield_now().await;
            assert!(!is_contained(), "a hook would be told");
            "not contained"
        }
        let router = Router::new().route("/", get(broken)).layer(from_fn(contain));
        let response = router.oneshot(Request::new(Body::empty())).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
        assert!(!is_contained());
    }
}
