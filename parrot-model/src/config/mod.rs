//! What a checkpoint's `config.json` says, and the sizes that have a name ([`Size`]).
//!
//! [`ParrotConfig`] is the flat `config.json` of a Parrot checkpoint (`model_type: parrot_qwen2`): the
//! Qwen2 decoder's keys and Parrot's own (`mm_*`, `moe_*`) side by side. [`VisionConfig`] describes the
//! vision tower, which the reference keeps in a folder of its own (`mm_vision_tower`).

mod limits;
mod size;
mod vision;

use std::path::Path;

use serde::{Deserialize, Serialize};

pub use size::Size;
pub use vision::{HiddenAct, TowerKind, VisionConfig};

use crate::{Error, Result};

/// The `config.json` of a Parrot checkpoint.
///
/// A missing key takes the value that the reference would use; keys that this crate does not know are
/// kept in [`extra`](Self::extra) and written back unchanged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ParrotConfig {
    /// Always `parrot_qwen2`; anything else is refused.
    pub model_type: String,
    /// Number of rows of the embedding table, special tokens included.
    pub vocab_size: usize,
    /// Width of the decoder, and of a visual token once projected.
    pub hidden_size: usize,
    /// Width of the decoder's SwiGLU.
    pub intermediate_size: usize,
    /// Number of decoder layers.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key/value heads; `None`, and a missing key, mean as many as query heads. (`Qwen2Config` takes `null` so,
    /// and 32 for a missing key, which fits no model but one with a multiple of 32 query heads.)
    pub num_key_value_heads: Option<usize>,
    /// Must be `silu`.
    pub hidden_act: String,
    /// Longest context, in tokens.
    pub max_position_embeddings: usize,
    /// Standard deviation of freshly initialised weights.
    pub initializer_range: f64,
    /// ε of the decoder's RMS norms.
    pub rms_norm_eps: f64,
    /// Base of the rotary position embedding.
    pub rope_theta: f64,
    /// Whether `lm_head` is the embedding table.
    pub tie_word_embeddings: bool,
    /// Sliding-window attention; not supported, refused when it would change a result.
    pub use_sliding_window: bool,
    /// Window length, only read together with [`use_sliding_window`](Self::use_sliding_window); 4096 where the
    /// key is missing.
    pub sliding_window: Option<usize>,

    /// Folder or hub id of the vision tower, relative to the checkpoint or to its parent folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mm_vision_tower: Option<String>,
    /// Width of the vision tower's output; `None` takes the tower's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mm_hidden_size: Option<usize>,
    /// Which of the tower's hidden states to use; negative counts from the end. 0 is the encoder's input.
    pub mm_vision_select_layer: i64,
    /// `cls_patch` keeps the class token in row 0, `patch` drops it.
    pub mm_vision_select_feature: SelectFeature,
    /// `linear`, `mlp<N>x_gelu` or `identity`.
    pub mm_projector_type: String,
    /// `pad` makes pictures square before resizing; absent means shortest edge and centre crop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_aspect_ratio: Option<String>,
    /// Longest sequence in training, pictures counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokenizer_model_max_length: Option<usize>,
    /// Padding side of a training batch, `right` or `left`.
    pub tokenizer_padding_side: PaddingSide,

    /// Whether visual tokens go through the mixture of experts.
    pub use_moe: bool,
    /// Width of the experts' input; its presence says that the checkpoint holds the module.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moe_hidden_size: Option<usize>,
    /// Width of the experts' SwiGLU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moe_intermediate_size: Option<usize>,
    /// Number of experts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_experts: Option<usize>,
    /// Stored by the reference and never used by it: see [`moe_routing`](Self::moe_routing).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moe_top_k: Option<usize>,
    /// α in `MoE(H_v) + α·H_v`. (The paper's Eq. 5 puts α on the other term; the released code does not.)
    pub moe_weight: f64,
    /// Whether the projected features are added to the experts' output at all.
    pub use_moe_residual: bool,
    /// Our own key: `dense` (the reference: all experts, whatever `moe_top_k` says) or `top_k`.
    #[serde(skip_serializing_if = "MoeRouting::is_dense")]
    pub moe_routing: MoeRouting,

    /// Beginning of sequence; unused by ChatML, kept for round trips.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bos_token_id: Option<u32>,
    /// End of sequence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eos_token_id: Option<u32>,
    /// Dtype of the stored weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub torch_dtype: Option<String>,

    /// Every key that has no field above.
    #[serde(flatten)]
    pub extra: serde_json::Map<String, serde_json::Value>,
}

/// Which rows of the vision tower's output become visual tokens (`mm_vision_select_feature`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SelectFeature {
    /// Patches only.
    Patch,
    /// The class token in row 0, then the patches. The mixture of experts needs it.
    ClsPatch,
}

/// On which side a batch is padded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaddingSide {
    /// Padding before the sample, as generation with a cache wants it.
    Left,
    /// Padding after the sample, as training has it.
    Right,
}

