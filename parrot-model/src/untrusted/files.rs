//! Files from outside: only regular ones, and no larger than what they are for. Files that are written, whatever is there
//! already.

use std::fs::{self, File, FileType};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::from_json;
use crate::{Error, Result};

/// The most that a JSON or TOML file of settings may hold, a chat template too: 4 MiB. The largest known `config.json`,
/// with thousands of class names, has a tenth of it.
pub const MAX_CONFIG_BYTES: u64 = 4 << 20;

/// The most that a tokenizer's file or the index of a checkpoint's weight files may hold: 64 MiB. The largest
/// `tokenizer.json` in use, with 262,144 words and their merges, has half of it.
pub(crate) const MAX_VOCABULARY_BYTES: u64 = 64 << 20;

/// Refuses what is no regular file, following links: reading from a named pipe would wait for a writer, reading from
/// a device may never end.
///
/// # Errors
///
/// [`Error::Io`] when there is nothing of that name, or something else.
pub fn require_file(path: &Path) -> Result<()> {
    let found = fs::metadata(path).map_err(|error| {
        let is_dangling = error.kind() == io::ErrorKind::NotFound && path.is_symlink();
        let error = if is_dangling { io::Error::new(error.kind(), "it is a link to nothing") } else { error };
        Error::io("read", path)(error)
    });
    let kind = found?.file_type();
    if kind.is_file() {
        return Ok(());
    }
    let reason = format!("it is {}, not a file", name_of(kind));
    Err(Error::io("read", path)(io::Error::new(io::ErrorKind::InvalidInput, reason)))
}

/// Opens a regular file for reading.
///
/// # Errors
///
/// As [`require_file`].
pub fn open(path: &Path) -> Result<File> {
    // First, as opening a named pipe waits already.
    require_file(path)?;
    let mut options = File::options();
    // What the kernel writes is a regular file by its type, and some of that waits for what is still to come.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
    options.read(true).open(path).map_err(Error::io("read", path))
}

/// The bytes of a regular file that has at most `max_bytes`.
///
/// # Errors
///
/// [`Error::Io`], also when the file is larger, of which no more than that has been read then.
pub fn read(path: &Path, max_bytes: u64) -> Result<Vec<u8>> {
    let file = open(path)?;
    let mut bytes = Vec::new();
    // One byte over the limit is enough to be refused, whatever the file's length claims to be.
    file.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    check(path, &bytes, max_bytes)?;
    Ok(bytes)
}

/// Refuses bytes of a file that are more than `max_bytes`, or Git LFS's in its place.
///
/// # Errors
///
/// [`Error::Io`].
pub(crate) fn check(path: &Path, bytes: &[u8], max_bytes: u64) -> Result<()> {
    if bytes.len() as u64 > max_bytes {
        let reason = format!("it is larger than {max_bytes} bytes, the most that is read of such a file");
        return Err(Error::io("read", path)(io::Error::new(io::ErrorKind::FileTooLarge, reason)));
    }
    if is_lfs_pointer(bytes) {
        return Err(Error::io("read", path)(io::Error::new(io::ErrorKind::InvalidData, LFS_POINTER)));
    }
    Ok(())
}

/// Said of the few lines that stand in a file's place until Git LFS has fetched it.
pub(crate) const LFS_POINTER: &str =
    "it is a Git LFS pointer, not the file itself: `git lfs pull` fetches that";

/// Whether these bytes are such lines.
pub(crate) fn is_lfs_pointer(bytes: &[u8]) -> bool {
    bytes.starts_with(b"version https://git-lfs.github.com/")
}

/// Whether the file holds such lines; not if it cannot be read.
pub(crate) fn is_lfs_pointer_file(path: &Path) -> bool {
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(64).read_to_end(&mut start));
    read.is_ok() && is_lfs_pointer(&start)
}

/// What a file of settings in JSON holds, at most [`MAX_CONFIG_BYTES`] of it. A byte order mark in front is passed over.
///
/// # Errors
///
/// As [`read`], and [`Error::Json`] for what is no JSON or not that.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    parse_json(path, &read(path, MAX_CONFIG_BYTES)?)
}

/// [`read_json`] of bytes that were read from `path`.
pub(crate) fn parse_json<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    from_json(bytes).map_err(Error::json(path))
}

/// [`read`] for text in UTF-8.
///
/// # Errors
///
/// As [`read`], and [`Error::Io`] for bytes that are no UTF-8.
pub fn read_text(path: &Path, max_bytes: u64) -> Result<String> {
    parse_text(path, read(path, max_bytes)?)
}

