//! The one error type of this crate.

use burn::tensor::TensorReadError;

/// Short for `Result<T, parrot_infer::Error>`.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A checkpoint, device, picture or prompt that cannot be used.
    #[error(transparent)]
    Model(#[from] parrot_model::Error),
    /// Nothing was asked.
    #[error("the question is empty")]
    EmptyQuestion,
    /// A picture was shown to a model that reads text only.
    #[error("this model reads text only, it cannot be shown an image")]
    TextOnly,
    /// An option outside its range.
    #[error("{option} should be {expected}, found {found}")]
    Option {
        /// The option's name.
        option: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What it was.
        found: String,
    },
    /// The network's scores are infinite or not a number: f16 has overflowed, or the weights are broken.
    #[error("the model's scores are not finite: its weights are damaged or too large for {dtype}")]
    NotFinite {
        /// The dtype that the network computed in.
        dtype: String,
    },
    /// The device failed while it computed.
    #[error("the device failed")]
    Compute(#[from] TensorReadError),
}

impl Error {
    /// An [`Error::Option`].
    pub(crate) fn option(option: &'static str, expected: &'static str, found: impl ToString) -> Self {
        Self::Option { option, expected, found: found.to_string() }
    }
}
