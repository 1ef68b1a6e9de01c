//! LLaVA's JSON: records of a conversation and mostly a picture.
//!
//! ```json
//! [{"id": "17", "image": "coco/17.jpg",
//!   "conversations": [{"from": "human", "value": "<image>\nWhat is this?"},
//!                     {"from": "gpt", "value": "A parrot."}]}]
//! ```
//!
//! A `.json` file is such a list, a `.jsonl` file has one record a line; `image` may be a list of pictures. Files
//! of hundreds of thousands of records have broken ones: each becomes a [`BadRecord`], and the rest is read.

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use parrot_model::text::llava::{self, PLACEHOLDER};
use parrot_model::text::{Conversation, Role};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::{Error, Result};

/// One record of a file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Record {
    /// Names the record in reports. Files have strings or numbers.
    #[serde(default, deserialize_with = "string_or_number")]
    pub id: String,
    /// Picture files, relative to the folder of pictures; empty for text alone.
    #[serde(default, rename = "image", deserialize_with = "one_or_many")]
    pub images: Vec<String>,
    /// The messages, oldest first.
    pub conversations: Vec<Turn>,
}

/// A message as the file has it; each `<image>` in it stands for a picture.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Turn {
    /// Who speaks: `human` or `user`, `gpt` or `assistant`, `system`.
    #[serde(deserialize_with = "role")]
    pub from: Role,
    /// What is said.
    pub value: String,
}

/// A record that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BadRecord {
    /// The source that it is from.
    pub source: String,
    /// The record's number in its file, counted from 1; the line of a `.jsonl` file.
    pub number: usize,
    /// Its id, if it has one.
    pub id: String,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for BadRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} record {}", self.source, self.number)?;
        if !self.id.is_empty() {
            write!(f, " (id {})", self.id)?;
        }
        write!(f, ": {}", self.reason)
    }
}

impl Record {
    /// The messages as the template takes them.
    ///
    /// Like the reference, a record with one picture has each message's `<image>` moved to its front, on a
    /// line of its own: several in one message become one. With several pictures each stays where it is.
    #[must_use]
    pub fn conversation(&self) -> Conversation {
        let message = |Turn { from, value }: &Turn| {
            let moved = self.images.len() == 1 && value.contains(PLACEHOLDER);
            if moved {
                let value = format!("{PLACEHOLDER}\n{}", value.replace(PLACEHOLDER, "").trim());
                llava::message(*from, value.trim())
            } else {
                llava::message(*from, value)
            }
        };
        Conversation(self.conversations.iter().map(message).collect())
    }

    /// Why nothing can be learnt from the record, as far as its text tells.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let placeholders = self.conversation().images();
        if placeholders != self.images.len() {
            return Some(format!(
                "it has {placeholders} <image> placeholder(s) for {} picture(s)",
                self.images.len()
            ));
        }
        let has_answer = self
            .conversations
            .iter()
            .any(|turn| turn.from == Role::Assistant && !turn.value.trim().is_empty());
        (!has_answer).then(|| "it has no answer to learn from".into())
    }
}

/// A file's records.
#[derive(Debug, Default)]
pub struct Records {
    /// Those that are some, with their numbers in the file.
    pub good: Vec<(usize, Record)>,
    /// What is none.
    pub bad: Vec<BadRecord>,
}

/// Reads a file's records.
///
/// - source: names the file in reports
///
/// # Errors
///
/// [`Error::Io`] when the file cannot be read, [`Error::Data`] when it is no list of records at all.
pub fn read(file: &Path, source: &str) -> Result<Records> {
    let mut reader = BufReader::new(File::open(file).map_err(Error::io("read", file))?);
    // Windows' editors begin a file with a byte-order mark.
    if reader.fill_buf().map_err(Error::io("read", file))?.starts_with(b"\xEF\xBB\xBF") {
        reader.consume(3);
    }
    let mut list = Reader { source: source.into(), records: Records::default() };
    if file.extension().is_some_and(|extension| extension == "jsonl") {
        for (index, line) in reader.lines().enumerate() {
            match line {
                Ok(line) if line.trim().is_empty() => {}
                Ok(line) => list.add(index + 1, serde_json::from_str(&line)),
                // Not UTF-8, say.
                Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                    list.reject(index + 1, String::new(), error.to_string());
                }
                Err(error) => return Err(Error::io("read", file)(error)),
            }
        }
    } else {
        let mut json = serde_json::Deserializer::from_reader(reader);
        let read = json.deserialize_seq(&mut list).and_then(|()| json.end());
        read.map_err(|error| Error::Data {
            path: file.into(),
            reason: format!("no list of records: {error}"),
        })?;
    }
    Ok(list.records)
}

/// Takes a list element by element: one that is no record does not end the reading, and memory never holds the
/// whole file.
struct Reader {
    source: String,
    records: Records,
}

impl Reader {
    fn add(&mut self, number: usize, value: serde_json::Result<Value>) {
        let id = value.as_ref().map(id_of).unwrap_or_default();
        let value = match value {
            Ok(value) => value,
            // The parser counts lines from the record's own beginning.
            Err(error) => return self.reject(number, id, format!("no JSON, column {}", error.column())),
        };
        match Record::deserialize(value) {
            Ok(record) => self.records.good.push((number, record)),
            Err(error) => self.reject(number, id, error.to_string()),
        }
    }

