//! Who may ask.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::error::ApiError;
use crate::json::discard;
use crate::service::Shared;

/// The keys of which a request has to bring one, as digests: all of one length, and not to be read from memory.
#[derive(Clone)]
pub(super) struct Keys(Arc<[[u8; 32]]>);

impl Keys {
    pub(super) fn new(keys: &[String]) -> Self {
        Self(keys.iter().map(|key| digest(key)).collect())
    }

    /// Whether `key` is one of them. How long that takes tells nothing about any.
    fn contain(&self, key: &str) -> bool {
        let Self(keys) = self;
        let key = digest(key);
        let found = keys.iter().fold(Choice::from(0), |found, known| found | known.ct_eq(&key));
        found.into()
    }
}

fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

/// Lets through who brings a key (`Authorization: Bearer …`), and everybody where there are none.
pub(super) async fn require_key(State(keys): State<Keys>, request: Request, next: Next) -> Response {
    if keys.0.is_empty() {
        return next.run(request).await;
    }
    let refuse = |message: &str| {
        ApiError::new(StatusCode::UNAUTHORIZED, message).code("invalid_api_key").into_response()
    };
    match bearer(request.headers()) {
        None => refuse("this server needs a key, in the header `Authorization: Bearer …`"),
        Some(key) if keys.contain(key) => next.run(request).await,
        Some(_) => refuse("this key is not known here"),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

/// Refuses requests that call a server of this machine by another name: what a page does whose site has made its own name
/// point here (DNS rebinding), to ask as if it were of this machine.
pub(super) async fn require_local_name(request: Request, next: Next) -> Response {
    // Of several, as no browser sends them, each.
    let mut hosts = request.headers().get_all(header::HOST).iter();
    if hosts.all(|host| host.to_str().is_ok_and(is_local_name)) {
        return next.run(request).await;
    }
    let message = "this server answers to localhost and to addresses of this machine such as 127.0.0.1 and [::1] only; with a key, or another --host, to all names";
    ApiError::new(StatusCode::FORBIDDEN, message).code("unknown_host").into_response()
}

fn is_local_name(host: &str) -> bool {
    let is_port = |text: &str| text.parse::<u16>().is_ok();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if is_port(port) => name,
        _ => host,
    };
    // An address stands for itself: no other site can make it lead here.
    let is_v4 = |name: &str| name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback());
    let is_v6 = |name: &str| name.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback());
    let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    name.eq_ignore_ascii_case("localhost") || is_v4(name) || bare.is_some_and(is_v6)
}

/// While answers are finished before the end, says so to whoever asks how the server is, and refuses all else; no connection
/// is kept for another request.
pub(super) async fn require_running(State(service): State<Shared>, request: Request, next: Next) -> Response {
    let asks_how_it_is = ["/health", "/ready"].contains(&request.uri().path());
    let mut response = if service.is_stopping() && !asks_how_it_is {
        // Who is still sending reads no answer.
        discard(request.into_body().into_data_stream()).await;
        ApiError::stopping().into_response()
    } else {
        next.run(request).await
    };
    if service.is_stopping() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_keys_are_known() {
        let keys = Keys::new(&["first".into(), "second".into()]);
        assert!(keys.contain("first") && keys.contain("second"));
        for other in ["", "firs", "first ", "firstsecond"] {
            assert!(!keys.contain(other), "{other}");
        }
    }

    #[test]
    fn local_names() {
        for local in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1:1",
            "127.0.0.2:8080",
            "127.255.0.1",
            "[::1]:8080",
            "[::1]",
        ] {
            assert!(is_local_name(local), "{local}");
        }
        for other in [
            "example.org",
            "localhost.example.org:80",
            "127.0.0.1.nip.io",
            "127.example.org",
            "::1",
            "[::2]",
            "10.0.0.1",
            "0.0.0.0",
        ] {
            assert!(!is_local_name(other), "{other}");
        }
    }
}
