//! The shapes of the tests' model.

use parrot_model::config::{DecoderConfig, ParrotConfig, VisionConfig};

/// A model of a few thousand weights with so many decoder layers, and its tower.
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
