//! Pre-training of the vision tower, in place of CLIP's: what stands in each patch, on which ground, where.
//!
//! Three linear heads read every patch of the tower's features: the concept that is drawn on the patch's tile
//! (or none), the ground's colour, and the patch's own place; a fourth reads the class token for all concepts
//! of the picture. The heads are thrown away.

use std::path::PathBuf;
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
use parrot_train::data::loader::BatchLoader;
use parrot_train::optim::{AdamW, AdamWConfig, CosineSchedule, GradientNorm};
use parrot_train::step::gradients;

use super::samples::Encoder;
use super::{Curve, Run, progress_bar};
use crate::colour::Colour;
use crate::dataset;

/// The tower with its heads.
#[derive(Module, Debug)]
struct Pretraining {
    tower: VisionTower,
    norm: LayerNorm,
    concept: Linear,
    colour: Linear,
    place: Linear,
    present: Linear,
}

/// A picture and, for every patch, the concept (the number of concepts: none) and the colour.
struct Labelled {
    pixels: Pixels,
    concepts: Vec<i64>,
    colours: Vec<i64>,
    /// One of the picture's concepts, for the class token.
    present: i64,
}

/// A batch on the device.
struct Batch {
    pixel_values: Tensor<4>,
    /// `[pictures · patches]`
    concepts: Tensor<1, Int>,
    colours: Tensor<1, Int>,
    places: Tensor<1, Int>,
    /// `[pictures]`
    present: Tensor<1, Int>,
}

/// Pictures with what stands in their patches.
struct Patches {
    data: Arc<dataset::Dataset>,
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
        let none = self.data.catalogue().concepts.len() as i64;
        let across = if scene.is_grid() { 2 } else { 1 };
        let tile = |patch: usize| {
            let (row, column) = (patch / self.side, patch % self.side);
            &scene.tiles[row * across / self.side * across + column * across / self.side]
        };
        let patches = 0..self.side * self.side;
        let objects: Vec<i64> = scene.objects().map(|(_, object)| object.concept as i64).collect();
        Ok(Labelled {
            pixels: self.encoder.pixels(&self.data, &scene),
            concepts: patches
                .clone()
                .map(|patch| tile(patch).object.as_ref().map_or(none, |object| object.concept as i64))
                .collect(),
            colours: patches.map(|patch| colour_index(tile(patch).colour)).collect(),
            present: objects.get(index % objects.len().max(1)).copied().unwrap_or(none),
        })
    }
}

fn colour_index(colour: Colour) -> i64 {
    Colour::ALL.iter().position(|other| *other == colour).unwrap_or(0) as i64
}

impl Batch {
    fn collate(samples: Vec<Labelled>, device: &Device) -> Self {
        let ints = |values: Vec<i64>| {
            let count = values.len();
            Tensor::<1, Int>::from_data(TensorData::new(values, [count]), &device.clone().inner())
        };
        let patches = samples.first().map_or(0, |sample| sample.concepts.len());
        let places = samples.iter().flat_map(|_| 0..patches as i64).collect();
        let mut pixels = Vec::with_capacity(samples.len());
        let (mut concepts, mut colours, mut present) = (Vec::new(), Vec::new(), Vec::new());
        for sample in samples {
            pixels.push(sample.pixels);
            concepts.extend(sample.concepts);
            colours.extend(sample.colours);
            present.push(sample.present);
        }
        Self {
            pixel_values: Pixels::to_tensor(&pixels, &device.clone().inner()),
            concepts: ints(concepts),
            colours: ints(colours),
            places: ints(places),
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
            concept: head(concepts + 1),
            colour: head(Colour::ALL.len()),
            place: head(patches),
            present: head(concepts + 1),
        }
    }

    /// `[1]`
    fn loss(&self, batch: &Batch) -> Tensor<1> {
        let features = self.tower.forward(Tensor::from_inner(batch.pixel_values.clone()));
        let features = self.norm.forward(features);
        let [pictures, positions, hidden] = features.dims();
        let class = features.clone().slice(s![.., 0..1, ..]).reshape([pictures, hidden]);
        let patches = features.slice(s![.., 1.., ..]).reshape([pictures * (positions - 1), hidden]);
        cross_entropy(self.concept.forward(patches.clone()), batch.concepts.clone())
            + cross_entropy(self.colour.forward(patches.clone()), batch.colours.clone()) * 0.5
            + cross_entropy(self.place.forward(patches), batch.places.clone()) * 0.2
            + cross_entropy(self.present.forward(class), batch.present.clone()) * 0.5
    }
}

fn cross_entropy(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    let count = targets.dims()[0];
    log_softmax(logits, 1).gather(1, targets.reshape([count, 1])).mean().neg()
}

/// Trains the tower, or loads it when that has been done; `None` when interrupted.
pub(super) fn pretrain(run: &Run<'_>, mut model: Parrot) -> Result<Option<Parrot>> {
    let file: PathBuf = run.folder.join("tower.safetensors");
    if file.exists() {
        let weights = Weights::from_file(&file)?;
        model.vision_tower = load_module(model.vision_tower, &weights, names::vision_tower, FloatDType::F32)?;
        return Ok(Some(model));
    }
    const PICTURES: usize = 32;
    let steps = run.plan.tower_steps;
    let vision = &run.description.vision;
    let data: Arc<dyn Dataset<Sample = Labelled>> = Arc::new(Patches {
        data: Arc::clone(&run.data),
        encoder: run.encoder.clone(),
        side: vision.image_size / vision.patch_size,
        len: steps * 2 * PICTURES,
    });
    let concepts = run.data.catalogue().concepts.len();
    let mut learner = Pretraining::init(
        model.vision_tower.clone().unfreeze(),
        vision.hidden_size,
        vision.num_patches(),
        concepts,
        &run.device,
    );
    let mut optimizer = AdamW::new(AdamWConfig { beta2: 0.95, ..AdamWConfig::default() });
    let schedule = CosineSchedule::new(2e-3, steps, 0.05);
    let mut loader = BatchLoader::start(&data, PICTURES, run.plan.seed, 0, 1)?;
    let progress = progress_bar("tower", steps);
    let mut curve = Curve::open(&run.folder.join("tower.jsonl"))?;
    for step in 0..steps {
        let batches: parrot_train::Result<Vec<Batch>> =
            loader.by_ref().take(2).map(|samples| Ok(Batch::collate(samples?, &run.device))).collect();
        let (losses, gradients) =
            gradients(&learner, &batches?, run.plan.threads, |learner, batch| Ok(learner.loss(batch)))?;
        let scale = GradientNorm::measure(&learner, &gradients).map(|norm| norm.clip_factor(1.0));
        learner = optimizer.step(learner, gradients, schedule.learning_rate(step), scale);
        let loss = Tensor::cat(losses, 0).mean().into_scalar::<f64>();
        progress.set_position(step as u64 + 1);
        progress.set_message(format!("loss {loss:.3}"));
        curve.write(step + 1, loss);
        if run.stop.load(std::sync::atomic::Ordering::Relaxed) {
            eprintln!("the tower's pre-training was stopped; it starts again with the same command");
            return Ok(None);
        }
    }
    progress.finish();
    save_module(&learner.tower, names::vision_tower, &file, None)
        .with_context(|| format!("cannot write {}", file.display()))?;
    model.vision_tower = learner.tower;
    Ok(Some(model))
}
