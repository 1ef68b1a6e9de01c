//! A file of JSON objects, one per line, to which lines are only ever added: what an interrupted run goes on from.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use parrot_model::untrusted;

use crate::{Error, Result};

/// How our lines begin.
const BEGINNING: &[u8] = b"{\"id\":";

/// The file. It is held by this process alone for as long as the value lives.
#[derive(Debug)]
pub(crate) struct LineFile {
    path: PathBuf,
    file: File,
}

impl LineFile {
    /// Opens the file, or begins it; with all that is in it.
    ///
    /// # Errors
    ///
    /// When it cannot be read or written, is no regular file but a link, say, or another process holds it.
    pub(crate) fn open(path: &Path) -> Result<(Self, Vec<u8>)> {
        untrusted::refuse_link(path)?;
        // Opening a named pipe to read and write does not fail: reading from it never ends.
        if path.exists() {
            untrusted::require_file(path)?;
        }
        let mut options = OpenOptions::new();
        let options = options.create(true).truncate(false).read(true).write(true);
        let mut file = options.open(path).map_err(io("write", path))?;
        lock(path, &file)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io("read", path))?;
        Ok((Self { path: path.into(), file }, bytes))
    }

    /// Makes the file end after these lines, with a line break.
    ///
    /// - whole: what it begins with
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub(crate) fn end_after(&mut self, whole: &[u8]) -> Result<()> {
        self.file.set_len(whole.len() as u64).map_err(io("write", &self.path))?;
        self.file.seek(SeekFrom::End(0)).map_err(io("write", &self.path))?;
        if whole.is_empty() || whole.ends_with(b"\n") { Ok(()) } else { self.write("\n") }
    }

    /// Adds lines, in one write.
    ///
    /// # Errors
    ///
    /// When they cannot be written.
    pub(crate) fn append(
        &mut self,
        lines: impl IntoIterator<Item = serde_json::Result<String>>,
    ) -> Result<()> {
        let mut text = String::new();
        for line in lines {
            let failed = |error: serde_json::Error| io::Error::other(error.to_string());
            text += &line.map_err(failed).map_err(io("write", &self.path))?;
            text.push('\n');
        }
        self.write(&text)
    }

    fn write(&mut self, text: &str) -> Result<()> {
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.flush());
        written.map_err(io("write", &self.path))
    }
}

/// How many of a file's bytes stand for whole lines; the last line's number where it is neither a line of ours nor the beginning
/// of one.
///
/// Only what an interrupted run of ours leaves at the end is cut off: an editor that writes no last line break loses nobody an
/// answer, and a file of somebody else is refused instead of being emptied.
///
/// - is_line: whether the last line, which has this number, is whole
/// - is_cut: whether it is the beginning of a line that does not begin as the others do
pub(crate) fn whole_lines(
    bytes: &[u8],
    is_line: impl FnOnce(u64, &[u8]) -> bool,
    is_cut: impl FnOnce(u64, &[u8]) -> bool,
) -> Result<usize, u64> {
    let start = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let (lines, last) = bytes.split_at(start);
    let number = lines.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
    // After a power cut some file systems end a file in zeros.
    let is_unfinished =
        || last.iter().all(|byte| *byte == 0) || last.starts_with(BEGINNING) || BEGINNING.starts_with(last);
    if is_line(number, last) {
        Ok(bytes.len())
    } else if is_unfinished() || is_cut(number, last) {
        Ok(start)
    } else {
        Err(number)
    }
}

/// The operating system releases it however the process ends.
fn lock(path: &Path, file: &File) -> Result<()> {
    let problem = match file.try_lock() {
        Ok(()) => return Ok(()),
        Err(TryLockError::WouldBlock) => "another run is writing it; choose another folder, or wait".into(),
        // Some network file systems have no locks; there, not sharing a folder is up to the user.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => return Ok(()),
        Err(TryLockError::Error(error)) => format!("it cannot be locked: {error}"),
    };
    Err(Error::Table { file: path.into(), line: None, problem })
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| parrot_model::Error::Io { action, path: path.into(), source }.into()
}
