//! Training samples: what is asked or told about a picture, in one language.

use parrot_eval::choice_ending;

use super::{CaptionSample, Dataset, Kind, TextSample, VqaSample, stream};
use crate::{
    caption,
    catalogue::Style,
    holdout::Composition,
    language::Language,
    question::{Form, Query, Task, Turn},
    random::Random,
    scene::{Scene, Variation},
    wording::{Wording, fill},
};

/// The share of [`other_list`](Dataset::other_list) that goes colour by colour.
const LISTS_BY_COLOUR: f32 = 0.2;

/// Of pictures whose grounds are to be found by their colour most have a name: among blends alone one would be found without
/// knowing colours.
const GROUNDS_TO_FIND: Variation = Variation::Wide { blends: 0.15 };

impl Dataset {
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
    /// (`cat yes`), what is in which corner (`top left cat`), what is to the right of what, or above it (`cat dog`),
    /// what is on which colour (`red cat`).
    ///
    /// # Panics
    ///
    /// If the configuration draws no grids.
    pub fn other_list(&self, index: u64) -> CaptionSample {
        let mut random = Random::new(self.config.seed, stream::OTHER_LISTS, index);
        let language = self.language(&mut random);
        let wording = Wording::of(language);
        if random.chance(LISTS_BY_COLOUR) {
            let scene = self.grid_on_colours(&mut random);
            let caption = self.by_colour(&scene, language, &mut random);
            return CaptionSample { request: wording.on_colours.to_owned(), scene, language, caption };
        }
        let kinds = [
            (Task::Exist, wording.exist, 4, 6),
            (Task::Corner, wording.corner, 2, 4),
            (Task::RightOf, wording.right_of, 1, 2),
            (Task::Above, wording.above, 1, 2),
        ];
        // Whether a thing is there is learnt last.
        let (task, frames, fewest, most) = kinds[random.weighted(&[3.0, 1.0, 1.0, 1.0])];
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
        let (scene, query) = self.asked(task, |_| true, &mut random);
        VqaSample { turns: vec![self.open(&query, language)], scene, language }
    }

    /// Choice sample `index`: a picture and one question with its options, after the name of a thing or what kind of
    /// thing it is.
    ///
    /// Where the picture leaves no doubt the options are not worth reading, and reading them is not learnt. So this is
    /// for pictures that leave it ([`Variation::Doubtful`]).
    ///
    /// # Panics
    ///
    /// If the configuration draws no pictures of one thing.
    pub fn choice(&self, index: u64) -> VqaSample {
        let mut random = Random::new(self.config.seed, stream::CHOICES, index);
        let language = self.language(&mut random);
        let task = [Task::Naming, Task::Category][random.weighted(&[0.8, 0.2])];
        let (scene, query) = self.asked(task, |_| true, &mut random);
        VqaSample { turns: vec![self.with_options(&query, language, &mut random)], scene, language }
    }

    /// A picture and a question of a task about it that suits. Where there are blends, a thing is named only where it
    /// stands on one, so that no colour is taken for a hint at the answer.
    pub(super) fn asked(
        &self,
        task: Task,
        suits: impl Fn(&Query) -> bool,
        random: &mut Random,
    ) -> (Scene, Query) {
        let blended = self.config.variation.blends() > 0.0;
        let names = matches!(task, Task::Naming | Task::Category | Task::Corner);
        let hints_at_nothing = |query: &Query| !(blended && names) || query.composition.is_none();
        self.asked_on_any_ground(task, |query| hints_at_nothing(query) && suits(query), random)
    }

    /// The same whatever things stand on.
    pub(super) fn asked_on_any_ground(
        &self,
        task: Task,
        suits: impl Fn(&Query) -> bool,
        random: &mut Random,
    ) -> (Scene, Query) {
        for _ in 0..10_000 {
            let (scene, kind) = self.training_scene(random);
            // Elsewhere nearly everything is there once.
            let counts = task != Task::Count || matches!(kind, Kind::Counting);
            let query = Query::draw(task, &scene, &self.catalogue, self.pool(&scene), random);
            if let Some(query) = query.filter(|query| counts && suits(query)) {
                return (scene, query);
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

    /// A line for each thing on a ground with a name: the colour, then the thing.
    fn by_colour(&self, scene: &Scene, language: Language, random: &mut Random) -> String {
        let line = |place: usize| {
            let name = self.catalogue.name(scene.concept_at(place)?, language);
            Some(format!("{} {name}", scene.colour_at(place)?.name(language)))
        };
        let mut lines: Vec<String> = (0..scene.tiles.len()).filter_map(line).collect();
        random.shuffle(&mut lines);
        lines.join("\n")
    }

    /// A question without options.
    fn open(&self, query: &Query, language: Language) -> Turn {
        query.turn(&self.catalogue, language, Form::Open, 0)
    }

    /// A question with options, half of them bare, the others as MMMB asks in the question's language or in English.
    fn with_options(&self, query: &Query, language: Language, random: &mut Random) -> Turn {
        let mut turn = query.turn(&self.catalogue, language, Form::Choice, random.below(12));
        turn.ending = match random.below(4) {
            0 => Some(choice_ending(Some(language))),
            1 => Some(choice_ending(None)),
            _ => None,
        };
        turn
    }

    /// A grid with things on two colours at least: what stands on a colour can be told by the colour alone.
    pub(super) fn grid_on_colours(&self, random: &mut Random) -> Scene {
        let [_, mixed, counting] = self.config.scene_weights;
        assert!(mixed + counting > 0.0, "these questions need grids");
        loop {
            let (scene, _) = self.training_scene_as(GROUNDS_TO_FIND, random);
            let named = scene.objects().filter(|(place, _)| scene.colour_at(*place).is_some()).count();
            if scene.is_grid() && named > 1 {
                return scene;
            }
        }
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

    pub(super) fn language(&self, random: &mut Random) -> Language {
        Language::ALL[random.weighted(&self.config.language_weights)]
    }

    /// A training picture of a random kind without any held-out composition.
    pub(super) fn training_scene(&self, random: &mut Random) -> (Scene, Kind) {
        self.training_scene_as(self.config.variation, random)
    }

    /// The same with another variation than the configuration's.
    fn training_scene_as(&self, variation: Variation, random: &mut Random) -> (Scene, Kind) {
        let kind = [Kind::Single, Kind::Mixed, Kind::Counting][random.weighted(&self.config.scene_weights)];
        // By the number of drawings, so that small sets do not make their few concepts frequent.
        let weights = Style::TRAIN.map(|style| self.pools[style as usize].len() as f32);
        let style = Style::TRAIN[random.weighted(&weights)];
        loop {
            let scene = self.scene(kind, style, variation, random);
            if !Composition::any_held_out(&scene, &self.catalogue) {
                return (scene, kind);
            }
        }
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
            if random.chance(self.config.choice_share) {
                self.with_options(query, language, random)
            } else {
                self.open(query, language)
            }
        });
        turns.collect()
    }
}
