//! Models by their id on the Hugging Face hub, e.g. `AIDC-AI/Parrot-7B`.
//!
//! Files are kept in the cache that all Hugging Face tools share. `HF_HOME`, `HF_HUB_CACHE`, `HF_ENDPOINT`,
//! `HF_TOKEN`, `HF_HUB_DOWNLOAD_TIMEOUT` and `HF_HUB_OFFLINE` mean what they mean there. When the hub cannot be reached or is
//! overloaded, what the cache holds is used; a download that was interrupted resumes where it was.

#[cfg(feature = "hub")]
mod cache;
#[cfg(feature = "hub")]
mod client;
#[cfg(feature = "hub")]
mod remote;
#[cfg(feature = "hub")]
mod settings;
#[cfg(all(test, feature = "hub"))]
mod tests;

use std::path::{Path, PathBuf};

use crate::{Error, Result, gguf};

/// Called as a download proceeds, with the file, its bytes so far and its total size.
pub type DownloadProgress = std::sync::Arc<dyn Fn(&str, u64, u64) + Send + Sync>;

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

/// [`resolve_with`] for [`Description::open`](super::Description::open): of a model on the hub no weights are
/// downloaded.
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
    folder_or(id_or_path, || remote::download_part(id_or_path, true, progress))
}

/// [`resolve_part`] without its weights: of a part on the hub they are not downloaded.
///
/// # Errors
///
/// As [`resolve`].
pub fn resolve_part_description(id_or_path: &str, progress: Option<DownloadProgress>) -> Result<PathBuf> {
    folder_or(id_or_path, || remote::download_part(id_or_path, false, progress))
}

/// The folder of this name, or what `download` gives if the name is an id.
fn folder_or(id_or_path: &str, download: impl FnOnce() -> Result<PathBuf>) -> Result<PathBuf> {
    let path = Path::new(id_or_path);
    if path.is_dir() || gguf::is_gguf(&path.into()) {
        return Ok(path.to_path_buf());
    }
    match parse_id(id_or_path) {
        Some(HubId { owner, .. }) if !path.exists() && !Path::new(owner).is_dir() => download(),
        _ if path.exists() => {
            Err(Error::checkpoint(path, "is a file, and neither a model's folder nor a GGUF"))
        }
        _ => Err(Error::checkpoint(path, "no such folder")),
    }
}

/// The description and weights of a vision tower.
pub(super) fn download_tower(id: &str) -> Result<PathBuf> {
    remote::download_part(id, true, None)
}

/// A model on the hub, as `owner/name@revision` names it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HubId<'n> {
    /// `owner/name`.
    pub(super) id: &'n str,
    pub(super) owner: &'n str,
    /// A branch, tag or commit; `None` for the newest of the main branch.
    pub(super) revision: Option<&'n str>,
}

/// Splits `owner/name` or `owner/name@revision`; `None` for anything else.
pub(super) fn parse_id(text: &str) -> Option<HubId<'_>> {
    let is_part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    let (id, revision) = text.split_once('@').map_or((text, None), |(id, revision)| (id, Some(revision)));
    let (owner, name) = id.split_once('/')?;
    let is_revision = |revision: &str| revision.split('/').all(is_part);
    (is_part(owner) && is_part(name) && revision.is_none_or(is_revision)).then_some(HubId {
        id,
        owner,
        revision,
    })
}

#[cfg(not(feature = "hub"))]
mod remote {
    use super::{DownloadProgress, Error, PathBuf, Result};

    pub(super) fn download_model(id: &str, progress: Option<DownloadProgress>) -> Result<PathBuf> {
        download_part(id, true, progress)
    }

    pub(super) fn download_description(id: &str, progress: Option<DownloadProgress>) -> Result<PathBuf> {
        download_part(id, false, progress)
    }

    pub(super) fn download_part(
        id: &str,
        _weights: bool,
        _progress: Option<DownloadProgress>,
    ) -> Result<PathBuf> {
        let reason = "no such folder, and this program was built without the feature `hub`".to_string();
        Err(Error::Hub { id: id.into(), reason })
    }
}

#[cfg(test)]
mod path_tests {
    use super::*;

    #[test]
    fn only_owner_and_name_are_an_id() {
        let id = parse_id("AIDC-AI/Parrot-7B").unwrap();
        assert_eq!((id.id, id.owner, id.revision), ("AIDC-AI/Parrot-7B", "AIDC-AI", None));
        let id = parse_id("AIDC-AI/Parrot-7B@refs/pr/1").unwrap();
        assert_eq!((id.id, id.revision), ("AIDC-AI/Parrot-7B", Some("refs/pr/1")));
        for path in [
            "parrot",
            "./parrot",
            "../parrot",
            "/models/parrot",
            "a/b/c",
            "a/b/",
            "~/parrot",
            "a/..",
            "a b/c",
            "a/b@",
            "a/b@../c",
            "a/b@c@d",
            "",
        ] {
            assert_eq!(parse_id(path), None, "{path}");
        }
    }

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
    }
}
