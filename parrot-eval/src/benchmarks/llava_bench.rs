//! LLaVA-Bench (in the wild): sixty questions that are answered at length, and rated by another model.
//!
//! The judge is shown a description of the picture, the question, an answer of GPT-4's and the answer, and rates both from 1
//! to 10. The number is the mean of the answers' ratings as a share of the mean of GPT-4's (VLMEvalKit, `LLaVABench` and
//! `utils/llavabench.py`, whose request to the judge is LLaVA's).

use std::sync::Arc;

use crate::benchmarks::benchmark::Benchmark;
use crate::benchmarks::candidate::Candidate;
use crate::benchmarks::verdict::{How, Judged, Level, Score, Verdict, by_category};
use crate::data::problem::ProblemKind;
use crate::data::row::Row;
use crate::prompt::PromptStyle;
use crate::protocol::Protocol;
use crate::ratings::{Rating, Ratings};

/// The benchmark, for `LLaVABench.tsv`, with the ratings that its answers have so far.
#[derive(Debug, Clone, Default)]
pub struct LlavaBench {
    ratings: Arc<Ratings>,
}

impl LlavaBench {
    /// The benchmark with these ratings.
    #[must_use]
    pub fn rated(ratings: Arc<Ratings>) -> Self {
        Self { ratings }
    }
}

/// What the judge is asked to do: the words of LLaVA's evaluation, as VLMEvalKit has them (Apache-2.0, see NOTICE).
const REQUEST: &str = "We would like to request your feedback on the performance of two AI assistants in response to the user \
    question displayed above. The user asks the question on observing an image. For your reference, the visual content in the \
    image is represented with a few sentences describing the image. \nPlease rate the helpfulness, relevance, accuracy, level of \
    details of their responses. Each assistant receives an overall score on a scale of 1 to 10, where a higher score indicates \
    better overall performance.\nPlease first output a single line containing only two values indicating the scores for Assistant \
    1 and 2, respectively. The two scores are separated by a space.\nIn the subsequent line, please provide a comprehensive \
    explanation of your evaluation, avoiding any potential bias and ensuring that the order in which the responses were presented \
    does not affect your judgment.";

/// What the judge is asked about an answer; `None` where the row lacks what it needs.
pub(crate) fn judge_prompt(row: &Row, prediction: &str) -> Option<String> {
    let (caption, reference) = (row.get("caption")?, row.get("gpt4_ans")?);
    Some(format!(
        "[Context]\n{caption}\n\n[Question]\n{}\n\n[Assistant 1]\n{reference}\n\n[End of Assistant 1]\n\n[Assistant 2]\n\
         {prediction}\n\n[End of Assistant 2]\n\n[System]\n{REQUEST}\n\n",
        row.question()
    ))
}

impl Benchmark for LlavaBench {
    fn name(&self) -> &'static str {
        "LLaVABench"
    }

    fn columns(&self) -> &'static [&'static str] {
        &["caption", "category"]
    }

    fn expected_column(&self) -> &'static str {
        "gpt4_ans"
    }

    fn check(&self, row: &Row) -> Option<(ProblemKind, String)> {
        let missing = ["caption", "gpt4_ans"].into_iter().find(|column| row.get(column).is_none())?;
        let detail =
            format!("there is nothing in the column `{missing}`, without which no judge can rate an answer");
        Some((ProblemKind::BadAnswer, detail))
    }

    /// A judge is shown what the model wrote.
    fn reads_spreadsheet(&self) -> bool {
        false
    }

    /// The question alone.
    fn prompt(&self, row: &Row, _style: PromptStyle) -> String {
        row.question().into()
    }

    fn candidates(&self, _row: &Row) -> Vec<Candidate> {
        Vec::new()
    }

    /// What it says is its rating, GPT-4's first; right is what is rated no lower.
    fn judge(&self, row: &Row, prediction: &str, _protocol: Protocol) -> Verdict {
        let rating = judge_prompt(row, prediction).and_then(|prompt| self.ratings.of_prompt(&prompt));
        match rating {
            Some(rating) => Verdict {
                how: How::Judge,
                said: Some(rating.to_string()),
                right: rating.answer >= rating.reference,
            },
            None => Verdict { how: How::Unjudged, said: None, right: false },
        }
    }

    /// As the kits, but that they count a rating that they cannot read as −1.
    fn as_kits_count<'a>(
        &self,
        answered: Vec<Judged<'a>>,
        _protocol: Protocol,
    ) -> Result<Vec<Judged<'a>>, &'static str> {
        if answered.iter().any(|answer| answer.verdict.how == How::Unjudged) {
            return Err("it prints nothing without a judge, and counts what it cannot read of one as −1");
        }
        Ok(answered)
    }

    /// Over the answers that are rated; nothing where none is.
    fn scores(&self, judged: &[Judged<'_>], _protocol: Protocol) -> Vec<Score> {
        let ratings = |rows: &[&Judged<'_>]| -> Vec<Rating> {
            rows.iter().filter_map(|answer| answer.verdict.said.as_deref()?.parse().ok()).collect()
        };
        let mut scores = three(Level::Overall, None, &ratings(&judged.iter().collect::<Vec<_>>()));
        for (category, rows) in by_category(judged, |row| row.get("category")) {
            scores.extend(three(Level::Category, Some(category), &ratings(&rows)));
        }
        scores
    }
}

