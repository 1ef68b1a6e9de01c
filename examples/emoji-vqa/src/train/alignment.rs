//! Alignment of pictures and words, in place of CLIP's with text: what a patch becomes for the decoder is drawn to the
//! words for what it shows.
//!
//! CLIP's features arrive aligned with language; those of a tower that was trained on class numbers do not. Here every
//! projected patch, normalised as the decoder normalises what it reads its logits from, is to score the name of its
//! concept higher than the other names, and likewise its ground's colour, its corner and the number of times that the
//! concept is there, in all six languages at once. The projector learns, and the decoder's embeddings; the decoder
//! itself does not take part.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use burn::module::Module;
use burn::prelude::*;
use burn::tensor::FloatDType;
use burn::tensor::activation::log_softmax;
use parrot_model::checkpoint::Checkpoint;
use parrot_model::image::Pixels;
use parrot_model::int_tensor;
use parrot_model::language::Decoder;
use parrot_model::parrot::ParrotModel;
use parrot_model::projector::Projector;
use parrot_model::vision::VisionTower;

use super::calibrate::calibrated;
use super::lessons::Subject;
use super::patches::{Batch, Fit, Patch, Patches};
use super::{Common, Run};
use crate::colour::Colour;
use crate::dataset::Dataset;
use crate::language::Language;
use crate::scene::Variation;
use crate::wording::Wording;

/// What learns.
#[derive(Module, Debug)]
struct Alignment {
    projector: Projector,
    language_model: Decoder,
}

/// The words of one language for the classes of a label.
struct Target {
    label: Patch,
    /// Tokens of all words, one after the other.
    ids: Tensor<1, Int>,
    /// Takes the mean over each word's tokens. `[classes, tokens]`
    mean: Tensor<2>,
}

impl Target {
    fn new(run: &Run<'_>, label: Patch, words: &[&str]) -> Result<Self> {
        let encoded = words.iter().map(|word| run.encoder.encode_text(word));
        let encoded = encoded.collect::<parrot_train::Result<Vec<_>>>()?;
        let ids = encoded.concat();
        let count = ids.len();
        let mut mean = vec![0.0; words.len() * count];
        let mut first = 0;
        for (word, tokens) in encoded.iter().enumerate() {
            mean[word * count + first..][..tokens.len()].fill(1.0 / tokens.len() as f32);
            first += tokens.len();
        }
        let device = run.device.clone().inner();
        Ok(Self {
            label,
            ids: int_tensor(&ids, &device),
            mean: Tensor::from_data(TensorData::new(mean, [words.len(), count]), &device),
        })
    }

    /// `[classes, hidden]`
    fn embed(&self, language_model: &Decoder) -> Tensor<2> {
        Tensor::from_inner(self.mean.clone()).matmul(language_model.embed(self.ids.clone()))
    }
}

impl Alignment {
    /// Mean over languages; `[1]`
    fn loss(&self, tower: &VisionTower, batch: &Batch, targets: &[Target], unseen: &Tensor<2>) -> Tensor<1> {
        let features = Tensor::from_inner(tower.forward(batch.pixel_values.clone()));
        let [images, positions, _] = features.dims();
        let projected = self.projector.forward(features.slice(s![.., 1.., ..]));
        let hidden = projected.dims()[2];
        let patches = projected.reshape([images * (positions - 1), hidden]);
        let scale = patches.clone().square().mean_dim(1).add_scalar(1e-6).sqrt().recip();
        let patches = patches * scale;
        let mut loss = Tensor::zeros([1], &patches.device());
        for target in targets {
            let words = target.embed(&self.language_model);
            let [classes, _] = words.dims();
            let labels = batch.patches[target.label as usize].clone();
            // Patches without a concept or a corner, or on a ground without a name, have a number beyond the words.
            let shown = Tensor::from_inner(labels.clone().lower_elem(classes as i64).float());
            let labels = labels.clamp_max(classes as i64 - 1).reshape([-1, 1]);
            let mut scores = patches.clone().matmul(words.transpose());
            if let Some(unseen) = batch.unseen(target.label, unseen) {
                scores = scores + Tensor::from_inner(unseen.narrow(1, 0, classes));
            }
            let scores = log_softmax(scores, 1).gather(1, labels).squeeze_dim(1);
            loss = loss - (scores * shown.clone()).sum() / shown.sum().add_scalar(1.0);
        }
        loss / Language::ALL.len() as f64
    }
}

