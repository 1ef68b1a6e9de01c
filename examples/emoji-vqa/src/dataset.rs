//! Emoji-VQA-6: every sample is made from its number, nothing is stored.
//!
//! Training samples are one picture with several questions in one language, as in LLaVA's data; evaluation
//! items are one picture with one question in all six languages, as in MMMB. A training picture never
//! contains a held-out [`Composition`] nor a drawing by Twemoji or OpenMoji; an evaluation question is about a
//! held-out composition, unless those of training are asked for.

use std::path::Path;

use anyhow::{Result, ensure};
use image::RgbImage;
use parrot_infer::eval::choice_ending;

use crate::{
    caption,
    catalogue::{Catalogue, Style},
    holdout::Composition,
    language::{ByLanguage, Language},
    question::{Form, Query, Task, Turn},
    random::Random,
    scene::{Scene, Variation},
    sprite::Sprites,
    wording::{Wording, fill},
};

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
}

impl Dataset {
    /// Reads the folder that `emoji-vqa build` has written, e.g. `assets/emoji`.
    ///
    /// # Errors
    ///
    /// When a file is missing or broken, or the configuration cannot be drawn from.
    pub fn load(folder: &Path, config: DatasetConfig) -> Result<Self> {
        let catalogue = Catalogue::load(folder)?;
        let count = if config.core_only { catalogue.core_count() } else { catalogue.concepts.len() };
        let sprites = Sprites::load(folder, &catalogue, &Style::ALL, count)?;
        Self::new(catalogue, sprites, config)
    }

