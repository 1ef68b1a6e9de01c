//! Answers as they are given, on disk: what a run that was interrupted goes on from.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use parrot_model::untrusted::from_json;
use serde::{Deserialize, Serialize};

use crate::line_file::{LineFile, whole_lines};
use crate::{Error, Result};

/// What answers depend on besides prompt and picture. A file of answers that were given under other conditions is
/// not continued, but for another batch size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conditions {
    /// SHA-256 over the model's files.
    pub model_sha256: String,
    /// What its weights are held in.
    pub dtype: String,
    /// Where it computes, e.g. `cpu`.
    pub device: String,
    /// Questions computed at the same time when the file was begun. A run that goes on may choose another, for want
    /// of memory say; rounding may then differ, and with it an answer that was close to a tie.
    pub batch_size: usize,
    /// Tokens of an answer at most.
    pub max_new_tokens: usize,
    /// Whether pictures were saved as JPEG and read again first.
    pub jpeg_roundtrip: bool,
}

/// An answer, as a line of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Answered {
    /// SHA-256 of prompt and picture: `question_id`.
    pub id: String,
    /// A dataset that asks it.
    pub dataset: String,
    /// The index of a row that asks it.
    pub index: String,
    /// The answer as generated, or why there is none.
    #[serde(flatten)]
    pub outcome: QuestionOutcome,
}

/// The outcome of a question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuestionOutcome {
    /// The answer.
    Answer {
        /// As generated, special tokens left out.
        text: String,
        /// Its tokens.
        tokens: usize,
        /// The weight of each expert.
        #[serde(default)]
        routing: Vec<f32>,
    },
    /// Why it could not be asked.
    Refused(String),
}

/// What tells questions apart: the same words about the same picture need no second answer, whichever protocol
/// or dataset asks.
#[must_use]
pub(crate) fn question_id(prompt: &str, image: &[u8; 32]) -> String {
    use sha2::{Digest, Sha256};
    let mut hasher = Sha256::new();
    hasher.update(image);
    hasher.update(prompt);
    format!("{:x}", hasher.finalize())
}

/// The file, one JSON object per line, the first one [`Conditions`]; lines are only ever added. It is held by this
/// process alone for as long as the value lives.
#[derive(Debug)]
pub struct Journal {
    /// `None` for one in memory.
    file: Option<LineFile>,
    pub(super) records: HashMap<String, Answered>,
    /// Those of them that the file has.
    written: HashSet<String>,
}

impl Journal {
    /// Opens the file, or begins it.
    ///
    /// What an interruption left half written, at the end, is removed.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or written, another process holds it, it was made under other conditions, or it
    /// is broken elsewhere than at its end.
    pub fn open(path: &Path, conditions: &Conditions) -> Result<Self> {
        let (mut file, bytes) = LineFile::open(path)?;
        let whole = &bytes[..whole(path, &bytes, conditions)?];
        let records = if whole.is_empty() { HashMap::new() } else { read_records(path, whole, conditions)? };
        file.end_after(whole)?;
        if whole.is_empty() {
            file.append([serde_json::to_string(conditions)])?;
        }
        Ok(Self { written: records.keys().cloned().collect(), file: Some(file), records })
    }

    /// A journal without a file, kept in memory only.
    #[must_use]
    pub fn in_memory() -> Self {
        Self { file: None, records: HashMap::new(), written: HashSet::new() }
    }

    /// The answer to a question, if there is one.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Answered> {
        self.records.get(id)
    }

    /// Answers so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Adds answers, in one write.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn add(&mut self, records: Vec<Answered>) -> Result<()> {
        if let Some(file) = &mut self.file {
            file.append(records.iter().map(serde_json::to_string))?;
        }
        self.written.extend(records.iter().map(|record| record.id.clone()));
        self.records.extend(records.into_iter().map(|record| (record.id.clone(), record)));
        Ok(())
    }

    /// All answers, in no order.
    pub fn answers(&self) -> impl Iterator<Item = &Answered> {
        self.records.values()
    }

    /// Whether it wrote the answer itself, or found it in its file.
    pub(super) fn is_written(&self, id: &str) -> bool {
        self.written.contains(id)
    }
}

