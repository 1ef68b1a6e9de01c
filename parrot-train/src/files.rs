//! What may lie in the place of a file that a run adds to.

use std::io;
use std::path::Path;

use crate::{Error, Result};

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
    fn a_link_is_refused_and_a_file_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let [victim, link] = ["victim", "report.html"].map(|name| folder.path().join(name));
        std::fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, &link).unwrap();
        assert!(refuse_link(&link).unwrap_err().to_string().starts_with("cannot write "));
        assert!(refuse_link(&victim).is_ok());
    }
}
