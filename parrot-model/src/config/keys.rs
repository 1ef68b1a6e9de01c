//! The keys of a JSON file → a configuration, with errors that name the key.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::files::Files;
use crate::untrusted::plain_reason;
use crate::{Error, Result};

/// The keys of a JSON object.
pub type Keys = Map<String, Value>;

/// The keys of a JSON file.
///
/// # Errors
///
/// [`Error::Io`] and [`Error::Json`].
pub(crate) fn read_keys(file: &Files) -> Result<Keys> {
    file.read_json()
}

/// What some of a file's keys say, for files that need none of the others.
///
/// # Errors
///
/// [`Error::Config`] naming the key that cannot be used, which serde's own error does not.
pub(crate) fn from_fields<T: DeserializeOwned>(keys: Keys) -> Result<T> {
    let read = |keys: Keys| serde_json::from_value::<T>(Value::Object(keys));
    read(keys.clone()).map_err(|error| {
        let alone = |(key, value): (&String, &Value)| {
            let error = read(Keys::from_iter([(key.clone(), value.clone())])).err()?.to_string();
            (!error.starts_with("missing field")).then(|| Error::config(key, expected_by(&error), value))
        };
        let missing = || {
            let error = error.to_string();
            let key = error.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'));
            Error::config(
                key.unwrap_or("config"),
                "given",
                if key.is_some() { "no such key" } else { &error },
            )
        };
        keys.iter().find_map(alone).unwrap_or_else(missing)
    })
}

/// What a type error of serde's expected.
fn expected_by(error: &str) -> String {
    match plain_reason(error).split_once("expected ") {
        Some((_, expected)) => expected.to_string(),
        None => format!("something else ({error})"),
    }
}

/// A configuration from a file's keys; missing ones are taken from `defaults`.
///
/// # Errors
///
/// [`Error::Config`] naming the key that cannot be used.
pub(super) fn over_defaults<T: Serialize + DeserializeOwned>(defaults: &T, mut keys: Keys) -> Result<T> {
    settle_rope(&mut keys)?;
    refuse_other_networks(&keys)?;
    let invalid = |error: serde_json::Error| Error::config("config.json", "a configuration", error);
    let defaults = match serde_json::to_value(defaults).map_err(invalid)? {
        Value::Object(defaults) => defaults,
        other => return Err(Error::config("config.json", "an object", other)),
    };
    let read = |keys: Keys| {
        let mut all = defaults.clone();
        all.extend(keys);
        serde_json::from_value(Value::Object(all))
    };
    read(keys.clone()).map_err(|error| {
        // serde does not say which key it was: the one that cannot be read by itself.
        let alone = |(key, value): (&String, &Value)| {
            let error = read(Keys::from_iter([(key.clone(), value.clone())])).err()?.to_string();
            Some(Error::config(key, expected_by(&error), value))
        };
        keys.iter().find_map(alone).unwrap_or_else(|| invalid(error))
    })
}

/// Keys of other families' networks, each with the value at which it changes nothing: at another, the weights would load and
/// the numbers be wrong.
fn refuse_other_networks(keys: &Keys) -> Result<()> {
    let one = [
        "partial_rotary_factor",
        "logit_scale",
        "logits_scaling",
        "embedding_multiplier",
        "residual_multiplier",
    ];
    let none = [
        "attn_logit_softcapping",
        "final_logit_softcapping",
        "clip_qkv",
        "no_rope_layers",
        "query_pre_attn_scalar",
    ];
    for (key, found) in keys.iter().filter(|(_, value)| !value.is_null()) {
        if key == "mlp_bias" && *found != Value::Bool(false) {
            return Err(Error::config(key, "false (a biased SwiGLU is not supported)", found));
        }
        if one.contains(&key.as_str()) && found.as_f64() != Some(1.0) {
            return Err(Error::config(key, "1 (no other is supported)", found));
        }
        if none.contains(&key.as_str()) {
            return Err(Error::config(key, "null (it is not supported)", found));
        }
    }
    Ok(())
}

/// A text of the file in an error: in quotes, as a space too many does not show otherwise.
pub(crate) fn quoted(text: &str) -> String {
    format!("{text:?}")
}

