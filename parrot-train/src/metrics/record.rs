//! The record of a step, and what charts and progress bars show of several.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::step::{ExpertUse, StepReport, mean_weights};

/// A step as `metrics.jsonl` has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StepRecord {
    /// Counted from 1.
    pub step: usize,
    /// What the step reported.
    #[serde(flatten)]
    pub report: StepReport,
    /// Seconds that the step took, data and checkpoints included.
    pub seconds: f64,
    /// Floating-point operations of the step.
    pub flops: f64,
    /// Memory that the process holds after it, in bytes: of the host, not of a GPU; where the system tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
}

/// How many looks at the router are averaged for a language: each is of a single micro-batch.
const LOOKS: usize = 10;

/// The experts' weights by language, each the mean over the last looks that had the language.
#[must_use]
pub fn expert_use<'a>(records: impl DoubleEndedIterator<Item = &'a StepRecord>) -> Vec<ExpertUse> {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let looks = records.rev().flat_map(|record| &record.report.routing);
    let last = looks.filter(|used| {
        let count = seen.entry(&used.language).or_default();
        *count += 1;
        *count <= LOOKS
    });
    mean_weights(last.map(|used| (used.language.as_str(), used.weights.as_slice())))
}

/// A language in charts and tags; a data set that does not tell has no others.
#[must_use]
pub fn called(language: &str) -> &str {
    if language.is_empty() { "all" } else { language }
}

/// Rates over some last steps: samples, tokens and operations per second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct Rates {
    /// Samples per second.
    pub samples: f64,
    /// Tokens per second, images counted.
    pub tokens: f64,
    /// Floating-point operations per second.
    pub flops: f64,
}

impl Rates {
    /// The mean over these steps, whose first one is left out: it waited for compilation and data.
    #[must_use]
    pub fn over<'a>(records: impl DoubleEndedIterator<Item = &'a StepRecord> + Clone) -> Self {
        let seconds: f64 = records.clone().map(|record| record.seconds).sum();
        let per_second = |count: &dyn Fn(&StepRecord) -> f64| {
            if seconds > 0.0 { records.clone().map(count).sum::<f64>() / seconds } else { 0.0 }
        };
        Self {
            samples: per_second(&|record| record.report.samples as f64),
            tokens: per_second(&|record| record.report.tokens as f64),
            flops: per_second(&|record| record.flops),
        }
    }

    /// As people read it: `12.3 samples/s  3.4k tokens/s  210 GFLOP/s (41 %)`.
    ///
    /// - peak: the device's own rate of matrix products, in operations per second; `None` where it was not measured
    #[must_use]
    pub fn text(&self, peak: Option<f64>) -> String {
        let share = peak.map_or_else(String::new, |peak| format!(" ({:.0} %)", 100.0 * self.flops / peak));
        format!(
            "{} samples/s  {} tokens/s  {}FLOP/s{share}",
            short(self.samples),
            short(self.tokens),
            short(self.flops)
        )
    }
}

/// Three digits and a letter for the thousands.
#[must_use]
pub fn short(value: f64) -> String {
    let (scaled, unit) = match value.abs() {
        1e15.. => (value / 1e15, " P"),
        1e12.. => (value / 1e12, " T"),
        1e9.. => (value / 1e9, " G"),
        1e6.. => (value / 1e6, " M"),
        1e3.. => (value / 1e3, " k"),
        _ => (value, " "),
    };
    let digits = match scaled.abs() {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    format!("{scaled:.digits$}{unit}").trim_end().into()
}
