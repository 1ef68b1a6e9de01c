//! The paper's question in miniature: when one language has nearly all the data, does letting the question steer the
//! visual tokens help the others?
//!
//! Five [`Arm`]s learn from the same number of pictures and differ in the languages of the questions and in what
//! stands between projector and decoder. All start from the same stand-ins for the pretrained parts: the default
//! model's tower, a decoder that has read text in all six languages equally, and a projector that was aligned with the
//! decoder's words in all six. Stage 1 is English only in every arm, as the paper's captions are. Each arm runs with
//! several seeds, which draw experts and data anew.

pub mod measure;
pub mod report;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, ensure};
use burn::tensor::FloatDType;
use parrot_model::checkpoint::Checkpoint;
use parrot_model::config::ParrotConfig;
use parrot_model::parrot::ParrotModel;
use parrot_train::Part;
use parrot_train::data::loader::LengthGrouping;
use parrot_train::data::{Dataset, TrainingSample};
use parrot_train::optim::AdamWConfig;
use parrot_train::trainer::{self, Stage};
use serde::{Deserialize, Serialize};

use crate::scene::Variation;
use crate::train::lessons::{Lessons, Subject};
use crate::train::{Common, Run, alignment, progress_bar};
use measure::Measured;

/// What the control's router reads instead of every question.
const CONSTANT_TEXT: &str = "Picture.";

/// How every picture that is learnt from is varied.
const VARIATION: Variation = Variation::Full;

/// English alone.
const ENGLISH: [f32; 6] = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0];

/// Nearly all English, as in the paper's setting.
const IMBALANCED: [f32; 6] = [0.95, 0.01, 0.01, 0.01, 0.01, 0.01];

/// A way of learning stage 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arm {
    /// English only, no mixture of experts.
    EnglishOnly,
    /// 95 % English, 1 % of each other language, no mixture of experts.
    ImbalancedDense,
    /// The same data through the mixture of experts that the question steers: Parrot.
    ImbalancedMoe,
    /// The same again, but the router reads one constant text: as many parameters, no steering.
    ImbalancedControl,
    /// Every language equally, no mixture of experts.
    Balanced,
}

impl Arm {
    /// All arms in the order of the tables.
    pub const ALL: [Self; 5] = [
        Self::EnglishOnly,
        Self::ImbalancedDense,
        Self::ImbalancedMoe,
        Self::ImbalancedControl,
        Self::Balanced,
    ];

    /// Its name in tables and folders.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EnglishOnly => "english-only",
            Self::ImbalancedDense => "imbalanced-dense",
            Self::ImbalancedMoe => "imbalanced-moe",
            Self::ImbalancedControl => "imbalanced-control",
            Self::Balanced => "balanced",
        }
    }

    /// How often each language is drawn in stage 2, in the order of `Language::ALL`.
    #[must_use]
    pub fn language_weights(self) -> [f32; 6] {
        match self {
            Self::EnglishOnly => ENGLISH,
            Self::ImbalancedDense | Self::ImbalancedMoe | Self::ImbalancedControl => IMBALANCED,
            Self::Balanced => [1.0; 6],
        }
    }

    /// Whether visual tokens go through the mixture of experts.
    #[must_use]
    pub fn uses_moe(self) -> bool {
        matches!(self, Self::ImbalancedMoe | Self::ImbalancedControl)
    }

    /// What the router reads instead of the question, in the control.
    #[must_use]
    pub fn routing_text(self) -> Option<&'static str> {
        (self == Self::ImbalancedControl).then_some(CONSTANT_TEXT)
    }
}

/// How much is trained and measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
pub struct Scale {
    /// Seeds of each arm, counted from 0
    #[arg(long, default_value_t = 3)]
    pub seeds: u64,
    /// Steps of the decoder's pre-training, done once
    #[arg(long, default_value_t = 500)]
    pub language_steps: usize,
    /// Steps of the alignment of pictures and words, done once
    #[arg(long, default_value_t = 800)]
    pub alignment_steps: usize,
    /// Steps of stage 1, 16 English captions each, done once per seed
    #[arg(long, default_value_t = 300)]
    pub projector_steps: usize,
    /// Steps of stage 2, 16 conversations or captions each
    #[arg(long, default_value_t = 1500)]
    pub instruction_steps: usize,
    /// Held-out scenes, each asked about in six languages
    #[arg(long, default_value_t = 400)]
    pub scenes: usize,
}

