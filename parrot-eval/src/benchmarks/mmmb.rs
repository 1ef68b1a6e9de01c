//! MMMB: about 2,000 questions with options per language, the same in six languages.
//!
//! The paper counts a yes/no pair, the same picture asked about twice with opposite answers, as one question;
//! every kit since counts rows. Both numbers are always computed.
//!
//! Prompt, verdict and scores are those that [`Benchmark`] provides for questions with options.

use crate::benchmarks::benchmark::Benchmark;
use crate::benchmarks::choice;
use crate::data::row::Row;
use crate::protocol::{Grouping, Protocol};

/// The benchmark, for `mmmb_ar.tsv` and its like, and for any other questions with options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mmmb;

impl Benchmark for Mmmb {
    fn name(&self) -> &'static str {
        "MMMB"
    }

    fn grouping(&self, protocol: Protocol) -> Grouping {
        protocol.mmmb_grouping()
    }

    fn check_groups(&self, rows: &[Row]) -> Vec<(usize, String)> {
        let lonely = choice::without_first_row(rows, Protocol::Kit2026_08);
        lonely.into_iter().map(|at| (at, "the other question of its pair is not there".into())).collect()
    }
}
