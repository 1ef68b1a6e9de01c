//! The report as one HTML file that needs nothing else.

use std::collections::BTreeMap;

use minijinja::Environment;
use serde::Serialize;

use super::benchmark::{Judged, Level};
use super::known::Language;
use super::predictions::Assigned;
use super::protocol::Protocol;
use super::published::published;
use super::report::{Collection, Report, collection_name, problem_counts};
use super::score::{DatasetResult, Scored};
use crate::{Error, Result};

const TEMPLATE: &str = include_str!("report.html");

/// What the page shows.
#[derive(Debug, Clone, Serialize)]
pub struct ReportPage<'a> {
    report: &'a Report,
    languages: Vec<&'static str>,
    standings: Vec<Standing>,
    heat_maps: Vec<HeatMap>,
    experts: Vec<Experts>,
    rows: Vec<RowCounts>,
    problems: Vec<String>,
    more_problems: usize,
    wrong: &'a [WrongAnswer],
    wrong_in_all: usize,
}

/// A system beside the paper's in one collection and protocol.
#[derive(Debug, Clone, Serialize)]
struct Standing {
    name: String,
    protocol: Protocol,
    counted: String,
    /// Where the paper's numbers are, if not here.
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
    protocol: Protocol,
    columns: Vec<String>,
    lines: Vec<HeatLine>,
}

#[derive(Debug, Clone, Serialize)]
struct HeatLine {
    name: String,
    is_group: bool,
    cells: Vec<Option<f64>>,
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

/// An answer that was wrong, with all that is needed to see why.
#[derive(Debug, Clone, Serialize)]
pub struct WrongAnswer {
    dataset: String,
    index: String,
    /// The language's code, for the page's typography.
    language: &'static str,
    /// A `data:` address.
    picture: Option<String>,
    hint: Option<String>,
    question: String,
    options: Vec<ShownOption>,
    expected: String,
    prediction: Option<String>,
    said: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
struct ShownOption {
    letter: char,
    text: String,
    is_right: bool,
    is_said: bool,
}

/// Up to `limit` wrong answers of a dataset, spread evenly over it.
#[must_use]
pub fn wrong_answers(scored: &Scored<'_>, predictions: &Assigned, limit: usize) -> Vec<WrongAnswer> {
    let wrong: Vec<(&Judged<'_>, &Vec<String>)> =
        scored.judged.iter().zip(&predictions.of_rows).filter(|(it, _)| !it.verdict.right).collect();
    let shown = limit.min(wrong.len());
    (0..shown)
        .map(|number| wrong[number * wrong.len() / shown])
        .map(|(it, texts)| of(scored, it, texts))
        .collect()
}

fn of(scored: &Scored<'_>, it: &Judged<'_>, texts: &[String]) -> WrongAnswer {
    let (row, said) = (it.row, &it.verdict.said);
    let is = |word: &str, letter: char| word.chars().eq([letter]);
    let option = |(letter, text): (char, &str)| ShownOption {
        letter,
        text: text.into(),
        is_right: is(row.answer(), letter),
        is_said: said.as_ref().is_some_and(|said| is(said, letter)),
    };
    WrongAnswer {
        dataset: scored.result.dataset.clone(),
        index: row.index.clone(),
        language: scored.result.language.map_or("en", Language::code),
        picture: row.picture.as_ref().map(|picture| picture.data_url()),
        hint: row.get("hint").map(Into::into),
        question: row.question().into(),
        options: row.options().into_iter().map(option).collect(),
        expected: row.answer().into(),
        prediction: texts.last().cloned(),
        said: said.clone(),
    }
}

impl<'a> ReportPage<'a> {
    /// The page of a report, with these of its wrong answers; `wrong_in_all` were wrong.
    #[must_use]
    pub fn new(report: &'a Report, wrong: &'a [WrongAnswer], wrong_in_all: usize) -> Self {
        const SHOWN: usize = 100;
        Self {
            report,
            languages: Language::ALL.map(Language::code).into(),
            standings: report
                .languages
                .iter()
                .filter(|it| it.is_reported)
                .map(|it| standing(report, it))
                .collect(),
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
        let mut environment = Environment::new();
        environment.add_filter("score", |value: f64| format!("{value:.2}"));
        environment.add_filter("weight", |value: f64| format!("{value:.3}"));
        let page = minijinja::Value::from(minijinja::value::Serde(self));
        environment.render_named_str("report.html", TEMPLATE, page).map_err(|error| Error::Table {
            file: "report.html".into(),
            line: error.line().map(|line| line as u64),
            problem: format!("{error:#}"),
        })
    }
}

fn standing(report: &Report, collection: &Collection) -> Standing {
    let ours: Vec<Option<f64>> = Language::ALL
        .iter()
        .map(|language| collection.by_language.get(language).copied())
        .chain([Some(collection.mean)])
        .collect();
    let mut systems = vec![System { name: report.model.name.clone(), is_ours: true, cells: ours }];
    let published = published(&collection.name);
    // The kits count otherwise, on MMMB at least, and their numbers come out higher.
    let is_comparable = collection.protocol == Protocol::Paper2024_06;
    let others = if is_comparable { published } else { &[] };
    systems.extend(others.iter().map(|row| {
        let mean = row.by_language.iter().sum::<f64>() / row.by_language.len() as f64;
        let cells = row.by_language.into_iter().chain([mean]).map(Some).collect();
        System { name: row.system.into(), is_ours: false, cells }
    }));
    let note = (!published.is_empty() && !is_comparable)
        .then_some("The paper's numbers were made under paper-2024-06 and are shown there.");
    let (name, counted) = (collection.name.clone(), collection.counted.clone());
    Standing { name, protocol: collection.protocol, counted, note, systems }
}

/// One per collection and protocol: categories down, languages across.
fn heat_maps(results: &[DatasetResult]) -> Vec<HeatMap> {
    let mut groups: BTreeMap<(String, Protocol), Vec<&DatasetResult>> = BTreeMap::new();
    for result in results {
        groups.entry((collection_name(result), result.protocol)).or_default().push(result);
    }
    let mut maps = Vec::new();
    for ((name, protocol), mut results) in groups {
        results.sort_by_key(|result| result.language);
        let mut lines: BTreeMap<(Level, String), Vec<Option<f64>>> = BTreeMap::new();
        for (column, result) in results.iter().enumerate() {
            // The first metric of a category is the one to show.
            for score in result.scores.iter().rev().filter(|score| score.level >= Level::L2Category) {
                let name = match &score.split {
                    Some(split) => format!("{split}: {}", score.name),
                    None => score.name.clone(),
                };
                let cells = lines.entry((score.level, name)).or_insert_with(|| vec![None; results.len()]);
                // Points go up to 200.
                cells[column] = Some(if score.metric == "points" { score.value / 2.0 } else { score.value });
            }
        }
        let columns =
            results.iter().map(|result| result.language.map_or("value", Language::code).into()).collect();
        let line = |((level, name), cells)| HeatLine { name, is_group: level == Level::L2Category, cells };
        let lines: Vec<HeatLine> = lines.into_iter().map(line).collect();
        if !lines.is_empty() {
            maps.push(HeatMap { name, protocol, columns, lines });
        }
    }
    maps
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
    RowCounts {
        headline: format!("{:.2}", result.headline()),
        problems: problem_counts(&result.problems),
        as_kit: kit.map(|score| format!("{:.2} of {}", score.value, score.of)),
        result: result.clone(),
    }
}
