//! What a checkpoint needs of its repository, through the `hf-hub` crate.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hf_hub::progress::{DownloadEvent, FileProgress, ProgressEvent, ProgressHandler};
use hf_hub::repository::RepoTypeModel;
use hf_hub::{HFClient, HFClientBuilder, HFError, HFRepositorySync};

use super::super::DecoderDescription;
use super::super::layout::{COMPANION_FILES, CONFIG_FILE, INDEX_FILE, PROCESSOR_FILE, WEIGHTS_FILE};
use super::super::weights::shard_names;
use super::{DownloadProgress, parse_id};
use crate::config::{ParrotConfig, VisionConfig};
use crate::{Error, Result};

pub(super) fn download_model(id: &str, progress: Option<DownloadProgress>) -> Result<PathBuf> {
    Repository::open(id, HFClient::builder(), is_offline(), progress)?.model()
}

pub(super) fn download_description(id: &str, progress: Option<DownloadProgress>) -> Result<PathBuf> {
    Ok(Repository::open(id, HFClient::builder(), is_offline(), progress)?.description()?.0)
}

pub(super) fn download_part(id: &str, weights: bool, progress: Option<DownloadProgress>) -> Result<PathBuf> {
    Repository::open(id, HFClient::builder(), is_offline(), progress)?.part(weights)
}

/// `HF_HUB_OFFLINE`, which the crate does not read itself, by the rules of Python's `huggingface_hub`.
fn is_offline() -> bool {
    let is_on = |value: String| ["1", "on", "yes", "true"].contains(&value.to_lowercase().as_str());
    ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"].into_iter().any(|name| std::env::var(name).is_ok_and(is_on))
}

/// One model on the hub.
pub(super) struct Repository {
    id: String,
    remote: HFRepositorySync<RepoTypeModel>,
    offline: bool,
    progress: Option<DownloadProgress>,
}

impl Repository {
    pub(super) fn open(
        id: &str,
        client: HFClientBuilder,
        offline: bool,
        progress: Option<DownloadProgress>,
    ) -> Result<Self> {
        let error = |reason: String| Error::Hub { id: id.into(), reason };
        let (owner, name) = parse_id(id).ok_or_else(|| error("is no `owner/name`".into()))?;
        let client = client.build_sync().map_err(|source| error(one_line(&source)))?;
        Ok(Self { id: id.into(), remote: client.model(owner, name), offline, progress })
    }

    /// Everything that [`Checkpoint`](crate::checkpoint::Checkpoint) and the tokenizer read.
    pub(super) fn model(&self) -> Result<PathBuf> {
        let (folder, revision) = self.description()?;
        self.weights(&folder, &revision)?;
        Ok(folder)
    }

    /// The same without the weights: the folder, and the commit's hash.
    pub(super) fn description(&self) -> Result<(PathBuf, String)> {
        let (folder, revision) = self.snapshot()?;
        let tower = if DecoderDescription::is_in(&folder)? {
            None
        } else {
            ParrotConfig::from_file(folder.join(CONFIG_FILE))?.mm_vision_tower
        };
        for name in COMPANION_FILES {
            self.optional(name, &revision)?;
        }
        // A name that leads out of the repository would lead out of the cache's folder too.
        let is_inside =
            |tower: &String| Path::new(tower).components().all(|part| matches!(part, Component::Normal(_)));
        let tower = tower.filter(|tower| VisionConfig::well_known(tower).is_none() && is_inside(tower));
        if let Some(tower) = tower {
            for name in [CONFIG_FILE, PROCESSOR_FILE] {
                self.optional(&format!("{tower}/{name}"), &revision)?;
            }
        }
        Ok((folder, revision))
    }

    /// A decoder or a vision tower, whose configuration is none of a Parrot.
    pub(super) fn part(&self, weights: bool) -> Result<PathBuf> {
        let (folder, revision) = self.snapshot()?;
        for name in COMPANION_FILES {
            self.optional(name, &revision)?;
        }
        if weights {
            self.weights(&folder, &revision)?;
        }
        Ok(folder)
    }

    /// The cache's folder for the newest commit, and that commit's hash: asking for all other files by it
    /// keeps them from being mixed with a later commit's.
    fn snapshot(&self) -> Result<(PathBuf, String)> {
        let config = self.file(CONFIG_FILE, None)?;
        let folder = config.parent().unwrap_or(Path::new("")).to_path_buf();
        let revision = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_string();
        Ok((folder, revision))
    }

