//! The `parrot-train` command.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use parrot_train::verify::{self, VerifyArgs};
use tracing_subscriber::EnvFilter;

/// Train Parrot, or check that training computes what the reference implementation computes.
#[derive(Debug, Parser)]
#[command(name = "parrot-train", version, arg_required_else_help = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compare gradients, training steps and data records with recorded ones, case by case
    Verify(VerifyArgs),
}

const EXAMPLES: &str = "\
Examples:
  parrot-train verify assets/golden
  parrot-train verify assets/golden --kind gradients --json

Exit status: 0 done and all compared equal, 1 failed, 2 wrong usage.";

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("parrot_train=warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let Command::Verify(args) = Cli::parse().command;
    match verify::command(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {:#}", anyhow::Error::from(error));
            ExitCode::FAILURE
        }
    }
}