/// Runs every arm with every seed, or what is missing of it, and gives the measurements.
///
/// - common: its seed is not used, each run has its own
/// - folder: where the runs save; a call that was stopped goes on from there
/// - stop: set it to save and return `None` after the step in progress
///
/// # Errors
///
/// When data, the default model or a measurement cannot be read, a checkpoint or measurement cannot be written, a loss
/// is no number, or the folder holds runs of another scale (more seeds are welcome).
pub fn run(
    scale: &Scale,
    common: &Common,
    folder: &Path,
    stop: &AtomicBool,
) -> Result<Option<Vec<Measured>>> {
    let experiment = Experiment { scale, common, folder, stop };
    experiment.check_scale()?;
    let mut measured = Vec::new();
    for seed in 0..scale.seeds {
        for arm in Arm::ALL {
            eprintln!("{}, seed {seed}", arm.name());
            let Some(result) = experiment.arm(arm, seed)? else { return Ok(None) };
            measured.push(result);
        }
    }
    Ok(Some(measured))
}

struct Experiment<'a> {
    scale: &'a Scale,
    common: &'a Common,
    folder: &'a Path,
    stop: &'a AtomicBool,
}

impl Experiment<'_> {
    fn seeded(&self, seed: u64) -> Common {
        Common { seed, ..self.common.clone() }
    }

    /// What was measured at another scale must not stand in for a measurement.
    fn check_scale(&self) -> Result<()> {
        let file = self.folder.join("scale.json");
        if let Ok(text) = std::fs::read_to_string(&file) {
            let found: Scale =
                serde_json::from_str(&text).with_context(|| format!("{} is no scale", file.display()))?;
            let found = Scale { seeds: self.scale.seeds, ..found };
            ensure!(found == *self.scale, "{} is of another scale: {found:?}", self.folder.display());
            return Ok(());
        }
        std::fs::create_dir_all(self.folder)
            .with_context(|| format!("cannot create {}", self.folder.display()))?;
        crate::build::write(&file, &(serde_json::to_string_pretty(self.scale)? + "\n"))
    }

    /// The measurement of an arm with a seed; `None`, as below, when its training was interrupted.
    fn arm(&self, arm: Arm, seed: u64) -> Result<Option<Measured>> {
        let folder = self.folder.join(format!("{}-{seed}", arm.name()));
        let file = folder.join("measured.json");
        if let Ok(text) = std::fs::read_to_string(&file) {
            let measured = serde_json::from_str(&text);
            return Ok(Some(measured.with_context(|| format!("{} is no measurement", file.display()))?));
        }
        let Some(out) = self.stage2(arm, seed, &folder)? else { return Ok(None) };
        let mut model = parrot_infer::Parrot::load(&out, &parrot_infer::device::open(&self.common.device)?)?;
        if let Some(text) = arm.routing_text() {
            model = model.route_by(text)?;
        }
        let measured = measure::measure(&model, arm, seed, &self.common.assets, self.scale.scenes)?;
        crate::build::write(&file, &(serde_json::to_string_pretty(&measured)? + "\n"))?;
        Ok(Some(measured))
    }

    /// Conversations, in the arm's languages; gives the model's folder.
    fn stage2(&self, arm: Arm, seed: u64, folder: &Path) -> Result<Option<PathBuf>> {
        let Some(mut model) = self.stage1(seed)? else { return Ok(None) };
        let common = self.seeded(seed);
        let run = Run::new(&common, folder, VARIATION, self.stop)?;
        model.use_moe = arm.uses_moe();
        let parts: &[Part] = if arm.uses_moe() {
            &[Part::Projector, Part::Moe, Part::LanguageModel]
        } else {
            &[Part::Projector, Part::LanguageModel]
        };
        let stage = stage("stage2", self.scale.instruction_steps, 1.5e-3, parts, &common);
        let mut lessons = run.lessons(Subject::Conversations, arm.language_weights(), stage.samples())?;
        if let Some(text) = arm.routing_text() {
            lessons = lessons.route_by(text)?;
        }
        let Some(model) = learn(&run, folder, &stage, model, lessons)? else { return Ok(None) };
        let out = folder.join("model");
        run.description
            .save(&model, &out, Some(FloatDType::F32))
            .with_context(|| format!("cannot write the model to {}", out.display()))?;
        Ok(Some(out))
    }

    /// The projector alone, from English captions; the same for every arm with this seed.
    fn stage1(&self, seed: u64) -> Result<Option<ParrotModel>> {
        let Some(pretrained) = self.pretrained()? else { return Ok(None) };
        let common = self.seeded(seed);
        let folder = self.folder.join(format!("stage1-{seed}"));
        let run = Run::new(&common, &folder, VARIATION, self.stop)?;
        // Bypassed, as in the paper: the projector learns to speak to the decoder by itself.
        let model = ParrotModel { moe_model: run.fresh_model()?.moe_model, use_moe: false, ..pretrained };
        let stage = stage("stage1", self.scale.projector_steps, 2e-3, &[Part::Projector], &common);
        let lessons = run.lessons(Subject::Captions, ENGLISH, stage.samples())?;
        learn(&run, &folder, &stage, model, lessons)
    }

    /// The default model's tower, a decoder that has read text in all languages, and a projector that brings the two
    /// together; the same for every arm.
    fn pretrained(&self) -> Result<Option<ParrotModel>> {
        let folder = self.folder.join("pretrained");
        let common = self.seeded(0);
        let device = common.device()?;
        if folder.join("model").exists() {
            return Ok(Some(Checkpoint::open(folder.join("model"))?.load(FloatDType::F32, &device)?));
        }
        let run = Run::new(&common, &folder, VARIATION, self.stop)?;
        let mut model = run.fresh_model()?;
        let default = Checkpoint::open(common.assets.join("parrot-mini"))?;
        model.vision_tower = default.load(FloatDType::F32, &device)?.vision_tower;
        let stage = stage("language", self.scale.language_steps, 2e-3, &[Part::LanguageModel], &common);
        let lessons = run.lessons(Subject::Text, [1.0; 6], stage.samples())?;
        let Some(model) = learn(&run, &folder, &stage, model, lessons)? else { return Ok(None) };
        alignment::align(&run, model, self.scale.alignment_steps)
    }
}

