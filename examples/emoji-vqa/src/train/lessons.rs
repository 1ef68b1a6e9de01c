//! What the decoder learns from: conversations about pictures, captions, and pictures told in words. In memory for
//! training, or as LLaVA's records for recipes.

use std::path::Path;
use std::sync::Arc;

use parrot_model::image::{AspectRatio, ImageProcessorConfig, Pixels};
use parrot_model::text::{ChatTemplate, Conversation, Message, Role, Tokenizer};
use parrot_train::data::{Dataset, TrainingSample};
use parrot_train::{Error, Result};
use serde_json::{Value, json};

use crate::dataset::{self, CaptionSample, DatasetConfig, VqaSample, WordedSample};
use crate::language::Language;
use crate::question::Turn;
use crate::scene::{Scene, Variation};

/// A kind of lessons, by the stage that they are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// Pre-training of the decoder, by turns: a picture told in words and told again, in its own language or in
    /// another; told in words and then thing by thing; told in words and asked about.
    Text,
    /// Pictures with their captions, by turns in reading order and thing by thing.
    Captions,
    /// The beginning of stage 2: pictures with the colour behind everything on them, name by name.
    Lists,
    /// Stage 2 after the lists: pictures with one question, what colour is behind a thing.
    Colours,
    /// Beside the questions: pictures with what is on them and what is not, in which corner, to the right of what or
    /// above what, in lists as well.
    OtherLists,
    /// Pictures with one question of any kind.
    Questions,
    /// Stage 2 after the colours: pictures that leave doubt, with one question and its options.
    Choices,
    /// Pictures with several questions, and every fourth time a picture described thing by thing.
    Conversations,
    /// The end of stage 2: questions in people's own words, also about what the model does not know.
    Words,
}

impl Subject {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Text,
        Self::Captions,
        Self::Lists,
        Self::Colours,
        Self::OtherLists,
        Self::Questions,
        Self::Choices,
        Self::Conversations,
        Self::Words,
    ];

    /// Its name in files and ids.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Captions => "captions",
            Self::Lists => "lists",
            Self::Colours => "colours",
            Self::OtherLists => "other-lists",
            Self::Questions => "questions",
            Self::Choices => "choices",
            Self::Conversations => "conversations",
            Self::Words => "words",
        }
    }

    /// How its pictures and questions are drawn.
    #[must_use]
    pub fn config(self, seed: u64, core_only: bool, language_weights: [f32; 6]) -> DatasetConfig {
        let config = DatasetConfig {
            seed,
            core_only,
            language_weights,
            turns: (2, 4),
            scene_weights: [0.3, 0.45, 0.25],
            ..DatasetConfig::default()
        };
        match self {
            // More questions about a picture, which costs little without its tokens.
            Self::Text => DatasetConfig { turns: (3, 6), ..config },
            // Mostly grids of different things: the most names in a caption, the most to tell apart.
            Self::Captions | Self::Lists | Self::Colours | Self::OtherLists => {
                DatasetConfig { scene_weights: [0.2, 0.7, 0.1], ..config }
            }
            // In the order of Task::ALL. More of what is learnt last.
            Self::Questions => {
                DatasetConfig { task_weights: [1.0, 1.0, 2.0, 1.0, 1.0, 1.0, 2.0, 2.0], ..config }
            }
            Self::Choices | Self::Conversations => config,
            Self::Words => DatasetConfig { strangers: true, ..config },
        }
    }

    /// What may be changed of its pictures, for the default model. What is told in words has a name for every ground.
    #[must_use]
    pub fn variation(self) -> Variation {
        match self {
            Self::Text => Variation::Full,
            // Questions about colours need several of them.
            Self::Lists | Self::Colours => Variation::WIDE,
            Self::OtherLists | Self::Questions | Self::Conversations | Self::Words => {
                Variation::Wide { blends: 0.6 }
            }
            Self::Captions => Variation::Wide { blends: 0.75 },
            Self::Choices => Variation::Doubtful,
        }
    }

    /// Lesson `index`.
    #[must_use]
    pub fn lesson(self, data: &dataset::Dataset, index: usize) -> Lesson {
        let number = index as u64;
        let id = format!("{} {index}", self.name());
        match self {
            Self::Text => text(data, id, index),
            Self::Lists => Lesson::captioned(id, data.list(number)),
            Self::Colours => Lesson::asked(id, data.colour(number)),
            Self::OtherLists => Lesson::captioned(id, data.other_list(number)),
            Self::Questions => Lesson::asked(id, data.question(number)),
            Self::Choices => Lesson::asked(id, data.choice(number)),
            Self::Captions if index.is_multiple_of(2) => Lesson::captioned(id, data.caption(number)),
            Self::Captions => Lesson::captioned(id, data.relations(number)),
            Self::Conversations if index.is_multiple_of(4) => Lesson::captioned(id, data.relations(number)),
            Self::Conversations => Lesson::asked(id, data.sample(number)),
            Self::Words => Lesson::worded(id, data.worded(number)),
        }
    }
}

/// A picture told in words, and an exercise about it.
fn text(data: &dataset::Dataset, id: String, index: usize) -> Lesson {
    let number = index as u64;
    let retold = |told: String, sample: CaptionSample| {
        Lesson::told(id.clone(), told, vec![(sample.request, sample.caption)])
    };
    match index % 3 {
        0 => {
            let sample = data.caption(number);
            let mut others = Language::ALL.into_iter().filter(|language| *language != sample.language);
            let other = others.nth(index / 6 % 5).filter(|_| index % 2 == 1).unwrap_or(sample.language);
            retold(data.describe(&sample.scene, other), sample)
        }
        1 => {
            let sample = data.relations(number);
            retold(data.describe(&sample.scene, sample.language), sample)
        }
        _ => {
            let sample = data.text(number);
            Lesson::told(id, sample.description, in_turns(&sample.turns))
        }
    }
}

