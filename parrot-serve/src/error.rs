//! Errors as OpenAI's clients expect them: a status, and `{"error": {"message", "type", "param", "code"}}`.

use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use parrot_infer::Error;
use parrot_model::untrusted::{printable, shortened};
use serde::Serialize;
use utoipa::ToSchema;

use crate::reply::to_json;

/// Characters of a message at most; the longest that quotes nothing lists the fields of a request.
const MOST_SHOWN: usize = 2000;

/// Why a request got no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
    /// The field of the request that is at fault.
    param: Option<String>,
    /// A word that programs can match.
    code: Option<&'static str>,
    retry_after: Option<Duration>,
}

/// The body of every answer that is not a success.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    /// What went wrong.
    pub(crate) error: ErrorDetail,
}

/// What went wrong.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorDetail {
    /// One line for people.
    message: String,
    /// `invalid_request_error`, `authentication_error`, `rate_limit_error` or `server_error`.
    r#type: &'static str,
    /// The field of the request that is at fault.
    param: Option<String>,
    /// A word that programs can match.
    code: Option<&'static str>,
}

/// What may quote a request, as one line that a terminal may show and a person may read.
fn in_one_line(text: &str) -> String {
    printable(&shortened(text, MOST_SHOWN)).replace(['\n', '\t'], " ")
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: in_one_line(&message.into()), param: None, code: None, retry_after: None }
    }

    /// The request is at fault.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// A field of the request has a value that it cannot have.
    pub(crate) fn value(param: impl Into<String>, expected: &str, found: impl ToString) -> Self {
        let param = param.into();
        Self::invalid(format!("{param} should be {expected}, found {}", found.to_string())).param(param)
    }

    /// A field, or a value of it, that this server does not know how to honour.
    pub(crate) fn unsupported(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::invalid(message).param(param).code("unsupported_parameter")
    }

    /// The server is at fault.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message).code("internal_error")
    }

    /// What a panic while a request was handled becomes; no other request notices. What it said may quote the request.
    pub(crate) fn panicked() -> Self {
        tracing::error!("a request's handler panicked");
        Self::internal("the server failed while it handled this request")
    }

    /// The time for a request was over before there was anything to answer.
    pub(crate) fn timeout(message: impl Into<String>) -> Self {
        let error = Self::new(StatusCode::GATEWAY_TIMEOUT, message).code("timeout");
        error.retry_after(Duration::from_secs(1))
    }

    /// The server is about to stop.
    pub(crate) fn stopping() -> Self {
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "the server is shutting down");
        error.code("shutting_down").retry_after(Duration::from_secs(5))
    }

    pub(crate) fn param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(in_one_line(&param.into()));
        self
    }

    pub(crate) fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    pub(crate) fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// The body, which a stream carries as one of its events once its status has been sent.
    pub(crate) fn body(&self) -> ErrorBody {
        let r#type = match self.status {
            StatusCode::UNAUTHORIZED => "authentication_error",
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request_error",
        };
        let (message, param) = (self.message.clone(), self.param.clone());
        ErrorBody { error: ErrorDetail { message, r#type, param, code: self.code } }
    }
}

/// In OpenAI's shape. The error goes along, for interfaces in which it has another.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, to_json(&self.body())).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(delay) = self.retry_after {
            headers.insert(header::RETRY_AFTER, delay.as_secs().max(1).into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// An address that is no text.
impl From<PathRejection> for ApiError {
    fn from(rejection: PathRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

/// Whose fault an error of the engine is. Names of options are the engine's: [`Names`](crate::names::Names) has those of requests.
impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::QueueFull { .. } => {
                let full = Self::new(StatusCode::TOO_MANY_REQUESTS, message).code("queue_full");
                full.retry_after(Duration::from_secs(1))
            }
            Error::ShutDown => Self::stopping(),
            Error::EmptyQuestion | Error::TextOnly => Self::invalid(message).param("messages"),
            Error::Model(parrot_model::Error::TooLong { .. }) => {
                Self::invalid(message).param("messages").code("context_length_exceeded")
            }
            Error::Model(parrot_model::Error::Image { .. }) => {
                Self::invalid(message).param("messages").code("invalid_image")
            }
            Error::Model(
                parrot_model::Error::Conversation { .. } | parrot_model::Error::ImageCount { .. },
            ) => Self::invalid(message).param("messages"),
            _ => Self::internal(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_is_openai_s() {
        let error = ApiError::value("temperature", "between 0 and 2", 3);
        let body = serde_json::to_value(error.body()).unwrap();
        let expected = serde_json::json!({"error": {
            "message": "temperature should be between 0 and 2, found 3",
            "type": "invalid_request_error", "param": "temperature", "code": null,
        }});
        assert_eq!(body, expected);
        let busy =
            ApiError::new(StatusCode::TOO_MANY_REQUESTS, "full").retry_after(Duration::from_millis(100));
        let response = busy.into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    }
}
