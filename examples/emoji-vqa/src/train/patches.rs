//! Pictures whose every patch is labelled with what it is part of, and the loop that learns from them: for the
//! [tower](super::tower) and for its [alignment](super::alignment) with words.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::Result;
use burn::module::Module;
use burn::prelude::*;
use parrot_model::vision::preprocess::Pixels;
use parrot_train::checkpoint::{self, RunFolder};
use parrot_train::data::Dataset;
use parrot_train::data::loader::{BatchLoader, Grouping, LoaderOptions};
use parrot_train::optim::{AdamWConfig, CosineSchedule, GradientNorm};
use parrot_train::step::{backward, gradients};

use super::lessons::{Encoder, Subject};
use super::{Curve, Run, progress_bar};
use crate::colour::Colour;
use crate::dataset;
use crate::scene::Scene;

/// Pictures of a micro-batch.
const PICTURES: usize = 32;

/// Micro-batches of a step.
const ACCUMULATION: usize = 2;

/// Steps from one checkpoint to the next.
const SAVE_EVERY: usize = 500;

/// Checkpoints that stay: one to go on from should the newest be damaged.
const KEEP: usize = 2;

/// What can be read from a patch.
#[derive(Clone, Copy)]
pub(super) enum Patch {
    /// The concept on the patch's tile.
    Concept,
    Colour,
    /// The patch's number.
    Place,
    /// How many times the picture shows the concept.
    Count,
    /// The concept on the tile to the right.
    Right,
    /// The concept on the tile above.
    Above,
}

impl Patch {
    pub(super) const ALL: [Self; 6] =
        [Self::Concept, Self::Colour, Self::Place, Self::Count, Self::Right, Self::Above];
}

/// A picture and what is to be read from it.
pub(super) struct Labelled {
    pixels: Pixels,
    /// For every [`Patch`], the classes of all patches. Where there is no concept or no colour with a name, its number
    /// is their count.
    patches: [Vec<i64>; Patch::ALL.len()],
    /// One of the picture's concepts, for the class token.
    present: i64,
}

/// A batch on the device.
pub(super) struct Batch {
    pub(super) pixel_values: Tensor<4>,
    /// For every [`Patch`] `[pictures · patches]`
    pub(super) patches: Vec<Tensor<1, Int>>,
    /// `[pictures]`
    pub(super) present: Tensor<1, Int>,
}

/// Pictures with what stands in their patches.
pub(super) struct Patches {
    pub(super) data: dataset::Dataset,
    encoder: Encoder,
    /// Patches along a side.
    side: usize,
    len: usize,
}

impl Dataset for Patches {
    type Sample = Labelled;

    fn len(&self) -> usize {
        self.len
    }

    fn sample(&self, index: usize) -> parrot_train::Result<Labelled> {
        let scene = self.data.sample(index as u64).scene;
        Ok(self.label(&scene, index))
    }
}

impl Patches {
    /// `len` of them, those of the conversations.
    pub(super) fn new(run: &Run<'_>, len: usize) -> Result<Self> {
        let vision = &run.description.vision;
        let side = vision.image_size / vision.patch_size;
        let data = run.data(Subject::Conversations, [1.0; 6])?;
        Ok(Self { data, encoder: run.encoder.clone(), side, len })
    }

    pub(super) fn label(&self, scene: &Scene, index: usize) -> Labelled {
        let none = self.data.catalogue().concepts.len();
        let across = if scene.is_grid() { 2 } else { 1 };
        let class = |head: Patch, patch: usize| {
            let (row, column) =
                (patch / self.side * across / self.side, patch % self.side * across / self.side);
            let place = row * across + column;
            let concept = scene.concept_at(place);
            let class = match head {
                Patch::Concept => concept.unwrap_or(none),
                Patch::Colour => scene.colour_at(place).map_or(Colour::ALL.len(), |colour| colour as usize),
                Patch::Place => patch,
                Patch::Count => concept.map_or(0, |concept| scene.count(concept)),
                Patch::Right => scene.right_of(place).unwrap_or(none),
                Patch::Above => scene.above(place).unwrap_or(none),
            };
            class as i64
        };
        let objects: Vec<usize> = scene.objects().map(|(_, object)| object.concept).collect();
        Labelled {
            pixels: self.encoder.pixels(&self.data, scene),
            patches: Patch::ALL
                .map(|head| (0..self.side * self.side).map(|patch| class(head, patch)).collect()),
            present: objects.get(index % objects.len().max(1)).copied().unwrap_or(none) as i64,
        }
    }
}

