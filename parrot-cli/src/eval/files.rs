//! The benchmark files that the command line names.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use parrot_eval::{Dataset, ImageStore, Problem, ProblemKind};
use parrot_model::{error_chain, untrusted};

use super::Args;

impl Args {
    /// The files that are named, and those in folders that are benchmarks; the others there are skipped.
    pub(super) fn datasets(&self) -> Result<(Vec<Dataset>, Vec<Problem>)> {
        let mut files = Vec::new();
        for path in &self.data {
            if path.is_dir() {
                files.extend(tables_in(path)?.into_iter().map(|file| (file, true)));
            } else {
                files.push((path.clone(), false));
            }
        }
        let mut images = ImageStore::default();
        let (mut datasets, mut skipped) = (Vec::with_capacity(files.len()), Vec::new());
        for (file, is_found) in &files {
            // A link to nowhere, a pipe, a folder of that name: none of them keeps the others from being read.
            if *is_found && let Err(error) = untrusted::require_file(file) {
                skipped.push(skipped_file(file, &error.into()));
                continue;
            }
            let opened = match &self.benchmark {
                Some(benchmark) => Dataset::open_as(file, Arc::clone(benchmark), &mut images),
                None => Dataset::open(file, &mut images),
            };
            match opened {
                // Other benchmarks look so too; a file that is one's own is named itself.
                Ok(dataset)
                    if *is_found && self.benchmark.is_none() && dataset.benchmark.open_set().is_some() =>
                {
                    skipped.push(open_questions(&dataset));
                }
                Ok(mut dataset) => {
                    dataset.request.clone_from(&self.request);
                    datasets.push(dataset);
                }
                Err(error) if *is_found && self.benchmark.is_none() && !is_named_as_benchmark(file) => {
                    skipped.push(skipped_file(file, &error));
                }
                Err(error) => return Err(error.into()),
            }
        }
        let what = skipped.iter().map(ToString::to_string).next().unwrap_or_default();
        ensure!(!datasets.is_empty(), "none of the files is a benchmark; {what}");
        let mut names = BTreeSet::new();
        for dataset in &datasets {
            let is_new = names.insert(&dataset.id);
            ensure!(is_new, "there are two files of the dataset {}", dataset.id);
        }
        Ok((datasets, skipped))
    }
}

/// The TSV files of a folder, by name.
fn tables_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = || format!("cannot read {}", folder.display());
    let entries = fs::read_dir(folder).with_context(failed)?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<PathBuf>>>();
    let paths = paths.with_context(failed)?;
    let is_table = |path: &PathBuf| path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("tsv"));
    let mut tables: Vec<PathBuf> = paths.into_iter().filter(is_table).collect();
    ensure!(!tables.is_empty(), "there is no .tsv file in {}", folder.display());
    tables.sort();
    Ok(tables)
}

/// Whether a file is named like a benchmark: failing to read it is then an error.
fn is_named_as_benchmark(file: &Path) -> bool {
    parrot_eval::benchmark_of_name(&file.file_stem().unwrap_or_default().to_string_lossy()).is_some()
}

fn open_questions(dataset: &Dataset) -> Problem {
    let detail = "it has questions with expected answers, and its name is of no benchmark; name the file itself to have it asked";
    let file = dataset.file_name();
    Problem { kind: ProblemKind::SkippedFile, file, line: None, index: None, detail: detail.into() }
}

fn skipped_file(file: &Path, error: &parrot_eval::Error) -> Problem {
    let (line, detail) = match error {
        parrot_eval::Error::Table { line, problem, .. } => (*line, problem.clone()),
        error => (None, error_chain(error)),
    };
    let file = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Problem { kind: ProblemKind::SkippedFile, file, line, index: None, detail }
}
