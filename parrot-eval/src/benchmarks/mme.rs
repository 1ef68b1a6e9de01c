//! MME: two yes-or-no questions about each picture.
//!
//! A category's points are its accuracy plus the share of pictures with both answers right, each out of 100;
//! perception sums ten categories, reasoning four.

use std::collections::BTreeMap;

use crate::answers::yes_no::extract_yes_no;
use crate::benchmarks::benchmark::Benchmark;
use crate::benchmarks::candidate::{Candidate, yes_and_no};
use crate::benchmarks::pope::check_yes_no;
use crate::benchmarks::verdict::{Judged, Level, Score, Verdict, percent};
use crate::data::problem::ProblemKind;
use crate::data::row::Row;
use crate::prompt::{PromptStyle, yes_or_no};
use crate::protocol::Protocol;

const PERCEPTION: [&str; 10] = [
    "OCR",
    "artwork",
    "celebrity",
    "color",
    "count",
    "existence",
    "landmark",
    "position",
    "posters",
    "scene",
];
const REASONING: [&str; 4] =
    ["code_reasoning", "commonsense_reasoning", "numerical_calculation", "text_translation"];

/// The benchmark, for `MME.tsv`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mme;

impl Benchmark for Mme {
    fn name(&self) -> &'static str {
        "MME"
    }

    fn columns(&self) -> &'static [&'static str] {
        &["category", "image_path"]
    }

    fn check(&self, row: &Row) -> Option<(ProblemKind, String)> {
        check_yes_no(row)
    }

    fn check_groups(&self, rows: &[Row]) -> Vec<(usize, String)> {
        let mut by_image: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (at, row) in rows.iter().enumerate() {
            by_image.entry((row.get("category"), row.get("image_path"))).or_default().push(at);
        }
        let wrong = by_image.into_values().filter(|rows| rows.len() != 2);
        wrong
            .map(|rows| (rows[0], format!("expected 2 questions about its picture, found {}", rows.len())))
            .collect()
    }

    /// The kits take the first two answers about a picture, whatever they are, and look every category up.
    fn kits_fail(&self, rows: &[Row], answers: &[usize]) -> Option<&'static str> {
        let has = |name: &&&str| rows.iter().any(|row| row.get("category") == Some(name));
        if answers.iter().any(|count| *count != 1) {
            Some("its rating of MME needs exactly one answer to each question")
        } else if !self.check_groups(rows).is_empty() {
            Some("its rating of MME needs two questions about each picture")
        } else if !PERCEPTION.iter().chain(&REASONING).all(|name| has(&name)) {
            Some("its rating of MME needs all fourteen categories")
        } else {
            None
        }
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
        let mut by_category: BTreeMap<&str, Vec<&Judged<'_>>> = BTreeMap::new();
        for answer in judged {
            by_category.entry(answer.row.get("category").unwrap_or("none")).or_default().push(answer);
        }
        let points: BTreeMap<&str, [Score; 3]> =
            by_category.into_iter().map(|(name, rows)| (name, category(name, &rows))).collect();
        let sum = |name: &str, names: &[&str]| {
            let of_them = || names.iter().filter_map(|name| points.get(name)).map(|scores| &scores[0]);
            // From 0: of nothing, `sum` makes a negative zero.
            let value = of_them().fold(0.0, |sum, score| sum + score.value);
            let of = of_them().map(|score| score.of).sum();
            Score { level: Level::Overall, name: name.into(), split: None, metric: "points", value, of }
        };
        let all: Vec<&str> = PERCEPTION.iter().chain(&REASONING).copied().collect();
        let mut scores =
            vec![sum("total", &all), sum("perception", &PERCEPTION), sum("reasoning", &REASONING)];
        scores.extend(points.into_values().flatten());
        scores
    }
}

/// Points, accuracy and accuracy over pairs of one category. A picture without exactly two questions is no
/// right pair.
fn category(name: &str, rows: &[&Judged<'_>]) -> [Score; 3] {
    let mut by_image: BTreeMap<&str, Vec<bool>> = BTreeMap::new();
    for answer in rows {
        by_image
            .entry(answer.row.get("image_path").unwrap_or_default())
            .or_default()
            .push(answer.verdict.right);
    }
    let right = rows.iter().filter(|judged| judged.verdict.right).count();
    let pairs = by_image.values().filter(|answers| answers.as_slice() == [true, true]).count();
    let (accuracy, plus) = (percent(right, rows.len()), percent(pairs, by_image.len()));
    let score = |metric, value, of| Score {
        level: Level::Category,
        name: name.into(),
        split: None,
        metric,
        value,
        of,
    };
    [
        score("points", accuracy + plus, rows.len()),
        score("acc", accuracy, rows.len()),
        score("acc+", plus, by_image.len()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Worked out by hand: OCR two pictures (✓✓, ✓✗), count one (✓✓), text_translation one (✗✗).
    #[test]
    fn points_are_accuracy_plus_accuracy_of_pairs() {
        let cells = [
            ("OCR", "1.jpg", "Yes", "Yes"),
            ("OCR", "1.jpg", "No", "No"),
            ("OCR", "2.jpg", "Yes", "Yes"),
            ("OCR", "2.jpg", "No", "Yes"),
            ("count", "1.jpg", "Yes", "yes!"),
            ("count", "1.jpg", "No", "no."),
            ("text_translation", "3.jpg", "Yes", "No"),
            ("text_translation", "3.jpg", "No", "unsure"),
        ];
        let rows: Vec<Row> = cells
            .iter()
            .map(|(category, path, answer, _)| {
                Row::from_cells(&[
                    ("category", category),
                    ("image_path", path),
                    ("answer", answer),
                    ("question", "?"),
                ])
            })
            .collect();
        let judged: Vec<Judged<'_>> = rows
            .iter()
            .zip(cells)
            .map(|(row, (.., prediction))| {
                let verdict = Mme.judge(row, prediction, Protocol::Kit2026_08);
                Judged { row, all_right: verdict.right, verdict }
            })
            .collect();
        let scores = Mme.scores(&judged, Protocol::Kit2026_08);
        let value = |name: &str, metric| {
            scores.iter().find(|score| score.name == name && score.metric == metric).unwrap().value
        };
        assert_eq!(value("OCR", "points"), 75.0 + 50.0);
        assert_eq!(value("count", "points"), 200.0);
        assert_eq!(value("perception", "points"), 325.0);
        assert_eq!(value("reasoning", "points"), 0.0);
        assert_eq!(value("total", "points"), 325.0);
        let nothing = Mme.scores(&judged[..4], Protocol::Kit2026_08);
        assert_eq!((&*nothing[2].name, format!("{:.2}", nothing[2].value)), ("reasoning", "0.00".into()));
        assert_eq!(Mme.check_groups(&rows), []);
        let fails = |answers| Mme.kits_fail(&rows, answers).unwrap();
        assert!(fails(&[1; 8]).ends_with("all fourteen categories"));
        assert!(fails(&[1, 1, 1, 2, 1, 1, 1, 1]).ends_with("exactly one answer to each question"));
        let found = Mme.check_groups(&rows[1..]);
        assert_eq!(found, [(0, "expected 2 questions about its picture, found 1".to_string())]);
    }
}
