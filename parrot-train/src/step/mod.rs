//! One step of training: micro-batches → losses → gradients → clipped update.

mod gradients;
mod micro_batch;
mod parts;
mod routing;

use std::collections::BTreeSet;

use burn::module::Module;
use burn::prelude::*;
use burn::tensor::DType;
use parrot_model::batch::{PrepareOptions, Prepared};
use parrot_model::config::PaddingSide;
use parrot_model::parrot::ParrotModel;
use parrot_model::vision::VisionTower;
use serde::{Deserialize, Serialize};

use crate::activation_checkpointing;
use crate::checkpoint::ModelDescription;
use crate::data::TrainingSample;
use crate::data::loader::Skipped;
use crate::distributed::World;
use crate::distributed::shard::Owners;
use crate::distributed::{reduce, shard};
use crate::error::read_back;
use crate::flops::Workload;
use crate::optim::{GradientNorm, Optimizer};
use crate::part::Part;
use crate::{Error, Result};

use parts::StoredLayout;
pub(crate) use parts::{HeldIn, dtype_of, freeze_others, in_blocks, not_finite, weight_dtype_of};
pub(crate) use routing::mean_weights;

pub use gradients::{backward, gradients};
pub use micro_batch::MicroBatch;
pub use routing::ExpertUse;

/// What counts alike in a step's loss.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossNormalisation {
    /// Every micro-batch, whose loss is the mean over its learnt tokens, as in the reference: tokens of a
    /// micro-batch with short answers weigh more.
    #[default]
    MicroBatch,
    /// Every learnt token of the step: however it is cut into micro-batches, it is the same step.
    Tokens,
}

impl LossNormalisation {
    /// Its name in recipes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::MicroBatch => "micro_batch",
            Self::Tokens => "tokens",
        }
    }
}

/// What a step reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StepReport {
    /// Mean over micro-batches or tokens, as [`LossNormalisation`] says.
    pub loss: f64,
    /// Norm of all gradients before clipping.
    pub grad_norm: f64,
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// Samples that it learnt from.
    pub samples: usize,
    /// Their tokens, pictures counted.
    pub tokens: usize,
    /// Their pictures.
    #[serde(rename = "pictures")]
    pub images: usize,
    /// Their tokens that a loss was taken of.
    #[serde(default)]
    pub learnt: usize,
    /// Samples that could not be made or learnt from and were left out: those of the step, of all processes, and those
    /// of the steps right before it that had no usable sample.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Skipped>,
    /// How the router weighted the experts, where the trainer looked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routing: Vec<ExpertUse>,
}

impl StepReport {
    /// What the step worked on.
    #[must_use]
    pub fn workload(&self) -> Workload {
        let Self { samples, tokens, images, learnt, .. } = *self;
        Workload { samples, tokens, images, learnt }
    }
}

/// A model that is being trained.
#[derive(Debug)]
pub struct Learner {
    /// `None` only while the optimizer has it: a second handle would make every update a copy.
    model: Option<ParrotModel>,
    /// The tower without gradients, when it is frozen: it then runs outside the tape.
    frozen_tower: Option<VisionTower>,
    /// What the tower computes in, and wants its pixels in.
    tower_dtype: DType,
    /// Positions that a picture takes in a sequence.
    tokens_per_image: usize,
    /// Its optimizer; of several processes, this one's share of it.
    pub optimizer: Optimizer,
    /// Which process keeps the optimizer's state of which parameter; empty before the first step.
    owners: Owners,
    /// How batches are put together.
    pub prepare_options: PrepareOptions,
    /// Gradients are scaled down to this norm; `None` never clips.
    pub max_grad_norm: Option<f64>,
    /// What counts alike in a step's loss.
    pub loss_normalisation: LossNormalisation,
    /// Whether only each decoder layer's input is kept for the backward pass:
    /// [`crate::activation_checkpointing`].
    pub activation_checkpointing: bool,
    /// Micro-batches computed at the same time, each on a thread of its own. More than one pays on the CPU,
    /// whose elementwise operations use one core; the result is the same.
    pub threads: usize,
}

impl Learner {
    /// Readies a model that lives on an autodiff device: `trainable` parts learn, and
    /// [adapters](crate::lora) where it has some; the rest is frozen. Sequences may be of any length, and no gradient is
    /// clipped, until the fields say otherwise.
    #[must_use]
    pub fn new(model: ParrotModel, trainable: &BTreeSet<Part>, optimizer: Optimizer) -> Self {
        let model = freeze_others(model.map(&mut StoredLayout), trainable);
        let frozen_tower = (!trainable.contains(&Part::VisionTower)).then(|| model.vision_tower.valid());
        let tower_dtype = dtype_of(&model.vision_tower);
        Self {
            tokens_per_image: model.vision_tower.tokens_per_image(),
            model: Some(model),
            frozen_tower,
            tower_dtype,
            optimizer,
            owners: Owners::default(),
            prepare_options: PrepareOptions { max_length: None, padding_side: PaddingSide::Right },
            max_grad_norm: None,
            loss_normalisation: LossNormalisation::default(),
            activation_checkpointing: false,
            threads: 1,
        }
    }

