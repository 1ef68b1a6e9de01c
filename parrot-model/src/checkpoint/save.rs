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
use super::tensors::{ModuleTensor, Numbers, module_tensors, save_module, write_file};
use super::tower::is_local;
use crate::config::{ParrotConfig, VisionConfig};
use crate::files::Files;
use crate::image::ImageProcessorConfig;
use crate::layout::{
    COMBINED_PROCESSOR_FILE, COMPANION_FILES, CONFIG_FILE, INDEX_FILE, MODELING_FILE, PROCESSOR_FILE,
    TOKENIZER_CONFIG_FILE, TOKENIZER_FILE, WEIGHTS_FILE,
};
use crate::parrot::ParrotModel;
use crate::untrusted::create_folder;
use crate::{Error, Result, gguf};

/// How [`save`] writes.
#[derive(Debug, Clone)]
pub struct SaveOptions {
    /// f32, f16 or bf16 for all weights; `None` stores each in the dtype that it is held in.
    pub dtype: Option<FloatDType>,
    /// Largest weight file, in bytes of tensors; a single larger tensor gets a file of its own.
    pub max_shard_bytes: u64,
    /// The folder that tokenizer files, `generation_config.json` and the vision tower's folder are copied
    /// from. It may be the destination. From a GGUF, which a Parrot's decoder may have come from, the tokenizer's files are
    /// made.
    pub source: Option<PathBuf>,
    /// How pictures become the vision tower's input; `None` keeps what the source's tower says, or else
    /// writes what the tower's family uses.
    pub image_processor: Option<ImageProcessorConfig>,
}

/// As transformers does: shards of at most 5 GB.
impl Default for SaveOptions {
    fn default() -> Self {
        Self { dtype: None, max_shard_bytes: 5_000_000_000, source: None, image_processor: None }
    }
}

/// Writes a model's folder: weights, `config.json` and the vision tower's own folder.
///
/// The tower's weights are written twice, with the model's and alone in its folder: that is where the reference code looks
/// for them, and what transformers loads as a `CLIPVisionModel`. A tower that every reader knows by its name gets no folder;
/// whoever has trained one gives it another name. (A SigLIP tower is written without its last layer and its pooling head,
/// which a Parrot does not use; the reference drops both.)
///
/// An existing checkpoint at `out`, or where a link there leads, is replaced. Files in it that are not written anew are kept;
/// old weight files are not ([`keep_other_files`](super::keep_other_files)). Missing parent folders are created.
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
    model: &ParrotModel,
    config: &ParrotConfig,
    vision: &VisionConfig,
    out: impl AsRef<Path>,
    options: &SaveOptions,
) -> Result<()> {
    write(model, config, vision, out.as_ref(), options, None)
}

/// [`save`] of a model with weights in [blocks](crate::quantization), which are not stored: `numbers` says what is stored in their
/// place, those that a decoder was quantised from with what its adapters have learnt, say. It is asked for one weight at a time.
///
/// # Errors
///
/// As [`save`], and [`Error::Checkpoint`] for weights that there are no numbers for.
pub fn save_with_numbers(
    model: &ParrotModel,
    config: &ParrotConfig,
    vision: &VisionConfig,
    out: impl AsRef<Path>,
    options: &SaveOptions,
    numbers: &Numbers<'_>,
) -> Result<()> {
    write(model, config, vision, out.as_ref(), options, Some(numbers))
}

fn write(
    model: &ParrotModel,
    config: &ParrotConfig,
    vision: &VisionConfig,
    out: &Path,
    options: &SaveOptions,
    numbers: Option<&Numbers<'_>>,
) -> Result<()> {
    let staging = Staging::create(out)?;
    let folder = staging.path();
    let tensors = module_tensors(model, names::parrot(config)?, numbers)?;
    write_weights(folder, &tensors, options)?;

    let mut config = config.clone();
    config.torch_dtype = Some(torch_dtype(&tensors, options.dtype)?.into());
    let tower = folder.join(write_beside(folder, config, vision, options)?);
    if tower.is_dir() {
        let file = tower.join(WEIGHTS_FILE);
        save_module(&model.vision_tower, names::vision_tower, file, options.dtype)?;
    }
    staging.publish()
}

