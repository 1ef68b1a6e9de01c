//! A report as tables in Markdown.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::benchmarks::verdict::{Level, Score};
use crate::language_code::LanguageCode;
use crate::protocol::Protocol;
use crate::report::results::{Report, collection_name, languages_of};
use crate::report::score::DatasetResult;

impl Report {
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
        let languages = languages_of(&self.languages);
        let codes: Vec<&str> = languages.iter().map(|language| language.code()).collect();
        let _ = writeln!(
            text,
            "| benchmark | protocol | counted | {} | mean | spread | worst | of |",
            codes.join(" | ")
        );
        let _ = writeln!(text, "|---|---|---|{}", "--:|".repeat(codes.len() + 4));
        for scores in &self.languages {
            let mark = if scores.is_reported { "**" } else { "" };
            let cell = |language| {
                scores
                    .by_language
                    .get(language)
                    .map_or("–".into(), |value| format!("{mark}{value:.2}{mark}"))
            };
            let cells: Vec<String> = languages.iter().map(cell).collect();
            let worst = scores.worst.map_or("–", LanguageCode::code);
            let mean = format!("{mark}{:.2}{mark}", scores.mean);
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {mean} | {:.2} | {worst} | {} |",
                escaped(&scores.name),
                scores.protocol,
                escaped(&scores.counted),
                cells.join(" | "),
                scores.spread,
                span(scores.of.values().copied())
            );
        }
        text.push_str(
            "\nBold: what the protocol reports. Mean, spread (how far the best language is above the worst) and worst are of the \
             languages that are there; the last column says over how many rows or groups each is counted.\n",
        );
        text
    }

    /// Datasets without a language, their overall scores.
    fn other_table(&self) -> String {
        let mut text = String::new();
        for scores in overall_scores(&self.results) {
            if text.is_empty() {
                text.push_str("\n| benchmark | protocol | | value | of |\n|---|---|---|--:|--:|\n");
            }
            let (dataset, name) = (escaped(scores.dataset), escaped(&scores.name));
            let _ = writeln!(
                text,
                "| {dataset} | {} | {name} | {:.2} | {} |",
                scores.protocol, scores.value, scores.of
            );
        }
        text
    }

    /// One table per collection and protocol.
    fn category_tables(&self) -> String {
        let mut tables: BTreeMap<(String, Protocol), Vec<&DatasetResult>> = BTreeMap::new();
        for result in &self.results {
            tables.entry((collection_name(result), result.protocol)).or_default().push(result);
        }
        // Protocols that agree share a table.
        let mut shared: Vec<(String, Vec<Protocol>, String)> = Vec::new();
        for ((name, protocol), results) in tables {
            let table = category_table(results);
            match shared.last_mut() {
                Some((same, protocols, known)) if *same == name && *known == table => {
                    protocols.push(protocol);
                }
                _ => shared.push((name, vec![protocol], table)),
            }
        }
        let mut text = String::new();
        for (name, protocols, table) in shared.into_iter().filter(|(.., table)| !table.is_empty()) {
            let _ = write!(text, "\n{}, {}\n\n{table}", escaped(&name), joined(&protocols));
        }
        text
    }
}

/// Protocols by name, with commas between them.
pub(super) fn joined(protocols: &[Protocol]) -> String {
    let names: Vec<String> = protocols.iter().map(ToString::to_string).collect();
    names.join(", ")
}

/// A line per category, a column per language; empty where there are no categories.
fn category_table(mut results: Vec<&DatasetResult>) -> String {
    results.sort_by_key(|result| result.language);
    let mut lines: BTreeMap<(Level, String, &str), BTreeMap<&str, f64>> = BTreeMap::new();
    for result in &results {
        for score in result.scores.iter().filter(|score| score.level >= Level::L2Category) {
            let line = lines.entry((score.level, named(score), score.metric)).or_default();
            line.insert(&result.dataset, score.value);
        }
    }
    if lines.is_empty() {
        return String::new();
    }
    let head = |result: &&DatasetResult| result.language.map_or("value", LanguageCode::code).to_string();
    let columns: Vec<String> = results.iter().map(head).collect();
    let mut text = format!("| | {} |\n|---|{}\n", columns.join(" | "), "--:|".repeat(columns.len()));
    for ((level, name, _), values) in lines {
        let cell = |result: &&DatasetResult| {
            values.get(result.dataset.as_str()).map_or("–".into(), |value| format!("{value:.2}"))
        };
        let cells: Vec<String> = results.iter().map(cell).collect();
        let mark = if level == Level::L2Category { "**" } else { "" };
        let name = escaped(&name);
        let _ = writeln!(text, "| {mark}{name}{mark} | {} |", cells.join(" | "));
    }
    text
}

/// An overall score of a dataset without a language.
#[derive(Debug, Clone)]
struct OverallScore<'a> {
    dataset: &'a str,
    protocol: Protocol,
    /// The score's name, with what distinguishes it from others.
    name: String,
    value: f64,
    of: usize,
}

