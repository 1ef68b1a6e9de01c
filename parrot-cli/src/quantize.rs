//! `parrot quantize`: a model in 8 or 4 bits a weight, as a folder.

use std::path::PathBuf;

use anyhow::{Context, Result};
use parrot_model::checkpoint::Checkpoint;
use parrot_model::layout::CONFIG_FILE;
use parrot_model::quantization::BlockFormat;

use crate::options::find_model;
use crate::progress::Bar;
use crate::terminal::print_notice;

/// Write a model with its weights in 8 or 4 bits
///
/// The folder loads like any model, on the CPU, and answers as the model itself does with the same --dtype. It cannot be
/// trained, nor be quantised again.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The model's folder or id [default: as `parrot ask`]
    model: Option<String>,
    /// What to hold weights in: q8 or q4
    #[arg(long, value_name = "FORMAT", value_parser = parse_format)]
    to: BlockFormat,
    /// The folder to write; a model that is there is replaced
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  parrot quantize --to q8 --out parrot-mini-q8
  parrot quantize AIDC-AI/Parrot-7B --to q4 --out parrot-7b-q4
  parrot ask photo.jpg \"What is this?\" --model parrot-7b-q4";

pub(crate) fn run(args: &Args) -> Result<()> {
    let folder = find_model(args.model.as_deref())?;
    let is_replaced = args.out.join(CONFIG_FILE).is_file();
    let bar = Bar::new("quantising");
    let written = Checkpoint::open(&folder)
        .and_then(|checkpoint| checkpoint.quantize(args.to, &args.out, |done, total| bar.show(done, total)));
    drop(bar);
    written.with_context(|| format!("cannot quantise the model {}", folder.display()))?;
    if is_replaced {
        print_notice(&format!("the model that was in {} is replaced", args.out.display()));
    }
    Ok(())
}

fn parse_format(name: &str) -> Result<BlockFormat, String> {
    let format = BlockFormat::ALL.into_iter().find(|format| format.name() == name);
    format.ok_or_else(|| "models are quantised to q8 or q4".into())
}
