//! A client.

use std::io::{BufRead, BufReader, Read};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use ureq::Agent;
use ureq::http::Response;

use crate::server::Running;

/// A response.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: ureq::http::HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn new(mut response: Response<ureq::Body>) -> Self {
        let mut text = String::new();
        response.body_mut().as_reader().read_to_string(&mut text).unwrap();
        Self { status: response.status().as_u16(), headers: response.headers().clone(), text }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The data of server-sent events.
    pub(crate) fn events(&self) -> Vec<&str> {
        self.text.lines().filter_map(|line| line.strip_prefix("data: ")).collect()
    }

    /// Checks the error's shape, and returns what it is called.
    pub(crate) fn error(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", self.text);
        let error = &self.json()["error"];
        assert!(error["message"].is_string() && error["type"].is_string(), "{}", self.text);
        error["code"].as_str().unwrap_or_default().into()
    }
}

pub(crate) fn agent() -> Agent {
    let config =
        Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(60)));
    config.build().into()
}

pub(crate) fn get(server: &Running, path: &str) -> Reply {
    Reply::new(agent().get(server.url(path)).call().unwrap())
}

pub(crate) fn post(server: &Running, path: &str, body: &Value) -> Reply {
    send(server, path, &body.to_string())
}

pub(crate) fn send(server: &Running, path: &str, body: &str) -> Reply {
    let request = agent().post(server.url(path)).header("content-type", "application/json");
    Reply::new(request.send(body).unwrap())
}

pub(crate) fn chat(server: &Running, body: &Value) -> Reply {
    post(server, "/v1/chat/completions", body)
}

/// The lines of a streamed response, as they come.
pub(crate) fn lines(server: &Running, path: &str, body: &Value) -> impl Iterator<Item = String> + use<> {
    let request = agent().post(server.url(path)).header("content-type", "application/json");
    let response = request.send(body.to_string()).unwrap();
    assert_eq!(response.status(), 200);
    BufReader::new(response.into_body().into_reader()).lines().map(Result::unwrap)
}

/// A small image as a data URL.
pub(crate) fn image() -> String {
    let mut png = std::io::Cursor::new(Vec::new());
    let pixels = image::RgbImage::from_fn(20, 10, |x, y| image::Rgb([x as u8 * 9, y as u8 * 20, 99]));
    pixels.write_to(&mut png, image::ImageFormat::Png).unwrap();
    data_url(png.get_ref())
}

pub(crate) fn data_url(bytes: &[u8]) -> String {
    format!("data:image/png;base64,{}", STANDARD.encode(bytes))
}

/// A question about an image.
pub(crate) fn question(text: &str, url: &str) -> Value {
    let parts = json!([{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": url}}]);
    json!({"model": "parrot", "messages": [{"role": "user", "content": parts}], "max_tokens": 8})
}

/// A question whose answer takes as long as the context allows: every token is an `a`.
pub(crate) fn long_question() -> Value {
    json!({
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "?"}],
        "max_tokens": 1000, "stream": true, "logit_bias": {"97": 100},
    })
}
