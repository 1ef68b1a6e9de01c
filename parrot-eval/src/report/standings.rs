//! The tables of a report: what stands at its beginning, languages beside the paper's numbers, and benchmarks of one language.

use serde::Serialize;

use crate::benchmarks::verdict::{Level, Score};
use crate::language::Language;
use crate::language_code::LanguageCode;
use crate::protocol::Protocol;
use crate::report::markdown::named;
use crate::report::published::{Published, published};
use crate::report::results::{Collection, Report, languages_of};

/// A benchmark's line of the table at the beginning: its number in each protocol.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Summary {
    pub(super) name: String,
    /// What the numbers are, e.g. `accuracy, mean of 6 languages`.
    pub(super) measured: String,
    /// One per protocol of the report.
    pub(super) cells: Vec<Option<SummaryCell>>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct SummaryCell {
    pub(super) value: f64,
    /// What is counted, e.g. `2,000 rows`.
    counted: String,
    /// Of several languages the worst, and how far the best is above it.
    worst: Option<String>,
}

/// A line per benchmark; the languages of one share theirs.
pub(super) fn summary(report: &Report, protocols: &[Protocol]) -> Vec<Summary> {
    let mut lines: Vec<Summary> = Vec::new();
    let mut put = |name: &str, measured: String, protocol: Protocol, cell: Option<SummaryCell>| {
        let Some(column) = protocols.iter().position(|known| *known == protocol) else { return };
        let at = lines.iter().position(|line| line.name == name).unwrap_or_else(|| {
            lines.push(Summary { name: name.into(), measured, cells: vec![None; protocols.len()] });
            lines.len() - 1
        });
        lines[at].cells[column] = cell;
    };
    for collection in report.languages.iter().filter(|collection| collection.is_reported) {
        let languages = collection.by_language.len();
        // Of sets of one's own, how answers are matched.
        let what = if is_own(&collection.counted) { &collection.counted } else { "accuracy" };
        let measured = match languages {
            1 => format!("{what}, {}", languages_of([collection])[0].code()),
            several => format!("{what}, mean of {several} languages"),
        };
        let worst = collection.worst.filter(|_| languages > 1);
        let worst = worst.map(|worst| format!("worst {}, spread {:.2}", worst.code(), collection.spread));
        let counted = counted(&collection.counted, collection.of.values().sum());
        let cell = SummaryCell { value: collection.mean, counted, worst };
        put(&collection.name, measured, collection.protocol, Some(cell));
    }
    for result in report.results.iter().filter(|result| result.language.is_none()) {
        let Some(score) = result.scores.first() else {
            put(&result.dataset, "not scored: no judge has rated it".into(), result.protocol, None);
            continue;
        };
        let cell = SummaryCell { value: score.value, counted: counted(&score.name, score.of), worst: None };
        put(&result.dataset, measured(score), result.protocol, Some(cell));
    }
    lines
}

/// `1,710 groups`
fn counted(name: &str, of: usize) -> String {
    let unit = if name == "per group" { "group" } else { "row" };
    let plural = if of == 1 { "" } else { "s" };
    let digits = of.to_string();
    let grouped: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|part| std::str::from_utf8(part).ok()).collect();
    format!("{} {unit}{plural}", grouped.join(","))
}

/// Whether a score is of a set of one's own: it is called as answers are matched.
fn is_own(score: &str) -> bool {
    ["choice", "contains", "exact"].contains(&score)
}

fn measured(score: &Score) -> String {
    let split = score.split.as_ref().map(|split| format!("{split}: ")).unwrap_or_default();
    match score.metric {
        "accuracy" if is_own(&score.name) => format!("{split}{}", score.name),
        metric @ "accuracy" => format!("{split}{metric}"),
        _ => named(score),
    }
}

/// Systems on one benchmark's languages, by protocol: this one's numbers in each, and the paper's.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Standing {
    name: String,
    columns: Vec<&'static str>,
    groups: Vec<StandingGroup>,
}

/// Systems whose numbers can be compared.
#[derive(Debug, Clone, Serialize)]
struct StandingGroup {
    title: String,
    systems: Vec<System>,
}

