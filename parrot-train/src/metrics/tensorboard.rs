//! TensorBoard's event files: `tensorboard --logdir <run>`.
//!
//! A file is a sequence of records, each a length, the length's checksum, a protobuf message `Event` and the message's
//! checksum. The checksums are CRC-32C, rotated and shifted by a constant as TensorFlow masks them.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use parrot_model::untrusted::{create_folder, refuse_link};
use prost::Message;

use super::record::{Rates, StepRecord, called};
use crate::{Error, Result};

/// `tensorflow.Event`, as far as scalars need it.
#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

/// `tensorflow.Summary`.
#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Value>,
}

/// `tensorflow.Summary.Value`.
#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, tag = "2")]
    simple_value: f32,
}

/// A file that scalars are appended to.
#[derive(Debug)]
pub(super) struct EventFile {
    file: File,
    path: PathBuf,
}

impl EventFile {
    /// A new file for the steps after `done`; TensorBoard puts the files of a folder together.
    pub(super) fn create(folder: &Path, done: usize) -> Result<Self> {
        refuse_link(folder)?;
        create_folder(folder)?;
        let path = folder.join(format!("events.out.tfevents.{:.0}.step-{done:06}", now()));
        refuse_link(&path)?;
        let file = File::create(&path).map_err(Error::io("create", &path))?;
        let mut events = Self { file, path };
        let version = Some("brain.Event:2".into());
        events.append(&Event { wall_time: now(), step: 0, file_version: version, summary: None })?;
        Ok(events)
    }

    pub(super) fn write(&mut self, record: &StepRecord) -> Result<()> {
        let report = &record.report;
        let rates = Rates::over(std::iter::once(record));
        let mut value: Vec<Value> = [
            ("train/loss", report.loss),
            ("train/learning_rate", report.learning_rate),
            ("train/grad_norm", report.grad_norm),
            ("speed/samples_per_second", rates.samples),
            ("speed/tokens_per_second", rates.tokens),
            ("speed/flop_per_second", rates.flops),
        ]
        .into_iter()
        .map(|(tag, value)| Value { tag: tag.into(), simple_value: value as f32 })
        .collect();
        if let Some(bytes) = record.memory {
            value.push(Value { tag: "memory/host_bytes".into(), simple_value: bytes as f32 });
        }
        for used in &report.routing {
            for (expert, weight) in used.weights.iter().enumerate() {
                let tag = format!("experts/{}/{expert}", called(&used.language));
                value.push(Value { tag, simple_value: *weight });
            }
        }
        let summary = Some(Summary { value });
        self.append(&Event { wall_time: now(), step: record.step as i64, file_version: None, summary })
    }

    fn append(&mut self, event: &Event) -> Result<()> {
        let message = event.encode_to_vec();
        let length = (message.len() as u64).to_le_bytes();
        let mut bytes = Vec::with_capacity(message.len() + 16);
        bytes.extend(length);
        bytes.extend(masked(&length).to_le_bytes());
        bytes.extend(&message);
        bytes.extend(masked(&message).to_le_bytes());
        self.file.write_all(&bytes).map_err(Error::io("write", &self.path))
    }
}

/// A checksum as TensorFlow stores it.
fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xA282_EAD8)
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::super::testing::record;
    use super::*;

    /// Takes a file apart as TensorBoard does.
    fn events(bytes: &[u8]) -> Vec<Event> {
        let mut rest = bytes;
        let mut events = Vec::new();
        while !rest.is_empty() {
            let (length, tail) = rest.split_at(8);
            let (checksum, tail) = tail.split_at(4);
            assert_eq!(checksum, masked(length).to_le_bytes());
            let (message, tail) = tail.split_at(u64::from_le_bytes(length.try_into().unwrap()) as usize);
            let (checksum, tail) = tail.split_at(4);
            assert_eq!(checksum, masked(message).to_le_bytes());
            events.push(Event::decode(message).unwrap());
            rest = tail;
        }
        events
    }

    #[test]
    fn scalars_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = EventFile::create(folder.path(), 0).unwrap();
        (1..=2).for_each(|step| file.write(&record(step)).unwrap());
        let events = events(&std::fs::read(&file.path).unwrap());
        assert_eq!(events[0].file_version.as_deref(), Some("brain.Event:2"));
        assert_eq!(events[2].step, 2);
        let values = &events[2].summary.as_ref().unwrap().value;
        let value = |tag: &str| values.iter().find(|value| value.tag == tag).unwrap().simple_value;
        assert_eq!(value("train/loss"), 2.0);
        assert_eq!(value("speed/samples_per_second"), 64.0);
        assert_eq!(value("experts/ar/2"), 0.3);
        assert_eq!(events[1].summary.as_ref().unwrap().value.len(), 7);
    }

    /// From RFC 3720, B.4: 32 bytes of zeros have the CRC-32C aa36918a.
    #[test]
    fn checksums_are_masked_crc32c() {
        assert_eq!(masked(&[0; 32]), 0x8A91_36AAu32.rotate_right(15).wrapping_add(0xA282_EAD8));
    }
}
