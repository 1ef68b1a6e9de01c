//! Where the files of a model are.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::mapped::MappedFile;
use crate::{Error, Result, untrusted};

/// A model's folder, or a file of it: on disk, or in memory where there is no disk (in a browser) or none should be used.
///
/// Paths convert into it, so whatever reads a model takes either. Files in memory are used where they are: a tensor that is
/// wanted as it is stored lies in the bytes that were given.
///
/// ```
/// use parrot_model::checkpoint::{Checkpoint, Files};
///
/// let config = br#"{"mm_vision_tower": "towers/none"}"#;
/// let files = Files::in_memory("dropped", [("config.json", config.to_vec())]);
/// let error = Checkpoint::open(files).unwrap_err().to_string();
/// assert!(error.contains("dropped"), "{error}");
/// ```
#[derive(Clone)]
pub struct Files {
    path: PathBuf,
    /// The files' bytes, by paths that begin with the folder's name; `None` for what is on disk.
    memory: Option<Arc<BTreeMap<PathBuf, bytes::Bytes>>>,
}

impl Files {
    /// A folder in memory.
    ///
    /// - name: what errors call it
    /// - files: each with its path within the folder, like `config.json` and `towers/clip/config.json`
    #[must_use]
    pub fn in_memory(
        name: impl Into<PathBuf>,
        files: impl IntoIterator<Item = (impl AsRef<Path>, Vec<u8>)>,
    ) -> Self {
        let path = name.into();
        let files = files.into_iter().map(|(file, bytes)| (path.join(file), bytes::Bytes::from(bytes)));
        let memory = Some(Arc::new(files.collect()));
        Self { path, memory }
    }

    /// Its path: on disk, or in memory as errors name it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is in memory rather than on disk.
    #[must_use]
    pub fn is_in_memory(&self) -> bool {
        self.memory.is_some()
    }

    /// A file or folder within this folder.
    #[must_use]
    pub fn join(&self, name: impl AsRef<Path>) -> Self {
        self.at(self.path.join(name))
    }

    /// A file or folder beside this one.
    pub(crate) fn beside(&self, name: impl AsRef<Path>) -> Self {
        // A relative path of one component has the empty parent, which is the working folder.
        self.at(self.path.parent().unwrap_or(&self.path).join(name))
    }

    fn at(&self, path: PathBuf) -> Self {
        Self { path, memory: self.memory.clone() }
    }

    /// Whether there is such a file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        match &self.memory {
            None => self.path.is_file(),
            Some(files) => files.contains_key(&self.path),
        }
    }

    /// Whether there is such a folder.
    #[must_use]
    pub fn is_folder(&self) -> bool {
        match &self.memory {
            None => self.path.is_dir(),
            Some(files) => files.keys().any(|file| *file != self.path && file.starts_with(&self.path)),
        }
    }

    /// Whether its folder lists anything of this name, be it a link to nothing: a file that is there and cannot be read is an error,
    /// and not a missing one.
    #[must_use]
    pub fn is_listed(&self) -> bool {
        match self.memory {
            None => self.path.symlink_metadata().is_ok(),
            Some(_) => self.exists(),
        }
    }

    /// Whether there is anything of this name.
    pub(crate) fn exists(&self) -> bool {
        match self.memory {
            None => self.path.exists(),
            Some(_) => self.is_file() || self.is_folder(),
        }
    }

    /// The names of what lies in this folder, as far as they can be read.
    pub(crate) fn names(&self) -> Vec<PathBuf> {
        match &self.memory {
            None => {
                let entries = std::fs::read_dir(&self.path).into_iter().flatten().flatten();
                entries.map(|entry| entry.file_name().into()).collect()
            }
            Some(files) => {
                let within = files.keys().filter_map(|file| file.strip_prefix(&self.path).ok());
                within.map(Path::to_path_buf).collect()
            }
        }
    }

    /// The file's bytes, at most `max_bytes`, as [`untrusted::read`].
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub(crate) fn read(&self, max_bytes: u64) -> Result<Cow<'_, [u8]>> {
        if self.memory.is_none() {
            return untrusted::read(&self.path, max_bytes).map(Cow::Owned);
        }
        let bytes = self.in_place()?;
        untrusted::check(&self.path, bytes, max_bytes)?;
        Ok(Cow::Borrowed(bytes))
    }

    /// What a file of settings in JSON holds, as [`untrusted::read_json`].
    ///
    /// # Errors
    ///
    /// [`Error::Io`] and [`Error::Json`].
    pub fn read_json<T: DeserializeOwned>(&self) -> Result<T> {
        untrusted::parse_json(&self.path, &self.read(untrusted::MAX_CONFIG_BYTES)?)
    }

    /// All of the file, however large: mapped, or where it lies in memory.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub(crate) fn map(&self) -> Result<MappedFile> {
        if self.memory.is_none() {
            let file = untrusted::open(&self.path)?;
            return MappedFile::new(&file).map_err(Error::io("read", &self.path));
        }
        self.in_place().map(|bytes| MappedFile::in_memory(bytes.clone()))
    }

    fn in_place(&self) -> Result<&bytes::Bytes> {
        let found = self.memory.as_ref().and_then(|files| files.get(&self.path));
        found.ok_or_else(|| Error::io("read", &self.path)(io::ErrorKind::NotFound.into()))
    }
}

impl<P: AsRef<Path>> From<P> for Files {
    fn from(path: P) -> Self {
        Self { path: path.as_ref().to_path_buf(), memory: None }
    }
}

impl From<&Files> for Files {
    fn from(files: &Files) -> Self {
        files.clone()
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.memory.is_some() { "memory" } else { "disk" };
        write!(f, "Files({} in {place})", self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error_chain;

    fn files() -> Files {
        let files = [("config.json", b"{}".to_vec()), ("towers/clip/config.json", b"[1]".to_vec())];
        Files::in_memory("dropped", files)
    }

    #[test]
    fn a_folder_in_memory_has_files_and_folders() {
        let files = files();
        assert!(files.is_folder() && !files.is_file());
        assert!(files.join("towers").is_folder() && files.join("towers").join("clip/config.json").is_file());
        assert!(!files.join("config.json").is_folder() && !files.join("tow").exists());
        assert!(files.join("towers/clip").beside("clip").exists());
        assert_eq!(files.join("towers/clip/config.json").read_json::<Vec<u8>>().unwrap(), [1]);
    }

    #[test]
    fn what_memory_lacks_or_has_too_much_of_is_an_error() {
        let error = error_chain(&files().join("model.safetensors").map().unwrap_err());
        assert!(error.starts_with("cannot read") && error.contains("model.safetensors"), "{error}");
        let error = error_chain(&files().join("config.json").read(1).unwrap_err());
        assert!(error.contains("larger than 1 bytes"), "{error}");
    }

    #[test]
    fn tensors_lie_where_the_bytes_are() {
        let bytes = vec![7_u8; 4 << 20];
        let place = bytes.as_ptr();
        let file = Files::in_memory("dropped", [("model.safetensors", bytes)]).join("model.safetensors");
        let map = file.map().unwrap();
        assert_eq!(map.share(map.bytes(), 1).unwrap().as_ptr(), place);
        // Its pages are nobody else's: giving them back would lose what is in them.
        map.release(map.bytes());
        assert!(map.bytes().iter().all(|byte| *byte == 7));
    }
}
