//! `parrot`: its subcommands, its errors, its exit codes.
//!
//! Answers go to stdout, everything else to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage.

mod ask;
mod bench;
mod chat;
mod devices;
mod eval;
mod input;
mod inspect;
mod model_info;
mod options;
mod progress;
mod quantize;
mod report;
#[cfg(feature = "serve")]
mod serve;
mod terminal;
mod verify;

use std::io::{self, Stderr, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use parrot_infer::device;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::SubscriberBuilder;
use tracing_subscriber::fmt::format::{DefaultFields, Format};

/// Ask Parrot about pictures, in any of its languages.
#[derive(Debug, Parser)]
#[command(name = "parrot", version, arg_required_else_help = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Ask(ask::Args),
    Bench(bench::Args),
    Chat(chat::Args),
    Devices(devices::Args),
    Eval(eval::Args),
    Inspect(inspect::Args),
    Quantize(quantize::Args),
    #[cfg(feature = "serve")]
    Serve(serve::Args),
    Verify(verify::Args),
}

const EXAMPLES: &str = "\
Examples:
  parrot ask photo.jpg \"What is this?\"
  parrot ask photo.jpg \"这是什么?\" \"ما هذا؟\" --show-routing
  parrot chat photo.jpg
  parrot inspect parrot-7b
  parrot quantize path/to/model --to q4 --out path/to/model-q4
  parrot serve
  parrot verify assets/golden
  parrot eval --data mmmb_tr.tsv --protocol paper-2024-06
  parrot bench --device cuda:0
  parrot devices

Models:
  --model takes a folder, a text model's GGUF, or an id of the Hugging Face hub, which is downloaded once. Without
  it, the environment variable PARROT_MODEL is asked, then assets/parrot-mini looked for.

Logging:
  RUST_LOG=debug says on stderr what is being done.";

/// Runs the command that the arguments name.
fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(said) => return print_usage(&said),
    };
    device::panics_in_one_line();
    match &cli.command {
        #[cfg(feature = "serve")]
        Command::Serve(args) => args.log_requests(),
        _ => log_if_asked(),
    }
    let done = match cli.command {
        Command::Ask(args) => ask::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Bench(args) => bench::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Chat(args) => chat::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Devices(args) => devices::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Eval(args) => eval::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Inspect(args) => inspect::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Quantize(args) => quantize::run(&args).map(|()| ExitCode::SUCCESS),
        #[cfg(feature = "serve")]
        Command::Serve(args) => serve::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Verify(args) => verify::run(&args),
    };
    match done {
        Ok(code) => code,
        // `parrot … | head` is no failure: the reader has what it wanted.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // What is read or written elsewhere is named where that fails.
            let is_bare = error.chain().next().is_some_and(|error| error.is::<io::Error>());
            let error = if is_bare { error.context("cannot write to standard output") } else { error };
            terminal::print_error(&error);
            ExitCode::FAILURE
        }
    }
}

/// Prints help, the version, or what is wrong with the arguments. Only who asked for help needs to know that there is none.
fn print_usage(said: &clap::Error) -> ExitCode {
    let printed = said.print().and_then(|()| io::stdout().flush());
    match printed {
        Err(error) if said.exit_code() == 0 && error.kind() != io::ErrorKind::BrokenPipe => {
            terminal::print_error(&anyhow::Error::new(error).context("cannot write to standard output"));
            ExitCode::FAILURE
        }
        _ => u8::try_from(said.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from),
    }
}

/// Logs only what `RUST_LOG` asks for. Failures are printed as errors anyway, and what drivers log while they are looked for
/// would only confuse.
fn log_if_asked() {
    log_on_stderr("off").init();
}

/// A log on stderr of what `RUST_LOG` says, or else of what is usual. Lines that cannot be written, on a full disk or once
/// nobody reads them any more, are lost; what is logged goes on.
pub(crate) fn log_on_stderr(usual: &str) -> LogBuilder {
    let log = tracing_subscriber::fmt().with_env_filter(log_filter(usual));
    let log = log.with_writer(io::stderr as fn() -> Stderr).with_ansi(terminal::is_coloured());
    // It would be told on stderr that stderr cannot be written, and that panics.
    log.log_internal_errors(false)
}

type LogBuilder = SubscriberBuilder<DefaultFields, Format, EnvFilter, fn() -> Stderr>;

/// What is logged: what `RUST_LOG` says, or else what is usual.
fn log_filter(usual: &str) -> EnvFilter {
    EnvFilter::try_from_default_env().unwrap_or_else(|error| {
        if std::env::var_os(EnvFilter::DEFAULT_ENV).is_some() {
            terminal::print_notice(&format!(
                "RUST_LOG says nothing that a log can follow, and is passed over: {error}"
            ));
        }
        EnvFilter::new(usual)
    })
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}
