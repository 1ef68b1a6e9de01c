//! The losses of a run as one SVG: a panel per stage, every step and their running mean.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use plotters::prelude::*;
use serde::Deserialize;

/// Stages in the order in which they run, with the panels' titles.
const STAGES: [(&str, &str); 10] = [
    ("tower", "tower: what each patch is part of"),
    ("language", "language: questions about pictures told in words"),
    ("alignment", "alignment: words for what each patch shows"),
    ("stage1", "stage 1: projector; captions"),
    ("stage2-lists", "stage 2: projector, experts, decoder; lists of colours"),
    ("stage2-colours", "stage 2: the same; single questions about colours"),
    ("stage2-choices", "stage 2: the same; names to choose from"),
    ("stage2", "stage 2: the same; everything"),
    ("stage2-words", "stage 2: the same; people's own words"),
    ("stage2-replay", "stage 2: the same, from a mean of the last two; everything"),
];

/// A line of a stage's curve.
#[derive(Deserialize)]
struct Point {
    step: usize,
    loss: f64,
}

/// Draws the `metrics.jsonl` of the stages' folders under `run`. A stage without one has no panel.
///
/// # Errors
///
/// When no stage has a log, a log cannot be read, or the picture cannot be written.
pub fn draw(run: &Path, out: &Path) -> Result<()> {
    let logs = STAGES.map(|(stage, title)| (run.join(stage).join("metrics.jsonl"), title));
    let logs: Vec<_> = logs.into_iter().filter(|(log, _)| log.exists()).collect();
    ensure!(!logs.is_empty(), "no stage has a log in {}", run.display());
    let rows = logs.len().div_ceil(2);
    let root = SVGBackend::new(out, (1000, 300 * rows as u32)).into_drawing_area();
    root.fill(&WHITE).with_context(|| format!("cannot write {}", out.display()))?;
    for (panel, (log, title)) in root.split_evenly((rows, 2)).iter().zip(logs) {
        let points = read(&log)?;
        let lowest = points.iter().map(|(_, loss)| *loss).fold(f64::INFINITY, f64::min);
        let highest = points.iter().map(|(_, loss)| *loss).fold(0.0, f64::max);
        let last = points.last().map_or(1.0, |(step, _)| *step);
        let mut chart = ChartBuilder::on(panel)
            .caption(title, ("sans-serif", 16))
            .margin(12)
            .x_label_area_size(28)
            .y_label_area_size(44)
            .build_cartesian_2d(0.0..last, (lowest * 0.9..highest * 1.1).log_scale())?;
        chart.configure_mesh().x_desc("step").y_desc("loss").light_line_style(TRANSPARENT).draw()?;
        let every = (points.len() / 800).max(1);
        chart.draw_series(LineSeries::new(points.iter().step_by(every).copied(), RGBColor(190, 205, 230)))?;
        chart.draw_series(LineSeries::new(running_mean(&points).into_iter().step_by(every), &BLUE))?;
    }
    root.present().with_context(|| format!("cannot write {}", out.display()))
}

/// Steps and losses; where a run was resumed, the later line of a step counts.
fn read(path: &Path) -> Result<Vec<(f64, f64)>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut losses = BTreeMap::new();
    for (line, text) in text.lines().enumerate() {
        let point: Point = serde_json::from_str(text)
            .with_context(|| format!("{} line {} is no step", path.display(), line + 1))?;
        losses.insert(point.step, point.loss);
    }
    ensure!(!losses.is_empty(), "{} is empty", path.display());
    Ok(losses.into_iter().map(|(step, loss)| (step as f64, loss)).collect())
}

/// Exponential, over about fifty steps.
fn running_mean(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut mean = points[0].1;
    points
        .iter()
        .map(|(step, loss)| {
            mean += (loss - mean) / 50.0;
            (*step, mean)
        })
        .collect()
}
