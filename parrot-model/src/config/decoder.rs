//! The decoder's keys of `config.json`, and the families of decoders that they describe.
//!
//! All families are one network: a pre-norm decoder with RMS norms, rotary positions, grouped queries and a SwiGLU. They
//! differ in a bias, a norm, a window, and in what a missing key means:
//!
//! | family | `model_type` | biases of queries, keys, values | norm of queries and keys | sliding window |
//! |---|---|---|---|---|
//! | Qwen 1.5, 2, 2.5 | `qwen2` | yes | no | in the layers from `max_window_layers` on, if `use_sliding_window` |
//! | Qwen 3 | `qwen3` | if `attention_bias` | yes | as Qwen 2 |
//! | Llama 2, 3, SmolLM2 | `llama` | if `attention_bias` | no | no |
//! | Mistral | `mistral` | no | no | in all layers, if `sliding_window` is not null |

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::keys::{Keys, as_written, over_defaults, quoted};
use super::{extra, limits};
use crate::{Error, Result};

/// Whose decoder it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecoderFamily {
    /// Qwen 1.5, Qwen 2 and Qwen 2.5.
    #[default]
    Qwen2,
    /// Qwen 3, dense.
    Qwen3,
    /// Llama 2, Llama 3, SmolLM2 and whatever else is stored as one.
    Llama,
    /// Mistral.
    Mistral,
}

impl DecoderFamily {
    /// Every family.
    pub const ALL: [Self; 4] = [Self::Qwen2, Self::Qwen3, Self::Llama, Self::Mistral];

    /// The `model_type` of a decoder alone.
    #[must_use]
    pub fn model_type(self) -> &'static str {
        match self {
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Llama => "llama",
            Self::Mistral => "mistral",
        }
    }

    /// The family of this `model_type`; `None` for any other.
    #[must_use]
    pub(crate) fn from_model_type(model_type: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.model_type() == model_type)
    }

    /// Every `model_type`, for an error: `qwen2, qwen3, …`, each with `prefix` before it.
    pub(super) fn list(prefix: &str) -> String {
        Self::ALL.map(|family| format!("{prefix}{}", family.model_type())).join(", ")
    }
}

/// The shape of a decoder.
///
/// Serialised, these are keys of `config.json`, flat beside others; `model_type` is written by whoever writes the
/// file. [`Default`] has the values that Qwen2's missing keys mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DecoderConfig {
    /// Whose decoder it is: the file's `model_type`.
    #[serde(skip)]
    pub family: DecoderFamily,
    /// Number of rows of the embedding table, special tokens included.
    pub vocab_size: usize,
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Width of the SwiGLU.
    pub intermediate_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key/value heads; `None` and a missing key mean as many as query heads. (`Qwen2Config` also reads `null` so,
    /// but takes a missing key for 32, which only suits models with a multiple of 32 query heads.)
    pub num_key_value_heads: Option<usize>,
    /// Width of one head, where it is not `hidden_size / num_attention_heads`: [`head_dim()`](Self::head_dim).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_dim: Option<usize>,
    /// Must be `silu`.
    pub hidden_act: String,
    /// Longest context, in tokens.
    pub max_position_embeddings: usize,
    /// Standard deviation of freshly initialised weights.
    pub initializer_range: f64,
    /// ε of the RMS norms.
    pub rms_norm_eps: f64,
    /// Base of the rotary position embedding.
    pub rope_theta: f64,
    /// How the rotary frequencies are changed for long contexts; `None`: not at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rope_scaling: Option<RopeScaling>,
    /// Whether `lm_head` is the embedding table.
    pub tie_word_embeddings: bool,
    /// Whether the attention's projections have biases, in the families that leave it open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attention_bias: Option<bool>,
    /// Whether some layers see a window only; always on in Mistral.
    pub use_sliding_window: bool,
    /// Positions that such a layer's query sees, itself included.
    pub sliding_window: Option<usize>,
    /// The first layer that sees a window only; `None`: Qwen's 28, Mistral's 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_window_layers: Option<usize>,
    /// What each layer sees, if the file lists it; takes precedence over `max_window_layers`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer_types: Option<Vec<LayerType>>,
}

