//! MMBench: each question is asked once per option, the options moved on by one each time, and counts as right
//! if every copy is.

use crate::benchmarks::benchmark::Benchmark;
use crate::benchmarks::choice;
use crate::data::row::Row;
use crate::protocol::{Grouping, Protocol};

/// The benchmark, for `mmbench_dev_ar.tsv` and its like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MmBench;

/// Other sets of that kind, those with `circular` or `mmcr` in their names. Upstream counts them as MMBench; the
/// kit of 2024 does not know them and counts rows; its first version counted everything so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Circular;

impl Benchmark for MmBench {
    fn name(&self) -> &'static str {
        "MMBench"
    }

    fn grouping(&self, _protocol: Protocol) -> Grouping {
        Grouping::Circular
    }

    fn check_groups(&self, rows: &[Row]) -> Vec<(usize, String)> {
        lonely_copies(rows)
    }
}

impl Benchmark for Circular {
    fn name(&self) -> &'static str {
        "circular"
    }

    fn grouping(&self, protocol: Protocol) -> Grouping {
        match protocol {
            Protocol::Paper2024_06 | Protocol::Kit2026_08 => Grouping::Circular,
            Protocol::Kit2024_08 => Grouping::PerRow,
        }
    }

    fn check_groups(&self, rows: &[Row]) -> Vec<(usize, String)> {
        lonely_copies(rows)
    }
}

/// A file's own `g_index` says what belongs together, where it has one.
fn lonely_copies(rows: &[Row]) -> Vec<(usize, String)> {
    let lonely = choice::without_first_row(rows, Protocol::Kit2026_08);
    lonely.into_iter().map(|at| (at, "the question that it is a copy of is not there".into())).collect()
}
