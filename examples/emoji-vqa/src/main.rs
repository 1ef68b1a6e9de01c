//! Emoji-VQA-6: build the data, train its tokenizer, look at samples.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};
use emoji_vqa::{dataset::DatasetConfig, preview::Preview};

/// The data set of the default model: pictures of emoji, questions in six languages.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make the concepts and sprite sheets from public npm packages.
    Build {
        /// The node_modules that `npm install` filled.
        #[arg(long, default_value = "examples/emoji-vqa/node_modules")]
        packages: PathBuf,
        /// Where to write.
        #[arg(long, default_value = "assets/emoji")]
        out: PathBuf,
    },
    /// Train the tokenizer of 4,096 tokens.
    Tokenizer {
        /// The node_modules that `npm install` filled.
        #[arg(long, default_value = "examples/emoji-vqa/node_modules")]
        packages: PathBuf,
        /// What `build` has written.
        #[arg(long, default_value = "assets/emoji")]
        assets: PathBuf,
        /// Where to write.
        #[arg(long, default_value = "assets/parrot-mini")]
        out: PathBuf,
    },
    /// Write a contact sheet of samples and print their questions.
    Preview {
        /// What `build` has written.
        #[arg(long, default_value = "assets/emoji")]
        assets: PathBuf,
        /// The contact sheet.
        #[arg(long, default_value = "preview.png")]
        out: PathBuf,
        /// How many samples.
        #[arg(long, default_value_t = 36)]
        samples: usize,
        /// Edge of a picture in pixels.
        #[arg(long, default_value_t = 72)]
        size: u32,
        /// Evaluation items instead of training samples.
        #[arg(long)]
        evaluation: bool,
        /// All concepts instead of the core.
        #[arg(long)]
        all: bool,
        /// Another seed, other samples.
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Build { packages, out } => emoji_vqa::build::build(&packages, &out),
        Command::Tokenizer { packages, assets, out } => emoji_vqa::tokenizer::train(&packages, &assets, &out),
        Command::Preview { assets, out, samples, size, evaluation, all, seed } => {
            let config = DatasetConfig { seed, core_only: !all, ..DatasetConfig::default() };
            let preview = Preview { samples, size, evaluation, style: None };
            emoji_vqa::preview::preview(&assets, &out, config, preview)
        }
    }
}
