//! `parrot-train verify`: the golden cases that need gradients, optimizer steps or a data set.
//!
//! The format and the tolerances are those of [`parrot_model::golden`]; all other kinds are left to
//! `parrot verify`. Together the two commands leave no case out.

mod dataset;
mod gradients;
mod parameters;
mod train;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use burn::tensor::{Device, FloatDType};
use indicatif::ProgressBar;
use parrot_model::device;
use parrot_model::golden::{
    Case, Directory, Filter, Fixture, Report, Verdict, check_dtype, is_training_kind, run,
};

use crate::Error;

/// What `parrot-train verify` takes on the command line.
#[derive(Debug, Clone, clap::Args)]
pub struct VerifyArgs {
    /// Golden directory: cases.json and what it names
    pub directory: PathBuf,
    /// Run only cases of this kind (may be repeated)
    #[arg(long = "kind", value_name = "KIND")]
    pub kinds: Vec<String>,
    /// Run only the case of this id (may be repeated)
    #[arg(long = "case", value_name = "ID")]
    pub cases: Vec<String>,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
    /// Where to compute: auto, cpu, cuda:0, vulkan:discrete:0, …
    #[arg(long, value_name = "NAME", default_value = "auto")]
    pub device: String,
    /// What to hold weights in: f32, the only one that the cases have tolerances for [default: f32]
    #[arg(long, value_name = "DTYPE", value_parser = device::parse_dtype)]
    pub dtype: Option<FloatDType>,
}

/// The `parrot-train verify` command: prints the report; the exit status is 0 if every case that ran
/// passed.
///
/// # Errors
///
/// When the device or the directory cannot be used.
pub fn command(args: &VerifyArgs) -> crate::Result<ExitCode> {
    let choice = device::choose(&args.device)?;
    if let Some(notice) = &choice.notice {
        eprintln!("note: {notice}");
    }
    check_dtype(args.dtype)?;
    let directory = Directory::open(&args.directory)?;
    let filter = Filter { kinds: args.kinds.clone(), ids: args.cases.clone() };
    let bar = ProgressBar::new(0);
    // A case that panics has failed, and the report has what it said.
    std::panic::set_hook(Box::new(|_| {}));
    let report = verify(directory, &filter, &choice.device, |done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    });
    let _ = std::panic::take_hook();
    bar.finish_and_clear();
    let mut out = io::stdout().lock();
    let printed = match args.json {
        true => writeln!(out, "{}", report.to_json()),
        false => write!(out, "{report}"),
    };
    match printed {
        // `parrot-train verify … | head`: the reader has what it wanted.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        printed => printed.map_err(Error::io("write", "<stdout>"))?,
    }
    Ok(if report.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

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
