//! The one error type of this crate.

use std::path::{Path, PathBuf};

/// Short for `Result<T, parrot_verify::Error>`.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a case could not be compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A directory of golden cases that cannot be used.
    #[error("golden data {path}: {reason}")]
    Golden {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it, naming the case.
        reason: String,
    },
    /// The network, its checkpoint, an image or a conversation.
    #[error(transparent)]
    Model(#[from] parrot_model::Error),
    /// The engine that answers.
    #[error(transparent)]
    Infer(#[from] parrot_infer::Error),
    /// Training.
    #[error(transparent)]
    Train(#[from] parrot_train::Error),
}

impl Error {
    /// A file that cannot be read, for `map_err`.
    pub(crate) fn read(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| parrot_model::Error::Io { action: "read", path, source }.into()
    }

    /// A file that is not the JSON that it should be, for `map_err`.
    pub(crate) fn json(path: impl AsRef<Path>) -> impl FnOnce(serde_json::Error) -> Self {
        move |error| parrot_model::Error::json(path)(error).into()
    }
}
