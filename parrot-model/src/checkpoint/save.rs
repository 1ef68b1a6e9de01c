//! Modules → weights, in the layout that transformers reads.
//!
//! Everything is written into a folder beside the destination, which takes its place at the end: a reader
//! sees the old checkpoint or the new one, never half of one.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Component, Path, PathBuf};

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, FloatDType, Tensor, TensorData};
use safetensors::tensor::{Metadata, TensorInfo};

use super::cast::{cast, stored_dtype};
use super::names::{self, ModulePath};
use super::tower::well_known;
use super::weights::{INDEX_FILE, SINGLE_FILE, StoredTensor};
use crate::config::{ParrotConfig, VisionConfig};
use crate::parrot::Parrot;
use crate::{Error, Result};

/// Files that [`save`] copies from [`SaveOptions::source`] where they exist.
const COPIED: [&str; 10] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
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
    /// from; may be the destination.
    pub source: Option<PathBuf>,
}

/// As transformers does: shards of at most 5 GB.
impl Default for SaveOptions {
    fn default() -> Self {
        Self { dtype: None, max_shard_bytes: 5_000_000_000, source: None }
    }
}

/// Writes a model's folder.
///
/// An existing checkpoint at `out` is replaced; files of it that a checkpoint does not have stay.
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
    out: impl AsRef<Path>,
    options: &SaveOptions,
) -> Result<()> {
    let out = out.as_ref();
    check_destination(out)?;
    let staging = Staging::create(out)?;
    let folder = staging.path.as_path();

    let tensors = module_tensors(model, names::parrot(config)?)?;
    let mut config = config.clone();
    config.torch_dtype = Some(torch_dtype(&tensors, options.dtype)?.into());
    write_weights(folder, &tensors, options)?;
    write_tower(folder, &mut config, vision, options.source.as_deref())?;
    config.save(folder.join("config.json"))?;
    if let Some(source) = &options.source {
        for name in COPIED {
            copy_if_present(&source.join(name), &folder.join(name))?;
        }
    }
    staging.publish(out)
}

/// Writes any module's parameters as one safetensors file, replacing it atomically.
///
/// # Errors
///
/// [`Error::Io`] when the file cannot be written; [`Error::Checkpoint`] as for [`save`].
pub fn save_module<M: Module>(
    module: &M,
    name_of: impl Fn(&[String]) -> String,
    file: impl AsRef<Path>,
    dtype: Option<FloatDType>,
) -> Result<()> {
    let file = file.as_ref();
    let tensors = module_tensors(module, name_of)?;
    let mut aside = file.as_os_str().to_owned();
    aside.push(format!(".partial-{}", std::process::id()));
    let aside = PathBuf::from(aside);
    let written = write_file(&aside, &tensors.iter().collect::<Vec<_>>(), dtype)
        .and_then(|()| fs::rename(&aside, file).map_err(Error::io("replace", file)));
    if written.is_err() {
        let _ = fs::remove_file(&aside);
    }
    written
}

/// One parameter of a module, named as in a checkpoint; its values stay on their device until
/// [`read`](Self::read).
pub struct ModuleTensor {
    name: String,
    shape: Vec<usize>,
    dtype: DType,
    read: Box<dyn Fn() -> Result<TensorData, String>>,
}

impl std::fmt::Debug for ModuleTensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?} {:?}", self.name, self.shape, self.dtype)
    }
}

