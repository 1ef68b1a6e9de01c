//! Weights as they lie on disk: one safetensors file, or several and an index.
//!
//! Files are mapped into memory, so opening reads the headers alone and a tensor's bytes are fetched when
//! they are first touched. Nothing that a header says is believed before it was checked against the file's
//! length.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Component, Path, PathBuf};

use memmap2::Mmap;
use safetensors::tensor::{Dtype, Metadata};
use serde::Deserialize;

use crate::{Error, Result};

/// The only file of an unsharded checkpoint.
pub(super) const SINGLE_FILE: &str = "model.safetensors";
/// Which tensor lies in which file of a sharded checkpoint.
pub(super) const INDEX_FILE: &str = "model.safetensors.index.json";

/// Length of the number in front of a header.
const PREFIX: usize = size_of::<u64>();
/// What transformers refuses as well; a 70-billion model's header has less than one megabyte.
const MAX_HEADER: usize = 100_000_000;

/// Opened safetensors files.
///
/// The files must not be truncated while this value lives: reading a mapped page that is gone ends the
/// process. Replacing a file by renaming another over it, as [`save`](super::save) does, is safe.
#[derive(Debug)]
pub struct Weights {
    path: PathBuf,
    files: Vec<WeightFile>,
    /// Tensor name → index into `files`.
    file_of: BTreeMap<String, usize>,
}

/// One tensor, still in its file.
#[derive(Debug, Clone, Copy)]
pub struct StoredTensor<'a> {
    /// Type of its elements.
    pub dtype: Dtype,
    /// Its shape, outermost dimension first.
    pub shape: &'a [usize],
    /// Its elements, row-major and little-endian; not necessarily aligned.
    pub bytes: &'a [u8],
}

#[derive(Debug)]
struct WeightFile {
    bytes: Mmap,
    header: Metadata,
    /// Where the first tensor starts.
    data_start: usize,
}

/// `model.safetensors.index.json`: tensor name → file name.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Weights {
    /// Opens the weights of a checkpoint folder: `model.safetensors`, or else every file that
    /// `model.safetensors.index.json` names.
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`] when there are no weights, a shard is missing, the index contradicts its files
    /// or names one outside the folder, or a file is not a whole safetensors file; [`Error::Io`] and
    /// [`Error::Json`] for files that cannot be read at all.
    pub fn from_folder(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        if folder.join(SINGLE_FILE).is_file() {
            return Self::from_file(folder.join(SINGLE_FILE));
        }
        if folder.join(INDEX_FILE).is_file() {
            return Self::from_index(folder);
        }
        let hint = if folder.join("pytorch_model.bin").is_file()
            || folder.join("pytorch_model.bin.index.json").is_file()
        {
            " (pytorch_model.bin has to be converted to safetensors first)"
        } else {
            ""
        };
        Err(Error::checkpoint(folder, format!("neither {SINGLE_FILE} nor {INDEX_FILE} is there{hint}")))
    }

    /// Opens one safetensors file.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the file cannot be read, [`Error::Checkpoint`] when it is no whole safetensors
    /// file.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = WeightFile::open(path)?;
        let file_of = file.header.offset_keys().into_iter().map(|name| (name, 0)).collect();
        Ok(Self { path: path.to_path_buf(), files: vec![file], file_of })
    }

    fn from_index(folder: &Path) -> Result<Self> {
        let index_path = folder.join(INDEX_FILE);
        let index = Index::read(&index_path)?;
        let shards = index.shards(&index_path)?;
        let is_missing = |name: &&str| !folder.join(name).is_file();
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
            for tensor in file.header.offset_keys() {
                if index.weight_map.get(&tensor).is_none_or(|shard| shard != name) {
                    problems.push(format!("`{tensor}` lies in {name}, but not according to the index"));
                }
                file_of.insert(tensor, i);
            }
            files.push(file);
        }
        for (tensor, name) in &index.weight_map {
            if !file_of.contains_key(tensor) {
                problems.push(format!("`{tensor}` is not in {name}, where the index looks for it"));
            }
        }
        if !problems.is_empty() {
            return Err(Error::Checkpoint { path: index_path, problems });
        }
        Ok(Self { path: folder.to_path_buf(), files, file_of })
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

    /// The tensor of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<StoredTensor<'_>> {
        self.files[*self.file_of.get(name)?].get(name)
    }
}

/// The files that an index names, for whoever has to fetch them first.
#[cfg(feature = "hub")]
pub(super) fn shard_names(index_path: &Path) -> Result<Vec<String>> {
    let index = Index::read(index_path)?;
    Ok(index.shards(index_path)?.into_iter().map(String::from).collect())
}

impl Index {
    fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        serde_json::from_str(&text).map_err(|source| Error::Json { path: path.to_path_buf(), source })
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
    fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io("read", path))?;
        let bytes = map(&file).map_err(Error::io("read", path))?;
        let (data_start, header) = read_header(&bytes).map_err(|reason| Error::checkpoint(path, reason))?;
        Ok(Self { bytes, header, data_start })
    }

    fn get(&self, name: &str) -> Option<StoredTensor<'_>> {
        let info = self.header.info(name)?;
        let (start, end) = info.data_offsets;
        let bytes = self.bytes.get(self.data_start + start..self.data_start + end)?;
        Some(StoredTensor { dtype: info.dtype, shape: &info.shape, bytes })
    }
}

#[allow(unsafe_code)]
fn map(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: the map is private to `Weights`, which hands out shared slices only. That nobody truncates
    // the file meanwhile cannot be enforced and is documented there.
    unsafe { Mmap::map(file) }
}

/// Where the tensors start, and what the header says of them.
///
/// Not `SafeTensors::deserialize`, whose sum of offsets can overflow on a hostile header.
fn read_header(bytes: &[u8]) -> Result<(usize, Metadata), String> {
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
    let metadata: Metadata =
        serde_json::from_slice(header).map_err(|error| format!("has an invalid header: {error}"))?;
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
