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
use crate::colour::Colour;
use crate::scene::Variation;

/// The tower with its heads.
#[derive(Module, Debug)]
struct Pretraining {
    tower: VisionTower,
    norm: LayerNorm,
    patch_heads: Vec<Linear>,
    present: Linear,
}

impl Patch {
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
            Self::Colour => Colour::ALL.len() + 1,
            Self::Place => patches,
            Self::Count => 5,
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
    let run = Run::new(common, folder, Variation::Wide, stop)?;
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
    let Some(learner) = fit.run(&run, learner, Pretraining::loss)? else { return Ok(()) };
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
