//! What the engine's options are called by those who ask.

use parrot_infer::Error;

use crate::error::ApiError;

/// An interface's names of the options that the engine has names of its own for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Names {
    /// Tokens that an answer may have.
    pub(crate) max_new_tokens: &'static str,
    /// The penalty of tokens that the answer already has.
    pub(crate) repetition_penalty: &'static str,
    /// The form of the answer.
    pub(crate) format: &'static str,
}

impl Names {
    /// OpenAI's, where the request uses the most usual of them.
    pub(crate) const OPENAI: Self = Self {
        max_new_tokens: "max_tokens",
        repetition_penalty: "repetition_penalty",
        format: "response_format",
    };

    /// Ollama's.
    pub(crate) const OLLAMA: Self =
        Self { max_new_tokens: "num_predict", repetition_penalty: "repeat_penalty", format: "format" };

    /// An error of the engine, about the field that was sent.
    pub(crate) fn error(&self, error: Error) -> ApiError {
        match error {
            Error::Option { option, expected, found } => ApiError::value(self.of(option), expected, found),
            Error::NeverFits { needed, budget } => {
                let name = self.max_new_tokens;
                let message = format!(
                    "the question and its answer need {needed} bytes for keys and values, of {budget} that there are; a lower {name} needs fewer"
                );
                ApiError::invalid(message).param(name).code("never_fits")
            }
            Error::Format { .. } => {
                ApiError::invalid(error.to_string()).param(self.format).code("invalid_format")
            }
            error => error.into(),
        }
    }

    fn of(&self, option: &'static str) -> &'static str {
        match option {
            "max_new_tokens" => self.max_new_tokens,
            "repetition_penalty" => self.repetition_penalty,
            option => option,
        }
    }
}

/// Refuses a stop string that would end every answer before it begins.
pub(crate) fn check_stops(stops: &[String]) -> Result<(), ApiError> {
    if stops.iter().any(String::is_empty) {
        return Err(ApiError::value("stop", "at least one character long, each of them", "an empty one"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_what_was_sent() {
        let param = |error: &ApiError| serde_json::to_value(error.body()).unwrap()["error"]["param"].clone();
        for (names, tokens, penalty, format) in [
            (Names::OPENAI, "max_tokens", "repetition_penalty", "response_format"),
            (Names::OLLAMA, "num_predict", "repeat_penalty", "format"),
        ] {
            let never = names.error(Error::NeverFits { needed: 2, budget: 1 });
            assert_eq!(param(&never), tokens);
            assert!(never.message.ends_with(&format!("a lower {tokens} needs fewer")), "{}", never.message);
            let option = Error::Option { option: "repetition_penalty", expected: "x", found: "0".into() };
            let error = names.error(option);
            assert_eq!(
                (param(&error), error.message),
                (penalty.into(), format!("{penalty} should be x, found 0"))
            );
            assert_eq!(param(&names.error(Error::Format { reason: "r".into() })), format);
        }
        assert!(check_stops(&["a".into(), String::new()]).unwrap_err().message.starts_with("stop should be"));
    }
}
