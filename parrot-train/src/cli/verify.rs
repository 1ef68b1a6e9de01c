//! `parrot-train verify`: what the library computes beside what the reference implementation recorded.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use burn::tensor::FloatDType;
use indicatif::ProgressBar;
use parrot_model::device;
use parrot_model::golden::{Directory, Filter, check_dtype};
use parrot_train::verify::verify;

/// What `parrot-train verify` takes on the command line.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Arguments {
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
    /// Where to compute: auto, cpu, cuda:0, vulkan:discrete:0, …
    #[arg(long, value_name = "NAME", default_value = "auto")]
    device: String,
    /// What to hold weights in: f32, the only one that the cases have tolerances for [default: f32]
    #[arg(long, value_name = "DTYPE", value_parser = device::parse_dtype)]
    dtype: Option<FloatDType>,
}

/// Prints the report; the exit status is 0 if every case that ran passed.
pub(crate) fn command(args: &Arguments) -> Result<ExitCode> {
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
        printed => printed.context("cannot write to standard output")?,
    }
    Ok(if report.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