/// Those of all datasets that are not in the table of languages.
fn overall_scores(results: &[DatasetResult]) -> Vec<OverallScore<'_>> {
    let mut found = Vec::new();
    for result in results.iter().filter(|result| result.language.is_none()) {
        let (dataset, protocol) = (result.dataset.as_str(), result.protocol);
        for score in result.scores.iter().filter(|score| score.level <= Level::Alternative) {
            found.push(OverallScore {
                dataset,
                protocol,
                name: named(score),
                value: score.value,
                of: score.of,
            });
        }
    }
    found
}

/// Text for a cell of a table: names come from files, and may hold what would end it.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('|', "\\|").split(['\n', '\r']).collect::<Vec<_>>().join(" ")
}

/// `120`, or from the least to the most `118–120`.
fn span(counts: impl Iterator<Item = usize> + Clone) -> String {
    match (counts.clone().min(), counts.max()) {
        (Some(least), Some(most)) if least < most => format!("{least}–{most}"),
        (_, most) => most.unwrap_or(0).to_string(),
    }
}

/// The score's name with what tells it apart.
pub(crate) fn named(score: &Score) -> String {
    let mut name = score.name.clone();
    if score.metric != "accuracy" && !name.contains(score.metric) {
        name = format!("{name} {}", score.metric);
    } else if score.metric == "accuracy" && score.level == Level::Overall && name != "accuracy" {
        name = format!("accuracy {name}");
    }
    match &score.split {
        Some(split) => format!("{split}: {name}"),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Asked, Assigned, Dataset, ImageStore, Method, ModelInfo, RunAs, score};

    /// A report of two rows of one group, answered right and wrong.
    fn report(name: &str, category: &str, asked: Option<Asked>) -> String {
        report_of(name, category, asked, &[Protocol::Kit2024_08])
    }

    fn report_of(name: &str, category: &str, asked: Option<Asked>, protocols: &[Protocol]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        let columns = "index\timage\tquestion\tA\tB\tanswer\tcategory";
        let rows = format!("1\t\tq\ta\tb\tA\t{category}\n1000001\t\tq\ta\tb\tB\t{category}\n");
        std::fs::write(&file, format!("{columns}\n{rows}")).unwrap();
        let dataset = Dataset::open(&file, &mut ImageStore::default()).unwrap();
        let answers = Assigned { of_rows: vec![vec!["A".into()]; 2], ..Assigned::default() };
        let results = protocols.iter().map(|protocol| score(&dataset, &answers, *protocol).result).collect();
        Report::new(ModelInfo::default(), asked, results, Vec::new()).to_markdown()
    }

    #[test]
    fn what_protocols_agree_on_is_said_once() {
        let text = report_of("mini_mmmb_tr.tsv", "x", None, &Protocol::ALL);
        let lines =
            |start: &str| -> Vec<&str> { text.lines().filter(|line| line.starts_with(start)).collect() };
        let expected = ["mini_mmmb, paper-2024-06", "mini_mmmb, kit-2024-08, kit-2026-08"];
        assert_eq!(lines("mini_mmmb, "), expected, "groups, then rows: {text}");
        let read = lines("mini_mmmb_tr, ");
        assert_eq!(read.len(), 1, "{text}");
        assert!(
            read[0].starts_with(
                "mini_mmmb_tr, paper-2024-06, kit-2024-08, kit-2026-08: 2 rows; read as letter 2"
            )
        );
    }

    #[test]
    fn names_cannot_break_a_table() {
        let text = report("mini|mmmb_tr.tsv", "\"left | right\nup\"", None);
        assert!(text.contains("| mini\\|mmmb | kit-2024-08 | per row |"), "{text}");
        assert!(text.contains("| left \\| right up | 50.00 |"), "{text}");
    }

    #[test]
    fn what_a_number_is_counted_over_and_how_it_was_asked_stands_with_it() {
        let run_as = [(Protocol::Kit2024_08, RunAs::Collection)].into();
        let asked = Asked {
            run_as,
            method: Method::Likelihood,
            request: Some("Letter?".into()),
            max_new_tokens: 8,
            jpeg_roundtrip: false,
            batch_size: 1,
            processes: 1,
            questions: 2,
            questions_now: 2,
            images_now: 1,
            tokens_now: 2,
            seconds_now: 1.0,
        };
        let text = report("mmmb_tr.tsv", "x", Some(asked));
        for line in [
            "| MMMB | kit-2024-08 | per row | **50.00** | **50.00** | 0.00 | tr | 2 |",
            "| MMMB | kit-2024-08 | per group | 0.00 | 0.00 | 0.00 | tr | 1 |",
            "Prompts end as when files are run as a collection under kit-2024-08.",
            "Questions end with “Letter?” instead of their benchmarks' own requests: such numbers cannot be compared with a kit's.",
            "Answers are the options that the model finds likeliest, its own words only where there are none to \
             choose from: such numbers cannot be compared with a kit's.",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(text.contains("; 1 groups, where the paper's numbers fit 1710"), "{text}");
        let other = report("mini_mmmb_tr.tsv", "x", None);
        assert!(!other.contains("1710") && !other.contains("Prompts"), "{other}");
        assert_eq!((span([3, 3].into_iter()), span([2, 5].into_iter())), ("3".into(), "2–5".into()));
    }
}
