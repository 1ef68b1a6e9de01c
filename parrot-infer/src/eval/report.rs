//! Results of several datasets and protocols: JSON, and tables in Markdown.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::benchmark::{Level, Score};
use super::known::Language;
use super::problem::{Problem, ProblemKind};
use super::protocol::{Protocol, RunAs};
use super::score::DatasetResult;

/// Everything that is needed to read a number again in a year.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Who answered.
    pub model: ModelInfo,
    /// How the model was asked; `None` where only predictions were scored.
    pub asked: Option<Asked>,
    /// This program's and Burn's.
    pub versions: Versions,
    /// Per language and protocol.
    pub languages: Vec<Collection>,
    /// Per dataset and protocol.
    pub results: Vec<DatasetResult>,
    /// Everything that is wrong with the files.
    pub problems: Vec<Problem>,
}

/// Who answered.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ModelInfo {
    /// The folder's or the predictions' name.
    pub name: String,
    /// SHA-256 over its weights' files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// What its weights are held in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dtype: Option<String>,
    /// Where it ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
}

/// How the model was asked.
#[derive(Debug, Clone, Serialize)]
pub struct Asked {
    /// Under which name the datasets were run, per protocol.
    pub run_as: BTreeMap<Protocol, RunAs>,
    /// Tokens of an answer at most.
    pub max_new_tokens: usize,
    /// Whether pictures were saved as JPEG and read again first.
    pub jpeg_roundtrip: bool,
    /// Questions computed at the same time.
    pub batch_size: usize,
    /// Questions that were asked by this run, the others having been answered before.
    pub questions: usize,
    /// How long that took.
    pub seconds: f64,
}

/// Versions of what computed.
#[derive(Debug, Clone, Serialize)]
pub struct Versions {
    /// parrot-infer.
    pub parrot_infer: &'static str,
    /// burn, as the workspace pins it.
    pub burn: &'static str,
}

impl Default for Versions {
    fn default() -> Self {
        Self { parrot_infer: env!("CARGO_PKG_VERSION"), burn: "0.22.1" }
    }
}

/// The languages of one benchmark in one protocol.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Collection {
    /// `MMMB`, `MTL_MMBench_DEV`, or what the files' names have in common.
    pub name: String,
    /// Which harness's rules.
    pub protocol: Protocol,
    /// `per row`, `per group`: what is counted.
    pub counted: String,
    /// Whether this is the number that the protocol reports.
    pub is_reported: bool,
    /// The first score of each language.
    pub by_language: BTreeMap<Language, f64>,
    /// Their arithmetic mean. No kit prints it; papers take it.
    pub mean: f64,
}

impl Report {
    /// Puts results together.
    #[must_use]
    pub fn new(
        model: ModelInfo,
        asked: Option<Asked>,
        results: Vec<DatasetResult>,
        problems: Vec<Problem>,
    ) -> Self {
        let languages = collections(&results);
        Self { model, asked, versions: Versions::default(), languages, results, problems }
    }

    /// As indented JSON.
    ///
    /// # Errors
    ///
    /// None in practice: every part can be written as JSON.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }

    /// As Markdown: languages, categories, and at the foot what is wrong.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut text = self.language_table();
        text += &self.other_table();
        text += &self.category_tables();
        text += &self.footer();
        text
    }

    fn language_table(&self) -> String {
        let mut text = String::new();
        if self.languages.is_empty() {
            return text;
        }
        let codes: Vec<&str> = Language::ALL.iter().map(|language| language.code()).collect();
        let _ = writeln!(text, "| benchmark | protocol | counted | {} | mean |", codes.join(" | "));
        let _ = writeln!(text, "|---|---|---|{}", "--:|".repeat(codes.len() + 1));
        for it in &self.languages {
            let mark = if it.is_reported { "**" } else { "" };
            let cell = |language| {
                it.by_language.get(language).map_or("–".into(), |value| format!("{mark}{value:.2}{mark}"))
            };
            let cells: Vec<String> = Language::ALL.iter().map(cell).collect();
            let mean = format!("{mark}{:.2}{mark}", it.mean);
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {mean} |",
                it.name,
                it.protocol,
                it.counted,
                cells.join(" | ")
            );
        }
        text.push_str("\nBold: what the protocol reports. The mean is over the languages that are there.\n");
        text
    }

    /// Datasets without a language, their overall scores.
    fn other_table(&self) -> String {
        let mut text = String::new();
        for result in self.results.iter().filter(|result| result.language.is_none()) {
            if text.is_empty() {
                text.push_str("\n| benchmark | protocol | | value | of |\n|---|---|---|--:|--:|\n");
            }
            for score in result.scores.iter().filter(|score| score.level <= Level::Alternative) {
                let name = named(score);
                let _ = writeln!(
                    text,
                    "| {} | {} | {name} | {:.2} | {} |",
                    result.dataset, result.protocol, score.value, score.of
                );
            }
        }
        text
    }

    /// One table per collection and protocol: a line per category, a column per language.
    fn category_tables(&self) -> String {
        let mut tables: BTreeMap<(String, Protocol), Vec<&DatasetResult>> = BTreeMap::new();
        for result in &self.results {
            tables.entry((collection_name(result), result.protocol)).or_default().push(result);
        }
        let mut text = String::new();
        for ((name, protocol), mut results) in tables {
            results.sort_by_key(|result| result.language);
            let mut lines: BTreeMap<(Level, String, &str), BTreeMap<&str, f64>> = BTreeMap::new();
            for result in &results {
                for score in result.scores.iter().filter(|score| score.level >= Level::L2Category) {
                    let line = lines.entry((score.level, named(score), score.metric)).or_default();
                    line.insert(&result.dataset, score.value);
                }
            }
            if lines.is_empty() {
                continue;
            }
            let head = |result: &&DatasetResult| result.language.map_or("value", Language::code).to_string();
            let columns: Vec<String> = results.iter().map(head).collect();
            let _ = writeln!(text, "\n{name}, {protocol}\n\n| | {} |", columns.join(" | "));
            let _ = writeln!(text, "|---|{}", "--:|".repeat(columns.len()));
            for ((level, name, _), values) in lines {
                let cell = |result: &&DatasetResult| {
                    values.get(result.dataset.as_str()).map_or("–".into(), |value| format!("{value:.2}"))
                };
                let cells: Vec<String> = results.iter().map(cell).collect();
                let mark = if level == Level::L2Category { "**" } else { "" };
                let _ = writeln!(text, "| {mark}{name}{mark} | {} |", cells.join(" | "));
            }
        }
        text
    }

    /// How answers were read, what is wrong, and what the kits would have printed instead.
    fn footer(&self) -> String {
        let mut text = String::from("\n");
        for result in &self.results {
            let it = &result.extraction;
            let _ = write!(
                text,
                "{}, {}: {} rows; read as letter {}, text {}, refusal {}, none {}, not answered {}",
                result.dataset,
                result.protocol,
                result.rows,
                it.letter,
                it.text,
                it.refusal,
                it.none,
                it.missing
            );
            if !result.problems.is_empty() {
                let _ = write!(text, "; {}", problem_counts(&result.problems));
            }
            if let Some(kit) = result.as_kit.as_ref().and_then(|scores| scores.first()) {
                let _ = write!(
                    text,
                    "; the kit leaves rows out that are counted here and would print {:.2} (of {})",
                    kit.value, kit.of
                );
            }
            text.push_str("\n\n");
        }
        if self.problems.is_empty() {
            text.push_str("No problems with the files.\n");
        } else {
            text.push_str("Every row counts, whatever is wrong with it.\n");
        }
        text
    }
}

/// `3 × no picture, 1 × duplicate index`.
#[must_use]
pub fn problem_counts(counts: &BTreeMap<ProblemKind, usize>) -> String {
    let parts: Vec<String> =
        counts.iter().map(|(kind, count)| format!("{count} × {}", kind.text())).collect();
    parts.join(", ")
}

/// The score's name with what tells it apart.
fn named(score: &Score) -> String {
    let mut name = score.name.clone();
    if let Some(split) = &score.split {
        name = format!("{split}: {name}");
    }
    if score.metric != "accuracy" && score.metric != name {
        name = format!("{name} {}", score.metric);
    } else if score.metric == "accuracy" && score.level == Level::Overall && name != "accuracy" {
        name = format!("accuracy {name}");
    }
    name
}

/// What the languages of a benchmark are called together.
#[must_use]
pub(super) fn collection_name(result: &DatasetResult) -> String {
    let Some((stem, _)) = result.dataset.rsplit_once('_').filter(|_| result.language.is_some()) else {
        return result.dataset.clone();
    };
    if stem == "MMBench_dev" { "MTL_MMBench_DEV".into() } else { stem.into() }
}

/// Per collection, protocol and way of counting, in the order of the results.
fn collections(results: &[DatasetResult]) -> Vec<Collection> {
    let mut found: Vec<Collection> = Vec::new();
    for result in results {
        let Some(language) = result.language else { continue };
        let name = collection_name(result);
        let whole = result.scores.iter().filter(|it| it.level <= Level::Alternative && it.split.is_none());
        for score in whole {
            let is_this = |it: &&mut Collection| {
                it.name == name && it.protocol == result.protocol && it.counted == score.name
            };
            let at = match found.iter_mut().find(is_this) {
                Some(it) => it,
                None => {
                    found.push(Collection {
                        name: name.clone(),
                        protocol: result.protocol,
                        counted: score.name.clone(),
                        is_reported: score.level == Level::Overall,
                        by_language: BTreeMap::new(),
                        mean: 0.0,
                    });
                    let last = found.len() - 1;
                    &mut found[last]
                }
            };
            at.by_language.insert(language, score.value);
        }
    }
    for it in &mut found {
        it.mean = it.by_language.values().sum::<f64>() / it.by_language.len() as f64;
    }
    found
}