impl ModuleTensor {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its shape as stored: a linear layer's weight is `[out, in]`.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The dtype that it is held in.
    #[must_use]
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Its values, row-major in [`shape`](Self::shape).
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`] naming the tensor when the device fails.
    pub fn read(&self) -> Result<TensorData> {
        (self.read)().map_err(|reason| Error::checkpoint("<model>", format!("`{}` {reason}", self.name)))
    }
}

/// The parameters of a module in the order of its fields, named by `name_of` as in
/// [`load_module`](super::load_module).
///
/// # Errors
///
/// [`Error::Checkpoint`] when the module has adapters, which have to be merged first
/// (`module.materialize()`).
pub fn module_tensors<M: Module>(
    module: &M,
    name_of: impl Fn(&[String]) -> String,
) -> Result<Vec<ModuleTensor>> {
    let mut collector =
        Collector { name_of: &name_of, path: ModulePath::default(), tensors: Vec::new(), adapters: false };
    module.visit(&mut collector);
    if collector.adapters {
        return Err(Error::checkpoint("<model>", "adapters have to be merged before saving"));
    }
    Ok(collector.tensors)
}

struct Collector<'a> {
    name_of: &'a dyn Fn(&[String]) -> String,
    path: ModulePath,
    tensors: Vec<ModuleTensor>,
    adapters: bool,
}

impl ModuleVisitor for Collector<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.adapters |= container == "Reparameterization";
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.path.exit(container);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.transform_for_save().val();
        self.tensors.push(ModuleTensor {
            name: (self.name_of)(self.path.segments()),
            shape: tensor.dims().to_vec(),
            dtype: tensor.dtype(),
            read: Box::new(move || {
                tensor.try_to_data().map_err(|error| format!("cannot be read from its device: {error}"))
            }),
        });
    }
}

/// `torch_dtype` of a checkpoint: what its first weight is stored as.
fn torch_dtype(tensors: &[ModuleTensor], dtype: Option<FloatDType>) -> Result<&'static str> {
    let dtype = dtype.map_or_else(|| tensors.first().map_or(DType::F32, ModuleTensor::dtype), DType::from);
    match dtype {
        DType::F32 => Ok("float32"),
        DType::F16 => Ok("float16"),
        DType::BF16 => Ok("bfloat16"),
        other => Err(Error::config("dtype", "f32, f16 or bf16", format!("{other:?}"))),
    }
}

/// One file, or shards and their index.
fn write_weights(folder: &Path, tensors: &[ModuleTensor], options: &SaveOptions) -> Result<()> {
    let bytes = |tensor: &ModuleTensor| {
        let dtype = options.dtype.map_or(tensor.dtype, DType::from);
        (tensor.shape.iter().product::<usize>() * dtype.size()) as u64
    };
    let mut shards: Vec<Vec<&ModuleTensor>> = vec![Vec::new()];
    let mut shard_bytes = 0;
    for tensor in tensors {
        if shard_bytes > 0 && shard_bytes + bytes(tensor) > options.max_shard_bytes {
            shards.push(Vec::new());
            shard_bytes = 0;
        }
        shard_bytes += bytes(tensor);
        shards.last_mut().expect("there is always one").push(tensor);
    }
    if let [tensors] = shards.as_slice() {
        return write_file(&folder.join(SINGLE_FILE), tensors, options.dtype);
    }
    let mut weight_map = BTreeMap::new();
    for (i, tensors) in shards.iter().enumerate() {
        let name = format!("model-{:05}-of-{:05}.safetensors", i + 1, shards.len());
        write_file(&folder.join(&name), tensors, options.dtype)?;
        weight_map.extend(tensors.iter().map(|tensor| (tensor.name.as_str(), name.clone())));
    }
    let total_size: u64 = tensors.iter().map(bytes).sum();
    let index = serde_json::json!({ "metadata": { "total_size": total_size }, "weight_map": weight_map });
    let path = folder.join(INDEX_FILE);
    fs::write(&path, format!("{index:#}\n")).map_err(Error::io("write", &path))
}

/// A safetensors file, one tensor in memory at a time.
fn write_file(path: &Path, tensors: &[&ModuleTensor], dtype: Option<FloatDType>) -> Result<()> {
    let problem =
        |tensor: &ModuleTensor, reason| Error::checkpoint(path, format!("`{}` {reason}", tensor.name));
    let mut offset = 0;
    let mut infos = Vec::with_capacity(tensors.len());
    for tensor in tensors {
        let stored = stored_dtype(dtype.map_or(tensor.dtype, DType::from)).map_err(|e| problem(tensor, e))?;
        let end = offset + tensor.shape.iter().product::<usize>() * stored.bitsize() / 8;
        let info = TensorInfo { dtype: stored, shape: tensor.shape.clone(), data_offsets: (offset, end) };
        infos.push((tensor.name.clone(), info));
        offset = end;
    }
    // transformers refuses files that do not say which framework's layout they have.
    let format = [("format".to_string(), "pt".to_string())].into();
    let header = Metadata::new(Some(format), infos).map_err(|error| Error::checkpoint(path, error))?;
    let mut header =
        serde_json::to_vec(&header).map_err(|source| Error::Json { path: path.to_path_buf(), source })?;
    header.resize(header.len().next_multiple_of(8), b' ');

    let file = File::create(path).map_err(Error::io("create", path))?;
    let mut file = BufWriter::with_capacity(1 << 20, file);
    let mut write = |bytes: &[u8]| file.write_all(bytes).map_err(Error::io("write", path));
    write(&(header.len() as u64).to_le_bytes())?;
    write(&header)?;
    for tensor in tensors {
        let data = tensor.read()?;
        let held = stored_dtype(data.dtype()).map_err(|reason| problem(tensor, reason))?;
        let held = StoredTensor { dtype: held, shape: &tensor.shape, bytes: data.as_bytes() };
        let target = dtype.unwrap_or_else(|| float_dtype(tensor.dtype));
        let data = cast(held, target).map_err(|reason| problem(tensor, reason))?;
        write(data.as_bytes())?;
    }
    let file = file.into_inner().map_err(|error| Error::io("write", path)(error.into_error()))?;
    file.sync_all().map_err(Error::io("write", path))
}

fn float_dtype(dtype: DType) -> FloatDType {
    match dtype {
        DType::F16 => FloatDType::F16,
        DType::BF16 => FloatDType::BF16,
        _ => FloatDType::F32,
    }
}

/// The vision tower's folder inside the checkpoint, unless every reader knows the tower by its name.
fn write_tower(
    folder: &Path,
    config: &mut ParrotConfig,
    vision: &VisionConfig,
    source: Option<&Path>,
) -> Result<()> {
    let name = config.mm_vision_tower.clone().unwrap_or_else(|| "towers/vision".into());
    let stays_inside = Path::new(&name).components().all(|part| matches!(part, Component::Normal(_)));
    let in_source = source.map(|source| source.join(&name)).filter(|tower| stays_inside && tower.is_dir());
    if in_source.is_none() && well_known(&name).as_ref() == Some(vision) {
        return Ok(());
    }
    let inside = if stays_inside {
        name
    } else {
        let last = Path::new(&name).file_name().and_then(|last| last.to_str()).unwrap_or("vision");
        format!("towers/{last}")
    };
    let tower = folder.join(&inside);
    config.mm_vision_tower = Some(inside);
    fs::create_dir_all(&tower).map_err(Error::io("create", &tower))?;
    if let Some(in_source) = in_source {
        for entry in fs::read_dir(&in_source).map_err(Error::io("read", &in_source))? {
            let entry = entry.map_err(Error::io("read", &in_source))?;
            copy_if_present(&entry.path(), &tower.join(entry.file_name()))?;
        }
    }
    vision.save(tower.join("config.json"))
}

fn copy_if_present(from: &Path, to: &Path) -> Result<()> {
    if from.is_file() {
        fs::copy(from, to).map_err(Error::io("copy", from))?;
    }
    Ok(())
}

/// Refuses to replace what is no checkpoint.
fn check_destination(out: &Path) -> Result<()> {
    if !out.exists() {
        return Ok(());
    }
    if !out.is_dir() {
        return Err(Error::checkpoint(out, "is a file, not a folder to save into"));
    }
    let empty = fs::read_dir(out).map_err(Error::io("read", out))?.next().is_none();
    let checkpoint = out.join("config.json").is_file()
        && (out.join(SINGLE_FILE).is_file() || out.join(INDEX_FILE).is_file());
    if empty || checkpoint {
        return Ok(());
    }
    Err(Error::checkpoint(out, "holds other files and is no checkpoint; choose another folder"))
}

/// A folder beside the destination, removed again unless it is published.
struct Staging {
    path: PathBuf,
}

impl Staging {
    fn create(out: &Path) -> Result<Self> {
        let path = beside(out, "partial")?;
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
        }
        fs::create_dir(&path).map_err(Error::io("create", &path))?;
        Ok(Self { path })
    }

    /// Takes the destination's place; what the destination held and this folder does not is moved over,
    /// but for weights.
    fn publish(self, out: &Path) -> Result<()> {
        let old = beside(out, "old")?;
        let replaces = out.exists();
        if replaces {
            fs::rename(out, &old).map_err(Error::io("replace", out))?;
        }
        if let Err(error) = fs::rename(&self.path, out) {
            if replaces {
                let _ = fs::rename(&old, out);
            }
            return Err(Error::io("create", out)(error));
        }
        if replaces {
            keep_other_files(&old, out)?;
            fs::remove_dir_all(&old).map_err(Error::io("remove", &old))?;
        }
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn keep_other_files(old: &Path, new: &Path) -> Result<()> {
    for entry in fs::read_dir(old).map_err(Error::io("read", old))? {
        let entry = entry.map_err(Error::io("read", old))?;
        let name = entry.file_name();
        let weights = Path::new(&name).extension().is_some_and(|extension| extension == "safetensors")
            || name == INDEX_FILE;
        let to = new.join(&name);
        if !weights && !to.exists() {
            fs::rename(entry.path(), &to).map_err(Error::io("move", &to))?;
        }
    }
    Ok(())
}

/// `folder/name` → `folder/.name.<what>-<process>`
fn beside(out: &Path, what: &str) -> Result<PathBuf> {
    let Some(name) = out.file_name() else {
        return Err(Error::checkpoint(out, "is no folder name to save under"));
    };
    let mut aside = std::ffi::OsString::from(".");
    aside.push(name);
    aside.push(format!(".{what}-{}", std::process::id()));
    Ok(out.with_file_name(aside))
}
