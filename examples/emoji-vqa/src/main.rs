//! Emoji-VQA-6: build the data, train its tokenizer, look at samples.

use std::{
    io::{ErrorKind, Write},
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use emoji_vqa::{
    catalogue::Catalogue,
    dataset::{Dataset, DatasetConfig, Evaluated},
    experiment::{self, Scale},
    export::Counts,
    preview::Preview,
    scene::Variation,
    train::{self, Common},
};
use parrot_model::{allocator::keep_freed_memory, config::VisionConfig};
use tracing_subscriber::EnvFilter;

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
    /// Write the lessons and their pictures in LLaVA's format.
    Export {
        /// Where to write; a file that is there already is kept.
        #[arg(long, default_value = "runs/emoji-vqa")]
        out: PathBuf,
        #[command(flatten)]
        counts: Counts,
        #[command(flatten)]
        common: Common,
    },
    /// Make a model that has learnt nothing.
    Begin {
        /// Where it saves; the model is in its model/.
        #[arg(long, default_value = "runs/parrot-mini/begin")]
        out: PathBuf,
        #[command(flatten)]
        common: Common,
    },
    /// Train the tower of a new model, in place of CLIP's pre-training.
    Tower {
        /// Where it saves; the model is in its model/.
        #[arg(long, default_value = "runs/parrot-mini/tower")]
        out: PathBuf,
        /// Steps, 64 pictures each.
        #[arg(long, default_value_t = 8000)]
        steps: usize,
        #[command(flatten)]
        common: Common,
    },
    /// Bring together a model's pictures and words, in place of CLIP's alignment with text.
    Align {
        /// The folder of the model with the decoder.
        #[arg(long, default_value = "runs/parrot-mini/language/model")]
        model: PathBuf,
        /// The folder of the model with the tower.
        #[arg(long, default_value = "runs/parrot-mini/tower/model")]
        tower: PathBuf,
        /// Where it saves; the model is in its model/.
        #[arg(long, default_value = "runs/parrot-mini/alignment")]
        out: PathBuf,
        /// Steps, 64 pictures each.
        #[arg(long, default_value_t = 800)]
        steps: usize,
        #[command(flatten)]
        common: Common,
    },
    /// Write the mean of two models' weights: what one has learnt since, and what the other has not forgotten.
    Mean {
        /// The folder of the one model.
        #[arg(long)]
        model: PathBuf,
        /// The folder of the other, of the same shape.
        #[arg(long)]
        other: PathBuf,
        /// How much the other counts, from 0 to 1.
        #[arg(long, default_value_t = 0.5)]
        share: f32,
        /// Where it saves; the model is in its model/.
        #[arg(long)]
        out: PathBuf,
        /// Where it computes.
        #[arg(long, default_value = "cpu")]
        device: String,
    },
    /// Draw the sample pictures.
    Images {
        /// The node_modules that `npm install` filled.
        #[arg(long, default_value = "examples/emoji-vqa/node_modules")]
        packages: PathBuf,
        /// What `build` has written.
        #[arg(long, default_value = "assets/emoji")]
        assets: PathBuf,
        /// Where to write.
        #[arg(long, default_value = "assets/pictures")]
        out: PathBuf,
    },
    /// Draw a run's losses.
    Curves {
        /// Where the stages saved.
        #[arg(long, default_value = "runs/parrot-mini")]
        run: PathBuf,
        /// The picture, an SVG.
        #[arg(long, default_value = "curves.svg")]
        out: PathBuf,
    },
    /// Measure a model on held-out scenes and print the tables of the model card.
    Evaluate {
        /// The model's folder.
        #[arg(long, default_value = "assets/parrot-mini")]
        model: PathBuf,
        /// What `build` has written.
        #[arg(long, default_value = "assets/emoji")]
        assets: PathBuf,
        /// Held-out scenes; each is asked about in six languages, with options and openly, with its picture
        /// and without, and in people's own words.
        #[arg(long, default_value_t = 1000)]
        scenes: usize,
        /// Scenes like those of training instead of held-out ones, drawn anew.
        #[arg(long)]
        trained: bool,
        /// All concepts instead of the core.
        #[arg(long)]
        all: bool,
        /// Where to write every answer in people's own words, a JSON object a line.
        #[arg(long)]
        answers: Option<PathBuf>,
        /// Where it computes.
        #[arg(long, default_value = "cpu")]
        device: String,
    },
    /// Measure a model on questions about the sample pictures that were written without a look at the grammar.
    People {
        /// The model's folder.
        #[arg(long, default_value = "assets/parrot-mini")]
        model: PathBuf,
        /// What `build` has written.
        #[arg(long, default_value = "assets/emoji")]
        assets: PathBuf,
        /// The questions with their answers.
        #[arg(long, default_value = "examples/emoji-vqa/people.tsv")]
        questions: PathBuf,
        /// The folder of their pictures.
        #[arg(long, default_value = "assets/pictures")]
        pictures: PathBuf,
        /// Where to write what was answered wrongly, a question a line.
        #[arg(long)]
        wrong: Option<PathBuf>,
        /// Where it computes.
        #[arg(long, default_value = "cpu")]
        device: String,
    },
    /// The paper's question in miniature: five ways of learning stage 2, several seeds each, measured per language.
    Experiment {
        /// Where the runs save; a call that was stopped goes on from there.
        #[arg(long, default_value = "runs/experiment")]
        run: PathBuf,
        /// Where results and pictures go.
        #[arg(long, default_value = "docs/experiment")]
        out: PathBuf,
        #[command(flatten)]
        scale: Scale,
        #[command(flatten)]
        common: Common,
    },
    /// Write mini-MMMB and mini-MMBench, for `parrot eval --data DIR`.
    MiniMmmb {
        /// What `build` has written.
        #[arg(long, default_value = "assets/emoji")]
        assets: PathBuf,
        /// Where to write the twelve files.
        #[arg(long, default_value = "runs/mini-mmmb")]
        out: PathBuf,
        /// Held-out scenes to ask about.
        #[arg(long, default_value_t = 240)]
        scenes: usize,
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

fn main() -> ExitCode {
    keep_freed_memory();
    // A checkpoint that cannot be read and is passed over, say.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("parrot_train=warn"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A line that cannot be written is lost, and no reason to panic.
    log.log_internal_errors(false).init();
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Becomes true when the user presses Ctrl-C.
fn stop_on_ctrl_c() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let handler = Arc::clone(&stop);
    ctrlc::set_handler(move || handler.store(true, Ordering::Relaxed))?;
    Ok(stop)
}

/// Prints. A reader who has seen enough, like `head`, is no failure.
fn write_out(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Build { packages, out } => emoji_vqa::build::build(&packages, &out),
        Command::Tokenizer { packages, assets, out } => emoji_vqa::tokenizer::train(&packages, &assets, &out),
        Command::Export { out, counts, common } => emoji_vqa::export::export(&common, &counts, &out),
        Command::Begin { out, common } => train::begin(&common, &out),
        Command::Tower { out, steps, common } => {
            let stop = stop_on_ctrl_c()?;
            train::tower::train(&common, steps, &out, &stop)
        }
        Command::Align { model, tower, out, steps, common } => {
            let stop = stop_on_ctrl_c()?;
            train::alignment::train(&common, steps, &model, &tower, &out, &stop)
        }
        Command::Mean { model, other, share, out, device } => {
            let device = parrot_infer::device::open(&device)?;
            train::mean::write(&model, &other, share, &out, &device)
        }
        Command::Experiment { run, out, scale, common } => {
            let stop = stop_on_ctrl_c()?;
            if let Some(measured) = experiment::run(&scale, &common, &run, &stop)? {
                experiment::report::write(&scale, &measured, &out)?;
                write_out(&experiment::report::markdown(&measured))?;
            }
            Ok(())
        }
        Command::Images { packages, assets, out } => {
            emoji_vqa::images::write_images(&packages, &assets, &out)
        }
        Command::Curves { run, out } => emoji_vqa::curves::draw(&run, &out),
        Command::Evaluate { model, assets, scenes, trained, all, answers, device } => {
            let evaluated = if trained { Evaluated::Trained } else { Evaluated::HeldOut };
            // With all concepts there is nothing that has no name.
            let config =
                DatasetConfig { core_only: !all, evaluated, strangers: !all, ..DatasetConfig::default() };
            let data = Dataset::load(&assets, config)?;
            let model = parrot_infer::Parrot::load(&model, &parrot_infer::device::open(&device)?)?;
            let size = VisionConfig::clip_vit_mini().image_size as u32;
            write_out(&emoji_vqa::evaluate::evaluate(&model, &data, scenes, size)?.markdown())?;
            if all {
                return Ok(());
            }
            let measured = emoji_vqa::evaluate::words::measure(&model, &data, scenes, size)?;
            if let Some(path) = answers {
                let lines =
                    measured.answers.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
                std::fs::write(&path, lines.join("\n") + "\n")
                    .with_context(|| format!("cannot write {}", path.display()))?;
            }
            write_out(&measured.markdown())
        }
        Command::People { model, assets, questions, pictures, wrong, device } => {
            let model = parrot_infer::Parrot::load(&model, &parrot_infer::device::open(&device)?)?;
            let catalogue = Catalogue::load(&assets)?;
            let measured = emoji_vqa::evaluate::people::measure(&model, &catalogue, &questions, &pictures)?;
            if let Some(path) = wrong {
                std::fs::write(&path, measured.wrong.join("\n") + "\n")
                    .with_context(|| format!("cannot write {}", path.display()))?;
            }
            write_out(&measured.markdown())
        }
        Command::MiniMmmb { assets, out, scenes } => {
            let data = Dataset::load(&assets, DatasetConfig::default())?;
            let size = VisionConfig::clip_vit_mini().image_size as u32;
            emoji_vqa::mini_mmmb::write(&data, scenes, size, &out)
        }
        Command::Preview { assets, out, samples, size, evaluation, all, seed } => {
            let variation = Variation::WIDE;
            let config = DatasetConfig { seed, core_only: !all, variation, ..DatasetConfig::default() };
            let preview = Preview { samples, size, evaluation };
            write_out(&emoji_vqa::preview::preview(&assets, &out, config, preview)?)
        }
    }
}
