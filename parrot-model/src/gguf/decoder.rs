//! A decoder's metadata → the keys of `config.json`, and its tensors → Hugging Face's names.

use std::collections::BTreeMap;
use std::f64::consts::TAU;

use serde_json::{Value as Json, json};

use super::{GgmlType, Header, Place, Value};
use crate::config::{DecoderFamily, Keys};

/// What llama.cpp calls the families that are read; it keeps Mistral's decoders under the name of Llama's.
const FAMILIES: [DecoderFamily; 3] = [DecoderFamily::Qwen2, DecoderFamily::Qwen3, DecoderFamily::Llama];

const EMBED_TOKENS: &str = "token_embd.weight";
const LM_HEAD: &str = "output.weight";
/// The tensor that the rotary frequencies are divided by.
const ROPE_FACTORS: &str = "rope_freqs.weight";

/// Keys that change what is computed, behind the architecture's name, and the values at which they change nothing: that of a
/// scale may be 0 to say that there is none.
const WITHOUT_EFFECT: [(&str, &[Value<'static>]); 10] = [
    ("attention.causal", &[Value::Bool(true)]),
    ("logit_scale", NO_SCALE),
    ("embedding_scale", NO_SCALE),
    ("residual_scale", NO_SCALE),
    ("attn_logit_softcapping", &[Value::Float(0.0)]),
    ("final_logit_softcapping", &[Value::Float(0.0)]),
    ("attention.clamp_kqv", &[Value::Float(0.0)]),
    ("attention.max_alibi_bias", &[Value::Float(0.0)]),
    ("attention.scale", &[Value::Float(0.0)]),
    // llama.cpp's number for none.
    ("pooling_type", &[Value::Integer(0)]),
];
const NO_SCALE: &[Value<'static>] = &[Value::Float(1.0), Value::Float(0.0)];

/// A tensor of a decoder.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct GgufTensor {
    /// What the file calls it.
    pub(crate) name: String,
    pub(crate) place: Place,
    /// Heads whose rows lie in another order than in Hugging Face's layout: those that a rotation pairs are side by side,
    /// not half a head apart.
    pub(crate) paired_heads: Option<usize>,
}

impl Header<'_> {
    /// What a `config.json` would say.
    ///
    /// # Errors
    ///
    /// In words: another architecture, a key that is missing or no number, experts, positions that are scaled in a way that is
    /// not known.
    pub(crate) fn decoder_keys(&self) -> Result<Keys, String> {
        let family = self.family()?;
        self.refuse_other_networks(family)?;
        let experts = self.integer(family, "expert_count")?.unwrap_or(0);
        if experts != 0 {
            return Err(format!("has {experts} experts; decoders without are supported"));
        }
        let need = |key| {
            let found = self.integer(family, key)?;
            found.ok_or_else(|| format!("lacks `{}.{key}`", family.model_type()))
        };
        let (hidden, heads) = (need("embedding_length")?, need("attention.head_count")?);
        let vocab = self.tensors.get(EMBED_TOKENS).and_then(|table| table.shape.first());
        let vocab = vocab.ok_or_else(|| format!("lacks `{EMBED_TOKENS}`"))?;
        let theta = self.float(family, "rope.freq_base")?.unwrap_or(10_000.0);
        let eps = self.float(family, "attention.layer_norm_rms_epsilon")?;
        let eps = eps.ok_or_else(|| "lacks its norms' epsilon".to_string())?;
        let head_dim = self.integer(family, "attention.key_length")?;
        for key in ["attention.value_length", "rope.dimension_count"] {
            let found = self.integer(family, key)?;
            let expected = head_dim.or_else(|| hidden.checked_div(heads));
            if found.is_some() && found != expected {
                let (found, expected) = (found.unwrap_or_default(), expected.unwrap_or_default());
                return Err(format!("should have {key} = {expected}, a head's width, found {found}"));
            }
        }
        let context = need("context_length")?;
        if let Some(window) =
            self.integer(family, "attention.sliding_window")?.filter(|at| (1..context).contains(at))
        {
            return Err(format!("attends to a window of {window} positions, which is not read from a GGUF"));
        }
        let has = |name: &str| self.tensors.contains_key(name);
        let mut keys = json!({
            "model_type": family.model_type(),
            "vocab_size": vocab,
            "hidden_size": hidden,
            "intermediate_size": need("feed_forward_length")?,
            "num_hidden_layers": need("block_count")?,
            "num_attention_heads": heads,
            "num_key_value_heads": self.integer(family, "attention.head_count_kv")?.unwrap_or(heads),
            "max_position_embeddings": context,
            "rms_norm_eps": eps,
            "rope_theta": theta,
            "tie_word_embeddings": !has(LM_HEAD),
        });
        // Qwen 2 has them without being asked.
        if family != DecoderFamily::Qwen2 {
            keys["attention_bias"] = has("blk.0.attn_q.bias").into();
        }
        if let Some(head_dim) = head_dim {
            keys["head_dim"] = head_dim.into();
        }
        if let Some(scaling) = self.rope_scaling(family, theta)? {
            keys["rope_scaling"] = scaling;
        }
        if let Some(bos) = self.token_id("bos") {
            keys["bos_token_id"] = bos.into();
        }
        let ends = ["eos", "eot"].iter().filter_map(|name| self.token_id(name));
        let mut ends: Vec<u32> = ends.collect();
        ends.dedup();
        if !ends.is_empty() {
            keys["eos_token_id"] = ends.into();
        }
        match keys {
            Json::Object(keys) => Ok(keys),
            _ => unreachable!("an object was made"),
        }
    }

    /// The decoder's tensors by Hugging Face's names; those that have none keep their own.
    ///
    /// # Errors
    ///
    /// In words, another architecture, or heads that cannot be told apart.
    pub(crate) fn decoder_tensors(&self) -> Result<BTreeMap<String, GgufTensor>, String> {
        let family = self.family()?;
        let heads = |part: &str| -> Result<Option<usize>, String> {
            let is_rotated = matches!(part, "attn_q" | "attn_k");
            if !is_rotated || family != DecoderFamily::Llama {
                return Ok(None);
            }
            let all = self.integer(family, "attention.head_count")?;
            let pairs = self.integer(family, "attention.head_count_kv")?.filter(|_| part == "attn_k");
            Ok(pairs.or(all).and_then(|heads| usize::try_from(heads).ok()))
        };
        let mut tensors = BTreeMap::new();
        for (name, place) in self.tensors.iter().filter(|(name, _)| **name != ROPE_FACTORS) {
            let part = name.split('.').nth(2).unwrap_or_default();
            let paired_heads = heads(part)?;
            let rows = place.shape[0];
            if paired_heads.is_some_and(|heads| heads == 0 || !rows.is_multiple_of(2 * heads)) {
                return Err(format!("`{name}` has {rows} rows, no even multiple of its heads"));
            }
            let tensor = GgufTensor { name: (*name).into(), place: place.clone(), paired_heads };
            if let Some(other) = tensors.insert(hugging_face_name(name), tensor) {
                return Err(format!("has one tensor as `{}` and as `{name}`", other.name));
            }
        }
        Ok(tensors)
    }

    /// Keys of other networks, which would load and answer by wrong numbers: those that say that there are none may stand.
    fn refuse_other_networks(&self, family: DecoderFamily) -> Result<(), String> {
        let kind = self.text("general.type").unwrap_or("model");
        if kind != "model" {
            return Err(format!("is of the type `{kind}`, as its general.type says; a model is needed"));
        }
        for (key, expected) in WITHOUT_EFFECT {
            let key = format!("{}.{key}", family.model_type());
            if let Some(found) = self.get(&key).filter(|found| !expected.contains(found)) {
                let expected = &expected[0];
                return Err(format!("has `{key}` = {found}; no other than {expected} is supported"));
            }
        }
        Ok(())
    }

    fn family(&self) -> Result<DecoderFamily, String> {
        let architecture =
            self.text("general.architecture").ok_or("does not say its general.architecture")?;
        let family = FAMILIES.into_iter().find(|family| family.model_type() == architecture);
        family.ok_or_else(|| {
            format!(
                "is of the architecture `{architecture}`; {} are supported",
                FAMILIES.map(DecoderFamily::model_type).join(", ")
            )
        })
    }

    /// The id of a special token.
    pub(super) fn token_id(&self, name: &str) -> Option<u32> {
        match self.get(&format!("tokenizer.ggml.{name}_token_id")) {
            Some(Value::Integer(id)) => u32::try_from(*id).ok(),
            _ => None,
        }
    }

    fn integer(&self, family: DecoderFamily, key: &str) -> Result<Option<i64>, String> {
        let key = format!("{}.{key}", family.model_type());
        match self.get(&key) {
            None => Ok(None),
            Some(Value::Integer(value)) => Ok(Some(*value)),
            Some(other) => Err(format!("should have a number as `{key}`, found {other}")),
        }
    }

    fn float(&self, family: DecoderFamily, key: &str) -> Result<Option<f64>, String> {
        let key = format!("{}.{key}", family.model_type());
        match self.get(&key) {
            None => Ok(None),
            Some(Value::Float(value)) if !value.is_finite() => {
                Err(format!("should have a finite number as `{key}`, found {value}"))
            }
            // As it was written before it was rounded to f32: 1e-6 and not 9.99999997e-7.
            Some(Value::Float(value)) => Ok(Some((*value as f32).to_string().parse().unwrap_or(*value))),
            Some(other) => Err(format!("should have a number as `{key}`, found {other}")),
        }
    }

    /// `rope_scaling`; `None` where frequencies are those of the base.
    ///
    /// Of Llama 3.1's scaling a file holds only what the frequencies are divided by, not the four numbers behind that. Except
    /// for the factor, these were the same in every released model, and the file's values are compared with what they give.
    fn rope_scaling(&self, family: DecoderFamily, theta: f64) -> Result<Option<Json>, String> {
        const LOW: f64 = 1.0;
        const HIGH: f64 = 4.0;
        const CONTEXT: f64 = 8192.0;
        let unsupported =
            |kind: &str| Err(format!("scales its positions in the way `{kind}`, which is not supported"));
        match self.text(&format!("{}.rope.scaling.type", family.model_type())) {
            Some("none") => {}
            Some(kind) => return unsupported(kind),
            // Without a type, a factor scales linearly; the second key is that of older files.
            None => {
                for key in ["rope.scaling.factor", "rope.scale_linear"] {
                    if self.float(family, key)?.is_some_and(|factor| ![0.0, 1.0].contains(&factor)) {
                        return unsupported("linear");
                    }
                }
            }
        }
        let Some(place) = self.tensors.get(ROPE_FACTORS) else { return Ok(None) };
        if place.ggml_type != GgmlType::F32 {
            return Err(format!("should have `{ROPE_FACTORS}` in f32"));
        }
        let factors =
            self.file[place.range.clone()].as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
        let factors: Vec<f64> = factors.map(f64::from).collect();
        let factor = factors.iter().copied().fold(1.0, f64::max);
        let expected = |at: usize| {
            let wavelength = TAU * theta.powf(at as f64 / factors.len() as f64);
            let smooth = ((CONTEXT / wavelength - LOW) / (HIGH - LOW)).clamp(0.0, 1.0);
            1.0 / ((1.0 - smooth) / factor + smooth)
        };
        let is_llama3 =
            factors.iter().enumerate().all(|(at, found)| (found / expected(at) - 1.0).abs() < 1e-3);
        if !is_llama3 {
            return Err(format!("scales its positions by `{ROPE_FACTORS}`, and otherwise than Llama 3.1"));
        }
        Ok((factor > 1.0).then(|| {
            json!({
                "rope_type": "llama3",
                "factor": factor,
                "low_freq_factor": LOW,
                "high_freq_factor": HIGH,
                "original_max_position_embeddings": CONTEXT as usize,
            })
        }))
    }
}

/// Names of single tensors, and Hugging Face's.
const TENSORS: [(&str, &str); 3] = [
    (EMBED_TOKENS, "model.embed_tokens.weight"),
    ("output_norm.weight", "model.norm.weight"),
    (LM_HEAD, "lm_head.weight"),
];

/// Names of a layer's parts, and Hugging Face's.
const PARTS: [(&str, &str); 11] = [
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

/// Keys of a `config.json`, and what stands behind the architecture's name in a GGUF.
const KEYS: [(&str, &str); 9] = [
    ("hidden_size", "embedding_length"),
    ("intermediate_size", "feed_forward_length"),
    ("num_hidden_layers", "block_count"),
    ("num_attention_heads", "attention.head_count"),
    ("num_key_value_heads", "attention.head_count_kv"),
    ("head_dim", "attention.key_length"),
    ("max_position_embeddings", "context_length"),
    ("rms_norm_eps", "attention.layer_norm_rms_epsilon"),
    ("rope_theta", "rope.freq_base"),
];

fn hugging_face_name(name: &str) -> String {
    if let Some((_, renamed)) = TENSORS.into_iter().find(|(own, _)| *own == name) {
        return renamed.into();
    }
    let parts: Vec<&str> = name.split('.').collect();
    let ["blk", layer, part, leaf] = parts[..] else { return name.into() };
    let part = PARTS.into_iter().find(|(own, _)| *own == part);
    part.map_or_else(|| name.into(), |(_, part)| format!("model.layers.{layer}.{part}.{leaf}"))
}

/// What a GGUF calls a tensor of this name in Hugging Face's layout, if it has a name for it.
pub(crate) fn own_name(name: &str) -> Option<String> {
    if let Some((own, _)) = TENSORS.into_iter().find(|(_, renamed)| *renamed == name) {
        return Some(own.into());
    }
    let (layer, rest) = name.strip_prefix("model.layers.")?.split_once('.')?;
    let (part, leaf) = rest.rsplit_once('.')?;
    let (own, _) = PARTS.into_iter().find(|(_, renamed)| *renamed == part)?;
    Some(format!("blk.{layer}.{own}.{leaf}"))
}

/// What a GGUF of this family calls a key of `config.json`; those that it has not are called as they are.
pub(crate) fn own_key(family: DecoderFamily, key: &str) -> String {
    let own = KEYS.into_iter().find(|(of_config, _)| *of_config == key);
    own.map_or_else(|| key.into(), |(_, own)| format!("{}.{own}", family.model_type()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back() {
        for name in
            [EMBED_TOKENS, LM_HEAD, "output_norm.weight", "blk.0.attn_q.weight", "blk.12.attn_norm.weight"]
        {
            assert_eq!(own_name(&hugging_face_name(name)).as_deref(), Some(name));
        }
        assert_eq!(hugging_face_name("blk.0.ssm_a.weight"), "blk.0.ssm_a.weight");
        assert_eq!(own_name("model.mm_projector.0.weight"), None);
    }
}