/// What the queries of a layer see (`layer_types`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LayerType {
    /// Everything before them.
    FullAttention,
    /// The last `sliding_window` positions.
    SlidingAttention,
}

/// How rotary frequencies are changed for contexts longer than those of pretraining (`rope_scaling`).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rope_type", rename_all = "lowercase")]
#[non_exhaustive]
pub enum RopeScaling {
    /// Llama 3.1: low frequencies are divided by `factor`, high ones stay, those between are mixed.
    Llama3 {
        /// By how much low frequencies are slowed down.
        factor: f64,
        /// Frequencies that turn less often than this in the original context are low.
        low_freq_factor: f64,
        /// Frequencies that turn more often than this in the original context are high.
        high_freq_factor: f64,
        /// The context of pretraining.
        original_max_position_embeddings: usize,
    },
}

impl RopeScaling {
    /// Refuses constants by which it would divide by zero or mix the wrong way round.
    fn check(self) -> Result<()> {
        let Self::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings } =
            self;
        let refuse = |key: &str, expected: &str, found: &dyn fmt::Display| {
            Err(Error::config(&format!("rope_scaling.{key}"), expected, found))
        };
        if original_max_position_embeddings == 0 {
            return refuse("original_max_position_embeddings", "at least 1", &0);
        }
        if factor < 1.0 {
            return refuse("factor", "at least 1", &factor);
        }
        if low_freq_factor <= 0.0 {
            return refuse("low_freq_factor", "above 0", &low_freq_factor);
        }
        if high_freq_factor <= low_freq_factor {
            let expected = format!("above low_freq_factor = {low_freq_factor}");
            return refuse("high_freq_factor", &expected, &high_freq_factor);
        }
        Ok(())
    }
}

/// The end of a text: one id or several (`eos_token_id`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a token id (a whole number, 0 or more) or a list of them")]
pub enum TokenIds {
    /// One.
    One(u32),
    /// Several, each of which ends a text.
    Several(Vec<u32>),
}

impl TokenIds {
    /// All of them.
    #[must_use]
    pub fn as_slice(&self) -> &[u32] {
        match self {
            Self::One(id) => std::slice::from_ref(id),
            Self::Several(ids) => ids,
        }
    }
}

impl Default for DecoderConfig {
    fn default() -> Self {
        Self {
            family: DecoderFamily::Qwen2,
            vocab_size: 151_936,
            hidden_size: 4096,
            intermediate_size: 22_016,
            num_hidden_layers: 32,
            num_attention_heads: 32,
            num_key_value_heads: None,
            head_dim: None,
            hidden_act: "silu".into(),
            max_position_embeddings: 32_768,
            initializer_range: 0.02,
            rms_norm_eps: 1e-6,
            rope_theta: 10_000.0,
            rope_scaling: None,
            tie_word_embeddings: false,
            attention_bias: None,
            use_sliding_window: false,
            sliding_window: Some(4096),
            max_window_layers: None,
            layer_types: None,
        }
    }
}

impl DecoderConfig {
    /// What missing keys mean in a family, as transformers has it (4.39, and 4.51 for Qwen 3).
    #[must_use]
    pub(crate) fn of_family(family: DecoderFamily) -> Self {
        let qwen = Self { family, ..Self::default() };
        let mistral_and_llama = Self { vocab_size: 32_000, ..qwen.clone() };
        match family {
            DecoderFamily::Qwen2 => qwen,
            DecoderFamily::Qwen3 => Self { head_dim: Some(128), ..qwen },
            DecoderFamily::Llama => Self {
                intermediate_size: 11_008,
                max_position_embeddings: 2048,
                sliding_window: None,
                ..mistral_and_llama
            },
            DecoderFamily::Mistral => Self {
                intermediate_size: 14_336,
                num_key_value_heads: Some(8),
                max_position_embeddings: 131_072,
                use_sliding_window: true,
                ..mistral_and_llama
            },
        }
    }

