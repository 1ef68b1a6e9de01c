//! Parrot in a desktop window. Run with
//!
//! ```sh
//! cargo run --release -p desktop --features window
//! ```

use std::process::ExitCode;

use clap::Parser;
use desktop::Options;

fn main() -> ExitCode {
    desktop::panics_in_one_line();
    match desktop::run(Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
