//! The conformance-test format: what the reference implementation computes, to hold this one against.
//!
//! A golden directory is an index (`cases.json`), part files that list the cases, and safetensors files,
//! checkpoints and pictures that the cases name. [`Directory`] reads it, [`Checks`] compares what this
//! build computes with what a case expects, within the tolerances of [`Quantity`], and [`VerifyReport`] counts
//! and prints. `parrot verify` prints it.
//!
//! Kinds that end in `_error` or `_quirk` record where the reference fails or misbehaves. One of them
//! passes when this build does the same on request, or when it answers with an error of its own; a
//! [`VerifyReport`] counts the two apart.

mod array;
mod batch;
mod checks;
mod directory;
mod fixture;
mod quantity;
pub(crate) mod reference_batch;
pub(crate) mod reference_chat;
pub(crate) mod reference_image;
mod report;

pub(crate) use array::Array;
pub(crate) use batch::{Batch, reference_samples};
pub(crate) use checks::{CaseVerdict, Checks, Deviation};
pub use directory::Directory;
pub(crate) use directory::{Case, Number};
pub(crate) use fixture::{ConfigEdits, Fixture, Loaded};
pub use quantity::Quantity;
pub(crate) use report::run;
pub use report::{Failure, Filter, KindReport, VerifyReport};