/// How the router's weights are applied (`moe_routing`, a key of our own).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MoeRouting {
    /// Every expert, weighted by the router's softmax: what the released code does.
    #[default]
    Dense,
    /// Only the `moe_top_k` largest weights, rescaled to sum to one: what the paper's Eq. 4 describes.
    TopK,
}

impl MoeRouting {
    fn is_dense(&self) -> bool {
        *self == Self::Dense
    }
}

/// The defaults of transformers' `Qwen2Config` (4.39) and of the reference's `getattr` calls.
impl Default for ParrotConfig {
    fn default() -> Self {
        Self {
            model_type: "parrot_qwen2".into(),
            vocab_size: 151_936,
            hidden_size: 4096,
            intermediate_size: 22_016,
            num_hidden_layers: 32,
            num_attention_heads: 32,
            num_key_value_heads: None,
            hidden_act: "silu".into(),
            max_position_embeddings: 32_768,
            initializer_range: 0.02,
            rms_norm_eps: 1e-6,
            rope_theta: 10_000.0,
            tie_word_embeddings: false,
            use_sliding_window: false,
            sliding_window: Some(4096),
            mm_vision_tower: None,
            mm_hidden_size: None,
            mm_vision_select_layer: -2,
            mm_vision_select_feature: SelectFeature::Patch,
            mm_projector_type: "linear".into(),
            image_aspect_ratio: None,
            tokenizer_model_max_length: None,
            tokenizer_padding_side: PaddingSide::Right,
            use_moe: true,
            moe_hidden_size: None,
            moe_intermediate_size: None,
            num_experts: None,
            moe_top_k: None,
            moe_weight: 1.0,
            use_moe_residual: true,
            moe_routing: MoeRouting::Dense,
            bos_token_id: None,
            eos_token_id: None,
            torch_dtype: None,
            extra: serde_json::Map::new(),
        }
    }
}

