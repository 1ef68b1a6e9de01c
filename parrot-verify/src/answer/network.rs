//! Prompt and picture → logits and loss.

use burn::tensor::{FloatDType, Tensor, s};
use parrot_model::batch::{PrepareOptions, Prepared};
use parrot_model::device::Precision;
use parrot_model::{Error as ModelError, error_chain};
use serde::Deserialize;

use super::generate::{Decoding, argmax, greedy};
use super::modules::{compare_moe, images};
use super::{NetworkCase, load};
use crate::golden::reference_batch;
use crate::golden::{
    Array, Batch, Case, CaseVerdict, Checks, Fixture, Loaded, Number, Quantity, reference_samples,
};
use crate::{Error, Result};

#[derive(Deserialize)]
struct ForwardCase {
    input_ids: Vec<i64>,
    total_len: Option<usize>,
    logits_rows: Option<String>,
    argmax_all: Option<Vec<i64>>,
    routing: Option<Vec<f64>>,
    new_ids: Option<Vec<i64>>,
    #[serde(default)]
    top2_margin: Vec<f64>,
}

/// `forward_infer`: one prompt, pictures or not, through the whole network.
pub(super) fn forward_infer(fixture: &Fixture, case: &Case) -> Result<CaseVerdict> {
    let loaded = load(fixture, case)?;
    let fields: ForwardCase = fixture.directory.fields(case)?;
    let mut checks = fixture.checks();
    compare_forward(fixture, case, &loaded, &fields, &mut checks)?;
    if let Some(expected) = &fields.new_ids {
        let decoding = Decoding::new(fixture, &loaded, &images(fixture, case)?)?;
        let generated = greedy(&loaded, &decoding, &fields.input_ids, expected.len())?;
        checks.chosen("new_ids", &generated.ids, expected);
    }
    Ok(checks.into())
}

/// `forward_bf16`: weights and activations in bfloat16, whatever the other cases are computed in. Ids are
/// compared and reported; two implementations that round differently may choose differently where the two
/// best logits are one rounding apart.
pub(super) fn forward_bf16(fixture: &Fixture, case: &Case) -> Result<CaseVerdict> {
    if !fixture.device.supports_dtype(FloatDType::BF16) {
        return Ok(CaseVerdict::Skipped("the device does not compute in bf16".into()));
    }
    let NetworkCase { checkpoint, edits } = fixture.directory.fields(case)?;
    let loaded = fixture.load(&checkpoint, &edits, FloatDType::BF16)?;
    let fields: ForwardCase = fixture.directory.fields(case)?;
    let mut checks = Checks::new(Precision::for_weights(&loaded.device, loaded.dtype));
    compare_forward(fixture, case, &loaded, &fields, &mut checks)?;
    let images = images(fixture, case)?;
    let pixel_values = fixture.pixel_values(&loaded, &images)?;
    compare_moe(fixture, case, &loaded, &mut checks, &fields.input_ids, pixel_values)?;
    if let Some(expected) = &fields.new_ids {
        let decoding = Decoding::new(fixture, &loaded, &images)?;
        let ids = greedy(&loaded, &decoding, &fields.input_ids, expected.len())?.ids;
        let same = ids.iter().zip(expected).take_while(|(found, expected)| found == expected).count();
        let margin = fields.top2_margin.get(same);
        let margin =
            margin.map_or(String::new(), |margin| format!(", where the reference's margin is {margin}"));
        checks.remark(if same == expected.len() {
            format!("all {same} greedy ids agree")
        } else {
            format!("greedy ids agree up to step {same} of {}{margin}", expected.len())
        });
    }
    Ok(checks.into())
}

/// Compares embeddings, routing and logits.
fn compare_forward(
    fixture: &Fixture,
    case: &Case,
    loaded: &Loaded,
    fields: &ForwardCase,
    checks: &mut Checks,
) -> Result<()> {
    let directory = &fixture.directory;
    let prepared = prepare_prompt(fixture, loaded, &fields.input_ids, &images(fixture, case)?)?;
    if let Some(expected) = fields.total_len {
        checks.equal("total_len", &prepared.lengths, &[expected]);
    }
    match (&fields.routing, &prepared.routing) {
        (Some(expected), Some(routing)) => {
            let shape = vec![1, expected.len()];
            let expected = Array { shape, values: expected.clone() };
            checks.tensor(Quantity::Module, "routing", routing.routing_weights.clone(), &expected);
        }
        (Some(_), None) => checks.require(false, || "routing: expected weights, nothing is routed".into()),
        (None, _) => {}
    }
    compare_embeddings(fixture, case, checks, &prepared.input.inputs_embeds)?;
    let hidden_states = loaded.model.language_model.forward(prepared.input, None);
    let found: Tensor<2> = loaded.model.language_model.logits(hidden_states.squeeze_dim(0));
    let rows = found.dims()[0];
    if let Some(expected) = directory.tensor(case, "logits")? {
        let description = fields.logits_rows.as_deref().unwrap_or("all");
        let rows = selected_rows(description, rows).ok_or_else(|| {
            directory.error(format!("case {}: logits_rows {description:?} is not understood", case.id))
        })?;
        checks.tensor(Quantity::Logits, "logits", found.clone().select(0, fixture.ids(&rows)), &expected);
    }
    if let Some(expected) = directory.tensor(case, "logits_last")? {
        checks.tensor(Quantity::Logits, "logits_last", found.clone().slice(s![rows - 1.., ..]), &expected);
    }
    if let Some(expected) = &fields.argmax_all {
        compare_argmax(checks, found, expected);
    }
    Ok(())
}

