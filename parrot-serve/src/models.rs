//! The models of a server, each with an engine of its own.

use std::time::{SystemTime, UNIX_EPOCH};

use parrot_infer::Engine;

use crate::error::ApiError;
use axum::http::StatusCode;

/// A model under the name that clients know it by.
#[derive(Debug, Clone)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// What answers.
    pub engine: Engine,
}

/// A model, and what can be known of it once and for all.
#[derive(Debug)]
pub(crate) struct KnownModel {
    pub(crate) model: Model,
    /// Text of more bytes has more tokens than the model reads.
    max_text_bytes: usize,
}

/// Text may become shorter before it is turned into tokens, where accents and their letters become one; no more than this.
const MOST_NORMALISED: usize = 3;

impl KnownModel {
    fn new(model: Model) -> Self {
        let (tokenizer, config) = (model.engine.tokenizer(), model.engine.config());
        let lengths = (0..tokenizer.vocab_size() as u32).map(|id| tokenizer.bytes_of(id).len());
        let longest = MOST_NORMALISED * lengths.max().unwrap_or(1);
        let max_text_bytes = longest.saturating_mul(config.max_position_embeddings);
        Self { model, max_text_bytes }
    }

    /// Refuses text that is too long, before it is turned into tokens: which takes time and memory.
    pub(crate) fn check_length(&self, bytes: usize) -> Result<(), ApiError> {
        if bytes <= self.max_text_bytes {
            return Ok(());
        }
        let limit = self.model.engine.config().max_position_embeddings;
        let message =
            format!("the conversation is too long: {bytes} bytes of text are more than {limit} tokens");
        Err(ApiError::invalid(message).param("messages").code("context_length_exceeded"))
    }
}

/// All models; the first answers those who name none.
#[derive(Debug)]
pub(crate) struct Models {
    models: Vec<KnownModel>,
    /// When they were loaded, in seconds since 1970.
    pub(crate) created: u64,
}

impl Models {
    /// # Errors
    ///
    /// In a few words, when there is none or two have one name.
    pub(crate) fn new(models: Vec<Model>) -> Result<Self, String> {
        if models.is_empty() {
            return Err("a server needs a model".into());
        }
        for (at, model) in models.iter().enumerate() {
            if model.name.is_empty() || models[..at].iter().any(|other| other.name == model.name) {
                return Err(format!(
                    "each model needs a name of its own, found {:?} twice or empty",
                    model.name
                ));
            }
        }
        Ok(Self { models: models.into_iter().map(KnownModel::new).collect(), created: now() })
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Model> {
        self.models.iter().map(|known| &known.model)
    }

    /// The model of this name; the first if there is no name.
    pub(crate) fn find(&self, name: Option<&str>) -> Result<&KnownModel, ApiError> {
        let Some(name) = name else { return Ok(&self.models[0]) };
        self.models.iter().find(|known| known.model.name == name).ok_or_else(|| {
            let known: Vec<&str> = self.all().map(|model| &*model.name).collect();
            let name: String = name.chars().take(100).collect();
            let message = format!("there is no model {name:?} here, but: {}", known.join(", "));
            ApiError::new(StatusCode::NOT_FOUND, message).param("model").code("model_not_found")
        })
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
