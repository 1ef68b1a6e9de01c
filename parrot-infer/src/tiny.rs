//! A complete model of a few thousand random weights, for tests and for trying the interface.
//!
//! Every part of Parrot is there, each as small as it can be; a token is a byte. Its answers mean nothing,
//! but they are the same for the same seed.

use std::path::Path;

use burn::module::{Module, ModuleMapper, Param};
use burn::prelude::*;
use parrot_model::checkpoint::{SaveOptions, save};
use parrot_model::config::{DecoderConfig, ParrotConfig, VisionConfig};
use parrot_model::layout::TOKENIZER_FILE;
use parrot_model::parrot::ParrotModel;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use crate::{Result, device};

/// Tokens of the longest prompt and its answer together.
pub(crate) const CONTEXT: usize = 256;

/// Bytes, then `<|endoftext|>`, `<|im_start|>`, `<|im_end|>`.
const VOCAB: usize = 256 + 3;

/// The configuration of the whole model.
#[must_use]
pub fn config() -> ParrotConfig {
    let mini = ParrotConfig::parrot_mini();
    let decoder = DecoderConfig {
        vocab_size: VOCAB,
        hidden_size: 24,
        intermediate_size: 32,
        num_hidden_layers: 2,
        max_position_embeddings: CONTEXT,
        tie_word_embeddings: false,
        ..mini.decoder.clone()
    };
    ParrotConfig {
        mm_vision_tower: Some("towers/clip-vit-tiny".into()),
        mm_hidden_size: Some(16),
        moe_intermediate_size: Some(16),
        max_images_per_conversation: None,
        ..mini.with_decoder(decoder)
    }
}

/// The configuration of its vision tower: 12 × 12 pixels in four patches.
#[must_use]
pub fn vision() -> VisionConfig {
    VisionConfig {
        hidden_size: 16,
        intermediate_size: 24,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        image_size: 12,
        patch_size: 6,
        ..VisionConfig::clip_vit_mini()
    }
}

/// The network, its weights drawn with `seed`.
///
/// # Errors
///
/// None in practice: the configuration is valid.
fn network(seed: u64, device: &Device) -> Result<ParrotModel> {
    let network = ParrotModel::init(&config(), &vision(), device)?;
    Ok(network.map(&mut Random(StdRng::seed_from_u64(seed))))
}

/// Writes the model's folder, for [`Parrot::load`](crate::Parrot::load).
///
/// # Errors
///
/// When the folder cannot be written, or there is no device to compute on.
pub fn write(folder: &Path, seed: u64) -> Result<()> {
    let network = network(seed, &device::open("auto")?)?;
    save(&network, &config(), &vision(), folder, &SaveOptions::default())?;
    let path = folder.join(TOKENIZER_FILE);
    std::fs::write(&path, tokenizer_json()).map_err(|source| parrot_model::Error::Io {
        action: "write",
        path,
        source,
    })?;
    Ok(())
}

/// The `tokenizer.json`: every byte is a token.
fn tokenizer_json() -> String {
    let vocab: serde_json::Map<String, serde_json::Value> =
        (0..=255).map(|byte: u8| (byte_character(byte).to_string(), json!(byte))).collect();
    let special = |(i, content): (usize, &&str)| {
        json!({
            "id": 256 + i, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true,
        })
    };
    let added: Vec<_> =
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>"].iter().enumerate().map(special).collect();
    let byte_level =
        json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
    // Which pieces the text is split into makes no difference where no two bytes ever merge.
    let split =
        json!({"type": "Split", "pattern": {"Regex": "\\s+"}, "behavior": "Isolated", "invert": false});
    let tokenizer = json!({
        "version": "1.0",
        "added_tokens": added,
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
        "decoder": byte_level,
        "model": {"type": "BPE", "vocab": vocab, "merges": []},
    });
    tokenizer.to_string()
}

/// The character that stands for a byte in a byte-level vocabulary: itself where it can be printed, the next
/// free one from U+0100 on otherwise.
fn byte_character(byte: u8) -> char {
    let printable = |byte: u8| matches!(byte, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF);
    if printable(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|byte| !printable(*byte)).count();
    char::from_u32(0x100 + before as u32).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// Draws matrices wide enough that attention, experts and positions all have a say in the next token.
struct Random(StdRng);

impl ModuleMapper for Random {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Self(rng) = self;
        // Vectors are norms' factors and biases; a norm's factor should not flip the sign of its input.
        let range = if D == 1 { 0.4..1.0 } else { -0.6..0.6f32 };
        param.map(|tensor| {
            let shape = tensor.shape();
            let values = (0..shape.num_elements()).map(|_| rng.random_range(range.clone())).collect();
            Tensor::from_data(TensorData::new(values, shape), &tensor.device())
        })
    }
}