    /// The model as it is now.
    ///
    /// # Panics
    ///
    /// After a panic within a step, which may have lost it.
    #[must_use]
    pub fn model(&self) -> &ParrotModel {
        self.model.as_ref().expect("the model is back after every step")
    }

    /// Takes the trained model out.
    ///
    /// # Panics
    ///
    /// As [`model`](Self::model).
    #[must_use]
    pub fn into_model(self) -> ParrotModel {
        self.model.expect("the model is back after every step")
    }

    /// Which of these processes keeps the optimizer's state of which parameter.
    pub(crate) fn owners(&mut self, world: &World) -> &Owners {
        if self.owners.is_empty() {
            self.owners = Owners::new(self.model(), world.size());
            if world.size() > 1 {
                self.optimizer.retain(&self.owners.owned_by(world.rank()));
            }
        }
        &self.owners
    }

    /// Whether this model can learn from a single sample. A [`Preparation`](crate::data::preparation::Preparation) with
    /// limits has asked the same before it decoded any picture, but samples may come from elsewhere.
    pub(crate) fn check(&self, sample: &TrainingSample, description: &ModelDescription) -> Result<()> {
        sample.check(&description.config, &description.vision)?;
        sample.length(self.tokens_per_image, self.prepare_options.max_length).map(|_| ())
    }

    /// The loss of a micro-batch. `[1]`, f32
    ///
    /// # Errors
    ///
    /// [`Error::Sample`] naming the batch's samples, when [`ParrotModel::prepare`] or [`ParrotModel::loss`] refuses it.
    pub fn loss(&self, batch: &MicroBatch) -> Result<Tensor<1>> {
        self.loss_of(self.model(), batch)
    }

    fn loss_of(&self, model: &ParrotModel, batch: &MicroBatch) -> Result<Tensor<1>> {
        let prepared = self.prepare_batch(model, batch)?;
        model.loss(prepared).map_err(|error| refused(batch, &error))
    }

    /// A micro-batch as the decoder takes it.
    fn prepare_batch(&self, model: &ParrotModel, batch: &MicroBatch) -> Result<Prepared> {
        let images = batch.pixel_values.clone().map(|pixel_values| {
            let pixel_values = pixel_values.cast(self.tower_dtype);
            match &self.frozen_tower {
                Some(tower) => model.project(Tensor::from_inner(tower.forward(pixel_values))),
                None => model.encode_images(Tensor::from_inner(pixel_values)),
            }
        });
        let prepared = model.prepare(&batch.samples, images.as_ref(), self.prepare_options);
        prepared.map_err(|error| refused(batch, &error))
    }

    /// How the router weights the experts for a micro-batch, by the language of its samples; empty where visual
    /// tokens do not go through the mixture of experts. The host waits for the device.
    ///
    /// - languages: one per sample
    ///
    /// # Errors
    ///
    /// As [`loss`](Self::loss), and [`Error::Device`].
    pub fn routing(&self, batch: &MicroBatch, languages: &[String]) -> Result<Vec<ExpertUse>> {
        let Some(routing) = self.prepare_batch(self.model(), batch)?.routing else { return Ok(Vec::new()) };
        let weights = routing.routing_weights.inner().cast(DType::F32);
        let [_, experts] = weights.dims();
        let weights: Vec<f32> = read_back(weights)?.iter::<f32>().collect();
        let images = languages
            .iter()
            .zip(&batch.samples)
            .flat_map(|(language, sample)| std::iter::repeat_n(language.as_str(), sample.images.len()));
        Ok(mean_weights(images.zip(weights.chunks(experts))))
    }

    /// What the samples of a micro-batch come to as the network sees them.
    fn workload(&self, batch: &MicroBatch) -> Result<Workload> {
        let mut workload = Workload::default();
        for sample in &batch.samples {
            let length = sample.length(self.tokens_per_image, self.prepare_options.max_length);
            let length = length.map_err(|error| refused(batch, &error))?;
            workload.samples += 1;
            workload.tokens += length.tokens;
            workload.images += sample.images.len();
            workload.learnt += length.learnt;
        }
        Ok(workload)
    }

