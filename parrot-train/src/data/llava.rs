//! LLaVA's [records](super::record) → samples.
//!
//! A record that cannot be used is an error naming it. The reference goes on in silence: it replaces an
//! unreadable picture by one of the mean colour and takes whatever number of placeholders there is;
//! [`SampleOptions::reference`] does the same.

use std::sync::Arc;

use image::RgbImage;
use parrot_model::ReferenceQuirks;
use parrot_model::image::{AspectRatio, ImageProcessorConfig, Pixels};
use parrot_model::text::{Tokenizer, chat};

use super::TrainingSample;
use super::record::Record;
use crate::{Error, Result};

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

impl Preparation {
    /// The sample of a record; `open` decodes its pictures.
    ///
    /// # Errors
    ///
    /// [`Error::Sample`] for a record without an answer, and unless [`SampleOptions::reference`] is set for
    /// a picture that cannot be read and for other placeholders than pictures.
    pub fn sample(
        &self,
        record: &Record,
        open: impl Fn(&str) -> parrot_model::Result<RgbImage>,
    ) -> Result<TrainingSample> {
        let refuse = |reason: String| Error::Sample { id: record.id.clone(), reason };
        let reference = self.options.reference;
        let quirks = if reference { ReferenceQuirks::all() } else { ReferenceQuirks::none() };
        let encoded = chat::encode(&self.tokenizer, &record.conversation(), None, quirks)
            .map_err(|source| refuse(source.to_string()))?;
        if let Some(problem) = record.problem().filter(|_| !reference) {
            return Err(refuse(problem));
        }
        let mut pixels: Vec<Pixels> = record
            .images
            .iter()
            .map(|image| self.pixels(image, &open).map_err(|source| refuse(source.to_string())))
            .collect::<Result<_>>()?;
        if reference && pixels.is_empty() {
            // The reference's zeros have the tower's size, which is also the size of real pictures.
            pixels.push(self.blank());
        }
        Ok(TrainingSample {
            id: record.id.clone(),
            input_ids: encoded.input_ids,
            labels: encoded.labels,
            pixels,
        })
    }

    fn pixels(
        &self,
        image: &str,
        open: impl Fn(&str) -> parrot_model::Result<RgbImage>,
    ) -> parrot_model::Result<Pixels> {
        match open(image) {
            Ok(picture) if self.options.reference => {
                self.processor.preprocess_reference(&picture, self.aspect_ratio)
            }
            Ok(picture) => Ok(self.processor.preprocess(&picture, self.aspect_ratio)),
            Err(_) if self.options.reference => {
                Ok(self.processor.preprocess(&self.processor.mean_image(), self.aspect_ratio))
            }
            Err(source) => Err(source),
        }
    }

    /// Zeros, which is not a black picture: black lies below the mean.
    fn blank(&self) -> Pixels {
        let size = self.processor.image_size as usize;
        Pixels { data: vec![0.0; 3 * size * size], size }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use parrot_model::image::{DecodeOptions, open_rgb};
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

    fn sample(record: &serde_json::Value, reference: bool) -> Result<TrainingSample> {
        let record: Record = serde_json::from_value(record.clone()).unwrap();
        let open =
            |image: &str| open_rgb(&Path::new(GOLDEN).join("images").join(image), &DecodeOptions::default());
        preparation(reference).sample(&record, open)
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
        let [middle, front] = [middle, front].map(|record| sample(&record, false).unwrap());
        assert_eq!((middle.id.as_str(), middle.input_ids.clone()), ("7", front.input_ids));
        assert_eq!(middle.input_ids.iter().filter(|id| **id == IMAGE_TOKEN_INDEX).count(), 1);
        assert_eq!(middle.pixels.len(), 1);
        assert_eq!(middle.labels[0], IGNORE_INDEX);
        assert!(middle.labels.iter().any(|label| *label != IGNORE_INDEX));
    }

    #[test]
    fn text_alone_has_no_picture_unless_the_reference_is_asked_for() {
        let text = record(None, "Hello", "Hi");
        assert!(sample(&text, false).unwrap().pixels.is_empty());
        let sample = sample(&text, true).unwrap();
        assert_eq!(sample.pixels.len(), 1);
        assert!(sample.pixels[0].data.iter().all(|value| *value == 0.0));
    }

    #[test]
    fn bad_records_are_errors_that_name_them_and_the_reference_goes_on() {
        let without_answer =
            json!({"id": 7, "image": "wide.png", "conversations": [{"from": "human", "value": "<image>"}]});
        for (record, reason) in [
            (record(Some("corrupt_garbage.png"), "<image>\nWhat?", "x"), "corrupt_garbage.png"),
            (record(Some("no such file.png"), "<image>\nWhat?", "x"), "no such file.png"),
            (record(Some("wide.png"), "What?", "x"), "0 <image>"),
            (record(None, "<image>\nWhat?", "x"), "1 <image>"),
            (without_answer, "no answer"),
        ] {
            let error = sample(&record, false).unwrap_err().to_string();
            assert!(error.starts_with("sample 7: ") && error.contains(reason), "{error}");
            assert_eq!(sample(&record, true).unwrap().pixels.len(), 1);
        }
        let empty = json!({"id": "none", "conversations": []});
        assert!(sample(&empty, false).unwrap_err().to_string().contains("sample none"));
    }

    #[test]
    fn two_pictures_are_two() {
        let mut record = record(None, "Is <image> like <image>?", "No.");
        record["image"] = json!(["wide.png", "wide.png"]);
        let sample = sample(&record, false).unwrap();
        assert_eq!(sample.pixels.len(), 2);
        assert_eq!(sample.input_ids.iter().filter(|id| **id == IMAGE_TOKEN_INDEX).count(), 2);
    }
}
