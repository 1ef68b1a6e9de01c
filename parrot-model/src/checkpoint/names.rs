//! Module paths ⇄ the names of a checkpoint.
//!
//! The modules' fields are named as the checkpoint names them, so that a name is the path joined with dots.
//! [`ModulePath`] removes what Burn adds (an enum's variant) or calls otherwise (a norm's `gamma` and
//! `beta`); the functions put the prefix of each part in front.

use crate::Result;
use crate::config::{ParrotConfig, TowerKind, VisionConfig};
use crate::projector::ProjectorKind;

/// What stands before the names of a vision tower inside a Parrot checkpoint. Its own folder lacks it.
const TOWER_PREFIX: &str = "model.vision_tower.vision_tower.";

/// The path of the parameter that a module traversal has come to.
#[derive(Debug, Default)]
pub(super) struct ModulePath {
    segments: Vec<String>,
}

impl ModulePath {
    pub(super) fn enter(&mut self, name: &str, container: &str) {
        let name = match (container, name) {
            ("Struct:LayerNorm" | "Struct:RmsNorm", "gamma") => "weight",
            ("Struct:LayerNorm" | "Struct:RmsNorm", "beta") => "bias",
            _ => name,
        };
        if !container.starts_with("Enum:") {
            self.segments.push(name.to_string());
        }
    }

    pub(super) fn exit(&mut self, container: &str) {
        if !container.starts_with("Enum:") {
            self.segments.pop();
        }
    }

    pub(super) fn segments(&self) -> &[String] {
        &self.segments
    }
}

/// Names of a [`Parrot`](crate::parrot::Parrot)'s parameters.
///
/// # Errors
///
/// [`Error::Config`](crate::Error::Config) for an unknown `mm_projector_type`.
pub fn parrot(config: &ParrotConfig) -> Result<impl Fn(&[String]) -> String + use<>> {
    let projector_name = projector(ProjectorKind::parse(&config.mm_projector_type)?);
    Ok(move |path: &[String]| match path {
        [part, rest @ ..] if part == "language_model" => language_model(rest),
        [part, rest @ ..] if part == "vision_tower" => in_checkpoint(&vision_tower(rest)),
        [part, rest @ ..] if part == "mm_projector" => projector_name(rest),
        path => format!("model.{}", path.join(".")),
    })
}

/// Names of a [`Qwen2`](crate::language::Qwen2)'s parameters; the same in a checkpoint of Qwen2 alone.
#[must_use]
pub fn language_model(path: &[String]) -> String {
    match path {
        [first, ..] if first == "lm_head" => path.join("."),
        path => format!("model.{}", path.join(".")),
    }
}

/// Names of a [`VisionTower`](crate::vision::VisionTower)'s parameters in the tower's own folder.
#[must_use]
pub fn vision_tower(path: &[String]) -> String {
    format!("vision_model.{}", path.join("."))
}

/// Names of a [`Projector`](crate::projector::Projector)'s parameters: `nn.Sequential` counts the
/// activations between the layers, a lone linear layer has no number.
pub fn projector(kind: ProjectorKind) -> impl Fn(&[String]) -> String {
    move |path: &[String]| match path {
        [_, _, leaf @ ..] if kind == ProjectorKind::Linear => {
            format!("model.mm_projector.{}", leaf.join("."))
        }
        [_, index, leaf @ ..] => {
            let position = index.parse::<usize>().map_or_else(|_| index.clone(), |i| (2 * i).to_string());
            format!("model.mm_projector.{position}.{}", leaf.join("."))
        }
        path => format!("model.mm_projector.{}", path.join(".")),
    }
}

/// Names of a [`TextGuidedMoe`](crate::projector::TextGuidedMoe)'s parameters.
#[must_use]
pub fn moe(path: &[String]) -> String {
    format!("model.moe_model.{}", path.join("."))
}

/// The name inside a Parrot checkpoint of what the tower's own folder calls `name`.
fn in_checkpoint(name: &str) -> String {
    format!("{TOWER_PREFIX}{name}")
}

/// The reverse: the name in the tower's own folder, if this is a tensor of the tower.
pub(super) fn in_tower_folder(name: &str) -> Option<&str> {
    name.strip_prefix(TOWER_PREFIX)
}

/// Whether a checkpoint may hold this tensor although the model has no place for it.
pub(super) fn is_surplus(name: &str, config: &ParrotConfig, vision: &VisionConfig) -> bool {
    // Buffers that transformers stored until 4.31.
    if name.ends_with(".position_ids") || name.ends_with(".inv_freq") {
        return true;
    }
    // A mixture of experts that is switched off and not even described.
    if name.starts_with("model.moe_model.") {
        return !config.use_moe && config.moe_hidden_size.is_none();
    }
    // What the reference drops of SigLIP: its pooling head and its last layer.
    let Some(name) = in_tower_folder(name).filter(|_| vision.kind == TowerKind::Siglip) else { return false };
    let last_layer = format!("vision_model.encoder.layers.{}.", vision.num_hidden_layers - 1);
    name.starts_with("vision_model.head.") || name.starts_with(&last_layer)
}
