//! A dataset and its predictions → what is reported about them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;

use crate::answers::language::is_in_another_language;
use crate::benchmarks::verdict::{How, Judged, Score, Verdict};
use crate::data::pandas;
use crate::data::problem::{Problem, ProblemKind, count_problems};
use crate::data::row::Row;
use crate::dataset::Dataset;
use crate::language_code::LanguageCode;
use crate::predictions::Assigned;
use crate::protocol::{Grouping, Protocol};
use crate::report::unread::unread;

/// A dataset scored in one protocol.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Scored<'a> {
    /// Every row of the dataset, in its order.
    pub judged: Vec<Judged<'a>>,
    /// The numbers.
    pub result: DatasetResult,
}

/// What is reported about a dataset in one protocol.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct DatasetResult {
    /// The dataset's name.
    pub dataset: String,
    /// The benchmark's.
    pub benchmark: &'static str,
    /// The column of the expected answers.
    #[serde(skip)]
    pub expected_column: &'static str,
    /// Its language.
    pub language: Option<LanguageCode>,
    /// Which harness's rules.
    pub protocol: Protocol,
    /// What the first score counts.
    pub grouping: Grouping,
    /// MD5 of the dataset's file.
    pub md5: String,
    /// SHA-256 over the prompts of all rows, where this program asked them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompts_sha256: Option<String>,
    /// Rows of the file, all of which count.
    pub rows: usize,
    /// Rows that have a prediction.
    pub answered: usize,
    /// The scores over all rows.
    pub scores: Vec<Score>,
    /// The scores that the kit would print where that differs: it leaves out rows without picture or
    /// prediction and groups without their main row, and counts a row twice that has two predictions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_kit: Option<Vec<Score>>,
    /// Why it cannot be said what the kit would print, mostly because it fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kit_unknown: Option<&'static str>,
    /// How answers were read.
    pub extraction: Extraction,
    /// Answers in words of another language than the file's, as far as that can be told from so few words.
    #[serde(skip_serializing_if = "is_zero")]
    pub other_language: usize,
    /// Why most answers could not be read or none was right, and what would help, where that is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
    /// Mean weight of each expert over the rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expert_weights: Option<Vec<f32>>,
    /// How many problems of each kind there are.
    pub problems: BTreeMap<ProblemKind, usize>,
}

/// How many answers were read in each way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Extraction {
    /// A letter stood in them.
    pub letter: usize,
    /// They contained the words of one option, or Yes or No.
    pub text: usize,
    /// They refused.
    pub refusal: usize,
    /// They said nothing that is an option.
    pub none: usize,
    /// A judge rated them.
    #[serde(skip_serializing_if = "is_zero")]
    pub judged: usize,
    /// No judge has rated them.
    #[serde(skip_serializing_if = "is_zero")]
    pub unjudged: usize,
    /// There was no answer.
    pub missing: usize,
}

impl DatasetResult {
    /// The number that is usually quoted; 0 for a benchmark that reports none.
    #[must_use]
    pub fn headline(&self) -> f64 {
        self.scores.first().map_or(0.0, |score| score.value)
    }
}

