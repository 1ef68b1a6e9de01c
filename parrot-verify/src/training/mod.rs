//! Every case that needs gradients, optimizer steps or a data set.

mod dataset;
mod gradients;
mod parameters;
mod python_random;
mod train;

use crate::golden::{Case, CaseVerdict, Fixture};
use crate::{Result, unknown_kind};

pub(crate) fn verify_case(fixture: &Fixture, case: &Case) -> Result<CaseVerdict> {
    match case.kind.as_str() {
        "gradients" => gradients::gradients(fixture, case),
        "dataset_order" => dataset::order(fixture, case),
        "dataset_sample" => dataset::sample(fixture, case),
        "train" => train::train(fixture, case),
        "train_trainer_log" => train::trainer_log(fixture, case),
        _ => Err(unknown_kind(fixture, case)),
    }
}
