//! Train on one device, answer on another: the model is the same code on both, and what goes from one to the
//! other is a folder in the Hugging Face layout.
//!
//! ```no_run
//! use std::path::Path;
//! use parrot_infer::device;
//!
//! let here = device::open("cuda")?;
//! let there = device::open("vulkan")?;
//! let lesson = Path::new("examples/train-here-answer-there/lesson.json");
//! let (model, images) = (Path::new("assets/parrot-mini"), Path::new("assets/pictures"));
//! let taught = train_here_answer_there::train(model, lesson, images, &here, 30, Path::new("runs/lesson"))?;
//! let answer = train_here_answer_there::answer(
//!     &taught, &images.join("monkey.png"), "What is its name?", &there)?;
//! println!("{answer}");
//! # Ok::<(), anyhow::Error>(())
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use burn::tensor::{Device, FloatDType};
use parrot_infer::{Image, Parrot};
use parrot_model::checkpoint::Checkpoint;
use parrot_model::image::AspectRatio;
use parrot_model::layout::TOKENIZER_FILE;
use parrot_model::text::{ChatTemplate, Tokenizer};
use parrot_train::checkpoint::ModelDescription;
use parrot_train::data::mix::Mix;
use parrot_train::data::preparation::Preparation;
use parrot_train::data::source::Source;
use parrot_train::trainer::{Run, Stage};

/// Teaches the model in the folder `model` a lesson in LLaVA's JSON: stage 2 of the paper, all but the vision
/// tower, for `steps` steps of two samples. Returns the folder of the taught model, which lies in `out`.
///
/// Training is in f32, whatever the device would answer in. Run again with the same `out` it goes on where it
/// was, or returns at once.
///
/// # Errors
///
/// When the model, the lesson or a picture cannot be read, or the result cannot be written.
pub fn train(
    model: &Path,
    lesson: &Path,
    images: &Path,
    device: &Device,
    steps: usize,
    out: &Path,
) -> Result<PathBuf> {
    let checkpoint = Checkpoint::open(model)?;
    let aspect_ratio = AspectRatio::from_key(
        checkpoint.description.config.image_aspect_ratio.as_deref(),
        checkpoint.description.vision.kind,
    )?;
    let tokenizer = Tokenizer::from_file(model.join(TOKENIZER_FILE))?;
    let preparation = Preparation {
        template: ChatTemplate::open(model, &tokenizer)?,
        tokenizer: Arc::new(tokenizer),
        processor: checkpoint.description.image_processor.clone(),
        aspect_ratio,
        limits: None,
    };
    let lesson: Arc<dyn parrot_train::data::Dataset<Sample = _>> =
        Arc::new(Mix::open(&[Source::new(lesson, images)], preparation, 0, 0)?);
    let stage = Stage {
        micro_batch_size: 2,
        accumulation: 1,
        learning_rate: 1e-3,
        max_length: checkpoint.description.config.tokenizer_model_max_length,
        save_every: steps,
        ..Stage::stage2(steps)
    };

    // Autodiff is a property of the device; the model's code does not know of it.
    let network = checkpoint.load(FloatDType::F32, &device.clone().autodiff())?;
    let description = ModelDescription::new(
        checkpoint.description.config,
        checkpoint.description.vision,
        model.to_path_buf(),
    );
    let stop = AtomicBool::new(false);
    let outcome = stage.train(network, &lesson, &Run::new(out, &description, &stop), |step, report| {
        eprintln!("step {step} of {steps}: loss {:.3}", report.loss);
    })?;
    Ok(out.join(format!("step-{:06}", outcome.steps)).join("model"))
}

/// Loads a model and asks it about a picture.
///
/// # Errors
///
/// When the model or the picture cannot be read.
pub fn answer(model: &Path, image: &Path, question: &str, device: &Device) -> Result<String> {
    let parrot = Parrot::load(model, device).with_context(|| format!("cannot load {}", model.display()))?;
    Ok(parrot.ask(&Image::open(image)?, question)?.text)
}
