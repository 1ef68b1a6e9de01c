//! Trains the default model on Emoji-VQA-6 with the paper's two stages, preceded by what stands in for the
//! pretrained parts.
//!
//! | stage | learns | from |
//! |---|---|---|
//! | tower | vision tower | what stands in each patch ([`tower`]) |
//! | language | decoder | the same questions about pictures told in words, and translations of those |
//! | alignment | projector and the decoder's embeddings | the words for what stands in each patch ([`alignment`]) |
//! | stage 1 | projector, mixture bypassed | captions |
//! | stage 2 | projector, mixture of experts, decoder | captions, then conversations about pictures, then both |
//!
//! Every stage saves into a folder of its own under the run's and is skipped or resumed when it is there.

pub mod alignment;
mod patches;
pub mod samples;
pub mod tower;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context, Result};
use burn::module::{Module, ModuleVisitor, Param};
use burn::prelude::*;
use burn::tensor::FloatDType;
use indicatif::{ProgressBar, ProgressStyle};
use parrot_model::config::{ParrotConfig, VisionConfig};
use parrot_model::parrot::Parrot;
use parrot_model::text::Tokenizer;
use parrot_model::vision::preprocess::ImageProcessorConfig;
use parrot_train::checkpoint::ModelDescription;
use parrot_train::data::loader::Grouping;
use parrot_train::data::{Dataset, TrainingSample};
use parrot_train::optim::AdamWConfig;
use parrot_train::step::{LossNormalisation, Part};
use parrot_train::trainer::{self, Stage};

use crate::dataset;
use samples::{Captions, Closing, Conversations, Encoder, TextExercises};

/// How long each stage runs. Everything else is fixed, so that a run is named by these and its seed.
#[derive(Debug, Clone, clap::Args)]
pub struct Plan {
    /// Steps of each of the tower's two rounds, 64 pictures each
    #[arg(long, default_value_t = 3500)]
    pub tower_steps: usize,
    /// Steps of the decoder's pre-training, 16 conversations each
    #[arg(long, default_value_t = 500)]
    pub language_steps: usize,
    /// Steps of the alignment of pictures and words, 64 pictures each
    #[arg(long, default_value_t = 800)]
    pub alignment_steps: usize,
    /// Steps of stage 1, 16 captions each
    #[arg(long, default_value_t = 300)]
    pub projector_steps: usize,
    /// Steps of stage 2's beginning, 16 captions each
    #[arg(long, default_value_t = 3000)]
    pub caption_steps: usize,
    /// Steps of stage 2's middle, 16 conversations or captions each
    #[arg(long, default_value_t = 6000)]
    pub instruction_steps: usize,
    /// Steps of stage 2's end, 16 conversations or captions each
    #[arg(long, default_value_t = 1500)]
    pub closing_steps: usize,
    /// Micro-batches computed at the same time
    #[arg(long, default_value_t = 2)]
    pub threads: usize,
    /// Of weights, data and its order
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// All concepts instead of the core
    #[arg(long)]
    pub all: bool,
}

/// What learns in stage 2.
const STAGE2_PARTS: [Part; 3] = [Part::Projector, Part::Moe, Part::LanguageModel];

/// The same for a model without a mixture of experts.
const DENSE_PARTS: [Part; 2] = [Part::Projector, Part::LanguageModel];

/// What the stages share.
pub(crate) struct Run<'a> {
    plan: &'a Plan,
    folder: &'a Path,
    pub(crate) description: ModelDescription,
    data: Arc<dataset::Dataset>,
    /// More questions about a picture, which costs little without its tokens.
    text_data: Arc<dataset::Dataset>,
    /// Mostly grids of different things: the most names in a caption.
    caption_data: Arc<dataset::Dataset>,
    pub(crate) encoder: Encoder,
    device: Device,
    stop: &'a AtomicBool,
}

/// Trains the model from nothing, or from where an earlier call was stopped, and writes it to `out`.
///
/// - assets: the folder with `emoji/` and, in `parrot-mini/`, the tokenizer
/// - folder: where the stages save
/// - stop: set it to save and return after the step in progress
///
/// # Errors
///
/// When data or tokenizer cannot be read, a checkpoint cannot be written or read, or the loss is no number.
pub fn train(plan: &Plan, assets: &Path, folder: &Path, out: &Path, stop: &AtomicBool) -> Result<()> {
    let run = Run::new(plan, [1.0; 6], assets, folder, stop)?;
    let Some(model) = tower::pretrain(&run, run.fresh_model()?)? else { return Ok(()) };
    let Some(model) = run.language(model)? else { return Ok(()) };
    let Some(model) = run.align(model)? else { return Ok(()) };
    let Some(model) = run.stage1(model)? else { return Ok(()) };
    let Some(model) = run.captions(model)? else { return Ok(()) };
    let Some(model) = run.conversations(model)? else { return Ok(()) };
    let Some(model) = run.closing(model)? else { return Ok(()) };
    run.description
        .save(&model, out, Some(FloatDType::F16))
        .with_context(|| format!("cannot write the model to {}", out.display()))?;
    eprintln!("the model is in {}", out.display());
    Ok(())
}

