//! One step of training: micro-batches → losses → gradients → clipped update.

use std::collections::BTreeSet;
use std::panic::resume_unwind;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::prelude::*;
use burn::tensor::DType;
use parrot_model::config::PaddingSide;
use parrot_model::parrot::{Parrot, PrepareOptions, Sample};
use parrot_model::vision::VisionTower;
use parrot_model::vision::preprocess::Pixels;
use serde::{Deserialize, Serialize};

use crate::data::TrainingSample;
use crate::optim::{AdamW, GradientNorm};
use crate::{Error, Result};

/// A part of the model that a stage trains or leaves as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The vision tower; frozen in both of the paper's stages.
    VisionTower,
    /// The projector; the only part that the paper's stage 1 trains.
    Projector,
    /// Router and experts.
    Moe,
    /// The decoder, its embeddings and its head.
    LanguageModel,
}

/// Samples that meet the network together.
#[derive(Debug, Clone)]
pub struct MicroBatch {
    /// Ids and labels; `pictures` are rows of `pixel_values`.
    pub samples: Vec<Sample>,
    /// `[pictures, 3, size, size]`; `None` when no sample has a picture.
    pub pixel_values: Option<Tensor<4>>,
    /// The samples' names, for reports.
    pub ids: Vec<String>,
}

impl MicroBatch {
    /// Puts samples together. Pictures go to `device`, which may be one with or without autodiff.
    ///
    /// # Panics
    ///
    /// If pictures differ in size; [`TrainingSample::check`] tells beforehand.
    #[must_use]
    pub fn collate(samples: Vec<TrainingSample>, device: &Device) -> Self {
        let mut pixels: Vec<Pixels> = Vec::new();
        let mut batch = Self { samples: Vec::new(), pixel_values: None, ids: Vec::new() };
        for sample in samples {
            let pictures = (pixels.len()..pixels.len() + sample.pixels.len()).collect();
            pixels.extend(sample.pixels);
            batch.ids.push(sample.id);
            batch.samples.push(Sample { input_ids: sample.input_ids, labels: Some(sample.labels), pictures });
        }
        if !pixels.is_empty() {
            batch.pixel_values = Some(Pixels::to_tensor(&pixels, &device.clone().inner()));
        }
        batch
    }
}

/// What a step reports.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// Mean of the micro-batches' losses, each a mean over its tokens, as the reference averages them.
    pub loss: f64,
    /// Norm of all gradients before clipping.
    pub grad_norm: f64,
    /// Learning rate of this step.
    pub learning_rate: f64,
}

/// A model that is being trained.
#[derive(Debug)]
pub struct Learner {
    /// `None` only while the optimizer has it: a second handle would make every update a copy.
    model: Option<Parrot>,
    /// The tower without gradients, when it is frozen: it then runs outside the tape.
    frozen_tower: Option<VisionTower>,
    /// What the tower computes in, and wants its pixels in.
    tower_dtype: DType,
    /// Its optimizer.
    pub optimizer: AdamW,
    /// How batches are put together.
    pub prepare: PrepareOptions,
    /// Gradients are scaled down to this norm; `None` never clips.
    pub max_grad_norm: Option<f64>,
    /// Micro-batches computed at the same time, each on a thread of its own. More than one pays on the CPU,
    /// whose elementwise operations use one core; the result is the same.
    pub threads: usize,
}

impl Learner {
    /// Readies a model that lives on an autodiff device: `trainable` parts learn, the rest is frozen.
    ///
    /// - max_length: longest sequence, pictures counted
    #[must_use]
    pub fn new(
        mut model: Parrot,
        trainable: &BTreeSet<Part>,
        optimizer: AdamW,
        max_length: Option<usize>,
        max_grad_norm: Option<f64>,
    ) -> Self {
        model = model.map(&mut StoredLayout);
        let learns = |part| trainable.contains(&part);
        model.vision_tower = set_trainable(model.vision_tower, learns(Part::VisionTower));
        model.mm_projector = set_trainable(model.mm_projector, learns(Part::Projector));
        model.moe_model = model.moe_model.map(|moe| set_trainable(moe, learns(Part::Moe)));
        model.language_model = set_trainable(model.language_model, learns(Part::LanguageModel));
        let frozen_tower = (!learns(Part::VisionTower)).then(|| model.vision_tower.valid());
        let mut tower_dtype = FirstDType(None);
        model.vision_tower.visit(&mut tower_dtype);
        let tower_dtype = tower_dtype.0.unwrap_or(DType::F32);
        let prepare =
            PrepareOptions { max_length, padding_side: PaddingSide::Right, reference_pictures: false };
        Self { model: Some(model), frozen_tower, tower_dtype, optimizer, prepare, max_grad_norm, threads: 1 }
    }

    /// The model as it is now.
    #[must_use]
    pub fn model(&self) -> &Parrot {
        self.model.as_ref().expect("the model is back after every step")
    }

    /// Takes the trained model out.
    #[must_use]
    pub fn into_model(self) -> Parrot {
        self.model.expect("the model is back after every step")
    }

    /// The loss of a micro-batch. `[1]`, f32
    ///
    /// # Errors
    ///
    /// [`Error::Sample`] naming the batch's samples, when [`Parrot::prepare`] or [`Parrot::loss`] refuses it.
    pub fn loss(&self, batch: &MicroBatch) -> Result<Tensor<1>> {
        self.loss_of(self.model(), batch)
    }

