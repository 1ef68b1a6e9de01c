//! `parrot-train export`: a model's folder for other programs.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use parrot_model::checkpoint::export_transformers;
use parrot_model::layout::{CONFIG_FILE, MODELING_FILE};
use parrot_model::untrusted::{MAX_CONFIG_BYTES, read, read_json};
use serde_json::{Map, Value};

use super::say;

/// What `parrot-train export` takes on the command line.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Arguments {
    /// For Python's transformers, with `trust_remote_code=True`: a modelling file, and keys in config.json that name it
    #[arg(long, required = true)]
    transformers: bool,
    /// The model's folder; its weights stay as they are
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

/// Writes the files.
pub(crate) fn command(arguments: &Arguments) -> Result<ExitCode> {
    let file = arguments.folder.join(MODELING_FILE);
    let content = || read(&file, MAX_CONFIG_BYTES).ok();
    let (is_there, before) = (file.symlink_metadata().is_ok(), content());
    let config = arguments.folder.join(CONFIG_FILE);
    let keys = || read_json::<Map<String, Value>>(&config).unwrap_or_default();
    let keys_before = keys();
    export_transformers(&arguments.folder)?;
    // What an earlier call wrote is no loss. Of another version's nobody can tell whether the user has changed it.
    if is_there && content() != before {
        say(&format!("note: the {MODELING_FILE} that was in {} is replaced", arguments.folder.display()));
    }
    let keys_after = keys();
    let is_replaced =
        |key: &&str| keys_before.get(*key).is_some_and(|before| keys_after.get(*key) != Some(before));
    for key in ["architectures", "auto_map"].into_iter().filter(is_replaced) {
        say(&format!("note: the `{key}` that was in {} is replaced", config.display()));
    }
    say(&format!("wrote {}, which config.json names", file.display()));
    Ok(ExitCode::SUCCESS)
}
