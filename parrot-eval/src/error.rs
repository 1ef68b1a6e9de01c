//! The one error type of this crate.

use std::path::PathBuf;

/// Short for `Result<T, parrot_eval::Error>`.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a benchmark cannot be read, asked or reported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of questions or of answers that cannot be used.
    #[error("{}{}: {problem}", file.display(), line.map(|line| format!(" line {line}")).unwrap_or_default())]
    Table {
        /// The file.
        file: PathBuf,
        /// The line in it, from 1.
        line: Option<u64>,
        /// What was expected and found.
        problem: String,
    },
    /// A model that cannot answer, or an image that cannot be decoded.
    #[error(transparent)]
    Infer(#[from] parrot_infer::Error),
}

impl From<parrot_model::Error> for Error {
    fn from(error: parrot_model::Error) -> Self {
        Self::Infer(error.into())
    }
}
