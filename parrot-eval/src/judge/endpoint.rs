//! A model behind an address that speaks OpenAI's chat completions.

use std::fmt;
use std::io::Read;
use std::thread;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use ureq::Agent;

use crate::ratings::Rating;

/// The largest reply that is read.
const MAX_BYTES: u64 = 1 << 20;
/// How often a judge is asked for one rating.
const TRIES: u32 = 3;
/// Who the judge is told to be, as in VLMEvalKit.
const SYSTEM: &str = "You are a helpful and precise assistant for checking the quality of the answer.";

/// A judge that can be asked.
#[derive(Clone)]
pub struct Judge {
    agent: Agent,
    address: String,
    model: String,
    key: Option<String>,
    /// Before the second try; twice as long before the third.
    pause: Duration,
}

/// Who judged, for a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct JudgeInfo {
    /// The model's name.
    pub model: String,
    /// Its address, where one was asked now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Ratings that there are of it.
    pub ratings: usize,
}

impl JudgeInfo {
    /// A judge by its name, where it was asked now, and how many of its ratings there are.
    #[must_use]
    pub fn new(model: &str, address: Option<&str>, ratings: usize) -> Self {
        Self { model: model.into(), address: address.map(String::from), ratings }
    }
}

/// Why there is no rating.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// It cannot be reached, does not answer in time or is overloaded: another answer may fare no better.
    Unreachable(String),
    /// It refuses: no answer will fare better.
    Refused(String),
    /// It answered something else than a rating.
    Nonsense(String),
}

/// Without the key.
impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Judge({} at {})", self.model, self.address)
    }
}

impl Judge {
    /// The model of this name at an address such as `http://localhost:8000/v1`, to whose end `/chat/completions` is added where
    /// it is not there. A reply may take until `patience` is over. The key, if any, is sent to this address only.
    ///
    /// # Errors
    ///
    /// What is wrong with the address, in words.
    pub fn new(address: &str, model: &str, key: Option<String>, patience: Duration) -> Result<Self, String> {
        let rest = address.strip_prefix("http://").or_else(|| address.strip_prefix("https://"));
        let host = rest.map(|rest| rest.split(['/', '?']).next().unwrap_or_default()).unwrap_or_default();
        if host.is_empty() {
            return Err(format!("expected an address such as http://localhost:8000/v1, found {address}"));
        }
        if host.contains('@') {
            return Err(
                "a key in the address would be written into reports; put it into PARROT_JUDGE_KEY".into()
            );
        }
        let address = address.trim_end_matches('/');
        let path = "/chat/completions";
        let address = if address.ends_with(path) { address.to_string() } else { format!("{address}{path}") };
        let config = Agent::config_builder()
            .timeout_global(Some(patience))
            .max_redirects(0)
            .http_status_as_error(false)
            .user_agent(concat!("parrot-eval/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self { agent: config.into(), address, model: model.into(), key, pause: Duration::from_secs(1) })
    }

    /// The model's name.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Where it is asked.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its rating with the whole reply. What may be an accident is asked again, but for a reply that did not come in time.
    pub(super) fn rate(&self, prompt: &str) -> Result<(Rating, String), Failure> {
        let mut tries = 1;
        loop {
            let failure = match self.reply(prompt) {
                Ok(reply) => match reply.parse() {
                    Ok(rating) => return Ok((rating, reply)),
                    Err(problem) => Failure::Nonsense(problem),
                },
                Err((failure, true)) => failure,
                Err((failure, false)) => return Err(failure),
            };
            if tries == TRIES {
                return Err(failure);
            }
            if matches!(failure, Failure::Unreachable(_)) {
                thread::sleep(self.pause * tries);
            }
            tries += 1;
        }
    }

    /// What it says; or why it says nothing, and whether to ask again.
    fn reply(&self, prompt: &str) -> Result<String, (Failure, bool)> {
        let body = json!({
            "model": self.model,
            "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": prompt}],
            // As in VLMEvalKit.
            "temperature": 0.2,
            "max_tokens": 2048,
        });
        let unreachable =
            |error: &dyn fmt::Display| Failure::Unreachable(format!("it cannot be reached: {error}"));
        let failed = |error: ureq::Error| match error {
            ureq::Error::Timeout(_) => (Failure::Unreachable("it did not answer in time".into()), false),
            error => (unreachable(&error), true),
        };
        let mut request = self.agent.post(&self.address).header("content-type", "application/json");
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let mut response = request.send(body.to_string()).map_err(failed)?;
        let status = response.status().as_u16();
        let mut bytes = Vec::new();
        let mut reader = response.body_mut().as_reader().take(MAX_BYTES + 1);
        // What went wrong in between is wrapped in an error of reading.
        reader.read_to_end(&mut bytes).map_err(|error| failed(error.into()))?;
        let text = String::from_utf8_lossy(&bytes);
        let start: String = text.chars().take(100).collect();
        let answered = if start.is_empty() {
            format!("it answered {status}")
        } else {
            format!("it answered {status}: {start}")
        };
        match status {
            200..=299 => {}
            429 | 500..=599 => {
                return Err((Failure::Unreachable(answered), true));
            }
            // A key is not sent on to another address.
            300..=399 => {
                return Err((
                    Failure::Refused(format!("{answered}; `--judge` has to be the address itself")),
                    false,
                ));
            }
            _ => return Err((Failure::Refused(answered), false)),
        }
        if bytes.len() as u64 > MAX_BYTES {
            return Err((Failure::Nonsense(format!("its reply has more than {MAX_BYTES} bytes")), true));
        }
        let reply: Option<Value> = serde_json::from_str(&text).ok();
        let content = reply.as_ref().and_then(|reply| reply["choices"][0]["message"]["content"].as_str());
        let nonsense = || (Failure::Nonsense(format!("its reply is no chat completion: {start}")), true);
        content.map(String::from).ok_or_else(nonsense)
    }

    /// With this pause between tries.
    #[cfg(test)]
    pub(super) fn pausing(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_completed_or_refused() {
        let judge = |address| Judge::new(address, "m", None, Duration::from_secs(1));
        for address in ["http://h:1/v1", "http://h:1/v1/", "http://h:1/v1/chat/completions"] {
            assert_eq!(judge(address).unwrap().address(), "http://h:1/v1/chat/completions");
        }
        for (address, problem) in [
            ("localhost", "expected an address"),
            ("http://", "expected"),
            ("http://a:b@h/v1", "a key in the address"),
        ] {
            assert!(judge(address).unwrap_err().starts_with(problem), "{address}");
        }
        let secret = Judge::new("http://h/v1", "m", Some("secret".into()), Duration::from_secs(1)).unwrap();
        assert!(!format!("{secret:?}").contains("secret"));
    }
}
