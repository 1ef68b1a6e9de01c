//! MMBench: each question is asked once per option, the options moved on by one each time, and counts as right
//! if every copy is (evaluation protocol §3, §5.2).

use super::benchmark::{Benchmark, Judged, Score, Verdict};
use super::choice;
use super::problem::ProblemKind;
use super::prompt::{PromptStyle, multiple_choice};
use super::protocol::{Grouping, Protocol};
use super::row::Row;

/// The benchmark, for `mmbench_dev_ar.tsv` and its like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MmBench;

impl Benchmark for MmBench {
    fn name(&self) -> &'static str {
        "MMBench"
    }

    fn columns(&self) -> &'static [&'static str] {
        &["A", "B"]
    }

    fn grouping(&self, _protocol: Protocol) -> Grouping {
        Grouping::Circular
    }

    fn check(&self, row: &Row) -> Option<(ProblemKind, String)> {
        if row.number().is_none() {
            return Some((ProblemKind::BadIndex, "expected a whole number".into()));
        }
        choice::check(row)
    }

    fn check_groups(&self, rows: &[Row]) -> Vec<(usize, String)> {
        let lonely = choice::without_first_row(rows);
        lonely.into_iter().map(|at| (at, "the question that it is a copy of is not there".into())).collect()
    }

    fn prompt(&self, row: &Row, style: PromptStyle) -> String {
        multiple_choice(row, style)
    }

    fn judge(&self, row: &Row, prediction: &str, protocol: Protocol) -> Verdict {
        choice::judge(row, prediction, protocol)
    }

    fn scores(&self, judged: &[Judged<'_>], protocol: Protocol) -> Vec<Score> {
        choice::scores(judged, self.grouping(protocol))
    }
}