/// How many of a file's bytes stand for whole lines.
fn whole(path: &Path, bytes: &[u8], conditions: &Conditions) -> Result<usize> {
    let is_line = |number, line: &[u8]| match number {
        1 => from_json::<Conditions>(line).is_ok(),
        _ => from_json::<Answered>(line).is_ok(),
    };
    let is_cut = |number, line: &[u8]| {
        number == 1 && serde_json::to_string(conditions).is_ok_and(|text| text.as_bytes().starts_with(line))
    };
    whole_lines(bytes, is_line, is_cut).map_err(|line| {
        let problem =
            if line == 1 { "no conditions of a run" } else { "neither an answer nor the beginning of one" };
        let problem = format!("{problem}; choose another folder");
        Error::Table { file: path.into(), line: Some(line), problem }
    })
}

/// The answers of a file's lines, if it was made under these conditions.
fn read_records(path: &Path, bytes: &[u8], conditions: &Conditions) -> Result<HashMap<String, Answered>> {
    let refuse = |line, problem: String| Error::Table { file: path.into(), line: Some(line), problem };
    let mut records = HashMap::new();
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        if number == 1 {
            let found: Conditions =
                from_json(line).map_err(|error| refuse(1, format!("no conditions of a run: {error}")))?;
            if let Some(differences) = differences(conditions, &found) {
                return Err(refuse(1, differences));
            }
        } else if !line.is_empty() {
            let record: Answered =
                from_json(line).map_err(|error| refuse(number, format!("no answer: {error}")))?;
            records.insert(record.id.clone(), record);
        }
    }
    Ok(records)
}

