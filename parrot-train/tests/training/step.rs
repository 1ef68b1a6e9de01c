//! What a step computes from its batches.

use burn::module::{Module, ModuleMapper, Param};
use burn::prelude::*;
use parrot_model::config::PaddingSide;
use parrot_model::parrot::ParrotModel;
use parrot_model::text::{IGNORE_INDEX, IMAGE_TOKEN_INDEX};
use parrot_train::Error;
use parrot_train::Part;
use parrot_train::data::TrainingSample;
use parrot_train::optim::{AdamWConfig, Optimizer};
use parrot_train::step::{Learner, LossNormalisation, MicroBatch, backward, gradients};

use crate::tiny::{config, device, learnt_tokens, model, random, samples, stage, vision, weights};

fn learner() -> Learner {
    let optimizer = Optimizer::new(AdamWConfig::default());
    let mut learner = Learner::new(model(), &stage().trainable, optimizer);
    learner.max_grad_norm = Some(1.0);
    learner
}

fn batch(samples: &[TrainingSample]) -> MicroBatch {
    MicroBatch::collate(samples.to_vec(), &device())
}

/// The optimizer's first moments by parameter: a tenth of the gradients, after the first step.
fn moments(learner: &Learner) -> Vec<(String, Tensor<1>)> {
    let states = learner.optimizer.state();
    states.iter().map(|(name, state)| (name.clone(), state.parts["m"].clone())).collect()
}

/// Each parameter's must agree within float noise of its largest. Weights would not do: where a gradient is hardly
/// more than noise, AdamW's first step makes the noise as large as any other gradient.
fn assert_same(found: &[(String, Tensor<1>)], expected: &[(String, Tensor<1>)]) {
    assert_eq!(found.len(), expected.len());
    for ((name, found), (other, expected)) in found.iter().zip(expected) {
        assert_eq!(name, other);
        let difference = (expected.clone() - found.clone()).abs().max().into_scalar::<f64>();
        let largest = expected.clone().abs().max().into_scalar::<f64>();
        assert!(difference <= 1e-5 * largest + 1e-9, "{name}: {difference} of {largest}");
    }
}

fn loss(learner: &Learner, samples: &[TrainingSample]) -> f64 {
    learner.loss(&batch(samples)).unwrap().into_scalar::<f64>()
}

#[test]
fn a_padded_batch_is_the_token_weighted_mean_of_its_samples() {
    let samples = samples();
    let tokens: usize = samples.iter().map(learnt_tokens).sum();
    for side in [PaddingSide::Right, PaddingSide::Left] {
        let mut learner = learner();
        learner.prepare_options.padding_side = side;
        let single = |sample: &TrainingSample| {
            loss(&learner, std::slice::from_ref(sample)) * learnt_tokens(sample) as f64
        };
        let expected = samples.iter().map(single).sum::<f64>() / tokens as f64;
        let found = loss(&learner, &samples);
        assert!((found - expected).abs() < 1e-5 * expected, "{side:?}: {found} should be {expected}");
    }
}

#[test]
fn micro_batches_count_alike_whatever_their_tokens() {
    let samples = samples();
    let (small, large) = (&samples[..1], &samples[1..]);
    let mut learner = learner();
    let expected = (loss(&learner, small) + loss(&learner, large)) / 2.0;
    let pooled = loss(&learner, &samples);
    let report = learner.step(&[batch(small), batch(large)], 0.0, 1).unwrap();
    assert!((report.loss - expected).abs() < 1e-6, "{} should be {expected}", report.loss);
    assert!((expected - pooled).abs() > 1e-3, "the samples cannot tell the two means apart");
}

/// However a step is cut into micro-batches, its tokens count alike if they are to.
#[test]
fn tokens_can_count_alike_instead() {
    let samples = samples();
    let step = |micro_batches: &[MicroBatch]| {
        let mut learner = learner();
        learner.loss_normalisation = LossNormalisation::Tokens;
        let report = learner.step(micro_batches, 1e-2, 1).unwrap();
        (report, moments(&learner))
    };
    let (whole, expected) = step(&[batch(&samples)]);
    let (cut, found) = step(&[batch(&samples[..1]), batch(&samples[1..3]), batch(&samples[3..])]);
    assert!((whole.loss - cut.loss).abs() < 1e-6, "{} should be {}", cut.loss, whole.loss);
    assert!((whole.grad_norm / cut.grad_norm - 1.0).abs() < 1e-5);
    assert_eq!((whole.samples, whole.tokens, whole.images), (cut.samples, cut.tokens, cut.images));
    assert_same(&found, &expected);
}

/// Whatever learns: the steps are those of the whole tape.
#[test]
fn checkpointed_activations_give_the_same_step() {
    let samples = samples();
    let with_head = |tie_word_embeddings: bool| {
        let mut config = config();
        config.decoder.tie_word_embeddings = tie_word_embeddings;
        config
    };
    let (tied, untied) = (with_head(true), with_head(false));
    for (config, parts) in [
        (&tied, &[Part::Projector, Part::Moe, Part::LanguageModel][..]),
        (&untied, &[Part::VisionTower, Part::Projector, Part::Moe, Part::LanguageModel]),
        (&tied, &[Part::Projector]),
    ] {
        let step = |activation_checkpointing, threads| {
            let model = random(ParrotModel::init(config, &vision(), &device()).unwrap());
            let optimizer = Optimizer::new(AdamWConfig::default());
            let trainable = parts.iter().copied().collect();
            let mut learner = Learner::new(model, &trainable, optimizer);
            learner.activation_checkpointing = activation_checkpointing;
            learner.threads = threads;
            // The last sample is text alone.
            let micro_batches = [batch(&samples[..3]), batch(&samples[3..5]), batch(&samples[5..6])];
            let report = learner.step(&micro_batches, 0.0, 1).unwrap();
            (report, moments(&learner))
        };
        let (whole, expected) = step(false, 1);
        for threads in [1, 2] {
            let (pieces, found) = step(true, threads);
            assert!((whole.loss - pieces.loss).abs() < 1e-6, "{parts:?}");
            assert!((whole.grad_norm / pieces.grad_norm - 1.0).abs() < 1e-5, "{parts:?}");
            assert_same(&found, &expected);
        }
    }
}

