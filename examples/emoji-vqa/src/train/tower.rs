//! Pre-training of the vision tower, in place of CLIP's: every patch learns what it is part of.
//!
//! Linear heads read each patch of the tower's features: the concept that is drawn on the patch's tile (or
//! none), how many times the picture shows it, the ground's colour, the patch's own place, and the concepts
//! to the right and above; one more reads a concept of the picture from the class token. The heads are thrown
//! away.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use burn::module::Module;
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::prelude::*;
use burn::tensor::activation::log_softmax;
use parrot_model::vision::VisionTower;

use super::patches::{Batch, Fit, Patch, Patches};
use super::{Common, Run};
use crate::catalogue::Style;
use crate::scene::Variation;

/// What the heads read, and the weights of their losses. Corners follow from the place.
const HEADS: [(Patch, f64); 6] = [
    (Patch::Concept, 1.0),
    (Patch::Colour, 0.5),
    (Patch::Place, 0.2),
    (Patch::Count, 0.5),
    (Patch::Right, 0.5),
    (Patch::Above, 0.5),
];

/// The tower with its heads.
#[derive(Module, Debug)]
struct Pretraining {
    tower: VisionTower,
    norm: LayerNorm,
    patch_heads: Vec<Linear>,
    present: Linear,
}

impl Pretraining {
    fn init(tower: VisionTower, hidden: usize, patches: usize, concepts: usize, device: &Device) -> Self {
        let head = |outputs: usize| LinearConfig::new(hidden, outputs).init(device);
        Self {
            tower,
            norm: LayerNormConfig::new(hidden).init(device),
            patch_heads: HEADS.iter().map(|(label, _)| head(label.classes(concepts, patches))).collect(),
            present: head(concepts + 1),
        }
    }

    /// Class tokens `[images, hidden]` and patches `[images · patches, hidden]`.
    fn features(&self, pixel_values: Tensor<4>) -> (Tensor<2>, Tensor<2>) {
        let features = self.norm.forward(self.tower.forward(pixel_values));
        let [images, positions, hidden] = features.dims();
        let class = features.clone().slice(s![.., 0..1, ..]).reshape([images, hidden]);
        let patches = features.slice(s![.., 1.., ..]).reshape([images * (positions - 1), hidden]);
        (class, patches)
    }

    /// - unseen: of [`Patches::unseen`]
    ///
    /// `[1]`
    fn loss(&self, batch: &Batch, unseen: &Tensor<2>) -> Tensor<1> {
        let (class, patches) = self.features(Tensor::from_inner(batch.pixel_values.clone()));
        let present_unseen = unseen.clone().select(0, batch.present_ground.clone());
        let present = self.present.forward(class) + Tensor::from_inner(present_unseen);
        let mut loss = cross_entropy(present, batch.present.clone()) * 0.5;
        for ((label, weight), head) in HEADS.into_iter().zip(&self.patch_heads) {
            let mut logits = head.forward(patches.clone());
            if let Some(unseen) = batch.unseen(label, unseen) {
                logits = logits + Tensor::from_inner(unseen);
            }
            loss = loss + cross_entropy(logits, batch.patches[label as usize].clone()) * weight;
        }
        loss
    }

    /// For every head, the share of patches in percent that it reads rightly.
    fn accuracy(&self, batch: &Batch) -> Vec<f64> {
        let (_, patches) = self.features(batch.pixel_values.clone());
        let heads = HEADS.into_iter().zip(&self.patch_heads);
        let shares = heads.map(|((label, _), head)| {
            let targets = &batch.patches[label as usize];
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

/// Trains the tower of a new model and writes the model to `folder/model`. Where a call was stopped, the next one goes
/// on.
///
/// - steps: 64 pictures each
/// - stop: set it to save and stop after the step in progress
///
/// # Errors
///
/// When data or tokenizer cannot be read, or weights cannot be read or written.
pub fn train(common: &Common, steps: usize, folder: &Path, stop: &AtomicBool) -> Result<()> {
    let run = Run::new(common, folder, Variation::WIDE, stop)?;
    if folder.join("model").exists() {
        return Ok(());
    }
    let mut model = run.fresh_model()?;
    let vision = &run.description.vision;
    let evaluated = Patches::new(&run, 0)?;
    let concepts = evaluated.data.catalogue().concepts.len();
    let tower = model.vision_tower.clone().unfreeze();
    let learner = Pretraining::init(tower, vision.hidden_size, vision.num_patches(), concepts, &run.device);
    let fit = Fit { name: "tower", steps, learning_rate: 2e-3 };
    let unseen = evaluated.unseen(&run.device.clone().inner());
    let learner = fit.run(&run, learner, |learner, batch| learner.loss(batch, &unseen))?;
    let Some(learner) = learner else { return Ok(()) };
    report(&learner.valid(), &evaluated, &run.device);
    model.vision_tower = learner.tower;
    run.save(&model)
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
