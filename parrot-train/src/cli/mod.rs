//! The commands, one file each.

pub(crate) mod bench;
pub(crate) mod check_data;
pub(crate) mod device;
mod display;
pub(crate) mod export;
mod notices;
pub(crate) mod plan;
pub(crate) mod run;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use parrot_model::checkpoint::DownloadProgress;
use parrot_model::untrusted::{printable, printable_json};
use parrot_train::data::verdict::Refusal;
use parrot_train::recipe::Recipe;
use serde::Serialize;

pub(crate) use notices::Notices;

/// A recipe and changes of it.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct RecipeArguments {
    /// The recipe, a TOML file
    #[arg(value_name = "RECIPE")]
    pub(crate) file: PathBuf,
    /// Change a key of the recipe: `train.learning_rate=1e-4` (may be repeated)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl RecipeArguments {
    pub(crate) fn read(&self) -> Result<Recipe> {
        Ok(Recipe::from_file(&self.file, &self.set)?)
    }
}

/// Prints a line to standard error, in one piece: several processes may share it. What comes from files, names too, gives a
/// terminal no commands.
pub(crate) fn say(line: &str) {
    // If stderr is gone there is nobody to tell.
    let _ = io::stderr().write_all(format!("{}\n", printable(line)).as_bytes());
}

/// The exit status of a look at records, which says why a run would refuse them.
fn status_of(refusal: Option<Refusal>) -> ExitCode {
    match refusal {
        None => ExitCode::SUCCESS,
        Some(refusal) => {
            say(&format!("error: {refusal}"));
            ExitCode::FAILURE
        }
    }
}

/// Prints to standard output, as [`say`] does; a reader that has left (`… | head`) had what it wanted.
fn write_out(text: &str) -> Result<()> {
    match io::stdout().lock().write_all(printable(text).as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}

/// Prints a report as JSON, which says the same afterwards.
fn write_json(report: &impl Serialize) -> Result<()> {
    let json = serde_json::to_string_pretty(report)?;
    write_out(&(printable_json(&json) + "\n"))
}

/// A bar over bytes.
fn byte_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {bar:40} {bytes} of {total_bytes}, {eta} left");
    ProgressBar::no_length().with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Shows downloads from the hub.
fn hub_progress() -> DownloadProgress {
    let bar = byte_bar();
    Arc::new(move |file, done, total| {
        bar.set_message(format!("downloading {file}"));
        bar.set_length(total);
        bar.set_position(done);
        if done >= total {
            bar.finish_and_clear();
        }
    })
}

/// Shows weights that are read.
fn loading_progress() -> impl FnMut(u64, u64) {
    let bar = byte_bar().with_message("loading");
    move |done, total| {
        bar.set_length(total);
        bar.set_position(done);
        if done >= total {
            bar.finish_and_clear();
        }
    }
}

/// A stream of log lines, each written in one piece, without what would be a terminal's commands.
pub(crate) struct Printable<W>(pub(crate) W);

impl<W: Write> Write for Printable<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        self.0.write_all(printable(&text).as_bytes()).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
