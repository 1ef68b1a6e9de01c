//! `/v1/models`: which models there are.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::models::Model;
use crate::reply::Json;
use crate::service::{Service, Shared};

/// Which models there are.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelList {
    /// `list`
    object: &'static str,
    /// Every model; the first answers those who name none.
    data: Vec<ModelInfo>,
}

/// A model.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelInfo {
    /// Its name.
    id: String,
    /// `model`
    object: &'static str,
    /// When it was loaded, in seconds since 1970.
    created: u64,
    /// `parrot`
    owned_by: &'static str,
    /// The most images that it has learnt to talk about in one conversation, where its checkpoint says; no field of OpenAI's
    #[serde(skip_serializing_if = "Option::is_none")]
    max_images_per_conversation: Option<usize>,
}

impl ModelInfo {
    fn new(model: &Model, service: &Service) -> Self {
        Self {
            id: model.name.clone(),
            object: "model",
            created: service.models.created,
            owned_by: "parrot",
            max_images_per_conversation: model.engine.max_images_per_conversation(),
        }
    }
}

/// `GET /v1/models`
#[utoipa::path(get, path = "/v1/models", tag = "OpenAI", responses((status = 200, body = ModelList)))]
pub(crate) async fn models(State(service): State<Shared>) -> Json<ModelList> {
    let models = service.models.all();
    Json(ModelList { object: "list", data: models.map(|model| ModelInfo::new(model, &service)).collect() })
}

/// `GET /v1/models/{id}`; a name may have slashes.
#[utoipa::path(
    get, path = "/v1/models/{id}", tag = "OpenAI", params(("id" = String, Path)),
    responses((status = 200, body = ModelInfo), (status = 404, body = crate::error::ErrorBody))
)]
pub(crate) async fn model(
    State(service): State<Shared>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<ModelInfo>, ApiError> {
    let Path(id) = id?;
    let model = service.models.find(Some(&id))?;
    Ok(Json(ModelInfo::new(&model.model, &service)))
}
