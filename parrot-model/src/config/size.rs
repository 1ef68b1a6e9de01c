//! Sizes of models that have a name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{DecoderConfig, ParrotConfig, SelectFeature, TokenIds, VisionConfig};
use crate::{Error, Result};

/// A size that has a name: `parrot-7b`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModelSize {
    /// This project's default model.
    #[serde(rename = "parrot-mini")]
    ParrotMini,
    /// Qwen1.5-0.5B and CLIP ViT-L/14-336: ours to train, nobody has released it.
    #[serde(rename = "parrot-0.5b")]
    Parrot0_5b,
    /// Qwen1.5-7B and CLIP ViT-L/14-336, the paper's main model.
    #[serde(rename = "parrot-7b")]
    Parrot7b,
    /// Qwen1.5-14B and CLIP ViT-L/14-336.
    #[serde(rename = "parrot-14b")]
    Parrot14b,
}

impl ModelSize {
    /// Every size, the smallest first.
    pub const ALL: [Self; 4] = [Self::ParrotMini, Self::Parrot0_5b, Self::Parrot7b, Self::Parrot14b];

    /// Its name in recipes, which [`FromStr`] reads.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ParrotMini => "parrot-mini",
            Self::Parrot0_5b => "parrot-0.5b",
            Self::Parrot7b => "parrot-7b",
            Self::Parrot14b => "parrot-14b",
        }
    }

    /// Its configuration and its tower's.
    #[must_use]
    pub fn configs(self) -> (ParrotConfig, VisionConfig) {
        match self {
            Self::ParrotMini => (ParrotConfig::parrot_mini(), VisionConfig::clip_vit_mini()),
            Self::Parrot0_5b => (ParrotConfig::parrot_0_5b(), VisionConfig::clip_vit_large_336()),
            Self::Parrot7b => (ParrotConfig::parrot_7b(), VisionConfig::clip_vit_large_336()),
            Self::Parrot14b => (ParrotConfig::parrot_14b(), VisionConfig::clip_vit_large_336()),
        }
    }
}

impl fmt::Display for ModelSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ModelSize {
    type Err = Error;

    /// # Errors
    ///
    /// [`Error::Config`] that lists the names, when it is none of them.
    fn from_str(text: &str) -> Result<Self> {
        let names = || Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|size| size.name() == text)
            .ok_or_else(|| Error::config("size", format!("one of {}", names()), text))
    }
}

impl ParrotConfig {
    /// AIDC-AI/Parrot-7B: CLIP ViT-L/14-336 and Qwen1.5-7B-Chat.
    #[must_use]
    pub fn parrot_7b() -> Self {
        Self {
            decoder: DecoderConfig {
                intermediate_size: 11_008,
                rope_theta: 1_000_000.0,
                ..DecoderConfig::default()
            },
            mm_vision_tower: Some("openai/clip-vit-large-patch14-336".into()),
            mm_hidden_size: Some(1024),
            mm_vision_select_feature: SelectFeature::ClsPatch,
            mm_projector_type: "mlp2x_gelu".into(),
            image_aspect_ratio: Some("pad".into()),
            tokenizer_model_max_length: Some(2048),
            moe_hidden_size: Some(4096),
            moe_intermediate_size: Some(4096),
            num_experts: Some(6),
            moe_top_k: Some(6),
            moe_weight: 0.1,
            bos_token_id: Some(151_643),
            eos_token_id: Some(TokenIds::One(151_645)),
            torch_dtype: Some("bfloat16".into()),
            ..Self::default()
        }
    }

    /// AIDC-AI/Parrot-14B: the same tower and Qwen1.5-14B-Chat.
    #[must_use]
    pub fn parrot_14b() -> Self {
        let parrot_7b = Self::parrot_7b();
        let decoder = DecoderConfig {
            vocab_size: 152_064,
            hidden_size: 5120,
            intermediate_size: 13_696,
            num_hidden_layers: 40,
            num_attention_heads: 40,
            ..parrot_7b.decoder.clone()
        };
        parrot_7b.with_decoder(decoder)
    }

    /// The same tower and Qwen1.5-0.5B-Chat. Nobody has released such a Parrot: it is the size to train one's own on a
    /// small machine.
    #[must_use]
    pub fn parrot_0_5b() -> Self {
        let parrot_7b = Self::parrot_7b();
        let decoder = DecoderConfig {
            hidden_size: 1024,
            intermediate_size: 2816,
            num_hidden_layers: 24,
            num_attention_heads: 16,
            tie_word_embeddings: true,
            ..parrot_7b.decoder.clone()
        };
        Self { moe_intermediate_size: Some(1024), ..parrot_7b.with_decoder(decoder) }
    }

    /// The default model that this project trains itself: small enough for a CPU, every part present.
    #[must_use]
    pub fn parrot_mini() -> Self {
        Self {
            decoder: DecoderConfig {
                vocab_size: 4096,
                hidden_size: 160,
                intermediate_size: 448,
                num_hidden_layers: 4,
                num_attention_heads: 4,
                num_key_value_heads: Some(2),
                max_position_embeddings: 1024,
                // 1/√hidden, so that fresh layers keep the size of what they read: nothing here starts from pretrained
                // weights.
                initializer_range: 0.08,
                tie_word_embeddings: true,
                ..DecoderConfig::default()
            },
            mm_vision_tower: Some("towers/clip-vit-mini".into()),
            mm_hidden_size: Some(128),
            mm_vision_select_layer: -1,
            mm_vision_select_feature: SelectFeature::ClsPatch,
            mm_projector_type: "mlp2x_gelu".into(),
            image_aspect_ratio: Some("pad".into()),
            tokenizer_model_max_length: Some(512),
            max_images_per_conversation: Some(1),
            moe_hidden_size: Some(160),
            moe_intermediate_size: Some(160),
            num_experts: Some(6),
            moe_top_k: Some(6),
            moe_weight: 1.0,
            bos_token_id: Some(4093),
            eos_token_id: Some(TokenIds::One(4095)),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_everywhere() {
        for size in ModelSize::ALL {
            assert_eq!(size.name().parse::<ModelSize>().unwrap(), size);
            assert_eq!(serde_json::to_string(&size).unwrap(), format!("\"{size}\""));
        }
        let error = "parrot-70b".parse::<ModelSize>().unwrap_err().to_string();
        assert!(
            error.ends_with("parrot-mini, parrot-0.5b, parrot-7b, parrot-14b, found parrot-70b"),
            "{error}"
        );
    }
}