/// Aligns a model with a trained tower and a decoder that has read text, and writes it to `folder/model`.
///
/// - steps: 64 pictures each
/// - from: the folder of the model with the decoder
/// - tower: the folder of the model with the tower
/// - stop: set it to save and stop after the step in progress; the next call goes on
///
/// # Errors
///
/// When data, tokenizer or model cannot be read, or the result cannot be written.
pub fn train(
    common: &Common,
    steps: usize,
    from: &Path,
    tower: &Path,
    folder: &Path,
    stop: &AtomicBool,
) -> Result<()> {
    let run = Run::new(common, folder, Variation::WIDE, stop)?;
    if !folder.join("model").exists() {
        let mut model = Checkpoint::open(from)?.load(FloatDType::F32, &run.device)?;
        model.vision_tower = Checkpoint::open(tower)?.load(FloatDType::F32, &run.device)?.vision_tower;
        align(&run, model, steps)?;
    }
    Ok(())
}

/// Aligns and saves; `None` when interrupted.
pub(crate) fn align(run: &Run<'_>, mut model: ParrotModel, steps: usize) -> Result<Option<ParrotModel>> {
    let data = run.data(Subject::Captions, [1.0; 6])?;
    let catalogue = data.catalogue();
    let concepts = if run.common.all { catalogue.concepts.len() } else { catalogue.core_count() };
    let mut targets = Vec::new();
    for language in Language::ALL {
        let names: Vec<&str> = (0..concepts).map(|concept| catalogue.name(concept, language)).collect();
        let colours = Colour::ALL.map(|colour| colour.name(language));
        targets.push(Target::new(run, Patch::Concept, &names)?);
        targets.push(Target::new(run, Patch::Colour, &colours)?);
        targets.push(Target::new(run, Patch::Corner, &Wording::of(language).corners)?);
        targets.push(Target::new(run, Patch::Count, &["0", "1", "2", "3", "4"])?);
    }
    let tower = model.vision_tower.valid();
    let learner = Alignment {
        projector: calibrated_projector(run, &data, &model).unfreeze(),
        language_model: model.language_model.unfreeze(),
    };
    let fit = Fit { name: "alignment", steps, learning_rate: 2e-3 };
    let unseen = Patches::new(run, 0)?.unseen(&run.device.clone().inner());
    let learner = fit.run(run, learner, |learner, batch| learner.loss(&tower, batch, &targets, &unseen))?;
    let Some(Alignment { projector, language_model }) = learner else { return Ok(None) };
    model.mm_projector = projector;
    model.language_model = language_model;
    run.save(&model)?;
    Ok(Some(model))
}

/// The new projector, fitted to the size of the tower's features and of the decoder's embeddings.
fn calibrated_projector(run: &Run<'_>, data: &Dataset, model: &ParrotModel) -> Projector {
    let device = run.device.clone().inner();
    let pixels: Vec<_> = (0..64).map(|index| run.encoder.pixels(data, &data.caption(index).scene)).collect();
    let features = model.vision_tower.valid().forward(Pixels::to_tensor(&pixels, &device));
    let ids = Tensor::arange(0..run.description.config.decoder.vocab_size as i64, &device);
    let embeddings = model.language_model.valid().embed(ids);
    let rms = embeddings.square().mean().sqrt().into_scalar::<f64>();
    calibrated(model.mm_projector.valid(), features, rms).train()
}
