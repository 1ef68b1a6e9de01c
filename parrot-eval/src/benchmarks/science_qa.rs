//! ScienceQA: questions of school lessons; of them those that have a picture.
//!
//! Each row counts. Prompt, verdict and scores are those that [`Benchmark`] provides for questions with options.

use crate::benchmarks::benchmark::Benchmark;

/// The benchmark, for `ScienceQA_VAL.tsv` and `ScienceQA_TEST.tsv`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScienceQa;

impl Benchmark for ScienceQa {
    fn name(&self) -> &'static str {
        "ScienceQA"
    }
}
