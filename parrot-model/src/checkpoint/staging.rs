//! Replacing a folder as a whole, or not at all.

use std::ffi::{OsStr, OsString};
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
        // If a process died between two steps of `publish`, finish or undo what it began; one of an older version kept files
        // last.
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
            keep_other_files(destination, path)?;
            fs::rename(destination, old).map_err(Error::io("replace", destination))?;
        }
        if let Err(error) = fs::rename(path, destination) {
            if replaces {
                // Best effort: the former content is also found again by the next `create`.
                let _ = fs::rename(old, destination);
            }
            return Err(Error::io("create", destination)(error));
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

/// Puts what a model's folder holds beside its model into the folder that is to replace it: files there that have no file of
/// their name in the new one and are no weights, in folders that both have as well. The old folder stays as it is.
///
/// Returns what is lost with the old folder: files, relative to it, in whose place the new one has others. Weights are not
/// among them.
///
/// # Errors
///
/// [`Error::Io`] when a folder cannot be read, or a file neither be linked nor copied.
pub fn keep_other_files(old: &Path, new: &Path) -> Result<Vec<PathBuf>> {
    let mut replaced = Vec::new();
    for entry in fs::read_dir(old).map_err(Error::io("read", old))? {
        let entry = entry.map_err(Error::io("read", old))?;
        let (from, name) = (entry.path(), entry.file_name());
        let is_folder = entry.file_type().map_err(Error::io("read", &from))?.is_dir();
        let to = new.join(&name);
        if is_weights(&name) {
            continue;
        } else if is_folder && (to.is_dir() || to.symlink_metadata().is_err()) {
            untrusted::create_folder(&to)?;
            let below = keep_other_files(&from, &to)?;
            replaced.extend(below.into_iter().map(|file| Path::new(&name).join(file)));
        } else if to.symlink_metadata().is_err() {
            // Some file systems have no links.
            let kept = fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(|_| ()));
            kept.map_err(Error::io("keep", &from))?;
        } else if !is_equal(&from, &to) {
            replaced.push(name.into());
        }
    }
    Ok(replaced)
}

/// Whether a file holds a model's weights, by the names that [`save`](super::save) gives, or says which file does.
fn is_weights(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name == WEIGHTS_FILE
        || name == INDEX_FILE
        || (name.starts_with("model-") && name.ends_with(".safetensors"))
}

/// Whether two files hold the same, as far as they can be read.
fn is_equal(one: &Path, other: &Path) -> bool {
    let are_files = one.is_file() && other.is_file();
    are_files && matches!((fs::read(one), fs::read(other)), (Ok(one), Ok(other)) if one == other)
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() { fs::remove_dir_all(folder).map_err(Error::io("remove", folder)) } else { Ok(()) }
}
