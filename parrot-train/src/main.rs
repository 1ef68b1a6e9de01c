//! The `parrot-train` command.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use parrot_train::verify::{self, VerifyArgs};

/// Train Parrot, or check that training computes what the reference implementation computes.
#[derive(Debug, Parser)]
#[command(name = "parrot-train", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compare gradients, training steps and data records with recorded ones, case by case
    Verify(VerifyArgs),
}

fn main() -> ExitCode {
    let Command::Verify(args) = Cli::parse().command;
    match verify::command(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {:#}", anyhow::Error::from(error));
            ExitCode::FAILURE
        }
    }
}