/// The kit's three columns.
fn three(level: Level, category: Option<&str>, ratings: &[Rating]) -> Vec<Score> {
    if ratings.is_empty() {
        return Vec::new();
    }
    let mean = |of: fn(&Rating) -> f64| ratings.iter().map(of).sum::<f64>() / ratings.len() as f64;
    let (answer, reference) = (mean(|rating| rating.answer), mean(|rating| rating.reference));
    let score = |metric, value| Score {
        level,
        name: category.unwrap_or(metric).into(),
        split: None,
        metric,
        value,
        of: ratings.len(),
    };
    vec![
        score("relative score", if reference > 0.0 { 100.0 * answer / reference } else { 0.0 }),
        score("answers' score", 10.0 * answer),
        score("GPT-4's score", 10.0 * reference),
    ]
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::Value;

    use super::*;
    use crate::{Assigned, Dataset, ImageStore, score};

    /// Recorded from the kit: what it asks a judge, what it reads in replies, and what that adds up to.
    #[test]
    fn prompts_and_scores_are_the_kits() {
        let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded");
        let file = recorded.join("kit_llavabench.tsv");
        let mut dataset = Dataset::open(&file, &mut ImageStore::default()).unwrap();
        assert_eq!((dataset.benchmark.name(), &*dataset.problems), ("LLaVABench", &[][..]));
        let text = std::fs::read_to_string(recorded.join("kit_llavabench_judge.jsonl")).unwrap();
        let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let expected = lines.pop().unwrap();
        let mut ratings = Ratings::in_memory("judge");
        let mut predictions = Assigned::default();
        for (row, line) in dataset.rows.iter().zip(&lines) {
            let said = |name: &str| line[name].as_str().unwrap().to_string();
            let prompt = judge_prompt(row, &said("prediction")).unwrap();
            assert_eq!(prompt, said("prompt"));
            let rating: Rating = said("reply").parse().unwrap();
            assert_eq!(serde_json::json!([rating.reference, rating.answer]), line["scores"], "{line}");
            ratings.add(&prompt, ("LLaVABench", &row.index), rating, "").unwrap();
            predictions.of_rows.push(vec![said("prediction")]);
        }
        dataset.benchmark = Arc::new(LlavaBench::rated(Arc::new(ratings)));
        let result = score(&dataset, &predictions, Protocol::Kit2026_08).result;
        let columns = [
            ("relative score", "Relative Score (main)"),
            ("answers' score", "VLM Score"),
            ("GPT-4's score", "GPT4 Score"),
        ];
        for line in expected.as_array().unwrap() {
            for (metric, column) in columns {
                let is_it = |score: &&Score| match line["split"].as_str() {
                    Some("overall") => score.level == Level::Overall && score.metric == metric,
                    category => Some(&*score.name) == category && score.metric == metric,
                };
                let found = result.scores.iter().find(is_it).unwrap().value;
                assert!((found - line[column].as_f64().unwrap()).abs() < 1e-9, "{column}: {found}, {line}");
            }
        }
        assert_eq!((result.scores.len(), result.kit_unknown, result.as_kit), (12, None, None));
    }

    fn row(category: &str) -> Row {
        let cells = [
            ("question", "What?"),
            ("caption", "A cat."),
            ("gpt4_ans", "It is a cat."),
            ("category", category),
        ];
        Row::from_cells(&cells)
    }

    #[test]
    fn ratings_become_shares_of_gpt4s() {
        let rows = [row("conv"), row("conv"), row("detail"), row("detail")];
        let said = [Some("9 6"), Some("8 8"), Some("10 5"), None];
        let judged: Vec<Judged<'_>> = rows
            .iter()
            .zip(said)
            .map(|(row, said)| {
                let how = if said.is_some() { How::Judge } else { How::Unjudged };
                let verdict = Verdict { how, said: said.map(String::from), right: false };
                Judged { row, all_right: false, verdict }
            })
            .collect();
        let scores = LlavaBench::default().scores(&judged, Protocol::Kit2026_08);
        let shown: Vec<(String, f64, usize)> = scores
            .iter()
            .map(|score| {
                (format!("{} {}", score.name, score.metric), (score.value * 10.0).round() / 10.0, score.of)
            })
            .collect();
        assert_eq!(shown[0], ("relative score relative score".into(), 70.4, 3));
        assert_eq!(shown[3], ("conv relative score".into(), 82.4, 2));
        assert_eq!(shown[6], ("detail relative score".into(), 50.0, 1));
        let unjudged = LlavaBench::default().judge(&rows[0], "a cat", Protocol::Kit2026_08);
        assert_eq!((unjudged.how, unjudged.right), (How::Unjudged, false));
        assert!(LlavaBench::default().as_kits_count(judged, Protocol::Kit2026_08).is_err());
        assert_eq!(LlavaBench::default().check(&row("conv")), None);
        let (_, detail) = LlavaBench::default().check(&Row::from_cells(&[("question", "q")])).unwrap();
        assert!(detail.starts_with("there is nothing in the column `caption`"), "{detail}");
    }
}