    fn loss_of(&self, model: &Parrot, batch: &MicroBatch) -> Result<Tensor<1>> {
        let refused = |error: parrot_model::Error| Error::Sample {
            id: batch.ids.join(", "),
            reason: error.to_string(),
        };
        let pictures = batch.pixel_values.clone().map(|pixel_values| {
            let pixel_values = pixel_values.cast(self.tower_dtype);
            match &self.frozen_tower {
                Some(tower) => model.project(Tensor::from_inner(tower.forward(pixel_values))),
                None => model.encode_pictures(Tensor::from_inner(pixel_values)),
            }
        });
        let prepared = model.prepare(&batch.samples, pictures.as_ref(), self.prepare).map_err(refused)?;
        let hidden_states = model.language_model.forward(
            prepared.inputs_embeds,
            prepared.attention_mask,
            prepared.position_ids,
            None,
        );
        let labels = prepared.labels.unwrap_or_default();
        model.loss(hidden_states, &labels).map_err(refused)
    }

    /// One optimizer step over one or more micro-batches.
    ///
    /// The host waits for the device once, to learn loss and norm.
    ///
    /// # Errors
    ///
    /// What [`loss`](Self::loss) refuses; [`Error::NotFinite`] when loss or gradient norm is no number:
    /// the weights are then still those of the step before.
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
        let (losses, gradients) =
            gradients(self.model(), micro_batches, self.threads, |model, batch| self.loss_of(model, batch))?;
        let Some(norm) = GradientNorm::measure(self.model(), &gradients) else {
            let ids: Vec<String> = micro_batches.iter().flat_map(|batch| batch.ids.clone()).collect();
            let reason = "no sample of the step reaches a part that learns".into();
            return Err(Error::Sample { id: ids.join(", "), reason });
        };
        let loss = Tensor::cat(losses, 0).mean();
        let measured = Tensor::cat(vec![loss, norm.norm.clone()], 0);
        let measured: Vec<f64> = measured.into_data().iter::<f64>().collect();
        let report = StepReport { loss: measured[0], grad_norm: measured[1], learning_rate };
        for (what, value) in [("loss", report.loss), ("gradient norm", report.grad_norm)] {
            if !value.is_finite() {
                let samples = micro_batches.iter().flat_map(|batch| batch.ids.clone()).collect();
                return Err(Error::NotFinite { step, what, value, samples });
            }
        }
        let scale = self.max_grad_norm.map(|max_norm| norm.clip_factor(max_norm));
        self.model =
            self.model.take().map(|model| self.optimizer.step(model, gradients, learning_rate, scale));
        Ok(report)
    }
}

/// Losses and accumulated gradients of micro-batches; each counts alike, as in the reference.
///
/// Up to `threads` of them are computed at the same time; they are added up in their order, so that the
/// result does not depend on it.
///
/// # Errors
///
/// What `loss` returns.
///
/// # Panics
///
/// If `loss` panics.
pub fn gradients<M: Module + Sync, B: Sync>(
    module: &M,
    micro_batches: &[B],
    threads: usize,
    loss: impl Fn(&M, &B) -> Result<Tensor<1>> + Sync,
) -> Result<(Vec<Tensor<1>>, GradientsParams)> {
    let share = 1.0 / micro_batches.len() as f64;
    let backward = |module: &M, batch: &B| {
        let loss = loss(module, batch)?;
        // Samples may reach nothing that learns: text alone while only the projector does.
        let gradients = match loss.is_tracked() {
            true => GradientsParams::from_grads((loss.clone() * share).backward(), module),
            false => GradientsParams::new(),
        };
        Ok((loss.inner(), gradients))
    };
    // Tapes that share a parameter's node are one tape to Burn, and the first backward pass consumes it.
    // A replica shares the values and the ids, but has nodes of its own.
    let backward_apart = |batch: &B| backward(&module.valid().train(), batch);
    let mut losses = Vec::with_capacity(micro_batches.len());
    let mut accumulator = GradientsAccumulator::<M>::new();
    for wave in micro_batches.chunks(threads.max(1)) {
        let results: Vec<Result<_>> = match wave {
            [batch] => vec![backward(module, batch)],
            wave => std::thread::scope(|scope| {
                let threads: Vec<_> =
                    wave.iter().map(|batch| scope.spawn(|| backward_apart(batch))).collect();
                threads
                    .into_iter()
                    .map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
                    .collect()
            }),
        };
        for result in results {
            let (loss, gradients) = result?;
            losses.push(loss);
            accumulator.accumulate(module, gradients);
        }
    }
    Ok((losses, accumulator.grads()))
}

/// Lays every weight out as a checkpoint's loaded one lies: a matrix product rounds differently on a
/// transposed matrix, and a run that was resumed is to equal one that was not.
struct StoredLayout;

impl ModuleMapper for StoredLayout {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        let stored = mapper.on_save(tensor.inner());
        let shape = stored.dims();
        // Flattening copies what is not contiguous.
        let tensor = mapper.on_load(stored.reshape([-1]).reshape(shape));
        Param::from_mapped_value(id, Tensor::from_inner(tensor), mapper)
    }
}

/// The dtype of a module's first parameter; checkpoints load all of them in one.
struct FirstDType(Option<DType>);

impl ModuleVisitor for FirstDType {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.get_or_insert_with(|| param.val().dtype());
    }
}

fn set_trainable<M: Module>(module: M, trainable: bool) -> M {
    if trainable { module.unfreeze() } else { module.freeze() }
}
