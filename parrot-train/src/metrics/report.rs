//! A run as one HTML file that needs nothing else: curves, rates, expert use, what was skipped.

use std::collections::BTreeMap;
use std::path::Path;

use minijinja::Environment;
use parrot_model::untrusted;
use serde::Serialize;

use super::{METRICS_FILE, Rates, StepRecord, called, expert_use, read, short};
use crate::{Error, Result};

const TEMPLATE: &str = include_str!("report.html");

/// A chart's drawing area, in SVG units.
const WIDTH: f64 = 620.0;
const HEIGHT: f64 = 200.0;

/// Points that a curve is drawn with: more than a screen can tell apart only make the file large.
const POINTS: usize = 600;

/// Steps with a value each.
type Points = Vec<(f64, f64)>;

/// Skipped samples that are listed.
const LISTED: usize = 50;

#[derive(Serialize)]
struct Page {
    title: String,
    facts: Vec<(&'static str, String)>,
    charts: Vec<Chart>,
    /// By language: the mean of the last weights.
    experts: Vec<Experts>,
    skipped: Vec<String>,
    more_skipped: usize,
}

#[derive(Serialize)]
struct Chart {
    title: String,
    curves: Vec<Curve>,
    /// Labels of the vertical axis with their heights.
    ticks: Vec<(f64, String)>,
    last_step: usize,
}

#[derive(Serialize)]
struct Curve {
    name: String,
    class: String,
    points: String,
}

#[derive(Serialize)]
struct Experts {
    language: String,
    weights: Vec<f32>,
}

/// Writes the report of the run in `folder` to `out`.
///
/// # Errors
///
/// [`Error::Io`]; [`Error::Data`] when the run has no metrics.
pub fn write(folder: &Path, stage: &str, out: &Path) -> Result<()> {
    let path = folder.join(METRICS_FILE);
    let records = read(&path)?;
    if records.is_empty() {
        return Err(Error::Data { path, reason: "has no step to report".into() });
    }
    let broken = |error: minijinja::Error| Error::Data { path: out.into(), reason: error.to_string() };
    let page = minijinja::Value::from(minijinja::value::Serde(page(stage, &records)));
    let html = Environment::new().render_named_str("report.html", TEMPLATE, page).map_err(broken)?;
    // Names of samples and languages may hold what no page may, a zero byte for one.
    Ok(untrusted::replace_file(out, untrusted::printable(&html).as_bytes())?)
}

fn page(stage: &str, records: &[StepRecord]) -> Page {
    let seconds: f64 = records.iter().map(|record| record.seconds).sum();
    let rates = Rates::over(records.iter());
    let last = &records[records.len() - 1];
    let total = |count: &dyn Fn(&StepRecord) -> usize| records.iter().map(count).sum::<usize>();
    let facts = vec![
        ("steps", last.step.to_string()),
        ("samples", total(&|record| record.report.samples).to_string()),
        ("tokens", total(&|record| record.report.tokens).to_string()),
        ("time", duration(seconds)),
        ("mean rates", rates.text(None)),
        ("operations", short(records.iter().map(|record| record.flops).sum())),
        (
            "last loss",
            format!(
                "{:.4}",
                smooth(&curve(records, |record| record.report.loss)).last().unwrap_or(&(0.0, 0.0)).1
            ),
        ),
    ];
    let loss = curve(records, |record| record.report.loss);
    let single = |title: &str, points: Points| Chart::new(title, vec![("", "line", points)]);
    let mut charts = vec![
        Chart::new(
            "Loss",
            vec![("each step", "faint", loss.clone()), ("running mean", "line", smooth(&loss))],
        ),
        single("Learning rate", curve(records, |record| record.report.learning_rate)),
        single("Gradient norm before clipping", curve(records, |record| record.report.grad_norm)),
    ];
    if records.iter().any(|record| record.memory.is_some()) {
        let gigabytes = |record: &StepRecord| record.memory.map_or(f64::NAN, |bytes| bytes as f64 / 1e9);
        charts.push(single("Memory of the process, GB", curve(records, gigabytes)));
    }
    let mut languages: BTreeMap<&str, Vec<(usize, &[f32])>> = BTreeMap::new();
    for record in records {
        for used in &record.report.routing {
            languages.entry(&used.language).or_default().push((record.step, &used.weights));
        }
    }
    for (language, uses) in &languages {
        let experts = uses[0].1.len();
        let curves = (0..experts).map(|expert| {
            let points = uses
                .iter()
                .filter_map(|(step, weights)| Some((*step as f64, f64::from(*weights.get(expert)?))));
            (format!("expert {}", expert + 1), format!("expert e{}", expert % 6), points.collect::<Points>())
        });
        let curves: Vec<_> = curves.collect();
        let curves =
            curves.iter().map(|(name, class, points)| (name.as_str(), class.as_str(), points.clone()));
        charts.push(Chart::new(&format!("Experts for {}", called(language)), curves.collect()));
    }
    let experts = expert_use(records.iter())
        .into_iter()
        .map(|used| Experts { language: called(&used.language).into(), weights: used.weights });
    let skipped: Vec<String> = records
        .iter()
        .flat_map(|record| record.report.skipped.iter().map(move |skipped| (record.step, skipped)))
        .map(|(step, skipped)| format!("step {step}: {}: {}", skipped.id, skipped.reason))
        .collect();
    Page {
        title: stage.into(),
        facts,
        charts,
        experts: experts.collect(),
        more_skipped: skipped.len().saturating_sub(LISTED),
        skipped: skipped.into_iter().take(LISTED).collect(),
    }
}

impl Chart {
    fn new(title: &str, curves: Vec<(&str, &str, Points)>) -> Self {
        let values = || curves.iter().flat_map(|(.., points)| points.iter().map(|(_, value)| *value));
        let highest = values().fold(f64::MIN_POSITIVE, f64::max);
        let lowest = values().fold(highest, f64::min);
        // From zero, unless that would flatten the curve.
        let base = if lowest < highest * 0.5 { 0.0 } else { lowest };
        let span = (highest - base).max(f64::MIN_POSITIVE);
        let steps = || curves.iter().flat_map(|(.., points)| points.iter().map(|(step, _)| *step));
        let (first, last) = (steps().fold(f64::INFINITY, f64::min), steps().fold(1.0, f64::max));
        let x = |step: f64| WIDTH * (step - first) / (last - first).max(1.0);
        let y = |value: f64| HEIGHT * (1.0 - (value - base) / span);
        let draw = |(name, class, points): (&str, &str, Points)| {
            let every = points.len().div_ceil(POINTS).max(1);
            let point = |(step, value): &(f64, f64)| format!("{:.1},{:.1}", x(*step), y(*value));
            let points: Vec<String> = points.iter().step_by(every).map(point).collect();
            Curve { name: name.into(), class: class.into(), points: points.join(" ") }
        };
        let tick = |part: f64| (HEIGHT * (1.0 - part), number(base + part * span));
        Self {
            title: title.into(),
            ticks: [0.0, 0.5, 1.0].map(tick).into(),
            last_step: last as usize,
            curves: curves.into_iter().map(draw).collect(),
        }
    }
}

fn curve(records: &[StepRecord], value: impl Fn(&StepRecord) -> f64) -> Points {
    let points = records.iter().map(|record| (record.step as f64, value(record)));
    points.filter(|(_, value)| value.is_finite()).collect()
}

/// An exponential mean over about a thirtieth of the run, of points `(step, value)`.
#[must_use]
pub fn smooth(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let over = (points.len() as f64 / 30.0).clamp(1.0, 100.0);
    let mut mean = points.first().map_or(0.0, |(_, value)| *value);
    let mut next = |value: f64| {
        mean += (value - mean) / over;
        mean
    };
    points.iter().map(|(step, value)| (*step, next(*value))).collect()
}

fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        0.01..1e4 => format!("{value:.3}"),
        _ => format!("{value:.1e}"),
    }
}

