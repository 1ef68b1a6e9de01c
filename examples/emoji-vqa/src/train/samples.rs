//! Emoji-VQA-6's samples as training takes them: tokens, labels and pixels.

use std::sync::Arc;

use parrot_model::ReferenceQuirks;
use parrot_model::text::{Conversation, Message, Role, Tokenizer, chat};
use parrot_model::vision::preprocess::{AspectRatio, ImageProcessorConfig, Pixels};
use parrot_train::data::{Dataset, TrainingSample};
use parrot_train::{Error, Result};

use crate::dataset::{self, CaptionSample, VqaSample};
use crate::language::Language;
use crate::question::Turn;
use crate::scene::Scene;

/// Tokenizer and picture processor.
#[derive(Debug, Clone)]
pub struct Encoder {
    tokenizer: Arc<Tokenizer>,
    processor: ImageProcessorConfig,
}

impl Encoder {
    /// For a model's tokenizer and picture size.
    #[must_use]
    pub fn new(tokenizer: Tokenizer, processor: ImageProcessorConfig) -> Self {
        Self { tokenizer: Arc::new(tokenizer), processor }
    }

    /// Side of the model's pictures in pixels.
    #[must_use]
    pub fn picture_size(&self) -> u32 {
        self.processor.image_size
    }

    /// A scene's pixels.
    #[must_use]
    pub fn pixels(&self, data: &dataset::Dataset, scene: &Scene) -> Pixels {
        self.processor.preprocess(&data.render(scene, self.picture_size()), AspectRatio::Pad)
    }

    /// Token ids of a text.
    pub(crate) fn encode_text(&self, text: &str) -> Result<Vec<i64>> {
        Ok(self.tokenizer.encode_text(text)?.into_iter().map(i64::from).collect())
    }

    fn encode(&self, id: String, conversation: &Conversation, pixels: Vec<Pixels>) -> Result<TrainingSample> {
        let encoded = chat::encode(&self.tokenizer, conversation, None, ReferenceQuirks::none())
            .map_err(|error| Error::Sample { id: id.clone(), reason: error.to_string() })?;
        Ok(TrainingSample { id, input_ids: encoded.input_ids, labels: encoded.labels, pixels })
    }

    /// A picture with its caption.
    fn captioned(
        &self,
        data: &dataset::Dataset,
        id: String,
        sample: CaptionSample,
    ) -> Result<TrainingSample> {
        let pixels = self.pixels(data, &sample.scene);
        self.encode(id, &description("", 1, sample), vec![pixels])
    }

    /// A picture with questions about it.
    fn asked(&self, data: &dataset::Dataset, id: String, sample: &VqaSample) -> Result<TrainingSample> {
        let pixels = self.pixels(data, &sample.scene);
        self.encode(id, &messages("", 1, &sample.turns), vec![pixels])
    }
}

/// Questions and answers as messages; `opening` comes before the first question.
fn messages(opening: &str, pictures: usize, turns: &[Turn]) -> Conversation {
    let mut messages = Vec::with_capacity(2 * turns.len());
    for (index, turn) in turns.iter().enumerate() {
        messages.push(match index {
            0 => Message::question(format!("{opening}{}", turn.prompt()), pictures),
            _ => Message::text(Role::Human, turn.prompt()),
        });
        messages.push(Message::text(Role::Gpt, turn.text.clone()));
    }
    Conversation(messages)
}

/// A request to describe the picture, and its caption; `opening` comes before the request.
fn description(opening: &str, pictures: usize, sample: CaptionSample) -> Conversation {
    let request = format!("{opening}{}", sample.request);
    Conversation(vec![Message::question(request, pictures), Message::text(Role::Gpt, sample.caption)])
}

macro_rules! samples {
    ($(#[$doc:meta])* $name:ident, $sample:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name {
            data: Arc<dataset::Dataset>,
            encoder: Encoder,
            len: usize,
        }

        impl $name {
            /// The first `len` samples.
            #[must_use]
            pub fn new(data: Arc<dataset::Dataset>, encoder: Encoder, len: usize) -> Self {
                Self { data, encoder, len }
            }
        }

        impl Dataset for $name {
            type Sample = TrainingSample;

            fn len(&self) -> usize {
                self.len
            }

            fn sample(&self, index: usize) -> Result<TrainingSample> {
                let make: fn(&Self, usize) -> Result<TrainingSample> = $sample;
                make(self, index)
            }
        }
    };
}

samples!(
    /// The middle of stage 2: pictures with questions, and every fourth time a picture described thing by thing.
    Conversations,
    |this, index| {
        let number = index as u64;
        if index % 4 == 0 {
            let sample = this.data.relations(number);
            return this.encoder.captioned(&this.data, format!("relations {index}"), sample);
        }
        this.encoder.asked(&this.data, format!("conversation {index}"), &this.data.sample(number))
    }
);

samples!(
    /// The end of stage 2, so that no request is forgotten: every third time a picture with its caption, by turns in
    /// reading order and thing by thing; else a picture with questions.
    Closing,
    |this, index| {
        // Numbers that no other stage has used.
        let number = index as u64 + (1 << 32);
        let sample = match index % 6 {
            0 => this.data.caption(number),
            3 => this.data.relations(number),
            _ => {
                let id = format!("closing conversation {index}");
                return this.encoder.asked(&this.data, id, &this.data.sample(number));
            }
        };
        this.encoder.captioned(&this.data, format!("closing caption {index}"), sample)
    }
);

samples!(
    /// Pre-training of the decoder, by turns: a picture told in words and told again, in its own language or in
    /// another; told in words and then thing by thing; told in words and asked about.
    TextExercises,
    |this, index| {
        let conversation = match index % 3 {
            0 => {
                let sample = this.data.caption(index as u64);
                let mut others = Language::ALL.into_iter().filter(|language| *language != sample.language);
                let other = others.nth(index / 6 % 5).filter(|_| index % 2 == 1).unwrap_or(sample.language);
                let told = this.data.describe(&sample.scene, other);
                description(&format!("{told}\n"), 0, sample)
            }
            1 => {
                let sample = this.data.relations(index as u64);
                let told = this.data.describe(&sample.scene, sample.language);
                description(&format!("{told}\n"), 0, sample)
            }
            _ => {
                let sample = this.data.text(index as u64);
                messages(&format!("{}\n", sample.description), 0, &sample.turns)
            }
        };
        this.encoder.encode(format!("text {index}"), &conversation, Vec::new())
    }
);

samples!(
    /// Stage 1 and the beginning of stage 2: pictures with their captions, by turns in reading order and thing by
    /// thing.
    Captions,
    |this, index| {
        let sample = match index % 2 {
            0 => this.data.caption(index as u64),
            _ => this.data.relations(index as u64),
        };
        this.encoder.captioned(&this.data, format!("caption {index}"), sample)
    }
);
