//! The folder of one model in the cache that all Hugging Face tools share:
//!
//! ```text
//! models--owner--name/refs/main                  the commit that the branch was at
//! models--owner--name/snapshots/COMMIT/FILE      a link to its bytes
//! models--owner--name/blobs/ETAG                 the bytes
//! models--owner--name/blobs/ETAG.incomplete      the bytes of an unfinished download
//! models--owner--name/.no_exist/COMMIT/FILE      the commit has no such file
//! .locks/models--owner--name/ETAG.lock           held while the bytes arrive
//! ```

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often a lock is tried that another process holds.
const LOCK_INTERVAL: Duration = Duration::from_millis(100);

/// One model's folder.
#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
    locks: PathBuf,
}

impl Cache {
    pub(super) fn new(root: &Path, id: &str) -> Self {
        let name = format!("models--{}", id.replace('/', "--"));
        Self { folder: root.join(&name), locks: root.join(".locks").join(name) }
    }

    /// The folder of a commit's files.
    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    /// A file of a commit, if it is here.
    pub(super) fn file(&self, commit: &str, name: &str) -> Option<PathBuf> {
        Some(self.snapshot(commit).join(name)).filter(|path| path.is_file())
    }

    /// Whether the commit is known not to have this file.
    pub(super) fn is_missing(&self, commit: &str, name: &str) -> bool {
        self.folder.join(".no_exist").join(commit).join(name).is_file()
    }

    pub(super) fn remember_missing(&self, commit: &str, name: &str) -> io::Result<()> {
        let mark = self.folder.join(".no_exist").join(commit).join(name);
        create_parent(&mark)?;
        File::create(&mark).map(|_| ()).map_err(naming("create", &mark))
    }

    /// The commit that a branch, a tag or a commit's hash stands for, as far as it is known here.
    pub(super) fn commit(&self, revision: &str) -> Option<String> {
        if self.snapshot(revision).is_dir() {
            return Some(revision.into());
        }
        let commit = fs::read_to_string(self.folder.join("refs").join(revision)).ok()?;
        Some(commit.trim().to_string()).filter(|commit| is_file_name(commit))
    }

    pub(super) fn remember_commit(&self, revision: &str, commit: &str) -> io::Result<()> {
        if revision == commit || self.commit(revision).as_deref() == Some(commit) {
            return Ok(());
        }
        let path = self.folder.join("refs").join(revision);
        create_parent(&path)?;
        let unfinished = path.with_extension(format!("{}.tmp", std::process::id()));
        fs::write(&unfinished, commit)
            .and_then(|()| fs::rename(&unfinished, &path))
            .map_err(naming("write", &path))
    }

    /// Where the bytes with this tag lie.
    pub(super) fn blob(&self, etag: &str) -> PathBuf {
        self.folder.join("blobs").join(etag)
    }

    /// Where the bytes lie until all have arrived.
    pub(super) fn incomplete(&self, etag: &str) -> PathBuf {
        self.folder.join("blobs").join(format!("{etag}.incomplete"))
    }

    /// Waits until no other process downloads these bytes; the lock ends with the file.
    ///
    /// - waiting: called again and again with how many bytes the other process has
    pub(super) fn lock(&self, etag: &str, waiting: impl Fn(u64)) -> io::Result<File> {
        let path = self.locks.join(format!("{etag}.lock"));
        create_parent(&path)?;
        create_parent(&self.blob(etag))?;
        let file = File::options().create(true).append(true).open(&path).map_err(naming("open", &path))?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => {
                    waiting(fs::metadata(self.incomplete(etag)).map_or(0, |file| file.len()));
                    std::thread::sleep(LOCK_INTERVAL);
                }
                Err(TryLockError::Error(error)) => return Err(naming("lock", &path)(error)),
            }
        }
    }

    /// Makes the bytes with this tag a file of the commit.
    pub(super) fn link(&self, commit: &str, name: &str, etag: &str) -> io::Result<PathBuf> {
        let path = self.snapshot(commit).join(name);
        create_parent(&path)?;
        let unfinished = path.with_extension(format!("{}.tmp", std::process::id()));
        let _ = fs::remove_file(&unfinished);
        // From `snapshots/COMMIT/a/b` the blobs are at `../../../blobs`.
        let up: PathBuf = std::iter::repeat_n("..", Path::new(name).components().count() + 1).collect();
        if link(&up.join("blobs").join(etag), &unfinished).is_err() {
            // Windows lets only some users make links.
            fs::copy(self.blob(etag), &unfinished).map_err(naming("write", &unfinished))?;
        }
        fs::rename(unfinished, &path).map_err(naming("write", &path))?;
        Ok(path)
    }
}

#[cfg(unix)]
fn link(target: &Path, path: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, path)
}

#[cfg(windows)]
fn link(target: &Path, path: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target, path)
}

#[cfg(not(any(unix, windows)))]
fn link(_target: &Path, _path: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

fn create_parent(path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new(""));
    fs::create_dir_all(folder).map_err(naming("create", folder))
}

/// An error that says what could not be done with which path.
pub(super) fn naming(doing: &str, path: &Path) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("cannot {doing} {}: {error}", path.display()))
}

/// Whether a commit or a tag that came from elsewhere can be a file's name and nothing more.
pub(super) fn is_file_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}
