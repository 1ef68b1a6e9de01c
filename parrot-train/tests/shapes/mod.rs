//! The model that the tests of the command start from.

use std::path::Path;

use burn::prelude::*;
use parrot_model::checkpoint::{SaveOptions, save};
use parrot_model::config::{DecoderConfig, ParrotConfig, VisionConfig};
use parrot_model::parrot::ParrotModel;

pub(crate) const ASSETS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../assets");

/// A model of a few thousand weights with this number of decoder layers, and its tower.
pub(crate) fn configs(num_hidden_layers: usize) -> (ParrotConfig, VisionConfig) {
    let mini = ParrotConfig::parrot_mini();
    let decoder = DecoderConfig {
        hidden_size: 16,
        intermediate_size: 24,
        num_hidden_layers,
        num_attention_heads: 2,
        num_key_value_heads: Some(1),
        ..mini.decoder.clone()
    };
    let config = ParrotConfig {
        mm_vision_tower: Some("towers/tiny".into()),
        mm_hidden_size: Some(12),
        moe_intermediate_size: Some(8),
        ..mini.with_decoder(decoder)
    };
    let vision = VisionConfig {
        hidden_size: 12,
        intermediate_size: 16,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        image_size: 24,
        ..VisionConfig::clip_vit_mini()
    };
    (config, vision)
}

/// Writes such a model with the default model's tokenizer.
pub(crate) fn save_start(folder: &Path, num_hidden_layers: usize) {
    let (config, vision) = configs(num_hidden_layers);
    let device = Device::flex();
    device.seed(1);
    let model = ParrotModel::init(&config, &vision, &device).unwrap();
    let source = Some(Path::new(ASSETS).join("parrot-mini"));
    let options = SaveOptions { source, ..SaveOptions::default() };
    save(&model, &config, &vision, folder, &options).unwrap();
}
