//! The `parrot-train` command.
//!
//! Exit codes: 0 done, or a run that was stopped and has saved where it is; 1 failed, 2 wrong usage, 130 a run that was asked
//! to stop twice.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use parrot_model::allocator::keep_freed_memory;
use parrot_model::device::panics_in_one_line;
use tracing_subscriber::EnvFilter;

mod cli;

/// Train Parrot: the paper's two stages, from a recipe to a Hugging Face checkpoint.
#[derive(Debug, Parser)]
#[command(name = "parrot-train", version, arg_required_else_help = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train what a recipe says, or go on where an earlier call was stopped
    Run(cli::run::Arguments),
    /// Print what a recipe would train, how long and in how much memory, without loading anything
    Plan(cli::plan::Arguments),
    /// Look through a recipe's data: records, languages, lengths, pictures
    CheckData(cli::check_data::Arguments),
    /// Time the steps of a stage on this machine
    Bench(cli::bench::Arguments),
    /// Add to a model's folder what another program needs to load it
    Export(cli::export::Arguments),
}

const EXAMPLES: &str = "\
Examples:
  parrot-train plan parrot-train/recipes/parrot-7b-stage1.toml
  parrot-train check-data my-stage2.toml --set data.root=/data
  parrot-train run my-stage2.toml --device cuda:0 --set train.learning_rate=1e-5
  parrot-train bench --stage 2 --device cpu
  parrot-train export --transformers my-run/model

Exit status: 0 done, also for a run that Ctrl-C or SIGTERM stopped after it saved; 1 failed; 2 wrong usage; 130 for a run that
was told twice and stopped at once. What is to follow a finished run can look for its model/.";

fn main() -> ExitCode {
    keep_freed_memory();
    panics_in_one_line();
    let log = || cli::Printable(std::io::stderr());
    // A line that cannot be written is lost. Told of it on the same stream, the library would panic.
    let lines = tracing_subscriber::fmt().with_ansi(false).with_writer(log).log_internal_errors(false);
    match EnvFilter::try_from_default_env() {
        // Who asks for a log gets one.
        Ok(filter) => lines.with_env_filter(filter).init(),
        Err(_) => lines.with_env_filter("parrot_train=warn").event_format(cli::Notices).init(),
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(said) => return print_usage(&said),
    };
    match command(cli.command) {
        Ok(code) => code,
        Err(error) => {
            cli::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Prints help, the version, or what is wrong with the arguments. Only who asked for help needs to know that there is none.
fn print_usage(said: &clap::Error) -> ExitCode {
    let printed = said.print().and_then(|()| io::stdout().flush());
    match printed {
        Err(error) if said.exit_code() == 0 && error.kind() != io::ErrorKind::BrokenPipe => {
            cli::say(&format!("error: cannot write to standard output: {error}"));
            ExitCode::FAILURE
        }
        _ => u8::try_from(said.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from),
    }
}

fn command(command: Command) -> Result<ExitCode> {
    match command {
        Command::Run(arguments) => cli::run::command(&arguments),
        Command::Plan(arguments) => cli::plan::command(&arguments),
        Command::CheckData(arguments) => cli::check_data::command(&arguments),
        Command::Bench(arguments) => cli::bench::command(&arguments),
        Command::Export(arguments) => cli::export::command(&arguments),
    }
}
