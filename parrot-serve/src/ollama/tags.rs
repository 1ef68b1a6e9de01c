//! `/api/tags` and `/api/version`: what there is.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::timestamp;
use crate::reply::Json;
use crate::service::Shared;

/// Which models there are.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Tags {
    /// Every model.
    models: Vec<Tag>,
}

/// A model.
#[derive(Debug, Serialize, ToSchema)]
struct Tag {
    /// Its name.
    name: String,
    /// Its name.
    model: String,
    /// When it was loaded.
    modified_at: String,
    /// What can be done with it.
    capabilities: Vec<&'static str>,
}

/// The server's version.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Version {
    /// The version of parrot-serve.
    version: &'static str,
}

/// `GET /api/tags`
#[utoipa::path(get, path = "/api/tags", tag = "Ollama", responses((status = 200, body = Tags)))]
pub(crate) async fn tags(State(service): State<Shared>) -> Json<Tags> {
    let models = service.models.all().map(|model| Tag {
        name: model.name.clone(),
        model: model.name.clone(),
        modified_at: timestamp(service.models.created),
        capabilities: if model.engine.has_images() {
            vec!["completion", "vision"]
        } else {
            vec!["completion"]
        },
    });
    Json(Tags { models: models.collect() })
}

/// `GET /api/version`
#[utoipa::path(get, path = "/api/version", tag = "Ollama", responses((status = 200, body = Version)))]
pub(crate) async fn version() -> Json<Version> {
    Json(Version { version: env!("CARGO_PKG_VERSION") })
}