    /// From parts.
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
        Ok(Self { catalogue, sprites, config, pools })
    }

    /// The concepts and their names.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Paints a scene, `size` pixels square.
    pub fn render(&self, scene: &Scene, size: u32) -> RgbImage {
        scene.render(&self.sprites, size)
    }

    /// Training sample `index`: a picture and a conversation.
    pub fn sample(&self, index: u64) -> VqaSample {
        let mut random = Random::new(self.config.seed, stream::VISUAL, index);
        let language = self.language(&mut random);
        let (scene, turns) = self.conversation(language, &mut random);
        VqaSample { scene, language, turns }
    }

    /// Caption sample `index`: a picture and a caption.
    pub fn caption(&self, index: u64) -> CaptionSample {
        let mut random = Random::new(self.config.seed, stream::CAPTION, index);
        let language = self.language(&mut random);
        let (scene, _) = self.training_scene(&mut random);
        let caption = self.describe(&scene, language);
        CaptionSample { scene, language, request: Wording::of(language).describe.to_owned(), caption }
    }

    /// Sample `index` of the other kind of caption: thing by thing, with what is around it; of a grid, unless the
    /// configuration draws none.
    pub fn relations(&self, index: u64) -> CaptionSample {
        let mut random = Random::new(self.config.seed, stream::RELATIONS, index);
        let language = self.language(&mut random);
        let [_, mixed, counting] = self.config.scene_weights;
        let scene = loop {
            let (scene, _) = self.training_scene(&mut random);
            if scene.is_grid() || mixed + counting == 0.0 {
                break scene;
            }
        };
        let caption = caption::relate(&scene, &self.catalogue, language, &mut random);
        CaptionSample { scene, language, request: Wording::of(language).relate.to_owned(), caption }
    }

    /// List sample `index`: a grid, and line by line its things with their colours: `cat red`.
    ///
    /// Here the answer follows the name at once, so that a single step of attention, from a word to what shows it,
    /// suffices. It is learnt first; a question adds the way from the answer back to the name. The request is not
    /// worded like the question: in trials where it was, what lists had taught did not help to answer it.
    ///
    /// # Panics
    ///
    /// If the configuration draws no grids.
    pub fn list(&self, index: u64) -> CaptionSample {
        let mut random = Random::new(self.config.seed, stream::LISTS, index);
        let language = self.language(&mut random);
        let (scene, queries) = self.asked_of_a_grid(Task::Colour, 2, 4, &mut random);
        let request = Wording::of(language).relate.to_owned();
        CaptionSample { request, scene, language, caption: self.list_of(&queries, language) }
    }

    /// Colour sample `index`: a grid, and what colour is behind one of its things, asked openly. Another thing stands on
    /// a colour as well.
    ///
    /// How to find what a question names is not learnt from conversations of all kinds: each kind is a small share
    /// of what is answered, and what was answered before leaves fewer colours to guess from. One kind alone, asked
    /// once about a picture, can only be answered by finding.
    ///
    /// # Panics
    ///
    /// If the configuration draws no grids.
    pub fn colour(&self, index: u64) -> VqaSample {
        let mut random = Random::new(self.config.seed, stream::COLOURS, index);
        let language = self.language(&mut random);
        let (scene, queries) = self.asked_of_a_grid(Task::Colour, 2, 2, &mut random);
        VqaSample { turns: vec![self.open(&queries[0], language)], scene, language }
    }

    /// Sample `index` of the other lists, each of one kind and in no order: what is on the picture and what is not
    /// (`cat yes`), what is in which corner (`top left cat`), what is to the right of what, or above it (`cat dog`).
    ///
    /// # Panics
    ///
    /// If the configuration draws no grids.
    pub fn other_list(&self, index: u64) -> CaptionSample {
        let mut random = Random::new(self.config.seed, stream::OTHER_LISTS, index);
        let language = self.language(&mut random);
        let wording = Wording::of(language);
        let (task, frames, fewest, most) = random.choose(&[
            (Task::Exist, wording.exist, 4, 6),
            (Task::Corner, wording.corner, 2, 4),
            (Task::RightOf, wording.right_of, 1, 2),
            (Task::Above, wording.above, 1, 2),
        ]);
        let (scene, mut queries) = self.asked_of_a_grid(task, fewest, most, &mut random);
        random.shuffle(&mut queries);
        let request = fill(frames[0], &["…"]);
        CaptionSample { request, scene, language, caption: self.list_of(&queries, language) }
    }

    /// Question sample `index`: a picture and one question of any kind, asked openly.
    ///
    /// # Panics
    ///
    /// If the configuration draws no pictures for one of the tasks that it asks for.
    pub fn question(&self, index: u64) -> VqaSample {
        let mut random = Random::new(self.config.seed, stream::QUESTIONS, index);
        let language = self.language(&mut random);
        let task = Task::ALL[random.weighted(&self.config.task_weights)];
        let blended = matches!(self.config.variation, Variation::Wide { blends } if blends > 0.0);
        for _ in 0..10_000 {
            let (scene, kind) = self.training_scene(&mut random);
            let fits = |query: &Query| match task {
                // Elsewhere nearly everything is there once.
                Task::Count => matches!(kind, Kind::Counting),
                // Where there are blends, only what stands on one, so that no colour is taken for a hint at the answer.
                Task::Naming | Task::Category | Task::Corner => !blended || query.composition.is_none(),
                _ => true,
            };
            let query = Query::draw(task, &scene, &self.catalogue, self.pool(&scene), &mut random);
            if let Some(query) = query.filter(fits) {
                return VqaSample { turns: vec![self.open(&query, language)], scene, language };
            }
        }
        panic!("no picture gives rise to a question of {task:?}")
    }

    /// A line for each question: what it names and the answer.
    fn list_of(&self, queries: &[Query], language: Language) -> String {
        let line = |query: &Query| {
            let word = query.word(&self.catalogue, language);
            format!("{word} {}", query.answer.text(&self.catalogue, language))
        };
        queries.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// A question without options.
    fn open(&self, query: &Query, language: Language) -> Turn {
        query.turn(&self.catalogue, language, Form::Open, 0)
    }

    /// A grid and different questions of a task about it.
    fn asked_of_a_grid(
        &self,
        task: Task,
        fewest: usize,
        most: usize,
        random: &mut Random,
    ) -> (Scene, Vec<Query>) {
        let [_, mixed, counting] = self.config.scene_weights;
        assert!(mixed + counting > 0.0, "these questions need grids");
        loop {
            let (scene, _) = self.training_scene(random);
            let mut queries = Vec::new();
            if scene.is_grid() {
                self.ask(&scene, &mut queries, most, |_| task, random);
            }
            if queries.len() >= fewest {
                return (scene, queries);
            }
        }
    }

    /// Text sample `index`: a picture told in words and a conversation.
    pub fn text(&self, index: u64) -> TextSample {
        let mut random = Random::new(self.config.seed, stream::TEXT, index);
        let language = self.language(&mut random);
        let (scene, turns) = self.conversation(language, &mut random);
        TextSample { language, description: self.describe(&scene, language), turns }
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

    fn language(&self, random: &mut Random) -> Language {
        Language::ALL[random.weighted(&self.config.language_weights)]
    }

    /// A training picture of a random kind without any held-out composition.
    fn training_scene(&self, random: &mut Random) -> (Scene, Kind) {
        let kind = [Kind::Single, Kind::Mixed, Kind::Counting][random.weighted(&self.config.scene_weights)];
        // By the number of drawings, so that small sets do not make their few concepts frequent.
        let weights = Style::TRAIN.map(|style| self.pools[style as usize].len() as f32);
        let style = Style::TRAIN[random.weighted(&weights)];
        loop {
            let scene = self.scene(kind, style, self.config.variation, random);
            if !Composition::any_held_out(&scene, &self.catalogue) {
                return (scene, kind);
            }
        }
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

    /// A training picture with its questions.
    fn conversation(&self, language: Language, random: &mut Random) -> (Scene, Vec<Turn>) {
        loop {
            let (scene, kind) = self.training_scene(random);
            let turns = self.turns(&scene, kind, language, random);
            if !turns.is_empty() {
                return (scene, turns);
            }
        }
    }

    /// Draws questions of the tasks that `next` names until there are as many as wanted, or no further ones are found.
    fn ask(
        &self,
        scene: &Scene,
        queries: &mut Vec<Query>,
        wanted: usize,
        next: impl Fn(&mut Random) -> Task,
        random: &mut Random,
    ) {
        let pool = self.pool(scene);
        for _ in 0..6 * wanted {
            if queries.len() >= wanted {
                break;
            }
            let query = Query::draw(next(random), scene, &self.catalogue, pool, random);
            let asked = |new: &Query| {
                queries
                    .iter()
                    .any(|old| (old.task, old.subject, old.corner) == (new.task, new.subject, new.corner))
            };
            if let Some(query) = query.filter(|query| !asked(query)) {
                queries.push(query);
            }
        }
    }

    fn turns(&self, scene: &Scene, kind: Kind, language: Language, random: &mut Random) -> Vec<Turn> {
        let (fewest, most) = self.config.turns;
        let wanted = fewest + random.below(most - fewest + 1);
        let pool = self.pool(scene);
        let mut weights = self.config.task_weights;
        let mut queries: Vec<Query> = Vec::with_capacity(wanted);
        let opening = match kind {
            Kind::Single => Some(Task::Naming),
            Kind::Mixed => None,
            Kind::Counting => Some(Task::Count),
        };
        if let Some(task) = opening.filter(|task| weights[*task as usize] > 0.0) {
            queries.extend(Query::draw(task, scene, &self.catalogue, pool, random));
        }
        weights[Task::Naming as usize] = 0.0;
        weights[Task::Count as usize] = 0.0;
        if weights.iter().sum::<f32>() > 0.0 {
            let next = |random: &mut Random| Task::ALL[random.weighted(&weights)];
            self.ask(scene, &mut queries, wanted, next, random);
        }
        random.shuffle(&mut queries);
        // Nothing that was asked before may give the name away.
        let place = |task: Task| queries.iter().position(|query| query.task == task);
        if let (Some(exist), Some(naming)) = (place(Task::Exist), place(Task::Naming))
            && exist < naming
        {
            queries.swap(exist, naming);
        }
        let turns = queries.iter().map(|query| {
            let form = if random.chance(self.config.choice_share) { Form::Choice } else { Form::Open };
            let mut turn = query.turn(&self.catalogue, language, form, random.below(12));
            if form == Form::Choice {
                // Half of them bare, the others as MMMB asks in the question's language or in English.
                turn.ending = match random.below(4) {
                    0 => Some(choice_ending(Some(language))),
                    1 => Some(choice_ending(None)),
                    _ => None,
                };
            }
            turn
        });
        turns.collect()
    }
}
