//! LLaVA's JSON: records of a conversation and mostly a picture → samples.
//!
//! ```json
//! [{"id": "17", "image": "coco/17.jpg",
//!   "conversations": [{"from": "human", "value": "<image>\nWhat is this?"},
//!                     {"from": "gpt", "value": "A parrot."}]}]
//! ```
//!
//! A record that cannot be used is an error naming it. The reference goes on in silence: it replaces an
//! unreadable picture by one of the mean colour and takes whatever number of placeholders there is;
//! [`SampleOptions::reference`] does the same.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::RgbImage;
use parrot_model::ReferenceQuirks;
use parrot_model::text::{Conversation, Message, Role, Tokenizer, chat};
use parrot_model::vision::preprocess::{AspectRatio, DecodeOptions, ImageProcessorConfig, Pixels, open_rgb};
use serde::{Deserialize, Deserializer};

use super::python_random::PythonRandom;
use super::{Dataset, TrainingSample};
use crate::{Error, Result};

/// Tokens that the reference counts for a picture when it sorts samples by length, whatever the tower.
const REFERENCE_PICTURE_LENGTH: i64 = 128;

/// One record of the file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Record {
    /// Names the record in reports. Files have strings or numbers.
    #[serde(default, deserialize_with = "string_or_number")]
    pub id: String,
    /// Picture file, relative to the folder of pictures; `None` for text alone.
    #[serde(default)]
    pub image: Option<String>,
    /// The messages, oldest first.
    pub conversations: Vec<Turn>,
}

/// A message as the file has it; each `<image>` in it stands for the picture.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Turn {
    /// Who speaks.
    pub from: Role,
    /// What is said.
    pub value: String,
}

/// How records become samples. By default a record that cannot be used is an error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SampleOptions {
    /// Do as the reference does with bad records, with typed control tokens, with tiny pictures and with
    /// pictures' orientation. Every sample then has exactly one picture, of zeros where the record has none.
    pub reference: bool,
}

/// Turns records into samples for one model.
#[derive(Debug)]
pub struct Preparation {
    /// The model's tokenizer.
    pub tokenizer: Arc<Tokenizer>,
    /// Its vision tower's image processor.
    pub processor: ImageProcessorConfig,
    /// How pictures become square.
    pub aspect_ratio: AspectRatio,
    /// What to do with bad records.
    pub options: SampleOptions,
}

/// A LLaVA file with its folder of pictures.
#[derive(Debug)]
pub struct LlavaDataset {
    records: Vec<Record>,
    pictures: PathBuf,
    preparation: Preparation,
}

impl Record {
    /// How the reference estimates a record's length, in words: negative without a picture.
    ///
    /// It batches records of alike length by this number, and adds a constant for a picture
    /// ([`reference_length`](Self::reference_length)) when it does not tell the two apart.
    #[must_use]
    pub fn reference_modality_length(&self) -> i64 {
        let words: usize = self.conversations.iter().map(|turn| turn.value.split_whitespace().count()).sum();
        if self.image.is_some() { words as i64 } else { -(words as i64) }
    }

    /// The same without the sign, plus 128 for a picture.
    #[must_use]
    pub fn reference_length(&self) -> i64 {
        let picture = if self.image.is_some() { REFERENCE_PICTURE_LENGTH } else { 0 };
        self.reference_modality_length().abs() + picture
    }

    /// The messages as the template takes them.
    ///
    /// Like the reference, a record with a picture has each message's `<image>` moved to its front, on a
    /// line of its own: several in one message become one.
    fn conversation(&self) -> Conversation {
        let message = |Turn { from, value }: &Turn| {
            let moved = self.image.is_some() && value.contains(PLACEHOLDER);
            let value = match moved {
                true => format!("{PLACEHOLDER}\n{}", value.replace(PLACEHOLDER, "").trim()),
                false => value.clone(),
            };
            Message::from_record(*from, if moved { value.trim() } else { &value })
        };
        Conversation(self.conversations.iter().map(message).collect())
    }

    fn error(&self, reason: impl Into<String>) -> Error {
        Error::Sample { id: self.id.clone(), reason: reason.into() }
    }
}

