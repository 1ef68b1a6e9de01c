//! What training reads: a [`Dataset`] of tokenised samples, and the [loader] that turns it into batches.

mod json;
mod language;
pub mod loader;
pub mod mix;
pub mod preparation;
pub mod record;
pub mod source;
pub mod survey;
pub mod verdict;

use parrot_model::batch::{Sample, SampleLength};
use parrot_model::config::{ParrotConfig, VisionConfig};
use parrot_model::image::Pixels;
use parrot_model::text::{IGNORE_INDEX, IMAGE_TOKEN_INDEX};

use crate::{Error, Result};

/// One sample, tokenised, its pictures preprocessed.
#[derive(Debug, Clone, derive_new::new)]
pub struct TrainingSample {
    /// Names the sample in reports.
    #[new(into)]
    pub id: String,
    /// Token ids, [`IMAGE_TOKEN_INDEX`] for pictures.
    pub input_ids: Vec<i64>,
    /// What to learn at each position, [`IGNORE_INDEX`] elsewhere.
    pub labels: Vec<i64>,
    /// One per placeholder.
    pub pixels: Vec<Pixels>,
    /// What guides the routing in the place of the sample's own text: [`Sample::routing_text`].
    #[new(default)]
    pub routing_text: Option<Vec<i64>>,
}

impl TrainingSample {
    /// Whether a model of this shape can learn from the sample.
    ///
    /// # Errors
    ///
    /// [`Error::Sample`] when ids and labels differ in number, a token is outside the vocabulary, pictures
    /// and placeholders do not match, or a picture has another size than the tower's.
    pub fn check(&self, config: &ParrotConfig, vision: &VisionConfig) -> Result<()> {
        let refuse = |reason: String| Err(Error::Sample { id: self.id.clone(), reason });
        if self.labels.len() != self.input_ids.len() {
            return refuse(format!("{} labels for {} tokens", self.labels.len(), self.input_ids.len()));
        }
        let is_outside = |token: &i64| !(0..config.decoder.vocab_size as i64).contains(token);
        if self.labels.contains(&IMAGE_TOKEN_INDEX) {
            return refuse("a picture's placeholder stands among what is to be learnt".into());
        }
        let ids = self.input_ids.iter().filter(|id| **id != IMAGE_TOKEN_INDEX);
        let labels = self.labels.iter().filter(|label| **label != IGNORE_INDEX);
        if let Some(token) = ids.chain(labels).copied().find(is_outside) {
            return refuse(format!("token {token} is not among the model's {}", config.decoder.vocab_size));
        }
        let placeholders = self.input_ids.iter().filter(|id| **id == IMAGE_TOKEN_INDEX).count();
        if placeholders != self.pixels.len() {
            return refuse(format!("{} pictures for {placeholders} placeholders", self.pixels.len()));
        }
        let (size, elements) = (vision.image_size, 3 * vision.image_size * vision.image_size);
        match self.pixels.iter().find(|pixels| pixels.size != size || pixels.data.len() != elements) {
            Some(pixels) => {
                let found = format!("{} values of a side of {}", pixels.data.len(), pixels.size);
                refuse(format!("a picture has {found}, the model's have {elements} of {size}"))
            }
            None => Ok(()),
        }
    }

    /// How long it is once images are expanded and an overlong end is cut, if anything is left to learn then.
    ///
    /// - tokens_per_image: positions that a picture takes
    /// - max_length: the longest sequence
    ///
    /// # Errors
    ///
    /// [`Error::Sample`] when a picture would be cut in two, or no token with a label is left.
    pub(crate) fn length(&self, tokens_per_image: usize, max_length: Option<usize>) -> Result<SampleLength> {
        let refuse = |reason: String| Err(Error::Sample { id: self.id.clone(), reason });
        let sample = Sample {
            input_ids: self.input_ids.clone(),
            labels: Some(self.labels.clone()),
            images: (0..self.input_ids.iter().filter(|id| **id == IMAGE_TOKEN_INDEX).count()).collect(),
            routing_text: None,
        };
        match sample.length(tokens_per_image, max_length) {
            Err(error) => refuse(error.to_string()),
            Ok(length) if length.learnt == 0 => {
                let images = sample.images.len();
                let tokens = self.input_ids.len() - images + images * tokens_per_image;
                let cut = max_length.filter(|max_length| tokens > *max_length);
                let of_all = cut.map(|max_length| format!(" in the first {max_length} of its {tokens}"));
                refuse(format!("no labelled token is left to learn from{}", of_all.unwrap_or_default()))
            }
            Ok(length) => Ok(length),
        }
    }
}

