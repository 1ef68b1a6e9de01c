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
pub mod reference_batch;
pub mod reference_chat;
pub mod reference_image;
mod report;

pub use array::Array;
pub use batch::{Batch, reference_samples};
pub use checks::{CaseVerdict, Checks, Difference};
pub use directory::{Case, Directory, Number};
pub use fixture::{ConfigEdits, Fixture, Loaded};
pub use quantity::Quantity;
pub use report::{Failure, Filter, KindReport, VerifyReport, run};
