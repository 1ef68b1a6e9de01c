//! Weights as they lie on disk: one safetensors file, several and an index, or a decoder in one of llama.cpp's files (GGUF).
//!
//! Files are mapped into memory, so opening reads the headers alone and a tensor's bytes are fetched when
//! they are first touched. Nothing in a header is trusted before it has been checked against the file's
//! length. A tensor that is wanted as it is stored is used where it lies, so the map may outlive [`Weights`].

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use burn::tensor::{Device, FloatDType, TensorData};
use safetensors::tensor::{Dtype, Metadata};
use serde::Deserialize;

use super::block_file;
use super::cast::cast;
use super::load::{other_format, release_if_copied};
use super::stored_tensor::{GgufCoding, StoredTensor};
use crate::device::{self, WeightDtype};
use crate::files::Files;
use crate::gguf::{self, GgmlType, GgufTensor};
use crate::layout::{CONFIG_FILE, INDEX_FILE, WEIGHTS_FILE};
use crate::mapped::MappedFile;
use crate::quantization::BlockFormat;
use crate::untrusted::{self, plain_reason};
use crate::{Error, Result};

/// Length of the number in front of a header.
const PREFIX: usize = size_of::<u64>();
/// What transformers refuses as well; a 70-billion model's header has less than one megabyte.
const MAX_HEADER: usize = 100_000_000;

/// Opened weight files: safetensors, or a GGUF, whose tensors go by the names that they have in safetensors.
///
/// The files must be neither shortened nor rewritten in place while this value or a model that was loaded from it lives:
/// reading a mapped page that is gone ends the process (SIGBUS on Unix), and what is written into a file changes weights that
/// lie there. That a file is whole is checked when it is opened. Replacing one by renaming another over it, as
/// [`save`](super::save) does, or deleting it is safe on Unix: the map keeps the old one.
#[derive(Debug)]
pub struct Weights {
    path: PathBuf,
    files: Vec<WeightFile>,
    /// Tensor name → index into `files`.
    file_of: BTreeMap<String, usize>,
}

#[derive(Debug)]
struct WeightFile {
    file: MappedFile,
    tensors: BTreeMap<String, Place>,
    /// The format of its matrices in blocks, if it holds any.
    blocks: Option<BlockFormat>,
    is_gguf: bool,
}

/// Where a tensor lies in its file, and what it is.
#[derive(Debug)]
struct Place {
    dtype: Dtype,
    shape: Vec<usize>,
    range: Range<usize>,
    coding: Option<GgufCoding>,
}