/// What the file calls the keys that [`over_defaults`] and [`ParrotConfig`](super::ParrotConfig) put in the place of those that
/// transformers writes since version 5.
pub(super) fn as_written(keys: &Keys) -> impl FnOnce(Error) -> Error + use<> {
    let has = |key: &str| keys.get(key).is_some_and(|value| !value.is_null());
    let is_dtype = has("dtype");
    // Beside each other the two are told apart, or are the same.
    let is_parameters = has("rope_parameters") && !has("rope_scaling");
    let has_theta =
        keys.get("rope_parameters").is_some_and(|parameters| parameters.get("rope_theta").is_some());
    move |error| {
        error.under(|key| match key.strip_prefix("rope_scaling") {
            Some(rest) if is_parameters => format!("rope_parameters{rest}"),
            None if key == "rope_theta" && has_theta => "rope_parameters.rope_theta".into(),
            None if key == "torch_dtype" && is_dtype => "dtype".into(),
            _ => key.into(),
        })
    }
}

/// Rotary positions as `rope_theta` and `rope_scaling` say them, which every version of transformers reads: version 5
/// writes both as `rope_parameters`, and old ones call the `rope_type` of a scaling its `type`.
fn settle_rope(keys: &mut Keys) -> Result<()> {
    if let Some(mut parameters) = keys.remove("rope_parameters").filter(|parameters| !parameters.is_null()) {
        let Some(fields) = parameters.as_object_mut() else {
            return Err(Error::config("rope_parameters", "an object", parameters));
        };
        if let Some(theta) = fields.remove("rope_theta") {
            keys.insert("rope_theta".into(), theta);
        }
        // Which of two counts depends on who reads them.
        let other = keys.insert("rope_scaling".into(), parameters).filter(|other| !other.is_null());
        if let Some(other) = other.filter(|other| Some(other) != keys.get("rope_scaling")) {
            return Err(Error::config("rope_scaling", "null beside `rope_parameters`, or the same", other));
        }
    }
    let Some(scaling) = keys.get_mut("rope_scaling").filter(|scaling| !scaling.is_null()) else {
        return Ok(());
    };
    let Some(fields) = scaling.as_object_mut() else {
        return Err(Error::config("rope_scaling", "an object, or null", scaling));
    };
    if let Some(name) = fields.remove("type") {
        fields.entry("rope_type").or_insert(name);
    }
    if fields.get("partial_rotary_factor").is_some_and(|factor| factor.as_f64() == Some(1.0)) {
        fields.remove("partial_rotary_factor");
    }
    let rope_type = match fields.get("rope_type") {
        None | Some(Value::Null) => "default",
        Some(Value::String(rope_type)) => rope_type,
        Some(other) => return Err(Error::config("rope_scaling.rope_type", "a text", other)),
    };
    let known: &[&str] = match rope_type {
        "llama3" => &[
            "rope_type",
            "factor",
            "low_freq_factor",
            "high_freq_factor",
            "original_max_position_embeddings",
        ],
        _ => &["rope_type", "original_max_position_embeddings"],
    };
    // One set of parameters per kind of layer, say, or a base in an unexpected place.
    let unknown = fields.keys().find(|key| !known.contains(&key.as_str()));
    if let Some(key) = unknown.filter(|_| matches!(rope_type, "default" | "llama3")) {
        let expected = format!("without `{key}`, which is not supported");
        return Err(Error::config("rope_scaling", expected, &*scaling));
    }
    match rope_type {
        "default" => *scaling = Value::Null,
        "llama3" => {
            for key in known.iter().filter(|key| **key != "rope_type") {
                let (key, found) = (format!("rope_scaling.{key}"), fields.get(*key));
                let found = found.ok_or_else(|| Error::config(&key, "given", "no such key"))?;
                if !found.is_number() {
                    return Err(Error::config(&key, "a number", found));
                }
            }
        }
        other => {
            let expected = "null, or of the rope_type default or llama3 (others are not supported)";
            return Err(Error::config("rope_scaling", expected, quoted(other)));
        }
    }
    Ok(())
}
