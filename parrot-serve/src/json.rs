//! Requests that are JSON, read within limits.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use parrot_model::untrusted::{Objects, object, plain_reason, shortened};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use tokio_stream::StreamExt;

use crate::budget::Share;
use crate::error::ApiError;
use crate::options::ServeOptions;
use crate::service::Service;

/// Characters of a field's path that a message shows: names of fields are the client's.
const MOST_PATH: usize = 200;

/// How long the rest of a body that is too large is read and thrown away, so that its sender gets to read why.
const DISCARD_LIMIT: Duration = Duration::from_secs(5);

/// Reads a request's body, within the limits of its size and time; its memory is that of the share that comes with it.
pub(crate) async fn read<T: DeserializeOwned>(
    request: Request<Body>,
    service: &Service,
) -> Result<(T, Share), ApiError> {
    require_json(request.headers())?;
    read_any(request, service).await
}

/// [`read`] for an interface whose clients often do not say that what they send is JSON, as `curl -d` does not: those are
/// believed that cannot be a browser.
pub(crate) async fn read_untyped<T: DeserializeOwned>(
    request: Request<Body>,
    service: &Service,
) -> Result<(T, Share), ApiError> {
    if !(is_untyped(request.headers()) && is_no_browser(request.headers())) {
        require_json(request.headers())?;
    }
    read_any(request, service).await
}

async fn read_any<T: DeserializeOwned>(
    request: Request<Body>,
    service: &Service,
) -> Result<(T, Share), ApiError> {
    let ServeOptions { max_body_bytes, client_timeout, .. } = service.options;
    let (parts, body) = request.into_parts();
    require_plain(&parts.headers)?;
    let mut share = service.bodies.share();
    let bytes = read_bytes(&parts.headers, body, max_body_bytes, client_timeout, &mut share).await?;
    Ok((parse(&bytes)?, share))
}

/// A form that a page of another site can send has no JSON type: a browser asks before it sends one.
fn require_json(headers: &HeaderMap) -> Result<(), ApiError> {
    if has_type(headers, "application/json") {
        return Ok(());
    }
    let found = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("none");
    let found: String = found.chars().take(100).collect();
    let message = format!("the header content-type should be application/json, found {found}");
    Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message))
}

fn has_type(headers: &HeaderMap, expected: &str) -> bool {
    let found = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    found.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(expected)
}

/// Whether there is no type, or the one that `curl -d` sends.
fn is_untyped(headers: &HeaderMap) -> bool {
    !headers.contains_key(header::CONTENT_TYPE) || has_type(headers, "application/x-www-form-urlencoded")
}

/// Browsers say where a form comes from, or what it is for.
fn is_no_browser(headers: &HeaderMap) -> bool {
    !headers.keys().any(|name| name == header::ORIGIN || name.as_str().starts_with("sec-fetch-"))
}

/// A compressed body could become any size.
fn require_plain(headers: &HeaderMap) -> Result<(), ApiError> {
    let is_plain = |encoding: &HeaderValue| encoding.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers.get_all(header::CONTENT_ENCODING).iter().all(is_plain) {
        return Ok(());
    }
    let message = "compressed requests (content-encoding) are not supported";
    Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message))
}

async fn read_bytes(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    time: Duration,
    share: &mut Share,
) -> Result<Vec<u8>, ApiError> {
    let length =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let mut pieces = body.into_data_stream();
    if length.is_some_and(|length| length > limit as u64) {
        // Whoever asks first (`Expect: 100-continue`) is still waiting and sends nothing.
        if !headers.contains_key(header::EXPECT) {
            discard(pieces).await;
        }
        return Err(too_large(limit));
    }
    let collect = async {
        let mut bytes = Vec::new();
        while let Some(piece) = pieces.next().await {
            // Its sender has gone, who reads no answer.
            let Ok(piece) = piece else { return Err(ApiError::invalid("the request broke off")) };
            if bytes.len() + piece.len() > limit {
                return Err(too_large(limit));
            }
            if !share.grow(piece.len()) {
                return Err(busy());
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    };
    let collected = tokio::time::timeout(time, collect).await.unwrap_or_else(|_| {
        let message = format!("the request did not arrive within {} seconds", time.as_secs());
        Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, message))
    });
    if collected.as_ref().is_err_and(|error| error.status != StatusCode::REQUEST_TIMEOUT) {
        discard(pieces).await;
    }
    collected
}

fn busy() -> ApiError {
    let message = "requests that are being read take all the memory that there is for them";
    let busy = ApiError::new(StatusCode::TOO_MANY_REQUESTS, message).code("too_many_bodies");
    busy.retry_after(Duration::from_secs(1))
}

fn too_large(limit: usize) -> ApiError {
    let message = format!("the request is too large: the limit is {limit} bytes");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message).code("request_too_large")
}

/// Reads what is left of a body and throws it away.
pub(crate) async fn discard(mut pieces: BodyDataStream) {
    let all = async { while let Some(Ok(_)) = pieces.next().await {} };
    let _ = tokio::time::timeout(DISCARD_LIMIT, all).await;
}

