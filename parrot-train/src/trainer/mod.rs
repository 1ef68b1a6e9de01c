//! A stage of training from its first step, or from where it stopped, to its last.

mod resume;
mod training_loop;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use burn::tensor::{DType, FloatDType};
use parrot_model::config::{ParrotConfig, VisionConfig};
use parrot_model::parrot::ParrotModel;

use crate::checkpoint::{ModelDescription, RunFolder};
use crate::data::loader::{self, LengthGrouping, LoaderOptions};
use crate::data::{Dataset, TrainingSample};
use crate::distributed::World;
use crate::flops::Cost;
use crate::lora::LoraConfig;
use crate::optim::{Optimizer, OptimizerConfig};
use crate::part::Part;
use crate::step::{Learner, LossNormalisation, StepReport, in_blocks, weight_dtype_of};
use crate::{Error, Result};

pub use resume::Trainer;

/// One stage: what learns, from how much data, how fast. Errors call its settings as a [recipe](crate::recipe) has them:
/// `train.learning_rate`, and `train.batch_size` for `micro_batch_size` × `accumulation`.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// Names the stage in checkpoints and reports.
    pub name: String,
    /// Optimizer steps.
    pub steps: usize,
    /// Samples of a micro-batch.
    pub micro_batch_size: usize,
    /// Micro-batches of a step.
    pub accumulation: usize,
    /// Micro-batches computed at the same time.
    pub threads: usize,
    /// The schedule's peak.
    pub learning_rate: f64,
    /// Share of the steps that warm up.
    pub warmup_ratio: f64,
    /// The optimizer's rule and constants.
    pub optimizer: OptimizerConfig,
    /// Global gradient norm to clip at.
    pub max_grad_norm: Option<f64>,
    /// Longest sequence, pictures counted; at most the decoder's `max_position_embeddings`.
    pub max_length: Option<usize>,
    /// The parts that learn.
    pub trainable: BTreeSet<Part>,
    /// Low-rank adapters that learn in the decoder's place.
    pub lora: Option<LoraConfig>,
    /// The seed of the data's order.
    pub seed: u64,
    /// What counts alike in a step's loss.
    pub loss_normalisation: LossNormalisation,
    /// Keeps only each decoder layer's input for the backward pass, which computes the rest again.
    pub activation_checkpointing: bool,
    /// Which samples share a micro-batch. With [`LossNormalisation::MicroBatch`] the tokens of short samples
    /// weigh a little more where they are grouped.
    pub grouping: LengthGrouping,
    /// Different samples that may turn out unusable, by a picture that does not decode or by being cut off where there
    /// is nothing to learn yet, say, before the stage ends with an error. They are left out, and the observer is told
    /// of each.
    pub max_skipped: usize,
    /// Threads that make samples.
    pub workers: usize,
    /// Steps between checkpoints.
    pub save_every: usize,
    /// Checkpoints that stay.
    pub keep: usize,
}

/// Where a stage runs.
#[derive(Debug, Clone, Copy, derive_new::new)]
pub struct Run<'a> {
    /// Where it saves. Every stage has a folder of its own.
    pub folder: &'a Path,
    /// What its checkpoints say of the model besides the weights.
    pub description: &'a ModelDescription,
    /// Set it (on Ctrl-C, say) to save and return after the step in progress.
    pub stop: &'a AtomicBool,
    /// The processes that train together; `None` for one alone.
    #[new(default)]
    pub world: Option<&'a World>,
    /// The locked folder, if the caller holds it already; of several processes, only the first one does.
    #[new(default)]
    pub held: Option<&'a RunFolder>,
    /// The dtype of the weights, if the given model does not tell, because its weights have not been made
    /// and those of a checkpoint will take their place.
    #[new(default)]
    pub dtype: Option<FloatDType>,
}

/// How a stage ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct StageOutcome {
    /// The model as the last step left it, adapters merged; beside a decoder in blocks they stay, and
    /// [`ModelDescription::save`] merges them.
    pub model: ParrotModel,
    /// Steps done.
    pub steps: usize,
    /// Whether it was asked to stop before its last step; a checkpoint then holds where it was.
    pub interrupted: bool,
}

impl Stage {
    /// What a step of the stage costs with a model of this shape. Adapters are products of their own beside the decoder's.
    ///
    /// # Errors
    ///
    /// The model's own error for an impossible configuration.
    pub fn cost(&self, config: &ParrotConfig, vision: &VisionConfig) -> Result<Cost> {
        let adapters = self.lora.as_ref().map_or(0, |lora| lora.parameters(&config.decoder));
        let cost = Cost::new(config, vision, &self.trainable)?.with_adapters(adapters);
        Ok(if self.activation_checkpointing { cost.recomputing() } else { cost })
    }

