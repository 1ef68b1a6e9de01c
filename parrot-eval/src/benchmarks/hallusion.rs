//! HallusionBench: does a model see a figure, or say what it knows? Yes-or-no questions, some asked of a figure and of its
//! altered copy.
//!
//! An index is `CATEGORY_SUBCATEGORY_VISUAL_SET_FIGURE_QUESTION`. VLMEvalKit (`Hallusion_rating`) gives three numbers: the
//! share of right answers; of figures all of whose questions are answered right; of questions that are answered right
//! about every figure.

use std::collections::{BTreeMap, BTreeSet};

use crate::answers::yes_no::extract_yes_no;
use crate::benchmarks::benchmark::Benchmark;
use crate::benchmarks::candidate::{Candidate, yes_and_no};
use crate::benchmarks::pope::check_yes_no;
use crate::benchmarks::verdict::{Judged, Level, Score, Verdict, percent};
use crate::data::problem::ProblemKind;
use crate::data::row::Row;
use crate::prompt::{PromptStyle, yes_or_no};
use crate::protocol::Protocol;

/// The benchmark, for `HallusionBench.tsv`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HallusionBench;

impl Benchmark for HallusionBench {
    fn name(&self) -> &'static str {
        "HallusionBench"
    }

    fn columns(&self) -> &'static [&'static str] {
        &["l2-category"]
    }

    fn check(&self, row: &Row) -> Option<(ProblemKind, String)> {
        if !row.index.is_empty() && Place::of_index(&row.index).is_none() {
            let expected = "expected CATEGORY_SUBCATEGORY_VISUAL_SET_FIGURE_QUESTION";
            return Some((ProblemKind::BadIndex, expected.into()));
        }
        check_yes_no(row)
    }

    fn kits_fail(&self, rows: &[Row], _answers: &[usize]) -> Option<&'static str> {
        let fails = rows.iter().any(|row| Place::of_index(&row.index).is_none());
        fails.then_some("it stops at an index without set, figure and question")
    }

    fn prompt(&self, row: &Row, style: PromptStyle) -> String {
        yes_or_no(row, style)
    }

    fn candidates(&self, _row: &Row) -> Vec<Candidate> {
        yes_and_no()
    }

    fn judge(&self, row: &Row, prediction: &str, _protocol: Protocol) -> Verdict {
        Verdict::of_yes_no(extract_yes_no(prediction), row.answer())
    }

    fn scores(&self, judged: &[Judged<'_>], _protocol: Protocol) -> Vec<Score> {
        let all: Vec<&Judged<'_>> = judged.iter().collect();
        let mut scores = three(Level::Overall, "", &all);
        let mean = scores.iter().map(|score| score.value).sum::<f64>() / scores.len() as f64;
        let name = "mean of the three".into();
        let total = all.len();
        scores.push(Score {
            level: Level::Overall,
            name,
            split: None,
            metric: "mean",
            value: mean,
            of: total,
        });
        for (level, column) in [(Level::Category, "category"), (Level::L2Category, "l2-category")] {
            let names: BTreeSet<&str> = all.iter().filter_map(|answer| answer.row.get(column)).collect();
            for name in names {
                let rows: Vec<&Judged<'_>> =
                    all.iter().copied().filter(|answer| answer.row.get(column) == Some(name)).collect();
                scores.extend(three(level, name, &rows));
            }
        }
        scores
    }
}

/// The last three parts of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place<'a> {
    set: &'a str,
    figure: &'a str,
    question: &'a str,
}

impl<'a> Place<'a> {
    fn of_index(index: &'a str) -> Option<Self> {
        let mut parts = index.split('_').skip(3);
        Some(Self { set: parts.next()?, figure: parts.next()?, question: parts.next()? })
    }
}

/// aAcc, fAcc and qAcc. A row whose index says no place is a figure and a question of its own.
fn three(level: Level, name: &str, rows: &[&Judged<'_>]) -> Vec<Score> {
    let right = rows.iter().filter(|answer| answer.verdict.right).count();
    let figures = groups(rows, |place| place.figure);
    let questions = groups(rows, |place| place.question);
    let score = |metric, (right, of)| {
        let name = if name.is_empty() { metric } else { name };
        Score { level, name: name.into(), split: None, metric, value: percent(right, of), of }
    };
    vec![score("aAcc", (right, rows.len())), score("fAcc", figures), score("qAcc", questions)]
}

/// How many groups of rows of one subcategory, set and `part` are right throughout, and how many there are.
fn groups(rows: &[&Judged<'_>], part: impl for<'p> Fn(&Place<'p>) -> &'p str) -> (usize, usize) {
    let mut by_key: BTreeMap<[String; 3], bool> = BTreeMap::new();
    for answer in rows {
        let place = Place::of_index(&answer.row.index);
        let subcategory = answer.row.get("l2-category").unwrap_or("nan");
        let key = match &place {
            Some(place) => [subcategory, place.set, part(place)].map(Into::into),
            None => [String::new(), answer.row.index.clone(), answer.row.line.to_string()],
        };
        *by_key.entry(key).or_insert(true) &= answer.verdict.right;
    }
    (by_key.values().filter(|right| **right).count(), by_key.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Worked out by hand: figure 0 of set 0 is right twice, figure 1 once of twice; set 1 has one figure, wrong.
    #[test]
    fn figures_and_questions_are_right_as_a_whole() {
        let row = |index: &str, answer: &str| {
            let cells = [("index", index), ("question", "?"), ("answer", answer), ("l2-category", "chart")];
            Row::from_cells(&[&cells[..], &[("category", &index[..2])]].concat())
        };
        let rows = [
            row("VD_chart_1_0_0_0", "Yes"),
            row("VD_chart_1_0_0_1", "No"),
            row("VD_chart_1_0_1_0", "No"),
            row("VD_chart_1_0_1_1", "Yes"),
            row("VS_chart_1_1_0_0", "Yes"),
        ];
        let judged: Vec<Judged<'_>> = rows
            .iter()
            .zip(["Yes.", "no", "No", "no", "perhaps"])
            .map(|(row, prediction)| {
                let verdict = HallusionBench.judge(row, prediction, Protocol::Kit2026_08);
                Judged { row, all_right: verdict.right, verdict }
            })
            .collect();
        let scores = HallusionBench.scores(&judged, Protocol::Kit2026_08);
        let value = |name: &str, metric| {
            let found = scores.iter().find(|score| score.name == name && score.metric == metric).unwrap();
            (found.value.round(), found.of)
        };
        assert_eq!(value("aAcc", "aAcc"), (60.0, 5));
        assert_eq!(value("fAcc", "fAcc"), (33.0, 3));
        assert_eq!(value("qAcc", "qAcc"), (33.0, 3));
        assert_eq!(value("VD", "fAcc"), (50.0, 2));
        assert_eq!(value("VS", "qAcc"), (0.0, 1));
        assert_eq!(value("mean of the three", "mean").0, 42.0);
        assert_eq!(HallusionBench.check(&rows[0]), None);
        assert_eq!(HallusionBench.check(&row("VD_chart_3", "Yes")).unwrap().0, ProblemKind::BadIndex);
        assert_eq!(HallusionBench.kits_fail(&rows, &[1; 5]), None);
        assert!(HallusionBench.kits_fail(&[row("VD_chart_3", "Yes")], &[1]).is_some());
    }
}
