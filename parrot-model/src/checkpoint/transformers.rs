//! Adds to a folder what Python's transformers needs to load it: a modelling file beside the weights, and keys of `config.json`
//! that name it.
//!
//! transformers has no `parrot_qwen2` of its own; with `trust_remote_code=True` it runs the file that `auto_map` names.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::Description;
use super::names;
use super::weights::Weights;
use crate::config::{DecoderFamily, ParrotConfig, SelectFeature, VisionConfig};
use crate::image::ImageProcessorConfig;
use crate::layout::{CONFIG_FILE, MODELING_FILE};
use crate::{Error, Result};

/// The modelling file: our own, needing torch, transformers, numpy and Pillow.
const MODELING: &str = include_str!("modeling_parrot.py");

/// Adds to a Parrot's folder what transformers needs to load it with `trust_remote_code=True`: the modelling file, and in
/// `config.json` its classes (`auto_map`), the tower's shape and how images become pixels.
///
/// The weights stay as they are. Whoever opened the folder before can open it afterwards.
///
/// # Errors
///
/// [`Error::Checkpoint`] when the model's files lack the vision tower, which transformers would not look for elsewhere, or are
/// quantised; what [`Description::open`] refuses; [`Error::Io`] when a file cannot be written.
pub fn export_transformers(folder: impl AsRef<Path>) -> Result<()> {
    let folder = folder.as_ref();
    let Description { mut config, vision, image_processor, .. } = Description::open(folder)?;
    let weights = Weights::from_folder(folder)?;
    if !weights.names().any(|name| names::in_tower_folder(name).is_some()) {
        let reason = "its weights are without the vision tower's: save the model first, which adds them";
        return Err(Error::checkpoint(folder, reason));
    }
    if config.extra.contains_key("quantization_config") {
        let reason =
            "its weights are in blocks, which transformers cannot read: export the model that it was made of";
        return Err(Error::checkpoint(folder, reason));
    }
    let described = describe(&mut config, &vision, &image_processor);
    described.map_err(|error| error.in_file(folder.join(CONFIG_FILE)))?;
    write(folder, MODELING_FILE, |path| fs::write(path, MODELING).map_err(Error::io("write", path)))?;
    write(folder, CONFIG_FILE, |path| config.save(path))
}

/// Writes a file beside its place and then moves it there: it is never half written.
fn write(folder: &Path, name: &str, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let (aside, file) = (folder.join(format!(".{name}.partial")), folder.join(name));
    // Of an interrupted call, or a link to somewhere else.
    let _ = fs::remove_file(&aside);
    write(&aside)?;
    fs::rename(&aside, &file).map_err(Error::io("replace", &file))
}

/// Adds the keys that the modelling file reads.
fn describe(
    config: &mut ParrotConfig,
    vision: &VisionConfig,
    image_processor: &ImageProcessorConfig,
) -> Result<()> {
    let family = match config.decoder.family {
        DecoderFamily::Qwen2 => "Qwen2",
        DecoderFamily::Qwen3 => "Qwen3",
        DecoderFamily::Llama => "Llama",
        DecoderFamily::Mistral => "Mistral",
    };
    let class = format!("Parrot{family}ForCausalLM");
    let module = MODELING_FILE.trim_end_matches(".py");
    let class_token = vision.has_class_token();
    let keys = [
        ("architectures", json!([class])),
        (
            "auto_map",
            json!({
                "AutoConfig": format!("{module}.Parrot{family}Config"),
                "AutoModelForCausalLM": format!("{module}.{class}"),
            }),
        ),
        (
            "mm_vision_config",
            json!({
                "hidden_size": vision.hidden_size,
                "intermediate_size": vision.intermediate_size,
                "num_attention_heads": vision.num_attention_heads,
                "stored_layers": vision.stored_layers(),
                "run_layers": vision.selected_layers(config.mm_vision_select_layer)?,
                "image_size": vision.image_size,
                "patch_size": vision.patch_size,
                "hidden_act": vision.hidden_act,
                "layer_norm_eps": vision.layer_norm_eps,
                "class_token": class_token,
                "drop_class_token": class_token && config.mm_vision_select_feature == SelectFeature::Patch,
            }),
        ),
        ("mm_image_processor", json!(image_processor)),
    ];
    config.extra.extend(keys.map(|(key, value)| (key.to_string(), value)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Tiny, contents, edit};
    use super::super::{Checkpoint, SaveOptions};
    use super::*;

    #[test]
    fn an_exported_folder_is_the_same_model_with_a_modelling_file() {
        for (tiny, class_token) in [(Tiny::clip(), true), (Tiny::siglip(), false)] {
            let parent = tempfile::tempdir().unwrap();
            let folder = parent.path().join("model");
            tiny.save(&folder);
            let (before, weights) = (Description::open(&folder).unwrap(), contents(&folder));
            export_transformers(&folder).unwrap();
            export_transformers(&folder).unwrap();
            let after = Description::open(&folder).unwrap();
            assert_eq!((&after.vision, &after.image_processor), (&before.vision, &before.image_processor));
            assert_eq!(after.config.unknown_keys().count(), 0);
            let extra = &after.config.extra;
            assert_eq!(extra["auto_map"]["AutoModelForCausalLM"], "modeling_parrot.ParrotQwen2ForCausalLM");
            assert_eq!(extra["mm_vision_config"]["class_token"], class_token);
            assert_eq!(extra["mm_image_processor"], json!(after.image_processor));
            assert_eq!(ParrotConfig { extra: serde_json::Map::new(), ..after.config }, before.config);
            assert!(weights == contents(&folder));
            // A model that is made of it takes the file along.
            let out = parent.path().join("out");
            let options = SaveOptions { source: Some(folder.clone()), ..SaveOptions::default() };
            tiny.save_with(&out, &options).unwrap();
            assert_eq!(fs::read_to_string(out.join(MODELING_FILE)).unwrap(), MODELING);
            Checkpoint::open(&out).unwrap();
        }
    }

    #[test]
    fn a_folder_without_its_tower_is_not_exported() {
        let folder = tempfile::tempdir().unwrap();
        Tiny::clip().save(folder.path());
        edit(folder.path(), |tensors| tensors.retain(|(name, ..)| !name.contains("vision_tower")));
        let error = export_transformers(folder.path()).unwrap_err().to_string();
        assert!(error.contains("its weights are without the vision tower's"), "{error}");
        assert!(!folder.path().join(MODELING_FILE).exists());
    }
}
