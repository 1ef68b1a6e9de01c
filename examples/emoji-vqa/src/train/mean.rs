//! The mean of two models' weights.
//!
//! A model that learns something new forgets of the old. As long as both are not far apart, every point on the straight line
//! between them is a model as well, and one near the middle has most of both ("Robust fine-tuning of zero-shot models",
//! <https://arxiv.org/abs/2109.01903>).

use std::path::Path;

use anyhow::{Context, Result, ensure};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::prelude::*;
use burn::tensor::FloatDType;
use parrot_model::checkpoint::{Checkpoint, SaveOptions, save};
use parrot_model::parrot::ParrotModel;

/// Writes `(1 - share)` of one model's weights and `share` of the other's to `out/model`, in f16; one that is there already is
/// kept.
///
/// # Errors
///
/// When a model cannot be read or is of another shape, the share is none, or the result cannot be written.
pub fn write(model: &Path, other: &Path, share: f32, out: &Path, device: &Device) -> Result<()> {
    ensure!((0.0..=1.0).contains(&share), "the share should be from 0 to 1, found {share}");
    let done = out.join("model");
    if done.exists() {
        return Ok(());
    }
    let open = |folder: &Path| -> Result<(Checkpoint, ParrotModel)> {
        let checkpoint = Checkpoint::open(folder)?;
        let model = checkpoint.load(FloatDType::F32, device)?;
        Ok((checkpoint, model))
    };
    let (checkpoint, first) = open(model)?;
    let (other_checkpoint, second) = open(other)?;
    let (description, other_description) = (&checkpoint.description, &other_checkpoint.description);
    let shapes = |model: &ParrotModel| {
        let mut shapes = Shapes::default();
        model.visit(&mut shapes);
        shapes.0
    };
    ensure!(
        description.vision == other_description.vision && shapes(&first) == shapes(&second),
        "{} and {} are of different shapes",
        model.display(),
        other.display()
    );
    let options = SaveOptions {
        dtype: Some(FloatDType::F16),
        source: Some(model.to_path_buf()),
        image_processor: Some(description.image_processor.clone()),
        ..SaveOptions::default()
    };
    save(&mean(first, &second, share), &description.config, &description.vision, &done, &options)
        .with_context(|| format!("cannot write {}", done.display()))
}

/// `(1 - share) * model + share * other`, which is of the same shape.
fn mean(model: ParrotModel, other: &ParrotModel, share: f32) -> ParrotModel {
    let mut weights = Weights::default();
    other.visit(&mut weights);
    weights.0.reverse();
    model.map(&mut TowardsThem { weights: weights.0, share })
}

/// The shapes of all weights, in the order in which a module is visited.
#[derive(Default)]
struct Shapes(Vec<Vec<usize>>);

impl ModuleVisitor for Shapes {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.push(param.val().dims().to_vec());
    }
}

/// All weights, in the order in which a module is visited.
#[derive(Default)]
struct Weights(Vec<TensorData>);

impl ModuleVisitor for Weights {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.push(param.val().into_data());
    }
}

/// Moves every weight towards another one, the last of `weights` first.
struct TowardsThem {
    weights: Vec<TensorData>,
    share: f32,
}

impl ModuleMapper for TowardsThem {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let other = self.weights.pop().expect("both models have the same weights");
        param.map(|weight| {
            let other = Tensor::from_data(other, &weight.device());
            weight * (1.0 - self.share) + other * self.share
        })
    }
}

#[cfg(test)]
mod tests {
    use parrot_model::config::{ParrotConfig, VisionConfig};

    use super::*;

    #[test]
    fn a_share_of_one_model_and_the_rest_of_the_other() {
        let device = Device::default();
        let fresh = |seed: u64| {
            device.seed(seed);
            let (config, vision) = (ParrotConfig::parrot_mini(), VisionConfig::clip_vit_mini());
            ParrotModel::init(&config, &vision, &device).unwrap()
        };
        let first = |model: &ParrotModel| -> Vec<f32> {
            let weights = model.language_model.embed(Tensor::from_data([7], &device));
            weights.try_into_vec_as().unwrap()
        };
        let (a, b) = (fresh(1), fresh(2));
        let (of_a, of_b) = (first(&a), first(&b));
        assert_ne!(of_a, of_b);
        let between = first(&mean(a, &b, 0.25));
        for ((a, b), between) in of_a.iter().zip(&of_b).zip(between) {
            assert!((0.75 * a + 0.25 * b - between).abs() < 1e-6);
        }
    }
}
