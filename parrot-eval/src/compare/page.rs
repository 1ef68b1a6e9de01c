//! A comparison as Markdown, as JSON and as one HTML file that needs nothing else.

use std::fmt::Write as _;

use serde::Serialize;

use super::{Comparison, Difference};
use crate::Result;
use crate::report::markdown::escaped;
use crate::report::template::render;

const TEMPLATE: &str = include_str!("compare.html");

#[derive(Serialize)]
struct Page<'a> {
    comparison: &'a Comparison,
    /// Means first.
    differences: Vec<Line<'a>>,
    note: &'static str,
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    difference: &'a Difference,
    interval: String,
    chance: String,
}

impl Comparison {
    /// Means, then datasets.
    fn differences(&self) -> impl Iterator<Item = Line<'_>> {
        self.means.iter().chain(&self.datasets).map(|difference| Line {
            difference,
            interval: difference
                .interval
                .map_or("–".into(), |[low, high]| format!("{low:+.2} to {high:+.2}")),
            chance: chance(difference.p_value),
        })
    }

    /// The comparison as Markdown tables.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let [first, second] = self.runs.each_ref().map(|run| escaped(run));
        let mut text = format!(
            "# {second} against {first}\n\n\
             | | protocol | measured | {first} | {second} | difference | 95 % interval | gained | lost | by chance |\n\
             |---|---|---|--:|--:|--:|--:|--:|--:|--:|\n"
        );
        for Line { difference, interval, chance } in self.differences() {
            let Difference { name, protocol, measured, values, difference, gained, lost, .. } = difference;
            let _ = writeln!(
                text,
                "| {} | {protocol} | {} | {:.2} | {:.2} | {difference:+.2} | {interval} | {gained} | {lost} | {chance} |",
                escaped(name),
                escaped(measured),
                values[0],
                values[1],
            );
        }
        let _ = writeln!(text, "\n{NOTE}");
        text
    }

    /// The comparison as indented JSON.
    ///
    /// # Errors
    ///
    /// None in practice: every part can be written as JSON.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }

    /// The comparison as a page, with the answers that changed and their pictures.
    ///
    /// # Errors
    ///
    /// None in practice: the template is part of the program.
    pub fn to_html(&self) -> Result<String> {
        let page = Page { comparison: self, differences: self.differences().collect(), note: NOTE };
        render("compare.html", TEMPLATE, &page)
    }
}

/// Below the tables.
const NOTE: &str = "Gained and lost are rows, or groups where those are counted, that only the second or only the first run has \
                    right; “by chance” is how likely so uneven a split is if neither is better (McNemar's exact test). The \
                    interval is a jackknife over pictures: questions about one picture, in all languages, stay together.";

/// A probability with as many digits as say something.
fn chance(p_value: f64) -> String {
    if p_value < 0.001 { "< 0.001".into() } else { format!("{p_value:.3}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Protocol;

    #[test]
    fn tables_say_which_run_is_better_and_how_surely() {
        let difference = Difference {
            name: "MMMB_tr".into(),
            protocol: Protocol::Kit2026_08,
            measured: "accuracy per row".into(),
            values: [50.0, 75.0],
            difference: 25.0,
            interval: Some([-3.5, 53.5]),
            gained: 12,
            lost: 1,
            p_value: 0.000_2,
        };
        let comparison = Comparison {
            runs: ["a|b".into(), "<new>".into()],
            means: vec![Difference {
                name: "MMMB".into(),
                interval: None,
                p_value: 0.5,
                ..difference.clone()
            }],
            datasets: vec![difference],
            changed: Vec::new(),
            changed_in_all: 13,
        };
        let text = comparison.to_markdown();
        for line in [
            "| MMMB_tr | kit-2026-08 | accuracy per row | 50.00 | 75.00 | +25.00 | -3.50 to +53.50 | 12 | 1 | < 0.001 |",
            "| MMMB | kit-2026-08 | accuracy per row | 50.00 | 75.00 | +25.00 | – | 12 | 1 | 0.500 |",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(text.starts_with("# <new> against a\\|b\n"), "{text}");
        let page = comparison.to_html().unwrap();
        assert!(page.contains("&lt;new&gt; against a|b") && page.contains("-3.50 to +53.50"), "{page}");
        let json: serde_json::Value = serde_json::from_str(&comparison.to_json().unwrap()).unwrap();
        assert_eq!(json["datasets"][0]["gained"], 12);
    }
}
