//! The one error type of this crate.

use std::path::{Path, PathBuf};

use crate::data::record::counted;
use burn::tensor::{Tensor, TensorData};

/// Short for `Result<T, parrot_train::Error>`.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong in training with things that come from outside, or with the training itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The model, its checkpoint, a picture or a conversation.
    #[error(transparent)]
    Model(#[from] parrot_model::Error),
    /// A file or folder could not be read or written.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried: `read`, `write`, `create`, …
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A training checkpoint that cannot be resumed from.
    #[error("training checkpoint {path}: {reason}")]
    Checkpoint {
        /// Its folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A run's folder that another process is training in.
    #[error("another process is training in {path}")]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// A setting that cannot be trained with.
    #[error("setting `{key}` should be {expected}, found {found}")]
    Setting {
        /// The setting.
        key: &'static str,
        /// What it should have been.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The loss, the gradient or what the router gives stopped being a number.
    #[error("step {step}: the {what} is {value}; samples of the step: {}{}", samples.join(", "), last_good(checkpoint.as_deref()))]
    NotFinite {
        /// The step, counted from 1.
        step: usize,
        /// `loss`, `gradient norm` or `router's weight of an expert`.
        what: &'static str,
        /// NaN or an infinity.
        value: f64,
        /// The ids of the samples that the step was made of, of all processes.
        samples: Vec<String>,
        /// The checkpoint from before the step that the run last read or wrote.
        checkpoint: Option<PathBuf>,
    },
    /// The update of a step left a weight that is no number: the learning rate is too high, say. What would have been
    /// saved is not.
    #[error("after step {step} the weight {weight} is no finite number{}", last_good(checkpoint.as_deref()))]
    WeightNotFinite {
        /// The step, counted from 1.
        step: usize,
        /// Its path in the model.
        weight: String,
        /// The checkpoint from before the step that the run last read or wrote.
        checkpoint: Option<PathBuf>,
    },
    /// A recipe that cannot be followed.
    #[error("recipe {path}: {reason}")]
    Recipe {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line where that is known.
        reason: String,
    },
    /// A file that holds no training data.
    #[error("{path}: {reason}")]
    Data {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// More unusable records or samples than a run may leave out.
    #[error("{} cannot be used, {allowed} may: {}{}", counted(*found), examples.join("; "), if examples.len() < *found { "; …" } else { "" })]
    BadRecords {
        /// How many there are.
        found: usize,
        /// How many there may be.
        allowed: usize,
        /// The first few.
        examples: Vec<String>,
    },
    /// A training sample that cannot be used.
    #[error("sample {id}: {reason}")]
    Sample {
        /// Its id, or those of all samples of a batch.
        id: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No step of a stage had a sample that can be used.
    #[error("no sample of the {step} steps can be used; of the last: {samples}")]
    NothingLearnt {
        /// How many steps the stage has.
        step: usize,
        /// The ids of the last step's samples, and what is wrong with each.
        samples: String,
    },
    /// What a device computed could not be read back.
    #[error("the device failed: {reason}")]
    Device {
        /// What it said.
        reason: String,
    },
    /// A dataset that panicked instead of returning an error; the panic's message is on standard error.
    #[error("the dataset panicked while it made a sample")]
    DatasetPanicked,
}

impl Error {
    /// An [`Error::Io`] for `map_err`.
    pub(crate) fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io { action, path, source }
    }
}

/// What a tensor holds, once the device has computed it.
pub(crate) fn read_back<const D: usize>(tensor: Tensor<D>) -> Result<TensorData> {
    tensor.try_into_data().map_err(|error| Error::Device { reason: error.to_string() })
}

/// Which checkpoint a failed run can go on from.
fn last_good(checkpoint: Option<&Path>) -> String {
    checkpoint.map_or_else(String::new, |path| format!("; the last good checkpoint is {}", path.display()))
}
