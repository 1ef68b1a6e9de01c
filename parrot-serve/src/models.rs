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

/// All models; the first answers those who name none.
#[derive(Debug)]
pub(crate) struct Models {
    models: Vec<Model>,
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
        Ok(Self { models, created: now() })
    }

    pub(crate) fn all(&self) -> &[Model] {
        &self.models
    }

    /// The model of this name; the first if there is no name.
    pub(crate) fn find(&self, name: Option<&str>) -> Result<&Model, ApiError> {
        let Some(name) = name else { return Ok(&self.models[0]) };
        self.models.iter().find(|model| model.name == name).ok_or_else(|| {
            let known: Vec<&str> = self.models.iter().map(|model| &*model.name).collect();
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
