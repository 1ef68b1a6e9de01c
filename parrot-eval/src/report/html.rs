//! The report as one HTML file that needs nothing else.

use serde::Serialize;

use crate::data::problem::problem_counts;
use crate::report::figure::{Figure, figure};
use crate::report::heat_map::{HeatMap, heat_maps};
use crate::report::results::{Report, collection_name};
use crate::report::score::DatasetResult;
use crate::report::standings::{OverallRow, Standing, Summary, overall_rows, standings, summary};
use crate::report::template::render;
use crate::report::wrong::WrongAnswer;
use crate::{LanguageCode, Protocol, Result};

const TEMPLATE: &str = include_str!("report.html");

/// What the page shows.
#[derive(Debug, Clone, Serialize)]
pub struct ReportPage<'a> {
    report: &'a Report,
    protocols: Vec<Protocol>,
    summary: Vec<Summary>,
    figure: Figure,
    standings: Vec<Standing>,
    /// All scores of datasets without a language.
    overall: Vec<OverallRow>,
    heat_maps: Vec<HeatMap>,
    experts: Vec<Experts>,
    rows: Vec<RowCounts>,
    /// Whether a judge rates any of them.
    has_judged: bool,
    problems: Vec<String>,
    more_problems: usize,
    wrong: &'a [WrongAnswer],
    wrong_in_all: usize,
}

#[derive(Debug, Clone, Serialize)]
struct Experts {
    name: String,
    weights: Vec<f32>,
}

/// How the answers to one dataset were read, under protocols that agree on it.
#[derive(Debug, Clone, Serialize)]
struct RowCounts {
    result: DatasetResult,
    protocols: Vec<Protocol>,
    /// What else there is to say, in sentences.
    notes: Vec<String>,
}

impl<'a> ReportPage<'a> {
    /// The page of a report, with these of its wrong answers; `wrong_in_all` were wrong.
    #[must_use]
    pub fn new(report: &'a Report, wrong: &'a [WrongAnswer], wrong_in_all: usize) -> Self {
        const SHOWN: usize = 100;
        let mut protocols: Vec<Protocol> = report.results.iter().map(|result| result.protocol).collect();
        protocols.sort_unstable();
        protocols.dedup();
        Self {
            report,
            summary: summary(report, &protocols),
            figure: figure(report),
            standings: standings(report),
            overall: overall_rows(report, &protocols),
            protocols,
            heat_maps: heat_maps(&report.results),
            experts: experts(&report.results),
            rows: row_counts(&report.results),
            has_judged: report.results.iter().any(is_judged),
            problems: report.problems.iter().take(SHOWN).map(ToString::to_string).collect(),
            more_problems: report.problems.len().saturating_sub(SHOWN),
            wrong,
            wrong_in_all,
        }
    }

    /// The HTML.
    ///
    /// # Errors
    ///
    /// None in practice: the template is part of the program.
    pub fn render(&self) -> Result<String> {
        render("report.html", TEMPLATE, self)
    }
}

/// Experts' weights per dataset, once even if several protocols asked the same questions.
fn experts(results: &[DatasetResult]) -> Vec<Experts> {
    let mut experts: Vec<Experts> = Vec::new();
    for result in results {
        let Some(weights) = &result.expert_weights else { continue };
        let code = result.language.map_or("", LanguageCode::code);
        let name = format!("{} {code}", collection_name(result)).trim_end().to_string();
        // Protocols that ask the same give the same weights.
        if !experts.iter().any(|known| known.name.starts_with(&name) && known.weights == *weights) {
            let name = format!("{name}, {}", result.protocol);
            experts.push(Experts { name, weights: weights.clone() });
        }
    }
    experts
}

fn is_judged(result: &DatasetResult) -> bool {
    result.extraction.judged + result.extraction.unjudged > 0
}