    fn weights(&self, folder: &Path, revision: &str) -> Result<()> {
        if self.optional(INDEX_FILE, revision)? {
            for shard in shard_names(&folder.join(INDEX_FILE))? {
                self.file(&shard, Some(revision))?;
            }
            return Ok(());
        }
        self.file(WEIGHTS_FILE, Some(revision)).map(|_| ())
    }

    /// Whether the repository has this file, which is then in the cache.
    fn optional(&self, name: &str, revision: &str) -> Result<bool> {
        match self.download(name, Some(revision)) {
            Ok(_) => Ok(true),
            Err(Failure::Hub(HFError::EntryNotFound { .. })) => Ok(false),
            Err(Failure::Hub(HFError::LocalEntryNotFound { .. })) if self.offline => Ok(false),
            Err(failure) => Err(self.error(name, failure)),
        }
    }

    fn file(&self, name: &str, revision: Option<&str>) -> Result<PathBuf> {
        self.download(name, revision).map_err(|failure| self.error(name, failure))
    }

    fn download(&self, name: &str, revision: Option<&str>) -> Result<PathBuf, Failure> {
        let watch = Arc::new(Watch { progress: self.progress.clone(), total: AtomicU64::new(0) });
        let path = self
            .remote
            .download_file()
            .filename(name)
            .maybe_revision(revision)
            .local_files_only(self.offline)
            .progress(Arc::clone(&watch))
            .send()
            .map_err(Failure::Hub)?;
        // The crate stores whatever the second request answers, an error page included.
        let expected = watch.total.load(Ordering::Relaxed);
        let found = std::fs::metadata(&path).map_err(|source| Failure::Hub(source.into()))?.len();
        if expected != 0 && expected != found {
            if let Ok(blob) = path.canonicalize() {
                let _ = std::fs::remove_file(blob);
            }
            let _ = std::fs::remove_file(&path);
            return Err(Failure::Size { expected, found });
        }
        Ok(path)
    }

    fn error(&self, name: &str, failure: Failure) -> Error {
        let reason = match failure {
            Failure::Size { expected, found } => {
                format!("{name} arrived with {found} bytes instead of {expected}; try again")
            }
            Failure::Hub(HFError::EntryNotFound { .. } | HFError::RepoNotFound { .. }) => {
                format!("the hub has no such model, or the model has no {name}")
            }
            Failure::Hub(HFError::LocalEntryNotFound { .. }) => {
                format!("{name} is not in the cache, and HF_HUB_OFFLINE forbids to download it")
            }
            Failure::Hub(HFError::AuthRequired { .. }) => {
                "the hub has no such public model; for a private one, set HF_TOKEN".into()
            }
            Failure::Hub(HFError::Forbidden { .. }) => {
                "the hub refuses access: accept the model's terms on its page, and set HF_TOKEN".into()
            }
            Failure::Hub(error) => one_line(&error),
        };
        Error::Hub { id: self.id.clone(), reason }
    }
}

enum Failure {
    Hub(HFError),
    /// Bytes announced and bytes stored.
    Size {
        expected: u64,
        found: u64,
    },
}

/// Passes progress on, and remembers how large the file was said to be.
struct Watch {
    progress: Option<DownloadProgress>,
    total: AtomicU64,
}

impl ProgressHandler for Watch {
    fn on_progress(&self, event: &ProgressEvent) {
        match event {
            ProgressEvent::Download(DownloadEvent::Start { total_bytes, .. }) => {
                self.total.store(*total_bytes, Ordering::Relaxed);
            }
            ProgressEvent::Download(DownloadEvent::Progress { files }) => {
                for FileProgress { filename, bytes_completed, total_bytes, .. } in files {
                    tracing::debug!(filename, bytes_completed, total_bytes, "downloading");
                    if let Some(progress) = &self.progress {
                        progress(filename, *bytes_completed, *total_bytes);
                    }
                }
            }
            _ => {}
        }
    }
}

/// The innermost cause on one line: "Connection refused" says more than the layers around it.
fn one_line(error: &HFError) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let what = match error {
        HFError::Request { url: Some(url), .. } => format!("cannot reach {url}: {cause}"),
        HFError::Request { .. } => format!("cannot reach the hub: {cause}"),
        error => error.to_string(),
    };
    what.lines().next().unwrap_or_default().to_string()
}
