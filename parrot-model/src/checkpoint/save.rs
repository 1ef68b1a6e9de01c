//! A model → its folder, in the layout that transformers reads.
//!
//! Everything is written into a folder beside the destination, which takes its place at the end: a reader
//! sees the old checkpoint or the new one, never half of one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use burn::tensor::{DType, FloatDType};
use serde::Serialize;

use super::names;
use super::staging::Staging;
use super::tensors::{ModuleTensor, module_tensors, write_file};
use super::tower;
use super::weights::{INDEX_FILE, SINGLE_FILE};
use crate::config::{ParrotConfig, VisionConfig};
use crate::parrot::Parrot;
use crate::vision::preprocess::ImageProcessorConfig;
use crate::{Error, Result};

/// Files that [`save`] copies from [`SaveOptions::source`] where they exist.
const COPIED: [&str; 9] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "generation_config.json",
    "preprocessor_config.json",
];

/// How [`save`] writes.
#[derive(Debug, Clone)]
pub struct SaveOptions {
    /// f32, f16 or bf16 for all weights; `None` stores each in the dtype that it is held in.
    pub dtype: Option<FloatDType>,
    /// Largest weight file, in bytes of tensors; a single larger tensor gets a file of its own.
    pub max_shard_bytes: u64,
    /// The folder that tokenizer files, `generation_config.json` and the vision tower's folder are copied
    /// from. It may be the destination.
    pub source: Option<PathBuf>,
}

/// As transformers does: shards of at most 5 GB.
impl Default for SaveOptions {
    fn default() -> Self {
        Self { dtype: None, max_shard_bytes: 5_000_000_000, source: None }
    }
}

/// Writes a model's folder: weights, `config.json` and the vision tower's description.
///
/// An existing checkpoint at `out` is replaced; files of it that are not written anew stay, old weight
/// files do not. Missing parent folders are created.
///
/// The folder can be opened wherever it is moved: a tower that was found outside the checkpoint gets a
/// folder inside it.
///
/// # Errors
///
/// [`Error::Io`] when something cannot be written; [`Error::Checkpoint`] when `out` is a file or a folder
/// that holds something else, when a weight is NaN, infinite or too large for the dtype, or when
/// adapters have not been merged. `out` is then as it was.
pub fn save(
    model: &Parrot,
    config: &ParrotConfig,
    vision: &VisionConfig,
    image_processor: &ImageProcessorConfig,
    out: impl AsRef<Path>,
    options: &SaveOptions,
) -> Result<()> {
    let staging = Staging::create(out.as_ref())?;
    let folder = staging.path();
    let tensors = module_tensors(model, names::parrot(config)?)?;
    write_weights(folder, &tensors, options)?;

    let mut config = config.clone();
    config.torch_dtype = Some(torch_dtype(&tensors, options.dtype)?.into());
    let source = options.source.as_deref();
    config.mm_vision_tower = Some(write_tower(folder, &config, vision, image_processor, source)?);
    config.save(folder.join("config.json"))?;
    if let Some(source) = source {
        for name in COPIED {
            copy_if_present(&source.join(name), &folder.join(name))?;
        }
    }
    staging.publish()
}

/// What `config.json` calls the dtype of the weights. The decoder, which comes last, speaks for all.
fn torch_dtype(tensors: &[ModuleTensor], dtype: Option<FloatDType>) -> Result<&'static str> {
    let dtype = dtype.map_or_else(|| tensors.last().map_or(DType::F32, ModuleTensor::dtype), DType::from);
    match dtype {
        DType::F32 => Ok("float32"),
        DType::F16 => Ok("float16"),
        DType::BF16 => Ok("bfloat16"),
        other => Err(Error::config("dtype", "f32, f16 or bf16", format!("{other:?}"))),
    }
}

/// `weight_map` says in which file each tensor lies.
#[derive(Serialize)]
struct Index<'a> {
    metadata: IndexMetadata,
    weight_map: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
struct IndexMetadata {
    total_size: u64,
}

/// One file, or shards and their index.
fn write_weights(folder: &Path, tensors: &[ModuleTensor], options: &SaveOptions) -> Result<()> {
    let bytes = |tensor: &ModuleTensor| tensor.stored_bytes(options.dtype);
    let mut shards: Vec<&[ModuleTensor]> = Vec::new();
    let mut start = 0;
    let mut shard_bytes = 0;
    for (i, tensor) in tensors.iter().enumerate() {
        if shard_bytes > 0 && shard_bytes + bytes(tensor) > options.max_shard_bytes {
            shards.push(&tensors[start..i]);
            (start, shard_bytes) = (i, 0);
        }
        shard_bytes += bytes(tensor);
    }
    shards.push(&tensors[start..]);
    if let [tensors] = shards.as_slice() {
        return write_file(&folder.join(SINGLE_FILE), tensors, options.dtype);
    }

    let count = shards.len();
    let names: Vec<String> = (1..=count).map(|i| format!("model-{i:05}-of-{count:05}.safetensors")).collect();
    let mut weight_map = BTreeMap::new();
    for (tensors, name) in shards.into_iter().zip(&names) {
        write_file(&folder.join(name), tensors, options.dtype)?;
        weight_map.extend(tensors.iter().map(|tensor| (tensor.name(), name.as_str())));
    }
    let metadata = IndexMetadata { total_size: tensors.iter().map(bytes).sum() };
    write_json(&folder.join(INDEX_FILE), &Index { metadata, weight_map })
}

/// Describes the vision tower in a folder inside the checkpoint, unless every reader knows it by its name.
/// Returns what `mm_vision_tower` is to say.
fn write_tower(
    folder: &Path,
    config: &ParrotConfig,
    vision: &VisionConfig,
    image_processor: &ImageProcessorConfig,
    source: Option<&Path>,
) -> Result<String> {
    let name = config.mm_vision_tower.as_deref().unwrap_or("towers/vision");
    let stays_inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    let in_source = source.map(|source| source.join(name)).filter(|tower| stays_inside && tower.is_dir());
    let is_well_known = tower::well_known(name)
        .is_some_and(|known| known == *vision && tower::default_image_processor(&known) == *image_processor);
    if is_well_known && in_source.is_none() {
        return Ok(name.to_string());
    }
    let inside = if stays_inside {
        name.to_string()
    } else {
        let last = Path::new(name).file_name().and_then(|last| last.to_str()).unwrap_or("vision");
        format!("towers/{last}")
    };
    let tower = folder.join(&inside);
    fs::create_dir_all(&tower).map_err(Error::io("create", &tower))?;
    if let Some(in_source) = in_source {
        for entry in fs::read_dir(&in_source).map_err(Error::io("read", &in_source))? {
            let entry = entry.map_err(Error::io("read", &in_source))?;
            copy_if_present(&entry.path(), &tower.join(entry.file_name()))?;
        }
    }
    // A copied description says more than ours; only a wrong one is replaced.
    let path = tower.join("config.json");
    if VisionConfig::from_file(&path).ok().as_ref() != Some(vision) {
        vision.save(&path)?;
    }
    let path = tower.join("preprocessor_config.json");
    if ImageProcessorConfig::from_file(&path).ok().as_ref() != Some(image_processor) {
        write_json(&path, image_processor)?;
    }
    Ok(inside)
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|source| Error::Json { path: path.to_path_buf(), source })?;
    fs::write(path, text + "\n").map_err(Error::io("write", path))
}

fn copy_if_present(from: &Path, to: &Path) -> Result<()> {
    if from.is_file() {
        fs::copy(from, to).map_err(Error::io("copy", from))?;
    }
    Ok(())
}
