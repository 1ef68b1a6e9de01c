//! `--compare`: two earlier runs on the same files.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use parrot_eval::{Compared, Comparison, Dataset, PredictionFile, Problem, Protocol};
use parrot_model::{error_chain, untrusted};

use super::out::{COMPARISON, check_for_comparison};
use super::{Args, say_problems, write};
use crate::terminal::{print_json, print_notice};

impl Args {
    /// Compares two runs: folders that `--out` named, or files of predictions.
    pub(super) fn compare_runs(&self, datasets: &[Dataset], runs: &[PathBuf]) -> Result<()> {
        if let Some(out) = &self.out {
            check_for_comparison(out)?;
        }
        let mut compared = Vec::new();
        let mut without = BTreeSet::new();
        let mut problems: Vec<Problem> = Vec::new();
        runs.iter().try_for_each(|path| require_run(path))?;
        for protocol in self.protocols() {
            let [Some(first), Some(second)] = [run(&runs[0], *protocol)?, run(&runs[1], *protocol)?] else {
                continue;
            };
            problems.extend(first.iter().chain(&second).flat_map(|file| file.problems.clone()));
            for dataset in datasets {
                let assigned = [&first, &second].map(|files| match datasets {
                    [_] if files.len() == 1 => parrot_eval::assign(dataset, files),
                    _ => parrot_eval::assign_by_name(dataset, files),
                });
                let is_in_both =
                    assigned.iter().all(|found| found.of_rows.iter().any(|texts| !texts.is_empty()));
                if is_in_both {
                    problems.extend(assigned.iter().flat_map(|found| found.problems.clone()));
                    compared.push(Compared { dataset, protocol: *protocol, predictions: assigned });
                } else {
                    without.insert(&dataset.id);
                }
            }
        }
        let mut known = HashSet::new();
        problems.retain(|problem| known.insert(problem.to_string()));
        say_problems(&problems);
        for id in without.iter().filter(|id| compared.iter().all(|this| this.dataset.id != ***id)) {
            print_notice(&format!("{id} is left out: a run has no answer to it"));
        }
        ensure!(
            !compared.is_empty(),
            "{} and {} have no dataset and protocol in common with --data and --protocol",
            runs[0].display(),
            runs[1].display()
        );
        let comparison = Comparison::new(names(runs), &compared, self.wrong);
        let (json, markdown) =
            (comparison.to_json()?, untrusted::printable(&comparison.to_markdown()).into_owned());
        if let Some(out) = &self.out {
            untrusted::create_folder(out)?;
            let page = comparison.to_html()?;
            for (name, text) in COMPARISON.into_iter().zip([&json, &markdown, &page]) {
                write(&out.join(name), text)?;
            }
            print_notice(&format!("the comparison is in {}", out.display()));
        }
        if self.json {
            print_json(&json)?;
        } else {
            writeln!(io::stdout(), "{}", markdown.trim_end())?;
        }
        Ok(())
    }
}

/// What a run can be given as.
const EXPECTED: &str =
    "--compare expects folders that --out named, or files of predictions (.tsv, .xlsx or .jsonl)";

/// That a folder is that of a run: of a file it is found when it is read.
fn require_run(path: &Path) -> Result<()> {
    if !path.is_dir() || Protocol::ALL.iter().any(|protocol| path.join(protocol.id()).is_dir()) {
        return Ok(());
    }
    let shown = path.display();
    ensure!(
        !path.join("answers.jsonl").is_file(),
        "{shown} is a run that has not finished; the command that began it goes on with it"
    );
    ensure!(
        !path.join("results.json").is_file(),
        "{shown} has the scores of another program's answers, and not these; name the file that --score read"
    );
    bail!("{shown} is no run's folder, which holds predictions in {}, …; {EXPECTED}", Protocol::ALL[0])
}

/// The predictions of a run under a protocol; `None` for a folder that has none under it.
fn run(path: &Path, protocol: Protocol) -> Result<Option<Vec<PredictionFile>>> {
    if !path.is_dir() {
        let file = PredictionFile::read(path);
        return Ok(Some(vec![file.map_err(|error| anyhow!("{}; {EXPECTED}", error_chain(&error)))?]));
    }
    let folder = path.join(protocol.id());
    if !folder.is_dir() {
        return Ok(None);
    }
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let file = entry.with_context(|| format!("cannot read {}", folder.display()))?.path();
        if file.extension().is_some_and(|ending| ending == "tsv") {
            files.push(file);
        }
    }
    files.sort();
    Ok(Some(files.iter().map(|file| PredictionFile::read(file)).collect::<Result<_, _>>()?))
}

/// What the runs are called: as short as tells them apart.
fn names(runs: &[PathBuf]) -> [String; 2] {
    let last = |path: &PathBuf| {
        let name = if path.is_dir() { path.file_name() } else { path.file_stem() };
        name.map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
    };
    let short = [last(&runs[0]), last(&runs[1])];
    if short[0] == short[1] { [&runs[0], &runs[1]].map(|path| path.display().to_string()) } else { short }
}
