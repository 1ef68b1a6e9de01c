//! The folder in which a run keeps its checkpoints; none of them is ever half written.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use parrot_model::checkpoint::keep_other_files;
use parrot_model::untrusted::{check_folder_place, create_folder, refuse_link, require_file};

use crate::{Error, Result};

/// What a checkpoint's folder is called while it is written or removed.
const PARTIAL: &str = ".partial-";
/// The file that the process at work holds a lock on.
const LOCK: &str = ".lock";

/// A run's folder, held by this process alone for as long as the value lives.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// The operating system releases it however the process ends.
    _lock: File,
}

impl RunFolder {
    /// Creates the folder where there is none and removes what a process that was killed while saving has
    /// left behind.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the folder cannot be created or written to; [`Error::InUse`] when another process
    /// trains in it.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        create_folder(&path)?;
        let lock_path = lock_of(&path)?;
        let opened = File::options().create(true).append(true).open(&lock_path);
        let lock = opened.map_err(Error::io("create", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::InUse { path }),
            // Some network file systems have no locks; there, not sharing a folder is up to the user.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(Error::io("lock", &lock_path)(error)),
        }
        for leftover in entries(&path)?.iter().filter(|entry| name(entry).starts_with(PARTIAL)) {
            remove(leftover)?;
        }
        Ok(Self { path, _lock: lock })
    }

    /// Refuses a place where no run can begin or go on, and changes nothing: what [`open`](Self::open) would find in the way,
    /// and what takes the finished model's place and is none of this run's: a file, or a folder where there is no checkpoint.
    ///
    /// - model: the finished model's name in the folder
    ///
    /// # Errors
    ///
    /// [`Error::Io`], or [`Error::Data`] for the model's place.
    pub fn check(path: &Path, model: &str) -> Result<()> {
        check_folder_place(path)?;
        lock_of(path)?;
        let place = path.join(model);
        let taken_by = match place.symlink_metadata() {
            // A link only is replaced, not what it leads to.
            Ok(found) if found.is_symlink() => return Ok(()),
            Ok(found) if !found.is_dir() => "a file",
            Ok(_) if newest_first(path)?.is_empty() && !entries(&place)?.is_empty() => {
                "a folder that no checkpoint of this run lies beside"
            }
            _ => return Ok(()),
        };
        let reason = format!(
            "the trained model's place is taken by {taken_by}; move it away, or choose another `out`"
        );
        Err(Error::Data { path: place, reason })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the checkpoint of a step lies, or would.
    #[must_use]
    pub fn checkpoint(&self, step: usize) -> PathBuf {
        self.path.join(format!("step-{step:06}"))
    }

    /// Publishes a checkpoint: `write` fills a temporary folder, which is renamed once all of it has
    /// reached the disk.
    ///
    /// # Errors
    ///
    /// What `write` returns, or [`Error::Io`]. Other checkpoints are then as they were.
    pub(super) fn publish(&self, step: usize, write: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        self.publish_at(self.checkpoint(step), write)
    }

    /// `publish` for the finished model, in `name`. What else lies in the folder of a model that stands there
    /// [is kept](keep_other_files). Returns the model's place, and which files in it, besides weights, were others.
    ///
    /// # Errors
    ///
    /// As there; a model that stood there is then as it was.
    pub fn publish_model(
        &self,
        name: &str,
        write: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<(PathBuf, Vec<PathBuf>)> {
        let place = self.path.join(name);
        let mut replaced = Vec::new();
        self.publish_at(place.clone(), |aside| {
            write(aside)?;
            if place.is_dir() && !place.is_symlink() {
                replaced = keep_other_files(&place, aside)?;
            }
            Ok(())
        })?;
        Ok((place, replaced))
    }

    fn publish_at(&self, place: PathBuf, write: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let aside = self.path.join(format!("{PARTIAL}{}", name(&place)));
        fs::create_dir(&aside).map_err(Error::io("create", &aside))?;
        if let Err(error) = write(&aside).and_then(|()| sync(&aside)) {
            // Best effort: the error that matters is the first one.
            let _ = fs::remove_dir_all(&aside);
            return Err(error);
        }
        // A link as well, even one that leads nowhere.
        if place.symlink_metadata().is_ok() {
            self.discard(&place)?;
        }
        fs::rename(&aside, &place).map_err(Error::io("publish", &place))?;
        sync_folder(&self.path)?;
        Ok(place)
    }

    /// Removes what `publish` has made superfluous: all but the newest `keep` checkpoints up to `step`, and
    /// those that claim to be further. The run would have gone on from one of these, had it been readable.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub(super) fn prune(&self, step: usize, keep: usize) -> Result<()> {
        let (later, current): (Vec<_>, Vec<_>) =
            newest_first(&self.path)?.into_iter().partition(|path| step_of(path) > Some(step));
        for path in later.into_iter().chain(current.into_iter().skip(keep)) {
            self.discard(&path)?;
        }
        Ok(())
    }

    /// Takes a checkpoint's name away before its files go, one by one.
    fn discard(&self, checkpoint: &Path) -> Result<()> {
        let aside = self.path.join(format!("{PARTIAL}old-{}", name(checkpoint)));
        fs::rename(checkpoint, &aside).map_err(Error::io("remove", checkpoint))?;
        remove(&aside)
    }
}

