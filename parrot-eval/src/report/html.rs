//! The report as one HTML file that needs nothing else.

use std::collections::BTreeMap;

use minijinja::Environment;
use serde::Serialize;

use crate::benchmarks::verdict::{Level, Score};
use crate::language::Language;
use crate::protocol::Protocol;
use crate::report::markdown::{OverallScore, named, overall_scores, problem_counts};
use crate::report::published::published;
use crate::report::results::{Collection, Report, collection_name};
use crate::report::score::DatasetResult;
use crate::report::wrong::WrongAnswer;
use crate::{Error, Result};

const TEMPLATE: &str = include_str!("report.html");
const STYLE: &str = include_str!("style.css");

/// What the page shows.
#[derive(Debug, Clone, Serialize)]
pub struct ReportPage<'a> {
    report: &'a Report,
    languages: Vec<&'static str>,
    standings: Vec<Standing>,
    /// The scores of datasets without a language.
    overall: Vec<OverallScore<'a>>,
    heat_maps: Vec<HeatMap>,
    experts: Vec<Experts>,
    rows: Vec<RowCounts>,
    problems: Vec<String>,
    more_problems: usize,
    wrong: &'a [WrongAnswer],
    wrong_in_all: usize,
}

/// Systems in one collection and protocol: this one, the paper's, or this one beside the paper's.
#[derive(Debug, Clone, Serialize)]
struct Standing {
    title: String,
    /// Where the paper's numbers are, if not here, or why this system is not beside them.
    note: Option<&'static str>,
    systems: Vec<System>,
}

#[derive(Debug, Clone, Serialize)]
struct System {
    name: String,
    is_ours: bool,
    cells: Vec<Option<f64>>,
}