impl ParrotConfig {
    /// Reads and checks a `config.json`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], [`Error::Json`], or [`Error::Config`] naming the key that cannot be used.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        let config: Self =
            serde_json::from_str(&text).map_err(|source| Error::Json { path: path.to_path_buf(), source })?;
        config.validate()?;
        Ok(config)
    }

    /// Writes `config.json`, keys in the order of the fields, unknown keys kept.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let text = serde_json::to_string_pretty(self)
            .map_err(|source| Error::Json { path: path.to_path_buf(), source })?;
        std::fs::write(path, text + "\n").map_err(Error::io("write", path))
    }

    /// Checks that a model of these shapes can exist.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] with the key, what it should be and what was found.
    pub fn validate(&self) -> Result<()> {
        if self.model_type != "parrot_qwen2" {
            return Err(Error::config("model_type", "parrot_qwen2", &self.model_type));
        }
        if self.hidden_act != "silu" {
            return Err(Error::config("hidden_act", "silu", &self.hidden_act));
        }
        for (key, value, most) in [
            ("vocab_size", self.vocab_size, limits::ROWS),
            ("hidden_size", self.hidden_size, limits::WIDTH),
            ("intermediate_size", self.intermediate_size, limits::WIDTH),
            ("num_hidden_layers", self.num_hidden_layers, limits::BLOCKS),
            ("num_attention_heads", self.num_attention_heads, limits::WIDTH),
            ("num_key_value_heads", self.num_key_value_heads(), limits::WIDTH),
            ("max_position_embeddings", self.max_position_embeddings, limits::ROWS),
        ] {
            limits::check(key, value, most)?;
        }
        if !self.hidden_size.is_multiple_of(2 * self.num_attention_heads) {
            let expected = format!("an even multiple of num_attention_heads = {}", self.num_attention_heads);
            return Err(Error::config("hidden_size", expected, self.hidden_size));
        }
        if !self.num_attention_heads.is_multiple_of(self.num_key_value_heads()) {
            let expected = format!("a divisor of num_attention_heads = {}", self.num_attention_heads);
            return Err(Error::config("num_key_value_heads", expected, self.num_key_value_heads()));
        }
        for (key, value) in [("rope_theta", self.rope_theta), ("rms_norm_eps", self.rms_norm_eps)] {
            if !(value > 0.0 && value.is_finite()) {
                return Err(Error::config(key, "a number above 0", value));
            }
        }
        if let Some(scaling) = self.extra.get("rope_scaling").filter(|scaling| !scaling.is_null()) {
            return Err(Error::config("rope_scaling", "null (scaled positions are not supported)", scaling));
        }
        if self.tokenizer_model_max_length == Some(0) {
            return Err(Error::config("tokenizer_model_max_length", "at least 1", 0));
        }
        if let (true, Some(window)) = (self.use_sliding_window, self.sliding_window)
            && window < self.max_position_embeddings
        {
            let expected = "no sliding window shorter than max_position_embeddings (not supported)";
            return Err(Error::config("sliding_window", expected, window));
        }
        crate::projector::ProjectorKind::parse(&self.mm_projector_type)?;
        self.validate_moe()
    }

    fn validate_moe(&self) -> Result<()> {
        let Some(moe_hidden_size) = self.moe_hidden_size else { return Ok(()) };
        if moe_hidden_size != self.hidden_size {
            let expected = format!("hidden_size = {}", self.hidden_size);
            return Err(Error::config("moe_hidden_size", expected, moe_hidden_size));
        }
        for (key, value, most) in [
            ("moe_intermediate_size", self.moe_intermediate_size, limits::WIDTH),
            ("num_experts", self.num_experts, limits::BLOCKS),
        ] {
            let Some(value) = value else {
                return Err(Error::config(key, "a number, because moe_hidden_size is set", "nothing"));
            };
            limits::check(key, value, most)?;
        }
        if self.moe_routing == MoeRouting::TopK {
            let experts = self.num_experts.unwrap_or(0);
            let top_k = self.moe_top_k.unwrap_or(0);
            if !(1..=experts).contains(&top_k) {
                let expected = format!("between 1 and num_experts = {experts}");
                return Err(Error::config("moe_top_k", expected, top_k));
            }
        }
        // Row 0 stands for the picture in Eq. 2; without a class token it would be an arbitrary patch.
        if self.use_moe && self.mm_vision_select_feature != SelectFeature::ClsPatch {
            return Err(Error::config(
                "mm_vision_select_feature",
                "cls_patch, because use_moe is true",
                "patch",
            ));
        }
        Ok(())
    }

    /// Key/value heads, with the default resolved.
    #[must_use]
    pub fn num_key_value_heads(&self) -> usize {
        self.num_key_value_heads.unwrap_or(self.num_attention_heads)
    }

    /// Width of one attention head.
    #[must_use]
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }

    /// Parameters of the last layer that only the positions asked for meet: the attention's output projection and the
    /// feed-forward ([`Qwen2::forward_at`](crate::language::Qwen2::forward_at)).
    #[must_use]
    pub fn parameters_after_attention(&self) -> usize {
        self.hidden_size * (self.hidden_size + 3 * self.intermediate_size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<ParrotConfig> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, json).unwrap();
        ParrotConfig::from_file(&path)
    }

    #[test]
    fn missing_keys_take_the_reference_defaults() {
        let config = parse("{}").unwrap();
        assert_eq!(config, ParrotConfig::default());
        assert!(config.use_moe && config.use_moe_residual);
        assert_eq!(config.moe_weight, 1.0);
        assert_eq!(config.num_key_value_heads(), 32);
    }

    #[test]
    fn named_sizes_are_valid_and_survive_a_round_trip_with_unknown_keys() {
        let folder = tempfile::tempdir().unwrap();
        for size in Size::ALL {
            let (mut config, vision) = size.configs();
            vision.validate().unwrap();
            config.validate().unwrap();
            config.extra.insert("mm_patch_merge_type".into(), "flat".into());
            let path = folder.path().join("config.json");
            config.save(&path).unwrap();
            assert_eq!(ParrotConfig::from_file(&path).unwrap(), config);
        }
    }

    #[test]
    fn impossible_configurations_say_what_was_found() {
        for (json, expected) in [
            (r#"{"model_type": "llava"}"#, "`model_type` should be parrot_qwen2, found llava"),
            (
                r#"{"num_attention_heads": 7}"#,
                "`hidden_size` should be an even multiple of num_attention_heads = 7",
            ),
            (r#"{"num_key_value_heads": 5}"#, "`num_key_value_heads` should be a divisor of"),
            (r#"{"num_key_value_heads": 0}"#, "`num_key_value_heads` should be at least 1, found 0"),
            (r#"{"mm_projector_type": "mlp2x_relu"}"#, "found mlp2x_relu"),
            (
                r#"{"moe_hidden_size": 4096, "num_experts": 6}"#,
                "`moe_intermediate_size` should be a number, because moe_hidden_size is set",
            ),
            (
                r#"{"moe_hidden_size": 4096, "num_experts": 6, "moe_intermediate_size": 8}"#,
                "`mm_vision_select_feature` should be cls_patch",
            ),
            (
                r#"{"num_hidden_layers": 1000000000000}"#,
                "`num_hidden_layers` should be at most 4096, found 1000000000000",
            ),
            (r#"{"use_sliding_window": true}"#, "`sliding_window` should be no sliding window"),
            (r#"{"rope_theta": 0}"#, "`rope_theta` should be a number above 0, found 0"),
            (r#"{"rope_scaling": {"type": "yarn"}}"#, "`rope_scaling` should be null"),
            (r#"{"mm_vision_select_feature": "cls"}"#, "does not hold valid JSON"),
            (r#"{"hidden_size": -4}"#, "does not hold valid JSON"),
        ] {
            let error = parse(json).unwrap_err().to_string();
            assert!(error.contains(expected), "{json}: {error}");
        }
    }
}