    /// Reads the keys of a decoder's own `config.json`; those that do not shape it are ignored.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] naming the key that cannot be used, `model_type` among them.
    pub fn from_keys(keys: Keys) -> Result<Self> {
        let model_type = keys.get("model_type").and_then(Value::as_str);
        let Some(family) = model_type.and_then(DecoderFamily::from_model_type) else {
            let expected = format!("one of {}", DecoderFamily::list(""));
            let found = keys.get("model_type").map_or("no such key".into(), Value::to_string);
            return Err(Error::config("model_type", expected, found));
        };
        let as_written = as_written(&keys);
        let read = || {
            let config = Self { family, ..over_defaults(&Self::of_family(family), keys)? };
            config.validate()?;
            Ok(config)
        };
        read().map_err(as_written)
    }

    /// The keys of a decoder's own `config.json` that this crate neither uses nor knows to be without effect on the numbers.
    #[must_use]
    pub(crate) fn unknown_keys(keys: &Keys) -> Vec<String> {
        // What is not written where it is not set, the ids of control tokens, and spellings that become other keys.
        const READ: [&str; 12] = [
            "attention_bias",
            "head_dim",
            "layer_types",
            "max_window_layers",
            "rope_scaling",
            "bos_token_id",
            "dtype",
            "eos_token_id",
            "mlp_bias",
            "model_type",
            "rope_parameters",
            "torch_dtype",
        ];
        let own = serde_json::to_value(Self::default()).unwrap_or_default();
        let is_read = |key: &str| own.get(key).is_some() || READ.contains(&key);
        let unknown = keys.iter().filter(|(key, value)| !is_read(key) && extra::could_matter(key, value));
        unknown.map(|(key, _)| key.clone()).collect()
    }

    /// Checks that a decoder of this shape can exist.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] with the key, what it should be and what was found.
    pub fn validate(&self) -> Result<()> {
        if self.hidden_act != "silu" {
            return Err(Error::config("hidden_act", "silu", quoted(&self.hidden_act)));
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
        match self.head_dim {
            Some(head_dim) => {
                limits::check("head_dim", head_dim, limits::WIDTH)?;
                if !head_dim.is_multiple_of(2) {
                    return Err(Error::config("head_dim", "an even number", head_dim));
                }
            }
            None if !self.hidden_size.is_multiple_of(2 * self.num_attention_heads) => {
                let heads = self.num_attention_heads;
                let expected = format!("an even multiple of num_attention_heads = {heads}");
                return Err(Error::config("hidden_size", expected, self.hidden_size));
            }
            None => {}
        }
        if !self.num_attention_heads.is_multiple_of(self.num_key_value_heads()) {
            let expected = format!("a divisor of num_attention_heads = {}", self.num_attention_heads);
            return Err(Error::config("num_key_value_heads", expected, self.num_key_value_heads()));
        }
        limits::check_positive("rope_theta", self.rope_theta)?;
        limits::check_positive("rms_norm_eps", self.rms_norm_eps)?;
        if !(0.0..=1e3).contains(&self.initializer_range) {
            return Err(Error::config("initializer_range", "0 to 1000", self.initializer_range));
        }
        if let Some(scaling) = self.rope_scaling {
            scaling.check()?;
        }
        if self.sliding_window == Some(0) {
            return Err(Error::config("sliding_window", "at least 1, or null", 0));
        }
        if let Some(types) = self.layer_types.as_ref().filter(|types| types.len() != self.num_hidden_layers) {
            let expected = format!("one for each of {} layers", self.num_hidden_layers);
            return Err(Error::config("layer_types", expected, types.len()));
        }
        Ok(())
    }

    /// Key/value heads, with the default resolved.
    #[must_use]
    pub fn num_key_value_heads(&self) -> usize {
        self.num_key_value_heads.unwrap_or(self.num_attention_heads)
    }

    /// Width of one attention head, with the default resolved.
    #[must_use]
    pub fn head_dim(&self) -> usize {
        self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads)
    }

    /// Whether the projections of queries, keys and values have biases.
    #[must_use]
    pub(crate) fn qkv_bias(&self) -> bool {
        self.family == DecoderFamily::Qwen2 || self.output_bias()
    }

