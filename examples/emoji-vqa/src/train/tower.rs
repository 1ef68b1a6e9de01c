//! Pre-training of the vision tower, in place of CLIP's: every patch learns what it is part of.
//!
//! Linear heads read each patch of the tower's features: the concept that is drawn on the patch's tile (or
//! none), how many times the picture shows it, the ground's colour, the patch's own place, and the concepts
//! to the right and above; one more reads a concept of the picture from the class token. The heads are thrown
//! away.

use std::sync::Arc;

use anyhow::{Context, Result};
use burn::module::Module;
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::prelude::*;
use burn::tensor::FloatDType;
use burn::tensor::activation::log_softmax;
use parrot_model::checkpoint::{Weights, load_module, names, save_module};
use parrot_model::parrot::Parrot;
use parrot_model::vision::VisionTower;
use parrot_model::vision::preprocess::Pixels;
use parrot_train::data::Dataset;
use parrot_train::data::loader::{BatchLoader, Grouping, LoaderOptions};
use parrot_train::optim::{AdamWConfig, CosineSchedule, GradientNorm, Optimizer};
use parrot_train::step::{backward, gradients};

use super::samples::Encoder;
use super::{Curve, Run, progress_bar};
use crate::catalogue::Style;
use crate::colour::Colour;
use crate::dataset;
use crate::scene::Scene;

/// The tower with its heads.
#[derive(Module, Debug)]
struct Pretraining {
    tower: VisionTower,
    norm: LayerNorm,
    patch_heads: Vec<Linear>,
    present: Linear,
}

/// What a head reads from a patch.
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
    const ALL: [Self; 6] = [Self::Concept, Self::Colour, Self::Place, Self::Count, Self::Right, Self::Above];

    fn loss_weight(self) -> f64 {
        match self {
            Self::Concept => 1.0,
            Self::Place => 0.2,
            Self::Colour | Self::Count | Self::Right | Self::Above => 0.5,
        }
    }

    fn classes(self, concepts: usize, patches: usize) -> usize {
        match self {
            Self::Concept | Self::Right | Self::Above => concepts + 1,
            Self::Colour => Colour::ALL.len(),
            Self::Place => patches,
            Self::Count => 5,
        }
    }
}

/// A picture and what is to be read from it.
pub(super) struct Labelled {
    pixels: Pixels,
    /// For every head, the classes of all patches. Where there is no concept, its number is their count.
    patches: [Vec<i64>; Patch::ALL.len()],
    /// One of the picture's concepts, for the class token.
    present: i64,
}

/// A batch on the device.
pub(super) struct Batch {
    pub(super) pixel_values: Tensor<4>,
    /// For every head `[pictures · patches]`
    pub(super) patches: Vec<Tensor<1, Int>>,
    /// `[pictures]`
    present: Tensor<1, Int>,
}

