//! `parrot verify`: golden cases against this build.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use burn::tensor::FloatDType;
use parrot_infer::verify;
use parrot_model::golden::{Directory, Filter};

use super::options::DeviceOptions;

/// Compare this build with what the reference implementation computes, case by case
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Golden directory: cases.json and what it names
    directory: PathBuf,
    /// Run only cases of this kind (may be repeated)
    #[arg(long = "kind", value_name = "KIND")]
    kinds: Vec<String>,
    /// Run only the case of this id (may be repeated)
    #[arg(long = "case", value_name = "ID")]
    cases: Vec<String>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceOptions,
}

/// Prints the report; failure when a case did not pass, or none was run.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let (device, dtype) = args.device.open()?;
    let directory = Directory::open(&args.directory)?;
    let filter = Filter { kinds: args.kinds.clone(), ids: args.cases.clone() };
    let report = verify::verify(directory, &filter, &device, dtype.unwrap_or(FloatDType::F32));
    let mut out = io::stdout().lock();
    match args.json {
        true => writeln!(out, "{}", report.to_json())?,
        false => write!(out, "{report}")?,
    }
    Ok(if report.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
