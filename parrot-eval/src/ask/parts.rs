//! The answers of several processes: each writes a file of its own, and the first one puts them together.
//!
//! Nothing is exchanged while questions are asked, so no process waits for another. The first process's file is `answers.jsonl`, as
//! it is where there is one process; that of the `n`-th beside it is `answers.n.jsonl`. A run that was killed leaves these behind,
//! and the next one, with whatever number of processes, goes on from all of them.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::ask::generate::Share;
use crate::ask::journal::{Answered, Conditions, Journal};

/// A process's file of answers, in a folder that others may write theirs into.
#[derive(Debug)]
pub struct Parts {
    folder: PathBuf,
    share: Share,
}

impl Parts {
    /// Opens this process's file. The first process takes in what processes left that are not there any more.
    ///
    /// # Errors
    ///
    /// As [`Journal::open`], also for a file that was left.
    pub fn open(folder: &Path, share: Share, conditions: &Conditions) -> Result<(Self, Journal)> {
        let parts = Self { folder: folder.into(), share };
        let mut journal = Journal::open(&parts.file(share.process), conditions)?;
        if share.process == 0 {
            for file in parts.left() {
                let left = Journal::open(&file, conditions)?;
                let new: HashSet<&String> = left.ids().filter(|id| journal.get(id).is_none()).collect();
                journal.add(left.answers().filter(|answer| new.contains(&answer.id)).cloned().collect())?;
                drop(left);
                remove(&file)?;
            }
        }
        Ok((parts, journal))
    }

    /// Removes this process's file once the first process has its answers; its own stays.
    ///
    /// # Errors
    ///
    /// When it cannot be removed.
    pub fn close(self) -> Result<()> {
        if self.share.process == 0 { Ok(()) } else { remove(&self.file(self.share.process)) }
    }

    fn file(&self, process: usize) -> PathBuf {
        match process {
            0 => self.folder.join("answers.jsonl"),
            process => self.folder.join(format!("answers.{process}.jsonl")),
        }
    }

    /// Files of processes that are not among these, in their order.
    fn left(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let number = |name: &str| -> Option<usize> {
            name.strip_prefix("answers.")?.strip_suffix(".jsonl")?.parse().ok()
        };
        let mut numbers: Vec<usize> =
            entries.filter_map(|entry| number(entry.file_name().to_str()?)).collect();
        numbers.retain(|process| *process >= self.share.of);
        numbers.sort_unstable();
        numbers.into_iter().map(|process| self.file(process)).collect()
    }
}

fn remove(file: &Path) -> Result<()> {
    let failed = |source| parrot_model::Error::Io { action: "remove", path: file.into(), source };
    Ok(fs::remove_file(file).map_err(failed)?)
}

impl Journal {
    /// The ids of all questions that have an answer.
    fn ids(&self) -> impl Iterator<Item = &String> {
        self.answers().map(|answer| &answer.id)
    }

    /// Takes in answers that are written elsewhere: they are known, and not written here.
    pub fn know(&mut self, answers: impl IntoIterator<Item = Answered>) {
        for answer in answers {
            self.records.entry(answer.id.clone()).or_insert(answer);
        }
    }

    /// Writes answers of other processes that this file has not, in the order of the questions.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn take<'i>(
        &mut self,
        answers: Vec<Answered>,
        order: impl IntoIterator<Item = &'i str>,
    ) -> Result<()> {
        let mut new: HashMap<String, Answered> = answers
            .into_iter()
            .filter(|answer| !self.is_written(&answer.id))
            .map(|answer| (answer.id.clone(), answer))
            .collect();
        let in_order = order.into_iter().filter_map(|id| new.remove(id)).collect();
        self.add(in_order)
    }
}

#[cfg(test)]
mod tests {
    use super::super::journal::tests::conditions;
    use super::*;
    use crate::QuestionOutcome;

    fn answer(id: &str) -> Answered {
        let outcome = QuestionOutcome::Answer { text: id.into(), tokens: 1, routing: Vec::new() };
        Answered { id: id.into(), dataset: "d".into(), index: "1".into(), outcome }
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = entries.collect();
        names.sort();
        names
    }

    /// Three processes, one of which has answered more than it could hand over, then two.
    #[test]
    fn fewer_processes_go_on_from_the_files_of_more() {
        let folder = tempfile::tempdir().unwrap();
        for process in 0..3 {
            let share = Share { process, of: 3 };
            let (_, mut journal) = Parts::open(folder.path(), share, &conditions()).unwrap();
            journal.add(vec![answer(&format!("a{process}"))]).unwrap();
        }
        assert_eq!(names(folder.path()), ["answers.1.jsonl", "answers.2.jsonl", "answers.jsonl"]);
        let open = |process| Parts::open(folder.path(), Share { process, of: 2 }, &conditions()).unwrap();
        let (first, mut journal) = open(0);
        assert_eq!(names(folder.path()), ["answers.1.jsonl", "answers.jsonl"]);
        assert!(journal.get("a0").is_some() && journal.get("a2").is_some() && journal.get("a1").is_none());
        let (second, other) = open(1);
        assert_eq!(other.len(), 1);
        journal.know(other.answers().cloned());
        assert_eq!(journal.len(), 3);
        journal.take(other.answers().cloned().collect(), ["a0", "a1"]).unwrap();
        drop(other);
        second.close().unwrap();
        first.close().unwrap();
        drop(journal);
        assert_eq!(names(folder.path()), ["answers.jsonl"]);
        assert_eq!(Journal::open(&folder.path().join("answers.jsonl"), &conditions()).unwrap().len(), 3);
    }
}
