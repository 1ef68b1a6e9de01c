//! Ratings as they are given, on disk: what a run that was interrupted goes on from.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use parrot_model::untrusted::from_json;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::line_file::{LineFile, whole_lines};
use crate::{Error, Result};

/// What a judge gave two answers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rating {
    /// The answer to compare with, GPT-4's.
    pub reference: f64,
    /// The answer.
    pub answer: f64,
}

/// `9 8`, the reference's first.
impl fmt::Display for Rating {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.reference, self.answer)
    }
}

/// Of a judge's reply: its first line are the two numbers, from 0 to 10, with blanks or a comma between them. What a model that
/// reasons writes before, between `<think>` and `</think>`, is passed over.
impl FromStr for Rating {
    type Err = String;

    fn from_str(reply: &str) -> Result<Self, String> {
        let reply = reply.trim_start();
        let thought = reply.strip_prefix("<think>").and_then(|reply| reply.split_once("</think>"));
        let answer = thought.map_or(reply, |(_, answer)| answer.trim_start());
        let line = answer.lines().next().unwrap_or_default();
        let words = line.split([' ', ',', '\t']).filter(|word| !word.is_empty());
        let numbers: Option<Vec<f64>> =
            words.map(|word| word.parse().ok().filter(|number| (0.0..=10.0).contains(number))).collect();
        match numbers.as_deref() {
            Some(&[reference, answer]) => Ok(Self { reference, answer }),
            _ => {
                let start: String = line.chars().take(60).collect();
                Err(format!("expected two numbers up to 10 in the first line, found “{start}”"))
            }
        }
    }
}

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Line {
    /// SHA-256 of what the judge was asked.
    id: String,
    /// The judge's name.
    judge: String,
    dataset: String,
    index: String,
    #[serde(flatten)]
    rating: Rating,
    /// Its whole reply.
    reply: String,
}

/// The ratings of one judge; with a file, those of others are in it as well and are left alone.
#[derive(Debug, Default)]
pub struct Ratings {
    file: Option<LineFile>,
    judge: String,
    by_prompt: HashMap<String, Rating>,
}

impl Ratings {
    /// Ratings without a file.
    #[must_use]
    pub fn in_memory(judge: &str) -> Self {
        Self { judge: judge.into(), ..Self::default() }
    }

    /// Opens a file of ratings, or begins it. Without a judge's name they are those of the only judge in it.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or written, another process holds it, or a line of it, but the last, is no rating.
    pub fn open(path: &Path, judge: Option<&str>) -> Result<Self> {
        let (mut file, bytes) = LineFile::open(path)?;
        let refuse = |line, problem: String| Error::Table {
            file: path.into(),
            line: Some(line),
            problem: format!("{problem}; choose another folder"),
        };
        let is_rating = |_, line: &[u8]| from_json::<Line>(line).is_ok();
        let end = whole_lines(&bytes, is_rating, |_, _| false)
            .map_err(|line| refuse(line, "neither a rating nor the beginning of one".into()))?;
        let mut lines = Vec::new();
        for (number, line) in (1..).zip(bytes[..end].split(|byte| *byte == b'\n')) {
            if !line.is_empty() {
                let line = from_json::<Line>(line);
                lines.push(line.map_err(|error| refuse(number, format!("no rating: {error}")))?);
            }
        }
        file.end_after(&bytes[..end])?;
        let judges: BTreeSet<&str> = lines.iter().map(|line| line.judge.as_str()).collect();
        let judge = match (judge, judges.len()) {
            (Some(judge), _) => judge.to_string(),
            (None, 1) => judges.into_iter().collect(),
            (None, _) => String::new(),
        };
        let own = lines.into_iter().filter(|line| line.judge == judge);
        let by_prompt = own.map(|line| (line.id, line.rating)).collect();
        Ok(Self { file: Some(file), judge, by_prompt })
    }

    /// The judge's name; empty where there is none.
    #[must_use]
    pub fn judge(&self) -> &str {
        &self.judge
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_prompt.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_prompt.is_empty()
    }

    /// What the judge said when it was asked this.
    pub(crate) fn of_prompt(&self, prompt: &str) -> Option<Rating> {
        self.by_prompt.get(&id(prompt)).copied()
    }

    /// Adds a rating, in one write.
    pub(crate) fn add(
        &mut self,
        prompt: &str,
        place: (&str, &str),
        rating: Rating,
        reply: &str,
    ) -> Result<()> {
        let id = id(prompt);
        if let Some(file) = &mut self.file {
            let (dataset, index) = (place.0.into(), place.1.into());
            let (judge, reply) = (self.judge.clone(), reply.into());
            let line = Line { id: id.clone(), judge, dataset, index, rating, reply };
            file.append([serde_json::to_string(&line)])?;
        }
        self.by_prompt.insert(id, rating);
        Ok(())
    }
}

fn id(prompt: &str) -> String {
    format!("{:x}", Sha256::digest(prompt))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the kit's `parse_score`: what it reads is read so.
    #[test]
    fn a_reply_begins_with_two_numbers() {
        for (reply, expected) in [
            ("9 8\nBoth are good.", Some((9.0, 8.0))),
            ("8.5,7", Some((8.5, 7.0))),
            // The kit finds three parts here, and counts −1.
            ("8, 7", Some((8.0, 7.0))),
            ("\n9 8", Some((9.0, 8.0))),
            // The kit reads nothing here, as `<think>` is no number.
            ("<think>\nIs it 1 or\n2?\n</think>\n\n9 8\nBoth are good.", Some((9.0, 8.0))),
        ] {
            let found = reply.parse::<Rating>().ok().map(|rating| (rating.reference, rating.answer));
            assert_eq!(found, expected, "{reply}");
        }
        for reply in [
            "",
            "9",
            "<think>9 8",
            "<think>9 8</think>",
            "Assistant 1: 9",
            "9 8 7",
            "90 80",
            "nan 5",
            "-1 -1",
            "nine eight",
            "{\"a\": 1}",
        ] {
            let error = reply.parse::<Rating>().unwrap_err();
            assert!(error.starts_with("expected two numbers up to 10"), "{reply}: {error}");
        }
    }

    #[test]
    fn ratings_are_there_again_and_those_of_another_judge_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ratings.jsonl");
        let rating = Rating { reference: 9.0, answer: 8.0 };
        let mut ratings = Ratings::open(&path, Some("first")).unwrap();
        ratings.add("p", ("LLaVABench", "1"), rating, "9 8").unwrap();
        assert!(Ratings::open(&path, None).unwrap_err().to_string().contains("another run is writing it"));
        drop(ratings);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&whole[..], b"{\"id\": \"ab"].concat()).unwrap();
        let ratings = Ratings::open(&path, None).unwrap();
        assert_eq!(
            (ratings.judge(), ratings.of_prompt("p"), ratings.of_prompt("q")),
            ("first", Some(rating), None)
        );
        drop(ratings);
        assert_eq!(std::fs::read(&path).unwrap(), whole);
        assert!(Ratings::open(&path, Some("second")).unwrap().is_empty());
        // A rating without its line break is one, and nothing of somebody else's is removed.
        std::fs::write(&path, whole.trim_ascii_end()).unwrap();
        assert_eq!(Ratings::open(&path, None).unwrap().len(), 1);
        assert_eq!(std::fs::read(&path).unwrap(), whole);
        for notes in ["my notes", "my notes\n"] {
            std::fs::write(&path, notes).unwrap();
            let error = Ratings::open(&path, None).unwrap_err().to_string();
            assert!(error.contains("ratings.jsonl line 1: ") && error.contains("rating"), "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), notes);
        }
    }
}
