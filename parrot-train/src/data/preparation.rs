//! LLaVA's [records](super::record) → samples: prompts laid out and tokenised, pictures preprocessed.
//!
//! A record that cannot be used is an error naming it. (The reference silently goes on: it replaces an
//! unreadable picture by one of the mean colour and accepts any number of placeholders.)

use std::sync::Arc;

use image::RgbImage;
use parrot_model::batch::SampleLength;
use parrot_model::config::{ParrotConfig, VisionConfig};
use parrot_model::error_chain;
use parrot_model::image::{AspectRatio, ImageProcessorConfig};
use parrot_model::text::{ChatTemplate, Tokenizer};

use super::TrainingSample;
use super::record::Record;
use crate::{Error, Result};

/// Turns records into samples for one model.
#[derive(Debug)]
pub struct Preparation {
    /// The model's tokenizer.
    pub tokenizer: Arc<Tokenizer>,
    /// How its prompts are laid out.
    pub template: ChatTemplate,
    /// Its vision tower's image processor.
    pub processor: ImageProcessorConfig,
    /// How pictures become square.
    pub aspect_ratio: AspectRatio,
    /// What its samples have to fit; `None` where that is checked elsewhere.
    pub limits: Option<SampleLimits>,
}

/// The model that samples are for, as far as it decides which of them it can learn from.
#[derive(Debug, Clone)]
pub struct SampleLimits {
    /// Its configuration.
    pub config: ParrotConfig,
    /// Its vision tower's.
    pub vision: VisionConfig,
    /// Longest sequence, pictures counted: what is longer loses its end.
    pub max_length: Option<usize>,
}

impl SampleLimits {
    /// Positions that a picture takes in a sequence.
    #[must_use]
    pub fn tokens_per_image(&self) -> usize {
        self.vision.tokens_per_image(self.config.mm_vision_select_feature)
    }
}

impl Preparation {
    /// The sample of a record; `open` decodes its pictures, once it is known that the record's text can be used.
    ///
    /// When the [source](super::source) was read, a record's file and text were checked. Whatever else decides whether it can
    /// be learnt from is checked here: this function makes the samples that `check-data` looks at and those that a run learns
    /// from, and some of those that `plan` counts; of the others `plan` calls the first half, [`text`](Self::text).
    ///
    /// # Errors
    ///
    /// [`Error::Sample`] for a record without an answer, for a picture that cannot be read, for other
    /// placeholders than pictures, and for one of which the model's [limits](Self::limits) leave nothing to learn.
    pub fn sample(
        &self,
        record: &Record,
        open: impl Fn(&str) -> parrot_model::Result<RgbImage>,
    ) -> Result<TrainingSample> {
        let mut sample = self.text(record)?;
        let refuse = |reason: String| Error::Sample { id: record.id.clone(), reason };
        let pixels = record.images.iter().map(|image| {
            let image = open(image).map_err(|source| refuse(error_chain(&source)))?;
            Ok(self.processor.preprocess(&image, self.aspect_ratio))
        });
        sample.pixels = pixels.collect::<Result<_>>()?;
        if let Some(limits) = &self.limits {
            sample.check(&limits.config, &limits.vision)?;
        }
        Ok(sample)
    }

    /// The sample of a record without its pictures: all that can be known of it without opening one.
    ///
    /// # Errors
    ///
    /// As [`sample`](Self::sample), but for the pictures.
    pub fn text(&self, record: &Record) -> Result<TrainingSample> {
        let refuse = |reason: String| Error::Sample { id: record.id.clone(), reason };
        let conversation = record.lesson().map_err(refuse)?;
        let encoded = self.template.encode(&self.tokenizer, &conversation);
        let encoded = encoded.map_err(|source| refuse(source.to_string()))?;
        let sample = TrainingSample::new(&record.id, encoded.input_ids, encoded.labels, Vec::new());
        if self.limits.is_some() {
            self.length(&sample)?;
        }
        Ok(sample)
    }

