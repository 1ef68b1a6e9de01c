//! A few optimizer steps, as the reference's training loop and its trainer take them.

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::{FloatDType, Tensor};
use parrot_model::image::Pixels;
use parrot_train::Part;
use parrot_train::data::TrainingSample;
use parrot_train::optim::{AdamWConfig, CosineSchedule, Optimizer};
use parrot_train::step::{Learner, MicroBatch, StepReport};
use serde::Deserialize;
use serde_json::Value;

use super::dataset::{parse, reference_sample};
use super::gradients::compare_rows;
use super::parameters;
use crate::Result;
use crate::golden::{
    Batch, Case, CaseVerdict, Checks, ConfigEdits, Fixture, Loaded, Number, Quantity, reference_samples,
};

#[derive(Deserialize)]
struct TrainCase {
    checkpoint: String,
    #[serde(flatten)]
    edits: ConfigEdits,
    stage: usize,
    trainable: Value,
    #[serde(default = "one")]
    grad_accum: usize,
    lr: f64,
    betas: [f64; 2],
    eps: f64,
    weight_decay: f64,
    max_grad_norm: Option<f64>,
    num_training_steps: usize,
    num_warmup_steps: usize,
    records: Vec<Value>,
    loss: Vec<Number>,
    lr_used: Vec<f64>,
    grad_norm_before_clip: Vec<Number>,
    #[serde(default)]
    final_loss_on_first_batches: Vec<f64>,
    #[serde(default)]
    param_norms_after: BTreeMap<String, f64>,
}

fn one() -> usize {
    1
}

/// A run of the loop that a case describes.
struct Run {
    learner: Learner,
    reports: Vec<StepReport>,
    micro_batches: Vec<MicroBatch>,
    loaded: std::rc::Rc<Loaded>,
}

/// `train`: losses, norms, learning rates and weights of every step.
pub(super) fn train(fixture: &Fixture, case: &Case) -> Result<CaseVerdict> {
    let fields: TrainCase = fixture.directory.fields(case)?;
    let run = repeat(fixture, case, &fields)?;
    let mut checks = fixture.checks();
    compare_inputs(fixture, case, &mut checks, &run)?;
    let series = |value: fn(&StepReport) -> f64| -> Vec<f32> {
        run.reports.iter().map(|report| value(report) as f32).collect()
    };
    let numbers = |numbers: &[Number]| -> Vec<f64> { numbers.iter().map(|number| number.0).collect() };
    checks.values(Quantity::Loss, "loss", &series(|report| report.loss), &numbers(&fields.loss));
    checks.values(Quantity::LearningRate, "lr_used", &series(|report| report.learning_rate), &fields.lr_used);
    let norms = numbers(&fields.grad_norm_before_clip);
    checks.values(Quantity::Gradients, "grad_norm_before_clip", &series(|report| report.grad_norm), &norms);
    for (i, expected) in fields.final_loss_on_first_batches.iter().enumerate() {
        let Some(batch) = run.micro_batches.get(i) else { break };
        let loss = run.learner.loss(batch)?.into_scalar::<f32>();
        checks.value(Quantity::Loss, &format!("final_loss_on_first_batches[{i}]"), loss, *expected);
    }
    let weights = parameters::values(run.learner.model(), &run.loaded.config)?;
    compare_norms(&mut checks, &weights, &fields.param_norms_after);
    compare_rows(fixture, case, &mut checks, Quantity::TrainedWeights, &weights, None)?;
    Ok(checks.into())
}

#[derive(Deserialize)]
struct LogCase {
    checkpoint: String,
    logs: Vec<LogLine>,
    #[serde(default)]
    projector_norm_after: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
struct LogLine {
    loss: f64,
    grad_norm: Option<f64>,
    learning_rate: f64,
}

/// `train_trainer_log`: the log of the reference's own trainer for a run that a `train` case describes.
/// Losses there are rounded to four digits, within the tolerance, and the learning rate is that of the step after.
pub(super) fn trainer_log(fixture: &Fixture, case: &Case) -> Result<CaseVerdict> {
    let LogCase { checkpoint, logs, projector_norm_after } = fixture.directory.fields(case)?;
    let same_run = |other: &&Case| {
        // …train_stage1_hf_trainer logs the run of …train_stage1_….
        let stage = |id: &str| id.split('_').find(|part| part.starts_with("stage")).map(str::to_string);
        other.kind == "train" && stage(&other.id) == stage(&case.id)
    };
    let mut described = None;
    for other in fixture.directory.cases().iter().filter(same_run) {
        let fields: TrainCase = fixture.directory.fields(other)?;
        if fields.checkpoint == checkpoint && fields.grad_accum == 1 {
            described.get_or_insert((other, fields));
        }
    }
    let Some((other, fields)) = described else {
        return Err(fixture.directory.error("no `train` case describes the same run"));
    };
    let run = repeat(fixture, other, &fields)?;
    let mut checks = fixture.checks();
    checks.equal("steps", &[run.reports.len()], &[logs.len()]);
    let schedule = fields.schedule();
    for (i, (report, line)) in run.reports.iter().zip(&logs).enumerate() {
        checks.value(Quantity::Loss, &format!("loss of step {i}"), report.loss as f32, line.loss);
        if let Some(expected) = line.grad_norm {
            let name = format!("grad_norm of step {i}");
            checks.value(Quantity::Gradients, &name, report.grad_norm as f32, expected);
        }
        let next = schedule.learning_rate(i + 1) as f32;
        checks.value(Quantity::LearningRate, &format!("learning_rate of step {i}"), next, line.learning_rate);
    }
    let weights = parameters::values(run.learner.model(), &run.loaded.config)?;
    compare_norms(&mut checks, &weights, &projector_norm_after);
    Ok(checks.into())
}

impl TrainCase {
    fn schedule(&self) -> CosineSchedule {
        CosineSchedule {
            peak: self.lr,
            warmup_steps: self.num_warmup_steps,
            total_steps: self.num_training_steps,
        }
    }

