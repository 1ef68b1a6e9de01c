//! Benchmarks of questions with options that have nothing of their own: each row counts, in every protocol.

use crate::benchmarks::benchmark::Benchmark;

/// One of them. Prompts, reading and counting are those of every file of questions with options; only `category`, `l2-category` and `split` differ, which are columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChoiceSet {
    /// `MMStar.tsv`: 1,500 questions that cannot be answered without their picture.
    MmStar,
    /// `ScienceQA_VAL.tsv`, `ScienceQA_TEST.tsv`: those of its questions that have a picture.
    ScienceQa,
    /// `SEEDBench_IMG.tsv`: the questions about pictures, without those about films.
    SeedBench,
    /// `RealWorldQA.tsv`.
    RealWorldQa,
    /// `AI2D_TEST.tsv`: diagrams of school books, and `AI2D_TEST_NO_MASK.tsv`.
    Ai2d,
}

impl ChoiceSet {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::MmStar, Self::ScienceQa, Self::SeedBench, Self::RealWorldQa, Self::Ai2d];
}

impl Benchmark for ChoiceSet {
    fn name(&self) -> &'static str {
        match self {
            Self::MmStar => "MMStar",
            Self::ScienceQa => "ScienceQA",
            Self::SeedBench => "SEEDBench",
            Self::RealWorldQa => "RealWorldQA",
            Self::Ai2d => "AI2D",
        }
    }
}
