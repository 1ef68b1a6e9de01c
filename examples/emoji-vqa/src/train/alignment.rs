//! Alignment of pictures and words, in place of CLIP's with text: what a patch becomes for the decoder is drawn to the
//! words for what it shows.
//!
//! CLIP's features arrive aligned with language; those of a tower that was trained on class numbers do not. Here every
//! projected patch, normalised as the decoder normalises what it reads its logits from, is to score the name of its
//! concept higher than the other names, and its ground's colour higher than the other colours, in all six languages
//! at once. The projector learns, and the decoder's embeddings; the decoder itself does not take part.

use std::sync::Arc;

use burn::module::Module;
use burn::prelude::*;
use burn::tensor::activation::log_softmax;
use parrot_model::language::Qwen2;
use parrot_model::parrot::Parrot;
use parrot_model::projector::Projector;
use parrot_model::vision::VisionTower;
use parrot_train::data::Dataset;
use parrot_train::data::loader::{BatchLoader, Grouping, LoaderOptions};
use parrot_train::optim::{AdamWConfig, CosineSchedule, GradientNorm, Optimizer};
use parrot_train::step::{backward, gradients};

use super::tower::{Batch, Labelled, PICTURES, Patch, Patches};
use super::{Curve, Run, progress_bar};
use crate::colour::Colour;
use crate::language::Language;

/// What learns.
#[derive(Module, Debug)]
struct Alignment {
    projector: Projector,
    language_model: Qwen2,
}

/// The words for a set of classes in one language.
struct Words {
    /// Tokens of all words, one after the other.
    ids: Tensor<1, Int>,
    /// Takes the mean over each word's tokens. `[classes, tokens]`
    mean: Tensor<2>,
}

/// Words of one language for the classes of a head.
struct Target {
    head: Patch,
    words: Words,
}

impl Words {
    fn new(run: &Run<'_>, words: &[&str], device: &Device) -> parrot_train::Result<Self> {
        let encoded = words.iter().map(|word| run.encoder.encode_text(word));
        let encoded = encoded.collect::<parrot_train::Result<Vec<_>>>()?;
        let ids = encoded.concat();
        let mut mean = vec![0.0; words.len() * ids.len()];
        let mut first = 0;
        for (word, tokens) in encoded.iter().enumerate() {
            mean[word * ids.len() + first..][..tokens.len()].fill(1.0 / tokens.len() as f32);
            first += tokens.len();
        }
        let count = ids.len();
        Ok(Self {
            ids: Tensor::from_data(TensorData::new(ids, [count]), device),
            mean: Tensor::from_data(TensorData::new(mean, [words.len(), count]), device),
        })
    }

    /// `[classes, hidden]`
    fn embed(&self, language_model: &Qwen2) -> Tensor<2> {
        Tensor::from_inner(self.mean.clone()).matmul(language_model.embed(self.ids.clone()))
    }
}

impl Alignment {
    /// Mean over languages; `[1]`
    fn loss(&self, tower: &VisionTower, batch: &Batch, targets: &[Target]) -> Tensor<1> {
        let features = Tensor::from_inner(tower.forward(batch.pixel_values.clone()));
        let [pictures, positions, _] = features.dims();
        let projected = self.projector.forward(features.slice(s![.., 1.., ..]));
        let hidden = projected.dims()[2];
        let patches = projected.reshape([pictures * (positions - 1), hidden]);
        let scale = patches.clone().square().mean_dim(1).add_scalar(1e-6).sqrt().recip();
        let patches = patches * scale;
        let mut loss = Tensor::zeros([1], &patches.device());
        for target in targets {
            let words = target.words.embed(&self.language_model);
            let [classes, _] = words.dims();
            let labels = batch.patches[target.head as usize].clone();
            // Patches without a concept have a number beyond the names.
            let shown = labels.clone().lower_elem(classes as i64).float();
            let shown = Tensor::from_inner(shown);
            let labels = labels.clamp_max(classes as i64 - 1).reshape([-1, 1]);
            let scores =
                log_softmax(patches.clone().matmul(words.transpose()), 1).gather(1, labels).squeeze_dim(1);
            loss = loss - (scores * shown.clone()).sum() / shown.sum().add_scalar(1.0);
        }
        loss / Language::ALL.len() as f64
    }
}

/// Aligns; `None` when interrupted.
pub(super) fn align(run: &Run<'_>, mut model: Parrot) -> anyhow::Result<Option<Parrot>> {
    model.mm_projector = run.calibrated_projector(&model);
    let steps = run.plan.alignment_steps;
    let (vision, inner) = (&run.description.vision, run.device.clone().inner());
    let catalogue = run.data.catalogue();
    let concepts = if run.plan.all_concepts { catalogue.concepts.len() } else { catalogue.core_count() };
    let mut targets = Vec::new();
    for language in Language::ALL {
        let names: Vec<&str> = (0..concepts).map(|concept| catalogue.name(concept, language)).collect();
        let colours = Colour::ALL.map(|colour| colour.name(language));
        targets.push(Target { head: Patch::Concept, words: Words::new(run, &names, &inner)? });
        targets.push(Target { head: Patch::Colour, words: Words::new(run, &colours, &inner)? });
    }
    let data: Arc<dyn Dataset<Sample = Labelled>> = Arc::new(Patches {
        data: Arc::clone(&run.data),
        encoder: run.encoder.clone(),
        side: vision.image_size / vision.patch_size,
        len: steps.max(1) * 2 * PICTURES,
    });
    let tower = model.vision_tower.valid();
    let mut learner = Alignment {
        projector: model.mm_projector.unfreeze(),
        language_model: model.language_model.unfreeze(),
    };
    let mut optimizer = Optimizer::new(AdamWConfig { beta2: 0.95, ..AdamWConfig::default() });
    let schedule = CosineSchedule::new(2e-3, steps, 0.05);
    let options = LoaderOptions {
        micro_batch_size: PICTURES,
        seed: run.plan.seed,
        grouping: Grouping::None,
        first_batch: 0,
        workers: 1,
        rank: 0,
        ranks: 1,
    };
    let mut loader = BatchLoader::start(&data, &options)?;
    let progress = progress_bar("alignment", steps);
    let mut curve = Curve::open(&run.folder.join("alignment.jsonl"))?;
    for step in 0..steps {
        let batches: parrot_train::Result<Vec<Batch>> =
            loader.by_ref().take(2).map(|batch| Ok(Batch::collate(batch?.samples, &run.device))).collect();
        let (losses, gradients) =
            gradients(&learner, &batches?, &[0.5; 2], run.plan.threads, |learner, batch, share| {
                Ok(backward(learner, learner.loss(&tower, batch, &targets), share))
            })?;
        let scale = GradientNorm::measure(&learner, &gradients).map(|norm| norm.clip_factor(1.0));
        learner = optimizer.step(learner, gradients, schedule.learning_rate(step), scale);
        let loss = Tensor::cat(losses, 0).mean().into_scalar::<f64>();
        progress.set_position(step as u64 + 1);
        progress.set_message(format!("loss {loss:.3}"));
        curve.write(step + 1, loss);
        if run.stop.load(std::sync::atomic::Ordering::Relaxed) {
            eprintln!("the alignment was stopped; it starts again with the same command");
            return Ok(None);
        }
    }
    progress.finish();
    model.mm_projector = learner.projector;
    model.language_model = learner.language_model;
    Ok(Some(model))
}
