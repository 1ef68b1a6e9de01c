//! Every request: a number in its response, a line in the log, a count in the metrics. No words of users, nor their keys.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;

use crate::service::Shared;

/// The header that a response's number is in.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The status of a request whose client left before there was a response, as nginx counts it.
const CLIENT_GONE: u16 = 499;

pub(super) async fn trace(State(service): State<Shared>, request: Request, next: Next) -> Response {
    let mut traced = Traced::new(service, &request);
    let mut response = next.run(request).await;
    traced.status = response.status().as_u16();
    if let Ok(id) = HeaderValue::from_str(&traced.id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// A request, which is counted and logged when this is dropped: once there is a response, or its client has left.
struct Traced {
    service: Shared,
    started: Instant,
    id: String,
    method: String,
    route: String,
    status: u16,
}

impl Traced {
    fn new(service: Shared, request: &Request) -> Self {
        let id = format!("{:016x}", rand::random::<u64>());
        let method = match request.method() {
            method if [Method::GET, Method::POST, Method::HEAD, Method::OPTIONS].contains(method) => {
                method.to_string()
            }
            // A label per word that somebody thinks of would fill the metrics.
            _ => "other".into(),
        };
        // The pattern: addresses that lead nowhere are anything.
        let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
        Self { service, started: Instant::now(), id, method, route, status: CLIENT_GONE }
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        let Self { service, started, id, method, route, status } = self;
        service.metrics.count_request(method, route, *status);
        let ms = started.elapsed().as_secs_f64() * 1e3;
        tracing::info!(id = &**id, method = &**method, route = &**route, status, ms, "request");
    }
}
