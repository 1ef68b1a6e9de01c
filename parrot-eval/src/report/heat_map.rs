//! Scores by category: a map per benchmark, categories down, languages across.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::benchmarks::verdict::{Level, Score};
use crate::language_code::LanguageCode;
use crate::protocol::{Grouping, Protocol};
use crate::report::results::collection_name;
use crate::report::score::DatasetResult;

#[derive(Debug, Clone, Serialize)]
pub(super) struct HeatMap {
    name: String,
    /// Those that give these numbers.
    protocols: Vec<Protocol>,
    /// `per row`, `per group`: what its numbers count.
    counted: &'static str,
    /// Whether it is shown at once: the first of its benchmark.
    is_open: bool,
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

/// One per collection and protocol: categories down, languages across. Protocols that give the same numbers share one.
pub(super) fn heat_maps(results: &[DatasetResult]) -> Vec<HeatMap> {
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
            results.iter().map(|result| result.language.map_or("value", LanguageCode::code).into()).collect();
        let line = |((level, name), cells)| HeatLine { name, is_group: level == Level::L2Category, cells };
        let lines: Vec<HeatLine> = lines.into_iter().map(line).collect();
        let counted = match results[0].grouping {
            Grouping::PerRow => "per row",
            Grouping::Circular => "per group",
        };
        let same = |map: &&mut HeatMap| {
            (&map.name, map.counted, &map.columns, &map.lines) == (&name, counted, &columns, &lines)
        };
        if let Some(map) = maps.iter_mut().find(same) {
            map.protocols.push(protocol);
        } else if !lines.is_empty() {
            let is_open = maps.iter().all(|map| map.name != name);
            maps.push(HeatMap { name, protocols: vec![protocol], counted, is_open, columns, lines });
        }
    }
    maps
}

fn heat_cell(score: &Score) -> HeatCell {
    let most = if score.metric == "points" { 200.0 } else { 100.0 };
    HeatCell { value: score.value, part: (score.value / most).clamp(0.0, 1.0) }
}
