//! MMStar: 1,500 questions that cannot be answered without their picture, in six abilities.
//!
//! Each row counts. Prompt, verdict and scores are those that [`Benchmark`] provides for questions with options.

use crate::benchmarks::benchmark::Benchmark;

/// The benchmark, for `MMStar.tsv`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MmStar;

impl Benchmark for MmStar {
    fn name(&self) -> &'static str {
        "MMStar"
    }
}