fn row_counts(results: &[DatasetResult]) -> Vec<RowCounts> {
    let mut rows: Vec<RowCounts> = Vec::new();
    for result in results {
        let notes = notes(result);
        match rows.last_mut() {
            Some(row)
                if row.result.dataset == result.dataset
                    && row.result.extraction == result.extraction
                    && row.notes == notes =>
            {
                row.protocols.push(result.protocol);
            }
            _ => rows.push(RowCounts { result: result.clone(), protocols: vec![result.protocol], notes }),
        }
    }
    rows
}

fn notes(result: &DatasetResult) -> Vec<String> {
    let kit = result.as_kit.as_ref().and_then(|scores| scores.first());
    let unknown = result.kit_unknown.map(|why| format!("What the kit would print cannot be said: {why}."));
    let kit = kit.map(|score| format!("The kit would print {:.2} of {}.", score.value, score.of));
    let problems = problem_counts(&result.problems);
    let problems = (!problems.is_empty()).then(|| format!("Problems: {problems}."));
    let other = result.other_language;
    let language = result.language.map_or("", LanguageCode::code);
    let other = (other > 0).then(|| format!("In another language than {language}: {other}."));
    [unknown.or(kit), other, result.unread.clone(), problems].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Assigned, Dataset, ImageStore, ModelInfo, score, wrong_answers};

    const IMAGE: &str =
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

    /// Each row is the cells behind index and picture, and an answer.
    fn dataset(name: &str, columns: &str, rows: &[(&str, &str)]) -> (Dataset, Assigned) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        let mut text = format!("index\timage\t{columns}\n");
        for (index, (cells, _)) in rows.iter().enumerate() {
            text += &format!("{index}\t{IMAGE}\t{cells}\n");
        }
        std::fs::write(&file, text).unwrap();
        let of_rows = rows.iter().map(|(_, answer)| vec![(*answer).into()]).collect();
        let dataset = Dataset::open(&file, &mut ImageStore::default()).unwrap();
        (dataset, Assigned { of_rows, ..Assigned::default() })
    }

    fn mmmb() -> (Dataset, Assigned) {
        let rows = [("q<1>\ta\tb\tA\tocr", "A"), ("q2\ta\tb\tB\tocr", "A"), ("q3\ta\tb\tB\tscene", "B")];
        dataset("mmmb_tr.tsv", "question\tA\tB\tanswer\tcategory", &rows)
    }

    fn page(results: Vec<DatasetResult>, wrong: &[WrongAnswer]) -> String {
        let model = ModelInfo { name: "the <model>".into(), ..ModelInfo::default() };
        let report = Report::new(model, None, results, Vec::new());
        ReportPage::new(&report, wrong, wrong.len()).render().unwrap()
    }

    #[track_caller]
    fn assert_in_order(page: &str, parts: &[&str]) {
        let mut rest = page;
        for part in parts {
            let at = rest.find(part).unwrap_or_else(|| panic!("{part} is not where it should be in\n{page}"));
            rest = &rest[at + part.len()..];
        }
    }

    #[test]
    fn one_table_and_one_picture_come_first() {
        let (data, answers) = mmmb();
        let page = page(Protocol::ALL.map(|protocol| score(&data, &answers, protocol).result).into(), &[]);
        assert_in_order(
            &page,
            &[
                "<th>paper-2024-06</th><th>kit-2024-08</th><th>kit-2026-08</th>",
                "<td>MMMB<span class=\"label\">accuracy, tr</span></td>",
                "<td>66.67<span class=\"label\">of 3 groups</span></td>",
                "<td>66.67<span class=\"label\">of 3 rows</span></td>",
                "<figure>",
                "<span>MMMB tr</span>",
                "Bars: paper-2024-06",
                "<h2>MMMB by language</h2>",
            ],
        );
        assert_eq!(page[..page.find("<figure>").unwrap()].matches("<table").count(), 1);
    }

    #[test]
    fn the_papers_numbers_stand_beside_those_of_their_protocol_only() {
        let (data, answers) = mmmb();
        let result = |protocol| score(&data, &answers, protocol).result;
        let both = page(vec![result(Protocol::Paper2024_06), result(Protocol::Kit2024_08)], &[]);
        assert_in_order(
            &both,
            &[
                "paper-2024-06, per group, beside the paper&#x27;s table 2",
                "<tr class=\"ours\"><td>the &lt;model&gt;</td>",
                "<td class=\"bar\" style=\"--part:66.67%\">66.67</td>",
                "<tr><td>Parrot (Qwen1.5-7B)</td>",
                "<td class=\"bar\" style=\"--part:70.00%\">70.00</td>",
                "<td>11.99</td><td>tr</td>",
                "kit-2024-08, per row</td>",
            ],
        );
        assert_eq!(both.matches("<td>GPT-4V</td>").count(), 1);
        let kit = page(vec![result(Protocol::Kit2024_08)], &[]);
        let (ours, papers) =
            kit.split_once("the paper&#x27;s table 2, paper-2024-06: another protocol").unwrap();
        assert!(!ours.contains("GPT-4V") && papers.contains("GPT-4V"));
    }

    /// Three languages make a radar, in which the paper's systems stand if their protocol does.
    #[test]
    fn languages_stand_around_a_circle() {
        let rows = [("q\ta\tb\tA\tocr", "A"), ("q\ta\tb\tA\tocr", "B")];
        let results = |protocol| -> Vec<DatasetResult> {
            let of_language = |code| {
                let (data, answers) =
                    dataset(&format!("mmmb_{code}.tsv"), "question\tA\tB\tanswer\tcategory", &rows);
                score(&data, &answers, protocol).result
            };
            ["en", "tr", "ru"].map(of_language).into()
        };
        let paper = page(results(Protocol::Paper2024_06), &[]);
        assert_in_order(
            &paper,
            &[
                "<polygon class=\"paper line0\"",
                "points=\"0,-50 43.3,25 -43.3,25\"",
                "GPT-4V, the paper&#x27;s",
            ],
        );
        let kit = page(results(Protocol::Kit2024_08), &[]);
        assert!(kit.contains("<polygon class=\"ours line0\"") && !kit.contains("<polygon class=\"paper"));
        assert!(kit.contains("mean of 3 languages") && kit.contains("worst en, spread 0.00"));
    }

    #[test]
    fn categories_are_shaded_by_their_value() {
        let (data, answers) = mmmb();
        let page = page(vec![score(&data, &answers, Protocol::Kit2024_08).result], &[]);
        assert_in_order(
            &page,
            &[
                "<h2>MMMB by category, per row, kit-2024-08</h2>",
                "<th>tr</th>",
                "<td>ocr</td>\n<td class=\"heat\" style=\"--part:0.38\">50.00</td>",
                "<td>scene</td>\n<td class=\"heat\" style=\"--part:0.77\">100.00</td>",
            ],
        );
    }

    #[test]
    fn protocols_that_agree_share_a_map() {
        let (data, answers) = mmmb();
        let page = page(Protocol::ALL.map(|protocol| score(&data, &answers, protocol).result).into(), &[]);
        // The same numbers, of groups in one of them.
        for title in ["per group, paper-2024-06", "per row, kit-2024-08, kit-2026-08"] {
            assert!(page.contains(&format!("<h2>MMMB by category, {title}</h2>")), "{page}");
        }
        assert_eq!(page.matches(" by category, ").count(), 2);
    }

    #[test]
    fn protocols_that_agree_share_a_line_and_a_judge_has_columns_where_there_is_one() {
        let (data, answers) = mmmb();
        let mmmb = Protocol::ALL.map(|protocol| score(&data, &answers, protocol).result);
        let alone = page(mmmb.to_vec(), &[]);
        let line = "<td>MMMB_<wbr>tr</td><td>paper-2024-06, kit-2024-08, kit-2026-08</td><td>";
        assert!(alone.contains(line) && !alone.contains("<th>judged</th>"), "{alone}");
        let (data, answers) =
            dataset("LLaVABench.tsv", "question\tgpt4_ans\tcaption\tcategory", &[("q\ta\tc\tconv", "A")]);
        let judged = page(vec![score(&data, &answers, Protocol::Kit2026_08).result], &[]);
        assert!(judged.contains("<th>judged</th><th>not judged</th>"), "{judged}");
    }

    #[test]
    fn a_long_question_is_clipped() {
        let question = "word ".repeat(120_000);
        let cells = format!("{question}\ta\tb\tA\tocr");
        let (data, answers) =
            dataset("mmmb_tr.tsv", "question\tA\tB\tanswer\tcategory", &[(&cells, &question)]);
        let scored = score(&data, &answers, Protocol::Kit2024_08);
        let wrong = wrong_answers(&scored, &answers, 1);
        assert!(page(vec![scored.result.clone()], &wrong).len() < 30_000);
    }

    #[test]
    fn mme_shows_its_points_and_both_sums() {
        let rows = [
            ("q\tYes\tOCR\t1.jpg", "Yes"),
            ("q\tNo\tOCR\t1.jpg", "No"),
            ("q\tYes\ttext_translation\t2.jpg", "Yes"),
            ("q\tNo\ttext_translation\t2.jpg", "Yes"),
        ];
        let (data, answers) = dataset("MME.tsv", "question\tanswer\tcategory\timage_path", &rows);
        let page = page(vec![score(&data, &answers, Protocol::Kit2026_08).result], &[]);
        assert_in_order(
            &page,
            &[
                "<td class=\"second\">perception points</td><td>200.00 <span class=\"label\">of 2</span></td>",
                "<td class=\"second\">reasoning points</td><td>50.00 <span class=\"label\">of 2</span></td>",
                "<h2>MME by category, per row, kit-2026-08</h2>",
                "<td>OCR</td>\n<td class=\"heat\" style=\"--part:0.77\">200.00</td>",
                "<td>text_<wbr>translation</td>\n<td class=\"heat\" style=\"--part:0.19\">50.00</td>",
                "What the kit would print cannot be said: its rating of MME needs all fourteen categories.",
            ],
        );
    }

    #[test]
    fn pope_shows_what_its_score_is() {
        let rows = [("q\tYes\trandom", "Yes"), ("q\tNo\trandom", "Yes")];
        let (data, answers) = dataset("POPE.tsv", "question\tanswer\tcategory", &rows);
        let page = page(vec![score(&data, &answers, Protocol::Kit2024_08).result], &[]);
        for (name, value) in
            [("F1", "66.67"), ("accuracy", "50.00"), ("precision", "50.00"), ("recall", "100.00")]
        {
            assert!(
                page.contains(&format!(
                    "<td class=\"second\">{name}</td><td>{value} <span class=\"label\">of 2</span></td>"
                )),
                "{name}: {page}"
            );
        }
    }

    #[test]
    fn experts_are_shown_once_where_protocols_ask_the_same() {
        let (data, answers) = mmmb();
        let result = |protocol, weights: &[f32]| {
            let mut result = score(&data, &answers, protocol).result;
            result.expert_weights = Some(weights.into());
            result
        };
        let results = vec![
            result(Protocol::Paper2024_06, &[0.25, 0.75]),
            result(Protocol::Kit2024_08, &[0.5, 0.5]),
            result(Protocol::Kit2026_08, &[0.5, 0.5]),
        ];
        assert_in_order(
            &page(results, &[]),
            &[
                "<th>expert 2</th>",
                "<td>MMMB tr, paper-2024-06</td><td class=\"bar\" style=\"--part:25.00%\">0.250</td>",
                "<td>MMMB tr, kit-2024-08</td>",
                "</table>",
            ],
        );
    }

    #[test]
    fn wrong_answers_say_by_whose_rules() {
        let (data, answers) = mmmb();
        let scored = score(&data, &answers, Protocol::Kit2024_08);
        let wrong = wrong_answers(&scored, &answers, 10);
        let page = page(vec![scored.result.clone()], &wrong);
        assert_in_order(
            &page,
            &[
                "1 of 1 under kit-2024-08,",
                "MMMB_<wbr>tr, index <bdi>1</bdi>",
                "<p dir=\"auto\">q2</p>",
                "<li class=\"right",
            ],
        );
    }
}
