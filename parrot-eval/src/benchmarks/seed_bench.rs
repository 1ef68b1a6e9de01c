//! SEED-Bench, the questions about pictures, without those about films.
//!
//! Each row counts. Prompt, verdict and scores are those that [`Benchmark`] provides for questions with options.

use crate::benchmarks::benchmark::Benchmark;

/// The benchmark, for `SEEDBench_IMG.tsv`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeedBench;

impl Benchmark for SeedBench {
    fn name(&self) -> &'static str {
        "SEEDBench"
    }
}
