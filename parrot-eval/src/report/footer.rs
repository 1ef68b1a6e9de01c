//! The foot of a report in Markdown: how questions were asked and answers read, and what is wrong.

use std::fmt::Write as _;

use crate::benchmarks::known::known_file;
use crate::data::problem::problem_counts;
use crate::protocol::{Method, Protocol, RunAs};
use crate::report::markdown::{escaped, joined};
use crate::report::results::Report;
use crate::report::score::DatasetResult;

impl Report {
    /// How questions were asked and answers read, what is wrong, and what the kits would have printed instead.
    pub(super) fn footer(&self) -> String {
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

/// What MMMB's published numbers are the mean of, by the fractions they are.
const PAPERS_GROUPS: usize = 1710;

/// The groups of one of MMMB's published datasets, if they are not as many as the paper's.
fn other_groups(result: &DatasetResult) -> Option<usize> {
    let is_published = result.dataset.starts_with("MMMB_") && known_file(&result.dataset).is_some();
    let groups = result.scores.iter().find(|score| score.name == "per group" && score.split.is_none())?.of;
    (is_published && groups != PAPERS_GROUPS).then_some(groups)
}
