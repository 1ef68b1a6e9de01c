//! The reference's data set: the order of its records and what becomes of each.

use parrot_model::image::Pixels;
use parrot_train::data::TrainingSample;
use parrot_train::data::record::Record;
use serde::Deserialize;
use serde_json::Value;

use super::python_random::PythonRandom;
use crate::Result;
use crate::golden::{
    Case, CaseVerdict, ConfigEdits, Fixture, Loaded, Quantity, reference_chat, reference_image,
};

#[derive(Deserialize)]
struct OrderCase {
    records: Vec<String>,
    shuffled: Vec<String>,
    lengths: Option<Vec<i64>>,
    modality_lengths: Option<Vec<i64>>,
}

/// `dataset_order`: how the reference shuffles, and the lengths that it groups by.
pub(super) fn order(fixture: &Fixture, case: &Case) -> Result<CaseVerdict> {
    let fields: OrderCase = fixture.directory.fields(case)?;
    let mut ids = fields.records;
    reference_order(&mut ids);
    let mut checks = fixture.checks();
    checks.equal("shuffled", &ids, &fields.shuffled);
    if fields.lengths.is_some() || fields.modality_lengths.is_some() {
        let records = fields.shuffled.iter().map(|id| parse(fixture, case, fixture.record(id)?));
        let records: Vec<Record> = records.collect::<Result<_>>()?;
        if let Some(expected) = &fields.lengths {
            let lengths: Vec<i64> = records.iter().map(reference_length).collect();
            checks.equal("lengths", &lengths, expected);
        }
        if let Some(expected) = &fields.modality_lengths {
            let lengths: Vec<i64> = records.iter().map(reference_modality_length).collect();
            checks.equal("modality_lengths", &lengths, expected);
        }
    }
    Ok(checks.into())
}

/// What the reference adds to a record's length for a picture.
const REFERENCE_IMAGE_LENGTH: i64 = 128;

/// How the reference estimates a record's length, in words: negative without a picture. It batches records of alike
/// length by this number.
fn reference_modality_length(record: &Record) -> i64 {
    let words: usize = record.conversations.iter().map(|turn| turn.value.split_whitespace().count()).sum();
    if record.images.is_empty() { -(words as i64) } else { words as i64 }
}

/// The same where the reference does not tell records with and without a picture apart.
fn reference_length(record: &Record) -> i64 {
    let image = if record.images.is_empty() { 0 } else { REFERENCE_IMAGE_LENGTH };
    reference_modality_length(record).abs() + image
}

/// The reference's order: ten shuffles with `random.Random(42)`.
fn reference_order<T>(records: &mut [T]) {
    let mut random = PythonRandom::new(42);
    for _ in 0..10 {
        random.shuffle(records);
    }
}

#[derive(Deserialize)]
struct SampleCase {
    checkpoint: String,
    #[serde(flatten)]
    edits: ConfigEdits,
    record: Value,
    input_ids: Vec<i64>,
    labels: Vec<i64>,
}

/// `dataset_sample`: a record's ids, labels and pixels.
pub(super) fn sample(fixture: &Fixture, case: &Case) -> Result<CaseVerdict> {
    let fields: SampleCase = fixture.directory.fields(case)?;
    let loaded = fixture.load(&fields.checkpoint, &fields.edits, burn::tensor::FloatDType::F32)?;
    let sample = reference_sample(fixture, &loaded, &parse(fixture, case, &fields.record)?)?;
    let mut checks = fixture.checks();
    checks.equal("input_ids", &sample.input_ids, &fields.input_ids);
    checks.equal("labels", &sample.labels, &fields.labels);
    if let Some(expected) = fixture.directory.tensor(case, "image")? {
        let found = sample.pixels.first().map_or(&[][..], |pixels| &pixels.data);
        checks.values(Quantity::PixelValues, "image", found, &expected.values);
    }
    Ok(checks.into())
}

/// A record as the manifest gives it.
pub(super) fn parse(fixture: &Fixture, case: &Case, record: &Value) -> Result<Record> {
    let broken = |source: serde_json::Error| fixture.directory.error(format!("case {}: {source}", case.id));
    Record::deserialize(record).map_err(broken)
}

/// What the reference's data set makes of a record: exactly one picture, of zeros where the record has none and of
/// the mean colour where it cannot be read, and whatever placeholders and control tokens the text has.
pub(super) fn reference_sample(
    fixture: &Fixture,
    loaded: &Loaded,
    record: &Record,
) -> Result<TrainingSample> {
    let encoded = reference_chat::encode(&loaded.tokenizer, &record.conversation(), None)?;
    let Loaded { processor, aspect_ratio, .. } = loaded;
    let preprocess = |name: &String| match fixture.image(&format!("images/{name}")) {
        Ok(image) => reference_image::preprocess(processor, &image, *aspect_ratio),
        Err(_) => Ok(processor.preprocess(&reference_image::mean_image(processor), *aspect_ratio)),
    };
    let mut pixels = record.images.iter().map(preprocess).collect::<Result<Vec<_>>>()?;
    if pixels.is_empty() {
        // Zeros have the tower's size, which is also the size of real pictures. They are not a black picture:
        // black lies below the mean.
        let size = processor.image_size as usize;
        pixels.push(Pixels { data: vec![0.0; 3 * size * size], size });
    }
    Ok(TrainingSample::new(&record.id, encoded.input_ids, encoded.labels, pixels))
}
