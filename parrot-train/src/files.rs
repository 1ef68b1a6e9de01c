//! What may lie in the place of a file that a run adds to.

use std::path::Path;

use parrot_model::untrusted;

use crate::Result;

/// Refuses to write to what a symbolic link points to.
///
/// # Errors
///
/// [`Error::Model`](crate::Error::Model) where `path` is one.
pub(crate) fn refuse_link(path: &Path) -> Result<()> {
    Ok(untrusted::refuse_link(path)?)
}