#[derive(Module, Debug)]
struct Line {
    slope: Param<Tensor<1>>,
}

/// With a loss of mean (slope · x)² the gradient is 2 · slope · mean x².
#[test]
fn accumulated_gradients_are_the_mean_of_the_micro_batches() {
    let line = Line { slope: Param::from_data([3.0], &device()) };
    let square = |line: &Line, x: &Vec<f32>, share: f64| {
        let x = Tensor::<1>::from_data(x.as_slice(), &device());
        Ok(backward(line, (line.slope.val() * x).square().mean().reshape([1]), share))
    };
    let micro_batches = [vec![1.0], vec![2.0, 4.0], vec![0.0, 0.0, 3.0]];
    let expected = 2.0 * 3.0 * (1.0 + 10.0 + 3.0) / 3.0;
    for threads in [1, 2, 4] {
        let (losses, gradients) = gradients(&line, &micro_batches, &[1.0 / 3.0; 3], threads, square).unwrap();
        let losses: Vec<f32> = losses.into_iter().map(|loss| loss.into_scalar()).collect();
        assert_eq!(losses, [9.0, 90.0, 27.0]);
        let slope = gradients.get::<1>(line.slope.id).unwrap().into_scalar::<f32>();
        assert!((slope - expected).abs() < 1e-4, "{slope} should be {expected}");
    }
}

/// The second of four samples has two pictures; the last none.
#[test]
fn expert_use_is_told_by_language() {
    let mut samples = samples()[..3].to_vec();
    let second = samples[1].clone();
    samples[1].input_ids.insert(1, IMAGE_TOKEN_INDEX);
    samples[1].labels.insert(1, IGNORE_INDEX);
    let image = samples[0].pixels[0].clone();
    samples[1].pixels.push(image);
    samples.insert(2, second);
    let routing =
        |languages: [&str; 4]| learner().routing(&batch(&samples), &languages.map(String::from)).unwrap();
    let used = routing(["ar", "zh", "ar", "tr"]);
    let languages: Vec<&str> = used.iter().map(|used| used.language.as_str()).collect();
    assert_eq!(languages, ["ar", "zh"], "text alone goes through no expert");
    assert!(used.iter().all(|used| (used.weights.iter().sum::<f32>() - 1.0).abs() < 1e-5), "{used:?}");
    // The mean over pictures: two in each language.
    let all = &routing([""; 4])[0].weights;
    let mean = used[0].weights.iter().zip(&used[1].weights).map(|(a, b)| (a + b) / 2.0);
    assert!(mean.zip(all).all(|(mean, all)| (mean - all).abs() < 1e-5), "{used:?} {all:?}");
}

#[test]
fn a_loss_that_is_no_number_moves_nothing_and_names_its_samples() {
    let mut samples = samples();
    let mut learner = learner();
    learner.step(&[batch(&samples[..2])], 1e-2, 1).unwrap();
    samples[3].pixels[0].data[5] = f32::NAN;
    let before = (weights(learner.model()), format!("{:?}", learner.optimizer.state()));
    let error = learner.step(&[batch(&samples[..2]), batch(&samples[2..4])], 1e-2, 2).unwrap_err();
    match &error {
        Error::NotFinite { step: 2, what: "loss", value, samples, .. } => {
            assert!(value.is_nan());
            assert_eq!(*samples, ["#0", "#1", "#2", "#3"]);
        }
        error => panic!("{error}"),
    }
    assert!(error.to_string().starts_with("step 2: the loss is NaN; samples of the step: #0, "));
    assert_eq!(before, (weights(learner.model()), format!("{:?}", learner.optimizer.state())));
    assert_eq!(learner.optimizer.steps(), 1);
    learner.step(&[batch(&samples[..2])], 1e-2, 2).unwrap();
}

struct Poison;

impl ModuleMapper for Poison {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|tensor| tensor * f32::NAN)
    }
}

#[test]
fn a_weight_that_is_no_number_moves_nothing_either() {
    let mut model = model();
    model.mm_projector = model.mm_projector.map(&mut Poison);
    let optimizer = Optimizer::new(AdamWConfig::default());
    let mut learner = Learner::new(model, &stage().trainable, optimizer);
    let bits = |learner: &Learner| {
        weights(learner.model()).into_values().map(|data| data.as_bytes().to_vec()).collect::<Vec<_>>()
    };
    let before = bits(&learner);
    let error = learner.step(&[batch(&samples()[..2])], 1e-2, 7).unwrap_err();
    assert_eq!(error.to_string(), "step 7: the loss is NaN; samples of the step: #0, #1");
    assert!(before == bits(&learner));
    assert!(learner.optimizer.state().is_empty());
}

#[test]
fn a_sample_that_the_network_refuses_is_named() {
    let mut learner = learner();
    learner.prepare_options.max_length = Some(4);
    // The picture has five tokens.
    let error = learner.step(&[batch(&samples()[1..2])], 1e-2, 1).unwrap_err().to_string();
    assert!(error.starts_with("sample #1: truncating to 4 tokens"), "{error}");
}