    fn reject(&mut self, number: usize, id: String, reason: String) {
        self.records.bad.push(BadRecord { source: self.source.clone(), number, id, reason });
    }
}

impl<'de> Visitor<'de> for &mut Reader {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> std::result::Result<(), A::Error> {
        let mut number = 0;
        while let Some(value) = elements.next_element::<Value>()? {
            number += 1;
            self.add(number, Ok(value));
        }
        Ok(())
    }
}

fn id_of(value: &Value) -> String {
    match &value["id"] {
        Value::String(id) => id.clone(),
        Value::Number(id) => id.to_string(),
        _ => String::new(),
    }
}

fn string_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "`id` should be a text or a number")]
    enum Id {
        None(()),
        String(String),
        Number(serde_json::Number),
    }
    Ok(match Id::deserialize(deserializer)? {
        Id::None(()) => String::new(),
        Id::String(id) => id,
        Id::Number(id) => id.to_string(),
    })
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "`image` should be a file's name or a list of them")]
    enum Images {
        None(()),
        One(String),
        Many(Vec<String>),
    }
    Ok(match Images::deserialize(deserializer)? {
        Images::None(()) => Vec::new(),
        Images::One(image) => vec![image],
        Images::Many(images) => images,
    })
}

fn role<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Role, D::Error> {
    let role = String::deserialize(deserializer)?;
    match role.as_str() {
        "human" | "user" => Ok(Role::User),
        "gpt" | "assistant" => Ok(Role::Assistant),
        "system" => Ok(Role::System),
        _ => Err(serde::de::Error::custom(format!(
            "unknown role `{role}`, expected human, user, gpt, assistant or system"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(name: &str, text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        (folder, file)
    }

    const GOOD: &str = r#"{"id": 7, "image": "a.png", "conversations": [
        {"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A cat."}]}"#;

    #[test]
    fn broken_records_are_told_and_the_rest_is_read() {
        let good = GOOD.replace('\n', " ");
        let unknown = good.replace("human", "robot");
        let list = good.replace(r#""a.png""#, r#"["a.png", "b.png"]"#);
        let lines = [good.as_str(), "", "{ broken", &unknown, r#"{"id": "x"}"#, &list].join("\n");
        let elements = format!("[{good}, 5, {unknown}, {{\"id\": \"x\"}}, {list}]");
        let lines = format!("\u{FEFF}{lines}");
        for (name, text, numbers) in
            [("d.jsonl", lines, [1, 3, 4, 5, 6]), ("d.json", elements, [1, 2, 3, 4, 5])]
        {
            let (_folder, file) = write(name, &text);
            let Records { good: records, bad } = read(&file, "source").unwrap();
            let found: Vec<usize> = records.iter().map(|(number, _)| *number).collect();
            assert_eq!(found, [numbers[0], numbers[4]], "{name}");
            assert_eq!(records[0].1.id, "7");
            assert_eq!(records[1].1.images, ["a.png", "b.png"]);
            let found: Vec<usize> = bad.iter().map(|bad| bad.number).collect();
            assert_eq!(found, numbers[1..4], "{name}");
            assert!(bad[1].to_string().contains("(id 7): unknown role `robot`"), "{}", bad[1]);
            assert!(bad[2].to_string().contains("missing field `conversations`"), "{}", bad[2]);
        }
    }

    #[test]
    fn files_that_are_no_list_of_records_are_refused() {
        for text in ["{", "{}", "[{]", "", "[] x"] {
            let (_folder, file) = write("data.json", text);
            let error = read(&file, "source").unwrap_err().to_string();
            assert!(error.contains("data.json") && error.contains("no list of records"), "{text}: {error}");
        }
        assert!(
            read(Path::new("/no/such.json"), "source").unwrap_err().to_string().contains("/no/such.json")
        );
    }

    #[test]
    fn problems_that_the_text_tells() {
        let problem = |edit: fn(&mut Record)| {
            let mut record: Record = serde_json::from_str(GOOD).unwrap();
            edit(&mut record);
            record.problem().unwrap_or_default()
        };
        assert_eq!(problem(|_| ()), "");
        assert!(problem(|record| record.images.clear()).contains("1 <image> placeholder(s) for 0"));
        assert!(
            problem(|record| record.images.push("b.png".into())).contains("1 <image> placeholder(s) for 2")
        );
        assert!(problem(|record| record.conversations[1].value = " ".into()).contains("no answer"));
        assert!(problem(|record| record.conversations.truncate(1)).contains("no answer"));
    }

    #[test]
    fn several_images_stay_where_they_are() {
        let text = r#"{"image": ["a.png", "b.png"], "conversations": [
            {"from": "user", "value": "Is <image> like <image>?"}, {"from": "assistant", "value": "No."}]}"#;
        let record: Record = serde_json::from_str(text).unwrap();
        assert_eq!(record.conversation().images(), 2);
        assert!(record.problem().is_none());
    }
}
