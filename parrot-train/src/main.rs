//! The `parrot-train` command.
use clap::Parser;
use parrot_train::verify::VerifyArgs;

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Run golden cases that need training against this build.
    Verify(VerifyArgs),
}

fn main() -> anyhow::Result<std::process::ExitCode> {
    let Command::Verify(args) = Cli::parse().command;
    Ok(parrot_train::verify::command(&args, &Default::default())?)
}
