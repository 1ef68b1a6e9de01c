//! Models of a few kilobytes for the tests of this folder.

use std::path::Path;

use burn::prelude::*;

use super::{SaveOptions, Weights, save};
use crate::config::{DecoderConfig, ParrotConfig, TowerKind, VisionConfig};
use crate::parrot::ParrotModel;

pub(super) struct Tiny {
    pub(super) config: ParrotConfig,
    pub(super) vision: VisionConfig,
    pub(super) model: ParrotModel,
}

impl Tiny {
    pub(super) fn clip() -> Self {
        let config = ParrotConfig {
            decoder: DecoderConfig {
                vocab_size: 24,
                hidden_size: 16,
                intermediate_size: 20,
                num_hidden_layers: 2,
                num_attention_heads: 4,
                num_key_value_heads: Some(2),
                initializer_range: 0.08,
                ..DecoderConfig::default()
            },
            mm_vision_tower: Some("towers/clip-vit-test".into()),
            mm_hidden_size: Some(12),
            moe_hidden_size: Some(16),
            moe_intermediate_size: Some(10),
            num_experts: Some(2),
            ..ParrotConfig::parrot_mini()
        };
        let vision = VisionConfig {
            hidden_size: 12,
            intermediate_size: 18,
            num_hidden_layers: 2,
            num_attention_heads: 2,
            image_size: 8,
            patch_size: 4,
            ..VisionConfig::clip_vit_mini()
        };
        Self::new(config, vision)
    }

    /// SigLIP tower, tied head.
    pub(super) fn siglip() -> Self {
        let Self { config, vision, .. } = Self::clip();
        let config = ParrotConfig {
            decoder: DecoderConfig { tie_word_embeddings: true, ..config.decoder },
            mm_vision_tower: Some("towers/siglip-test".into()),
            ..config
        };
        let vision = VisionConfig { kind: TowerKind::Siglip, num_hidden_layers: 3, ..vision };
        Self::new(config, vision)
    }

    pub(super) fn new(config: ParrotConfig, vision: VisionConfig) -> Self {
        let model = ParrotModel::init(&config, &vision, &Device::default()).unwrap();
        Self { config, vision, model }
    }

    pub(super) fn save(&self, out: &Path) {
        self.save_with(out, &SaveOptions::default()).unwrap();
    }

    pub(super) fn save_with(&self, out: &Path, options: &SaveOptions) -> crate::Result<()> {
        save(&self.model, &self.config, &self.vision, out, options)
    }
}

/// Every tensor of a folder: name, dtype, shape, bytes.
pub(super) fn contents(folder: &Path) -> Vec<(String, String, Vec<usize>, Vec<u8>)> {
    let weights = Weights::from_folder(folder).unwrap();
    let tensor = |name: &str| {
        let stored = weights.get(name).unwrap();
        (name.to_string(), format!("{:?}", stored.dtype), stored.shape.to_vec(), stored.bytes.to_vec())
    };
    weights.names().map(tensor).collect()
}

/// Rewrites a folder's single weight file with `edit` applied to its tensors.
pub(super) fn edit(folder: &Path, edit: impl FnOnce(&mut Vec<(String, String, Vec<usize>, Vec<u8>)>)) {
    let mut tensors = contents(folder);
    edit(&mut tensors);
    std::fs::write(folder.join("model.safetensors"), file(&tensors)).unwrap();
}

/// The bytes of a safetensors file.
pub(super) fn file(tensors: &[(String, String, Vec<usize>, Vec<u8>)]) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    let mut data = Vec::new();
    for (name, dtype, shape, bytes) in tensors {
        let offsets = [data.len(), data.len() + bytes.len()];
        let info = serde_json::json!({ "dtype": dtype, "shape": shape, "data_offsets": offsets });
        header.insert(name.clone(), info);
        data.extend(bytes);
    }
    with_header(&serde_json::to_string(&header).unwrap(), &data)
}

/// A safetensors file with this header, however wrong.
pub(super) fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend(data);
    file
}
