//! What a server may be told.

use std::time::Duration;

/// The [`EngineOptions::text_interval`](parrot_infer::EngineOptions::text_interval) of engines that serve. A hundred pieces of text
/// a second are more than anyone reads, and where tokens come faster, writing each by itself takes time from those to come.
pub const TEXT_INTERVAL: Duration = Duration::from_millis(10);

/// Limits, keys and permissions of a server.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Keys of which each request has to bring one; none: everybody may ask.
    pub api_keys: Vec<String>,
    /// Sites (`https://example.org`) whose pages may ask from within a browser; `null` is pages without a site, `*` is all. None by default.
    pub cors_origins: Vec<String>,
    /// The largest request, in bytes. Default 32 MiB.
    pub max_body_bytes: usize,
    /// The bodies of all requests that are being read, in bytes; at least that of one. Default 256 MiB.
    pub max_bodies_bytes: usize,
    /// Width times height of the largest image. Default 50 million.
    pub max_pixels: u64,
    /// Images of one request. Default 16.
    pub max_images: usize,
    /// Answers of one request (`n`). Default 8.
    pub max_choices: usize,
    /// Open connections. Beyond that, one that has not asked anything is closed for a new one. Default 512.
    pub max_connections: usize,
    /// How long an answer may take, waiting included; it is cut off then. Default 5 minutes.
    pub request_timeout: Duration,
    /// How long a client may take for a request's head, for its body, and to read what has been sent. Default 30 seconds.
    pub client_timeout: Duration,
    /// How long running answers may go on once the server has been told to stop. Default 30 seconds.
    pub shutdown_timeout: Duration,
    /// Whether images may be named by `http` and `https` addresses, which the server then fetches. Default no.
    pub allow_url_images: bool,
    /// Whether questions and answers are logged. Default no.
    pub log_text: bool,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            api_keys: Vec::new(),
            cors_origins: Vec::new(),
            max_body_bytes: 32 << 20,
            max_bodies_bytes: 256 << 20,
            max_pixels: 50_000_000,
            max_images: 16,
            max_choices: 8,
            max_connections: 512,
            request_timeout: Duration::from_secs(300),
            client_timeout: Duration::from_secs(30),
            shutdown_timeout: Duration::from_secs(30),
            allow_url_images: false,
            log_text: false,
        }
    }
}
