//! A folder, or an id on the hub → the folder.

use std::path::{Path, PathBuf};

use super::DownloadProgress;
use super::id::{HubId, parse_id};
#[cfg(feature = "hub")]
use super::remote;
use crate::untrusted::{LFS_POINTER, is_lfs_pointer_file};
use crate::{Error, Result, gguf};

/// A model's folder: the one that was named (or a text model's GGUF), or the cached files of the model with this id on the hub,
/// downloaded first if need be (cargo feature `hub`).
///
/// Only `owner/name`, or `owner/name@revision` for a branch, tag or commit, is taken for an id, and only if there is no
/// folder `owner` here.
///
/// # Errors
///
/// [`Error::Checkpoint`] when this is a path and no folder; [`Error::Hub`] when the model cannot be
/// downloaded.
pub fn resolve(id_or_path: &str) -> Result<PathBuf> {
    resolve_with(id_or_path, None)
}

/// [`resolve`] with a callback for downloads.
///
/// # Errors
///
/// As [`resolve`].
pub fn resolve_with(id_or_path: &str, progress: Option<DownloadProgress>) -> Result<PathBuf> {
    folder_or(id_or_path, || remote::download_model(id_or_path, progress))
}

/// [`resolve_with`] for [`Description::open`](crate::checkpoint::Description::open), without downloading the weights of a
/// model on the hub.
///
/// # Errors
///
/// As [`resolve`].
pub fn resolve_description(id_or_path: &str, progress: Option<DownloadProgress>) -> Result<PathBuf> {
    folder_or(id_or_path, || remote::download_description(id_or_path, progress))
}

/// [`resolve_with`] for a part that a new model begins with, whose folder describes no Parrot: a decoder with its
/// tokenizer, `Qwen/Qwen1.5-7B-Chat`, or a vision tower.
///
/// # Errors
///
/// As [`resolve`].
pub fn resolve_part(id_or_path: &str, progress: Option<DownloadProgress>) -> Result<PathBuf> {
    folder_or(id_or_path, || remote::download_part(id_or_path, progress))
}

/// [`resolve_part`] without downloading the weights of a part on the hub.
///
/// # Errors
///
/// As [`resolve`].
pub fn resolve_part_description(id_or_path: &str, progress: Option<DownloadProgress>) -> Result<PathBuf> {
    folder_or(id_or_path, || remote::download_part_description(id_or_path, progress))
}

/// The folder of this name, or what `download` gives if the name is an id.
fn folder_or(id_or_path: &str, download: impl FnOnce() -> Result<PathBuf>) -> Result<PathBuf> {
    let path = Path::new(id_or_path);
    if path.is_dir() || gguf::is_gguf(&path.into()) {
        return Ok(path.to_path_buf());
    }
    match parse_id(id_or_path) {
        Some(HubId { owner, .. }) if !path.exists() && !Path::new(owner).is_dir() => download(),
        _ if path.is_file() && is_lfs_pointer_file(path) => Err(Error::checkpoint(path, LFS_POINTER)),
        _ if path.exists() => {
            Err(Error::checkpoint(path, "is a file, and neither a model's folder nor a GGUF"))
        }
        _ if id_or_path.is_empty() => Err(Error::checkpoint("\"\"", "the path is empty")),
        _ => Err(Error::checkpoint(path, "no such folder")),
    }
}

/// The description and weights of a vision tower.
pub(crate) fn download_tower(id: &str) -> Result<PathBuf> {
    remote::download_part(id, None)
}

#[cfg(not(feature = "hub"))]
mod remote {
    use super::{DownloadProgress, Error, PathBuf, Result};

    pub(super) fn download_model(id: &str, _: Option<DownloadProgress>) -> Result<PathBuf> {
        Err(no_hub(id))
    }

    pub(super) fn download_description(id: &str, _: Option<DownloadProgress>) -> Result<PathBuf> {
        Err(no_hub(id))
    }

    pub(super) fn download_part(id: &str, _: Option<DownloadProgress>) -> Result<PathBuf> {
        Err(no_hub(id))
    }

    pub(super) fn download_part_description(id: &str, _: Option<DownloadProgress>) -> Result<PathBuf> {
        Err(no_hub(id))
    }

    fn no_hub(id: &str) -> Error {
        let reason = "no such folder, and this program was built without the feature `hub`".to_string();
        Error::Hub { id: id.into(), reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_not_looked_up_on_the_hub() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
        assert_eq!(resolve(&path("")).unwrap(), folder.path());
        assert!(resolve(&path("missing")).unwrap_err().to_string().contains("no such folder"));
        std::fs::write(path("file"), "").unwrap();
        assert!(resolve(&path("file")).unwrap_err().to_string().contains("is a file"));
        // Tests run in the package's folder, which has a `src`.
        assert!(resolve("src/missing").unwrap_err().to_string().contains("no such folder"));
        assert_eq!(resolve("").unwrap_err().to_string(), "checkpoint \"\": the path is empty");
    }
}
