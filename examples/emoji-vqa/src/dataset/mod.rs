//! Emoji-VQA-6: every sample is made from its number, nothing is stored.
//!
//! Training samples are one picture with several questions in one language, as in LLaVA's data; evaluation
//! items are one picture with one question in all six languages, as in MMMB. A training picture never
//! contains a held-out [`Composition`] nor a drawing by Twemoji or OpenMoji; an evaluation question is about a
//! held-out composition, unless those of training are asked for.

mod training;
mod unknown;
mod words;

use std::path::Path;

use anyhow::{Result, ensure};
use image::RgbImage;

use crate::{
    caption,
    catalogue::{Catalogue, Style},
    holdout::Composition,
    language::{ByLanguage, Language},
    question::{Form, Query, Task, Turn},
    random::Random,
    scene::{Scene, Variation},
    sprite::Sprites,
};

pub use words::{UnknownItem, Worded, WordedSample};

/// Streams of random numbers: what is drawn for one purpose says nothing about another.
mod stream {
    pub(super) const VISUAL: u64 = 1;
    pub(super) const CAPTION: u64 = 2;
    pub(super) const TEXT: u64 = 3;
    pub(super) const EVALUATION: u64 = 4;
    pub(super) const RELATIONS: u64 = 5;
    pub(super) const LISTS: u64 = 6;
    pub(super) const COLOURS: u64 = 7;
    pub(super) const OTHER_LISTS: u64 = 8;
    pub(super) const QUESTIONS: u64 = 9;
    pub(super) const CHOICES: u64 = 10;
    pub(super) const WORDS: u64 = 11;
    pub(super) const HELD_OUT_WORDS: u64 = 12;
    pub(super) const UNKNOWN: u64 = 13;
    pub(super) const OUTSIDE: u64 = 14;
}

/// What training samples are drawn like. Weights need not sum to one.
#[derive(Clone, Debug, PartialEq)]
pub struct DatasetConfig {
    /// Another seed, other samples. The evaluation does not depend on it.
    pub seed: u64,
    /// Only the core concepts, as the default model.
    pub core_only: bool,
    /// How often each language is drawn, in the order of [`Language::ALL`].
    pub language_weights: [f32; 6],
    /// How often each task is asked where it applies, in the order of [`Task::ALL`]. A picture of one thing
    /// always asks for its name and a counting picture for its count, unless the weight is 0.
    pub task_weights: [f32; 8],
    /// How often there is one thing, a grid of different things, a grid with one thing up to four times.
    pub scene_weights: [f32; 3],
    /// Share of questions with options; the others are open.
    pub choice_share: f32,
    /// What may be changed of a training picture.
    pub variation: Variation,
    /// Fewest and most questions about one picture. Fewer when a picture does not give rise to as many.
    pub turns: (usize, usize),
    /// What evaluation questions are about.
    pub evaluated: Evaluated,
    /// Whether the drawings of things that have no name here are loaded, to be told that they are unknown.
    pub strangers: bool,
}

/// What evaluation questions are about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Evaluated {
    /// A combination that no training picture has.
    #[default]
    HeldOut,
    /// Pictures that training may have, every combination in them: beside the former, what composing costs.
    Trained,
}

impl Default for DatasetConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            core_only: true,
            language_weights: [1.0; 6],
            task_weights: [1.0; 8],
            scene_weights: [0.35, 0.45, 0.2],
            choice_share: 0.5,
            variation: Variation::Full,
            turns: (3, 5),
            evaluated: Evaluated::HeldOut,
            strangers: false,
        }
    }
}

/// A picture and a conversation about it.
#[derive(Clone, Debug, PartialEq)]
pub struct VqaSample {
    /// The picture.
    pub scene: Scene,
    /// The language of every turn.
    pub language: Language,
    /// At least one.
    pub turns: Vec<Turn>,
}

/// A picture and what is on it.
#[derive(Clone, Debug, PartialEq)]
pub struct CaptionSample {
    /// The picture.
    pub scene: Scene,
    /// The language of the caption.
    pub language: Language,
    /// What asks for the caption.
    pub request: String,
    /// `cat on red`, or for a grid one line per thing: `top left: cat on red`.
    pub caption: String,
}

