//! The reference's data set: the order of its records and what becomes of each.

use crate::golden::{Case, ConfigEdits, Fixture, Loaded, Quantity, Verdict};
use serde::Deserialize;
use serde_json::Value;

use super::python_random::PythonRandom;
use crate::{Error, Result};
use parrot_train::data::TrainingSample;
use parrot_train::data::llava::{Preparation, SampleOptions};
use parrot_train::data::record::Record;

#[derive(Deserialize)]
struct OrderCase {
    records: Vec<String>,
    shuffled: Vec<String>,
    lengths: Option<Vec<i64>>,
    modality_lengths: Option<Vec<i64>>,
}

/// `dataset_order`: how the reference shuffles, and the lengths that it groups by.
pub(super) fn order(fixture: &Fixture, case: &Case) -> Result<Verdict> {
    let fields: OrderCase = fixture.directory.fields(case)?;
    let mut ids = fields.records;
    reference_order(&mut ids);
    let mut checks = fixture.checks();
    checks.equal("shuffled", &ids, &fields.shuffled);
    if fields.lengths.is_some() || fields.modality_lengths.is_some() {
        let records = fields.shuffled.iter().map(|id| parse(fixture, case, fixture.record(id)?));
        let records: Vec<Record> = records.collect::<Result<_>>()?;
        if let Some(expected) = &fields.lengths {
            let lengths: Vec<i64> = records.iter().map(Record::reference_length).collect();
            checks.equal("lengths", &lengths, expected);
        }
        if let Some(expected) = &fields.modality_lengths {
            let lengths: Vec<i64> = records.iter().map(Record::reference_modality_length).collect();
            checks.equal("modality_lengths", &lengths, expected);
        }
    }
    Ok(checks.into())
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
pub(super) fn sample(fixture: &Fixture, case: &Case) -> Result<Verdict> {
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
    Ok(Record::deserialize(record).map_err(broken)?)
}

/// What the reference's data set makes of a record.
pub(super) fn reference_sample(
    fixture: &Fixture,
    loaded: &Loaded,
    record: &Record,
) -> Result<TrainingSample> {
    let preparation = Preparation {
        tokenizer: loaded.tokenizer.clone(),
        processor: loaded.processor.clone(),
        aspect_ratio: loaded.aspect_ratio,
        options: SampleOptions { reference: true },
    };
    let open = |image: &str| {
        let image = format!("images/{image}");
        fixture.picture(&image).map_err(|error| match error {
            Error::Model(error) => error,
            other => parrot_model::Error::Picture { name: image.clone(), reason: other.to_string() },
        })
    };
    Ok(preparation.sample(record, open)?)
}