impl Batch {
    pub(super) fn collate(samples: Vec<Labelled>, device: &Device) -> Self {
        let ints = |values: Vec<i64>| {
            let count = values.len();
            Tensor::<1, Int>::from_data(TensorData::new(values, [count]), &device.clone().inner())
        };
        let mut pixels = Vec::with_capacity(samples.len());
        let mut present = Vec::with_capacity(samples.len());
        let mut patches = [const { Vec::new() }; Patch::ALL.len()];
        for sample in samples {
            pixels.push(sample.pixels);
            present.push(sample.present);
            for (all, one) in patches.iter_mut().zip(sample.patches) {
                all.extend(one);
            }
        }
        Self {
            pixel_values: Pixels::to_tensor(&pixels, &device.clone().inner()),
            patches: patches.into_iter().map(ints).collect(),
            present: ints(present),
        }
    }
}

/// A training from warm-up to a learning rate of zero, of all parameters that gradients reach.
pub(super) struct Fit<'a> {
    /// For the progress bar.
    pub(super) name: &'a str,
    /// Steps, no picture seen twice.
    pub(super) steps: usize,
    /// Peak.
    pub(super) learning_rate: f64,
}

impl Fit<'_> {
    /// Runs it, or what an earlier call that was stopped has left of it; `None` when interrupted.
    pub(super) fn run<M: Module + Sync>(
        &self,
        run: &Run<'_>,
        learner: M,
        loss: impl Fn(&M, &Batch) -> Tensor<1> + Sync,
    ) -> Result<Option<M>> {
        let checkpoints = RunFolder::open(run.folder)?;
        let config = AdamWConfig { beta2: 0.95, ..AdamWConfig::default() };
        let (mut learner, mut optimizer) = checkpoint::load_module(&checkpoints, learner, config.into())?;
        let batches = self.steps.max(1) * ACCUMULATION;
        let data: Arc<dyn Dataset<Sample = Labelled>> = Arc::new(Patches::new(run, batches * PICTURES)?);
        let options = LoaderOptions {
            micro_batch_size: PICTURES,
            seed: run.common.seed,
            grouping: Grouping::None,
            first_batch: optimizer.steps() * ACCUMULATION,
            workers: 1,
            rank: 0,
            ranks: 1,
        };
        let mut loader = BatchLoader::start(&data, &options)?;
        let schedule = CosineSchedule::new(self.learning_rate, self.steps, 0.05);
        let progress = progress_bar(self.name, self.steps);
        let mut curve = Curve::open(run.folder)?;
        let shares = [1.0 / ACCUMULATION as f64; ACCUMULATION];
        for step in optimizer.steps()..self.steps {
            let batches = loader.by_ref().take(ACCUMULATION);
            let batches: parrot_train::Result<Vec<Batch>> =
                batches.map(|batch| Ok(Batch::collate(batch?.samples, &run.device))).collect();
            let (losses, gradients) =
                gradients(&learner, &batches?, &shares, run.common.threads, |learner, batch, share| {
                    Ok(backward(learner, loss(learner, batch), share))
                })?;
            let scale = GradientNorm::measure(&learner, &gradients).map(|norm| norm.clip_factor(1.0));
            learner = optimizer.step(learner, gradients, schedule.learning_rate(step), scale);
            let loss = Tensor::cat(losses, 0).mean().into_scalar::<f64>();
            progress.set_position(step as u64 + 1);
            progress.set_message(format!("loss {loss:.3}"));
            curve.write(step + 1, loss);
            let stopped = run.stop.load(Ordering::Relaxed);
            if stopped || (step + 1).is_multiple_of(SAVE_EVERY) {
                checkpoint::save_module(&checkpoints, &learner, &optimizer, KEEP)?;
            }
            if stopped {
                eprintln!("{} was stopped; it goes on with the same command", self.name);
                return Ok(None);
            }
        }
        progress.finish();
        Ok(Some(learner))
    }
}