    /// How long a sample is to the model, if something of it can be learnt; without limits a picture is one token.
    pub(super) fn length(&self, sample: &TrainingSample) -> Result<SampleLength> {
        let limits = self.limits.as_ref();
        let tokens_per_image = limits.map_or(1, SampleLimits::tokens_per_image);
        sample.length(tokens_per_image, limits.and_then(|limits| limits.max_length))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;

    use parrot_model::image::{DecodeOptions, open_rgb};
    use parrot_model::text::{IGNORE_INDEX, IMAGE_TOKEN_INDEX};
    use serde_json::json;

    use super::*;

    pub(in crate::data) const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/golden");

    pub(in crate::data) fn preparation() -> Preparation {
        let tokenizer = Tokenizer::from_file(Path::new(GOLDEN).join("t1/tokenizer.json")).unwrap();
        Preparation {
            template: ChatTemplate::chatml(&tokenizer).unwrap(),
            tokenizer: Arc::new(tokenizer),
            processor: ImageProcessorConfig::clip(56),
            aspect_ratio: AspectRatio::Pad,
            limits: None,
        }
    }

    fn sample(record: &serde_json::Value) -> Result<TrainingSample> {
        let record: Record = serde_json::from_value(record.clone()).unwrap();
        let open =
            |image: &str| open_rgb(&Path::new(GOLDEN).join("images").join(image), &DecodeOptions::default());
        preparation().sample(&record, open)
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
        let [middle, front] = [middle, front].map(|record| sample(&record).unwrap());
        assert_eq!((middle.id.as_str(), middle.input_ids.clone()), ("7", front.input_ids));
        assert_eq!(middle.input_ids.iter().filter(|id| **id == IMAGE_TOKEN_INDEX).count(), 1);
        assert_eq!(middle.pixels.len(), 1);
        assert_eq!(middle.labels[0], IGNORE_INDEX);
        assert!(middle.labels.iter().any(|label| *label != IGNORE_INDEX));
    }

    #[test]
    fn text_alone_has_no_image() {
        assert!(sample(&record(None, "Hello", "Hi")).unwrap().pixels.is_empty());
    }

    #[test]
    fn bad_records_are_errors_that_name_them() {
        let without_answer =
            json!({"id": 7, "image": "wide.png", "conversations": [{"from": "human", "value": "<image>"}]});
        for (record, reason) in [
            (record(Some("corrupt_garbage.png"), "<image>\nWhat?", "x"), "corrupt_garbage.png"),
            (record(Some("no such file.png"), "<image>\nWhat?", "x"), "no such file.png"),
            (record(Some("wide.png"), "What?", "x"), "0 <image>"),
            (record(None, "<image>\nWhat?", "x"), "1 <image>"),
            (without_answer, "no answer"),
        ] {
            let error = sample(&record).unwrap_err().to_string();
            assert!(error.starts_with("sample 7: ") && error.contains(reason), "{error}");
        }
        let empty = json!({"id": "none", "conversations": []});
        assert!(sample(&empty).unwrap_err().to_string().contains("sample none"));
    }

    /// train/longq.json: a question of 6,000 tokens, its answer behind the end of what the model takes.
    #[test]
    fn a_record_of_which_the_limit_leaves_nothing_is_refused_before_its_picture_is_opened() {
        let mut preparation = preparation();
        let (config, vision) = (ParrotConfig::parrot_mini(), VisionConfig::clip_vit_mini());
        preparation.limits = Some(SampleLimits { config, vision, max_length: Some(100) });
        for (question, images, reason) in [
            ("what ".repeat(3000), 1, "no labelled token is left to learn from"),
            ("<image>".repeat(100), 100, "truncating to 100 tokens"),
        ] {
            let mut record = record(None, &format!("<image>{question}"), "rocket");
            record["image"] = vec!["wide.png"; images].into();
            if images > 1 {
                record["conversations"][0]["value"] = question.into();
            }
            let record: Record = serde_json::from_value(record).unwrap();
            let error =
                preparation.sample(&record, |_| panic!("a picture is decoded")).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn two_images_are_two() {
        let mut record = record(None, "Is <image> like <image>?", "No.");
        record["image"] = json!(["wide.png", "wide.png"]);
        let sample = sample(&record).unwrap();
        assert_eq!(sample.pixels.len(), 2);
        assert_eq!(sample.input_ids.iter().filter(|id| **id == IMAGE_TOKEN_INDEX).count(), 2);
    }
}