/// A conversation about a picture that is told in words: lets a decoder learn names and tasks without eyes.
#[derive(Clone, Debug, PartialEq)]
pub struct TextSample {
    /// The language of every turn.
    pub language: Language,
    /// What the user tells first: the caption of the picture.
    pub description: String,
    /// The questions that follow.
    pub turns: Vec<Turn>,
}

/// One question of the evaluation, in six languages and both forms.
#[derive(Clone, Debug, PartialEq)]
pub struct EvalItem {
    /// The picture, without any augmentation; its style says whether the drawings were trained on.
    pub scene: Scene,
    /// The question without a language.
    pub query: Query,
    /// With options; letters are balanced over the items of a task.
    pub choice: ByLanguage<Turn>,
    /// To be answered in words.
    pub open: ByLanguage<Turn>,
}

/// What kind of picture.
#[derive(Clone, Copy)]
enum Kind {
    Single,
    Mixed,
    Counting,
}

/// The data set: concepts, drawings and the rules of drawing samples. Samples can be drawn by many threads.
#[derive(Clone, Debug)]
pub struct Dataset {
    catalogue: Catalogue,
    sprites: Sprites,
    config: DatasetConfig,
    /// Per style, the concepts it can draw.
    pools: Vec<Vec<usize>>,
    /// Per style, what it draws that has no name here.
    strangers: Vec<Vec<usize>>,
}

impl Dataset {
    /// Reads the folder that `emoji-vqa build` has written, e.g. `assets/emoji`.
    ///
    /// # Errors
    ///
    /// When a file is missing or broken, or the configuration cannot be drawn from.
    pub fn load(folder: &Path, config: DatasetConfig) -> Result<Self> {
        let catalogue = Catalogue::load(folder)?;
        let all = !config.core_only || config.strangers;
        let count = if all { catalogue.concepts.len() } else { catalogue.core_count() };
        let sprites = Sprites::load(folder, &catalogue, &Style::ALL, count)?;
        Self::new(catalogue, sprites, config)
    }

    /// A data set of these parts.
    ///
    /// # Errors
    ///
    /// When weights are negative or all zero, `turns` is empty, no ground is to have a name, or a style draws fewer than
    /// ten concepts (grids need four different ones and their options four more).
    pub fn new(catalogue: Catalogue, sprites: Sprites, config: DatasetConfig) -> Result<Self> {
        let weights: [&[f32]; 3] = [&config.language_weights, &config.task_weights, &config.scene_weights];
        for weights in weights {
            let sound = weights.iter().all(|weight| weight.is_finite() && *weight >= 0.0);
            ensure!(sound && weights.iter().sum::<f32>() > 0.0, "weights {weights:?} cannot be drawn from");
        }
        ensure!((0.0..=1.0).contains(&config.choice_share), "choice_share is no share");
        ensure!(
            0 < config.turns.0 && config.turns.0 <= config.turns.1,
            "turns {:?} is no range",
            config.turns
        );
        if let Variation::Wide { blends } = config.variation {
            ensure!((0.0..1.0).contains(&blends), "{blends} of the grounds cannot be blends");
        }
        let count = if config.core_only { catalogue.core_count() } else { catalogue.concepts.len() };
        let pool = |style: Style| {
            let drawn = (0..count).filter(|concept| sprites.get(style, *concept).is_some());
            drawn.collect::<Vec<_>>()
        };
        let pools: Vec<_> = Style::ALL.into_iter().map(pool).collect();
        for (style, pool) in Style::ALL.into_iter().zip(&pools) {
            ensure!(pool.len() >= 10, "{} draws only {} concepts", style.name(), pool.len());
        }
        let strangers = unknown::strangers(&catalogue, &sprites, count);
        Ok(Self { catalogue, sprites, config, pools, strangers })
    }

    /// The concepts and their names.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Paints a scene, `size` pixels square.
    pub fn render(&self, scene: &Scene, size: u32) -> RgbImage {
        scene.render(&self.sprites, size)
    }

