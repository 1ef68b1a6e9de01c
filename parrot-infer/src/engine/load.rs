//! A checkpoint's folder → [`Parrot`].

use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::prelude::*;
use burn::tensor::FloatDType;
use parrot_model::checkpoint::Checkpoint;
use parrot_model::config::{ParrotConfig, SelectFeature, TowerKind, VisionConfig};
use parrot_model::text::Tokenizer;
use parrot_model::vision::preprocess::{AspectRatio, ImageProcessorConfig};
use serde::Deserialize;

use super::picture::FeatureCache;
use super::{Parrot, REMEMBERED_PICTURES};
use crate::{Error, Result, device};

impl Parrot {
    /// Loads a model from its folder, weights as f32 (see [`load_with`](Self::load_with)).
    ///
    /// # Errors
    ///
    /// As [`load_with`](Self::load_with).
    pub fn load(model: impl AsRef<Path>, device: &Device) -> Result<Self> {
        Self::load_with(model, device, None, |_, _| ())
    }

    /// [`load`](Self::load) with a dtype, telling how many of the stored bytes have been read:
    /// `progress(done, total)`. No dtype means the one that suits the device, see [`device::float_dtype`].
    ///
    /// # Errors
    ///
    /// [`Error::Device`] when the device does not compute in `dtype`, and every
    /// [`parrot_model::Error`] of a checkpoint, tokenizer or configuration that cannot be used.
    pub fn load_with(
        model: impl AsRef<Path>,
        device: &Device,
        dtype: Option<FloatDType>,
        progress: impl FnMut(u64, u64),
    ) -> Result<Self> {
        let started = Instant::now();
        let dtype = device::float_dtype(device, dtype)?;
        let folder = model.as_ref();
        // What is small is read first: a missing tokenizer should not cost a minute of loading.
        let checkpoint = Checkpoint::open(folder)?;
        let (config, vision) = (checkpoint.config.clone(), &checkpoint.vision);
        let tokenizer = Tokenizer::from_file(&folder.join("tokenizer.json"))?;
        if tokenizer.vocab_size() > config.vocab_size {
            let expected = format!("at least the tokenizer's {}", tokenizer.vocab_size());
            return Err(config_error("vocab_size", expected, config.vocab_size));
        }
        let image_processor = image_processor(folder, &config, vision)?;
        let aspect_ratio = aspect_ratio(&config)?;
        let picture_tokens = picture_tokens(&config, vision);
        let mut eos = generation_eos(&folder.join("generation_config.json"))?;
        eos.push(tokenizer.im_end());
        tracing::debug!(folder = %folder.display(), ?dtype, picture_tokens, ?eos, "opened the checkpoint");
        let network = checkpoint.load_with(dtype, device, progress)?;
        let load = started.elapsed();
        tracing::debug!(?load, "loaded");
        Ok(Self {
            network,
            config,
            tokenizer,
            image_processor,
            aspect_ratio,
            picture_tokens,
            eos,
            device: device.clone(),
            dtype,
            remembered: FeatureCache::new(REMEMBERED_PICTURES),
            load,
        })
    }
}

/// Tokens that a picture becomes.
#[must_use]
pub fn picture_tokens(config: &ParrotConfig, vision: &VisionConfig) -> usize {
    match (vision.kind, config.mm_vision_select_feature) {
        (TowerKind::Clip, SelectFeature::Patch) => vision.num_patches(),
        _ => vision.num_positions(),
    }
}

/// How the tower wants its pictures: from a `preprocessor_config.json` in the checkpoint or in the tower's
/// folder, or else what its family always does. Released checkpoints have no such file.
fn image_processor(
    folder: &Path,
    config: &ParrotConfig,
    vision: &VisionConfig,
) -> Result<ImageProcessorConfig> {
    let beside = folder.parent().unwrap_or(folder);
    let tower = config.mm_vision_tower.as_deref().unwrap_or_default();
    let places = [folder.to_path_buf(), folder.join(tower), beside.join(tower)];
    let file = places.map(|place: PathBuf| place.join("preprocessor_config.json"));
    let size = vision.image_size as u32;
    let processor = match file.iter().find(|file| file.is_file()) {
        Some(file) => ImageProcessorConfig::from_file(file)?,
        None if vision.kind == TowerKind::Siglip => ImageProcessorConfig::siglip(size),
        None => ImageProcessorConfig::clip(size),
    };
    if processor.image_size != size {
        let expected = format!("the vision tower's image_size = {size}");
        return Err(config_error("crop_size", expected, processor.image_size));
    }
    Ok(processor)
}

