//! A report as tables in Markdown.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::benchmarks::known::known_file;
use crate::benchmarks::verdict::{Level, Score};
use crate::data::problem::ProblemKind;
use crate::language_code::LanguageCode;
use crate::protocol::{Method, Protocol, RunAs};
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

    /// How questions were asked and answers read, what is wrong, and what the kits would have printed instead.
    fn footer(&self) -> String {
        let mut text = String::from("\n");
        if let Some(asked) = &self.asked {
            let names = asked.run_as.iter().map(|(protocol, run_as)| match run_as {
                RunAs::Dataset => format!("by their own names under {protocol}"),
                RunAs::Collection => format!("as a collection under {protocol}"),
            });
            let names: Vec<String> = names.collect();
            let _ = writeln!(text, "Prompts end as when files are run {}.\n", names.join(", "));
            if let Some(request) = &asked.request {
                let _ = writeln!(
                    text,
                    "Questions end with “{}” instead of their benchmarks' own requests: such numbers cannot be compared with \
                     a kit's.\n",
                    escaped(request)
                );
            }
            if asked.method == Method::Likelihood {
                text.push_str(
                    "Answers are the options that the model finds likeliest, its own words only where there are none to \
                     choose from: such numbers cannot be compared with a kit's.\n\n",
                );
            }
        }
        if let Some(judge) = &self.judge {
            let model = escaped(&judge.model);
            let _ =
                writeln!(text, "Rated by {model}: numbers of other judges cannot be compared with these.\n");
        }
        // What protocols agree on is said once.
        let mut said: Vec<(&str, Vec<Protocol>, Vec<String>)> = Vec::new();
        for result in &self.results {
            let notes = notes(result);
            match said.last_mut() {
                Some((dataset, protocols, same)) if *dataset == result.dataset && *same == notes => {
                    protocols.push(result.protocol);
                }
                _ => said.push((&result.dataset, vec![result.protocol], notes)),
            }
        }
        for (dataset, protocols, notes) in said {
            let place = format!("{}, {}", escaped(dataset), joined(&protocols));
            for note in notes {
                let _ = writeln!(text, "{place}: {note}\n");
            }
        }
        if self.problems.is_empty() {
            text.push_str("No problems with the files.\n");
        } else {
            text.push_str("Every row counts, whatever is wrong with it.\n");
        }
        text
    }
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

/// How a dataset's answers were read, what is wrong, and what the kit would have printed instead: a paragraph each.
fn notes(result: &DatasetResult) -> Vec<String> {
    let extraction = &result.extraction;
    let mut read = format!(
        "{} rows; read as letter {}, text {}, refusal {}, none {}, not answered {}",
        result.rows,
        extraction.letter,
        extraction.text,
        extraction.refusal,
        extraction.none,
        extraction.missing
    );
    if extraction.judged + extraction.unjudged > 0 {
        let _ = write!(read, ", judged {}, not judged {}", extraction.judged, extraction.unjudged);
    }
    if result.other_language > 0 {
        let _ = write!(read, "; {} in another language than the file's", result.other_language);
    }
    if !result.problems.is_empty() {
        let _ = write!(read, "; {}", problem_counts(&result.problems));
    }
    if let Some(groups) = other_groups(result) {
        let _ = write!(read, "; {groups} groups, where the paper's numbers fit {PAPERS_GROUPS}");
    }
    if let Some(why) = result.kit_unknown {
        let _ = write!(read, "; what the kit would print cannot be said: {why}");
    }
    if let Some(kit) = result.as_kit.as_ref().and_then(|scores| scores.first()) {
        let _ = write!(
            read,
            "; the kit leaves rows out that are counted here and would print {:.2} (of {})",
            kit.value, kit.of
        );
    }
    let mut notes = vec![read];
    if extraction.unjudged > 0 {
        notes.push(format!(
            "a judge has to rate {} of the answers, and scores are of the others; `--judge URL --judge-model NAME` asks one \
             behind OpenAI's API.",
            extraction.unjudged
        ));
    }
    notes.extend(result.unread.as_deref().map(escaped));
    notes
}

/// Protocols by name, with commas between them.
fn joined(protocols: &[Protocol]) -> String {
    let names: Vec<String> = protocols.iter().map(ToString::to_string).collect();
    names.join(", ")
}

/// `3 × no picture, 1 × duplicate index`.
#[must_use]
pub fn problem_counts(counts: &BTreeMap<ProblemKind, usize>) -> String {
    let parts: Vec<String> =
        counts.iter().map(|(kind, count)| format!("{count} × {}", kind.text())).collect();
    parts.join(", ")
}

/// What MMMB's published numbers are the mean of, by the fractions they are.
const PAPERS_GROUPS: usize = 1710;

/// The groups of one of MMMB's published datasets, if they are not as many as the paper's.
fn other_groups(result: &DatasetResult) -> Option<usize> {
    let is_published = result.dataset.starts_with("MMMB_") && known_file(&result.dataset).is_some();
    let groups = result.scores.iter().find(|score| score.name == "per group" && score.split.is_none())?.of;
    (is_published && groups != PAPERS_GROUPS).then_some(groups)
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
    use crate::{Asked, Assigned, Dataset, ImageStore, ModelInfo, score};

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
        let answers = Assigned { of_rows: vec![vec!["A".into()]; 2], problems: Vec::new() };
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
