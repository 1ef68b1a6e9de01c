//! LLaVA's JSON: records of a conversation, usually about a picture.
//!
//! ```json
//! [{"id": "17", "image": "coco/17.jpg",
//!   "conversations": [{"from": "human", "value": "<image>\nWhat is this?"},
//!                     {"from": "gpt", "value": "A parrot."}]}]
//! ```
//!
//! A `.json` file is such a list, a `.jsonl` file has one record a line; `image` may be a list of pictures. Files
//! of hundreds of thousands of records have broken ones: each becomes a [`BadRecord`], and the rest is read.
//! Videos, sound and the like, which other programs' records may have, make a record a bad one: its text alone is not
//! what it teaches. Keys that are not known are counted ([`Records::not_read`]).

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::Path;

use parrot_model::text::llava::{self, PLACEHOLDER};
use parrot_model::text::{Conversation, Role};
use parrot_model::untrusted::{self, printable};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::json::{self, Elements, End};
use crate::{Error, Result};

/// Pictures of one record at most: no model's sequence has room for more, and each is decoded before that shows.
pub(crate) const MOST_IMAGES: usize = 128;

/// Keys of records that show something else than pictures.
const OTHER_KINDS: [&str; 12] = [
    "video",
    "videos",
    "audio",
    "audios",
    "sound",
    "speech",
    "music",
    "point_cloud",
    "point",
    "depth",
    "3d",
    "pdf",
];
/// Keys that other programs have pictures under.
const OTHER_IMAGES: [&str; 8] =
    ["images", "image_path", "image_paths", "image_file", "image_url", "img", "picture", "pictures"];
/// What stands for those in a message.
const OTHER_PLACEHOLDERS: [&str; 8] =
    ["<video>", "<audio>", "<sound>", "<speech>", "<music>", "<point_cloud>", "<depth>", "<3d>"];

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
        // From the file: neither a terminal's commands nor further lines.
        let shown = |text: &str| printable(text).replace('\n', " ");
        write!(f, "{} record {}", shown(&self.source), self.number)?;
        if !self.id.is_empty() {
            write!(f, " (id {})", shown(&self.id))?;
        }
        write!(f, ": {}", shown(&self.reason))
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
        if self.images.len() > MOST_IMAGES {
            return Some(format!(
                "it has {} pictures, more than the {MOST_IMAGES} that a record may",
                self.images.len()
            ));
        }
        if let Some(other) = self.conversations.iter().find_map(Turn::other_placeholder) {
            return Some(format!("it shows something else than pictures: {other}"));
        }
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

impl Turn {
    /// A placeholder of a video or the like that stands where those stand: by itself, or at the message's begin or end. In
    /// the middle of a sentence it is a word about HTML.
    fn other_placeholder(&self) -> Option<&'static str> {
        let stands = |word: &&&str| {
            self.value.lines().any(|line| line.trim() == **word)
                || self.value.trim().starts_with(**word)
                || self.value.trim().ends_with(**word)
        };
        let human = self.from == Role::User;
        OTHER_PLACEHOLDERS.iter().filter(|_| human).find(stands).copied()
    }
}

/// A file's records.
#[derive(Debug, Default)]
pub struct Records {
    /// The usable ones, with their numbers in the file.
    pub good: Vec<(usize, Record)>,
    /// The elements that are no records.
    pub bad: Vec<BadRecord>,
    /// Keys that are not known and how many of the good records have them: what they say is left out.
    pub not_read: BTreeMap<String, usize>,
}

