//! A recipe: everything that makes a stage of training, in a TOML file.
//!
//! ```toml
//! name = "stage1"
//! out = "runs/stage1"
//!
//! [model]
//! size = "parrot-7b"
//! language_model = "Qwen/Qwen1.5-7B-Chat"
//! vision_tower = "openai/clip-vit-large-patch14-336"
//!
//! [[data.source]]
//! file = "blip_laion_cc_sbu_558k.json"
//! pictures = "images"
//!
//! [train]
//! parts = ["projector"]
//! moe = false
//! learning_rate = 1e-3
//! batch_size = 256
//! micro_batch_size = 8
//! ```
//!
//! [`Recipe`] documents every key. A key that does not exist is refused with the one that was probably meant,
//! and `--set train.learning_rate=2e-5` changes one without editing the file; `--set train.epochs=` removes one.

mod initial_model;
mod parse;
mod plan;
mod start;

use std::path::{Path, PathBuf};

use parrot_model::config::{ModelSize, ParrotConfig};
use parrot_model::untrusted::{self, MAX_CONFIG_BYTES};
use serde::{Deserialize, Serialize};

use crate::data::loader::LengthGrouping;
use crate::data::mix::Mix;
use crate::data::source::Source;
use crate::lora::LoraConfig;
use crate::optim::OptimizerConfig;
use crate::part::Part;
use crate::step::LossNormalisation;
use crate::trainer::Stage;
use crate::{Error, Result};

pub use initial_model::InitialModel;
pub use plan::Plan;
pub use start::{BAD_RECORDS_FILE, MODEL};

/// A stage of training: which model learns what, from which data, how fast.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Names the stage in checkpoints and reports.
    pub name: String,
    /// The run's folder: checkpoints, metrics and, in the end, `model/`.
    pub out: PathBuf,
    /// The seed of the data's order and of weights that start at random.
    #[serde(default = "defaults::seed")]
    pub seed: u64,
    /// What the finished model is written in, `f32`, `f16` or `bf16`; as it was trained where this is missing.
    /// Checkpoints always keep what was trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub save_dtype: Option<SaveDtype>,
    /// What the stage starts from.
    pub model: ModelRecipe,
    /// What it learns from.
    pub data: DataRecipe,
    /// How it learns.
    pub train: TrainRecipe,
    /// What moves the weights: `name` is `adamw` or `adafactor`, the other keys are its constants
    /// ([`AdamWConfig`](crate::optim::AdamWConfig), [`AdafactorConfig`](crate::optim::AdafactorConfig)). AdamW where
    /// the table is missing: torch's β₁, β₂ and ε, but no weight decay, as the reference trains.
    #[serde(default, deserialize_with = "untrusted::object")]
    pub optimizer: OptimizerConfig,
    /// Low-rank adapters on the decoder instead of training all of it; merged into `model/` at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<LoraConfig>,
}

/// Where the weights come from at step 0.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRecipe {
    /// A Parrot: its folder or hub id. Of the other keys only `dtype` and, for plans, `size` then have a place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Without `from`: the shape of what is new, like `parrot-7b`; [`ModelSize`] has all names. Beside `from`: the shape to
    /// plan with while the folder is not there yet, or not on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<ModelSize>,
    /// Without `from`: a chat model that becomes the decoder, with its tokenizer: Qwen2, Qwen3, Llama or Mistral.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language_model: Option<String>,
    /// Without `from`: a CLIP or SigLIP model whose tower becomes the vision tower.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vision_tower: Option<String>,
    /// What weights are held in: `f32` (default), or `bf16`, which keeps f32 masters of what learns. On the CPU `bf16` is for a
    /// tower and a decoder that are frozen, without adapters; the rest is in f32 there.
    #[serde(default)]
    pub dtype: TrainingDtype,
    /// What a frozen decoder's weights are held in instead, on the CPU: `q8` or `q4`, quantised while they are loaded. With
    /// `[lora]` that is QLoRA. What is saved has the adapters merged into the decoder as it was before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoder_dtype: Option<DecoderDtype>,
}

