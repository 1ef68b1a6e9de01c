//! The parts of the model that a stage trains or leaves as they are.

use serde::{Deserialize, Serialize};

/// A part of the model that a stage trains or leaves as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The vision tower; frozen in both of the paper's stages.
    VisionTower,
    /// The projector; the only part that the paper's stage 1 trains.
    Projector,
    /// Router and experts.
    Moe,
    /// The decoder, its embeddings and its head.
    LanguageModel,
}