/// Pictures with what stands in their patches.
pub(super) struct Patches {
    pub(super) data: Arc<dataset::Dataset>,
    pub(super) encoder: Encoder,
    /// Patches along a side.
    pub(super) side: usize,
    pub(super) len: usize,
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
    fn label(&self, scene: &Scene, index: usize) -> Labelled {
        let none = self.data.catalogue().concepts.len();
        let across = if scene.is_grid() { 2 } else { 1 };
        let class = |head: Patch, patch: usize| {
            let (row, column) =
                (patch / self.side * across / self.side, patch % self.side * across / self.side);
            let place = row * across + column;
            let concept = scene.concept_at(place);
            let class = match head {
                Patch::Concept => concept.unwrap_or(none),
                Patch::Colour => colour_index(scene.tiles[place].colour),
                Patch::Place => patch,
                Patch::Count => concept.map_or(0, |concept| scene.count(concept)),
                Patch::Right if column + 1 < across => scene.concept_at(place + 1).unwrap_or(none),
                Patch::Above if row > 0 => scene.concept_at(place - across).unwrap_or(none),
                Patch::Right | Patch::Above => none,
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

fn colour_index(colour: Colour) -> usize {
    Colour::ALL.iter().position(|other| *other == colour).unwrap_or(0)
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

impl Pretraining {
    fn init(tower: VisionTower, hidden: usize, patches: usize, concepts: usize, device: &Device) -> Self {
        let head = |outputs: usize| LinearConfig::new(hidden, outputs).init(device);
        Self {
            tower,
            norm: LayerNormConfig::new(hidden).init(device),
            patch_heads: Patch::ALL.iter().map(|kind| head(kind.classes(concepts, patches))).collect(),
            present: head(concepts + 1),
        }
    }

    /// Class tokens `[pictures, hidden]` and patches `[pictures · patches, hidden]`.
    fn features(&self, pixel_values: Tensor<4>) -> (Tensor<2>, Tensor<2>) {
        let features = self.norm.forward(self.tower.forward(pixel_values));
        let [pictures, positions, hidden] = features.dims();
        let class = features.clone().slice(s![.., 0..1, ..]).reshape([pictures, hidden]);
        let patches = features.slice(s![.., 1.., ..]).reshape([pictures * (positions - 1), hidden]);
        (class, patches)
    }

    /// `[1]`
    fn loss(&self, batch: &Batch) -> Tensor<1> {
        let (class, patches) = self.features(Tensor::from_inner(batch.pixel_values.clone()));
        let mut loss = cross_entropy(self.present.forward(class), batch.present.clone()) * 0.5;
        for ((kind, head), targets) in Patch::ALL.into_iter().zip(&self.patch_heads).zip(&batch.patches) {
            let error = cross_entropy(head.forward(patches.clone()), targets.clone());
            loss = loss + error * kind.loss_weight();
        }
        loss
    }

    /// For every head, the share of patches in percent that it reads rightly.
    fn accuracy(&self, batch: &Batch) -> Vec<f64> {
        let (_, patches) = self.features(batch.pixel_values.clone());
        let heads = self.patch_heads.iter().zip(&batch.patches);
        let shares = heads.map(|(head, targets)| {
            let [count] = targets.dims();
            let read = head.forward(patches.clone()).argmax(1).reshape([count]);
            100.0 * read.equal(targets.clone()).int().sum().into_scalar::<i64>() as f64 / count as f64
        });
        shares.collect()
    }
}

fn cross_entropy(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    let count = targets.dims()[0];
    log_softmax(logits, 1).gather(1, targets.reshape([count, 1])).mean().neg()
}

/// Peak learning rates of the rounds. The second begins with new heads, for which the tower has to stay
/// readable, and a schedule of its own.
const ROUNDS: [f64; 2] = [2e-3, 1.5e-3];

/// Pictures of a micro-batch; two of them are a step.
pub(super) const PICTURES: usize = 32;

/// Trains the tower, or loads what has been done of it; `None` when interrupted.
pub(super) fn pretrain(run: &Run<'_>, mut model: Parrot) -> Result<Option<Parrot>> {
    for (round, learning_rate) in ROUNDS.into_iter().enumerate() {
        let file = run.folder.join(format!("tower-{}.safetensors", round + 1));
        if file.exists() {
            let weights = Weights::from_file(&file)?;
            model.vision_tower =
                load_module(model.vision_tower, &weights, names::vision_tower, FloatDType::F32)?;
            continue;
        }
        let Some(tower) = train_round(run, model.vision_tower.clone(), round, learning_rate)? else {
            return Ok(None);
        };
        save_module(&tower, names::vision_tower, &file, None)
            .with_context(|| format!("cannot write {}", file.display()))?;
        model.vision_tower = tower;
    }
    Ok(Some(model))
}

/// One round: the tower with new heads, from warm-up to a learning rate of zero.
fn train_round(
    run: &Run<'_>,
    tower: VisionTower,
    round: usize,
    learning_rate: f64,
) -> Result<Option<VisionTower>> {
    let steps = run.plan.tower_steps;
    let vision = &run.description.vision;
    let patches = Arc::new(Patches {
        data: Arc::clone(&run.data),
        encoder: run.encoder.clone(),
        side: vision.image_size / vision.patch_size,
        len: ROUNDS.len() * steps * 2 * PICTURES,
    });
    let data: Arc<dyn Dataset<Sample = Labelled>> = patches.clone();
    let concepts = run.data.catalogue().concepts.len();
    let mut learner =
        Pretraining::init(tower.unfreeze(), vision.hidden_size, vision.num_patches(), concepts, &run.device);
    let mut optimizer = Optimizer::new(AdamWConfig { beta2: 0.95, ..AdamWConfig::default() });
    let schedule = CosineSchedule::new(learning_rate, steps, 0.05);
    // The second round goes on with the data where the first one ended.
    let options = LoaderOptions {
        micro_batch_size: PICTURES,
        seed: run.plan.seed,
        grouping: Grouping::None,
        first_batch: round * steps * 2,
        workers: 1,
        rank: 0,
        ranks: 1,
    };
    let mut loader = BatchLoader::start(&data, &options)?;
    let progress = progress_bar(&format!("tower {}", round + 1), steps);
    let mut curve = Curve::open(&run.folder.join("tower.jsonl"))?;
    for step in 0..steps {
        let batches: parrot_train::Result<Vec<Batch>> =
            loader.by_ref().take(2).map(|batch| Ok(Batch::collate(batch?.samples, &run.device))).collect();
        let (losses, gradients) =
            gradients(&learner, &batches?, &[0.5; 2], run.plan.threads, |learner, batch, share| {
                Ok(backward(learner, learner.loss(batch), share))
            })?;
        let scale = GradientNorm::measure(&learner, &gradients).map(|norm| norm.clip_factor(1.0));
        learner = optimizer.step(learner, gradients, schedule.learning_rate(step), scale);
        let loss = Tensor::cat(losses, 0).mean().into_scalar::<f64>();
        progress.set_position(step as u64 + 1);
        progress.set_message(format!("loss {loss:.3}"));
        curve.write(round * steps + step + 1, loss);
        if run.stop.load(std::sync::atomic::Ordering::Relaxed) {
            eprintln!("the tower's round {} was stopped; it starts again with the same command", round + 1);
            return Ok(None);
        }
    }
    progress.finish();
    report(&learner.valid(), &patches, &run.device);
    Ok(Some(learner.tower))
}

/// Prints how well the heads read pictures of the evaluation, in a style that was trained on and in one that
/// was not.
fn report(learner: &Pretraining, patches: &Patches, device: &Device) {
    eprintln!("patches read rightly, in percent: concept, colour, place, count, right, above");
    for style in [Style::Noto, Style::Twemoji] {
        let scenes = patches.data.evaluation_in(style, 256).into_iter().map(|item| item.scene);
        let labelled = scenes.map(|scene| patches.label(&scene, 0)).collect();
        let shares = learner.accuracy(&Batch::collate(labelled, device));
        let shares: Vec<String> = shares.iter().map(|share| format!("{share:.1}")).collect();
        eprintln!("{}: {}", style.name(), shares.join(", "));
    }
}