/// What `image_aspect_ratio` says. As in LLaVA, an unknown word leaves the picture to the processor; the
/// several tiles of `anyres` the reference cannot route either.
fn aspect_ratio(config: &ParrotConfig) -> Result<AspectRatio> {
    match config.image_aspect_ratio.as_deref() {
        Some("pad") => Ok(AspectRatio::Pad),
        Some(tiles) if tiles.starts_with("anyres") => {
            Err(config_error("image_aspect_ratio", "pad or nothing".into(), tiles))
        }
        _ => Ok(AspectRatio::None),
    }
}

fn config_error(key: &str, expected: String, found: impl ToString) -> Error {
    parrot_model::Error::Config { key: key.into(), expected, found: found.to_string() }.into()
}

/// The part of `generation_config.json` that is heeded.
#[derive(Deserialize)]
struct GenerationConfig {
    eos_token_id: Option<Eos>,
}

/// One id or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Eos {
    One(u32),
    Several(Vec<u32>),
}

/// The ids that end an answer according to `generation_config.json`, none if there is no such file.
fn generation_eos(file: &Path) -> Result<Vec<u32>> {
    if !file.is_file() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(file).map_err(|source| parrot_model::Error::Io {
        action: "read",
        path: file.into(),
        source,
    })?;
    let config: GenerationConfig = serde_json::from_str(&text)
        .map_err(|source| parrot_model::Error::Json { path: file.into(), source })?;
    Ok(match config.eos_token_id {
        None => Vec::new(),
        Some(Eos::One(id)) => vec![id],
        Some(Eos::Several(ids)) => ids,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generation_config_names_one_end_or_several_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("generation_config.json");
        assert!(generation_eos(&file).unwrap().is_empty());
        for (json, expected) in [
            (r#"{"eos_token_id": 7, "do_sample": true}"#, vec![7]),
            (r#"{"eos_token_id": [7, 8]}"#, vec![7, 8]),
            (r#"{"eos_token_id": null}"#, vec![]),
            ("{}", vec![]),
        ] {
            std::fs::write(&file, json).unwrap();
            assert_eq!(generation_eos(&file).unwrap(), expected);
        }
        std::fs::write(&file, r#"{"eos_token_id": "end"}"#).unwrap();
        assert!(generation_eos(&file).unwrap_err().to_string().contains("generation_config.json"));
    }

    #[test]
    fn pictures_are_padded_or_not_but_never_tiled() {
        let ratio = |value: Option<&str>| {
            aspect_ratio(&ParrotConfig { image_aspect_ratio: value.map(Into::into), ..crate::tiny::config() })
        };
        assert_eq!(ratio(Some("pad")).unwrap(), AspectRatio::Pad);
        assert_eq!(ratio(None).unwrap(), AspectRatio::None);
        assert_eq!(ratio(Some("square")).unwrap(), AspectRatio::None);
        assert!(ratio(Some("anyres")).unwrap_err().to_string().contains("found anyres"));
    }

    #[test]
    fn the_processor_is_looked_for_in_the_tower_and_has_to_fit_it() {
        let folder = tempfile::tempdir().unwrap();
        let (config, vision) = (crate::tiny::config(), crate::tiny::vision());
        let found = || image_processor(folder.path(), &config, &vision);
        assert_eq!(found().unwrap(), ImageProcessorConfig::clip(12));

        let tower = folder.path().join("towers/clip-vit-tiny");
        std::fs::create_dir_all(&tower).unwrap();
        let write = |processor: ImageProcessorConfig| {
            let json = serde_json::to_string(&processor).unwrap();
            std::fs::write(tower.join("preprocessor_config.json"), json).unwrap();
        };
        write(ImageProcessorConfig::siglip(12));
        assert_eq!(found().unwrap(), ImageProcessorConfig::siglip(12));
        write(ImageProcessorConfig::clip(24));
        let error = found().unwrap_err().to_string();
        assert!(error.contains("the vision tower's image_size = 12, found 24"), "{error}");
    }
}
