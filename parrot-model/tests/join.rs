//! Properties of the whole network with random weights: padding, caching, several pictures, truncation.

use burn::prelude::*;
use burn::tensor::{Distribution, Tolerance};
use parrot_model::batch::{PrepareOptions, Prepared, Sample};
use parrot_model::config::{DecoderConfig, PaddingSide, ParrotConfig, VisionConfig};
use parrot_model::language::{DecoderInput, KvCache};
use parrot_model::parrot::{ImageFeatures, ParrotModel};
use parrot_model::text::{IGNORE_INDEX, IMAGE_TOKEN_INDEX};
use parrot_model::{Error, int_tensor};

const IMAGE: i64 = IMAGE_TOKEN_INDEX;
/// 2 × 2 patches and the class token.
const IMAGE_TOKENS: usize = 5;

struct Fixture {
    config: ParrotConfig,
    parrot: ParrotModel,
    images: ImageFeatures,
    device: Device,
}

/// Grouped queries (4 heads, 2 of keys and values), three random pictures.
fn fixture() -> Fixture {
    let device = Device::default();
    let mini = ParrotConfig::parrot_mini();
    let decoder = DecoderConfig {
        vocab_size: 64,
        hidden_size: 32,
        intermediate_size: 48,
        num_hidden_layers: 2,
        // Large weights, so that attention and routing are far from uniform.
        initializer_range: 0.2,
        ..mini.decoder.clone()
    };
    let config = ParrotConfig {
        mm_hidden_size: Some(16),
        moe_intermediate_size: Some(24),
        ..mini.with_decoder(decoder)
    };
    let vision = VisionConfig {
        hidden_size: 16,
        intermediate_size: 24,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        image_size: 8,
        patch_size: 4,
        ..VisionConfig::clip_vit_mini()
    };
    let parrot = ParrotModel::init(&config, &vision, &device).unwrap();
    let features = Tensor::random([3, IMAGE_TOKENS, 16], Distribution::Normal(0.0, 5.0), &device);
    let images = parrot.project(features);
    Fixture { config, parrot, images, device }
}

fn sample(ids: &[i64], images: &[usize]) -> Sample {
    Sample::new(ids.to_vec(), images.to_vec())
}

/// Different lengths; no picture, one, two, and one that another sample has too.
fn samples() -> Vec<Sample> {
    vec![
        sample(&[1, IMAGE, 2, 3, 4, 5], &[0]),
        sample(&[7, 8], &[]),
        sample(&[9, IMAGE, 10, IMAGE, 11], &[1, 2]),
        sample(&[IMAGE, 12, 13], &[1]),
    ]
}

impl Fixture {
    fn prepare(&self, samples: &[Sample], padding_side: PaddingSide) -> Prepared {
        let options = PrepareOptions { padding_side, ..PrepareOptions::default() };
        self.parrot.prepare(samples, Some(&self.images), options).unwrap()
    }

    /// `[batch, seq, vocab]`
    fn logits(&self, prepared: Prepared) -> Tensor<3> {
        let language_model = &self.parrot.language_model;
        language_model.logits(language_model.forward(prepared.input, None))
    }
}

fn assert_close<const D: usize>(actual: Tensor<D>, expected: Tensor<D>) {
    actual.into_data().assert_approx_eq::<f32>(&expected.into_data(), Tolerance::absolute(1e-4));
}

#[test]
fn a_padded_batch_says_what_each_sample_says_alone() {
    let fixture = fixture();
    for side in [PaddingSide::Left, PaddingSide::Right] {
        let prepared = fixture.prepare(&samples(), side);
        let lengths = prepared.lengths.clone();
        assert_eq!(lengths, [10, 2, 13, 7]);
        let together = fixture.logits(prepared);
        let seq = together.dims()[1];
        for (row, (sample, length)) in samples().into_iter().zip(lengths).enumerate() {
            let alone = fixture.logits(fixture.prepare(&[sample], side));
            let start = if side == PaddingSide::Left { seq - length } else { 0 };
            assert_close(together.clone().slice(s![row..row + 1, start..start + length, ..]), alone);
        }
    }
}

