//! OCRBench: texts to be read out of pictures, in ten categories of a hundred to three hundred questions.
//!
//! A row's answer is a list of accepted texts, written as Python writes one; right is an answer that contains one of them
//! (VLMEvalKit, `OCRBench.evaluate`). Asked is the question, nothing before and nothing behind it.

use crate::answers::extract::is_python_space;
use crate::benchmarks::benchmark::Benchmark;
use crate::benchmarks::verdict::{Judged, Level, Score, Verdict};
use crate::data::problem::ProblemKind;
use crate::data::python_list::python_list;
use crate::data::row::Row;
use crate::prompt::PromptStyle;
use crate::protocol::Protocol;

/// Formulas are compared without any blank, and letter case counts.
const FORMULAS: &str = "Handwritten Mathematical Expression Recognition";
/// The first six are summed up as Text Recognition.
const CATEGORIES: [&str; 10] = [
    "Regular Text Recognition",
    "Irregular Text Recognition",
    "Artistic Text Recognition",
    "Handwriting Recognition",
    "Digit String Recognition",
    "Non-Semantic Text Recognition",
    "Scene Text-centric VQA",
    "Doc-oriented VQA",
    "Key Information Extraction",
    FORMULAS,
];

/// The benchmark, for `OCRBench.tsv`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OcrBench;

impl Benchmark for OcrBench {
    fn name(&self) -> &'static str {
        "OCRBench"
    }

    fn columns(&self) -> &'static [&'static str] {
        &["category"]
    }

    fn check(&self, row: &Row) -> Option<(ProblemKind, String)> {
        let problem = match python_list(row.answer()) {
            Err(problem) => problem,
            Ok(texts) if texts.is_empty() => "the list is empty".into(),
            Ok(_) => return None,
        };
        Some((ProblemKind::BadAnswer, format!("expected a list of accepted texts: {problem}")))
    }

    fn kits_fail(&self, rows: &[Row], _answers: &[usize]) -> Option<&'static str> {
        if rows.iter().any(|row| python_list(row.answer()).is_err()) {
            Some("it stops at an answer that is no list of texts")
        } else if !rows.iter().all(|row| CATEGORIES.contains(&row.get("category").unwrap_or_default())) {
            Some("it stops at a category that is none of its ten")
        } else {
            None
        }
    }

    fn prompt(&self, row: &Row, _style: PromptStyle) -> String {
        row.question().into()
    }

    fn judge(&self, row: &Row, prediction: &str, _protocol: Protocol) -> Verdict {
        let is_formula = row.get("category") == Some(FORMULAS);
        let normal = |text: &str| {
            let lower = if is_formula { text.to_string() } else { text.to_lowercase() };
            let line = lower.trim_matches(is_python_space).replace('\n', " ");
            if is_formula { line.replace(' ', "") } else { line }
        };
        let prediction = normal(prediction);
        let accepted = python_list(row.answer()).unwrap_or_default();
        Verdict::of_contained(accepted.into_iter().find(|text| prediction.contains(&normal(text))))
    }

    /// The final score out of a thousand, a tenth of it, the five groups that it is the sum of, and the ten categories.
    fn scores(&self, judged: &[Judged<'_>], _protocol: Protocol) -> Vec<Score> {
        let counted = |names: &[&str]| {
            let of_them = judged
                .iter()
                .filter(|answer| names.contains(&answer.row.get("category").unwrap_or_default()));
            let (mut right, mut of) = (0, 0);
            of_them.for_each(|answer| (right, of) = (right + usize::from(answer.verdict.right), of + 1));
            (right, of)
        };
        let points = |level, name: &str, (right, of): (usize, usize)| Score {
            level,
            name: name.into(),
            split: None,
            metric: "points",
            value: right as f64,
            of,
        };
        // A row of no known category counts too: nothing is dropped.
        let right = judged.iter().filter(|answer| answer.verdict.right).count();
        let all = (right, judged.len());
        let mut scores = vec![points(Level::Overall, "Final Score", all)];
        scores.push(Score { value: right as f64 / 10.0, ..points(Level::Overall, "Final Score Norm", all) });
        scores.push(points(Level::L2Category, "Text Recognition", counted(&CATEGORIES[..6])));
        scores.extend(CATEGORIES[6..].iter().map(|name| points(Level::L2Category, name, counted(&[name]))));
        for name in CATEGORIES {
            let (right, of) = counted(&[name]);
            if of > 0 {
                scores.push(Score::accuracy(Level::Category, name, right, of));
            }
        }
        scores
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn right(category: &str, answer: &str, prediction: &str) -> bool {
        let row = Row::from_cells(&[("question", "?"), ("answer", answer), ("category", category)]);
        OcrBench.judge(&row, prediction, Protocol::Kit2026_08).right
    }

    #[test]
    fn one_of_the_accepted_texts_is_contained() {
        let text = CATEGORIES[0];
        assert!(right(text, "['CENTRE']", "It says Centre."));
        assert!(right(text, r#"["12", "twelve o'clock"]"#, "Twelve o'clock"));
        assert!(right(text, "['two lines']", "Two\nlines"));
        assert!(!right(text, "['CENTRE']", "cent re"));
        assert!(!right(text, "CENTRE", "CENTRE"), "no list");
        // Blanks do not count in formulas; letter case does.
        assert!(right(FORMULAS, r"['x ^ { 2 } + \\frac a b']", r"so x^{2}+\frac a b"));
        assert!(!right(FORMULAS, "['X + 1']", "x+1"));
    }

    #[test]
    fn the_final_score_is_a_number_of_rows() {
        let cells = [(0, "a"), (5, "a"), (6, "a"), (9, "b"), (9, "a")];
        let rows: Vec<Row> =
            cells.map(|(at, _)| Row::from_cells(&[("answer", "['a']"), ("category", CATEGORIES[at])])).into();
        let judged: Vec<Judged<'_>> = rows
            .iter()
            .zip(cells)
            .map(|(row, (_, prediction))| {
                let verdict = OcrBench.judge(row, prediction, Protocol::Kit2026_08);
                Judged { row, all_right: verdict.right, verdict }
            })
            .collect();
        let scores = OcrBench.scores(&judged, Protocol::Kit2026_08);
        let found: Vec<(&str, f64, usize)> =
            scores.iter().map(|score| (score.name.as_str(), score.value, score.of)).collect();
        assert_eq!(
            found[..3],
            [("Final Score", 4.0, 5), ("Final Score Norm", 0.4, 5), ("Text Recognition", 2.0, 2)]
        );
        assert_eq!(found.last(), Some(&(FORMULAS, 50.0, 2)));
        assert_eq!(OcrBench.kits_fail(&rows, &[1; 5]), None);
        let other = Row::from_cells(&[("answer", "['a']"), ("category", "Signs")]);
        assert!(OcrBench.kits_fail(&[other], &[1]).unwrap().contains("none of its ten"));
        let broken = Row::from_cells(&[("answer", "['a"), ("category", CATEGORIES[0])]);
        let (kind, detail) = OcrBench.check(&broken).unwrap();
        assert_eq!(kind, ProblemKind::BadAnswer);
        assert!(detail.starts_with("expected a list of accepted texts: "), "{detail}");
    }
}
