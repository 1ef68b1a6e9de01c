//! MMMB: about 2,000 questions with options per language, the same in six languages.
//!
//! The paper counts a yes/no pair, the same picture asked about twice with opposite answers, as one question;
//! every kit since counts rows (evaluation protocol, opening table and §5). Both numbers are always computed.

use super::benchmark::{Benchmark, Judged, Score, Verdict};
use super::choice;
use super::problem::ProblemKind;
use super::prompt::{PromptStyle, multiple_choice};
use super::protocol::{Grouping, Protocol};
use super::row::Row;

/// The benchmark, for `mmmb_ar.tsv` and its like, and for any other questions with options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mmmb;

impl Benchmark for Mmmb {
    fn name(&self) -> &'static str {
        "MMMB"
    }

    fn columns(&self) -> &'static [&'static str] {
        &["A", "B"]
    }

    fn grouping(&self, protocol: Protocol) -> Grouping {
        protocol.mmmb_grouping()
    }

    fn check(&self, row: &Row) -> Option<(ProblemKind, String)> {
        choice::check(row)
    }

    fn check_groups(&self, rows: &[Row]) -> Vec<(usize, String)> {
        let lonely = choice::without_first_row(rows, Protocol::Kit2026_08);
        lonely.into_iter().map(|at| (at, "the other question of its pair is not there".into())).collect()
    }

    fn prompt(&self, row: &Row, style: PromptStyle) -> String {
        multiple_choice(row, style)
    }

    fn judge(&self, row: &Row, prediction: &str, protocol: Protocol) -> Verdict {
        choice::judge(row, prediction, protocol)
    }

    fn scores(&self, judged: &[Judged<'_>], protocol: Protocol) -> Vec<Score> {
        choice::scores(judged, self.grouping(protocol), protocol)
    }
}