/// What a frozen decoder's weights are held in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum DecoderDtype {
    /// Blocks of 8 bits, 8.5 bits a weight.
    Q8,
    /// Blocks of 4 bits, 5 bits a weight.
    Q4,
}

/// What weights are held in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum TrainingDtype {
    /// Single precision.
    #[default]
    F32,
    /// Half the memory and, where the device computes in it, many times the speed; the optimizer keeps f32 masters.
    Bf16,
}

/// What a finished model is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum SaveDtype {
    /// Single precision.
    F32,
    /// Half the size; a weight beyond its range is an error that names it.
    F16,
    /// Half the size, range before precision.
    Bf16,
}

/// The data of a stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataRecipe {
    /// Folder that relative paths of the sources begin in; the working folder where it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,
    /// LLaVA files with their pictures, at least one.
    #[serde(rename = "source")]
    pub sources: Vec<SourceRecipe>,
    /// Longest sequence in tokens, pictures counted; longer ones lose their end. At most the positions that the model has
    /// (`max_position_embeddings`); its own limit where this is missing: `tokenizer_model_max_length`, or else its positions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<usize>,
    /// Records that may be unusable before the stage is refused, and different samples that may turn out so while it
    /// runs; the former are listed in `bad-records.jsonl`, the latter in `metrics.jsonl`.
    #[serde(default)]
    pub max_bad_records: usize,
    /// Threads that decode pictures and tokenise ahead of the training.
    #[serde(default = "defaults::workers")]
    pub workers: usize,
    /// Which samples share a micro-batch: `none`, `step` or `epoch`, in the order of how much padding they
    /// save. With `step` each process groups its own share of a step: the result then depends on their number, unless
    /// `train.loss_normalisation` is `tokens`.
    #[serde(default)]
    pub grouping: LengthGrouping,
}

/// A LLaVA file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceRecipe {
    /// `.json`, a list of records, or `.jsonl`, one a line.
    pub file: PathBuf,
    /// The folder that its pictures are named in.
    #[serde(rename = "pictures")]
    pub images: PathBuf,
    /// Names the source in reports; the file's name where it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How often an epoch visits each of its records: 0.5 draws half of them, 2 takes all twice.
    #[serde(default = "defaults::weight")]
    pub weight: f64,
    /// Language of its answers, for reports; told from each answer's script and words where it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Whether its records may name pictures outside that folder, by whole paths or by `..`: they are files of this
    /// machine that the data's author chooses.
    #[serde(default, alias = "pictures_anywhere", skip_serializing_if = "std::ops::Not::not")]
    pub images_anywhere: bool,
    /// How many records it has as published, for plans on a machine without the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<usize>,
}

/// How a stage learns. Keys without a default matter too much to be left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainRecipe {
    /// The parts that learn: `vision_tower`, `projector`, `moe`, `language_model`.
    pub parts: Vec<Part>,
    /// Whether visual tokens go through the mixture of experts; the paper's stage 1 bypasses it.
    #[serde(default = "defaults::moe")]
    pub moe: bool,
    /// Times that the data is seen; 1 where neither this nor `steps` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs: Option<f64>,
    /// Optimizer steps, instead of `epochs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<usize>,
    /// Samples of an optimizer step, over all processes.
    pub batch_size: usize,
    /// Samples that go through the network together; `batch_size` is a multiple of it.
    pub micro_batch_size: usize,
    /// The peak, reached after the warm-up and left along a cosine that ends at 0; at most 10.
    pub learning_rate: f64,
    /// Share of the steps that warm up.
    #[serde(default = "defaults::warmup_ratio")]
    pub warmup_ratio: f64,
    /// Gradients are scaled down to this global norm; 0 never clips.
    #[serde(default = "defaults::max_grad_norm")]
    pub max_grad_norm: f64,
    /// `micro_batch` (the reference: every micro-batch counts alike) or `tokens` (every learnt token does).
    #[serde(default)]
    pub loss_normalisation: LossNormalisation,
    /// Keeps only each decoder layer's input for the backward pass and computes the rest again: a fifth to a
    /// third more work for memory that no longer grows with the layers.
    #[serde(default)]
    pub activation_checkpointing: bool,
    /// Micro-batches computed at the same time; pays on CPUs.
    #[serde(default = "defaults::threads")]
    pub threads: usize,
    /// Steps between checkpoints.
    #[serde(default = "defaults::save_every")]
    pub save_every: usize,
    /// Checkpoints that stay.
    #[serde(default = "defaults::keep")]
    pub keep: usize,
}