    /// The paper's first stage (its Table 13): the projector learns from captions to speak to the decoder,
    /// 256 samples a step. Set [`ParrotModel::use_moe`] to false: the mixture of experts is bypassed.
    #[must_use]
    pub fn stage1(steps: usize) -> Self {
        Self {
            name: "stage1".into(),
            steps,
            micro_batch_size: 8,
            accumulation: 32,
            threads: 1,
            learning_rate: 1e-3,
            warmup_ratio: 0.03,
            optimizer: OptimizerConfig::default(),
            max_grad_norm: Some(1.0),
            max_length: Some(2048),
            trainable: [Part::Projector].into(),
            lora: None,
            seed: 42,
            loss_normalisation: LossNormalisation::MicroBatch,
            activation_checkpointing: false,
            grouping: LengthGrouping::None,
            max_skipped: 0,
            workers: 1,
            save_every: 500,
            keep: 2,
        }
    }

    /// The paper's second stage: all but the vision tower learns from conversations, 128 samples a step. Set
    /// [`ParrotModel::use_moe`] to true.
    #[must_use]
    pub fn stage2(steps: usize) -> Self {
        Self {
            name: "stage2".into(),
            micro_batch_size: 4,
            learning_rate: 2e-5,
            trainable: [Part::Projector, Part::Moe, Part::LanguageModel].into(),
            ..Self::stage1(steps)
        }
    }

    /// Samples of one step.
    #[must_use]
    pub fn samples_per_step(&self) -> usize {
        self.micro_batch_size * self.accumulation
    }