/// Scores the predictions of a dataset's rows.
#[must_use]
pub fn score<'a>(dataset: &'a Dataset, predictions: &Assigned, protocol: Protocol) -> Scored<'a> {
    let mut extraction = Extraction::default();
    let mut judged = Vec::with_capacity(dataset.rows.len());
    let mut as_kit = Vec::with_capacity(dataset.rows.len());
    let mut stops_at_doubles = None;
    // The kits score what comes back from their spreadsheet, whose columns are read as a whole.
    let texts: Vec<&str> = predictions.of_rows.iter().flatten().map(String::as_str).collect();
    let rows_of_answers = predictions.of_rows.iter().enumerate();
    let answered: Vec<usize> =
        rows_of_answers.flat_map(|(at, texts)| std::iter::repeat_n(at, texts.len())).collect();
    let is_read = |at: usize| predictions.from_spreadsheet.get(answered[at]) == Some(&true);
    let mut read = if dataset.benchmark.reads_spreadsheet() {
        pandas::through_xlsx(&texts, is_read, protocol).into_iter()
    } else {
        texts.iter().map(|text| (*text).to_string()).collect::<Vec<_>>().into_iter()
    };
    let options = dataset.scored_options(&answered, protocol);
    for ((row, texts), options) in dataset.rows.iter().zip(&predictions.of_rows).zip(options) {
        let texts: Vec<String> = read.by_ref().take(texts.len()).collect();
        let as_scored = match options {
            Some(options) => Cow::Owned(Row { scored: Some(options), ..row.clone() }),
            None => Cow::Borrowed(row),
        };
        let verdicts: Vec<Verdict> =
            texts.iter().map(|text| dataset.benchmark.judge(&as_scored, text, protocol)).collect();
        if dataset.benchmark.grouping(protocol) == Grouping::PerRow {
            stops_at_doubles = stops_at_doubles.or(doubled(&texts, &verdicts, protocol));
        }
        let all_right = !verdicts.is_empty() && verdicts.iter().all(|verdict| verdict.right);
        let answer =
            Judged { row, all_right, verdict: verdicts.last().cloned().unwrap_or_else(Verdict::missing) };
        extraction.add(verdicts.last());
        let times = if row.images.is_empty() { 0 } else { texts.len() };
        as_kit.extend(std::iter::repeat_n(answer.clone(), times));
        judged.push(answer);
    }
    let mut kit_unknown = kit_unknown(dataset, predictions, protocol);
    // Of questions with yes and no the last answer counts, whichever was first.
    if dataset.benchmark.has_options() {
        kit_unknown = kit_unknown.or(stops_at_doubles);
    }
    let as_kit = match dataset.benchmark.as_kits_count(as_kit, protocol) {
        Ok(counted) => counted,
        Err(why) => {
            kit_unknown.get_or_insert(why);
            Vec::new()
        }
    };
    kit_unknown = kit_unknown.filter(|_| !dataset.is_own());
    let is_whole = as_kit.len() == judged.len() && predictions.of_rows.iter().all(|texts| texts.len() == 1);
    // No kit prints anything of a file that none knows.
    let is_as_kit = is_whole || dataset.is_own();
    let result = DatasetResult {
        dataset: dataset.id.clone(),
        benchmark: dataset.benchmark.name(),
        expected_column: dataset.benchmark.expected_column(),
        language: dataset.language,
        protocol,
        grouping: dataset.benchmark.grouping(protocol),
        md5: dataset.md5.clone(),
        prompts_sha256: None,
        rows: judged.len(),
        answered: predictions.of_rows.iter().filter(|texts| !texts.is_empty()).count(),
        scores: dataset.benchmark.scores(&judged, protocol),
        as_kit: (!is_as_kit && kit_unknown.is_none()).then(|| dataset.benchmark.scores(&as_kit, protocol)),
        kit_unknown,
        extraction,
        other_language: other_language(dataset, predictions),
        unread: unread(dataset, &judged, predictions, extraction),
        expert_weights: None,
        problems: count_problems(dataset.problems.iter().chain(&predictions.problems)),
    };
    Scored { judged, result }
}

/// How many answers are in another language than the file's.
fn other_language(dataset: &Dataset, predictions: &Assigned) -> usize {
    let Some(language) = dataset.language else { return 0 };
    let is_other = |(row, texts): &(&Row, &Vec<String>)| {
        texts.last().is_some_and(|text| is_in_another_language(text, row, language))
    };
    dataset.rows.iter().zip(&predictions.of_rows).filter(is_other).count()
}

/// What becomes of several answers to one row where rows are counted. The kits keep one result per index: that of 2024
/// insists that all are alike to the word, today's takes whichever is finished last.
fn doubled(texts: &[String], verdicts: &[Verdict], protocol: Protocol) -> Option<&'static str> {
    let read = |at: usize| if verdicts[at].how == How::None { "" } else { texts[at].as_str() };
    let differ = (1..texts.len()).any(|at| read(at) != read(0) || verdicts[at].right != verdicts[0].right);
    let race = (1..texts.len()).any(|at| verdicts[at].right != verdicts[0].right);
    match protocol {
        Protocol::Kit2026_08 => race.then_some("which of two answers to one row counts is a race there"),
        Protocol::Paper2024_06 | Protocol::Kit2024_08 => {
            differ.then_some("it stops at two different answers to one row")
        }
    }
}

