//! What a checkpoint's `config.json` says, and the sizes that have a name ([`ModelSize`]).
//!
//! [`ParrotConfig`] is the flat `config.json` of a Parrot checkpoint (`model_type: parrot_qwen2`): its decoder's keys
//! ([`DecoderConfig`]) and Parrot's own (`mm_*`, `moe_*`) side by side. [`VisionConfig`] describes the vision tower, which
//! the reference keeps in a folder of its own (`mm_vision_tower`).

mod decoder;
pub(crate) mod extra;
pub(crate) mod keys;
mod limits;
mod projector;
mod size;
mod vision;

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use decoder::{DecoderConfig, DecoderFamily, LayerType, RopeScaling, TokenIds};
pub use keys::Keys;
pub use projector::ProjectorKind;
pub use size::ModelSize;
pub use vision::{HiddenAct, TowerKind, VisionConfig};

use crate::files::Files;
use crate::{Error, Result};

/// The prefix that makes a decoder's `model_type` that of a Parrot with this decoder.
const PREFIX: &str = "parrot_";

/// The `config.json` of a Parrot checkpoint.
///
/// A missing key takes the value that the reference would use; keys that this crate does not know are
/// kept in [`extra`](Self::extra) and written back unchanged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ParrotConfig {
    /// `parrot_` and the decoder's family: `parrot_qwen2`, as the released models say. `parrot_qwen3`, `parrot_llama` and
    /// `parrot_mistral` are our own; the released code reads none of them.
    pub model_type: String,
    /// The language model.
    #[serde(flatten)]
    pub decoder: DecoderConfig,

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
    /// The most images that the model has learnt to talk about in one conversation; `None` where that is not known. Our own
    /// key: nothing is refused because of it, but a program can begin a new conversation in time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_images_per_conversation: Option<usize>,

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
    /// Stored by the reference and never used by it, nor here: every expert counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moe_top_k: Option<usize>,
    /// α in `MoE(H_v) + α·H_v`. (The paper's Eq. 5 puts α on the other term; the released code does not.)
    pub moe_weight: f64,
    /// Whether the projected features are added to the experts' output at all.
    pub use_moe_residual: bool,

    /// Beginning of sequence; unused by ChatML, kept for round trips.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bos_token_id: Option<u32>,
    /// End of sequence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eos_token_id: Option<TokenIds>,
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

/// The side on which a batch is padded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaddingSide {
    /// Padding before the sample, as generation with a cache wants it.
    Left,
    /// Padding after the sample, as training has it.
    Right,
}