/// Uses every parameter once.
struct Initialise;

impl ModuleVisitor for Initialise {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        param.val();
    }
}

/// A folder with all that a checkpoint has besides weights: tokenizer, picture processor.
fn prepare_source(tokenizer: &Path, folder: &Path, processor: &ImageProcessorConfig) -> Result<PathBuf> {
    let source = folder.join("source");
    let tower = source.join(ParrotConfig::parrot_mini().mm_vision_tower.unwrap_or_default());
    std::fs::create_dir_all(&tower).with_context(|| format!("cannot create {}", tower.display()))?;
    for name in [
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.json",
        "merges.txt",
    ] {
        let from = tokenizer.join(name);
        std::fs::copy(&from, source.join(name)).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    VisionConfig::clip_vit_mini().save(tower.join("config.json"))?;
    let text = serde_json::to_string_pretty(processor)?;
    std::fs::write(tower.join("preprocessor_config.json"), text + "\n")?;
    Ok(source)
}

impl<'a> Run<'a> {
    /// Opens the data.
    ///
    /// - language_weights: how often each language is drawn, in the order of `Language::ALL`
    pub(crate) fn new(
        plan: &'a Plan,
        language_weights: [f32; 6],
        assets: &Path,
        folder: &'a Path,
        stop: &'a AtomicBool,
    ) -> Result<Self> {
        let tokenizer = assets.join("parrot-mini");
        let vision = VisionConfig::clip_vit_mini();
        let config = dataset::DatasetConfig {
            seed: plan.seed,
            core_only: !plan.all,
            language_weights,
            turns: (2, 4),
            scene_weights: [0.3, 0.45, 0.25],
            ..dataset::DatasetConfig::default()
        };
        let text = dataset::DatasetConfig { turns: (3, 6), ..config.clone() };
        let captions = dataset::DatasetConfig { scene_weights: [0.2, 0.7, 0.1], ..config.clone() };
        let emoji = assets.join("emoji");
        let processor = ImageProcessorConfig::clip(vision.image_size as u32);
        Ok(Self {
            plan,
            folder,
            description: ModelDescription {
                config: ParrotConfig::parrot_mini(),
                vision,
                source: prepare_source(&tokenizer, folder, &processor)?,
            },
            data: Arc::new(dataset::Dataset::load(&emoji, config)?),
            text_data: Arc::new(dataset::Dataset::load(&emoji, text)?),
            caption_data: Arc::new(dataset::Dataset::load(&emoji, captions)?),
            encoder: Encoder::new(Tokenizer::from_file(&tokenizer.join("tokenizer.json"))?, processor),
            device: Device::flex().autodiff(),
            stop,
        })
    }

    /// A model that has learnt nothing, named by the plan's seed.
    pub(crate) fn fresh_model(&self) -> Result<Parrot> {
        self.device.seed(self.plan.seed);
        let model = Parrot::init(&self.description.config, &self.description.vision, &self.device)?;
        // A parameter draws its values when it is first used. Here all of them do, so that they do not depend on
        // where a run was interrupted.
        model.visit(&mut Initialise);
        Ok(model)
    }

    /// What all stages have in common; rates are higher than the paper's, whose decoder was pretrained.
    fn stage(&self, name: &str, steps: usize, learning_rate: f64, trainable: &[Part]) -> Stage {
        Stage {
            name: name.into(),
            steps,
            micro_batch_size: 8,
            accumulation: 2,
            threads: self.plan.threads,
            learning_rate,
            warmup_ratio: 0.03,
            optimizer: AdamWConfig { beta2: 0.95, ..AdamWConfig::default() }.into(),
            max_grad_norm: Some(1.0),
            max_length: self.description.config.tokenizer_model_max_length,
            trainable: BTreeSet::from_iter(trainable.iter().copied()),
            lora: None,
            seed: self.plan.seed,
            loss_normalisation: LossNormalisation::MicroBatch,
            activation_checkpointing: false,
            grouping: Grouping::Step,
            max_skipped: 0,
            workers: 1,
            save_every: 250,
            keep: 2,
        }
    }

    /// Pre-training of the decoder, in place of Qwen's; `None`, as in all stages, when it was interrupted.
    pub(crate) fn language(&self, model: Parrot) -> Result<Option<Parrot>> {
        let stage = self.stage("language", self.plan.language_steps, 2e-3, &[Part::LanguageModel]);
        let data = TextExercises::new(Arc::clone(&self.text_data), self.encoder.clone(), stage.samples());
        self.train(&stage, model, Arc::new(data))
    }

    /// Alignment of pictures and words, in place of CLIP's.
    pub(crate) fn align(&self, model: Parrot) -> Result<Option<Parrot>> {
        alignment::align(self, model)
    }

    /// The paper's first stage: the projector alone, from captions.
    pub(crate) fn stage1(&self, mut model: Parrot) -> Result<Option<Parrot>> {
        // Bypassed, as in the paper: the projector learns to speak to the decoder by itself.
        model.use_moe = false;
        let stage = self.stage("stage1", self.plan.projector_steps, 2e-3, &[Part::Projector]);
        let data = Captions::new(Arc::clone(&self.caption_data), self.encoder.clone(), stage.samples());
        self.train(&stage, model, Arc::new(data))
    }

    /// The paper's second stage begins with captions: one has up to four names, a question about a picture one.
    fn captions(&self, mut model: Parrot) -> Result<Option<Parrot>> {
        model.use_moe = true;
        let stage = self.stage("stage2-captions", self.plan.caption_steps, 1.5e-3, &STAGE2_PARTS);
        let data = Captions::new(Arc::clone(&self.caption_data), self.encoder.clone(), stage.samples());
        self.train(&stage, model, Arc::new(data))
    }

    /// And goes on with questions of every kind; through the mixture of experts if `model` uses one.
    pub(crate) fn conversations(&self, model: Parrot) -> Result<Option<Parrot>> {
        let parts: &[Part] = if model.use_moe { &STAGE2_PARTS } else { &DENSE_PARTS };
        let stage = self.stage("stage2", self.plan.instruction_steps, 1.5e-3, parts);
        let data = Conversations::new(Arc::clone(&self.data), self.encoder.clone(), stage.samples());
        self.train(&stage, model, Arc::new(data))
    }

    /// And ends with both, at a lower rate.
    fn closing(&self, model: Parrot) -> Result<Option<Parrot>> {
        let stage = self.stage("stage2-closing", self.plan.closing_steps, 8e-4, &STAGE2_PARTS);
        let data = Closing::new(Arc::clone(&self.data), self.encoder.clone(), stage.samples());
        self.train(&stage, model, Arc::new(data))
    }

    /// Runs a stage with a progress bar; `None` when it was interrupted.
    fn train(
        &self,
        stage: &Stage,
        model: Parrot,
        data: Arc<dyn Dataset<Sample = TrainingSample>>,
    ) -> Result<Option<Parrot>> {
        let progress = progress_bar(&stage.name, stage.steps);
        let folder = self.folder.join(&stage.name);
        let mut curve = Curve::open(&self.folder.join(format!("{}.jsonl", stage.name)))?;
        let mut resumed = true;
        let observe = |step: usize, report: &parrot_train::step::StepReport| {
            // What an earlier call has done says nothing about the speed of this one.
            if std::mem::take(&mut resumed) {
                progress.set_position(step as u64 - 1);
                progress.reset_eta();
            }
            progress.set_position(step as u64);
            progress.set_message(format!("loss {:.3}  lr {:.1e}", report.loss, report.learning_rate));
            curve.write(step, report.loss);
        };
        let run = trainer::Run::new(&folder, &self.description, self.stop);
        let outcome = stage.train(model, &data, &run, observe)?;
        progress.finish();
        if outcome.interrupted {
            eprintln!(
                "{} stopped after step {}; the same command goes on from there",
                stage.name, outcome.steps
            );
            return Ok(None);
        }
        Ok(Some(outcome.model))
    }
}

/// A bar on a terminal, nothing elsewhere; the curve's file has it all.
fn progress_bar(name: &str, steps: usize) -> ProgressBar {
    let bar = ProgressBar::new(steps as u64).with_prefix(name.to_string());
    let template = "{prefix:>9} {wide_bar} {pos}/{len}  {msg}  ETA {eta}";
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// The loss of every step, one JSON object a line, appended.
struct Curve {
    file: std::fs::File,
    started: Instant,
}

impl Curve {
    fn open(path: &Path) -> Result<Self> {
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { file, started: Instant::now() })
    }

    fn write(&mut self, step: usize, loss: f64) {
        use std::io::Write;
        let seconds = self.started.elapsed().as_secs_f64();
        let line = format!("{{\"step\":{step},\"loss\":{loss:.5},\"seconds\":{seconds:.1}}}\n");
        // In one piece, so that a killed run leaves no half of a line. The curve is for people to look at;
        // training does not stop for it.
        let _ = self.file.write_all(line.as_bytes());
    }
}