/// Parses JSON; the error names the field.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(Objects(&mut json)).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        // It calls some values of a wrong type a mistake in the JSON.
        if !error.is_data()
            && let Err(error) = serde_json::from_slice::<IgnoredAny>(bytes)
        {
            return invalid_json(&error);
        }
        let reason = plain_reason(&error.to_string());
        let path = if path == "." { "" } else { &path };
        let error = if path.is_empty() {
            ApiError::invalid(&reason)
        } else {
            ApiError::invalid(format!("{}: {reason}", shortened(path, MOST_PATH)))
        };
        match (field_of(&reason), path) {
            (Some(field), "") => error.param(field),
            (Some(field), path) if !path.ends_with(field) => error.param(format!("{path}.{field}")),
            (None, "") => error,
            (_, path) => error.param(path),
        }
    })?;
    json.end().map_err(|error| invalid_json(&error))?;
    Ok(value)
}

/// The field that is not there, or twice: serde's path ends at what it should be in.
fn field_of(reason: &str) -> Option<&str> {
    let starts = ["missing field `", "duplicate field `"];
    starts.into_iter().find_map(|start| reason.strip_prefix(start)?.split('`').next())
}

/// Checks the type of a field that is accepted and without effect.
///
/// - expected: the type, in words, which `fits` decides
pub(crate) fn check_type(
    param: &str,
    value: &Value,
    (expected, fits): (&'static str, fn(&Value) -> bool),
) -> Result<(), ApiError> {
    let found = match value {
        value if fits(value) => return Ok(()),
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    Err(ApiError::value(param, expected, found))
}

/// Whether a field that nobody here knows says nothing: clients send what they have of an answer back.
pub(crate) fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

/// An object; serde alone would also take an array, its values for the fields in their order.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        object(deserializer).map(Object)
    }
}

/// For a field that is an object or `null`.
pub(crate) fn object_or_null<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Ok(Option::deserialize(deserializer)?.map(|Object(value)| value))
}

/// For a field that is an array of objects.
pub(crate) fn objects<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    Ok(Vec::deserialize(deserializer)?.into_iter().map(|Object(value)| value).collect())
}

fn invalid_json(error: &serde_json::Error) -> ApiError {
    ApiError::invalid(format!("the request is not JSON: {error}")).code("invalid_json")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Inner {
        #[allow(dead_code)]
        number: u8,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Role {
        User,
    }

    #[derive(Debug, serde::Deserialize)]
    struct Outer {
        #[serde(deserialize_with = "object")]
        #[allow(dead_code)]
        inner: Inner,
    }

    #[test]
    fn an_array_is_no_object() {
        assert!(parse::<Outer>(br#"{"inner": {"number": 1}}"#).is_ok());
        for (json, expected) in [
            (&br#"{"inner": [1]}"#[..], "inner: invalid type: a list, expected an object"),
            (br#"{"inner": {"number": -1}}"#, "inner.number: "),
        ] {
            let error = parse::<Outer>(json).unwrap_err();
            assert!(error.message.starts_with(expected), "{}", error.message);
        }
    }

    #[test]
    fn a_field_that_is_missing_or_twice_is_named() {
        let param = |json: &str| {
            let error = parse::<Outer>(json.as_bytes()).unwrap_err();
            serde_json::to_value(error.body()).unwrap()["error"]["param"].clone()
        };
        assert_eq!(param("{}"), "inner");
        assert_eq!(param(r#"{"inner": {}}"#), "inner.number");
        assert_eq!(param(r#"{"inner": {"number": 1}, "inner": {"number": 1}}"#), "inner");
        assert_eq!(param("7"), Value::Null);
    }

    #[test]
    fn only_what_is_no_browser_may_leave_out_the_type() {
        let headers = |pairs: &[(&'static str, &'static str)]| -> HeaderMap {
            pairs
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                .collect()
        };
        let form = ("content-type", "application/x-www-form-urlencoded; charset=utf-8");
        for (pairs, is_believed) in [
            (&[][..], true),
            (&[form], true),
            (&[("content-type", "text/plain")], false),
            (&[form, ("origin", "null")], false),
            (&[form, ("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-mode", "navigate")], false),
        ] {
            let headers = headers(pairs);
            assert_eq!(is_untyped(&headers) && is_no_browser(&headers), is_believed, "{pairs:?}");
        }
    }

    #[test]
    fn an_error_names_the_field() {
        let error = parse::<Vec<Inner>>(br#"[{"number": 1}, {"number": "two"}]"#).unwrap_err();
        let expected = "[1].number: invalid type: string \"two\", expected a whole number from 0 to 255";
        assert!(error.message.starts_with(expected), "{}", error.message);
        // Found by fuzzing: what is quoted may hold line ends.
        let error = parse::<Role>(br#""us\r\ner""#).unwrap_err();
        assert!(
            error.message.starts_with("unknown variant `us\u{fffd} er`, expected `user`"),
            "{}",
            error.message
        );
        // JSON all the same, though serde calls it a mistake in the syntax.
        let error = parse::<Role>(b"null").unwrap_err();
        assert!(!error.message.contains("not JSON"), "{}", error.message);
        for broken in ["", "[", "[] x", "[1,]"] {
            let error = parse::<Vec<u8>>(broken.as_bytes()).unwrap_err();
            assert!(error.message.starts_with("the request is not JSON"), "{broken}: {}", error.message);
        }
    }
}
