//! Teaches the default model the names of two animals on one device and asks it on another.

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use parrot_infer::device;
use train_here_answer_there::{answer, train};

/// Train on one device, answer on another
#[derive(Parser)]
struct Arguments {
    /// Device to train on
    #[arg(long, default_value = "auto")]
    train_on: String,
    /// Device to answer on
    #[arg(long, default_value = "cpu")]
    answer_on: String,
    /// Steps of training, two samples each
    #[arg(long, default_value_t = 120)]
    steps: usize,
    /// Model to start from
    #[arg(long, default_value = "assets/parrot-mini")]
    model: PathBuf,
    /// What to teach it
    #[arg(long, default_value = "examples/train-here-answer-there/lesson.json")]
    lesson: PathBuf,
    /// The lesson's pictures
    #[arg(long = "pictures", value_name = "FOLDER", default_value = "assets/pictures")]
    images: PathBuf,
    /// Where the taught model goes
    #[arg(long, default_value = "runs/lesson")]
    out: PathBuf,
}

fn main() -> Result<()> {
    let args = Arguments::parse();
    let here = device::open(&args.train_on)?;
    let taught = train(&args.model, &args.lesson, &args.images, &here, args.steps, &args.out)?;
    let there = device::open(&args.answer_on)?;
    for (image, question) in [
        ("monkey.png", "What is its name?"),
        ("elephant.png", "What is its name?"),
        ("monkey.png", "Qual é o nome dele?"),
    ] {
        let path = args.images.join(image);
        println!("{image}: {question} {}", answer(&taught, &path, question, &there)?);
    }
    Ok(())
}