    /// What is on a picture, in words: one line, or one per thing of a grid.
    pub fn describe(&self, scene: &Scene, language: Language) -> String {
        caption::describe(scene, &self.catalogue, language)
    }

    /// The evaluation: pictures drawn by turns in a training style and in Twemoji's, which no training picture
    /// has. The items do not depend on the seed.
    pub fn evaluation(&self, scenes: usize) -> Vec<EvalItem> {
        let style = |index: usize| match (index / Task::ALL.len()) % 2 {
            0 => Style::TRAIN[(index / (2 * Task::ALL.len())) % Style::TRAIN.len()],
            _ => Style::Twemoji,
        };
        (0..scenes).map(|index| self.item(index, style(index))).collect()
    }

    /// The same questions' rules with one style alone, e.g. OpenMoji.
    pub fn evaluation_in(&self, style: Style, scenes: usize) -> Vec<EvalItem> {
        (0..scenes).map(|index| self.item(index, style)).collect()
    }

    fn item(&self, index: usize, style: Style) -> EvalItem {
        let mut random = Random::new(0, stream::EVALUATION, index as u64);
        let task = Task::ALL[index % Task::ALL.len()];
        let kind = match task {
            Task::Naming | Task::Category => Kind::Single,
            Task::Count => Kind::Counting,
            _ => Kind::Mixed,
        };
        let pool = &self.pools[style as usize];
        let (scene, query) = loop {
            let scene = self.scene(kind, style, Variation::Layout, &mut random);
            let query = Query::draw(task, &scene, &self.catalogue, pool, &mut random);
            let wanted = |query: &Query| match self.config.evaluated {
                Evaluated::HeldOut => query.composition.is_some_and(|c| c.held_out(&self.catalogue)),
                Evaluated::Trained => !Composition::any_held_out(&scene, &self.catalogue),
            };
            if let Some(query) = query.filter(wanted) {
                break (scene, query);
            }
        };
        // By pairs of items, so that trained and unseen styles get every letter equally often.
        let place = index / (2 * Task::ALL.len());
        let turn = |form| ByLanguage::from_fn(|language| query.turn(&self.catalogue, language, form, place));
        EvalItem { choice: turn(Form::Choice), open: turn(Form::Open), scene, query }
    }

    /// What the scene's style draws.
    fn pool(&self, scene: &Scene) -> &[usize] {
        &self.pools[scene.style as usize]
    }

    fn scene(&self, kind: Kind, style: Style, variation: Variation, random: &mut Random) -> Scene {
        let different = |random: &mut Random| self.different(style, random);
        let concepts = match kind {
            Kind::Single => vec![Some(random.choose(&self.pools[style as usize]))],
            Kind::Mixed => {
                let mut concepts = different(random).map(Some);
                let shown = 2 + random.weighted(&[0.2, 0.3, 0.5]);
                concepts[shown..].fill(None);
                random.shuffle(&mut concepts);
                concepts.to_vec()
            }
            Kind::Counting => {
                let copies = 1 + random.below(4);
                let others = different(random);
                let mut concepts = others.map(|other| random.chance(0.5).then_some(other));
                concepts[..copies].fill(Some(others[0]));
                random.shuffle(&mut concepts);
                concepts.to_vec()
            }
        };
        Scene::compose(&concepts, style, variation, random)
    }

    /// Four concepts that nobody takes for one another.
    fn different(&self, style: Style, random: &mut Random) -> [usize; 4] {
        let pool = &self.pools[style as usize];
        let mut chosen = [0; 4];
        let mut count = 0;
        // A pool has at least ten concepts; should they all look alike, being different suffices.
        for attempt in 0.. {
            let concept = random.choose(pool);
            let clash = |other: &usize| match attempt {
                0..1000 => self.catalogue.alike(concept, *other),
                _ => concept == *other,
            };
            if !chosen[..count].iter().any(clash) {
                chosen[count] = concept;
                count += 1;
            }
            if count == chosen.len() {
                break;
            }
        }
        chosen
    }
}