/// A stage as the default model's recipes have it.
fn stage(name: &str, steps: usize, learning_rate: f64, trainable: &[Part], common: &Common) -> Stage {
    Stage {
        name: name.into(),
        micro_batch_size: 8,
        accumulation: 2,
        threads: common.threads,
        learning_rate,
        max_length: ParrotConfig::parrot_mini().tokenizer_model_max_length,
        optimizer: AdamWConfig { beta2: 0.95, ..AdamWConfig::default() }.into(),
        trainable: trainable.iter().copied().collect(),
        seed: common.seed,
        grouping: LengthGrouping::Step,
        workers: 1,
        save_every: 250,
        ..Stage::stage2(steps)
    }
}

/// Runs a stage with a progress bar; `None` when it was interrupted.
fn learn(
    run: &Run<'_>,
    folder: &Path,
    stage: &Stage,
    model: ParrotModel,
    lessons: Lessons,
) -> Result<Option<ParrotModel>> {
    let progress = progress_bar(&stage.name, stage.steps);
    let data: Arc<dyn Dataset<Sample = TrainingSample>> = Arc::new(lessons);
    let folder = folder.join(&stage.name);
    let outcome = stage.train(
        model,
        &data,
        &trainer::Run::new(&folder, &run.description, run.stop),
        |step, report| {
            progress.set_position(step as u64);
            progress.set_message(format!("loss {:.3}", report.loss));
        },
    )?;
    progress.finish();
    if outcome.interrupted {
        eprintln!("{} stopped after step {}; the same command goes on from there", stage.name, outcome.steps);
        return Ok(None);
    }
    Ok(Some(outcome.model))
}