    /// Whether the attention's output projection has one.
    #[must_use]
    pub fn output_bias(&self) -> bool {
        let leaves_it_open = matches!(self.family, DecoderFamily::Qwen3 | DecoderFamily::Llama);
        leaves_it_open && self.attention_bias == Some(true)
    }

    /// Whether each head's queries and keys are normalised before they are rotated.
    #[must_use]
    pub(crate) fn qk_norm(&self) -> bool {
        self.family == DecoderFamily::Qwen3
    }

    /// Positions that a query of this layer sees, itself included; `None`: all before it.
    #[must_use]
    pub fn window(&self, layer: usize) -> Option<usize> {
        let first = match self.family {
            DecoderFamily::Llama => return None,
            DecoderFamily::Mistral => 0,
            DecoderFamily::Qwen2 | DecoderFamily::Qwen3 => 28,
        };
        let slides = match &self.layer_types {
            Some(types) => types.get(layer) == Some(&LayerType::SlidingAttention),
            None => layer >= self.max_window_layers.unwrap_or(first),
        };
        self.sliding_window.filter(|_| self.use_sliding_window && slides)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(keys: Value) -> Result<DecoderConfig> {
        DecoderConfig::from_keys(keys.as_object().unwrap().clone())
    }

    #[test]
    fn a_family_says_what_no_key_says() {
        for (family, qkv_bias, qk_norm, window) in [
            (DecoderFamily::Qwen2, true, false, None),
            (DecoderFamily::Qwen3, false, true, None),
            (DecoderFamily::Llama, false, false, None),
            (DecoderFamily::Mistral, false, false, Some(4096)),
        ] {
            let config = read(json!({ "model_type": family.model_type() })).unwrap();
            assert_eq!(config, DecoderConfig::of_family(family));
            assert_eq!((config.qkv_bias(), config.qk_norm(), config.window(0)), (qkv_bias, qk_norm, window));
            assert!(!config.output_bias());
        }
        let biased = read(json!({ "model_type": "llama", "attention_bias": true })).unwrap();
        assert!(biased.qkv_bias() && biased.output_bias());
    }

    #[test]
    fn windows_are_where_the_keys_put_them() {
        let windows = |keys: Value| {
            let config = read(keys).unwrap();
            (0..config.num_hidden_layers).map(|layer| config.window(layer)).collect::<Vec<_>>()
        };
        let qwen = json!({
            "model_type": "qwen2", "num_hidden_layers": 3, "max_window_layers": 1, "sliding_window": 8,
            "use_sliding_window": true,
        });
        assert_eq!(windows(qwen.clone()), [None, Some(8), Some(8)]);
        let mut listed = qwen.clone();
        listed["layer_types"] = json!(["sliding_attention", "full_attention", "full_attention"]);
        assert_eq!(windows(listed), [Some(8), None, None]);
        let mut off = qwen;
        off["use_sliding_window"] = json!(false);
        assert_eq!(windows(off), [None; 3]);
        let mistral = json!({ "model_type": "mistral", "num_hidden_layers": 2, "sliding_window": null });
        assert_eq!(windows(mistral), [None; 2]);
    }

    #[test]
    fn rotary_positions_are_read_however_they_are_written() {
        let llama3 = json!({
            "rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        });
        let scaling = RopeScaling::Llama3 {
            factor: 32.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: 8192,
        };
        let old = json!({ "model_type": "llama", "rope_theta": 500000.0, "rope_scaling": llama3 });
        let mut parameters = llama3.clone();
        parameters["rope_theta"] = json!(500000.0);
        let new = json!({ "model_type": "llama", "rope_parameters": parameters });
        for keys in [old, new] {
            let config = read(keys).unwrap();
            assert_eq!((config.rope_theta, config.rope_scaling), (500_000.0, Some(scaling)));
        }
        let plain = json!({ "rope_theta": 7.0, "type": "default" });
        let config = read(json!({ "model_type": "qwen2", "rope_parameters": plain })).unwrap();
        assert_eq!((config.rope_theta, config.rope_scaling), (7.0, None));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (keys, expected) in [
            (json!({ "model_type": "gpt2" }), "`model_type` should be one of qwen2, qwen3, llama, mistral"),
            (
                json!({ "model_type": "llama", "hidden_size": -4 }),
                "`hidden_size` should be a whole number, 0 or more, found -4",
            ),
            (json!({ "model_type": "llama", "head_dim": 3 }), "`head_dim` should be an even number, found 3"),
            (json!({ "model_type": "llama", "mlp_bias": true }), "`mlp_bias` should be false"),
            (
                json!({ "model_type": "llama", "partial_rotary_factor": 0.5 }),
                "`partial_rotary_factor` should be 1",
            ),
            (
                json!({ "model_type": "qwen2", "final_logit_softcapping": 30 }),
                "`final_logit_softcapping` should be null",
            ),
            (
                json!({ "model_type": "qwen2", "rope_parameters": { "rope_theta": 1e6, "partial_rotary_factor": 0.5 } }),
                "`rope_parameters` should be without `partial_rotary_factor`",
            ),
            (
                json!({ "model_type": "qwen3", "rope_parameters": { "full_attention": { "rope_theta": 1e6 } } }),
                "`rope_parameters` should be without `full_attention`",
            ),
            (
                json!({ "model_type": "qwen2", "rms_norm_eps": 1e60 }),
                "`rms_norm_eps` should be a number above 0",
            ),
            (
                json!({ "model_type": "qwen2", "initializer_range": -1 }),
                "`initializer_range` should be 0 to 1000",
            ),
            (
                json!({ "model_type": "qwen2", "rope_scaling": { "rope_type": "linear", "factor": 4.0 },
                        "rope_parameters": { "rope_theta": 1e6, "rope_type": "default" } }),
                "`rope_scaling` should be null beside `rope_parameters`, or the same",
            ),
            (
                json!({ "model_type": "qwen2", "rope_scaling": { "type": "yarn", "factor": 4.0 } }),
                "`rope_scaling` should be null, or of the rope_type default or llama3",
            ),
            (
                json!({ "model_type": "llama", "rope_scaling": { "rope_type": "llama3", "factor": 4.0 } }),
                "`rope_scaling.low_freq_factor` should be given, found no such key",
            ),
            (
                json!({ "model_type": "llama", "rope_scaling": {
                    "rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                    "original_max_position_embeddings": 0,
                } }),
                "`rope_scaling.original_max_position_embeddings` should be at least 1, found 0",
            ),
            (
                json!({ "model_type": "qwen2", "rope_parameters": { "rope_type": "yarn" } }),
                "`rope_parameters` should be null, or of the rope_type default or llama3 (others are not supported), found \"yarn\"",
            ),
            (
                json!({ "model_type": "qwen2", "rope_parameters": { "rope_type": 5 } }),
                "`rope_parameters.rope_type` should be a text, found 5",
            ),
            (
                json!({ "model_type": "llama", "rope_parameters": {
                    "rope_type": "llama3", "factor": "x", "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                    "original_max_position_embeddings": 8192,
                } }),
                "`rope_parameters.factor` should be a number, found \"x\"",
            ),
            (
                json!({ "model_type": "llama", "rope_parameters": {
                    "rope_type": "llama3", "factor": 2.0, "low_freq_factor": 4.0, "high_freq_factor": 4.0,
                    "original_max_position_embeddings": 8192,
                } }),
                "`rope_parameters.high_freq_factor` should be above low_freq_factor = 4, found 4",
            ),
            (
                json!({ "model_type": "llama", "rope_parameters": { "rope_theta": 0 } }),
                "`rope_parameters.rope_theta` should be a number above 0",
            ),
            (json!({ "model_type": "llama", "hidden_act": "silu " }), "should be silu, found \"silu \""),
            (json!({}), "`model_type` should be one of qwen2, qwen3, llama, mistral, found no such key"),
            (
                json!({ "model_type": "mistral", "sliding_window": 0 }),
                "`sliding_window` should be at least 1",
            ),
            (
                json!({ "model_type": "qwen3", "layer_types": ["full_attention"] }),
                "`layer_types` should be one for each of 32 layers, found 1",
            ),
        ] {
            let error = read(keys.clone()).unwrap_err().to_string();
            assert!(error.contains(expected), "{keys}: {error}");
        }
    }
}