    /// The configuration that the run was started with: the reference's first stage has no mixture of
    /// experts yet, whatever the checkpoint's says, unless it trains one.
    fn edits(&self) -> ConfigEdits {
        let mut edits = self.edits.clone();
        if self.stage == 1 && !self.trainable().contains(&Part::Moe) {
            edits.config_overrides.entry("use_moe").or_insert(false.into());
        }
        edits
    }

    /// The parts that the listed parameters belong to. Where none are listed: stage 1 trains the projector,
    /// stage 2 everything but the tower.
    fn trainable(&self) -> BTreeSet<Part> {
        let part = |name: &str| match name {
            name if name.starts_with("model.mm_projector.") => Part::Projector,
            name if name.starts_with("model.moe_model.") => Part::Moe,
            name if name.starts_with("model.vision_tower.") => Part::VisionTower,
            _ => Part::LanguageModel,
        };
        match (self.trainable.as_array(), self.stage) {
            (Some(names), _) => names.iter().filter_map(Value::as_str).map(part).collect(),
            (None, 1) => [Part::Projector].into(),
            (None, _) => [Part::Projector, Part::Moe, Part::LanguageModel].into(),
        }
    }
}

/// Trains as the case says, on its records in their order.
fn repeat(fixture: &Fixture, case: &Case, fields: &TrainCase) -> Result<Run> {
    let directory = &fixture.directory;
    let loaded = fixture.load(&fields.checkpoint, &fields.edits(), FloatDType::F32)?;
    let samples = fields
        .records
        .iter()
        .map(|record| reference_sample(fixture, &loaded, &parse(fixture, case, record)?));
    let samples: Vec<TrainingSample> = samples.collect::<Result<_>>()?;
    let (steps, accumulation) = (fields.num_training_steps, fields.grad_accum);
    let micro_batch_size = samples.len() / (steps * accumulation).max(1);
    if micro_batch_size == 0 {
        let reason = format!("case {}: {} records for {steps} steps", case.id, samples.len());
        return Err(directory.error(reason));
    }
    let micro_batches: Vec<MicroBatch> = samples
        .chunks(micro_batch_size)
        .take(steps * accumulation)
        .map(|samples| collate(fixture, samples))
        .collect::<Result<_>>()?;
    let optimizer = Optimizer::new(AdamWConfig {
        beta1: fields.betas[0],
        beta2: fields.betas[1],
        epsilon: fields.eps,
        weight_decay: fields.weight_decay,
    });
    let mut learner = Learner::new(loaded.model.clone(), &fields.trainable(), optimizer);
    learner.max_grad_norm = fields.max_grad_norm;
    learner.prepare_options = loaded.prepare_options();
    let schedule = fields.schedule();
    let reports = micro_batches
        .chunks(accumulation)
        .enumerate()
        .map(|(step, batches)| learner.step(batches, schedule.learning_rate(step), step + 1));
    let reports = reports.collect::<parrot_train::Result<_>>()?;
    Ok(Run { learner, reports, micro_batches, loaded })
}

/// One slot of pictures for every sample, used or not, as the reference collates.
fn collate(fixture: &Fixture, samples: &[TrainingSample]) -> Result<MicroBatch> {
    let pixels: Vec<Pixels> = samples.iter().flat_map(|sample| sample.pixels.iter().cloned()).collect();
    let rows = samples.iter().map(|sample| (sample.input_ids.clone(), Some(sample.labels.clone())));
    let pixel_values: Tensor<4> = Pixels::to_tensor(&pixels, &fixture.device.clone().inner());
    Ok(MicroBatch {
        samples: reference_samples(rows, pixels.len())?,
        pixel_values: Some(pixel_values),
        ids: samples.iter().map(|sample| sample.id.clone()).collect(),
    })
}

/// Where the case stores its batches, they must be those that the records gave.
fn compare_inputs(fixture: &Fixture, case: &Case, checks: &mut Checks, run: &Run) -> Result<()> {
    for (i, micro_batch) in run.micro_batches.iter().enumerate() {
        let Some(batch) = Batch::read(&fixture.directory, case, &format!("in{i}_"))? else { continue };
        let images = micro_batch.pixel_values.as_ref().map_or(0, |pixels| pixels.dims()[0]);
        checks.equal(&format!("in{i}"), &micro_batch.samples, &batch.samples(images)?);
        if let (Some(expected), Some(found)) = (&batch.images, &micro_batch.pixel_values) {
            checks.tensor(Quantity::PixelValues, &format!("in{i}_images"), found.clone(), expected);
        }
    }
    Ok(())
}

fn compare_norms(
    checks: &mut Checks,
    weights: &BTreeMap<String, crate::golden::Array>,
    expected: &BTreeMap<String, f64>,
) {
    for (name, expected) in expected {
        let norm = weights.get(name).map_or(f64::NAN, parameters::norm);
        checks.value(Quantity::TrainedWeights, &format!("norm of {name}"), norm as f32, *expected);
    }
}
