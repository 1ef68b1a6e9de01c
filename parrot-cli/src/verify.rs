//! `parrot verify`: golden cases against this build.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use burn::tensor::FloatDType;
use parrot_model::untrusted::printable;
use parrot_verify::{Directory, Filter, verify};

use crate::options::{DeviceOptions, Width};
use crate::progress::Spinner;
use crate::terminal::print_json;

/// Compare this build with what the reference implementation computes, case by case
///
/// Weights are held in f32 unless --dtype says otherwise. The exit status is 0 if every case that ran passed,
/// else 1.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
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

const EXAMPLES: &str = "\
Examples:
  parrot verify assets/golden
  parrot verify assets/golden --device vulkan --dtype f16
  parrot verify assets/golden --device cpu --dtype q8
  parrot verify assets/golden --kind generate --json";

/// Prints the report; failure when a case did not pass, or none was run.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let (device, width) = args.device.open()?;
    let dtype = match width {
        None => FloatDType::F32.into(),
        Some(Width::Given(dtype)) => dtype,
        Some(Width::Auto) => {
            bail!("--dtype auto is for one model; golden cases are of several, so name a dtype")
        }
    };
    let directory = Directory::open(&args.directory)?;
    let filter = Filter { kinds: args.kinds.clone(), ids: args.cases.clone() };
    let mut spinner = Spinner::start("comparing");
    let report = verify(directory, &filter, &device, dtype, |done, total| {
        spinner.say(format!("case {} of {total}", done + 1));
    });
    spinner.stop();
    if args.json {
        print_json(&report.to_json())?;
    } else {
        write!(io::stdout(), "{}", printable(&report.to_string()))?;
    }
    Ok(if report.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