/// Reads a file's records.
///
/// - source: names the file in reports
///
/// # Errors
///
/// [`Error::Io`] when the file cannot be read, [`Error::Data`] when it is no list of records at all.
pub fn read(file: &Path, source: &str) -> Result<Records> {
    let io = |error| Error::io("read", file)(error);
    let mut reader = BufReader::with_capacity(1 << 16, untrusted::open(file)?);
    // Windows' editors begin a file with a byte-order mark.
    if reader.fill_buf().map_err(io)?.starts_with(b"\xEF\xBB\xBF") {
        reader.consume(3);
    }
    let mut records = Reader { source: source.into(), records: Records::default() };
    if file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("jsonl")) {
        let mut line = Vec::new();
        let mut number = 0;
        while reader.read_until(b'\n', &mut line).map_err(io)? > 0 {
            number += 1;
            match line.trim_ascii() {
                b"" => {}
                text if text.starts_with(b"[") => {
                    let reason = "a list, where a .jsonl file has one record a line; name it .json".into();
                    records.reject(number, String::new(), reason);
                }
                text => records.add(number, json::parse(text)),
            }
            line.clear();
        }
        return Ok(records.records);
    }
    let refuse =
        |reason: &str| Error::Data { path: file.into(), reason: format!("no list of records: {reason}") };
    let mut elements = match Elements::begin(reader).map_err(io)? {
        Ok(elements) => elements,
        Err(None) => return Err(refuse("it is empty")),
        Err(Some(b'{')) => return Err(refuse("it begins with a record; one record a line is a .jsonl file")),
        Err(Some(0xFE | 0xFF)) => return Err(refuse("it is UTF-16; save it as UTF-8")),
        Err(Some(_)) => return Err(refuse("it does not begin with [")),
    };
    let mut number = 0;
    while let Some(value) = elements.next().map_err(io)? {
        number += 1;
        records.add(number, value);
    }
    match elements.end() {
        End::Closed => {}
        End::CutOff => {
            records.reject(number + 1, String::new(), "the file is cut off: its list is not closed".into());
        }
        End::GoesOn => return Err(refuse("something stands behind its last bracket")),
    }
    Ok(records.records)
}

/// Takes a file record by record: one that is none does not end the reading, and memory never holds the whole file.
struct Reader {
    source: String,
    records: Records,
}

impl Reader {
    fn add(&mut self, number: usize, value: Result<Value, String>) {
        let id = value.as_ref().map(id_of).unwrap_or_default();
        match value.and_then(|value| record_of(value, &mut self.records.not_read)) {
            Ok(record) => self.records.good.push((number, record)),
            Err(reason) => self.reject(number, id, reason),
        }
    }

    fn reject(&mut self, number: usize, id: String, reason: String) {
        self.records.bad.push(BadRecord { source: self.source.clone(), number, id, reason });
    }
}

/// A JSON value as a record; the keys that are not known are counted.
fn record_of(value: Value, not_read: &mut BTreeMap<String, usize>) -> Result<Record, String> {
    let Some(record) = value.as_object() else {
        return Err(match value {
            Value::Array(_) => "a list, not a record".into(),
            Value::String(_) => "a text, not a record".into(),
            Value::Number(_) => "a number, not a record".into(),
            _ => "a single value, not a record".into(),
        });
    };
    let says = |value: &Value| match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => true,
    };
    let mut unknown: Vec<String> = Vec::new();
    for key in record.iter().filter(|(_, value)| says(value)).map(|(key, _)| key.as_str()) {
        if OTHER_KINDS.contains(&key) {
            return Err(format!("it shows something else than pictures: key `{key}`"));
        }
        if OTHER_IMAGES.contains(&key) {
            return Err(format!("pictures stand under the key `image`, not `{key}`"));
        }
        if !["id", "image", "conversations"].contains(&key) {
            unknown.push(format!("`{key}`"));
        }
    }
    let turns = record.get("conversations").and_then(Value::as_array).into_iter().flatten();
    let keys =
        turns.filter_map(Value::as_object).flatten().filter(|(_, value)| says(value)).map(|(key, _)| key);
    let mut of_turns: Vec<String> = keys
        .filter(|key| !["from", "value"].contains(&key.as_str()))
        .map(|key| format!("`{key}` of a message"))
        .collect();
    of_turns.sort();
    of_turns.dedup();
    let record = Record::deserialize(&value).map_err(|error| error.to_string())?;
    for key in unknown.into_iter().chain(of_turns) {
        // A key for each record would be no key.
        if not_read.len() < MOST_KEYS || not_read.contains_key(&key) {
            *not_read.entry(key).or_default() += 1;
        }
    }
    Ok(record)
}