/// Where the picture stands in a message.
const PLACEHOLDER: &str = "<image>";

impl Preparation {
    /// The sample of a record; `open` decodes its picture.
    ///
    /// # Errors
    ///
    /// [`Error::Sample`] for a record without an answer, and unless [`SampleOptions::reference`] is set for
    /// a picture that cannot be read and for one picture with no placeholder or several, or the reverse.
    pub fn sample(
        &self,
        record: &Record,
        open: impl FnOnce(&str) -> parrot_model::Result<RgbImage>,
    ) -> Result<TrainingSample> {
        let reference = self.options.reference;
        let quirks = if reference { ReferenceQuirks::all() } else { ReferenceQuirks::none() };
        let conversation = record.conversation();
        let encoded = chat::encode(&self.tokenizer, &conversation, None, quirks)
            .map_err(|source| record.error(source.to_string()))?;
        let pixels = match &record.image {
            Some(image) => Some(self.pixels(record, image, open)?),
            // The reference's zeros have the tower's size, which is also the size of real pictures.
            None if reference => Some(self.blank()),
            None => None,
        };
        if !reference {
            let (placeholders, pictures) = (conversation.pictures(), pixels.iter().count());
            if placeholders != pictures {
                let reason =
                    format!("it has {placeholders} <image> placeholder(s) for {pictures} picture(s)");
                return Err(record.error(reason));
            }
            if !conversation.0.iter().any(|message| message.from == Role::Gpt) {
                return Err(record.error("it has no answer to learn from"));
            }
        }
        Ok(TrainingSample {
            id: record.id.clone(),
            input_ids: encoded.input_ids,
            labels: encoded.labels,
            pixels: pixels.into_iter().collect(),
        })
    }

    fn pixels(
        &self,
        record: &Record,
        image: &str,
        open: impl FnOnce(&str) -> parrot_model::Result<RgbImage>,
    ) -> Result<Pixels> {
        match open(image) {
            Ok(picture) if self.options.reference => {
                Ok(self.processor.preprocess_reference(&picture, self.aspect_ratio)?)
            }
            Ok(picture) => Ok(self.processor.preprocess(&picture, self.aspect_ratio)),
            Err(_) if self.options.reference => {
                Ok(self.processor.preprocess(&self.processor.mean_image(), self.aspect_ratio))
            }
            Err(source) => Err(record.error(source.to_string())),
        }
    }

    /// Zeros, which is not a black picture: black lies below the mean.
    fn blank(&self) -> Pixels {
        let size = self.processor.image_size as usize;
        Pixels { data: vec![0.0; 3 * size * size], size }
    }
}

impl LlavaDataset {
    /// Reads a LLaVA file. Pictures are read when a sample asks for them.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the file cannot be read, [`Error::Sample`] when it is no list of records.
    pub fn open(file: &Path, pictures: impl Into<PathBuf>, preparation: Preparation) -> Result<Self> {
        let text = std::fs::read(file).map_err(Error::io("read", file))?;
        let records = serde_json::from_slice(&text)
            .map_err(|source| Error::Sample { id: file.display().to_string(), reason: source.to_string() })?;
        Ok(Self { records, pictures: pictures.into(), preparation })
    }

    /// Puts the records in the order in which the reference would see them.
    pub fn shuffle_as_reference(&mut self) {
        reference_order(&mut self.records);
    }
}

/// The reference's order: ten shuffles with `random.Random(42)`.
pub fn reference_order<T>(records: &mut [T]) {
    let mut random = PythonRandom::new(42);
    for _ in 0..10 {
        random.shuffle(records);
    }
}

impl Dataset for LlavaDataset {
    type Sample = TrainingSample;

    fn len(&self) -> usize {
        self.records.len()
    }

    fn sample(&self, index: usize) -> Result<TrainingSample> {
        let options = match self.preparation.options.reference {
            true => DecodeOptions::reference(),
            false => DecodeOptions::default(),
        };
        self.preparation.sample(&self.records[index], |image| open_rgb(&self.pictures.join(image), &options))
    }
}