/// Samples by number. Workers ask for them from several threads, in any order: the answer may depend on
/// nothing but the number.
pub trait Dataset: Send + Sync {
    /// What a batch is made of: [`TrainingSample`] for a whole model.
    type Sample: Send + 'static;

    /// Samples in an epoch.
    fn len(&self) -> usize;

    /// Whether there is nothing to learn from.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sample with a number below [`len`](Self::len).
    ///
    /// # Errors
    ///
    /// [`Error::Sample`] for what keeps this one sample from being used: a picture that does not decode, no
    /// answer, …; training may then go on without it. Anything else ends it.
    fn sample(&self, index: usize) -> Result<Self::Sample>;

    /// How long a sample will be, without making it; for [`LengthGrouping::Epoch`](loader::LengthGrouping::Epoch).
    fn length_hint(&self, _index: usize) -> LengthHint {
        LengthHint::default()
    }

    /// The language that a sample's answers are in, for reports; empty where nothing tells.
    fn language(&self, _index: usize) -> String {
        String::new()
    }

    /// Changes when a number may stand for another sample than before: a run that was stopped does not go on
    /// with other data. Empty where only [`len`](Self::len) can tell.
    fn fingerprint(&self) -> String {
        String::new()
    }
}

/// Roughly how long a sample is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LengthHint {
    /// Its pictures.
    pub images: usize,
    /// Roughly how many tokens its text has.
    pub tokens: usize,
}

/// Samples in memory.
impl<S: Clone + Send + Sync + 'static> Dataset for Vec<S> {
    type Sample = S;

    fn len(&self) -> usize {
        self.len()
    }

    fn sample(&self, index: usize) -> Result<S> {
        Ok(self[index].clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_that_the_model_cannot_take_is_refused_by_name() {
        let mut config = ParrotConfig::parrot_mini();
        config.decoder.vocab_size = 10;
        let vision = VisionConfig { image_size: 2, ..VisionConfig::clip_vit_mini() };
        let pixels = vec![Pixels { data: vec![0.0; 12], size: 2 }];
        let good = TrainingSample::new("cat", vec![IMAGE_TOKEN_INDEX, 9], vec![IGNORE_INDEX, 0], pixels);
        good.check(&config, &vision).unwrap();
        let refused = |edit: fn(&mut TrainingSample)| {
            let mut sample = good.clone();
            edit(&mut sample);
            sample.check(&config, &vision).unwrap_err().to_string()
        };
        let reasons = [
            refused(|sample| sample.labels.push(1)),
            refused(|sample| sample.input_ids[1] = 10),
            refused(|sample| sample.labels[1] = IMAGE_TOKEN_INDEX),
            refused(|sample| sample.pixels.clear()),
            refused(|sample| sample.pixels[0] = Pixels { data: vec![0.0; 27], size: 3 }),
            refused(|sample| sample.pixels[0].data.truncate(11)),
        ];
        let expected = [
            "3 labels for 2 tokens",
            "token 10 is not among the model's 10",
            "a picture's placeholder stands among what is to be learnt",
            "0 pictures for 1 placeholders",
            "a picture has 27 values of a side of 3, the model's have 12 of 2",
            "a picture has 11 values of a side of 2, the model's have 12 of 2",
        ];
        for (reason, expected) in reasons.iter().zip(expected) {
            assert_eq!(*reason, format!("sample cat: {expected}"));
        }
    }

    #[test]
    fn a_sample_of_which_truncation_leaves_nothing_to_learn_is_refused_by_name() {
        let input_ids = vec![5, IMAGE_TOKEN_INDEX, 6, 7, 8];
        let labels = vec![IGNORE_INDEX, IGNORE_INDEX, IGNORE_INDEX, 7, 8];
        let pixels = vec![Pixels { data: vec![0.0; 12], size: 2 }];
        let sample = TrainingSample::new("cat", input_ids, labels, pixels);
        // Five tokens of a picture: 9 positions, the labels at the last two.
        for max_length in [None, Some(9), Some(8)] {
            sample.length(5, max_length).unwrap();
        }
        let refused = |max_length| sample.length(5, Some(max_length)).unwrap_err().to_string();
        for max_length in [7, 6, 1] {
            let said = "sample cat: no labelled token is left to learn from in the first";
            assert_eq!(refused(max_length), format!("{said} {max_length} of its 9"));
        }
        for max_length in [2, 5] {
            let said = refused(max_length);
            assert!(said.starts_with(&format!("sample cat: truncating to {max_length} tokens")), "{said}");
        }
        let only_first = TrainingSample {
            labels: vec![5, IGNORE_INDEX, IGNORE_INDEX, IGNORE_INDEX, IGNORE_INDEX],
            ..sample
        };
        only_first.length(5, None).unwrap_err();
    }
}
