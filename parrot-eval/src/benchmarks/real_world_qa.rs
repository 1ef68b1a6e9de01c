//! RealWorldQA: 765 questions about photographs, many of them taken from cars.
//!
//! Each row counts. Prompt, verdict and scores are those that [`Benchmark`] provides for questions with options.

use crate::benchmarks::benchmark::Benchmark;

/// The benchmark, for `RealWorldQA.tsv`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RealWorldQa;

impl Benchmark for RealWorldQa {
    fn name(&self) -> &'static str {
        "RealWorldQA"
    }
}
