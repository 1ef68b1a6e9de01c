//! Who may ask.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::error::ApiError;

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
    let message = "this server answers to localhost, 127.0.0.1 and [::1] only; with a key, or another --host, to all names";
    ApiError::new(StatusCode::FORBIDDEN, message).code("unknown_host").into_response()
}

fn is_local_name(host: &str) -> bool {
    let is_port = |text: &str| text.parse::<u16>().is_ok();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if is_port(port) => name,
        _ => host,
    };
    name.eq_ignore_ascii_case("localhost") || name == "127.0.0.1" || name == "[::1]"
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
        for local in ["localhost", "LOCALHOST:8080", "127.0.0.1:1", "[::1]:8080", "[::1]"] {
            assert!(is_local_name(local), "{local}");
        }
        for other in ["example.org", "localhost.example.org:80", "127.0.0.1.nip.io", "::1", "10.0.0.1"] {
            assert!(!is_local_name(other), "{other}");
        }
    }
}
