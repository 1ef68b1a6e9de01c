//! Downloads what a checkpoint needs from its repository.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};

use super::super::decoder::DecoderDescription;
use super::super::weights::shard_names;
use super::DownloadProgress;
use super::cache::{Cache, naming};
use super::client::{Client, Failure, FileInfo};
use super::id::{HubId, parse_id};
use super::settings::Settings;
use crate::config::{ParrotConfig, VisionConfig};
use crate::layout::{
    COMBINED_PROCESSOR_FILE, COMPANION_FILES, CONFIG_FILE, INDEX_FILE, PROCESSOR_FILE, WEIGHTS_FILE,
};
use crate::{Error, Result};

pub(super) fn download_model(id: &str, progress: Option<DownloadProgress>) -> Result<PathBuf> {
    Repository::from_environment(id, progress)?.model()
}

pub(super) fn download_description(id: &str, progress: Option<DownloadProgress>) -> Result<PathBuf> {
    Ok(Repository::from_environment(id, progress)?.description()?.0)
}

pub(super) fn download_part(id: &str, progress: Option<DownloadProgress>) -> Result<PathBuf> {
    Repository::from_environment(id, progress)?.part()
}

pub(super) fn download_part_description(id: &str, progress: Option<DownloadProgress>) -> Result<PathBuf> {
    Ok(Repository::from_environment(id, progress)?.part_description()?.0)
}

/// One model on the hub.
pub(super) struct Repository {
    /// The model as the user named it.
    name: String,
    id: String,
    revision: String,
    client: Client,
    cache: Cache,
    /// Why only the cache is used; `Ok` while the hub is.
    without_hub: RefCell<Option<Failure>>,
    progress: Option<DownloadProgress>,
}

impl Repository {
    fn from_environment(name: &str, progress: Option<DownloadProgress>) -> Result<Self> {
        let settings = Settings::from_environment();
        let settings = settings.map_err(|reason| Error::Hub { id: name.into(), reason })?;
        Self::open(name, &settings, progress)
    }

    pub(super) fn open(name: &str, settings: &Settings, progress: Option<DownloadProgress>) -> Result<Self> {
        let error = |reason: &str| Error::Hub { id: name.into(), reason: reason.into() };
        let HubId { id, revision, .. } = parse_id(name).ok_or_else(|| error("is no `owner/name`"))?;
        if settings.token.as_ref().is_some_and(|token| !token.chars().all(|c| c.is_ascii_graphic())) {
            return Err(error(
                "the access token (HF_TOKEN, or the file `token`) has characters that no token has",
            ));
        }
        Ok(Self {
            name: name.into(),
            cache: Cache::new(&settings.cache, id),
            id: id.into(),
            revision: revision.unwrap_or("main").into(),
            client: Client::new(settings),
            without_hub: RefCell::new(settings.offline.then_some(Failure::Offline)),
            progress,
        })
    }

    /// Everything that [`Checkpoint`](crate::checkpoint::Checkpoint) and the tokenizer read.
    pub(super) fn model(&self) -> Result<PathBuf> {
        let (folder, commit) = self.description()?;
        self.weights(&folder, &commit)?;
        Ok(folder)
    }

    /// The same without the weights: the folder, and the commit's hash.
    pub(super) fn description(&self) -> Result<(PathBuf, String)> {
        let (folder, commit) = self.snapshot()?;
        let tower = if DecoderDescription::is_in(&folder)? {
            None
        } else {
            ParrotConfig::from_file(folder.join(CONFIG_FILE))?.mm_vision_tower
        };
        for name in COMPANION_FILES {
            self.optional(name, &commit)?;
        }
        // A name that leads out of the repository would lead out of the cache's folder too.
        let is_inside = |tower: &String| {
            let mut parts = Path::new(tower).components().peekable();
            parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
        };
        let tower = tower.filter(|tower| VisionConfig::well_known(tower).is_none() && is_inside(tower));
        if let Some(tower) = tower {
            for name in [CONFIG_FILE, PROCESSOR_FILE, COMBINED_PROCESSOR_FILE] {
                self.optional(&format!("{tower}/{name}"), &commit)?;
            }
        }
        Ok((folder, commit))
    }