    /// How much each micro-batch counts; over all processes they sum to one.
    fn shares(&self, workloads: &[Workload], world: &World) -> Vec<f64> {
        let counts = workloads.iter().map(|workload| match self.loss_normalisation {
            LossNormalisation::MicroBatch => 1,
            LossNormalisation::Tokens => workload.learnt,
        });
        let counts: Vec<usize> = counts.collect();
        let total = world.total(counts.iter().sum::<usize>() as f64).max(1.0);
        counts.into_iter().map(|count| count as f64 / total).collect()
    }

    /// One optimizer step over one or more micro-batches.
    ///
    /// The host waits for the device once, to read loss and norm.
    ///
    /// # Errors
    ///
    /// What [`loss`](Self::loss) refuses; [`Error::NotFinite`] when loss or gradient norm is no number:
    /// the weights are then still those of the step before. [`Error::Device`] when the device fails.
    ///
    /// # Panics
    ///
    /// If `micro_batches` is empty, or the model is not on an autodiff device.
    pub fn step(
        &mut self,
        micro_batches: &[MicroBatch],
        learning_rate: f64,
        step: usize,
    ) -> Result<StepReport> {
        assert!(!micro_batches.is_empty(), "a step needs at least one micro-batch");
        self.step_with(&World::default(), micro_batches, learning_rate, step)
    }

    /// [`step`](Self::step) of one process among several: each brings its own micro-batches, perhaps none, at
    /// the same step, and all end with the same weights.
    ///
    /// # Errors
    ///
    /// As [`step`](Self::step), and the same in all processes, except for what only one of them refuses.
    pub(crate) fn step_with(
        &mut self,
        world: &World,
        micro_batches: &[MicroBatch],
        learning_rate: f64,
        step: usize,
    ) -> Result<StepReport> {
        let workloads =
            micro_batches.iter().map(|batch| self.workload(batch)).collect::<Result<Vec<Workload>>>()?;
        let shares = self.shares(&workloads, world);
        let backward = |model: &ParrotModel, batch: &MicroBatch, share: f64| {
            if self.activation_checkpointing {
                let prepare = |model: &ParrotModel| {
                    let prepared = self.prepare_batch(model, batch)?;
                    let targets = prepared.targets().map_err(|error| refused(batch, &error))?;
                    Ok((prepared, targets))
                };
                activation_checkpointing::backward(model, prepare, share)
            } else {
                Ok(backward(model, self.loss_of(model, batch)?, share))
            }
        };
        let (losses, gradients) = gradients(self.model(), micro_batches, &shares, self.threads, backward)?;
        let gradients = reduce::sum(world, self.model(), gradients);
        let ids = || -> Vec<String> { micro_batches.iter().flat_map(|batch| batch.ids.clone()).collect() };
        let Some(norm) = GradientNorm::measure(self.model(), &gradients) else {
            let ids = world.gather(ids());
            let reason = "no sample of the step reaches a part that learns".into();
            return Err(Error::Sample { id: ids.join(", "), reason });
        };
        let losses = losses.into_iter().zip(&shares).map(|(loss, share)| loss * *share);
        let measured = Tensor::cat([norm.norm.clone()].into_iter().chain(losses).collect(), 0);
        let measured: Vec<f64> = read_back(measured)?.iter::<f64>().collect();
        let total = |count: fn(&Workload) -> usize| {
            world.total(workloads.iter().map(count).sum::<usize>() as f64) as usize
        };
        let report = StepReport {
            loss: world.total(measured[1..].iter().sum()),
            grad_norm: measured[0],
            learning_rate,
            samples: total(|workload| workload.samples),
            tokens: total(|workload| workload.tokens),
            images: total(|workload| workload.images),
            learnt: total(|workload| workload.learnt),
            skipped: Vec::new(),
            routing: Vec::new(),
        };
        for (what, value) in [("loss", report.loss), ("gradient norm", report.grad_norm)] {
            if !value.is_finite() {
                let samples = world.gather(ids());
                return Err(Error::NotFinite { step, what, value, samples, checkpoint: None });
            }
        }
        let scale = self.max_grad_norm.map(|max_norm| norm.clip_factor(max_norm));
        let own = (world.size() > 1).then(|| self.owners(world).owned_by(world.rank()));
        let (optimizer, owners) = (&mut self.optimizer, &self.owners);
        self.model = self.model.take().map(|model| {
            let moved = optimizer.step_only(model, gradients, learning_rate, scale, own.as_ref());
            shard::exchange(world, owners, moved)
        });
        Ok(report)
    }
}

fn refused(batch: &MicroBatch, error: &parrot_model::Error) -> Error {
    Error::Sample { id: batch.ids.join(", "), reason: error.to_string() }
}
