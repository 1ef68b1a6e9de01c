//! Every benchmark that is known by name, with what it asks, reads and counts.

use std::sync::Arc;

use serde::Serialize;

use crate::benchmarks::benchmark::Benchmark;
use crate::benchmarks::by_name::benchmark_of_name;
use crate::benchmarks::known::{KNOWN_FILES, KnownFile};
use crate::{
    Ai2d, Circular, HallusionBench, LlavaBench, MmBench, MmStar, Mme, Mmmb, Mmmu, MtVqa, OcrBench, OpenSet,
    OwnChoice, Pope, RealWorldQa, ScienceQa, SeedBench, TextVqa,
};

/// A benchmark that is known by name.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Listed {
    /// How it is asked and scored.
    #[serde(skip)]
    pub benchmark: Arc<dyn Benchmark>,
    /// Its name.
    pub name: &'static str,
    /// Its published files; empty where it is a kind of files.
    pub files: Vec<ListedFile>,
    /// The column of the expected answer.
    pub expected: &'static str,
    /// Columns besides index, image, question and that one.
    pub columns: &'static [&'static str],
    /// What is asked.
    pub prompt: &'static str,
    /// How an answer is read.
    pub reading: &'static str,
    /// What is counted; the first is the number that is quoted.
    pub score: &'static str,
    /// What a judge model would add, which is asked for LLaVA-Bench only.
    pub judge: &'static str,
    /// Where all of this is from.
    pub source: &'static str,
}

/// A published file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ListedFile {
    /// Its name, e.g. `mmmb_ar.tsv`.
    pub name: String,
    /// Its MD5.
    pub md5: &'static str,
}

const FORK: &str = "VLMEvalKit inside AIDC-AI/Parrot 989d6d0, and e8e78f0";
const KIT: &str = "VLMEvalKit e8e78f0";
const OWN: &str = "our own, for files of one's own";
const LETTER: &str = "a letter, else the words of one option";
const CONTAINED: &str = "an accepted text is contained";
const JUDGE_READS: &str =
    "a judge would read answers that name no option; without one they are wrong, as in the kit";
const JUDGE_YES_NO: &str =
    "a judge would read answers with neither word; without one they are wrong, as in the kit";
const NO_JUDGE: &str = "none";

/// All of them, in the order in which they are shown.
#[must_use]
pub fn catalogue() -> Vec<Listed> {
    let options = "the options and a request for the letter";
    let yes_no = "a request for Yes or No";
    let mut all = vec![
        listed(
            Mmmb,
            options,
            LETTER,
            "accuracy per row, or per yes/no pair (paper-2024-06)",
            JUDGE_READS,
            FORK,
        ),
        listed(MmBench, options, LETTER, "accuracy per group of rotated options", JUDGE_READS, FORK),
        listed(Circular, options, LETTER, "accuracy per group, or per row (kit-2024-08)", JUDGE_READS, FORK),
        listed(Pope, yes_no, "the word yes or no", "F1; accuracy, precision, recall", JUDGE_YES_NO, FORK),
        listed(Mme, yes_no, "the word yes or no", "points, out of 2,800", JUDGE_YES_NO, FORK),
    ];
    all.extend([
        listed(MmStar, options, LETTER, "accuracy per row", JUDGE_READS, KIT),
        listed(ScienceQa, options, LETTER, "accuracy per row", JUDGE_READS, KIT),
        listed(SeedBench, options, LETTER, "accuracy per row", JUDGE_READS, KIT),
        listed(RealWorldQa, options, LETTER, "accuracy per row", JUDGE_READS, KIT),
        listed(Ai2d, options, LETTER, "accuracy per row", JUDGE_READS, KIT),
        listed(
            Mmmu,
            "the options and a request for the letter, or of open questions for a word or phrase; behind the words the \
             pictures, where there are several",
            "a letter, else the words of one option; of an open question its answer, against “Other Answers”",
            "accuracy per row of the split validation; per split and subject",
            JUDGE_READS,
            KIT,
        ),
        listed(
            LlavaBench::default(),
            "the question alone",
            "a judge's rating from 1 to 10, beside that of GPT-4's answer",
            "relative score: the answers' ratings as a share of GPT-4's; per category",
            "without one (--judge) answers are exported and not scored",
            KIT,
        ),
        listed(HallusionBench, yes_no, "the word yes or no", "aAcc, fAcc, qAcc", JUDGE_YES_NO, KIT),
        listed(OcrBench, "the question alone", CONTAINED, "right answers out of 1,000", NO_JUDGE, KIT),
        listed(
            TextVqa,
            "a request for a word or phrase",
            "words without punctuation, articles and case",
            "VQA score: a third per person who said the same",
            NO_JUDGE,
            KIT,
        ),
        listed(
            MtVqa,
            "a request for a word or phrase in the question's language",
            CONTAINED,
            "accuracy per row; per language with mean and worst",
            NO_JUDGE,
            KIT,
        ),
    ]);
    all.push(listed(OwnChoice, options, LETTER, "accuracy per row", NO_JUDGE, OWN));
    let phrase = "a request for a word or phrase";
    for (set, reading) in [
        (OpenSet::Contains, "an expected answer is contained, letter case aside"),
        (OpenSet::Exact, "an expected answer, letter case and what stands around it aside"),
    ] {
        all.push(listed(set, phrase, reading, "accuracy per row", NO_JUDGE, OWN));
    }
    all
}

/// The benchmark of this name, letter case aside.
#[must_use]
pub fn benchmark_named(name: &str) -> Option<Arc<dyn Benchmark>> {
    catalogue()
        .into_iter()
        .find(|listed| listed.name.eq_ignore_ascii_case(name))
        .map(|listed| listed.benchmark)
}

fn listed(
    benchmark: impl Benchmark + 'static,
    prompt: &'static str,
    reading: &'static str,
    score: &'static str,
    judge: &'static str,
    source: &'static str,
) -> Listed {
    let name = benchmark.name();
    let is_its =
        |file: &&KnownFile| benchmark_of_name(&file.stem()).is_some_and(|found| found.name() == name);
    let files = KNOWN_FILES.iter().filter(is_its);
    let files = files.map(|file| ListedFile { name: file.stem() + ".tsv", md5: file.md5 }).collect();
    let (expected, columns) = (benchmark.expected_column(), benchmark.columns());
    Listed {
        benchmark: Arc::new(benchmark),
        name,
        files,
        expected,
        columns,
        prompt,
        reading,
        score,
        judge,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_published_file_is_listed_once() {
        let all = catalogue();
        let files: usize = all.iter().map(|listed| listed.files.len()).sum();
        assert_eq!(files, KNOWN_FILES.len());
        for listed in &all {
            let found = benchmark_named(&listed.name.to_uppercase()).unwrap();
            assert_eq!(found.name(), listed.name);
            let is_kind = listed.name == "circular" || listed.benchmark.is_own();
            assert_eq!(listed.files.is_empty(), is_kind, "{}", listed.name);
        }
        assert!(benchmark_named("songs").is_none());
    }
}