/// A conversation to learn from.
#[derive(Debug, Clone, PartialEq)]
pub struct Lesson {
    /// Names it in errors.
    pub id: String,
    /// The picture, which comes before the first question.
    pub scene: Option<Scene>,
    /// Questions with their answers, at least one.
    pub turns: Vec<(String, String)>,
}

impl Lesson {
    /// Without a picture: `description` tells it before the first question.
    fn told(id: String, description: String, mut turns: Vec<(String, String)>) -> Self {
        turns[0].0.insert_str(0, &format!("{description}\n"));
        Self { id, scene: None, turns }
    }

    /// A picture with its caption.
    fn captioned(id: String, sample: CaptionSample) -> Self {
        let turns = vec![(sample.request, sample.caption)];
        Self { id, scene: Some(sample.scene), turns }
    }

    /// A picture with questions about it.
    fn asked(id: String, sample: VqaSample) -> Self {
        Self { id, turns: in_turns(&sample.turns), scene: Some(sample.scene) }
    }

    /// A picture with questions in people's own words.
    fn worded(id: String, sample: WordedSample) -> Self {
        Self { id, scene: Some(sample.scene), turns: sample.turns }
    }

    /// The lesson as the chat template takes it.
    #[must_use]
    pub fn conversation(&self) -> Conversation {
        let images = usize::from(self.scene.is_some());
        let messages = self.turns.iter().enumerate().flat_map(|(index, (question, answer))| {
            let question = match index {
                0 => Message::question(question.clone(), images),
                _ => Message::text(Role::User, question.clone()),
            };
            [question, Message::text(Role::Assistant, answer.clone())]
        });
        Conversation(messages.collect())
    }

    /// The lesson as a record of a LLaVA file; `image` is the picture's file.
    #[must_use]
    pub fn record(&self, image: Option<&Path>) -> Value {
        let messages = self.turns.iter().enumerate().flat_map(|(index, (question, answer))| {
            let image = if index == 0 && image.is_some() { "<image>\n" } else { "" };
            [
                json!({ "from": "human", "value": format!("{image}{question}") }),
                json!({ "from": "gpt", "value": answer }),
            ]
        });
        let mut record = json!({ "id": self.id, "conversations": messages.collect::<Vec<_>>() });
        if let Some(image) = image {
            record["image"] = json!(image);
        }
        record
    }
}

fn in_turns(turns: &[Turn]) -> Vec<(String, String)> {
    turns.iter().map(|turn| (turn.prompt(), turn.text.clone())).collect()
}

/// Tokenizer and picture processor.
#[derive(Debug, Clone)]
pub struct Encoder {
    tokenizer: Arc<Tokenizer>,
    template: ChatTemplate,
    processor: ImageProcessorConfig,
}

impl Encoder {
    /// Lessons for a model's tokenizer and picture size.
    ///
    /// # Errors
    ///
    /// When the tokenizer does not have ChatML's tokens.
    pub fn new(tokenizer: Tokenizer, processor: ImageProcessorConfig) -> Result<Self> {
        let template = ChatTemplate::chatml(&tokenizer)?;
        Ok(Self { tokenizer: Arc::new(tokenizer), template, processor })
    }

    /// A scene's pixels.
    #[must_use]
    pub fn pixels(&self, data: &dataset::Dataset, scene: &Scene) -> Pixels {
        self.processor.preprocess(&data.render(scene, self.processor.image_size), AspectRatio::Pad)
    }

    /// Token ids of a text.
    pub(crate) fn encode_text(&self, text: &str) -> Result<Vec<i64>> {
        Ok(self.tokenizer.encode_text(text)?.into_iter().map(i64::from).collect())
    }

    fn encode(&self, data: &dataset::Dataset, lesson: Lesson) -> Result<TrainingSample> {
        let encoded = self
            .template
            .encode(&self.tokenizer, &lesson.conversation())
            .map_err(|error| Error::Sample { id: lesson.id.clone(), reason: error.to_string() })?;
        let pixels = lesson.scene.iter().map(|scene| self.pixels(data, scene)).collect();
        Ok(TrainingSample::new(lesson.id, encoded.input_ids, encoded.labels, pixels))
    }
}

/// The first lessons of a subject, made when they are asked for.
#[derive(Debug)]
pub struct Lessons {
    subject: Subject,
    data: dataset::Dataset,
    encoder: Encoder,
    routing_text: Option<Vec<i64>>,
    len: usize,
}

impl Lessons {
    /// The first `len` of them; `data` is drawn by the subject's [`config`](Subject::config).
    #[must_use]
    pub fn new(subject: Subject, data: dataset::Dataset, encoder: Encoder, len: usize) -> Self {
        Self { subject, data, encoder, routing_text: None, len }
    }

    /// Lets the router read this text in the place of every question: the experiment's control.
    pub(crate) fn route_by(self, text: &str) -> Result<Self> {
        Ok(Self { routing_text: Some(self.encoder.encode_text(text)?), ..self })
    }
}

impl Dataset for Lessons {
    type Sample = TrainingSample;

    fn len(&self) -> usize {
        self.len
    }

    fn sample(&self, index: usize) -> Result<TrainingSample> {
        let sample = self.encoder.encode(&self.data, self.subject.lesson(&self.data, index))?;
        Ok(TrainingSample { routing_text: self.routing_text.clone(), ..sample })
    }
}
