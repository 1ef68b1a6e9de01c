//! The conformance-test format: what the reference implementation computes, to hold this one against.
//!
//! A golden directory is an index (`cases.json`), part files that list the cases, and safetensors files,
//! checkpoints and pictures that the cases name. [`Directory`] reads it, [`Checks`] compares what this
//! build computes with what a case expects, within the tolerances of [`Quantity`], and [`Report`] counts
//! and prints. The `verify` commands of `parrot` and `parrot-train` are made of these; together they run
//! every case.
//!
//! Kinds that end in `_error` or `_quirk` record where the reference fails or misbehaves. One of them
//! passes when this build does the same on request, or when it answers with an error of its own; a
//! [`Report`] counts the two apart.

mod array;
mod batch;
mod checks;
mod directory;
mod fixture;
mod quantity;
mod report;

pub use array::Array;
pub use batch::{Batch, reference_samples};
pub use checks::{Checks, Difference, Verdict};
pub use directory::{Case, Directory, Number};
pub use fixture::{ConfigEdits, Fixture, Loaded};
pub use quantity::Quantity;
pub use report::{Failure, Filter, KindReport, Report, run};

use burn::tensor::FloatDType;

use crate::device::dtype_name;
use crate::{Error, Result};

/// Whether cases that train can be compared in `dtype`: in f32 alone, for in half precision a few optimizer
/// steps differ from the reference by as much as from no step at all.
///
/// # Errors
///
/// [`Error::Config`] for any other dtype.
pub fn check_dtype(dtype: Option<FloatDType>) -> Result<()> {
    match dtype {
        None | Some(FloatDType::F32) => Ok(()),
        Some(other) => {
            Err(Error::config("dtype", "f32, the only one in which training is compared", dtype_name(other)))
        }
    }
}

/// Kinds whose cases need gradients, optimizer steps or a data set: `parrot-train verify` runs them, and
/// `parrot verify` all others.
#[must_use]
pub fn is_training_kind(kind: &str) -> bool {
    kind == "gradients" || kind.starts_with("train") || kind.starts_with("dataset_")
}