fn duration(seconds: f64) -> String {
    let seconds = seconds as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::record;
    use super::*;
    use crate::data::loader::Skipped;

    #[test]
    fn a_run_becomes_a_page() {
        let folder = tempfile::tempdir().unwrap();
        let mut records: Vec<StepRecord> = (1..=2000).map(record).collect();
        records[6].report.skipped =
            vec![Skipped { id: "mix/<b>cat</b>".into(), reason: "no picture".into() }];
        let lines: Vec<String> =
            records.iter().map(|record| serde_json::to_string(record).unwrap() + "\n").collect();
        std::fs::write(folder.path().join(METRICS_FILE), lines.concat()).unwrap();
        let out = folder.path().join("report.html");
        write(folder.path(), "stage2", &out).unwrap();
        let html = std::fs::read_to_string(out).unwrap();
        for part in [
            "<title>stage2",
            "16 min 40 s",
            "Gradient norm",
            "Experts for ar",
            "<th scope=\"row\">en</th>",
            "&lt;b&gt;cat",
            "64.0 samples&#x2f;s",
        ] {
            assert!(html.contains(part), "{part} is missing");
        }
        assert!(html.len() < 300_000, "{} bytes", html.len());
        assert!(!html.contains("http://") && !html.contains("https://"), "the page fetches something");
    }

    #[test]
    fn a_run_without_steps_has_no_report() {
        let folder = tempfile::tempdir().unwrap();
        let error =
            write(folder.path(), "stage1", &folder.path().join("report.html")).unwrap_err().to_string();
        assert!(error.ends_with("metrics.jsonl: has no step to report"), "{error}");
    }

    #[test]
    fn one_step_and_numbers_that_are_none_draw_no_nonsense() {
        let mut only = record(1);
        only.report.grad_norm = f64::NAN;
        let page = page("stage1", &[only]);
        let points: Vec<&str> =
            page.charts.iter().flat_map(|chart| &chart.curves).map(|curve| curve.points.as_str()).collect();
        assert!(points.iter().all(|points| !points.contains("NaN") && !points.contains("inf")), "{points:?}");
    }
}
