//! The parts of the model that a stage trains or leaves as they are.

use std::collections::BTreeSet;

use burn::prelude::*;
use burn::tensor::FloatDType;
use parrot_model::device::{PartDtypes, is_cpu};
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

/// What the parts of a model are held in on this device, where it trains in `dtypes`.
///
/// On the CPU bf16 is for a tower and a decoder that are frozen: their products are computed in bf16 where the processor can, and
/// summed up in f32. All that learns is in f32, its own master, as are activations and their gradients; so are the adapters that
/// learn in the place of a decoder.
///
/// - learn: the parts that learn
#[must_use]
pub fn training_dtypes(device: &Device, dtypes: PartDtypes, learn: &BTreeSet<Part>) -> PartDtypes {
    let narrow = FloatDType::BF16.into();
    if !is_cpu(device) || dtypes.others != narrow {
        return dtypes;
    }
    let wide = FloatDType::F32.into();
    let held = |part, dtype| if dtype == narrow && learn.contains(&part) { wide } else { dtype };
    PartDtypes {
        vision_tower: held(Part::VisionTower, dtypes.vision_tower),
        decoder: held(Part::LanguageModel, dtypes.decoder),
        others: wide,
    }
}
