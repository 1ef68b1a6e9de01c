//! How the reference implementation puts a batch together, its defects included.
//!
//! Only a sample's first image is routed; every further one becomes rows of zeros. Truncation may cut an image in two.
//! [`ParrotModel::prepare`] routes every image, and a cut is an error.

use burn::prelude::*;
use parrot_model::batch::{PrepareOptions, Prepared, Sample};
use parrot_model::config::PaddingSide;
use parrot_model::language::DecoderInput;
use parrot_model::parrot::{ImageFeatures, ParrotModel};
use parrot_model::text::{IGNORE_INDEX, IMAGE_TOKEN_INDEX};

use crate::Result;

/// Text and images → one batch of embeddings. What the router decided is given for a single sample alone.
///
/// # Errors
///
/// As [`ParrotModel::prepare`], but that a cut through an image is none.
///
/// # Panics
///
/// As [`ParrotModel::prepare`].
pub(crate) fn assemble(
    model: &ParrotModel,
    samples: &[Sample],
    images: Option<&ImageFeatures>,
    options: PrepareOptions,
) -> Result<Prepared> {
    let alone = PrepareOptions { max_length: None, ..options };
    let image_tokens = images.map_or(0, |images| images.image_features.dims()[1]);
    let mut prepared = Vec::with_capacity(samples.len());
    for sample in samples {
        let mut one = model.prepare(std::slice::from_ref(sample), images, alone)?;
        one.input.inputs_embeds = without_further_images(one.input.inputs_embeds, sample, image_tokens);
        prepared.push(truncated(one, options.max_length));
    }
    if let [_] = prepared.as_slice() {
        return Ok(prepared.swap_remove(0));
    }
    Ok(padded(prepared, options.padding_side))
}

/// Zeros at the positions of every image but the first.
fn without_further_images(inputs_embeds: Tensor<3>, sample: &Sample, image_tokens: usize) -> Tensor<3> {
    let [_, seq, _] = inputs_embeds.dims();
    let mut is_further = Vec::with_capacity(seq);
    let mut images = 0;
    for id in &sample.input_ids {
        if *id == IMAGE_TOKEN_INDEX {
            is_further.extend(std::iter::repeat_n(images > 0, image_tokens));
            images += 1;
        } else {
            is_further.push(false);
        }
    }
    if images < 2 {
        return inputs_embeds;
    }
    let is_further = TensorData::new(is_further, [1, seq, 1]);
    let is_further = Tensor::<3, Bool>::from_data(is_further, &inputs_embeds.device().inner());
    inputs_embeds.mask_fill(is_further, 0.0)
}

fn truncated(mut one: Prepared, max_length: Option<usize>) -> Prepared {
    if let Some(limit) = max_length.filter(|limit| *limit < one.lengths[0]) {
        one.input.inputs_embeds = one.input.inputs_embeds.narrow(1, 0, limit);
        one.labels.iter_mut().flatten().for_each(|labels| labels.truncate(limit));
        one.lengths[0] = limit;
    }
    one
}

/// Samples of different lengths as one batch.
fn padded(samples: Vec<Prepared>, side: PaddingSide) -> Prepared {
    let lengths: Vec<usize> = samples.iter().map(|sample| sample.lengths[0]).collect();
    let (batch, seq) = (lengths.len(), lengths.iter().copied().max().unwrap_or(0));
    let before = |length: usize| if side == PaddingSide::Left { seq - length } else { 0 };
    let labelled = samples.iter().any(|sample| sample.labels.is_some());
    let mut labels = Vec::new();
    let mut rows = Vec::new();
    for (sample, length) in samples.into_iter().zip(&lengths) {
        let inputs_embeds = sample.input.inputs_embeds;
        let [_, _, hidden] = inputs_embeds.dims();
        let like = (&inputs_embeds.device(), inputs_embeds.dtype());
        let (left, right) = (before(*length), seq - length - before(*length));
        let zeros = |count: usize| (count > 0).then(|| Tensor::zeros([1, count, hidden], like));
        rows.push(Tensor::cat(
            zeros(left).into_iter().chain([inputs_embeds]).chain(zeros(right)).collect(),
            1,
        ));
        let mut row = vec![IGNORE_INDEX; left];
        row.extend(sample.labels.into_iter().flatten().next().unwrap_or_else(|| vec![IGNORE_INDEX; *length]));
        row.resize(seq, IGNORE_INDEX);
        labels.push(row);
    }
    let inputs_embeds = Tensor::cat(rows, 0);
    let device = inputs_embeds.device().inner();
    let grid = |value: &dyn Fn(usize, usize) -> i64| {
        let cells = (0..batch).flat_map(|row| (0..seq).map(move |column| (row, column)));
        let cells: Vec<i64> = cells.map(|(row, column)| value(row, column)).collect();
        Tensor::<2, Int>::from_data(TensorData::new(cells, [batch, seq]), &device)
    };
    let token = |row: usize, column: usize| {
        column.checked_sub(before(lengths[row])).filter(|position| *position < lengths[row])
    };
    let is_padded = lengths.iter().any(|length| *length < seq);
    let attention_mask = is_padded.then(|| grid(&|row, column| token(row, column).is_some().into()).bool());
    let position_ids =
        is_padded.then(|| grid(&|row, column| token(row, column).map_or(0, |position| position as i64)));
    Prepared {
        input: DecoderInput { inputs_embeds, attention_mask, position_ids },
        labels: labelled.then_some(labels),
        lengths,
        routing: None,
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Distribution;
    use parrot_model::config::{ParrotConfig, VisionConfig};

    use super::*;

    #[test]
    fn later_images_become_zeros_and_are_cut_without_a_word() {
        let device = Device::default();
        let model =
            ParrotModel::init(&ParrotConfig::parrot_mini(), &VisionConfig::clip_vit_mini(), &device).unwrap();
        let pixels = Tensor::random([2, 3, 72, 72], Distribution::Normal(0.0, 1.0), &device);
        let images = model.encode_images(pixels);
        let [_, tokens, _] = images.image_features.dims();
        let two = Sample::new(vec![IMAGE_TOKEN_INDEX, 1, IMAGE_TOKEN_INDEX], vec![0, 1]);
        let one = Sample::new(vec![IMAGE_TOKEN_INDEX, 1], vec![1]);
        let options = PrepareOptions { max_length: Some(2 * tokens), ..PrepareOptions::default() };
        let batch = assemble(&model, &[two.clone(), one.clone()], Some(&images), options).unwrap();
        assert_eq!(batch.lengths, [2 * tokens, tokens + 1]);
        let sizes = batch.input.inputs_embeds.abs().max_dim(2).squeeze_dim::<2>(2);
        let sizes: Vec<f32> = sizes.into_data().try_to_vec().unwrap();
        let (first, second) = sizes.split_at(2 * tokens);
        for row in [first, second] {
            assert!(row[..tokens].iter().all(|size| *size > 0.0), "the first image is routed");
            assert!(row[tokens + 1..].iter().all(|size| *size == 0.0), "zeros behind the text");
        }
        let ours = model.prepare(&[two, one], Some(&images), PrepareOptions::default()).unwrap();
        let later = ours.input.inputs_embeds.slice(s![0..1, tokens + 1.., ..]);
        assert!(later.abs().max().into_scalar::<f32>() > 0.0);
    }
}