fn string_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Id {
        String(String),
        Number(serde_json::Number),
    }
    Ok(match Id::deserialize(deserializer)? {
        Id::String(id) => id,
        Id::Number(id) => id.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use parrot_model::text::{IGNORE_INDEX, IMAGE_TOKEN_INDEX};
    use serde_json::json;

    use super::*;

    const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/golden");

    fn preparation(reference: bool) -> Preparation {
        let tokenizer = Path::new(GOLDEN).join("t1/tokenizer.json");
        Preparation {
            tokenizer: Arc::new(Tokenizer::from_file(&tokenizer).unwrap()),
            processor: ImageProcessorConfig::clip(56),
            aspect_ratio: AspectRatio::Pad,
            options: SampleOptions { reference },
        }
    }

    fn dataset(records: &serde_json::Value, reference: bool) -> LlavaDataset {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("data.json");
        std::fs::write(&file, records.to_string()).unwrap();
        LlavaDataset::open(&file, format!("{GOLDEN}/images"), preparation(reference)).unwrap()
    }

    fn record(image: Option<&str>, question: &str, answer: &str) -> serde_json::Value {
        let mut record = json!({"id": 7, "conversations": [
            {"from": "human", "value": question}, {"from": "gpt", "value": answer}]});
        if let Some(image) = image {
            record["image"] = image.into();
        }
        record
    }

    #[test]
    fn a_placeholder_goes_to_the_front_wherever_it_stands() {
        let middle = record(Some("wide.png"), "What <image> is this?", "A boat.");
        let front = record(Some("wide.png"), "<image>\nWhat  is this?", "A boat.");
        let dataset = dataset(&json!([middle, front]), false);
        let [middle, front] = [0, 1].map(|i| dataset.sample(i).unwrap());
        assert_eq!((middle.id.as_str(), middle.input_ids.clone()), ("7", front.input_ids));
        assert_eq!(middle.input_ids.iter().filter(|id| **id == IMAGE_TOKEN_INDEX).count(), 1);
        assert_eq!(middle.pixels.len(), 1);
        assert_eq!(middle.labels[0], IGNORE_INDEX);
        assert!(middle.labels.iter().any(|label| *label != IGNORE_INDEX));
    }

    #[test]
    fn text_alone_has_no_picture_unless_the_reference_is_asked_for() {
        let records = json!([record(None, "Hello", "Hi")]);
        assert!(dataset(&records, false).sample(0).unwrap().pixels.is_empty());
        let sample = dataset(&records, true).sample(0).unwrap();
        assert_eq!(sample.pixels.len(), 1);
        assert!(sample.pixels[0].data.iter().all(|value| *value == 0.0));
    }

    #[test]
    fn bad_records_are_errors_that_name_them_and_the_reference_goes_on() {
        let records = json!([
            record(Some("corrupt_garbage.png"), "<image>\nWhat?", "x"),
            record(Some("no such file.png"), "<image>\nWhat?", "x"),
            record(Some("wide.png"), "What?", "x"),
            record(None, "<image>\nWhat?", "x"),
            {"id": 7, "image": "wide.png", "conversations": [{"from": "human", "value": "<image>"}]},
        ]);
        let (ours, reference) = (dataset(&records, false), dataset(&records, true));
        let reasons = ["corrupt_garbage.png", "no such file.png", "0 <image>", "1 <image>", "no answer"];
        for (index, reason) in reasons.into_iter().enumerate() {
            let error = ours.sample(index).unwrap_err().to_string();
            assert!(error.starts_with("sample 7: ") && error.contains(reason), "{error}");
            assert_eq!(reference.sample(index).unwrap().pixels.len(), 1);
        }
        let empty = json!([{"id": "none", "conversations": []}]);
        assert!(dataset(&empty, false).sample(0).unwrap_err().to_string().contains("sample none"));
    }

    #[test]
    fn files_that_are_no_list_of_records_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("data.json");
        for text in ["{", "{}", r#"[{"id": 1}]"#, r#"[{"conversations": [{"from": "user", "value": ""}]}]"#] {
            std::fs::write(&file, text).unwrap();
            let error = LlavaDataset::open(&file, "", preparation(false)).unwrap_err().to_string();
            assert!(error.contains("data.json"), "{text}: {error}");
        }
    }
}