/// [`read_text`] of bytes that were read from `path`.
pub(crate) fn parse_text(path: &Path, bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let reason = format!("it is no text in UTF-8: {}", error.utf8_error());
        Error::io("read", path)(io::Error::new(io::ErrorKind::InvalidData, reason))
    })
}

/// Whether what is written to this place goes somewhere else: `/dev/stdout`, a terminal, a pipe.
#[must_use]
pub fn is_stream(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        let leads_to_one = path.metadata().is_ok_and(|found| {
            let kind = found.file_type();
            kind.is_char_device() || kind.is_fifo()
        });
        leads_to_one || path.parent() == Some(Path::new("/dev"))
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        false
    }
}

/// Writes a file in one piece, or leaves what was there, on a full disk for one. It is written beside its place and renamed:
/// a symbolic link of its name is replaced, not followed, and nobody who reads it meanwhile sees half of it. A terminal or a
/// pipe stays, and gets the bytes.
///
/// # Errors
///
/// [`Error::Io`].
pub fn replace_file(path: &Path, bytes: &[u8]) -> Result<()> {
    if is_stream(path) {
        let written = File::options().write(true).open(path).and_then(|mut file| file.write_all(bytes));
        return written.map_err(Error::io("write", path));
    }
    let mut name = std::ffi::OsString::from(".new-");
    name.push(path.file_name().unwrap_or_default());
    let aside = path.with_file_name(name);
    match fs::remove_file(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Error::io("remove", &aside)(error));
        }
        _ => {}
    }
    let written = File::create_new(&aside).and_then(|mut file| file.write_all(bytes));
    let placed = written.and_then(|()| fs::rename(&aside, path));
    placed.map_err(|error| {
        // Half of a file is of no use to anybody; that it cannot be written is what is to be told.
        let _ = fs::remove_file(&aside);
        Error::io("write", path)(error)
    })
}

/// Creates a folder, and those that it is in.
///
/// # Errors
///
/// [`Error::Io`], which names what is in the way: a file, or a link to nothing.
pub fn create_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|error| {
        let error = what_is_in_the_way(path).map_or(error, io::Error::other);
        Error::io("create", path)(error)
    })
}

/// Refuses a place where [`create_folder`] could make none, because of what is there, and creates nothing.
///
/// # Errors
///
/// [`Error::Io`], as there.
pub fn check_folder_place(path: &Path) -> Result<()> {
    match what_is_in_the_way(path) {
        Some(found) => Err(Error::io("create", path)(io::Error::other(found))),
        None => Ok(()),
    }
}

/// Of a folder and those that it should be in, the nearest that is there, if it is no folder.
fn what_is_in_the_way(path: &Path) -> Option<String> {
    // With a slash behind its name a link stands for what it leads to.
    let path: PathBuf = path.components().collect();
    let place = path.ancestors().find(|place| place.symlink_metadata().is_ok())?;
    match fs::metadata(place) {
        Err(error) if place.is_symlink() => Some(format!("{} is {}", place.display(), of_link(&error))),
        Ok(found) if !found.is_dir() => {
            Some(format!("{} is {}, not a folder", place.display(), name_of(found.file_type())))
        }
        _ => None,
    }
}

/// What a symbolic link is that cannot be followed, for a message.
pub(crate) fn of_link(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "a link to nothing".into(),
        _ => format!("a link that cannot be followed ({error})"),
    }
}

/// Refuses to write to what a symbolic link leads to: for the files that a run adds to in its own folder.
///
/// # Errors
///
/// [`Error::Io`] where `path` is a link.
pub fn refuse_link(path: &Path) -> Result<()> {
    if path.is_symlink() {
        let reason = "it is a symbolic link, and a run writes into its own folder only";
        return Err(Error::io("write", path)(io::Error::new(io::ErrorKind::InvalidInput, reason)));
    }
    Ok(())
}

/// Removes a file, or link, if one is there. A terminal or a pipe stays.
///
/// # Errors
///
/// [`Error::Io`].
pub fn remove_file(path: &Path) -> Result<()> {
    // On a read-only disk even what is not there cannot be removed.
    if path.symlink_metadata().is_err() || is_stream(path) {
        return Ok(());
    }
    fs::remove_file(path).map_err(Error::io("remove", path))
}

