//! Where the hub and its cache are, and who asks: the environment variables of Hugging Face's own tools.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

/// How the hub is asked.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// `https://huggingface.co`, or what `HF_ENDPOINT` names.
    pub(super) endpoint: String,
    /// The user's access token.
    pub(super) token: Option<String>,
    /// The folder that holds `models--owner--name`.
    pub(super) cache: PathBuf,
    /// Whether only the cache may be used.
    pub(super) offline: bool,
    /// A server that sends nothing for this long is given up.
    pub(super) patience: Duration,
    /// How often in a row a request may fail for a reason that may pass.
    pub(super) attempts: u32,
    /// The first pause between them; each further one is twice as long.
    pub(super) pause: Duration,
}

impl Settings {
    /// # Errors
    ///
    /// In words, for a variable that cannot be what it is.
    pub(super) fn from_environment() -> Result<Self, String> {
        let home = env::home_dir().unwrap_or_default();
        let folder = |name: &str| match env::var_os(name) {
            // A path need not be text.
            Some(path) if path.to_str().is_none() => Some(path.into()),
            _ => variable(name).map(|path| expand_home(&path, &home)),
        };
        let hugging_face = folder("HF_HOME").unwrap_or_else(|| {
            folder("XDG_CACHE_HOME").unwrap_or_else(|| home.join(".cache")).join("huggingface")
        });
        let token = variable("HF_TOKEN").or_else(|| variable("HUGGING_FACE_HUB_TOKEN")).or_else(|| {
            let file = folder("HF_TOKEN_PATH").unwrap_or_else(|| hugging_face.join("token"));
            std::fs::read_to_string(file).ok()
        });
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
        let seconds = match variable("HF_HUB_DOWNLOAD_TIMEOUT") {
            None => 10,
            Some(text) => text.trim().parse().map_err(|_| {
                format!("HF_HUB_DOWNLOAD_TIMEOUT should be a number of seconds, found {text}")
            })?,
        };
        Ok(Self {
            endpoint: endpoint.trim_end_matches('/').into(),
            token: token.map(|token| token.trim().to_string()).filter(|token| !token.is_empty()),
            cache: folder("HF_HUB_CACHE")
                .or_else(|| folder("HUGGINGFACE_HUB_CACHE"))
                .unwrap_or_else(|| hugging_face.join("hub")),
            offline: is_on("HF_HUB_OFFLINE") || is_on("TRANSFORMERS_OFFLINE"),
            // Longer than a day is for ever, and a sum of times that overflows panics.
            patience: Duration::from_secs(u64::clamp(seconds, 1, 86_400)),
            attempts: 4,
            pause: Duration::from_secs(1),
        })
    }
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.trim().is_empty())
}

/// Whether a variable is on, by the rules of Python's `huggingface_hub`.
fn is_on(name: &str) -> bool {
    variable(name).is_some_and(|value| ["1", "on", "yes", "true"].contains(&value.to_lowercase().as_str()))
}

fn expand_home(path: &str, home: &std::path::Path) -> PathBuf {
    match path.strip_prefix("~/") {
        Some(rest) => home.join(rest),
        None => path.into(),
    }
}
