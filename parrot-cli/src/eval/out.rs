//! The folder that results go to: what lies there already under their names has to be of this command.

use std::path::Path;

use anyhow::{Result, ensure};
use parrot_model::untrusted;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// The files of results, and of a comparison. The first tells whether the others are of this command.
pub(super) const RESULTS: [&str; 3] = ["results.json", "results.md", "report.html"];
pub(super) const COMPARISON: [&str; 3] = ["comparison.json", "comparison.md", "comparison.html"];

/// The most that is read of a file to tell: results with a problem in each of a million rows have a tenth of it.
const MOST_BYTES: u64 = 1 << 30;

/// What `results.json` always had.
#[derive(Deserialize)]
struct Results {
    #[serde(rename = "versions")]
    _versions: Versions,
    #[serde(rename = "results")]
    _results: Vec<IgnoredAny>,
    asked: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Versions {
    #[serde(rename = "parrot_infer")]
    _parrot_infer: String,
}

/// What `comparison.json` always had.
#[derive(Deserialize)]
struct Comparison {
    #[serde(rename = "runs")]
    _runs: [String; 2],
    #[serde(rename = "changed_in_all")]
    _changed_in_all: usize,
}

/// Refuses to write the results of a model over what another program, or a person, has written.
pub(super) fn check_for_answers(out: &Path) -> Result<()> {
    // The answers themselves are checked where they are read.
    if has_answers(out) { Ok(()) } else { check(out, &RESULTS, results(out).is_some()) }
}

/// [`check_for_answers`] for the scores of another program's answers, which do not belong beside a model's.
pub(super) fn check_for_scores(out: &Path) -> Result<()> {
    let results = results(out);
    ensure!(
        !has_answers(out) && results.as_ref().is_none_or(|results| results.asked.is_none()),
        "{} holds a model's answers, and --score would put the scores of others in the place of theirs; choose another folder",
        out.display()
    );
    check(out, &RESULTS, results.is_some())
}

/// [`check_for_answers`] for a comparison.
pub(super) fn check_for_comparison(out: &Path) -> Result<()> {
    check(out, &COMPARISON, read::<Comparison>(&out.join(COMPARISON[0])).is_some())
}

fn has_answers(out: &Path) -> bool {
    out.join("answers.jsonl").is_file()
}

fn results(out: &Path) -> Option<Results> {
    read(&out.join(RESULTS[0]))
}

fn read<T: serde::de::DeserializeOwned>(file: &Path) -> Option<T> {
    untrusted::from_json(&untrusted::read(file, MOST_BYTES).ok()?).ok()
}

fn check(out: &Path, names: &[&str], is_own: bool) -> Result<()> {
    // Of a link the link only is replaced.
    let is_there = |file: &Path| file.symlink_metadata().is_ok_and(|found| !found.is_symlink());
    for file in names.iter().map(|name| out.join(name)) {
        ensure!(
            is_own || !is_there(&file),
            "{} is none of parrot eval's, and would be replaced; choose another folder, or move it away",
            file.display()
        );
    }
    Ok(())
}