/// The place of a run's lock, where nothing but one may lie.
fn lock_of(run: &Path) -> Result<PathBuf> {
    let lock = run.join(LOCK);
    refuse_link(&lock)?;
    if lock.exists() {
        // Opening a named pipe would wait for a reader.
        require_file(&lock)?;
    }
    Ok(lock)
}

/// The checkpoints in a run's folder, newest first.
///
/// # Errors
///
/// [`Error::Io`] when the folder is there and cannot be listed.
pub fn newest_first(run: &Path) -> Result<Vec<PathBuf>> {
    if !run.exists() {
        return Ok(Vec::new());
    }
    let mut found: Vec<PathBuf> = entries(run)?.into_iter().filter(|path| step_of(path).is_some()).collect();
    found.sort_by_key(|path| std::cmp::Reverse(step_of(path)));
    Ok(found)
}

/// The step that a checkpoint's name tells; `None` for other files.
pub(super) fn step_of(path: &Path) -> Option<usize> {
    name(path).strip_prefix("step-")?.parse().ok()
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(Error::io("read", folder))?;
    entries.map(|entry| Ok(entry.map_err(Error::io("read", folder))?.path())).collect()
}

fn remove(path: &Path) -> Result<()> {
    let is_folder = path.is_dir() && !path.is_symlink();
    let removed = if is_folder { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.map_err(Error::io("remove", path))
}

/// Waits until a folder and all below it are on the disk: a rename may reach it before the contents do.
fn sync(folder: &Path) -> Result<()> {
    for path in entries(folder)? {
        let kind = path.symlink_metadata().map_err(Error::io("read", &path))?.file_type();
        if kind.is_dir() {
            sync(&path)?;
        } else if kind.is_file() {
            File::open(&path).and_then(|file| file.sync_all()).map_err(Error::io("sync", &path))?;
        }
    }
    sync_folder(folder)
}

/// A folder's entries are its own contents on Unix; elsewhere a folder cannot be opened, nor need it be.
fn sync_folder(folder: &Path) -> Result<()> {
    if cfg!(unix) {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::io("sync", folder))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_with(steps: &[usize]) -> (tempfile::TempDir, RunFolder) {
        let folder = tempfile::tempdir().unwrap();
        let run = RunFolder::open(folder.path()).unwrap();
        for step in steps {
            run.publish(*step, |_| Ok(())).unwrap();
        }
        (folder, run)
    }

    fn steps(run: &RunFolder) -> Vec<usize> {
        newest_first(run.path()).unwrap().iter().filter_map(|path| step_of(path)).collect()
    }

    #[test]
    fn a_millionth_step_is_later_than_the_one_before() {
        let (_folder, run) = run_with(&[1_000_000, 5, 999_999]);
        assert_eq!(steps(&run), [1_000_000, 999_999, 5]);
    }

    #[test]
    fn pruning_keeps_the_newest_up_to_this_step() {
        let (_folder, run) = run_with(&[10, 20, 30, 40]);
        // 30 and 40 could not be read; the run went on from 20 and has just saved 25.
        run.publish(25, |_| Ok(())).unwrap();
        run.prune(25, 2).unwrap();
        assert_eq!(steps(&run), [25, 20]);
        assert_eq!(entries(run.path()).unwrap().len(), 3, "the lock and two checkpoints");
    }

    #[test]
    fn a_checkpoint_that_fails_leaves_no_trace() {
        let (_folder, run) = run_with(&[1]);
        let error = run.publish(2, |aside| {
            fs::write(aside.join("half"), "").unwrap();
            Err(Error::Checkpoint { path: aside.into(), reason: "the disk is full".into() })
        });
        assert!(error.unwrap_err().to_string().contains("the disk is full"));
        assert_eq!((steps(&run), entries(run.path()).unwrap().len()), (vec![1], 2));
    }

    #[test]
    fn what_a_killed_process_left_is_removed() {
        let (folder, run) = run_with(&[1]);
        drop(run);
        let leftover = folder.path().join(".partial-step-000002");
        fs::create_dir(&leftover).unwrap();
        fs::write(leftover.join("half"), "").unwrap();
        let run = RunFolder::open(folder.path()).unwrap();
        assert_eq!((steps(&run), leftover.exists()), (vec![1], false));
    }

    #[test]
    fn a_folder_has_one_user() {
        let (folder, run) = run_with(&[]);
        let error = RunFolder::open(folder.path()).unwrap_err();
        assert!(matches!(error, Error::InUse { .. }), "{error}");
        drop(run);
        RunFolder::open(folder.path()).unwrap();
    }
}
