//! The one error type of this crate.

use std::path::{Path, PathBuf};

use crate::untrusted::plain_reason;

/// Short for `Result<T, parrot_model::Error>`.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error with its causes on one line.
#[must_use]
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// What can go wrong with things that come from outside: files, configurations, pictures, prompts.
///
/// Every variant names what failed, where, what was expected and what was found. A programmer's own
/// shape mistake (a tensor of the wrong rank, say) panics instead and is documented where it does.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried: `read`, `write`, `create`, …
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file does not hold JSON, or not the JSON that was expected.
    #[error("{path} does not hold {reason}")]
    Json {
        /// The file.
        path: PathBuf,
        /// `valid JSON` or `what it should`, then why and at which line and column.
        reason: String,
    },
    /// A configuration value that this model cannot be built from.
    #[error("{}: `{key}` should be {expected}, found {found}", file.as_ref().map_or("config".into(), |file| file.display().to_string()))]
    Config {
        /// The file that it stands in; `None` for a configuration that was not read from one.
        file: Option<PathBuf>,
        /// The key as the file has it.
        key: String,
        /// What it should have been.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// A device that this build or this machine does not have, or that cannot do what is asked of it.
    #[error("device {name}: {reason}")]
    Device {
        /// The device as asked for.
        name: String,
        /// Why there is none, and what there is.
        reason: String,
    },
    /// A picture that cannot be turned into pixels.
    #[error("picture {name}: {reason}")]
    Image {
        /// The file name, or `<bytes>` when the picture came from memory.
        name: String,
        /// What is wrong with it, in words.
        reason: String,
    },
    /// A tokenizer file that cannot be used.
    #[error("tokenizer {path}: {reason}")]
    Tokenizer {
        /// The `tokenizer.json`.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A checkpoint's own chat template that cannot be used.
    #[error("chat template {path}: {reason}")]
    ChatTemplate {
        /// The file that it stands in.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A conversation that cannot be turned into a prompt.
    #[error("conversation: {reason}")]
    Conversation {
        /// What is wrong with it.
        reason: String,
    },
    /// A prompt asks for more or fewer pictures than it was given.
    #[error("the prompt has {placeholders} <image> placeholder(s) but {images} picture(s) were given")]
    ImageCount {
        /// Number of `<image>` placeholders.
        placeholders: usize,
        /// Number of pictures.
        images: usize,
    },
    /// A prompt that is longer than the model's context.
    #[error("the prompt is {found} tokens long, {} more than the context of {limit} holds", found - limit)]
    TooLong {
        /// Tokens in the prompt, pictures counted.
        found: usize,
        /// Tokens that fit.
        limit: usize,
    },
    /// Truncation would cut a picture's tokens in two.
    #[error(
        "truncating to {limit} tokens would keep only {kept} of the {image_tokens} tokens of picture {image}"
    )]
    CutsImage {
        /// Which picture of the prompt, counted from 0.
        image: usize,
        /// Tokens of the picture before the cut.
        kept: usize,
        /// Tokens of the whole picture.
        image_tokens: usize,
        /// The length that was asked for.
        limit: usize,
    },
    /// A checkpoint that does not fit the model, with every problem listed.
    #[error("checkpoint {path}: {}", list(problems))]
    Checkpoint {
        /// The folder or file.
        path: PathBuf,
        /// One sentence per problem: missing, unexpected or mis-shaped tensors, broken files, NaN weights.
        problems: Vec<String>,
    },
    /// A model id could not be resolved through the hub.
    #[error("model {id}: {reason}")]
    Hub {
        /// The id as typed, e.g. `AIDC-AI/Parrot-7B`.
        id: String,
        /// What the hub or its cache said.
        reason: String,
    },
}

/// The first dozen problems and how many more there are: a wrong architecture has hundreds.
fn list(problems: &[String]) -> String {
    const SHOWN: usize = 12;
    let shown = problems.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join("; ");
    match problems.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown}; and {more} more"),
    }
}

impl Error {
    /// An [`Error::Io`] for `map_err`.
    pub(crate) fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io { action, path, source }
    }

    /// An [`Error::Device`].
    pub(crate) fn device(name: &str, reason: String) -> Self {
        Self::Device { name: name.into(), reason }
    }

    /// An [`Error::Checkpoint`] with a single problem.
    pub(crate) fn checkpoint(path: impl AsRef<Path>, problem: impl ToString) -> Self {
        Self::Checkpoint { path: path.as_ref().to_path_buf(), problems: vec![problem.to_string()] }
    }

    /// A file that is no JSON or not the JSON that it should be, for `map_err`.
    pub fn json(path: impl AsRef<Path>) -> impl FnOnce(serde_json::Error) -> Self {
        move |error| {
            let expected = if error.is_data() { "what it should" } else { "valid JSON" };
            let reason = format!("{expected}: {}", plain_reason(&error.to_string()));
            Self::Json { path: path.as_ref().to_path_buf(), reason }
        }
    }

    /// An [`Error::Config`] of a value that stands in no file, or not [yet](Self::in_file) in a known one.
    pub fn config(key: &str, expected: impl ToString, found: impl ToString) -> Self {
        Self::Config { file: None, key: key.into(), expected: expected.to_string(), found: found.to_string() }
    }

    /// An [`Error::Config`] that names no file names this one afterwards; any other error stays as it is.
    #[must_use]
    pub fn in_file(mut self, path: impl AsRef<Path>) -> Self {
        if let Self::Config { file: file @ None, .. } = &mut self {
            *file = Some(path.as_ref().to_path_buf());
        }
        self
    }

    /// An [`Error::Config`] whose key is called as the file calls it.
    pub(crate) fn under(mut self, called: impl FnOnce(&str) -> String) -> Self {
        if let Self::Config { key, .. } = &mut self {
            *key = called(key);
        }
        self
    }
}