    /// A decoder or a vision tower, whose configuration is not that of a Parrot.
    pub(super) fn part(&self) -> Result<PathBuf> {
        let (folder, commit) = self.part_description()?;
        self.weights(&folder, &commit)?;
        Ok(folder)
    }

    /// The same without the weights: the folder, and the commit's hash.
    pub(super) fn part_description(&self) -> Result<(PathBuf, String)> {
        let (folder, commit) = self.snapshot()?;
        for name in COMPANION_FILES.into_iter().chain([COMBINED_PROCESSOR_FILE]) {
            self.optional(name, &commit)?;
        }
        Ok((folder, commit))
    }

    /// The cache's folder for the revision's commit, and that commit's hash: asking for all other files by it
    /// keeps them from being mixed with a later commit's.
    fn snapshot(&self) -> Result<(PathBuf, String)> {
        let newest = self.newest_config();
        let commit = newest.map_err(|failure| self.not_found(&failure))?;
        Ok((self.cache.snapshot(&commit), commit))
    }

    /// Fetches the configuration and returns the commit that it belongs to. When the hub cannot be reached, that is the
    /// commit which the cache knows.
    fn newest_config(&self) -> Result<String, Failure> {
        let known = self.cache.commit(&self.revision);
        let known = known.filter(|commit| self.cache.file(commit, CONFIG_FILE).is_some());
        if self.without_hub.borrow().is_some() {
            return known.ok_or(Failure::Offline);
        }
        match self.client.info(&self.id, &self.revision, CONFIG_FILE) {
            Ok(info) => {
                self.download(CONFIG_FILE, &info)?;
                self.cache.remember_commit(&self.revision, &info.commit)?;
                Ok(info.commit)
            }
            Err(failure @ Failure::Unreachable(_)) if known.is_some() => {
                tracing::debug!(?failure, "the cache is used");
                *self.without_hub.borrow_mut() = Some(failure);
                known.ok_or(Failure::Offline)
            }
            Err(failure) => Err(failure),
        }
    }

    /// A repository may hold its weights twice: one file comes before shards, as when the folder is loaded.
    fn weights(&self, folder: &Path, commit: &str) -> Result<()> {
        if self.optional(WEIGHTS_FILE, commit)? {
            return Ok(());
        }
        if self.optional(INDEX_FILE, commit)? {
            for shard in shard_names(&folder.join(INDEX_FILE))? {
                self.file(&shard, commit)?;
            }
            return Ok(());
        }
        self.file(WEIGHTS_FILE, commit)
    }

    /// Whether the commit has this file, which is then in the cache. Without the hub, what is not in the cache counts as
    /// missing.
    fn optional(&self, name: &str, commit: &str) -> Result<bool> {
        match self.fetch(name, commit) {
            Ok(()) => Ok(true),
            Err(Failure::NoFile(_)) => Ok(false),
            Err(_) if self.without_hub.borrow().is_some() => Ok(false),
            Err(failure) => Err(self.error(name, &failure)),
        }
    }

    fn file(&self, name: &str, commit: &str) -> Result<()> {
        self.fetch(name, commit).map_err(|failure| self.error(name, &failure))
    }

    /// Gets a file of a commit into the cache. What a commit has does not change: nothing is asked twice.
    fn fetch(&self, name: &str, commit: &str) -> Result<(), Failure> {
        if self.cache.file(commit, name).is_some() {
            return Ok(());
        }
        if self.cache.is_missing(commit, name) {
            return Err(Failure::NoFile(None));
        }
        match &*self.without_hub.borrow() {
            Some(Failure::Unreachable(why)) => return Err(Failure::Unreachable(why.clone())),
            Some(_) => return Err(Failure::Offline),
            None => {}
        }
        match self.client.info(&self.id, commit, name) {
            Ok(info) => self.download(name, &FileInfo { commit: commit.into(), ..info }),
            Err(Failure::NoFile(found)) => {
                self.cache.remember_missing(commit, name)?;
                Err(Failure::NoFile(found))
            }
            Err(failure) => Err(failure),
        }
    }