/// `model.safetensors.index.json`: tensor name → file name.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Weights {
    /// Opens the weights of a checkpoint folder: `model.safetensors`, or else every file that
    /// `model.safetensors.index.json` names. A single file is opened as [`from_file`](Self::from_file) does.
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`] when there are no weights, a shard is missing, the index contradicts its files
    /// or names one outside the folder, or a file is not a whole safetensors file; [`Error::Io`] and
    /// [`Error::Json`] for files that cannot be read at all.
    pub fn from_folder(folder: impl Into<Files>) -> Result<Self> {
        let folder = folder.into();
        if folder.is_file() {
            return Self::from_file(folder);
        }
        if folder.join(WEIGHTS_FILE).is_listed() {
            return Self::from_file(folder.join(WEIGHTS_FILE));
        }
        if folder.join(INDEX_FILE).is_listed() {
            return Self::from_index(&folder);
        }
        let hint = other_weights(&folder).map_or(String::new(), |hint| format!(" ({hint})"));
        Err(Error::checkpoint(
            folder.path(),
            format!("neither {WEIGHTS_FILE} nor {INDEX_FILE} is there{hint}"),
        ))
    }

    /// Whether a checkpoint folder has safetensors files, whole or not, be it links to nothing, or is a file itself.
    #[must_use]
    pub fn are_in(folder: impl Into<Files>) -> bool {
        let folder = folder.into();
        let is_of_weights = |name: &PathBuf| name.extension().is_some_and(|ending| ending == "safetensors");
        folder.is_file() || folder.names().iter().any(is_of_weights)
    }

    /// Opens one safetensors file, or a decoder in one of llama.cpp's (GGUF), whose tensors have the names that they have in a
    /// checkpoint of Hugging Face's.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the file cannot be read, [`Error::Checkpoint`] when it is no whole safetensors
    /// file, or a GGUF that is not whole, of another architecture or with a tensor of a type that is not read.
    pub fn from_file(file: impl Into<Files>) -> Result<Self> {
        let place = file.into();
        let file = WeightFile::open(&place)?;
        let file_of = file.tensors.keys().map(|name| (name.clone(), 0)).collect();
        Ok(Self { path: place.path().to_path_buf(), files: vec![file], file_of })
    }

    fn from_index(folder: &Files) -> Result<Self> {
        let index_file = folder.join(INDEX_FILE);
        let index_path = index_file.path().to_path_buf();
        let index = Index::read(&index_file)?;
        let shards = index.shards(&index_path)?;
        let is_missing = |name: &&str| !folder.join(name).is_listed();
        let missing = shards.iter().copied().filter(is_missing);
        let problems: Vec<String> = missing.map(|name| format!("shard {name} is missing")).collect();
        if !problems.is_empty() {
            return Err(Error::Checkpoint { path: index_path, problems });
        }

        let mut problems = Vec::new();
        let mut files = Vec::with_capacity(shards.len());
        let mut file_of = BTreeMap::new();
        for (i, name) in shards.iter().enumerate() {
            let file = WeightFile::open(&folder.join(name))?;
            for tensor in file.tensors.keys() {
                if index.weight_map.get(tensor).is_none_or(|shard| shard != name) {
                    problems.push(format!("`{tensor}` lies in {name}, but not according to the index"));
                }
                file_of.insert(tensor.clone(), i);
            }
            files.push(file);
        }
        if files.iter().any(|file| file.blocks != files[0].blocks) {
            problems.push("its shards differ in how they are quantised".into());
        }
        for (tensor, name) in &index.weight_map {
            if !file_of.contains_key(tensor) {
                problems.push(format!("`{tensor}` is not in {name}, where the index looks for it"));
            }
        }
        if !problems.is_empty() {
            return Err(Error::Checkpoint { path: index_path, problems });
        }
        Ok(Self { path: folder.path().to_path_buf(), files, file_of })
    }

    /// The file or folder that was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.file_of.keys().map(String::as_str)
    }

    /// What errors call a tensor: by its name, and in a GGUF by the one that it has there, with this one behind it.
    pub(super) fn title(&self, name: &str) -> String {
        let is_gguf = self.files.iter().any(|file| file.is_gguf);
        match gguf::own_name(name).filter(|_| is_gguf) {
            Some(own) => format!("`{own}` ({name})"),
            None => format!("`{name}`"),
        }
    }

    /// The format of the matrices in blocks, if it is a quantised model.
    #[must_use]
    pub fn block_format(&self) -> Option<BlockFormat> {
        self.files.first()?.blocks
    }

    /// Refuses blocks that are wanted as anything else, as loading does.
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`].
    pub fn check_dtype(&self, dtype: WeightDtype) -> Result<()> {
        match self.block_format() {
            Some(format) if dtype != WeightDtype::Blocks(format) => {
                Err(Error::checkpoint(&self.path, other_format(format, dtype)))
            }
            _ => Ok(()),
        }
    }

    /// Whether all its matrices are stored in bf16.
    pub(super) fn is_bf16(&self) -> bool {
        let tensors = self.names().filter_map(|name| self.get(name));
        let mut matrices = tensors.filter(|tensor| tensor.shape.len() > 1).peekable();
        matrices.peek().is_some()
            && matrices.all(|tensor| tensor.dtype == Dtype::BF16 && tensor.coding.is_none())
    }

    /// The tensor of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<StoredTensor<'_>> {
        self.files[*self.file_of.get(name)?].get(name)
    }

    /// A tensor's numbers, in f32.
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`] for a tensor that is not there or holds something else than finite numbers.
    pub fn numbers(&self, name: &str) -> Result<TensorData> {
        let error = |reason: &str| Error::checkpoint(&self.path, format!("{} {reason}", self.title(name)));
        let stored = self.get(name).ok_or_else(|| error("is missing"))?;
        let data = cast(stored, FloatDType::F32).map_err(|reason| error(&reason))?;
        release_if_copied(stored, data.as_bytes());
        Ok(data)
    }

    /// A vision tower's tensor, from the tower's own folder.
    ///
    /// Names begin with `vision_model.`, which transformers leaves out since version 5 where it saves a tower alone.
    pub(super) fn tower_tensor(&self, name: &str) -> Option<StoredTensor<'_>> {
        self.get(name).or_else(|| self.get(name.strip_prefix("vision_model.")?))
    }
}

/// What `device` should hold these weights in unless something else is asked for.
///
/// - tower: the tower's, if they lie in a folder of their own
pub(super) fn suited_dtype(
    weights: &Weights,
    tower: Option<&Weights>,
    device: &Device,
) -> Result<WeightDtype> {
    if let Some(format) = weights.block_format() {
        return device::weight_dtype(device, Some(format.into()));
    }
    if device::is_cpu(device) && weights.is_bf16() && tower.is_none_or(Weights::is_bf16) {
        return device::weight_dtype(device, Some(FloatDType::BF16.into()));
    }
    device::weight_dtype(device, None)
}

/// What is said of a folder that holds something else than a model's files.
const ADAPTER: &str = "it holds an adapter: merge it into its model first, `merge_and_unload` does";
const GGUF: &str = "a model in a GGUF is named by that file";

/// Whether this is what PEFT writes.
fn holds_adapter(folder: &Files) -> bool {
    let names = ["adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"];
    names.iter().any(|name| folder.join(name).is_listed())
}

/// A model's `config.json`. Where there is none, and the folder holds an adapter or a GGUF instead, the error says so.
///
/// # Errors
///
/// [`Error::Checkpoint`].
pub(super) fn config_file(folder: &Files) -> Result<Files> {
    let file = folder.join(CONFIG_FILE);
    if file.is_listed() {
        return Ok(file);
    }
    let is_gguf = |name: &PathBuf| name.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gguf"));
    let hint = match folder {
        _ if holds_adapter(folder) => ADAPTER,
        _ if folder.names().iter().any(is_gguf) => GGUF,
        _ => return Ok(file),
    };
    Err(Error::checkpoint(folder.path(), format!("there is no {CONFIG_FILE} ({hint})")))
}

/// What to do about weights in another form, if such files are there.
fn other_weights(folder: &Files) -> Option<&'static str> {
    let names = folder.names().into_iter();
    let endings: BTreeSet<String> =
        names.filter_map(|name| Some(name.extension()?.to_str()?.to_lowercase())).collect();
    let is_there = |name: &str| folder.join(name).is_listed();
    if holds_adapter(folder) {
        Some(ADAPTER)
    } else if is_there("pytorch_model.bin") || is_there("pytorch_model.bin.index.json") {
        Some("pytorch_model.bin has to be converted to safetensors first")
    } else if ["bin", "pt", "pth", "ckpt"].iter().any(|ending| endings.contains(*ending)) {
        Some("its weights in PyTorch's pickle format have to be converted to safetensors first")
    } else if endings.contains("gguf") {
        Some(GGUF)
    } else if endings.contains("safetensors") {
        Some("its .safetensors files have other names")
    } else {
        None
    }
}

/// The files that an index names, for whoever has to fetch them first.
#[cfg(feature = "hub")]
pub(super) fn shard_names(index_path: &Path) -> Result<Vec<String>> {
    let index = Index::read(&index_path.into())?;
    Ok(index.shards(index_path)?.into_iter().map(String::from).collect())
}

impl Index {
    fn read(file: &Files) -> Result<Self> {
        untrusted::parse_json(file.path(), &file.read(untrusted::MAX_VOCABULARY_BYTES)?)
    }

    /// The files that it names, each once; an error if one lies outside the index's folder.
    fn shards(&self, path: &Path) -> Result<BTreeSet<&str>> {
        let shards: BTreeSet<&str> = self.weight_map.values().map(String::as_str).collect();
        let outside = shards.iter().filter(|name| !is_plain_file_name(name));
        let problems: Vec<String> =
            outside.map(|name| format!("names `{name}`, which is no file of this folder")).collect();
        if problems.is_empty() {
            Ok(shards)
        } else {
            Err(Error::Checkpoint { path: path.to_path_buf(), problems })
        }
    }
}

impl WeightFile {
    fn open(place: &Files) -> Result<Self> {
        let file = place.map()?;
        let error = |reason| Error::checkpoint(place.path(), reason);
        if gguf::begins(file.bytes()) {
            let tensors = gguf::Header::read(file.bytes()).and_then(|header| header.decoder_tensors());
            let tensors = tensors.map_err(error)?.into_iter();
            let tensors = tensors.map(|(name, tensor)| (name, Place::in_gguf(tensor))).collect();
            return Ok(Self { file, tensors, blocks: None, is_gguf: true });
        }
        let (data_start, header) = read_header(file.bytes()).map_err(error)?;
        let blocks = block_file::format_of(header.metadata().as_ref()).map_err(error)?;
        let tensors = header.tensors().into_iter().map(|(name, info)| {
            let (start, end) = info.data_offsets;
            let range = data_start + start..data_start + end;
            (name, Place { dtype: info.dtype, shape: info.shape.clone(), range, coding: None })
        });
        let tensors = tensors.collect();
        Ok(Self { file, tensors, blocks, is_gguf: false })
    }

    fn get(&self, name: &str) -> Option<StoredTensor<'_>> {
        let Place { dtype, shape, range, coding } = self.tensors.get(name)?;
        let bytes = self.file.bytes().get(range.clone())?;
        let is_blocks = *dtype == Dtype::U8 && coding.is_none();
        let blocks = self.blocks.filter(|_| is_blocks);
        Some(StoredTensor { dtype: *dtype, shape, bytes, blocks, coding: *coding, file: Some(&self.file) })
    }
}

impl Place {
    fn in_gguf(tensor: GgufTensor) -> Self {
        let GgufTensor { place, paired_heads, .. } = tensor;
        let number = match place.ggml_type {
            GgmlType::F32 => Some(Dtype::F32),
            GgmlType::F16 => Some(Dtype::F16),
            GgmlType::Bf16 => Some(Dtype::BF16),
            _ => None,
        };
        let number = number.filter(|_| paired_heads.is_none());
        let coding = number.is_none().then_some(GgufCoding { ggml_type: place.ggml_type, paired_heads });
        // What is no number is bytes.
        Self { dtype: number.unwrap_or(Dtype::U8), shape: place.shape, range: place.range, coding }
    }
}

/// Where the tensors start, and what the header says of them.
///
/// Not `SafeTensors::deserialize`, whose sum of offsets can overflow on a hostile header.
fn read_header(bytes: &[u8]) -> Result<(usize, Metadata), String> {
    if untrusted::is_lfs_pointer(bytes) {
        return Err(untrusted::LFS_POINTER.into());
    }
    let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX>() else {
        return Err(format!("is no safetensors file: {} bytes long", bytes.len()));
    };
    let length = u64::from_le_bytes(*prefix);
    let header = usize::try_from(length)
        .ok()
        .filter(|length| *length <= MAX_HEADER)
        .and_then(|length| rest.get(..length))
        .ok_or_else(|| {
            format!("is no safetensors file, or cut off: a header of {length} bytes in {} bytes", bytes.len())
        })?;
    let metadata: Metadata = untrusted::from_json(header)
        .map_err(|error| format!("has an invalid header: {}", plain_reason(&error.to_string())))?;
    let data_start = PREFIX + header.len();
    let (promised, present) = (metadata.data_len(), bytes.len() - data_start);
    if promised != present {
        return Err(format!("is cut off or padded: the header promises {promised} bytes, {present} follow"));
    }
    Ok((data_start, metadata))
}

/// Whether a name from an index stays inside its folder.
fn is_plain_file_name(name: &str) -> bool {
    let mut components = Path::new(name).components();
    let plain = matches!(components.next(), Some(Component::Normal(_))) && components.next().is_none();
    plain && !name.contains(['/', '\\'])
}

#[cfg(test)]
mod tests {
    use super::super::testing::with_header;
    use super::*;

    fn open(bytes: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(WEIGHTS_FILE);
        std::fs::write(&path, bytes).unwrap();
        Weights::from_file(&path).map(|_| "opened".to_string()).unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn hostile_files_are_refused() {
        let one = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
        assert_eq!(open(&with_header(one, &[0; 8])), "opened");
        let huge = u64::MAX.to_le_bytes();
        // Sixteen tensors of 2⁶⁰ bytes each: their sum, with the header's length, overflows 64 bits.
        let step = 1_u64 << 60;
        let overflowing: Vec<String> = (0..16)
            .map(|i| {
                let (start, end) = (i * step, if i == 15 { u64::MAX } else { (i + 1) * step });
                format!(r#""{i}":{{"dtype":"U8","shape":[{}],"data_offsets":[{start},{end}]}}"#, end - start)
            })
            .collect();
        let overflowing = format!("{{{}}}", overflowing.join(","));
        for (what, bytes, expected) in [
            ("empty", Vec::new(), "0 bytes long"),
            ("shorter than a prefix", vec![1, 2, 3], "3 bytes long"),
            ("text", b"this is not a safetensors file".to_vec(), "is no safetensors file, or cut off"),
            ("header longer than the file", huge.to_vec(), "is no safetensors file, or cut off"),
            ("no JSON", with_header("{nonsense", &[]), "invalid header"),
            ("no UTF-8", with_header("\u{0}", &[]), "invalid header"),
            ("cut off", with_header(one, &[0; 7]), "promises 8 bytes, 7 follow"),
            ("padded", with_header(one, &[0; 9]), "promises 8 bytes, 9 follow"),
            (
                "wrong size",
                with_header(r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#, &[0; 8]),
                "invalid shape",
            ),
            (
                "backwards",
                with_header(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#, &[0; 8]),
                "invalid offset",
            ),
            (
                "overlap",
                with_header(
                    r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},
                        "b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#,
                    &[0; 12],
                ),
                "invalid offset for tensor `b`",
            ),
            (
                "overflowing shape",
                with_header(
                    r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}}"#,
                    &[0; 8],
                ),
                "overflow",
            ),
            ("overflowing sum", with_header(&overflowing, &[0; 8]), "promises 18446744073709551615 bytes"),
        ] {
            let error = open(&bytes);
            assert!(error.contains(expected), "{what}: {error}");
        }
    }

    fn open_index(index: &str, shards: &[(&str, &str)]) -> String {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(INDEX_FILE), index).unwrap();
        for (name, tensor) in shards {
            let header = format!(r#"{{"{tensor}":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}}}"#);
            std::fs::write(folder.path().join(name), with_header(&header, &[0; 4])).unwrap();
        }
        match Weights::from_folder(folder.path()) {
            Ok(weights) => weights.names().collect::<Vec<_>>().join(","),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn an_index_has_to_tell_the_truth() {
        let index = r#"{"metadata":{"total_size":8},"weight_map":{"a":"1.safetensors","b":"2.safetensors"}}"#;
        let both = [("1.safetensors", "a"), ("2.safetensors", "b")];
        assert_eq!(open_index(index, &both), "a,b");
        for (index, shards, expected) in [
            (index, &both[..1], "shard 2.safetensors is missing"),
            (index, &[("1.safetensors", "a"), ("2.safetensors", "c")], "`b` is not in 2.safetensors"),
            (index, &[("1.safetensors", "b"), ("2.safetensors", "b")], "`b` lies in 1.safetensors"),
            (r#"{"weight_map":{"a":"../1.safetensors"}}"#, &both, "which is no file of this folder"),
            (r#"{"weight_map":{"a":"/1.safetensors"}}"#, &both, "which is no file of this folder"),
            (r#"{"weight_map":{"a":"x/1.safetensors"}}"#, &both, "which is no file of this folder"),
            (r#"{"weight_map":{"a":"..\\1.safetensors"}}"#, &both, "which is no file of this folder"),
            (r#"{"weight_map":{"a":".."}}"#, &both, "which is no file of this folder"),
            (r#"{"weight_map":{"a":""}}"#, &both, "which is no file of this folder"),
            ("{}", &both, "does not hold what it should"),
        ] {
            let found = open_index(index, shards);
            assert!(found.contains(expected), "{index}: {found}");
        }
    }

    #[test]
    fn a_folder_without_weights_says_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let error = Weights::from_folder(folder.path()).unwrap_err().to_string();
        assert!(error.contains("neither model.safetensors nor"), "{error}");
        std::fs::write(folder.path().join("pytorch_model.bin"), "").unwrap();
        let error = Weights::from_folder(folder.path()).unwrap_err().to_string();
        assert!(error.contains("converted to safetensors first"), "{error}");
    }

    #[test]
    fn what_stands_in_the_weights_place_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = || crate::error_chain(&Weights::from_folder(folder.path()).unwrap_err());
        for name in [WEIGHTS_FILE, INDEX_FILE] {
            let place = folder.path().join(name);
            std::fs::create_dir(&place).unwrap();
            assert!(error().ends_with(&format!("{name}: it is a folder, not a file")), "{}", error());
            std::fs::remove_dir(&place).unwrap();
            #[cfg(unix)]
            {
                std::os::unix::fs::symlink("nowhere", &place).unwrap();
                assert!(error().ends_with(&format!("{name}: it is a link to nothing")), "{}", error());
                assert_eq!(Weights::are_in(folder.path()), name == WEIGHTS_FILE);
                std::fs::remove_file(&place).unwrap();
            }
        }
        std::fs::write(folder.path().join(INDEX_FILE), r#"{"weight_map":{"a":"1.safetensors"}}"#).unwrap();
        std::fs::create_dir(folder.path().join("1.safetensors")).unwrap();
        assert!(error().ends_with("1.safetensors: it is a folder, not a file"), "{}", error());
    }
}
