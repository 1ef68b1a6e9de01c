//! Gradients of everything that stage 2 trains.

use std::collections::BTreeMap;

use burn::optim::GradientsParams;
use burn::tensor::FloatDType;
use serde::Deserialize;

use super::parameters;
use crate::Result;
use crate::golden::{Batch, Case, CaseVerdict, Checks, ConfigEdits, Fixture, Quantity};

#[derive(Deserialize)]
struct GradientsCase {
    checkpoint: String,
    #[serde(flatten)]
    edits: ConfigEdits,
    /// The case whose batch it is.
    inputs: Option<String>,
    #[serde(default)]
    samples: Vec<String>,
    loss: f64,
    grad_norm_total: Option<f64>,
    grad_norms: BTreeMap<String, f64>,
    #[serde(default)]
    trainable_without_grad: Vec<String>,
}

/// `gradients`: the loss of one batch, differentiated.
pub(super) fn gradients(fixture: &Fixture, case: &Case) -> Result<CaseVerdict> {
    let directory = &fixture.directory;
    let fields: GradientsCase = directory.fields(case)?;
    let loaded = fixture.load(&fields.checkpoint, &fields.edits, FloatDType::F32)?;
    let inputs = fields.inputs.as_deref().map_or(Ok(case), |inputs| directory.case(inputs))?;
    let batch = Batch::read(directory, inputs, "in_")?
        .ok_or_else(|| directory.error(format!("case {} has no in_input_ids", inputs.id)))?;
    let model = &loaded.model;
    let prepared = batch.prepare(fixture, inputs, &loaded, &fields.samples)?;
    let loss = model.loss(prepared)?;
    let gradients = GradientsParams::from_grads(loss.backward(), model);
    let mut checks = fixture.checks();
    checks.value(Quantity::Loss, "loss", loss.into_scalar::<f32>(), fields.loss);

    let found = parameters::gradients(model, &loaded.config, &gradients)?;
    let mut sum = 0.0;
    for (name, expected) in &fields.grad_norms {
        let norm = found.get(name).map_or(0.0, parameters::norm);
        sum += norm * norm;
        checks.value(Quantity::Gradients, &format!("norm of {name}"), norm as f32, *expected);
    }
    if let Some(expected) = fields.grad_norm_total {
        checks.value(Quantity::Gradients, "grad_norm_total", sum.sqrt() as f32, expected);
    }
    for name in &fields.trainable_without_grad {
        let zero = found.get(name).is_none_or(|gradient| parameters::norm(gradient) == 0.0);
        checks.require(zero, || format!("{name} has a gradient, in the reference it has none"));
    }
    let listed = directory.tensor(case, "rows")?.map(|rows| rows.to_i64());
    compare_rows(fixture, case, &mut checks, Quantity::Gradients, &found, listed.as_deref())?;
    Ok(checks.into())
}

/// Compares the golden tensors that are named like parameters, whole or in part.
pub(super) fn compare_rows(
    fixture: &Fixture,
    case: &Case,
    checks: &mut Checks,
    quantity: Quantity,
    found: &BTreeMap<String, crate::golden::Array>,
    listed: Option<&[i64]>,
) -> Result<()> {
    for name in case.tensor_names().filter(|name| name.contains('.')) {
        let expected = fixture.directory.require(case, name)?;
        match parameters::rows(name, found, listed) {
            Some((_, found)) if found.shape == expected.shape => {
                checks.values(quantity, name, &found.to_f32(), &expected.values);
            }
            Some((_, found)) => {
                let shapes = format!("{name}: shape {:?}, expected {:?}", found.shape, expected.shape);
                checks.require(false, || shapes);
            }
            None => checks.require(false, || format!("{name}: the model has no such parameter or gradient")),
        }
    }
    Ok(())
}
