//! `parrot-train verify`: the golden cases that need gradients, optimizer steps or a data set.
//!
//! The format and the tolerances are those of [`parrot_model::golden`]; all other kinds are left to
//! `parrot verify`. Together the two commands leave no case out.

mod dataset;
mod gradients;
mod parameters;
mod train;

use burn::tensor::{Device, FloatDType};
use parrot_model::golden::{Case, Directory, Filter, Fixture, Report, Verdict, is_training_kind, run};

use crate::Error;

/// Runs the cases of `directory` that `filter` takes, networks on `device` with autodiff.
///
/// - progress: told how many cases are done, of how many
#[must_use]
pub fn verify(
    directory: Directory,
    filter: &Filter,
    device: &Device,
    progress: impl FnMut(usize, usize),
) -> Report {
    let fixture = Fixture::new(directory, device.clone().autodiff(), FloatDType::F32);
    run(&fixture.directory, filter, progress, |case| {
        verify_case(&fixture, case).map_err(|error| into_model(&fixture, error))
    })
}

fn verify_case(fixture: &Fixture, case: &Case) -> crate::Result<Verdict> {
    match case.kind.as_str() {
        "note" => Ok(Verdict::Skipped("notes only explain".into())),
        "gradients" => gradients::gradients(fixture, case),
        "dataset_order" => dataset::order(fixture, case),
        "dataset_sample" => dataset::sample(fixture, case),
        "train" => train::train(fixture, case),
        "train_trainer_log" => train::trainer_log(fixture, case),
        kind if is_training_kind(kind) => {
            Err(fixture.directory.error("this build does not know the kind").into())
        }
        _ => Ok(Verdict::Skipped("run by `parrot verify`".into())),
    }
}

/// A case's failure in the terms of the shared report.
fn into_model(fixture: &Fixture, error: Error) -> parrot_model::Error {
    match error {
        Error::Model(error) => error,
        other => fixture.directory.error(other.to_string()),
    }
}
