//! AI2D: questions about the diagrams of school books.
//!
//! Each row counts. Prompt, verdict and scores are those that [`Benchmark`] provides for questions with options.

use crate::benchmarks::benchmark::Benchmark;

/// The benchmark, for `AI2D_TEST.tsv` and, with the labels left in sight, `AI2D_TEST_NO_MASK.tsv`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ai2d;

impl Benchmark for Ai2d {
    fn name(&self) -> &'static str {
        "AI2D"
    }
}