/// Why it cannot be said what the kit would print.
fn kit_unknown(dataset: &Dataset, predictions: &Assigned, protocol: Protocol) -> Option<&'static str> {
    let has = |kind| {
        dataset.problems.iter().chain(&predictions.problems).any(|problem: &Problem| problem.kind == kind)
    };
    let is_grouped = dataset.benchmark.grouping(protocol) == Grouping::Circular;
    if predictions.of_rows.iter().all(Vec::is_empty) {
        Some("it has no answer to read")
    } else if has(ProblemKind::BrokenImage) {
        Some("a broken picture stops it")
    } else if has(ProblemKind::NotAsked) || has(ProblemKind::NoQuestion) {
        Some("it would have asked what could not be asked here")
    } else if has(ProblemKind::UnknownPrediction) {
        Some("it stops at an answer to a row that there is not")
    } else if has(ProblemKind::DuplicateIndex) {
        Some("it keeps one answer per index, and two rows have the same")
    } else if is_grouped && dataset.rows.iter().any(|row| row.number().is_none()) {
        Some("it needs whole numbers as indices")
    } else {
        let answers: Vec<usize> = predictions.of_rows.iter().map(Vec::len).collect();
        dataset.benchmark.kits_fail(&dataset.rows, &answers)
    }
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Extraction {
    fn add(&mut self, verdict: Option<&Verdict>) {
        *match verdict.map(|verdict| verdict.how) {
            Some(How::Letter) => &mut self.letter,
            Some(How::Text) => &mut self.text,
            Some(How::Judge) => &mut self.judged,
            Some(How::Unjudged) => &mut self.unjudged,
            Some(How::Refusal) => &mut self.refusal,
            Some(How::None) => &mut self.none,
            None => &mut self.missing,
        } += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ImageStore;

    const IMAGE: &str =
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

    /// What the kit would print for rows of these indices and pictures with these answers, as (value, of).
    fn as_kit(rows: &[(&str, &str)], answers: &[&[&str]]) -> (Option<(f64, usize)>, Option<&'static str>) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mini_mmmb_tr.tsv");
        let mut text = "index\timage\tquestion\tA\tB\tanswer\n".to_string();
        rows.iter().for_each(|(index, image)| text += &format!("{index}\t{image}\tq\ta\tb\tA\n"));
        std::fs::write(&file, text).unwrap();
        let dataset = Dataset::open(&file, &mut ImageStore::default()).unwrap();
        let of_rows = answers.iter().map(|texts| texts.iter().map(|text| (*text).into()).collect()).collect();
        let predictions = Assigned { of_rows, ..Assigned::default() };
        let result = score(&dataset, &predictions, Protocol::Kit2024_08).result;
        assert_eq!(result.scores[0].of, rows.len(), "every row counts");
        (result.as_kit.map(|scores| (scores[0].value, scores[0].of)), result.kit_unknown)
    }

    /// Rows of these columns behind index, image, question, A and B, with answers; what each kit would print of them.
    fn kits(name: &str, columns: &str, rows: &[(&str, &str, &str)]) -> Vec<Result<f64, &'static str>> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        let mut text = format!("index\timage\tquestion\tA\tB\t{columns}\n");
        rows.iter()
            .for_each(|(index, cells, _)| text += &format!("{index}\t{IMAGE}\tq\tcat\tdog\t{cells}\n"));
        std::fs::write(&file, text).unwrap();
        let dataset = Dataset::open(&file, &mut ImageStore::default()).unwrap();
        let texts =
            |answers: &str| answers.split('|').filter(|text| !text.is_empty()).map(Into::into).collect();
        let of_rows = rows.iter().map(|(.., answers)| texts(answers)).collect();
        let predictions = Assigned { of_rows, ..Assigned::default() };
        let print = |protocol| {
            let result = score(&dataset, &predictions, protocol).result;
            match result.kit_unknown {
                Some(why) => Err(why),
                None => Ok(result.as_kit.as_deref().unwrap_or(&result.scores)[0].value),
            }
        };
        [Protocol::Kit2024_08, Protocol::Kit2026_08].map(print).into()
    }

    /// The edges where a cross-check with the kits' own functions found other numbers.
    #[test]
    fn the_kits_numbers_at_the_edges() {
        // Only groups whose main row has an answer count: index 2 has none.
        let rows = [("2", "A", ""), ("1000002", "A", "B"), ("3", "A", "A"), ("1000003", "A", "A")];
        assert_eq!(kits("mini_mmbench_en.tsv", "answer", &rows), [Ok(100.0), Ok(100.0)]);
        // Two answers to one row with different words.
        let rows = [("1", "A", "A|B"), ("2", "A", "A")];
        let [fork, upstream] = [
            "it stops at two different answers to one row",
            "which of two answers to one row counts is a race there",
        ];
        assert_eq!(kits("mini_mmmb_en.tsv", "answer", &rows), [Err(fork), Err(upstream)]);
        let rows = [("1", "A", "A|A."), ("2", "A", "A")];
        assert_eq!(kits("mini_mmmb_en.tsv", "answer", &rows), [Err(fork), Ok(100.0)]);
        // A column of categories with a gap cannot be sorted; without any it is not looked at.
        let rows = [("1", "A\tx", "A"), ("2", "A\t", "A")];
        let stops = "it stops at a row without a category";
        for column in ["category", "L2-Category"] {
            assert_eq!(kits("mini_mmmb_en.tsv", &format!("answer\t{column}"), &rows), [Err(stops); 2]);
        }
        assert_eq!(
            kits("mini_mmbench_en.tsv", "answer\tcategory", &[("1", "A\tx", "A"), ("1000001", "A\t", "A")]),
            [Ok(100.0); 2]
        );
        // Rows without a split are in none.
        let rows = [("1", "A\tdev", "A"), ("2", "A\t", "B")];
        assert_eq!(kits("mini_mmmb_en.tsv", "answer\tSplit", &rows), [Ok(100.0); 2]);
        let rows = [("1", "A\t", "A"), ("2", "A\t", "B")];
        assert_eq!(
            kits("mini_mmmb_en.tsv", "answer\tsplit", &rows),
            [Err("it has no row to count, and prints nan"); 2]
        );
        // Upstream drops rows without the group that its column says.
        let rows = [("1", "A\t1", "A"), ("2", "A\t", "B")];
        assert_eq!(kits("mini_mmbench_en.tsv", "answer\tg_index", &rows), [Ok(50.0), Ok(100.0)]);
        // What comes back from a spreadsheet: 0 of a formula, and numbers of a column of numbers.
        let rows = [("1", "A", "=A"), ("2", "A", "A\r\nthe cat"), ("3", "A", "A")];
        let printed: Vec<f64> =
            kits("mini_mmmb_en.tsv", "answer", &rows).into_iter().map(Result::unwrap).collect();
        // The formula is 0 to the kit of 2024. The `A` of the second has become `A_x000D_`, where that finds the cat;
        // today's does not look into long answers, and reads `=A` as it is, which is no letter.
        assert_eq!(printed.iter().map(|value| value.round()).collect::<Vec<_>>(), [67.0, 33.0]);
    }

    /// Options 7, 007 and 7.0 are one number to pandas, and so are the answers.
    #[test]
    fn options_and_answers_of_numbers_are_compared_as_pandas_writes_them() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mini_mmmb_en.tsv");
        let row = |index: &str, a: &str| format!("{index}\t{IMAGE}\tq\t{a}\t5\tA\n");
        let rows = [row("1", "7"), row("2", "007"), row("3", "7.0")].concat();
        std::fs::write(&file, format!("index\timage\tquestion\tA\tB\tanswer\n{rows}")).unwrap();
        let dataset = Dataset::open(&file, &mut ImageStore::default()).unwrap();
        let of_rows = ["7", "007", "7"].map(|text| vec![text.to_string()]).into();
        let result =
            score(&dataset, &Assigned { of_rows, ..Assigned::default() }, Protocol::Kit2024_08).result;
        assert_eq!(result.headline(), 100.0);
    }

    #[test]
    fn what_the_kit_would_print_is_said_only_where_it_prints() {
        let whole = [("1", IMAGE), ("2", IMAGE)];
        assert_eq!(as_kit(&whole, &[&["A"], &["B"]]), (None, None), "the same");
        assert_eq!(as_kit(&whole, &[&["A"], &[]]), (Some((100.0, 1)), None));
        assert_eq!(as_kit(&whole, &[&["A", "A"], &["B"]]), (Some((200.0 / 3.0, 3)), None));
        assert_eq!(as_kit(&[whole[0], ("2", "")], &[&["A"], &[]]), (Some((100.0, 1)), None));
        // Two that differ in words only, and two that neither can read.
        assert_eq!(as_kit(&whole, &[&["?", "!"], &["B"]]), (Some((0.0, 3)), None));
        let (scores, unknown) = as_kit(&whole, &[&["A", "A."], &["B"]]);
        assert_eq!((scores, unknown), (None, Some("it stops at two different answers to one row")));
        for (rows, answers, why) in [
            ([whole[0], ("1.0", IMAGE)], [&["A"][..], &["B"]], "it keeps one answer per index"),
            ([whole[0], ("2", "7")], [&["A"], &[]], "a broken picture stops it"),
            (whole, [&[], &[]], "it has no answer to read"),
        ] {
            let (scores, unknown) = as_kit(&rows, &answers);
            assert!(scores.is_none() && unknown.unwrap().starts_with(why), "{why}: {scores:?} {unknown:?}");
        }
    }
}
