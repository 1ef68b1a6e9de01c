//! Results of several datasets and protocols.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::benchmarks::verdict::Level;
use crate::data::problem::Problem;
use crate::judge::endpoint::JudgeInfo;
use crate::language_code::LanguageCode;
use crate::protocol::{Method, Protocol, RunAs};
use crate::report::score::DatasetResult;

/// Everything that is needed to read a number again in a year.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Who answered.
    pub model: ModelInfo,
    /// How the model was asked; `None` where only predictions were scored.
    pub asked: Option<Asked>,
    /// Who rated answers, where a benchmark needs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub judge: Option<JudgeInfo>,
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
    /// How answers came about.
    pub method: Method,
    /// What questions end with instead of their benchmarks' own requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// Tokens of an answer at most.
    pub max_new_tokens: usize,
    /// Whether pictures were saved as JPEG and read again first.
    pub jpeg_roundtrip: bool,
    /// Questions computed at the same time.
    pub batch_size: usize,
    /// Processes that asked.
    pub processes: usize,
    /// Questions that the scores are made of, in all runs into this folder.
    pub questions: usize,
    /// Those of them that this run asked, the others having been answered before.
    pub questions_now: usize,
    /// Different pictures of those.
    pub images_now: usize,
    /// Tokens of their answers.
    pub tokens_now: usize,
    /// How long those took.
    pub seconds_now: f64,
}

/// Versions of what computed.
#[derive(Debug, Clone, Serialize)]
pub struct Versions {
    /// This crate; results say `parrot_infer`, of which it was a part.
    #[serde(rename = "parrot_infer")]
    pub parrot_eval: &'static str,
    /// burn, as the workspace pins it.
    pub burn: &'static str,
}

impl Default for Versions {
    fn default() -> Self {
        Self { parrot_eval: env!("CARGO_PKG_VERSION"), burn: "0.22.1" }
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
    pub by_language: BTreeMap<LanguageCode, f64>,
    /// What each is the mean of: rows, or groups.
    pub of: BTreeMap<LanguageCode, usize>,
    /// Their arithmetic mean. No kit prints it; papers take it.
    pub mean: f64,
    /// How far the best is above the worst.
    pub spread: f64,
    /// The language with the lowest score, the first of several.
    pub worst: Option<LanguageCode>,
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
        Self { model, asked, judge: None, versions: Versions::default(), languages, results, problems }
    }

    /// As indented JSON.
    ///
    /// # Errors
    ///
    /// None in practice: every part can be written as JSON.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }
}

/// What the languages of a benchmark are called together.
#[must_use]
pub(crate) fn collection_name(result: &DatasetResult) -> String {
    let Some((stem, _)) = result.dataset.rsplit_once('_').filter(|_| result.language.is_some()) else {
        return result.dataset.clone();
    };
    if stem == "MMBench_dev" { "MTL_MMBench_DEV".into() } else { stem.into() }
}

/// The languages of these collections, in order.
pub(crate) fn languages_of<'c>(collections: impl IntoIterator<Item = &'c Collection>) -> Vec<LanguageCode> {
    let all = collections.into_iter().flat_map(|collection| collection.by_language.keys());
    all.copied().collect::<BTreeSet<_>>().into_iter().collect()
}

/// Per collection, protocol and way of counting, in the order of the results.
fn collections(results: &[DatasetResult]) -> Vec<Collection> {
    let mut found: Vec<Collection> = Vec::new();
    for result in results {
        let Some(language) = result.language else { continue };
        let name = collection_name(result);
        let whole =
            result.scores.iter().filter(|score| score.level <= Level::Alternative && score.split.is_none());
        for score in whole {
            let is_this = |collection: &&mut Collection| {
                collection.name == name
                    && collection.protocol == result.protocol
                    && collection.counted == score.name
            };
            let at = match found.iter_mut().find(is_this) {
                Some(collection) => collection,
                None => {
                    found.push(Collection {
                        name: name.clone(),
                        protocol: result.protocol,
                        counted: score.name.clone(),
                        is_reported: score.level == Level::Overall,
                        by_language: BTreeMap::new(),
                        of: BTreeMap::new(),
                        mean: 0.0,
                        spread: 0.0,
                        worst: None,
                    });
                    let last = found.len() - 1;
                    &mut found[last]
                }
            };
            at.by_language.insert(language, score.value);
            at.of.insert(language, score.of);
        }
    }
    for collection in &mut found {
        let scores = || collection.by_language.iter();
        collection.mean = collection.by_language.values().sum::<f64>() / collection.by_language.len() as f64;
        let worst = scores().min_by(|(_, a), (_, b)| a.total_cmp(b));
        let best = collection.by_language.values().copied().fold(f64::MIN, f64::max);
        collection.spread = worst.map_or(0.0, |(_, worst)| best - worst);
        collection.worst = worst.map(|(language, _)| *language);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burns_version_is_the_workspaces() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
        let text = std::fs::read_to_string(file).unwrap();
        let line = text.lines().find(|line| line.starts_with("burn = ")).unwrap();
        let expected = format!("version = \"={}\"", Versions::default().burn);
        assert!(line.contains(&expected), "{line}");
    }
}