#[test]
fn a_cached_answer_is_the_uncached_one() {
    let fixture = fixture();
    let prepared = fixture.prepare(&samples(), PaddingSide::Left);
    let Prepared { input, lengths, .. } = prepared;
    let language_model = &fixture.parrot.language_model;
    let next: Vec<i64> = vec![20, 21, 22, 23];
    let next_embeds = language_model.embed(int_tensor(&next, &fixture.device)).unsqueeze_dim::<3>(1);
    let next_positions = TensorData::new(lengths.iter().map(|l| *l as i64).collect::<Vec<_>>(), [4, 1]);
    let next_positions = Tensor::<2, Int>::from_data(next_positions, &fixture.device);

    let ones = Tensor::<2, Bool>::full([4, 1], true, &fixture.device);
    let attention_mask = input.attention_mask.clone().map(|mask| Tensor::cat(vec![mask, ones], 1));
    let next = DecoderInput {
        inputs_embeds: next_embeds.clone(),
        attention_mask: attention_mask.clone(),
        position_ids: Some(next_positions.clone()),
    };
    let mut cache = KvCache::new(&fixture.config.decoder, 16);
    let _ = language_model.forward(input.clone(), Some(&mut cache));
    let cached = language_model.forward(next, Some(&mut cache));

    let positions = input.position_ids.map(|positions| Tensor::cat(vec![positions, next_positions], 1));
    let together = DecoderInput {
        inputs_embeds: Tensor::cat(vec![input.inputs_embeds, next_embeds], 1),
        attention_mask,
        position_ids: positions,
    };
    let all = language_model.forward(together, None);
    let seq = all.dims()[1];
    assert_close(cached, all.slice(s![.., seq - 1..seq, ..]));
    assert_eq!(cache.len(), seq);
}

#[test]
fn every_image_is_routed_by_its_own_prompt() {
    let fixture = fixture();
    let routing = fixture.prepare(&samples(), PaddingSide::Right).routing.unwrap();
    assert_eq!(routing.routing_weights.dims(), [4, 6]);
    // Picture 1 stands in two prompts, whose texts weigh the experts differently.
    let weights = |row: usize| routing.routing_weights.clone().slice(s![row..row + 1, ..]);
    let difference = (weights(1) - weights(3)).abs().max().into_scalar::<f32>();
    assert!(difference > 1e-4, "{difference}");
    // The text of the prompt decides, not the place of the picture in it.
    let alone = fixture.prepare(&[sample(&[IMAGE, 9, 10, IMAGE, 11], &[2, 1])], PaddingSide::Right);
    let alone = alone.routing.unwrap().routing_weights;
    assert_close(alone, Tensor::cat(vec![weights(2), weights(1)], 0));
}

#[test]
fn a_routing_text_stands_in_for_every_question() {
    let fixture = fixture();
    let asked = fixture.prepare(&samples(), PaddingSide::Right);
    let steer = |sample| Sample { routing_text: Some(vec![1, 2, 3, 4, 5]), ..sample };
    let steered = samples().into_iter().map(steer).collect::<Vec<_>>();
    let steered = fixture.prepare(&steered, PaddingSide::Right);
    // The first sample asks just that of picture 0.
    let first =
        |prepared: &Prepared| prepared.routing.as_ref().unwrap().routing_weights.clone().slice(s![0..1, ..]);
    assert_close(first(&steered), first(&asked));
    // Picture 1 stands in two prompts, which no longer make a difference.
    let weights = steered.routing.unwrap().routing_weights;
    assert_close(weights.clone().slice(s![1..2, ..]), weights.slice(s![3..4, ..]));
    assert_eq!(steered.lengths, asked.lengths);
}

