//! TextVQA: questions about texts in pictures, answered by ten people each.
//!
//! A row's answer is their list, written as Python writes one. An answer that three others of them gave counts as whole,
//! averaged over leaving each of the ten out (VLMEvalKit, `process_line` by `vqa_score`); words are compared after
//! [`vqa_words`](crate::answers::vqa::vqa_words).

use crate::answers::vqa::vqa_words;
use crate::benchmarks::benchmark::Benchmark;
use crate::benchmarks::verdict::{How, Judged, Level, Score, Verdict, by_category};
use crate::data::problem::ProblemKind;
use crate::data::python_list::python_list;
use crate::data::row::Row;
use crate::prompt::PromptStyle;
use crate::protocol::Protocol;

/// The benchmark, for `TextVQA_VAL.tsv`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextVqa;

impl Benchmark for TextVqa {
    fn name(&self) -> &'static str {
        "TextVQA"
    }

    fn columns(&self) -> &'static [&'static str] {
        &[]
    }

    fn check(&self, row: &Row) -> Option<(ProblemKind, String)> {
        let problem = match python_list(row.answer()) {
            Err(problem) => problem,
            Ok(answers) if answers.len() < 2 => "one answer alone never counts".into(),
            Ok(_) => return None,
        };
        Some((ProblemKind::BadAnswer, format!("expected a list of people's answers: {problem}")))
    }

    fn prompt(&self, row: &Row, _style: PromptStyle) -> String {
        format!("{}\nAnswer the question using a single word or phrase.", row.question())
    }

    /// What it says is its words as they are compared; right is what at least one person said.
    fn judge(&self, row: &Row, prediction: &str, protocol: Protocol) -> Verdict {
        let said = vqa_words(prediction, protocol);
        let right = share(row, &said, protocol) > 0.0;
        Verdict { how: How::Text, said: Some(said), right }
    }

    /// The mean share, over all, per `split` and, where there is no such column, per `category`.
    fn scores(&self, judged: &[Judged<'_>], protocol: Protocol) -> Vec<Score> {
        let all: Vec<&Judged<'_>> = judged.iter().collect();
        let mut scores = vec![mean(Level::Overall, "VQA score", &all, protocol)];
        let has_splits = all.iter().any(|answer| answer.row.has_column("split"));
        let column = if has_splits { "split" } else { "category" };
        let by_value = by_category(judged, |row| row.get(column));
        if has_splits && by_value.len() < 2 {
            return scores;
        }
        for (value, rows) in by_value {
            scores.push(if has_splits {
                let overall = mean(Level::Overall, "VQA score", &rows, protocol);
                Score { split: Some(value.into()), ..overall }
            } else {
                mean(Level::Category, value, &rows, protocol)
            });
        }
        scores
    }
}

fn mean(level: Level, name: &str, rows: &[&Judged<'_>], protocol: Protocol) -> Score {
    let said = |answer: &Judged<'_>| {
        answer.verdict.said.as_ref().map_or(0.0, |said| share(answer.row, said, protocol))
    };
    let sum: f64 = rows.iter().map(|answer| said(answer)).sum();
    let value = if rows.is_empty() { 0.0 } else { 100.0 * sum / rows.len() as f64 };
    Score { level, name: name.into(), split: None, metric: "VQA score", value, of: rows.len() }
}

/// The mean over people of a third of the others who said the same, at most 1.
fn share(row: &Row, said: &str, protocol: Protocol) -> f64 {
    let answers = python_list(row.answer()).unwrap_or_default();
    let is_same: Vec<bool> = answers.iter().map(|answer| vqa_words(answer, protocol) == said).collect();
    let same = is_same.iter().filter(|same| **same).count();
    let of_others = |is_same: &bool| ((same - usize::from(*is_same)) as f64 / 3.0).min(1.0);
    if is_same.is_empty() { 0.0 } else { is_same.iter().map(of_others).sum::<f64>() / is_same.len() as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Worked out by hand, for the number of people, of ten, who said so.
    #[test]
    fn an_answer_is_worth_what_people_agree() {
        for (people, expected) in [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)] {
            let answers: Vec<&str> = (0..10).map(|at| if at < people { "'Stop!'" } else { "'go'" }).collect();
            let row =
                Row::from_cells(&[("question", "What?"), ("answer", &format!("[{}]", answers.join(", ")))]);
            let protocol = Protocol::Kit2026_08;
            let verdict = TextVqa.judge(&row, "the stop", protocol);
            assert_eq!((verdict.right, verdict.said.as_deref()), (people > 0, Some("stop")));
            let judged = [Judged { row: &row, all_right: verdict.right, verdict }];
            let value = TextVqa.scores(&judged, protocol)[0].value;
            assert!((value - 100.0 * expected).abs() < 1e-9, "{people}: {value}");
        }
        let lonely = Row::from_cells(&[("question", "What?"), ("answer", "stop")]);
        assert_eq!(TextVqa.check(&lonely).unwrap().0, ProblemKind::BadAnswer);
    }
}