/// Different unknown keys that are counted.
const MOST_KEYS: usize = 50;

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
            let Records { good: records, bad, .. } = read(&file, "source").unwrap();
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
        for text in ["{", "{}", "", " ", "[] x", "5", "\u{FEFF}"] {
            let (_folder, file) = write("data.json", text);
            let error = read(&file, "source").unwrap_err().to_string();
            assert!(error.contains("data.json") && error.contains("no list of records"), "{text}: {error}");
        }
        assert!(
            read(Path::new("/no/such.json"), "source").unwrap_err().to_string().contains("/no/such.json")
        );
    }

    /// train/nan.json: one record of eleven has a NaN, which refused the whole file.
    #[test]
    fn a_record_that_is_no_json_is_one_bad_record_in_a_list_too() {
        let good = GOOD.replace('\n', " ");
        for broken in [good.replace("7", "NaN"), good.replace("A cat.", "\\ud83d"), good.replace("}]}", "}")]
        {
            let (_folder, file) = write("nan.json", &format!("[{good},\n{broken},\n{good}\n]"));
            let Records { good, bad, .. } = read(&file, "source").unwrap();
            assert_eq!(good.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 3], "{broken}");
            assert!(
                bad.len() == 1 && bad[0].number == 2 && bad[0].reason.starts_with("no JSON: "),
                "{bad:?}"
            );
        }
        let (_folder, file) = write("cut.json", &format!("[{good}, {good}, {{\"id\": 3"));
        let Records { good: records, bad, .. } = read(&file, "source").unwrap();
        assert_eq!((records.len(), bad.len()), (2, 2));
        assert!(bad[1].reason.starts_with("the file is cut off"), "{bad:?}");
        // train/f_json_oneline_as_jsonl.jsonl
        let (_folder, file) = write("list.jsonl", &format!("[{good}]"));
        assert!(
            read(&file, "source").unwrap().bad[0].reason.starts_with("a list, where a .jsonl file has one")
        );
    }

    /// train/video.json was trained as text; train/all_bad.json has its pictures under another key.
    #[test]
    fn other_kinds_than_pictures_are_bad_records_and_unknown_keys_are_counted() {
        let text = |extra: &str, words: &str| {
            format!(
                r#"[{{"id": "n", {extra} "conversations": [{{"from": "human", "value": "{words}"}},
                {{"from": "gpt", "value": "rocket", "weight": 1}}]}}]"#
            )
        };
        let read = |extra: &str, words: &str| {
            let (_folder, file) = write("video.json", &text(extra, words));
            let Records { good, bad, not_read } = read(&file, "source").unwrap();
            let reasons = good.iter().filter_map(|(_, record)| record.problem());
            let reasons: Vec<String> = bad.into_iter().map(|bad| bad.reason).chain(reasons).collect();
            (reasons.join("; "), not_read)
        };
        for (extra, words, reason) in [
            (r#""video": "a.mp4","#, "<video>\\nWhat?", "something else than pictures: key `video`"),
            ("", "<video>\\nWhat?", "something else than pictures: <video>"),
            ("", "What is said? <audio>", "something else than pictures: <audio>"),
            (r#""images": ["a.png"],"#, "<image>\\nWhat?", "under the key `image`, not `images`"),
        ] {
            let (found, _) = read(extra, words);
            assert!(found.contains(reason), "{found}");
        }
        let (found, not_read) =
            read(r#""system": "Be brief.", "video": null, "model": "","#, "Which <video> tag?");
        assert_eq!(found, "");
        let not_read: Vec<(&str, usize)> =
            not_read.iter().map(|(key, count)| (key.as_str(), *count)).collect();
        assert_eq!(not_read, [("`system`", 1), ("`weight` of a message", 1)]);
    }

    /// One that names a picture 4,000 times took gigabytes.
    #[test]
    fn a_record_of_too_many_pictures_is_refused_before_any_is_decoded() {
        let mut record: Record = serde_json::from_str(GOOD).unwrap();
        record.images = vec!["a.png".into(); MOST_IMAGES + 1];
        record.conversations[0].value = "<image>".repeat(MOST_IMAGES + 1);
        assert!(record.problem().unwrap().starts_with("it has 129 pictures"));
    }

    /// train/esc.json
    #[test]
    fn what_a_file_says_gives_a_terminal_no_commands() {
        let (source, id) = ("s\u{1b}[2J".into(), "x\u{1b}[31mRED\u{1b}]2;pwned\u{7}\n".into());
        let bad = BadRecord { source, number: 1, id, reason: "no picture \u{9b}31m.png".into() };
        assert!(bad.to_string().chars().all(|c| !c.is_control()), "{bad}");
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