/// Compares the best id of every row. Each logit may be off by the tolerance, so that of two within twice as much either is
/// best.
fn compare_argmax(checks: &mut Checks, logits: Tensor<2>, expected: &[i64]) {
    let vocab = logits.dims()[1];
    let mut best = argmax(logits.clone());
    let logits: Vec<f32> = logits.into_data().try_to_vec().expect("logits are f32");
    for ((best, row), expected) in best.iter_mut().zip(logits.chunks(vocab)).zip(expected) {
        let gap = row.get(*expected as usize).map(|logit| f64::from(row[*best as usize] - logit));
        let row: Vec<f64> = row.iter().copied().map(f64::from).collect();
        let tolerance = checks.tolerance(Quantity::Logits, &row);
        if gap.zip(tolerance).is_some_and(|(gap, tolerance)| gap <= 2.0 * tolerance) {
            *best = *expected;
        }
    }
    checks.equal("argmax_all", &best, expected);
}

/// `variant`: the same weights under an edited configuration.
pub(super) fn variant(fixture: &Fixture, case: &Case) -> Result<CaseVerdict> {
    // A variant has the fields of `forward_infer`; only what is recorded differs.
    forward_infer(fixture, case)
}

/// `variant_error`: configurations that the reference refuses, at the latest when it runs.
pub(super) fn variant_error(fixture: &Fixture, case: &Case) -> Result<CaseVerdict> {
    Ok(match load(fixture, case) {
        Err(Error::Model(
            own @ (ModelError::Config { .. } | ModelError::Json { .. } | ModelError::Checkpoint { .. }),
        )) => CaseVerdict::OwnError(error_chain(&own)),
        Err(other) => return Err(other),
        Ok(_) => {
            let mut checks = fixture.checks();
            checks.require(false, || "the reference refuses this configuration, this build does not".into());
            checks.into()
        }
    })
}

#[derive(Deserialize)]
struct LossCase {
    loss: Number,
    logits_shape: Option<Vec<usize>>,
    logits_stride: Option<usize>,
    n_label_tokens: Option<usize>,
    same_inputs_as: Option<String>,
    #[serde(default)]
    samples: Vec<String>,
}

/// `forward_loss`: a training batch through the whole network.
pub(super) fn forward_loss(fixture: &Fixture, case: &Case) -> Result<CaseVerdict> {
    let directory = &fixture.directory;
    let loaded = load(fixture, case)?;
    let fields: LossCase = directory.fields(case)?;
    let inputs = match &fields.same_inputs_as {
        Some(other) => directory.case(other)?,
        None => case,
    };
    let batch = Batch::read(directory, inputs, "in_")?
        .ok_or_else(|| directory.error(format!("case {} has no in_input_ids", inputs.id)))?;
    let prepared = batch.prepare(fixture, inputs, &loaded, &fields.samples)?;
    let mut checks = fixture.checks();
    let labels = prepared.labels.clone().unwrap_or_default();
    let [rows, seq, _] = prepared.input.inputs_embeds.dims();
    if let Some(expected) = &fields.logits_shape {
        checks.equal("logits_shape", &[rows, seq, loaded.config.decoder.vocab_size], expected);
    }
    if let Some(expected) = fields.n_label_tokens {
        let found = labels.iter().flat_map(|row| row.iter().skip(1)).filter(|label| **label >= 0).count();
        checks.equal("n_label_tokens", &[found], &[expected]);
    }
    if let Some(expected) = directory.tensor(case, "logits_strided")? {
        let Prepared { input, lengths, .. } = prepared.clone();
        let decoder = &loaded.model.language_model;
        let hidden_states = decoder.forward(input, None);
        let stride = fields.logits_stride.unwrap_or(1).max(1);
        let left = loaded.prepare_options().padding_side == parrot_model::config::PaddingSide::Left;
        compare_strided(&mut checks, decoder.logits(hidden_states), &expected, stride, &lengths, left);
    }
    let loss = match loaded.model.loss(prepared) {
        Ok(loss) => loss.into_scalar::<f32>(),
        // The reference averages over nothing and gets NaN.
        Err(own @ ModelError::Conversation { .. }) if fields.loss.0.is_nan() => {
            return Ok(CaseVerdict::OwnError(own.to_string()));
        }
        Err(other) => return Err(other.into()),
    };
    checks.value(Quantity::Loss, "loss", loss, fields.loss.0);
    Ok(checks.into())
}