/// Times that data is seen at most.
const MOST_EPOCHS: f64 = 1e6;
/// Records that a source is said to have at most.
const MOST_RECORDS: usize = 1_000_000_000_000;

/// The values of keys that are missing.
mod defaults {
    pub(super) fn seed() -> u64 {
        42
    }
    pub(super) fn workers() -> usize {
        4
    }
    pub(super) fn weight() -> f64 {
        1.0
    }
    pub(super) fn moe() -> bool {
        true
    }
    pub(super) fn warmup_ratio() -> f64 {
        0.03
    }
    pub(super) fn max_grad_norm() -> f64 {
        1.0
    }
    pub(super) fn threads() -> usize {
        1
    }
    pub(super) fn save_every() -> usize {
        500
    }
    pub(super) fn keep() -> usize {
        2
    }
}

impl Recipe {
    /// Reads a recipe and applies changes of the form `key=value`, keys dotted: `train.steps=100`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], or [`Error::Recipe`] with the place and, for an unknown key, the one that was probably
    /// meant.
    pub fn from_file(path: &Path, changes: &[String]) -> Result<Self> {
        let text = untrusted::read_text(path, MAX_CONFIG_BYTES)?;
        Self::parse(&text, changes, path)
    }

    /// A recipe's text; `path` names it in errors.
    ///
    /// # Errors
    ///
    /// [`Error::Recipe`], as [`from_file`](Self::from_file).
    pub fn parse(text: &str, changes: &[String], path: &Path) -> Result<Self> {
        let recipe: Self = parse::recipe(text, changes)
            .and_then(|recipe: Self| recipe.check().map(|()| recipe))
            .map_err(|reason| Error::Recipe { path: path.to_path_buf(), reason })?;
        Ok(recipe)
    }

    /// Checks what serde cannot. Numbers that a stage refuses are left for it to check.
    fn check(&self) -> Result<(), String> {
        let ModelRecipe { from, size, language_model, vision_tower, .. } = &self.model;
        match (from, size) {
            (None, None) => return Err("model: needs `from`, or `size` for a new model".into()),
            (Some(_), _) if language_model.is_some() || vision_tower.is_some() => {
                return Err("model: `language_model` and `vision_tower` have no place beside `from`".into());
            }
            _ => {}
        }
        if let Some(dtype) = self.model.decoder_dtype
            && self.train.parts.contains(&Part::LanguageModel)
        {
            let name = dtype.format().name();
            return Err(format!(
                "model.decoder_dtype: a decoder in {name} is frozen; leave language_model out of train.parts, and let [lora] learn in its place"
            ));
        }
        if self.train.parts.contains(&Part::Moe) && !self.train.moe {
            return Err("train.parts: `moe` cannot learn with `moe = false`, which bypasses it".into());
        }
        let TrainRecipe { steps, epochs, batch_size, micro_batch_size, .. } = self.train;
        if steps.is_some() && epochs.is_some() {
            return Err("train: `steps` and `epochs` exclude each other".into());
        }
        if epochs.is_some_and(|epochs| !epochs.is_finite() || epochs <= 0.0 || epochs > MOST_EPOCHS) {
            let found = epochs.unwrap_or_default();
            return Err(format!("train.epochs: should be above 0 and at most {MOST_EPOCHS}, found {found}"));
        }
        let records = self.data.sources.iter().filter_map(|source| source.records).max();
        if records.is_some_and(|records| records > MOST_RECORDS) {
            return Err(format!("data.source.records: should be at most {MOST_RECORDS}"));
        }
        for (key, size) in [("micro_batch_size", micro_batch_size), ("batch_size", batch_size)] {
            if size == 0 {
                return Err(format!("train.{key}: should be at least 1, found 0"));
            }
        }
        if batch_size % micro_batch_size != 0 {
            return Err(format!(
                "train.batch_size: should be a multiple of train.micro_batch_size = {micro_batch_size}, found {batch_size}"
            ));
        }
        if self.out.as_os_str().is_empty() {
            return Err("out: the path is empty".into());
        }
        if self.data.sources.is_empty() {
            return Err("data.source: needs at least one".into());
        }
        Ok(())
    }

