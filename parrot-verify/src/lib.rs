//! Does this build compute what the paper's released code computes?
//!
//! A [golden directory](Directory) holds inputs and what the reference implementation made of them: token ids, pixels,
//! features, routing, logits, greedy answers, losses, gradients, steps of both training stages. [`verify`] runs every case
//! against this build and returns a [`VerifyReport`].
//!
//! Whatever the reference does that nobody else should (its order of records, its lengths, its way with control tokens, its
//! defects) is reproduced here. The libraries keep how it reads pictures, [`DecodeOptions::reference`], which benchmarks
//! need as well.
//!
//! [`DecodeOptions::reference`]: parrot_model::image::DecodeOptions::reference
//!
//! ```
//! use burn::tensor::FloatDType;
//! use parrot_verify::{Directory, Filter, verify};
//!
//! let directory = Directory::open("../assets/golden")?;
//! let filter = Filter { kinds: vec!["moe_unit".into()], ids: vec![] };
//! let device = parrot_model::device::open("cpu")?;
//! let report = verify(directory, &filter, &device, FloatDType::F32, |_, _| ());
//! assert!(report.is_success(), "{report}");
//! # Ok::<(), parrot_verify::Error>(())
//! ```

mod answer;
mod error;
mod golden;
mod training;

use std::rc::Rc;

use burn::tensor::{Device, FloatDType};

use parrot_model::device::WeightDtype;

use golden::{Case, CaseVerdict, Fixture, run};

pub use burn;
pub use error::{Error, Result};
pub use golden::{Directory, Failure, Filter, KindReport, Quantity, VerifyReport};

/// Runs the cases of `directory` that `filter` takes, networks on `device` and in `dtype`, with the tolerances that
/// [`Quantity`] gives for it.
///
/// Training is compared in f32 alone: in half precision the result of a few optimizer steps is as far from the reference as no
/// step at all would be. In another dtype its cases are skipped.
///
/// - progress: told how many cases are done, of how many
#[must_use]
pub fn verify(
    directory: Directory,
    filter: &Filter,
    device: &Device,
    dtype: impl Into<WeightDtype>,
    progress: impl FnMut(usize, usize),
) -> VerifyReport {
    let dtype = dtype.into();
    let directory = Rc::new(directory);
    let answers = Fixture::new(directory.clone(), device.clone(), dtype);
    let training = Fixture::new(directory.clone(), device.clone().autodiff(), FloatDType::F32);
    run(&directory, filter, progress, |case| {
        if !is_training_kind(&case.kind) {
            answer::verify_case(&answers, case)
        } else if dtype == FloatDType::F32.into() {
            training::verify_case(&training, case)
        } else {
            Ok(CaseVerdict::Skipped("training is compared in f32 alone".into()))
        }
    })
}

/// Kinds whose cases need gradients, optimizer steps or a data set.
fn is_training_kind(kind: &str) -> bool {
    kind == "gradients" || kind.starts_with("train") || kind.starts_with("dataset_")
}

/// A case of a kind that no release of the format has had.
fn unknown_kind(fixture: &Fixture, case: &Case) -> Error {
    fixture.directory.error(format!("this build does not know the kind {}", case.kind))
}
