//! A padded batch of ids and pictures → a padded batch of embeddings.

use burn::tensor::Tensor;
use parrot_model::Error as ModelError;
use serde::Deserialize;

use super::load;
use super::network::compare_embeddings;
use crate::golden::{Array, Batch, Case, CaseVerdict, Fixture, Loaded};
use crate::{Error, Result};

#[derive(Deserialize)]
struct PrepareCase {
    #[serde(default)]
    samples: Vec<String>,
}

/// `prepare`: what goes into the decoder, and the labels and masks that go with it.
pub(super) fn prepare(fixture: &Fixture, case: &Case) -> Result<CaseVerdict> {
    let directory = &fixture.directory;
    let loaded = load(fixture, case)?;
    let batch = read_batch(fixture, case)?;
    let mut checks = fixture.checks();
    if let Some(expected) = directory.tensor(case, "out_input_ids")? {
        // A single token is a step of decoding: the reference passes it on, pictures or not.
        checks.equal("out_input_ids", &batch.input_ids, &expected.to_rows());
        return Ok(checks.into());
    }
    let PrepareCase { samples } = directory.fields(case)?;
    let prepared = batch.prepare(fixture, case, &loaded, &samples)?;
    compare_embeddings(fixture, case, &mut checks, &prepared.input.inputs_embeds)?;
    if let Some(expected) = directory.tensor(case, "out_labels")? {
        let found = prepared.labels.clone().unwrap_or_default();
        checks.equal("out_labels", &found, &expected.to_rows());
    }
    let seq = prepared.input.inputs_embeds.dims()[1];
    let rows = |values: Tensor<2>| -> Vec<Vec<i64>> {
        let values: Vec<f32> = values.into_data().try_to_vec().expect("made as f32");
        values.chunks(seq.max(1)).map(|row| row.iter().map(|value| *value as i64).collect()).collect()
    };
    if let Some(expected) = directory.tensor(case, "out_attention_mask")? {
        let found = match prepared.input.attention_mask {
            Some(mask) => rows(mask.float()),
            None => vec![vec![1; seq]; prepared.lengths.len()],
        };
        checks.equal("out_attention_mask", &found, &expected.to_rows());
    }
    if let Some(expected) = directory.tensor(case, "out_position_ids")? {
        let found = match prepared.input.position_ids {
            Some(position_ids) => rows(position_ids.float()),
            None => vec![(0..seq as i64).collect(); prepared.lengths.len()],
        };
        checks.equal("out_position_ids", &found, &expected.to_rows());
    }
    Ok(checks.into())
}

fn read_batch(fixture: &Fixture, case: &Case) -> Result<Batch> {
    Batch::read(&fixture.directory, case, "in_")?
        .ok_or_else(|| fixture.directory.error(format!("case {} has no in_input_ids", case.id)))
}

fn blank_images(loaded: &Loaded, count: usize) -> Array {
    let size = loaded.vision.image_size;
    Array { shape: vec![count, 3, size, size], values: vec![0.0; count * 3 * size * size] }
}

#[derive(Deserialize)]
struct PrepareErrorCase {
    error: String,
}

/// `prepare_error`: inputs that the reference cannot prepare.
///
/// A case that does not record its inputs is known by its error: an `IndexError` is a prompt with more
/// placeholders than pictures; pictures as a list or in five dimensions cannot be written down here, where
/// [`encode_images`](parrot_model::parrot::ParrotModel::encode_images) takes one four-dimensional tensor.
pub(super) fn error(fixture: &Fixture, case: &Case) -> Result<CaseVerdict> {
    let PrepareErrorCase { error } = fixture.directory.fields(case)?;
    let loaded = load(fixture, case)?;
    let batch = match Batch::read(&fixture.directory, case, "in_")? {
        Some(batch) => batch,
        None if error.starts_with("AttributeError") => {
            let reason =
                "pictures are one [pictures, 3, size, size] tensor; a list or five dimensions do not compile";
            return Ok(CaseVerdict::OwnError(reason.into()));
        }
        None => Batch {
            input_ids: vec![vec![parrot_model::text::IMAGE_TOKEN_INDEX; 2]],
            labels: None,
            attention_mask: None,
            images: Some(blank_images(&loaded, 1)),
        },
    };
    let PrepareCase { samples } = fixture.directory.fields(case)?;
    match batch.prepare(fixture, case, &loaded, &samples) {
        Err(own @ (Error::Model(ModelError::ImageCount { .. }) | Error::Golden { .. })) => {
            Ok(CaseVerdict::OwnError(own.to_string()))
        }
        Err(other) => Err(other),
        Ok(_) => {
            let mut checks = fixture.checks();
            checks.require(false, || format!("the reference fails ({error}), this build does not"));
            Ok(checks.into())
        }
    }
}