/// The defaults of transformers' `Qwen2Config` (4.39) and of the reference's `getattr` calls.
impl Default for ParrotConfig {
    fn default() -> Self {
        Self {
            model_type: "parrot_qwen2".into(),
            decoder: DecoderConfig::default(),
            mm_vision_tower: None,
            mm_hidden_size: None,
            mm_vision_select_layer: -2,
            mm_vision_select_feature: SelectFeature::Patch,
            mm_projector_type: "linear".into(),
            image_aspect_ratio: None,
            tokenizer_model_max_length: None,
            tokenizer_padding_side: PaddingSide::Right,
            max_images_per_conversation: None,
            use_moe: true,
            moe_hidden_size: None,
            moe_intermediate_size: None,
            num_experts: None,
            moe_top_k: None,
            moe_weight: 1.0,
            use_moe_residual: true,
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
    pub fn from_file(file: impl Into<Files>) -> Result<Self> {
        let file = file.into();
        Self::from_keys(keys::read_keys(&file)?).map_err(|error| error.in_file(file.path()))
    }

    /// [`from_file`](Self::from_file) from the keys of the file.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] naming the key that cannot be used.
    pub fn from_keys(keys: Keys) -> Result<Self> {
        let as_written = keys::as_written(&keys);
        Self::read_keys(keys).map_err(as_written)
    }

    fn read_keys(mut keys: Keys) -> Result<Self> {
        // Since version 5 transformers calls `torch_dtype` so, and writes no other; kept apart, it would go stale.
        if let Some(dtype) = keys.remove("dtype").filter(|dtype| !dtype.is_null()) {
            keys.insert("torch_dtype".into(), dtype);
        }
        let model_type = keys.get("model_type").cloned().unwrap_or_else(|| "parrot_qwen2".into());
        let family = model_type.as_str().and_then(|name| name.strip_prefix(PREFIX));
        let Some(family) = family.and_then(DecoderFamily::from_model_type) else {
            let expected = format!("one of {}", DecoderFamily::list(PREFIX));
            return Err(Error::config("model_type", expected, model_type));
        };
        let defaults = Self::default().with_decoder(DecoderConfig::of_family(family));
        let mut config = keys::over_defaults(&defaults, keys)?;
        config.decoder.family = family;
        config.validate()?;
        Ok(config)
    }

    /// The same Parrot with another decoder; the experts take its width.
    #[must_use]
    pub fn with_decoder(self, decoder: DecoderConfig) -> Self {
        Self {
            model_type: format!("{PREFIX}{}", decoder.family.model_type()),
            moe_hidden_size: self.moe_hidden_size.map(|_| decoder.hidden_size),
            decoder,
            ..self
        }
    }

    /// Writes `config.json`, keys in the order of the fields, unknown keys kept.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let text = serde_json::to_string_pretty(self).map_err(Error::json(path))?;
        std::fs::write(path, text + "\n").map_err(Error::io("write", path))
    }

    /// Checks that a model of these shapes can exist.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] with the key, what it should be and what was found.
    pub fn validate(&self) -> Result<()> {
        let expected = format!("{PREFIX}{}", self.decoder.family.model_type());
        if self.model_type != expected {
            return Err(Error::config("model_type", expected, &self.model_type));
        }
        self.decoder.validate()?;
        if self.tokenizer_model_max_length == Some(0) {
            return Err(Error::config("tokenizer_model_max_length", "at least 1", 0));
        }
        if !(self.moe_weight as f32).is_finite() {
            return Err(Error::config("moe_weight", "a number in single precision", self.moe_weight));
        }
        ProjectorKind::parse(&self.mm_projector_type)?;
        self.validate_moe()
    }

    /// Keys of the file that this crate neither uses nor knows to be without effect on the numbers: for a notice to the user.
    pub fn unknown_keys(&self) -> impl Iterator<Item = &str> {
        let matters = |(key, value): &(&String, &Value)| extra::could_matter(key, value);
        self.extra.iter().filter(matters).map(|(key, _)| key.as_str())
    }

    fn validate_moe(&self) -> Result<()> {
        let Some(moe_hidden_size) = self.moe_hidden_size else { return Ok(()) };
        if moe_hidden_size != self.decoder.hidden_size {
            let expected = format!("hidden_size = {}", self.decoder.hidden_size);
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
        assert_eq!(config.decoder.num_key_value_heads(), 32);
    }

    #[test]
    fn named_sizes_are_valid_and_survive_a_round_trip_with_unknown_keys() {
        let folder = tempfile::tempdir().unwrap();
        for size in ModelSize::ALL {
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
            (
                r#"{"model_type": "llava"}"#,
                "`model_type` should be one of parrot_qwen2, parrot_qwen3, parrot_llama, parrot_mistral, found \"llava\"",
            ),
            (
                r#"{"num_attention_heads": 7}"#,
                "`hidden_size` should be an even multiple of num_attention_heads = 7",
            ),
            (r#"{"num_key_value_heads": 5}"#, "`num_key_value_heads` should be a divisor of"),
            (r#"{"num_key_value_heads": 0}"#, "`num_key_value_heads` should be at least 1, found 0"),
            (r#"{"mm_projector_type": "mlp2x_relu"}"#, "found \"mlp2x_relu\""),
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
            (r#"{"rope_theta": 0}"#, "`rope_theta` should be a number above 0 in single precision, found 0"),
            (r#"{"rope_scaling": {"type": "yarn"}}"#, "`rope_scaling` should be null"),
            (
                r#"{"mm_vision_select_feature": "cls"}"#,
                "`mm_vision_select_feature` should be `patch` or `cls_patch`, found \"cls\"",
            ),
            (r#"{"hidden_size": -4}"#, "`hidden_size` should be a whole number, 0 or more, found -4"),
            (r#"{"torch_dtype": 5}"#, "config.json: `torch_dtype` should be a string, found 5"),
            (r#"{"dtype": 5}"#, "config.json: `dtype` should be a string, found 5"),
            (r#"{"hidden_size": "#, "does not hold valid JSON"),
        ] {
            let error = parse(json).unwrap_err().to_string();
            assert!(error.contains(expected), "{json}: {error}");
        }
    }

    /// transformers 5 writes `rope_parameters` and `dtype`: parrot_config_rope_parameters.json, and with a list of ids
    /// parrot_config_eos_list.json.
    #[test]
    fn what_transformers_5_writes_is_read_and_written_once() {
        let json = r#"{"rope_parameters": {"rope_theta": 1000000.0, "rope_type": "default"}, "dtype": "bfloat16",
            "eos_token_id": [4095, 4093], "torch_dtype": "float16", "transformers_version": "5.2.0"}"#;
        let config = parse(json).unwrap();
        assert_eq!((config.decoder.rope_theta, config.torch_dtype.as_deref()), (1e6, Some("bfloat16")));
        assert_eq!(config.eos_token_id, Some(TokenIds::Several(vec![4095, 4093])));
        let written = serde_json::to_value(&config).unwrap();
        for key in ["rope_parameters", "dtype", "rope_scaling"] {
            assert!(written.get(key).is_none(), "{key}");
        }
        assert_eq!(config.unknown_keys().count(), 0);
    }

    #[test]
    fn keys_that_could_matter_are_told_from_those_that_cannot() {
        let json = r#"{"architectures": ["ParrotQwen2ForCausalLM"], "attention_dropout": 0.0, "use_new_thing": false,
            "mm_use_im_start_end": true, "scale_everything": 3, "pad_token_id": 0}"#;
        let config = parse(json).unwrap();
        assert_eq!(config.unknown_keys().collect::<Vec<_>>(), ["mm_use_im_start_end", "scale_everything"]);
    }

    /// The keys that are written, in the order in which they have always been written.
    #[test]
    fn a_qwen2_parrot_is_written_as_ever() {
        let written = serde_json::to_value(ParrotConfig::parrot_7b()).unwrap();
        let keys: Vec<&str> = written.as_object().unwrap().keys().map(String::as_str).collect();
        let expected = "model_type vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads \
            num_key_value_heads hidden_act max_position_embeddings initializer_range rms_norm_eps rope_theta \
            tie_word_embeddings use_sliding_window sliding_window mm_vision_tower mm_hidden_size \
            mm_vision_select_layer mm_vision_select_feature mm_projector_type image_aspect_ratio \
            tokenizer_model_max_length tokenizer_padding_side use_moe moe_hidden_size moe_intermediate_size \
            num_experts moe_top_k moe_weight use_moe_residual bos_token_id eos_token_id torch_dtype";
        assert_eq!(keys.join(" "), expected);
    }

    #[test]
    fn a_parrot_may_have_any_familys_decoder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        for family in DecoderFamily::ALL {
            let decoder = DecoderConfig { hidden_size: 2048, ..DecoderConfig::of_family(family) };
            let mut config = ParrotConfig::parrot_7b().with_decoder(decoder);
            config.decoder.rope_scaling = Some(RopeScaling::Llama3 {
                factor: 8.0,
                low_freq_factor: 1.0,
                high_freq_factor: 4.0,
                original_max_position_embeddings: 8192,
            });
            config.eos_token_id = Some(TokenIds::Several(vec![1, 2]));
            config.validate().unwrap();
            config.save(&path).unwrap();
            assert_eq!(ParrotConfig::from_file(&path).unwrap(), config);
        }
        let config = ParrotConfig { model_type: "parrot_llama".into(), ..ParrotConfig::parrot_mini() };
        let error = config.validate().unwrap_err().to_string();
        assert!(error.contains("`model_type` should be parrot_qwen2, found parrot_llama"), "{error}");
    }
}