#[derive(Debug, Clone, Serialize)]
struct HeatMap {
    name: String,
    /// Those that give these numbers.
    protocols: Vec<Protocol>,
    columns: Vec<String>,
    lines: Vec<HeatLine>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct HeatLine {
    name: String,
    is_group: bool,
    cells: Vec<Option<HeatCell>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct HeatCell {
    value: f64,
    /// The value as a share of the largest possible one, from 0 to 1.
    part: f64,
}

#[derive(Debug, Clone, Serialize)]
struct Experts {
    name: String,
    weights: Vec<f32>,
}

/// How the answers to one dataset were read.
#[derive(Debug, Clone, Serialize)]
struct RowCounts {
    result: DatasetResult,
    headline: String,
    problems: String,
    as_kit: Option<String>,
}

impl<'a> ReportPage<'a> {
    /// The page of a report, with these of its wrong answers; `wrong_in_all` were wrong.
    #[must_use]
    pub fn new(report: &'a Report, wrong: &'a [WrongAnswer], wrong_in_all: usize) -> Self {
        const SHOWN: usize = 100;
        Self {
            report,
            languages: Language::ALL.map(Language::code).into(),
            standings: standings(report),
            overall: overall_scores(&report.results),
            heat_maps: heat_maps(&report.results),
            experts: experts(&report.results),
            rows: report.results.iter().map(row_counts).collect(),
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

/// Fills a page's template, which may ask for `style`.
pub(crate) fn render(name: &str, template: &str, page: &impl Serialize) -> Result<String> {
    let failed = |error: minijinja::Error| Error::Table {
        file: name.into(),
        line: error.line().map(|line| line as u64),
        problem: format!("{error:#}"),
    };
    let mut environment = Environment::new();
    environment.add_global("style", minijinja::Value::from_safe_string(STYLE.into()));
    environment.add_filter("score", |value: f64| format!("{value:.2}"));
    environment.add_filter("signed", |value: f64| format!("{value:+.2}"));
    environment.add_filter("weight", |value: f64| format!("{value:.3}"));
    let page = minijinja::Value::from(minijinja::value::Serde(page));
    environment.render_named_str(name, template, page).map_err(failed)
}

/// What each protocol reports, and behind them the paper's numbers where this report has none of their protocol.
fn standings(report: &Report) -> Vec<Standing> {
    let reported: Vec<&Collection> =
        report.languages.iter().filter(|collection| collection.is_reported).collect();
    let mut standings: Vec<Standing> =
        reported.iter().map(|collection| standing(report, collection)).collect();
    let mut names: Vec<&str> = reported.iter().map(|collection| collection.name.as_str()).collect();
    names.dedup();
    for name in names {
        let is_beside = |collection: &&&Collection| {
            collection.name == name && collection.protocol == Protocol::Paper2024_06
        };
        let systems = published_systems(name);
        if reported.iter().find(is_beside).is_none() && !systems.is_empty() {
            let title = format!("{name} in the paper, under {}", Protocol::Paper2024_06);
            let note = "The paper's table 2, made under another protocol than the numbers above: \
                        they cannot be compared.";
            standings.push(Standing { title, note: Some(note), systems });
        }
    }
    standings
}

fn standing(report: &Report, collection: &Collection) -> Standing {
    let ours: Vec<Option<f64>> = Language::ALL
        .iter()
        .map(|language| collection.by_language.get(language).copied())
        .chain([Some(collection.mean)])
        .collect();
    let mut systems = vec![System { name: report.model.name.clone(), is_ours: true, cells: ours }];
    let published = published_systems(&collection.name);
    // The kits count otherwise, on MMMB at least, and their numbers come out higher.
    let is_comparable = collection.protocol == Protocol::Paper2024_06;
    let note = (!published.is_empty() && !is_comparable)
        .then_some("The paper's numbers were made under paper-2024-06 and are shown there.");
    if is_comparable {
        systems.extend(published);
    }
    let title = format!("{} under {}, {}", collection.name, collection.protocol, collection.counted);
    Standing { title, note, systems }
}

fn published_systems(collection: &str) -> Vec<System> {
    let system = |row: &crate::report::published::Published| {
        let mean = row.by_language.iter().sum::<f64>() / row.by_language.len() as f64;
        let cells = row.by_language.into_iter().chain([mean]).map(Some).collect();
        System { name: row.system.into(), is_ours: false, cells }
    };
    published(collection).iter().map(system).collect()
}

/// One per collection and protocol: categories down, languages across. Protocols that give the same numbers share one.
fn heat_maps(results: &[DatasetResult]) -> Vec<HeatMap> {
    let mut groups: BTreeMap<(String, Protocol), Vec<&DatasetResult>> = BTreeMap::new();
    for result in results {
        groups.entry((collection_name(result), result.protocol)).or_default().push(result);
    }
    let mut maps: Vec<HeatMap> = Vec::new();
    for ((name, protocol), mut results) in groups {
        results.sort_by_key(|result| result.language);
        let mut lines: BTreeMap<(Level, String), Vec<Option<HeatCell>>> = BTreeMap::new();
        for (column, result) in results.iter().enumerate() {
            // The first metric of a category is the one to show.
            for score in result.scores.iter().rev().filter(|score| score.level >= Level::L2Category) {
                let name = match &score.split {
                    Some(split) => format!("{split}: {}", score.name),
                    None => score.name.clone(),
                };
                let cells = lines.entry((score.level, name)).or_insert_with(|| vec![None; results.len()]);
                cells[column] = Some(heat_cell(score));
            }
        }
        let columns: Vec<String> =
            results.iter().map(|result| result.language.map_or("value", Language::code).into()).collect();
        let line = |((level, name), cells)| HeatLine { name, is_group: level == Level::L2Category, cells };
        let lines: Vec<HeatLine> = lines.into_iter().map(line).collect();
        let same = |map: &&mut HeatMap| map.name == name && map.columns == columns && map.lines == lines;
        if let Some(map) = maps.iter_mut().find(same) {
            map.protocols.push(protocol);
        } else if !lines.is_empty() {
            maps.push(HeatMap { name, protocols: vec![protocol], columns, lines });
        }
    }
    maps
}

fn heat_cell(score: &Score) -> HeatCell {
    let most = if score.metric == "points" { 200.0 } else { 100.0 };
    HeatCell { value: score.value, part: score.value / most }
}

/// Experts' weights per dataset, once even if several protocols asked the same questions.
fn experts(results: &[DatasetResult]) -> Vec<Experts> {
    let mut experts: Vec<Experts> = Vec::new();
    for result in results {
        let Some(weights) = &result.expert_weights else { continue };
        let code = result.language.map_or("", Language::code);
        let name = format!("{} {code}", collection_name(result)).trim_end().to_string();
        // Protocols that ask the same give the same weights.
        if !experts.iter().any(|known| known.name.starts_with(&name) && known.weights == *weights) {
            let name = format!("{name}, {}", result.protocol);
            experts.push(Experts { name, weights: weights.clone() });
        }
    }
    experts
}

fn row_counts(result: &DatasetResult) -> RowCounts {
    let kit = result.as_kit.as_ref().and_then(|scores| scores.first());
    let unknown = result.kit_unknown.map(|why| format!("unknown: {why}"));
    let name = result.scores.first().map(|score| format!("{} ", named(score))).unwrap_or_default();
    RowCounts {
        headline: format!("{name}{:.2}", result.headline()),
        problems: problem_counts(&result.problems),
        as_kit: unknown.or_else(|| kit.map(|score| format!("{:.2} of {}", score.value, score.of))),
        result: result.clone(),
    }
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
        (dataset, Assigned { of_rows, problems: Vec::new() })
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
    fn the_papers_numbers_stand_beside_those_of_their_protocol_only() {
        let (data, answers) = mmmb();
        let result = |protocol| score(&data, &answers, protocol).result;
        let paper = page(vec![result(Protocol::Paper2024_06)], &[]);
        assert_in_order(
            &paper,
            &[
                "<h2>MMMB under paper-2024-06, per group</h2>",
                "<tr class=\"ours\"><td>the &lt;model&gt;</td>",
                "<td class=\"bar\" style=\"--part:66.67%\">66.67</td>",
                "<tr><td>Parrot (Qwen1.5-7B)</td>",
                "<td class=\"bar\" style=\"--part:70.00%\">70.00</td>",
            ],
        );
        assert!(!paper.contains("in the paper"));
        let both = page(vec![result(Protocol::Paper2024_06), result(Protocol::Kit2024_08)], &[]);
        assert_in_order(&both, &["GPT-4V", "<h2>MMMB under kit-2024-08, per row</h2>", "are shown there."]);
        assert_eq!(both.matches("GPT-4V").count(), 1);
        let kit = page(vec![result(Protocol::Kit2024_08)], &[]);
        let (ours, papers) = kit.split_once("<h2>MMMB in the paper, under paper-2024-06</h2>").unwrap();
        assert!(!ours.contains("GPT-4V") && papers.contains("another protocol") && papers.contains("GPT-4V"));
    }

    #[test]
    fn categories_are_shaded_by_their_value() {
        let (data, answers) = mmmb();
        let page = page(vec![score(&data, &answers, Protocol::Kit2024_08).result], &[]);
        assert_in_order(
            &page,
            &[
                "<h2>MMMB by category, kit-2024-08</h2>",
                "<th>tr</th>",
                "<td>ocr</td>\n<td class=\"heat\" style=\"--part:0.38\">50.00</td>",
                "<td>scene</td>\n<td class=\"heat\" style=\"--part:0.77\">100.00</td>",
                "<td>accuracy per row 66.67</td>",
            ],
        );
    }

    #[test]
    fn protocols_that_agree_share_a_map() {
        let (data, answers) = mmmb();
        let page = page(Protocol::ALL.map(|protocol| score(&data, &answers, protocol).result).into(), &[]);
        assert!(
            page.contains("<h2>MMMB by category, paper-2024-06, kit-2024-08, kit-2026-08</h2>"),
            "{page}"
        );
        assert_eq!(page.matches(" by category, ").count(), 1);
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
                "<td>perception points</td><td>200.00</td><td>2</td>",
                "<td>reasoning points</td><td>50.00</td><td>2</td>",
                "<h2>MME by category, kit-2026-08</h2>",
                "<td>OCR</td>\n<td class=\"heat\" style=\"--part:0.77\">200.00</td>",
                "<td>text_translation</td>\n<td class=\"heat\" style=\"--part:0.19\">50.00</td>",
                "<td>total points 250.00</td>",
                "<td class=\"text\">unknown: its rating of MME needs all fourteen categories</td>",
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
            assert!(page.contains(&format!("<td>{name}</td><td>{value}</td><td>2</td>")), "{name}: {page}");
        }
        assert!(page.contains("<td>F1 66.67</td>"));
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
                "MMMB_tr, index <bdi>1</bdi>",
                "<p dir=\"auto\">q2</p>",
                "<li class=\"right",
            ],
        );
    }
}