#[test]
fn answers_do_not_guide_the_routing() {
    let fixture = fixture();
    let labelled = |answer: i64| Sample {
        labels: Some(vec![IGNORE_INDEX, IGNORE_INDEX, answer, answer]),
        ..sample(&[IMAGE, 1, answer, answer], &[0])
    };
    let weights = |sample: Sample| {
        fixture.prepare(&[sample], PaddingSide::Right).routing.unwrap().routing_weights.into_data()
    };
    assert_eq!(weights(labelled(5)), weights(labelled(6)));
}

#[test]
fn truncation_never_cuts_an_image_silently() {
    let fixture = fixture();
    let prompt = [sample(&[1, 2, IMAGE, 3], &[0])];
    let truncate = |max_length: usize| {
        let options = PrepareOptions { max_length: Some(max_length), ..PrepareOptions::default() };
        fixture.parrot.prepare(&prompt, Some(&fixture.images), options).map(|prepared| prepared.lengths[0])
    };
    assert_eq!(truncate(8).unwrap(), 8);
    assert_eq!(truncate(7).unwrap(), 7);
    assert_eq!(truncate(2).unwrap(), 2);
    for kept in 1..IMAGE_TOKENS {
        let error = truncate(2 + kept).unwrap_err();
        assert!(
            matches!(error, Error::CutsImage { image: 0, kept: k, image_tokens: 5, .. } if k == kept),
            "{error}"
        );
    }
}

#[test]
fn placeholders_and_images_have_to_match() {
    let fixture = fixture();
    for (ids, images) in [(vec![IMAGE, 1], vec![]), (vec![1], vec![0]), (vec![IMAGE, IMAGE], vec![0])] {
        let error = fixture
            .parrot
            .prepare(&[sample(&ids, &images)], Some(&fixture.images), PrepareOptions::default())
            .unwrap_err();
        assert!(matches!(error, Error::ImageCount { .. }), "{error}");
    }
    let error =
        fixture.parrot.prepare(&[sample(&[IMAGE], &[0])], None, PrepareOptions::default()).unwrap_err();
    assert!(matches!(error, Error::ImageCount { .. }), "{error}");
}

#[test]
fn a_batch_needs_text_and_tokens_of_the_vocabulary() {
    let fixture = fixture();
    for (ids, reason) in [
        (vec![IMAGE], "there is no text beside the images"),
        (vec![IMAGE, 1, 1_000_000], "the token id 1000000 is outside the vocabulary"),
        (vec![IMAGE, -7], "the token id -7 is outside the vocabulary"),
    ] {
        let prepared =
            fixture.parrot.prepare(&[sample(&ids, &[0])], Some(&fixture.images), PrepareOptions::default());
        let error = prepared.unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn the_loss_is_the_mean_over_the_labels_of_the_batch() {
    let fixture = fixture();
    let labelled = |ids: &[i64], labels: &[i64], images: &[usize]| Sample {
        labels: Some(labels.to_vec()),
        ..sample(ids, images)
    };
    let first = labelled(&[IMAGE, 1, 2, 3], &[IGNORE_INDEX, IGNORE_INDEX, 2, 3], &[0]);
    let second = labelled(&[4, 5], &[IGNORE_INDEX, 5], &[]);
    let loss = |samples: &[Sample]| {
        let prepared = fixture.prepare(samples, PaddingSide::Right);
        fixture.parrot.loss(prepared).map(|loss| loss.into_scalar::<f64>())
    };
    let (a, b) = (loss(std::slice::from_ref(&first)).unwrap(), loss(std::slice::from_ref(&second)).unwrap());
    assert!((loss(&[first, second]).unwrap() - (2.0 * a + b) / 3.0).abs() < 1e-5);
    let unlabelled = labelled(&[1, 2], &[IGNORE_INDEX, IGNORE_INDEX], &[]);
    assert!(loss(&[unlabelled]).unwrap_err().to_string().contains("no labelled token"));
}
