//! MTVQA: questions in nine languages about texts in pictures of the same language.
//!
//! Right is an answer that contains the expected one, letter case and full stops aside; `category` is the language
//! (VLMEvalKit, `MTVQADataset.evaluate`).

use crate::answers::extract::is_python_space;
use crate::benchmarks::benchmark::Benchmark;
use crate::benchmarks::verdict::{Judged, Level, Score, Verdict, by_category};
use crate::data::problem::ProblemKind;
use crate::data::row::Row;
use crate::prompt::PromptStyle;
use crate::protocol::Protocol;

/// The benchmark, for `MTVQA_TEST.tsv`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MtVqa;

impl Benchmark for MtVqa {
    fn name(&self) -> &'static str {
        "MTVQA"
    }

    fn columns(&self) -> &'static [&'static str] {
        &["category"]
    }

    fn check(&self, row: &Row) -> Option<(ProblemKind, String)> {
        row.answer().is_empty().then(|| (ProblemKind::BadAnswer, "expected a text, found nothing".into()))
    }

    fn kits_fail(&self, rows: &[Row], _answers: &[usize]) -> Option<&'static str> {
        let is_test = |row: &Row| row.get("split").is_some_and(|split| split.eq_ignore_ascii_case("test"));
        let fails = rows.iter().any(|row| row.has_column("split") && !is_test(row));
        fails.then_some("it scores the split `test` only")
    }

    fn prompt(&self, row: &Row, _style: PromptStyle) -> String {
        format!(
            "{}\nAnswer the question using a word or phrase in the language of the question.",
            row.question()
        )
    }

    fn judge(&self, row: &Row, prediction: &str, _protocol: Protocol) -> Verdict {
        let normal = |text: &str| text.trim_matches(is_python_space).to_lowercase().replace('.', "");
        let is_right = !row.answer().is_empty() && normal(prediction).contains(&normal(row.answer()));
        Verdict::of_contained(is_right.then(|| row.answer().to_string()))
    }

    /// Over all rows, then per language. The mean of the languages, which a small one moves as much as a large one, how
    /// far the worst is from the best, and the worst stand beside the kit's average over rows.
    fn scores(&self, judged: &[Judged<'_>], _protocol: Protocol) -> Vec<Score> {
        let all: Vec<&Judged<'_>> = judged.iter().collect();
        let mut scores = vec![Score::accuracy_of(Level::Overall, "Average", &all)];
        // A row that tells no language counts as well.
        let by_language = by_category(judged, |row| Some(row.get("category").unwrap_or("none")));
        let accuracy = |(name, rows): (&str, Vec<_>)| Score::accuracy_of(Level::Category, name, &rows);
        let languages: Vec<Score> = by_language.into_iter().map(accuracy).collect();
        let values = languages.iter().map(|score| score.value);
        let extremes = values.clone().reduce(f64::min).zip(values.clone().reduce(f64::max));
        if let Some((worst, best)) = extremes.filter(|_| languages.len() > 1) {
            let mean = values.sum::<f64>() / languages.len() as f64;
            for (name, value) in [
                ("mean of languages", mean),
                ("spread of languages", best - worst),
                ("worst language", worst),
            ] {
                let total = languages.len();
                let name = name.into();
                scores.push(Score {
                    level: Level::Overall,
                    name,
                    split: None,
                    metric: "accuracy",
                    value,
                    of: total,
                });
            }
        }
        scores.extend(languages);
        scores
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expected_text_is_contained() {
        let rows: Vec<Row> = [("FR", "Le Monde"), ("FR", "S.N.C.F."), ("JA", "東京"), ("KR", " 서울. ")]
            .map(|(language, answer)| Row::from_cells(&[("answer", answer), ("category", language)]))
            .into();
        let judged: Vec<Judged<'_>> = rows
            .iter()
            .zip(["C'est le monde.", "SNCF", "京都", "서울"])
            .map(|(row, prediction)| {
                let verdict = MtVqa.judge(row, prediction, Protocol::Kit2026_08);
                Judged { row, all_right: verdict.right, verdict }
            })
            .collect();
        let scores = MtVqa.scores(&judged, Protocol::Kit2026_08);
        let found: Vec<(&str, f64)> =
            scores.iter().map(|score| (score.name.as_str(), score.value.round())).collect();
        assert_eq!(
            found,
            [
                ("Average", 75.0),
                ("mean of languages", 67.0),
                ("spread of languages", 100.0),
                ("worst language", 0.0),
                ("FR", 100.0),
                ("JA", 0.0),
                ("KR", 100.0),
            ]
        );
        let nothing = Row::from_cells(&[("answer", ""), ("category", "FR")]);
        assert!(!MtVqa.judge(&nothing, "anything", Protocol::Kit2026_08).right);
        assert_eq!(MtVqa.check(&nothing).unwrap().0, ProblemKind::BadAnswer);
        let train = Row::from_cells(&[("answer", "a"), ("category", "FR"), ("split", "train")]);
        assert!(MtVqa.kits_fail(&[train], &[1]).is_some());
    }
}
