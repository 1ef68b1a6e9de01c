//! The picture of a report: a radar per collection of languages, and a bar per other benchmark.

use std::f64::consts::TAU;

use serde::Serialize;

use crate::language::Language;
use crate::language_code::LanguageCode;
use crate::protocol::Protocol;
use crate::report::markdown::named;
use crate::report::published::published;
use crate::report::results::{Collection, Report, languages_of};

/// What is drawn.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Figure {
    radars: Vec<Radar>,
    bars: Vec<Bar>,
    /// The protocol of the bars.
    protocol: Option<Protocol>,
}

/// The languages of a benchmark around a circle, 0 in the middle and 100 at the rim.
#[derive(Debug, Clone, Serialize)]
struct Radar {
    title: String,
    axes: Vec<Axis>,
    /// Polygons at 25, 50, 75 and 100.
    rings: Vec<String>,
    shapes: Vec<Shape>,
}

#[derive(Debug, Clone, Serialize)]
struct Axis {
    label: &'static str,
    /// Where it ends, and where its label stands.
    end: [f64; 2],
    at: [f64; 2],
}

/// A system's scores.
#[derive(Debug, Clone, Serialize)]
struct Shape {
    name: String,
    points: String,
    is_ours: bool,
    /// Which of its kind it is, from 0: it decides the line.
    number: usize,
}

#[derive(Debug, Clone, Serialize)]
struct Bar {
    name: String,
    value: f64,
    /// Percent of the most that there is.
    part: f64,
}

const RADIUS: f64 = 100.0;

/// Those of the paper's systems that are drawn: its own, what it started from, and the best-known.
const DRAWN: [&str; 3] = ["Parrot (Qwen1.5-7B)", "LLaVA-1.5 (Vicuna-7B)", "GPT-4V"];

/// A radar for three languages and more; bars, in the first protocol, for all that is less.
pub(super) fn figure(report: &Report) -> Figure {
    let protocol = report.results.first().map(|result| result.protocol);
    let mut figure = Figure { radars: Vec::new(), bars: Vec::new(), protocol };
    let reported: Vec<&Collection> =
        report.languages.iter().filter(|collection| collection.is_reported).collect();
    let mut drawn: Vec<&str> = Vec::new();
    for collection in &reported {
        if drawn.contains(&&*collection.name) {
            continue;
        }
        drawn.push(&collection.name);
        let own: Vec<&Collection> =
            reported.iter().copied().filter(|other| other.name == collection.name).collect();
        if languages_of(own.iter().copied()).len() > 2 {
            figure.radars.push(radar(&report.model.name, &own));
        } else {
            for (language, value) in
                collection.by_language.iter().filter(|_| Some(collection.protocol) == protocol)
            {
                figure.bars.push(bar(format!("{} {}", collection.name, language.code()), *value, 100.0));
            }
        }
    }
    let others =
        report.results.iter().filter(|result| result.language.is_none() && Some(result.protocol) == protocol);
    for result in others {
        let Some(score) = result.scores.first() else { continue };
        let most = match (result.benchmark, score.metric) {
            ("MME", _) => 2800.0,
            ("OCRBench", _) => 1000.0,
            _ => 100.0,
        };
        figure.bars.push(bar(format!("{}, {}", result.dataset, named(score)), score.value, most));
    }
    figure
}

fn bar(name: String, value: f64, most: f64) -> Bar {
    Bar { name, value, part: (100.0 * value / most).clamp(0.0, 100.0) }
}

/// One collection in every protocol of the report, and systems of the paper where their protocol is among them.
fn radar(model: &str, own: &[&Collection]) -> Radar {
    let languages = languages_of(own.iter().copied());
    let count = languages.len();
    let axes = languages
        .iter()
        .enumerate()
        .map(|(at, language)| Axis {
            label: language.code(),
            end: point(at, count, RADIUS),
            at: point(at, count, RADIUS + 14.0),
        })
        .collect();
    let rings = [25.0, 50.0, 75.0, 100.0].map(|ring| polygon(&vec![ring; count])).into();
    let mut shapes = Vec::new();
    let is_papers = |collection: &&Collection| collection.protocol == Protocol::Paper2024_06;
    if own.iter().any(is_papers) {
        let papers = published(&own[0].name).iter().filter(|row| DRAWN.contains(&row.system));
        for (number, row) in papers.enumerate() {
            let score =
                |code: &LanguageCode| Language::ALL.iter().position(|known| known.code() == code.code());
            let scores: Vec<f64> = languages
                .iter()
                .map(|language| score(language).map_or(0.0, |at| row.by_language[at]))
                .collect();
            let name = format!("{}, the paper's", row.system);
            shapes.push(Shape { name, points: polygon(&scores), is_ours: false, number });
        }
    }
    for (number, collection) in own.iter().enumerate() {
        let scores: Vec<f64> = languages
            .iter()
            .map(|language| collection.by_language.get(language).copied().unwrap_or_default())
            .collect();
        let (points, counted) = (polygon(&scores), &collection.counted);
        // Protocols that agree share a line.
        let same =
            |shape: &&mut Shape| shape.is_ours && shape.points == points && shape.name.ends_with(&**counted);
        if let Some(shape) = shapes.iter_mut().find(same) {
            shape.name =
                shape.name.replace(&format!(", {counted}"), &format!(", {}, {counted}", collection.protocol));
        } else {
            let name = format!("{model}, {}, {counted}", collection.protocol);
            shapes.push(Shape { name, points, is_ours: true, number });
        }
    }
    Radar { title: own[0].name.clone(), axes, rings, shapes }
}

/// The `at`-th of `count` directions, the first upwards, rounded to a tenth, without −0.
fn point(at: usize, count: usize, radius: f64) -> [f64; 2] {
    let angle = TAU * at as f64 / count as f64;
    [radius * angle.sin(), -radius * angle.cos()].map(|x| (10.0 * x).round() / 10.0 + 0.0)
}

/// The points of an SVG polygon through these scores.
fn polygon(scores: &[f64]) -> String {
    let points = scores.iter().enumerate().map(|(at, score)| {
        let [x, y] = point(at, scores.len(), score.clamp(0.0, 100.0) / 100.0 * RADIUS);
        format!("{x},{y}")
    });
    points.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_stand_where_their_language_does() {
        assert_eq!(polygon(&[100.0, 50.0, 0.0, 100.0]), "0,-100 50,0 0,0 -100,0");
        assert_eq!(bar("x".into(), 1400.0, 2800.0).part, 50.0);
        assert_eq!(bar("x".into(), 120.0, 100.0).part, 100.0);
    }
}
