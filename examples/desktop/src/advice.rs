//! What to do about an error, for those who do not read its source.

use std::io::ErrorKind;

use parrot_infer::Error;
use parrot_model::error_chain;

/// What can be loaded.
const MODEL: &str = "A model is a folder as Hugging Face has them, with config.json, tokenizer.json and weights; or a GGUF; or an id like AIDC-AI/Parrot-7B.";

/// An error in one line, and what to do about it where that is not plain from the line.
pub(crate) fn with_advice(error: &Error) -> String {
    let what = error_chain(error);
    match advice(error) {
        Some(advice) => format!("{}. {advice}", what.trim_end_matches('.')),
        None => what,
    }
}

fn advice(error: &Error) -> Option<&'static str> {
    use parrot_model::Error as Model;
    Some(match error {
        Error::Compute(_) | Error::Panicked { .. } => {
            "Try again; if it fails again, choose another device in Settings: a driver may have been reset, or memory have run out."
        }
        Error::ShutDown => "Choose the model once more in Settings.",
        Error::QueueFull { .. } => "Wait for an answer, or stop one.",
        Error::NotFinite { .. } => "Choose f32 in Settings.",
        Error::TextOnly => "Ask without a picture, or choose another model in Settings.",
        Error::Model(Model::TooLong { .. }) => "Begin a new conversation, or ask in fewer words.",
        Error::Model(Model::Image { .. }) => "PNG, JPEG, WebP, GIF and BMP can be read.",
        Error::Model(Model::Hub { .. }) => {
            "What has arrived is kept: once the network is back, load it again and it goes on from there. A folder needs no network."
        }
        Error::Model(Model::Device { .. }) => {
            "Choose another device in Settings, or a narrower number format; the CPU needs no driver."
        }
        Error::Model(Model::Checkpoint { .. } | Model::Config { .. } | Model::Tokenizer { .. }) => MODEL,
        // Of a model's folder: what else there is to read, pictures, is not read here.
        Error::Model(Model::Io { source, .. }) if source.kind() == ErrorKind::NotFound => MODEL,
        Error::Model(Model::Io { source, .. }) if source.kind() == ErrorKind::StorageFull => {
            "Make room on the disk, then try again."
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_happened_and_what_to_do() {
        let hub = parrot_model::Error::Hub { id: "a/b".into(), reason: "the connection was closed".into() };
        let line = with_advice(&hub.into());
        assert!(line.starts_with("model a/b: the connection was closed. What has arrived is kept"), "{line}");
        assert_eq!(with_advice(&Error::EmptyQuestion), "the question is empty");
        let full = ErrorKind::StorageFull.into();
        let full = parrot_model::Error::Io { action: "write", path: "here".into(), source: full };
        assert!(with_advice(&full.into()).contains("Make room"));
        let none = ErrorKind::NotFound.into();
        let none = parrot_model::Error::Io { action: "read", path: "docs/config.json".into(), source: none };
        assert!(with_advice(&none.into()).contains("A model is a folder"));
    }
}