    fn download(&self, name: &str, info: &FileInfo) -> Result<(), Failure> {
        if self.cache.file(&info.commit, name).is_some() {
            return Ok(());
        }
        let _lock = self.cache.lock(&info.etag, |done| {
            tracing::debug!(name, done, "another process downloads it");
            if let Some(progress) = &self.progress {
                progress(name, done, info.size.unwrap_or(0));
            }
        })?;
        let blob = self.cache.blob(&info.etag);
        if !blob.is_file() {
            let incomplete = self.cache.incomplete(&info.etag);
            let opened = File::options().create(true).read(true).append(true).open(&incomplete);
            let mut file = opened.map_err(naming("open", &incomplete))?;
            self.receive(name, info, &mut file)?;
            let kept = file.sync_all().and_then(|()| std::fs::rename(&incomplete, &blob));
            kept.map_err(naming("write", &blob))?;
        }
        self.cache.link(&info.commit, name, &info.etag)?;
        Ok(())
    }

    /// Appends what is missing. What an earlier attempt left may be damaged, by a power cut say: if the whole is not what the
    /// hub has, it is downloaded once more from the beginning.
    fn receive(&self, name: &str, info: &FileInfo, file: &mut File) -> Result<(), Failure> {
        let progress = |done: u64, total: u64| {
            tracing::debug!(name, done, total, "downloading");
            if let Some(progress) = &self.progress {
                progress(name, done, total);
            }
        };
        let mut is_resumed = file.metadata()?.len() > 0;
        loop {
            self.client.download(info, file, &progress)?;
            if is_sound(&info.etag, file)? {
                return Ok(());
            }
            // Nobody is to go on from these bytes.
            file.set_len(0)?;
            if !is_resumed {
                let why = "it arrived with another SHA-256 than the hub says that it has";
                return Err(Failure::Other(why.into()));
            }
            is_resumed = false;
        }
    }

    /// Of a model that the hub does not give: what was named may have been meant as a folder, such as `assets/parrot-mini`.
    fn not_found(&self, failure: &Failure) -> Error {
        match self.error(CONFIG_FILE, failure) {
            Error::Hub { id, reason } if !matches!(failure, Failure::Gated | Failure::NoRevision) => {
                Error::Hub { id, reason: format!("there is no such folder here, and from the hub: {reason}") }
            }
            error => error,
        }
    }

    fn error(&self, name: &str, failure: &Failure) -> Error {
        let id = &self.id;
        let reason = match failure {
            Failure::NoModel | Failure::NoFile(_) => {
                format!("the hub has no such model, or the model has no {name}")
            }
            Failure::NoRevision => format!("{id} has no branch, tag or commit {}", self.revision),
            Failure::Offline => {
                format!("{name} is not in the cache, and HF_HUB_OFFLINE forbids to download it")
            }
            Failure::Private => "the hub has no such public model; for a private one, set HF_TOKEN".into(),
            Failure::Gated => format!(
                "the hub refuses access: accept the model's terms on its page, {id}, and set HF_TOKEN"
            ),
            Failure::Unreachable(why) | Failure::Other(why) => format!("{name}: {why}"),
        };
        Error::Hub { id: self.name.clone(), reason }
    }
}

/// Whether a file has the bytes that its tag stands for. Of large files the tag is the SHA-256; of small ones it is git's own,
/// which is not looked at.
fn is_sound(etag: &str, file: &mut File) -> io::Result<bool> {
    if etag.len() != 64 || !etag.chars().all(|c| c.is_ascii_hexdigit()) {
        return Ok(true);
    }
    file.seek(SeekFrom::Start(0))?;
    let mut hasher = Sha256::new();
    io::copy(file, &mut hasher)?;
    Ok(format!("{:x}", hasher.finalize()).eq_ignore_ascii_case(etag))
}