    /// The sources with their paths resolved.
    #[must_use]
    pub fn sources(&self) -> Vec<Source> {
        let resolve =
            |path: &Path| self.data.root.as_deref().map_or_else(|| path.into(), |root| root.join(path));
        let source = |source: &SourceRecipe| Source {
            name: source.name(),
            file: resolve(&source.file),
            images: resolve(&source.images),
            weight: source.weight,
            language: source.language.clone(),
            images_anywhere: source.images_anywhere,
        };
        self.data.sources.iter().map(source).collect()
    }

    /// Reads the data for a model.
    ///
    /// - max_bad_records: how many records may be unusable
    ///
    /// # Errors
    ///
    /// As [`Mix::open`], and the model's own error for its tokenizer.
    pub fn mix(&self, initial: &InitialModel, max_bad_records: usize) -> Result<Mix> {
        let preparation = initial.preparation(self.max_length(&initial.description.config))?;
        Mix::open(&self.sources(), preparation, max_bad_records, self.seed)
    }

    /// The longest sequence: the recipe's, or else the model's own limit, which is never beyond its positions.
    #[must_use]
    pub fn max_length(&self, model: &ParrotConfig) -> Option<usize> {
        let positions = model.decoder.max_position_embeddings;
        let own = model.tokenizer_model_max_length.map_or(positions, |limit| limit.min(positions));
        self.data.max_length.or(Some(own))
    }

    /// The stage for a model, over data of which an epoch visits `samples`.
    #[must_use]
    pub fn stage(&self, samples: usize, model: &ParrotConfig) -> Stage {
        let train = &self.train;
        let steps = train.steps.unwrap_or_else(|| {
            let samples = samples as f64 * train.epochs.unwrap_or(1.0);
            (samples / train.batch_size as f64).floor().max(1.0) as usize
        });
        Stage {
            name: self.name.clone(),
            steps,
            micro_batch_size: train.micro_batch_size,
            accumulation: train.batch_size / train.micro_batch_size,
            threads: train.threads,
            learning_rate: train.learning_rate,
            warmup_ratio: train.warmup_ratio,
            optimizer: self.optimizer,
            max_grad_norm: (train.max_grad_norm != 0.0).then_some(train.max_grad_norm),
            max_length: self.max_length(model),
            trainable: train.parts.iter().copied().collect(),
            lora: self.lora.clone(),
            seed: self.seed,
            loss_normalisation: train.loss_normalisation,
            activation_checkpointing: train.activation_checkpointing,
            grouping: self.data.grouping,
            max_skipped: self.data.max_bad_records,
            workers: self.data.workers,
            save_every: train.save_every,
            keep: train.keep,
        }
    }
}

impl SourceRecipe {
    /// Its name in reports.
    #[must_use]
    pub fn name(&self) -> String {
        let stem = || self.file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        self.name.clone().unwrap_or_else(stem)
    }
}
