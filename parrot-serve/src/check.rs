//! Reading a request without a server, for programs that test how requests are read.

use crate::json::parse;
use crate::ollama::request::{OllamaChat, OllamaGenerate};
use crate::openai::request::ChatRequest;
use crate::openai::translate::translate;
use crate::options::ServeOptions;

/// Whose requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Interface {
    /// `POST /v1/chat/completions`
    OpenAi,
    /// `POST /api/chat`
    OllamaChat,
    /// `POST /api/generate`
    OllamaGenerate,
}

/// Reads the body of a request as a server with default options does, up to where a model is needed.
///
/// # Errors
///
/// The line that its sender would get.
pub fn check_request(interface: Interface, body: &[u8]) -> Result<(), String> {
    let options = ServeOptions::default();
    match interface {
        Interface::OpenAi => {
            parse::<ChatRequest>(body).and_then(|request| translate(request, &options)).map(drop)
        }
        Interface::OllamaChat => {
            parse::<OllamaChat>(body).and_then(|request| request.translate(&options)).map(drop)
        }
        Interface::OllamaGenerate => {
            parse::<OllamaGenerate>(body).and_then(|request| request.translate(&options)).map(drop)
        }
    }
    .map_err(|error| error.message)
}
