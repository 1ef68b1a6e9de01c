//! Files that a run writes into its folder, whatever is there already.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use crate::{Error, Result};

/// Writes a file in one piece, or leaves what was there. It is written beside its place and renamed: a symbolic link of
/// its name is replaced, not followed.
///
/// # Errors
///
/// [`Error::Io`].
pub(crate) fn replace_file(path: &Path, bytes: &[u8]) -> Result<()> {
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
    written.map_err(Error::io("write", &aside))?;
    fs::rename(&aside, path).map_err(Error::io("write", path))
}

/// Refuses to write to what a symbolic link points to.
///
/// # Errors
///
/// [`Error::Io`] where `path` is one.
pub(crate) fn refuse_link(path: &Path) -> Result<()> {
    if path.is_symlink() {
        let reason = "it is a symbolic link, and a run writes into its own folder only";
        return Err(Error::io("write", path)(io::Error::new(io::ErrorKind::InvalidInput, reason)));
    }
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_replaced_and_what_it_points_to_stays() {
        let folder = tempfile::tempdir().unwrap();
        let [victim, link, aside] =
            ["victim", "report.html", ".new-report.html"].map(|name| folder.path().join(name));
        fs::write(&victim, "precious").unwrap();
        for link in [&link, &aside] {
            std::os::unix::fs::symlink(&victim, link).unwrap();
            assert!(refuse_link(link).unwrap_err().to_string().starts_with("cannot write "));
        }
        replace_file(&link, b"report").unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        assert_eq!(fs::read_to_string(&link).unwrap(), "report");
        assert!(refuse_link(&link).is_ok() && !aside.exists());
    }
}