/// Everything but weights: `config.json`, the vision tower's description, what is copied from the source. Returns what
/// `mm_vision_tower` says.
pub(super) fn write_beside(
    folder: &Path,
    mut config: ParrotConfig,
    vision: &VisionConfig,
    options: &SaveOptions,
) -> Result<String> {
    let tower = write_tower(folder, &config, vision, options)?;
    config.mm_vision_tower = Some(tower.clone());
    config.save(folder.join(CONFIG_FILE))?;
    if let Some(source) = options.source.as_ref().map(Files::from).filter(gguf::is_gguf) {
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            fs::write(&path, bytes).map_err(Error::io("write", &path))
        };
        write(TOKENIZER_FILE, &gguf::tokenizer_json(&source, TOKENIZER_FILE)?)?;
        let config = gguf::with_header(&source, |header| Ok(header.tokenizer_config()))?;
        write(TOKENIZER_CONFIG_FILE, config.to_string().as_bytes())?;
    } else if let Some(source) = &options.source {
        for name in COMPANION_FILES.into_iter().chain([MODELING_FILE]) {
            copy_if_present(&source.join(name), &folder.join(name))?;
        }
    }
    Ok(tower)
}

/// What `config.json` calls the dtype of the weights. The decoder, which comes last, speaks for all.
fn torch_dtype(tensors: &[ModuleTensor<'_>], dtype: Option<FloatDType>) -> Result<&'static str> {
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
fn write_weights(folder: &Path, tensors: &[ModuleTensor<'_>], options: &SaveOptions) -> Result<()> {
    let bytes = |tensor: &ModuleTensor<'_>| tensor.stored_bytes(options.dtype);
    let mut shards: Vec<&[ModuleTensor<'_>]> = Vec::new();
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
        return write_file(&folder.join(WEIGHTS_FILE), tensors, options.dtype);
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
    options: &SaveOptions,
) -> Result<String> {
    let name = config.mm_vision_tower.as_deref().unwrap_or("towers/vision");
    let stays_inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    let in_source = options.source.as_ref().map(|source| source.join(name));
    let in_source = in_source.filter(|tower| stays_inside && tower.is_dir());
    let default_processor = ImageProcessorConfig::for_tower(vision);
    let is_well_known = !is_local(name)
        && VisionConfig::well_known(name).as_ref() == Some(vision)
        && options.image_processor.as_ref().is_none_or(|processor| *processor == default_processor);
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
    create_folder(&tower)?;
    if let Some(in_source) = in_source {
        for entry in fs::read_dir(&in_source).map_err(Error::io("read", &in_source))? {
            let entry = entry.map_err(Error::io("read", &in_source))?;
            if !is_weights(&entry.path()) {
                copy_if_present(&entry.path(), &tower.join(entry.file_name()))?;
            }
        }
    }
    // A copied description may say more than ours, so it is replaced only if it is wrong.
    let path = tower.join(CONFIG_FILE);
    if VisionConfig::from_file(&path).ok().as_ref() != Some(vision) {
        vision.save(&path)?;
    }
    let copied = ImageProcessorConfig::from_folder(tower.as_path()).ok().flatten();
    let wanted = options.image_processor.as_ref().or(copied.as_ref()).unwrap_or(&default_processor);
    if copied.as_ref() != Some(wanted) {
        write_json(&tower.join(PROCESSOR_FILE), wanted)?;
        // It would be read instead.
        let combined = tower.join(COMBINED_PROCESSOR_FILE);
        if combined.is_file() {
            fs::remove_file(&combined).map_err(Error::io("remove", &combined))?;
        }
    }
    Ok(inside)
}

/// Whether a file of a tower's folder holds weights, or says which file does: they may be those from before it was trained.
fn is_weights(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".index.json")
        || [".safetensors", ".bin", ".pt", ".h5", ".msgpack"].iter().any(|ending| name.ends_with(ending))
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(Error::json(path))?;
    fs::write(path, text + "\n").map_err(Error::io("write", path))
}

fn copy_if_present(from: &Path, to: &Path) -> Result<()> {
    if from.is_file() {
        fs::copy(from, to).map_err(Error::io("copy", from))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use burn::module::{ModuleMapper, Param};
    use burn::prelude::*;

    use super::super::testing::Tiny;
    use super::super::{Checkpoint, Weights};
    use super::*;

    fn file_names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn shards_are_named_and_indexed_as_transformers_does() {
        let folder = tempfile::tempdir().unwrap();
        let options = SaveOptions { max_shard_bytes: 20_000, ..SaveOptions::default() };
        Tiny::clip().save_with(folder.path(), &options).unwrap();
        assert_eq!(
            file_names(folder.path()),
            [
                "config.json",
                "model-00001-of-00002.safetensors",
                "model-00002-of-00002.safetensors",
                "model.safetensors.index.json",
                "towers"
            ]
        );
        let index = fs::read_to_string(folder.path().join(INDEX_FILE)).unwrap();
        let index: serde_json::Value = serde_json::from_str(&index).unwrap();
        let weights = Weights::from_folder(folder.path()).unwrap();
        let total: usize = weights.names().map(|name| weights.get(name).unwrap().bytes.len()).sum();
        assert_eq!(index["metadata"]["total_size"], total);
        let map = index["weight_map"].as_object().unwrap();
        assert!(map.keys().map(String::as_str).eq(weights.names()));
        assert_eq!(map["lm_head.weight"], "model-00002-of-00002.safetensors");
        for shard in ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"] {
            let bytes = fs::read(folder.path().join(shard)).unwrap();
            let header_length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
            assert_eq!(header_length % 8, 0);
            assert!(bytes.len() - 8 - header_length <= 20_000);
            let header = String::from_utf8_lossy(&bytes[8..60]);
            assert!(header.starts_with(r#"{"__metadata__":{"format":"pt"},"#), "{header}");
        }
    }

    #[test]
    fn a_checkpoint_is_replaced_as_a_whole() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("deep/model");
        let shards = SaveOptions { max_shard_bytes: 20_000, ..SaveOptions::default() };
        Tiny::clip().save_with(&folder, &shards).unwrap();
        fs::write(folder.join("README.md"), "mine").unwrap();
        fs::write(folder.join("adapters.safetensors"), "mine").unwrap();
        fs::write(folder.join("towers/clip-vit-test/notes.txt"), "mine").unwrap();
        fs::write(folder.join("tokenizer.json"), "{}").unwrap();
        // Onto itself, now in one file.
        let single = SaveOptions { source: Some(folder.clone()), ..SaveOptions::default() };
        Tiny::clip().save_with(&folder, &single).unwrap();
        assert_eq!(
            file_names(&folder),
            [
                "README.md",
                "adapters.safetensors",
                "config.json",
                "model.safetensors",
                "tokenizer.json",
                "towers"
            ]
        );
        assert!(folder.join("towers/clip-vit-test/notes.txt").is_file());
        assert_eq!(file_names(folder.parent().unwrap()), ["model"]);
    }

    #[test]
    fn what_is_no_checkpoint_is_left_alone() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("photos");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("cat.png"), "").unwrap();
        let error = Tiny::clip().save_with(&folder, &SaveOptions::default()).unwrap_err().to_string();
        assert!(error.contains("holds other files and is no checkpoint"), "{error}");
        let file = folder.join("cat.png");
        let error = Tiny::clip().save_with(&file, &SaveOptions::default()).unwrap_err().to_string();
        assert!(error.contains("is a file"), "{error}");
        let error = Tiny::clip().save_with(&file.join("model"), &SaveOptions::default()).unwrap_err();
        assert!(error.to_string().contains("cannot create"), "{error}");
        assert_eq!(
            (file_names(&folder), file_names(parent.path())),
            (vec!["cat.png".into()], vec!["photos".into()])
        );
    }

    struct Poison;

    impl ModuleMapper for Poison {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|tensor| tensor * f32::NAN)
        }
    }

    #[test]
    fn a_broken_model_leaves_the_old_one_in_place() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("model");
        let mut tiny = Tiny::clip();
        tiny.save(&folder);
        tiny.model.language_model = tiny.model.language_model.map(&mut Poison);
        let error = tiny.save_with(&folder, &SaveOptions::default()).unwrap_err().to_string();
        assert!(error.contains("`model.embed_tokens.weight` holds NaN"), "{error}");
        assert_eq!(file_names(parent.path()), ["model"]);
        Checkpoint::open(&folder).unwrap().load(FloatDType::F32, &Device::default()).unwrap();
    }

    /// The link became a folder, and what it led to stayed as it was.
    #[cfg(unix)]
    #[test]
    fn a_link_in_the_folder_s_place_is_followed() {
        let parent = tempfile::tempdir().unwrap();
        let [model, link] = ["model", "link"].map(|name| parent.path().join(name));
        std::os::unix::fs::symlink("model", &link).unwrap();
        let save = |place: &Path| Tiny::clip().save_with(place, &SaveOptions::default());
        for behind in ["", "/", "/."] {
            let error = save(&parent.path().join(format!("link{behind}"))).unwrap_err().to_string();
            assert!(error.contains("link: is a link to nothing"), "{error}");
        }
        std::os::unix::fs::symlink("loop", parent.path().join("loop")).unwrap();
        let error = save(&parent.path().join("loop")).unwrap_err().to_string();
        assert!(error.contains("loop: is a link that cannot be followed (Too many levels"), "{error}");
        fs::remove_file(parent.path().join("loop")).unwrap();
        fs::create_dir(&model).unwrap();
        for behind in ["", "/", "/."] {
            save(&parent.path().join(format!("link{behind}"))).unwrap();
            assert!(link.is_symlink());
            assert_eq!(file_names(parent.path()), ["link", "model"]);
            fs::remove_file(model.join(WEIGHTS_FILE)).unwrap_or_else(|error| panic!("{behind}: {error}"));
            fs::write(model.join(INDEX_FILE), "of the model before").unwrap();
        }
        save(&model.join(".")).unwrap();
        Checkpoint::open(&link).unwrap();
    }

    /// Two `parrot quantize` into one folder at once left it without weights.
    #[test]
    fn what_another_process_writes_is_left_to_it() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("model");
        let tiny = Tiny::clip();
        let lock = fs::File::create(parent.path().join(".model.lock")).unwrap();
        lock.lock().unwrap();
        let error = tiny.save_with(&folder, &SaveOptions::default()).unwrap_err().to_string();
        assert!(error.contains("is being written by another process"), "{error}");
        assert!(!folder.exists());
        drop(lock);
        tiny.save(&folder);
        assert_eq!(file_names(parent.path()), ["model"]);
    }

    #[test]
    fn an_interrupted_replacement_is_undone() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("model");
        Tiny::clip().save(&folder);
        fs::write(folder.join("README.md"), "mine").unwrap();
        fs::rename(&folder, parent.path().join(".model.old")).unwrap();
        fs::create_dir(parent.path().join(".model.partial")).unwrap();
        Tiny::clip().save(&folder);
        assert_eq!(file_names(parent.path()), ["model"]);
        assert!(folder.join("README.md").is_file());
    }

    #[test]
    fn an_interrupted_replacement_loses_no_file_of_the_user() {
        let parent = tempfile::tempdir().unwrap();
        let (folder, new) = (parent.path().join("model"), parent.path().join("new"));
        Tiny::clip().save(&folder);
        fs::write(folder.join("README.md"), "mine").unwrap();
        // The process died when the new folder was in place and the old one's files were not yet moved.
        Tiny::clip().save(&new);
        fs::rename(&folder, parent.path().join(".model.old")).unwrap();
        fs::rename(&new, &folder).unwrap();
        Tiny::clip().save(&folder);
        assert_eq!(file_names(parent.path()), ["model"]);
        assert!(folder.join("README.md").is_file());
    }

    #[test]
    fn files_beside_the_weights_come_along() {
        let parent = tempfile::tempdir().unwrap();
        let (source, out) = (parent.path().join("source"), parent.path().join("out"));
        let tiny = Tiny::clip();
        tiny.save(&source);
        let tower = source.join("towers/clip-vit-test");
        for file in ["tokenizer.json", "generation_config.json", "optimizer.bin"] {
            fs::write(source.join(file), file).unwrap();
        }
        for stale in ["model.safetensors", "model-00001-of-00002.safetensors", "pytorch_model.bin"] {
            fs::write(tower.join(stale), "of another tower").unwrap();
        }
        let config = fs::read_to_string(tower.join("config.json")).unwrap();
        let config = config.replacen('{', "{\n  \"projection_dim\": 16,", 1);
        fs::write(tower.join("config.json"), &config).unwrap();
        let options = SaveOptions { source: Some(source), ..SaveOptions::default() };
        tiny.save_with(&out, &options).unwrap();
        assert_eq!(
            file_names(&out),
            ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "towers"]
        );
        let tower = out.join("towers/clip-vit-test");
        assert_eq!(file_names(&tower), ["config.json", "model.safetensors", "preprocessor_config.json"]);
        assert_eq!(fs::read_to_string(tower.join("config.json")).unwrap(), config);
    }

    /// The reference and transformers' `CLIPVisionModel` load the tower from there.
    #[test]
    fn a_tower_s_folder_holds_its_weights_by_its_own_names() {
        for (tiny, name) in [(Tiny::clip(), "clip-vit-test"), (Tiny::siglip(), "siglip-test")] {
            let folder = tempfile::tempdir().unwrap();
            let options = SaveOptions { dtype: Some(FloatDType::F16), ..SaveOptions::default() };
            tiny.save_with(folder.path(), &options).unwrap();
            let whole = Weights::from_folder(folder.path()).unwrap();
            let tower = Weights::from_folder(folder.path().join("towers").join(name)).unwrap();
            let stored: Vec<&str> = whole.names().filter_map(names::in_tower_folder).collect();
            assert!(stored.contains(&"vision_model.embeddings.patch_embedding.weight"));
            assert!(stored.iter().copied().eq(tower.names()), "{name}");
            for name in stored {
                let of_whole = whole.get(&format!("model.vision_tower.vision_tower.{name}")).unwrap();
                let alone = tower.get(name).unwrap();
                assert_eq!(
                    (of_whole.dtype, of_whole.shape, of_whole.bytes),
                    (alone.dtype, alone.shape, alone.bytes)
                );
            }
        }
    }

    #[test]
    fn a_tower_from_elsewhere_is_described_inside() {
        let folder = tempfile::tempdir().unwrap();
        let mut tiny = Tiny::clip();
        tiny.config.mm_vision_tower = Some("/training/machine/clip-vit-mine".into());
        let image_processor = ImageProcessorConfig { image_mean: [0.25; 3], ..ImageProcessorConfig::clip(8) };
        let options =
            SaveOptions { image_processor: Some(image_processor.clone()), ..SaveOptions::default() };
        tiny.save_with(folder.path(), &options).unwrap();
        let checkpoint = Checkpoint::open(folder.path()).unwrap();
        assert_eq!(checkpoint.description.config.mm_vision_tower.as_deref(), Some("towers/clip-vit-mine"));
        assert_eq!(
            (checkpoint.description.vision, checkpoint.description.image_processor),
            (tiny.vision.clone(), image_processor.clone())
        );
        assert_eq!(checkpoint.description.config.torch_dtype.as_deref(), Some("float32"));

        // Saved onto itself without a word about the processor, it keeps its own.
        let again = SaveOptions { source: Some(folder.path().into()), ..SaveOptions::default() };
        tiny.config = checkpoint.description.config;
        tiny.save_with(folder.path(), &again).unwrap();
        assert_eq!(Checkpoint::open(folder.path()).unwrap().description.image_processor, image_processor);
    }

    #[test]
    fn a_tower_known_by_name_gets_no_folder() {
        let folder = tempfile::tempdir().unwrap();
        let vision = VisionConfig::clip_vit_large_336();
        let name = "openai/clip-vit-large-patch14-336".to_string();
        let config = ParrotConfig { mm_vision_tower: Some(name.clone()), ..ParrotConfig::parrot_7b() };
        let written = write_tower(folder.path(), &config, &vision, &SaveOptions::default()).unwrap();
        assert_eq!((written, file_names(folder.path()).len()), (name, 0));

        // By a name of its own it is another tower, of whatever shape.
        let own =
            ParrotConfig { mm_vision_tower: Some("towers/clip-vit-large-patch14-336".into()), ..config };
        let written = write_tower(folder.path(), &own, &vision, &SaveOptions::default()).unwrap();
        assert!(folder.path().join(written).join(CONFIG_FILE).is_file());
    }
}
