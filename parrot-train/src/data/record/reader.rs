//! Reads a file's records one by one; what is no record is reported, and the rest is read.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;

use parrot_model::untrusted::{self, Objects, plain_reason};
use serde_json::Value;
use serde_path_to_error::Segment;

use super::{BadRecord, BadRecordKind, Record};
use crate::data::json::{self, Elements, End};
use crate::{Error, Result};

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
                    records.reject(number, String::new(), BadRecordKind::Other, reason);
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
            let reason = "the file is cut off: its list is not closed".into();
            records.reject(number + 1, String::new(), BadRecordKind::Other, reason);
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
        let value = match value {
            Ok(value) => value,
            Err(reason) => return self.reject(number, String::new(), BadRecordKind::NotJson, reason),
        };
        let id = id_of(&value);
        match record_of(value, &mut self.records.not_read) {
            Ok(record) => self.records.good.push((number, record)),
            Err(reason) => self.reject(number, id, BadRecordKind::Other, reason),
        }
    }

    fn reject(&mut self, number: usize, id: String, kind: BadRecordKind, reason: String) {
        self.records.bad.push(BadRecord { source: self.source.clone(), number, id, reason, kind });
    }
}

fn key(segment: &Segment) -> Option<&str> {
    match segment {
        Segment::Map { key } => Some(key),
        // Not which message it is: equal problems have equal reasons.
        _ => None,
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
    let record = serde_path_to_error::deserialize(Objects(&value)).map_err(|error| {
        let keys: Vec<_> = error.path().iter().filter_map(key).collect();
        let reason = plain_reason(&error.inner().to_string());
        if keys.is_empty() { reason } else { format!("`{}`: {reason}", keys.join(".")) }
    })?;
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