    /// Samples of the whole stage.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.steps * self.samples_per_step()
    }

    /// Trains `model`, which lives on an autodiff device, and saves on the way.
    ///
    /// If the run's folder holds checkpoints of this stage the newest one that can be read is resumed
    /// instead of `model`: on the CPU the result is bit for bit that of a run that never stopped.
    ///
    /// With [`lora`](Self::lora), or with a decoder in blocks of 8 or 4 bits, `model` has to be the one that the stage started
    /// from also when it is resumed: checkpoints hold the adapters, and the decoder with the adapters merged.
    ///
    /// - observe: called after every step with its number, counted from 1, but for steps without any usable sample
    ///
    /// # Errors
    ///
    /// - [`Error::Setting`] for a stage that cannot be trained
    /// - [`Error::Sample`], or whatever else the dataset returns, for a sample that cannot be used
    /// - [`Error::NotFinite`] when the loss or the gradient is no number; the checkpoints stay as they are
    /// - [`Error::Io`] when a checkpoint cannot be written; [`Error::InUse`] when another process has the
    ///   folder
    /// - [`Error::Checkpoint`] when there are checkpoints, but of another run, or none that can be read
    pub fn train(
        &self,
        model: ParrotModel,
        dataset: &Arc<dyn Dataset<Sample = TrainingSample>>,
        run: &Run<'_>,
        observe: impl FnMut(usize, &StepReport),
    ) -> Result<StageOutcome> {
        Trainer::open(self, model, dataset, run)?.train(observe)
    }

    /// The model as it learns in this stage, step by step; for a loop of one's own.
    #[must_use]
    pub fn learner(&self, model: ParrotModel, optimizer: Optimizer) -> Learner {
        let mut learner = Learner::new(model, &self.trainable, optimizer);
        learner.prepare_options.max_length = self.max_length;
        learner.max_grad_norm = self.max_grad_norm;
        learner.threads = self.threads;
        learner.loss_normalisation = self.loss_normalisation;
        learner.activation_checkpointing = self.activation_checkpointing;
        learner
    }

    fn looks_at_router(&self, step: usize) -> bool {
        step.is_multiple_of(ROUTING_EVERY) || step == self.steps
    }

    fn loader_options(&self, first_batch: usize, world: &World, vision: &VisionConfig) -> LoaderOptions {
        let pixels = vision.image_size.saturating_mul(vision.image_size).saturating_mul(3 * size_of::<f32>());
        LoaderOptions {
            micro_batch_size: self.micro_batch_size,
            seed: self.seed,
            grouping: self.grouping,
            first_batch,
            workers: self.workers,
            ready: loader::queue(self.workers, pixels.saturating_mul(self.micro_batch_size)),
            rank: world.rank(),
            ranks: world.size(),
        }
    }

    /// Refuses narrow weights that would have to learn, or that nothing could be saved for.
    pub(crate) fn check_widths(&self, model: &ParrotModel, description: &ModelDescription) -> Result<()> {
        let refuse =
            |key, expected: &str, found: String| Error::Setting { key, expected: expected.into(), found };
        let widths = [
            (Part::VisionTower, weight_dtype_of(&model.vision_tower)),
            (Part::Projector, weight_dtype_of(&model.mm_projector)),
            (Part::Moe, model.moe_model.as_ref().and_then(weight_dtype_of)),
            (Part::LanguageModel, weight_dtype_of(&model.language_model)),
        ];
        // Gradients are as activations are.
        let is_narrower = |dtype: Option<FloatDType>| {
            dtype.is_some_and(|dtype| DType::from(dtype) != model.language_model.activation_dtype())
        };
        let learns = |part: &Part| self.trainable.contains(part);
        if let Some((part, _)) = widths.into_iter().find(|(part, dtype)| learns(part) && is_narrower(*dtype))
        {
            let expected =
                "that of activations for what learns; `training_dtypes` says what a device holds parts in";
            return Err(refuse("model.dtype", expected, format!("{part:?} in less")));
        }
        let others = [
            in_blocks(&model.vision_tower),
            in_blocks(&model.mm_projector),
            model.moe_model.as_ref().is_some_and(in_blocks),
        ];
        if others.contains(&true) {
            let expected = "numbers for all but the decoder, which alone may be held in q8 or q4";
            return Err(refuse("model.dtype", expected, "another part in blocks".into()));
        }
        let Some(format) = model.language_model.block_format() else { return Ok(()) };
        if self.trainable.contains(&Part::LanguageModel) {
            let expected = format!("without language_model, which is held in {} and frozen", format.name());
            return Err(refuse("train.parts", &expected, "language_model".into()));
        }
        if description.decoder_weights.is_none() {
            let expected = "with the weights that the decoder was quantised from, to save it";
            return Err(refuse("model.decoder_dtype", expected, format.name().into()));
        }
        Ok(())
    }

    /// Refuses what would otherwise panic, run out of memory or threads, or quietly do something else. Settings are
    /// called as a recipe has them.
    pub(crate) fn check(&self, world: &World, config: &ParrotConfig) -> Result<()> {
        let batch_size = self.accumulation.saturating_mul(self.micro_batch_size);
        let counts = [
            ("train.micro_batch_size", self.micro_batch_size, 65_536),
            ("train.batch_size", batch_size, 16_777_216),
            ("train.steps", self.steps, 1_000_000_000),
            ("train.save_every", self.save_every, usize::MAX),
            ("train.keep", self.keep, usize::MAX),
            ("train.threads", self.threads, MOST_THREADS),
            ("data.workers", self.workers, MOST_THREADS),
            ("data.max_length", self.max_length.unwrap_or(1), 16_777_216),
        ];
        let refuse =
            |key, expected: &str, found: String| Error::Setting { key, expected: expected.into(), found };
        for (key, count, most) in counts {
            if count == 0 {
                return Err(refuse(key, "at least 1", "0".into()));
            }
            if count > most {
                return Err(refuse(key, &format!("at most {most}"), count.to_string()));
            }
        }
        if self.max_length == Some(1) {
            return Err(refuse("data.max_length", "at least 2: the first token is not learnt", "1".into()));
        }
        let positions = config.decoder.max_position_embeddings;
        if let Some(length) = self.max_length.filter(|length| *length > positions) {
            let expected = format!("at most the {positions} positions that the model has");
            return Err(refuse("data.max_length", &expected, length.to_string()));
        }
        if !self.accumulation.is_multiple_of(world.size()) {
            let expected = format!(
                "a multiple of {}, train.micro_batch_size for each of the {} processes",
                self.micro_batch_size.saturating_mul(world.size()),
                world.size()
            );
            return Err(refuse("train.batch_size", &expected, batch_size.to_string()));
        }
        if let Some(lora) = &self.lora {
            lora.check(&config.decoder)?;
            if self.trainable.contains(&Part::LanguageModel) {
                let expected = "without language_model, which the adapters learn for";
                return Err(refuse("train.parts", expected, "language_model".into()));
            }
        } else if self.trainable.is_empty() {
            return Err(refuse("train.parts", "at least one part", "none".into()));
        }
        let norm = self.max_grad_norm.unwrap_or(1.0);
        let rates = [
            (
                "train.learning_rate",
                self.learning_rate,
                "a number from 0 to 10",
                (0.0..=HIGHEST_LEARNING_RATE).contains(&self.learning_rate),
            ),
            (
                "train.warmup_ratio",
                self.warmup_ratio,
                "from 0 to 1",
                (0.0..=1.0).contains(&self.warmup_ratio),
            ),
            ("train.max_grad_norm", norm, "a number above 0", norm > 0.0),
        ];
        for (key, value, expected, is_sound) in rates.into_iter().chain(self.optimizer.constants()) {
            if !is_sound || !value.is_finite() {
                return Err(refuse(key, expected, value.to_string()));
            }
        }
        Ok(())
    }
}

/// A weight that learns moves by about as much in a step. Ten is a thousand times what anything learns with; where it is far more,
/// weights are finite and what the network makes of them is not.
const HIGHEST_LEARNING_RATE: f64 = 10.0;

/// Threads of a kind at most: a thousand are more than any machine this runs on has a use for.
const MOST_THREADS: usize = 1024;

/// Steps between looks at the router, each of which costs a pass through tower and experts.
const ROUTING_EVERY: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_stages_have_its_batches() {
        assert_eq!(Stage::stage1(10).samples(), 2560);
        assert_eq!(Stage::stage2(10).samples_per_step(), 128);
    }
}