fn differences(expected: &Conditions, found: &Conditions) -> Option<String> {
    let difference = |name, expected: String, found: String| {
        (expected != found).then(|| format!("{name} should be {expected}, found {found}"))
    };
    let short = |hash: &str| hash.chars().take(12).collect::<String>();
    let parts: Vec<String> = [
        difference("the model's hash", short(&expected.model_sha256), short(&found.model_sha256)),
        difference("dtype", expected.dtype.clone(), found.dtype.clone()),
        difference("device", expected.device.clone(), found.device.clone()),
        difference("max_new_tokens", expected.max_new_tokens.to_string(), found.max_new_tokens.to_string()),
        difference("jpeg_roundtrip", expected.jpeg_roundtrip.to_string(), found.jpeg_roundtrip.to_string()),
    ]
    .into_iter()
    .flatten()
    .collect();
    let differ = !parts.is_empty();
    differ.then(|| format!("these answers are of another run: {}; choose another folder", parts.join(", ")))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::ask) fn conditions() -> Conditions {
        Conditions {
            model_sha256: "ab".repeat(32),
            dtype: "f32".into(),
            device: "cpu".into(),
            batch_size: 8,
            max_new_tokens: 8,
            jpeg_roundtrip: false,
        }
    }

    fn record(id: &str) -> Answered {
        let outcome =
            QuestionOutcome::Answer { text: "A\n\"猫\"".into(), tokens: 3, routing: vec![0.5, 0.25] };
        Answered { id: id.into(), dataset: "d".into(), index: "1".into(), outcome }
    }

    /// It was waited for without end.
    #[cfg(unix)]
    #[test]
    fn a_named_pipe_is_no_file_of_answers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("answers.jsonl");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let error = parrot_model::error_chain(&Journal::open(&path, &conditions()).unwrap_err());
        assert!(error.ends_with("answers.jsonl: it is a named pipe, not a file"), "{error}");
    }

    /// What a link to nothing named was created, somewhere else.
    #[cfg(unix)]
    #[test]
    fn a_link_is_no_file_of_answers() {
        let folder = tempfile::tempdir().unwrap();
        let [elsewhere, path] = ["elsewhere", "answers.jsonl"].map(|name| folder.path().join(name));
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        for _ in 0..2 {
            let error = parrot_model::error_chain(&Journal::open(&path, &conditions()).unwrap_err());
            assert!(error.contains("answers.jsonl: it is a symbolic link"), "{error}");
            // Nor is what it leads to, where that is there.
            std::fs::write(&elsewhere, "").unwrap();
        }
    }

    #[test]
    fn what_was_answered_is_there_again_and_half_a_line_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("answers.jsonl");
        let mut journal = Journal::open(&path, &conditions()).unwrap();
        let refused = Answered { outcome: QuestionOutcome::Refused("too long".into()), ..record("b") };
        journal.add(vec![record("a"), refused.clone()]).unwrap();
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&whole[..], b"{\"id\": \"c\", \"ans"].concat()).unwrap();

        let mut journal = Journal::open(&path, &conditions()).unwrap();
        assert_eq!(
            (journal.get("a"), journal.get("b"), journal.get("c")),
            (Some(&record("a")), Some(&refused), None)
        );
        assert_eq!(std::fs::read(&path).unwrap(), whole);
        journal.add(vec![record("c")]).unwrap();
        let held = Journal::open(&path, &conditions()).unwrap_err().to_string();
        assert!(held.contains("answers.jsonl: another run is writing it"), "{held}");
        drop(journal);
        // Less memory, the same run.
        let smaller = Conditions { batch_size: 2, ..conditions() };
        assert_eq!(Journal::open(&path, &smaller).unwrap().len(), 3);
    }

    /// An editor may leave out the last line break: the answers, or the whole run's conditions, were erased by that.
    #[test]
    fn a_last_line_without_a_line_break_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("answers.jsonl");
        Journal::open(&path, &conditions()).unwrap().add(vec![record("a"), record("b")]).unwrap();
        let whole = std::fs::read(&path).unwrap();
        let first = whole.iter().position(|byte| *byte == b'\n').unwrap();
        for (cut, answers) in [(whole.len() - 1, 2), (first, 0)] {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut journal = Journal::open(&path, &conditions()).unwrap();
            assert_eq!(journal.len(), answers);
            journal.add(vec![record("c")]).unwrap();
            drop(journal);
            assert_eq!(Journal::open(&path, &conditions()).unwrap().len(), answers + 1);
        }
        // The beginning of a line of ours goes; what is not ours stays, and the run is refused.
        for (text, is_ours) in
            [("{\"model_sha", true), ("\0\0\0", true), ("my notes", false), ("{\"a\": 1}", false)]
        {
            std::fs::write(&path, text).unwrap();
            let opened = Journal::open(&path, &conditions()).is_ok();
            assert_eq!(opened, is_ours, "{text}");
            assert!(is_ours || std::fs::read_to_string(&path).unwrap() == text);
        }
        std::fs::write(&path, [&whole[..], b"my notes"].concat()).unwrap();
        let error = Journal::open(&path, &conditions()).unwrap_err().to_string();
        assert!(error.contains("answers.jsonl line 4: neither an answer"), "{error}");
    }

    #[test]
    fn a_journal_in_memory_needs_no_file() {
        let mut journal = Journal::in_memory();
        journal.add(vec![record("a")]).unwrap();
        assert_eq!((journal.len(), journal.get("a")), (1, Some(&record("a"))));
    }

    #[test]
    fn another_models_answers_are_not_continued() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("answers.jsonl");
        Journal::open(&path, &conditions()).unwrap();
        let other =
            Conditions { dtype: "f16".into(), device: "cuda".into(), max_new_tokens: 9, ..conditions() };
        let error = Journal::open(&path, &other).unwrap_err().to_string();
        assert!(
            error.ends_with(
                "answers.jsonl line 1: these answers are of another run: dtype should be f16, found f32, \
                 device should be cuda, found cpu, max_new_tokens should be 9, found 8; choose another folder"
            ),
            "{error}"
        );
        // An empty first line tells as little as a wrong one.
        let conditions_below = format!("\n{}\n", serde_json::to_string(&other).unwrap());
        for text in ["hello\n", "\n", &conditions_below] {
            std::fs::write(&path, text).unwrap();
            let error = Journal::open(&path, &conditions()).unwrap_err().to_string();
            assert!(error.contains("line 1: no conditions of a run"), "{text:?}: {error}");
        }
    }

    #[test]
    fn words_and_image_tell_questions_apart() {
        let ids = [question_id("a", &[0; 32]), question_id("b", &[0; 32]), question_id("a", &[1; 32])];
        assert!(ids[0] != ids[1] && ids[0] != ids[2] && ids[1] != ids[2]);
        assert_eq!(ids[0].len(), 64);
    }
}