/// Compares every `stride`th position of each sample that is not padding: what stands at padding depends
/// on how an implementation keeps a softmax over nothing finite.
fn compare_strided(
    checks: &mut Checks,
    logits: Tensor<3>,
    expected: &Array,
    stride: usize,
    lengths: &[usize],
    left_padded: bool,
) {
    let [batch, seq, vocab] = logits.dims();
    let kept = seq.div_ceil(stride);
    if expected.shape != [batch, kept, vocab] {
        let shape = &expected.shape;
        checks.require(false, || format!("logits_strided: [{batch}, {kept}, {vocab}], expected {shape:?}"));
        return;
    }
    for (sample, length) in lengths.iter().enumerate() {
        let real = if left_padded { seq - length..seq } else { 0..*length };
        for row in (0..kept).filter(|row| real.contains(&(row * stride))) {
            let position = row * stride;
            let found = logits.clone().slice(s![sample..sample + 1, position..position + 1, ..]);
            let first = (sample * kept + row) * vocab;
            let expected =
                Array { shape: vec![vocab], values: expected.values[first..first + vocab].to_vec() };
            let name = format!("logits[{sample}, {position}]");
            checks.tensor(Quantity::Logits, &name, found, &expected);
        }
    }
}

/// Embeddings of one prompt with its pictures, as the reference prepares them for generation.
pub(super) fn prepare_prompt(
    fixture: &Fixture,
    loaded: &Loaded,
    input_ids: &[i64],
    names: &[String],
) -> Result<Prepared> {
    let images = match names {
        [] => None,
        names => Some(loaded.model.encode_images(fixture.pixel_values(loaded, names)?)),
    };
    let samples = reference_samples([(input_ids.to_vec(), None)], names.len())?;
    let options = match images {
        Some(_) => loaded.prepare_options(),
        // Without pictures the reference touches nothing, so it does not truncate either.
        None => PrepareOptions { max_length: None, ..loaded.prepare_options() },
    };
    reference_batch::assemble(&loaded.model, &samples, images.as_ref(), options)
}

/// Compares `inputs_embeds` (its first rows, as many as are stored) and `inputs_embeds_tail` (its last).
pub(super) fn compare_embeddings(
    fixture: &Fixture,
    case: &Case,
    checks: &mut Checks,
    found: &Tensor<3>,
) -> Result<()> {
    let seq = found.dims()[1];
    for prefix in ["", "out_"] {
        let name = format!("{prefix}inputs_embeds");
        if let Some(expected) = fixture.directory.tensor(case, &name)? {
            let rows = expected.shape.iter().rev().nth(1).copied().unwrap_or(1).min(seq);
            checks.tensor(Quantity::Embeddings, &name, found.clone().slice(s![.., ..rows, ..]), &expected);
        }
        let name = format!("{prefix}inputs_embeds_tail");
        if let Some(expected) = fixture.directory.tensor(case, &name)? {
            let rows = expected.shape.iter().rev().nth(1).copied().unwrap_or(1).min(seq);
            checks.tensor(
                Quantity::Embeddings,
                &name,
                found.clone().slice(s![.., seq - rows.., ..]),
                &expected,
            );
        }
    }
    Ok(())
}

/// `all`, `last 8` or `every 3rd, from row 0` → row numbers.
fn selected_rows(description: &str, rows: usize) -> Option<Vec<i64>> {
    let mut numbers = description
        .split(|c: char| !c.is_ascii_digit())
        .filter(|digits| !digits.is_empty())
        .map(|digits| digits.parse::<usize>().ok());
    let selected: Vec<usize> = match description.split_whitespace().next()? {
        "all" => (0..rows).collect(),
        "last" => (rows.saturating_sub(numbers.next()??)..rows).collect(),
        "first" => (0..rows.min(numbers.next()??)).collect(),
        "every" => {
            let step = numbers.next()??.max(1);
            (numbers.next().flatten().unwrap_or(0)..rows).step_by(step).collect()
        }
        _ => return None,
    };
    Some(selected.into_iter().map(|row| row as i64).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_descriptions_of_the_format() {
        assert_eq!(selected_rows("all", 3), Some(vec![0, 1, 2]));
        assert_eq!(selected_rows("last 2", 5), Some(vec![3, 4]));
        assert_eq!(selected_rows("last 8", 2), Some(vec![0, 1]));
        assert_eq!(selected_rows("every 3rd, from row 1", 8), Some(vec![1, 4, 7]));
        assert_eq!(selected_rows("some", 8), None);
    }
}
