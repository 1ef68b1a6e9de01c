//! Replacing a folder as a whole, or not at all.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::layout::{CONFIG_FILE, INDEX_FILE, WEIGHTS_FILE};
use crate::{Error, Result, untrusted};

/// A folder beside its destination, removed again unless it is published.
pub(super) struct Staging {
    path: PathBuf,
    destination: PathBuf,
    /// Where the destination's former content waits until the new one is in place.
    old: PathBuf,
    _lock: Lock,
}

/// Held as long as this process writes.
struct Lock {
    _file: File,
    path: PathBuf,
}

impl Staging {
    /// Creates `.<name>.partial` beside `destination`, and tidies up after a process that died while
    /// publishing. A link is followed: what it leads to is replaced, and the link stays.
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`] when the destination is a file, holds something that is no checkpoint, or is being written by
    /// another process; [`Error::Io`] when the folder cannot be created.
    pub(super) fn create(destination: &Path) -> Result<Self> {
        let destination = &place_of(destination)?;
        let unnamed = || Error::checkpoint(destination, "is no folder name to save under");
        let name = destination.file_name().ok_or_else(unnamed)?;
        let beside = |suffix| {
            let mut hidden = OsString::from(".");
            hidden.push(name);
            hidden.push(suffix);
            destination.with_file_name(hidden)
        };
        let (path, old, lock_path) = (beside(".partial"), beside(".old"), beside(".lock"));
        if let Some(parent) = lock_path.parent() {
            untrusted::create_folder(parent)?;
        }
        let lock = Lock::take(lock_path, destination)?;
        // If a process died between two steps of `publish`, finish or undo what it began.
        if old.exists() && destination.exists() {
            keep_other_files(&old, destination)?;
        } else if old.exists() {
            fs::rename(&old, destination).map_err(Error::io("restore", destination))?;
        }
        check(destination)?;
        remove(&old)?;
        remove(&path)?;
        untrusted::create_folder(&path)?;
        Ok(Self { path, destination: destination.clone(), old, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the destination's place. Files there that are neither replaced nor weights are kept.
    pub(super) fn publish(self) -> Result<()> {
        let Self { path, destination, old, .. } = &self;
        let replaces = destination.exists();
        if replaces {
            fs::rename(destination, old).map_err(Error::io("replace", destination))?;
        }
        if let Err(error) = fs::rename(path, destination) {
            if replaces {
                // Best effort: the former content is also found again by the next `create`.
                let _ = fs::rename(old, destination);
            }
            return Err(Error::io("create", destination)(error));
        }
        if replaces {
            keep_other_files(old, destination)?;
        }
        remove(old)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

impl Lock {
    /// The lock of a destination, which nobody else holds.
    fn take(path: PathBuf, destination: &Path) -> Result<Self> {
        loop {
            if path.exists() {
                untrusted::require_file(&path)?;
            }
            let opened = File::options().create(true).append(true).open(&path);
            let file = opened.map_err(Error::io("create", &path))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::checkpoint(destination, "is being written by another process"));
                }
                // Some network file systems have no locks; there, not sharing a folder is up to the user.
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
                Err(TryLockError::Error(error)) => return Err(Error::io("lock", &path)(error)),
            }
            // Who held it before has removed the file in between: then this one is nobody's.
            if is_at(&file, &path) {
                return Ok(Self { _file: file, path });
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While it is still held.
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether an open file is still what lies at its path.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), fs::metadata(path)) {
        (Ok(file), Ok(path)) => (file.dev(), file.ino()) == (path.dev(), path.ino()),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_at(_file: &File, _path: &Path) -> bool {
    true
}

/// A folder's own place: without what a shell adds behind its name (`/`, `/.`), and where a link leads.
fn place_of(folder: &Path) -> Result<PathBuf> {
    let place: PathBuf = folder.components().collect();
    if !place.is_symlink() {
        return Ok(place);
    }
    place.canonicalize().map_err(|error| {
        let link = untrusted::of_link(&error);
        Error::checkpoint(&place, format!("is {link}, not a folder to save into"))
    })
}

/// Refuses to replace what is no checkpoint.
fn check(destination: &Path) -> Result<()> {
    if !destination.exists() {
        return Ok(());
    }
    if !destination.is_dir() {
        return Err(Error::checkpoint(destination, "is a file, not a folder to save into"));
    }
    let has = |name: &str| destination.join(name).is_file();
    let is_checkpoint = has(CONFIG_FILE) && (has(WEIGHTS_FILE) || has(INDEX_FILE));
    let is_empty = fs::read_dir(destination).map_err(Error::io("read", destination))?.next().is_none();
    if is_checkpoint || is_empty {
        return Ok(());
    }
    Err(Error::checkpoint(destination, "holds other files and is no checkpoint; choose another folder"))
}

fn keep_other_files(old: &Path, new: &Path) -> Result<()> {
    for entry in fs::read_dir(old).map_err(Error::io("read", old))? {
        let entry = entry.map_err(Error::io("read", old))?;
        let name = entry.file_name();
        let is_weights = Path::new(&name).extension().is_some_and(|extension| extension == "safetensors");
        let to = new.join(&name);
        if !is_weights && name != INDEX_FILE && !to.exists() {
            fs::rename(entry.path(), &to).map_err(Error::io("move", &to))?;
        }
    }
    Ok(())
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() { fs::remove_dir_all(folder).map_err(Error::io("remove", folder)) } else { Ok(()) }
}
