//! Which address leads where, and what stands before it.

mod contain;
mod guard;
mod openapi;
mod page;
mod status;
mod trace;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

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
        .layer(from_fn(contain::contain))
        .layer(from_fn_with_state(service.clone(), guard::require_running));
    if let Some(cors) = cors(&service.options.cors_origins)? {
        router = router.layer(cors);
    }
    if only_local_names {
        router = router.layer(from_fn(guard::require_local_name));
    }
    let router = router.layer(from_fn(ollama::error::reshape));
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

/// Lets pages of these origins ask; `None` where there are none, and browsers let nobody.
fn cors(origins: &[String]) -> Result<Option<CorsLayer>, String> {
    if origins.is_empty() {
        return Ok(None);
    }
    let values = origins.iter().filter(|origin| *origin != "*").map(|origin| {
        let value = is_origin(origin).then(|| HeaderValue::from_str(origin).ok()).flatten();
        value.ok_or_else(|| format!("{origin:?} is no origin, such as https://example.org or null"))
    });
    let values = values.collect::<Result<Vec<_>, _>>()?;
    let allowed = if values.len() < origins.len() { AllowOrigin::any() } else { AllowOrigin::list(values) };
    let layer = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST])
        // Clients send headers of their own, as `x-stainless-lang`.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([HeaderName::from_static("x-request-id"), header::RETRY_AFTER])
        .max_age(Duration::from_secs(600));
    Ok(Some(layer))
}

/// Whether a browser can send it as a page's origin: a scheme, a host and perhaps a port, written as browsers write them.
/// What is written in another way would never be equal to what they send.
fn is_origin(text: &str) -> bool {
    let Some((scheme, authority)) = text.split_once("://") else { return text == "null" };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let is_lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme.bytes().all(|byte| is_lower(byte) || b"+-.".contains(&byte));
    let usual_port = match scheme {
        "http" => Some("80"),
        "https" => Some("443"),
        _ => None,
    };
    let is_port = |port: &str| {
        port.parse::<u16>().is_ok_and(|number| number.to_string() == port) && Some(port) != usual_port
    };
    is_scheme && is_host(host) && port.is_none_or(is_port)
}

fn is_host(host: &str) -> bool {
    let as_written = |address: IpAddr, text: &str| address.to_string() == text;
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().is_ok_and(|parsed| as_written(parsed.into(), address));
    }
    // What ends in a number is an address, or browsers refuse it.
    let last = host.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|byte| byte.is_ascii_digit()) {
        return host.parse::<Ipv4Addr>().is_ok();
    }
    host.split('.').all(|label| !label.is_empty())
        && host
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins() {
        for origin in [
            "https://example.org",
            "https://xn--bcher-kva.example",
            "http://localhost:3000",
            "http://[::1]:8080",
            "http://127.0.0.1",
            "chrome-extension://abcdef",
            "tauri://localhost",
            "null",
        ] {
            assert!(is_origin(origin), "{origin}");
        }
        for other in [
            "x y",
            "example.org",
            "https://example.org/",
            "https://example.org/a",
            "",
            "https://",
            "https://*.example.org",
            "https://a#b",
            "https://a?b",
            "https://u:p@a",
            "https://a:99999",
            "https://a:080",
            "https://a:",
            "https://a:443",
            "http://a:80",
            "https://EXAMPLE.org",
            "HTTPS://example.org",
            "https://bücher.example",
            "https://a..b",
            "https://127.1",
            "http://[::1",
            "http://[0:0::1]",
            "://a",
        ] {
            assert!(!is_origin(other), "{other}");
        }
    }
}