#[derive(Debug, Clone, Serialize)]
struct System {
    name: String,
    is_ours: bool,
    /// One per language, then mean and spread.
    cells: Vec<Option<f64>>,
    worst: Option<&'static str>,
}

/// A table per collection of languages.
pub(super) fn standings(report: &Report) -> Vec<Standing> {
    let mut names: Vec<&str> = Vec::new();
    let reported = || report.languages.iter().filter(|collection| collection.is_reported);
    for collection in reported() {
        if !names.contains(&&*collection.name) {
            names.push(&collection.name);
        }
    }
    let table = |name: &str| {
        let own: Vec<&Collection> = reported().filter(|collection| collection.name == name).collect();
        let papers = published(name);
        let mut languages = languages_of(own.iter().copied());
        if !papers.is_empty() {
            languages = Language::ALL.map(LanguageCode::from).into();
        }
        let mut groups: Vec<StandingGroup> = Vec::new();
        for collection in &own {
            let title = format!("{}, {}", collection.protocol, collection.counted);
            groups.push(StandingGroup {
                title,
                systems: vec![ours(&report.model.name, collection, &languages)],
            });
        }
        let systems: Vec<System> = papers.iter().map(paper_system).collect();
        // The kits count otherwise, on MMMB at least, and their numbers come out higher.
        let paper = own.iter().position(|collection| collection.protocol == Protocol::Paper2024_06);
        match paper {
            Some(at) if !systems.is_empty() => {
                groups[at].title += ", beside the paper's table 2";
                groups[at].systems.extend(systems);
            }
            None if !systems.is_empty() => {
                let title = format!(
                    "the paper's table 2, {}: another protocol than above, not to be compared",
                    Protocol::Paper2024_06
                );
                groups.push(StandingGroup { title, systems });
            }
            _ => {}
        }
        Standing {
            name: name.into(),
            columns: languages.iter().map(|language| language.code()).collect(),
            groups,
        }
    };
    names.into_iter().map(table).collect()
}

fn ours(name: &str, collection: &Collection, languages: &[LanguageCode]) -> System {
    let cells = languages.iter().map(|language| collection.by_language.get(language).copied());
    let cells = cells.chain([Some(collection.mean), Some(collection.spread)]).collect();
    System { name: name.into(), is_ours: true, cells, worst: collection.worst.map(LanguageCode::code) }
}

fn paper_system(row: &Published) -> System {
    let scores = row.by_language;
    let mean = scores.iter().sum::<f64>() / scores.len() as f64;
    let (worst, best) =
        scores.iter().fold((f64::MAX, f64::MIN), |(low, high), score| (low.min(*score), high.max(*score)));
    let cells = scores.into_iter().chain([mean, best - worst]).map(Some).collect();
    let at = scores.iter().position(|score| *score == worst);
    System { name: row.system.into(), is_ours: false, cells, worst: at.map(|at| Language::ALL[at].code()) }
}

/// A number of a dataset without a language, in each protocol.
#[derive(Debug, Clone, Serialize)]
pub(super) struct OverallRow {
    dataset: String,
    name: String,
    /// One per protocol of the report: the value and what it is the mean of.
    cells: Vec<Option<(f64, usize)>>,
}

/// All numbers over whole datasets without a language.
pub(super) fn overall_rows(report: &Report, protocols: &[Protocol]) -> Vec<OverallRow> {
    let mut rows: Vec<OverallRow> = Vec::new();
    for result in report.results.iter().filter(|result| result.language.is_none()) {
        let column = protocols.iter().position(|known| *known == result.protocol);
        for score in result.scores.iter().filter(|score| score.level <= Level::Alternative) {
            let name = named(score);
            let is_it = |row: &OverallRow| row.dataset == result.dataset && row.name == name;
            let at = rows.iter().position(is_it).unwrap_or_else(|| {
                let cells = vec![None; protocols.len()];
                rows.push(OverallRow { dataset: result.dataset.clone(), name, cells });
                rows.len() - 1
            });
            if let Some(column) = column {
                rows[at].cells[column] = Some((score.value, score.of));
            }
        }
    }
    rows
}