fn name_of(kind: FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if kind.is_fifo() {
            return "a named pipe";
        }
        if kind.is_char_device() || kind.is_block_device() {
            return "a device";
        }
        if kind.is_socket() {
            return "a socket";
        }
    }
    match kind {
        kind if kind.is_dir() => "a folder",
        kind if kind.is_file() => "a file",
        _ => "something else",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error_chain;

    /// `--bad-records /dev/null` by root put a file in its place.
    #[cfg(unix)]
    #[test]
    fn a_device_is_written_to_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (link, other) = (folder.path().join("link"), folder.path().join("other"));
        std::os::unix::fs::symlink("/dev/null", &link).unwrap();
        replace_file(&link, b"list").unwrap();
        remove_file(&link).unwrap();
        assert!(link.is_symlink());
        fs::write(&other, "old").unwrap();
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(&other, &link).unwrap();
        replace_file(&link, b"new").unwrap();
        assert_eq!((link.is_symlink(), fs::read(&other).unwrap()), (false, b"old".to_vec()));
        remove_file(&link).unwrap();
        remove_file(&link).unwrap();
        assert!(!link.exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_refused_and_a_file_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let [victim, link] = ["victim", "report.html"].map(|name| folder.path().join(name));
        fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, &link).unwrap();
        assert!(refuse_link(&link).unwrap_err().to_string().starts_with("cannot write "));
        assert!(refuse_link(&victim).is_ok());
    }

    #[test]
    fn a_file_is_read_up_to_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        assert!(matches!(read(&path, 3), Err(Error::Io { .. })));
        fs::write(&path, b"\xff{}").unwrap();
        assert_eq!(read(&path, 3).unwrap(), b"\xff{}");
        let error = error_chain(&read(&path, 2).unwrap_err());
        assert!(
            error.ends_with("config.json: it is larger than 2 bytes, the most that is read of such a file"),
            "{error}"
        );
        let error = error_chain(&read_text(&path, 3).unwrap_err());
        assert!(error.contains("no text in UTF-8"), "{error}");
    }

    /// From a clone without Git LFS: lfs_pointer.safetensors.
    #[test]
    fn a_git_lfs_pointer_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        fs::write(&path, "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7\n").unwrap();
        let error = error_chain(&read_json::<serde_json::Value>(&path).unwrap_err());
        assert!(error.contains("Git LFS pointer"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_replaced_and_what_it_points_to_stays() {
        let folder = tempfile::tempdir().unwrap();
        let [victim, link, aside] =
            ["victim", "report.html", ".new-report.html"].map(|name| folder.path().join(name));
        fs::write(&victim, "precious").unwrap();
        for link in [&link, &aside] {
            std::os::unix::fs::symlink(&victim, link).unwrap();
        }
        replace_file(&link, b"report").unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        assert_eq!(fs::read_to_string(&link).unwrap(), "report");
        assert!(!link.is_symlink() && !aside.exists());
    }

    #[test]
    fn a_file_that_cannot_be_written_leaves_no_half() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.json");
        fs::create_dir(&path).unwrap();
        let error = error_chain(&replace_file(&path, b"{}").unwrap_err());
        assert!(error.starts_with("cannot write ") && error.contains("results.json: "), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_refused_before_it_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&pipe, &link).unwrap();
        for (path, found) in [
            (pipe.as_path(), "a named pipe"),
            (&link, "a named pipe"),
            (Path::new("/dev/zero"), "a device"),
            (folder.path(), "a folder"),
        ] {
            let error = error_chain(&read(path, 10).unwrap_err());
            assert!(error.ends_with(&format!(": it is {found}, not a file")), "{error}");
        }
        fs::remove_file(&pipe).unwrap();
        let error = error_chain(&read(&link, 10).unwrap_err());
        assert!(error.ends_with("link: it is a link to nothing"), "{error}");
    }

    #[test]
    fn what_is_in_the_way_of_a_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        fs::write(place("file"), "").unwrap();
        let refused = |path: &Path| {
            let said = error_chain(&check_folder_place(path).unwrap_err());
            assert_eq!(said, error_chain(&create_folder(path).unwrap_err()));
            said
        };
        assert!(refused(&place("file/below")).contains("file is a file, not a folder"));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("nowhere", place("link")).unwrap();
            for name in ["link", "link/", "link/below"] {
                assert!(refused(&place(name)).contains("link is a link to nothing"));
            }
            std::os::unix::fs::symlink("loop", place("loop")).unwrap();
            assert!(
                refused(&place("loop")).contains("loop is a link that cannot be followed (Too many levels")
            );
        }
        check_folder_place(&place("some/folders")).unwrap();
        assert!(!place("some").exists());
        create_folder(&place("some/folders")).unwrap();
        create_folder(&place("some/folders")).unwrap();
        assert!(place("some/folders").is_dir());
    }
}
