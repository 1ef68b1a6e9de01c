//! Questions in people's own words, about what the model knows and what it does not.

use super::unknown::{textured_scene, trained_pattern};
use super::{Dataset, EvalItem, Kind, stream};
use crate::{
    catalogue::Style,
    language::{ByLanguage, Language},
    question::{Fact, Query, Task},
    random::Random,
    scene::{Ground, Scene, Variation},
    texture::{Pattern, Texture},
    wording::grammar::{Grammar, Intent},
    wording::phrasebook::{Gaps, Part, Phrasebook},
};

/// How often a sample asks about a picture that shows something known, about one that does not, and something that no
/// picture answers.
const SHARES: [f32; 3] = [0.79, 0.11, 0.10];

/// How often each intent is asked about what is known, in the order of [`Intent::ALL`]. More of what is learnt last, and
/// of naming so much that one naming question in five is about the unknown: where half are, known things are refused.
const INTENTS: [f32; 16] = [3.0, 1.0, 1.8, 1.8, 1.2, 0.5, 1.4, 1.6, 1.4, 1.8, 1.8, 2.4, 1.0, 0.5, 1.5, 0.0];

/// The share of naming questions about grids, which ask for everything that is there.
const NAMING_OF_GRIDS: f32 = 0.12;

/// The share of descriptions of one thing on a plain ground: only there a description (`cat on red`) is more than the name,
/// and telling it from naming can be learnt.
const DESCRIBED_ON_PLAIN: f32 = 0.5;

/// The share of single things, known or not, that stand on a texture. What a thing stands on must be no sign of whether it
/// is known, nor of what is asked.
const TEXTURED_GROUNDS: f32 = 0.15;

/// The share of plain grounds that get any colour instead of one of the eight, where things are named. With a colour that
/// has a name, a model learns which things never stand on it.
const NAMELESS_GROUNDS: f32 = 0.625;

/// The share of pictures about which more is asked after the first question: what a picture costs is paid once then, and
/// every answer teaches to understand a question.
const CONVERSATIONS: f32 = 0.7;

/// The most questions that follow the first one.
const MOST_FURTHER_TURNS: usize = 4;

/// The share of these conversations that ask the same of one thing after another. Answers that differ while the picture does
/// not teach what to look for: asked once a picture, what stands on a colour was not learnt.
const DRILLS: f32 = 0.5;

/// How often a further question has an answer that no picture gives.
const OUTSIDE_FURTHER: f32 = 0.08;

/// How often a thing is counted in a picture that shows everything once, as those drawn for something else mostly do.
const COUNTED_ONCE: f32 = 0.1;

/// The share of first questions after a number that are about any of the things, not about what is there most often.
const COUNTED_BY_NAME: f32 = 0.5;

/// A picture with questions in people's own words and their answers.
#[derive(Clone, Debug, PartialEq)]
pub struct WordedSample {
    /// The picture.
    pub scene: Scene,
    /// The language of every question and answer.
    pub language: Language,
    /// Questions with their answers, at least one.
    pub turns: Vec<(String, String)>,
}

/// A question of the evaluation in somebody's own words.
#[derive(Clone, Debug, PartialEq)]
pub struct Worded {
    /// What is asked for.
    pub intent: Intent,
    /// The language of question and answer.
    pub language: Language,
    /// Which of the held-out wordings.
    pub part: Part,
    /// What the user says.
    pub question: String,
    /// The right answer.
    pub answer: String,
}

/// A picture of the evaluation that shows nothing known, with a naming question in every language.
#[derive(Clone, Debug, PartialEq)]
pub struct UnknownItem {
    /// For tables: a stranger or the texture's name.
    pub kind: &'static str,
    /// The picture.
    pub scene: Scene,
    /// The questions.
    pub questions: ByLanguage<String>,
}

impl Intent {
    /// The task whose questions ask for this.
    fn task(self) -> Option<Task> {
        match self {
            Self::Naming => Some(Task::Naming),
            Self::Category => Some(Task::Category),
            Self::Exist => Some(Task::Exist),
            Self::Count => Some(Task::Count),
            Self::Colour | Self::Background => Some(Task::Colour),
            Self::Corner => Some(Task::Corner),
            Self::RightOf => Some(Task::RightOf),
            Self::Above => Some(Task::Above),
            Self::LeftOf
            | Self::Below
            | Self::OnColour
            | Self::ExistKind
            | Self::CountAll
            | Self::Describe
            | Self::Outside => None,
        }
    }
}

fn shows_something_twice(scene: &Scene) -> bool {
    scene.objects().any(|(_, object)| scene.count(object.concept) > 1)
}

/// Puts a single thing on a texture or on a plain ground without a name, now and then.
fn change_ground(scene: &mut Scene, random: &mut Random) {
    take_names_of_grounds(scene, random);
    if random.chance(TEXTURED_GROUNDS) {
        scene.tiles[0].ground = Ground::Texture(Texture::draw(trained_pattern(random), random));
    }
}

/// Gives plain grounds any colour, most of them.
fn take_names_of_grounds(scene: &mut Scene, random: &mut Random) {
    for tile in &mut scene.tiles {
        if tile.ground.colour().is_some() && random.chance(NAMELESS_GROUNDS) {
            tile.ground = Ground::even(random);
        }
    }
}

impl Dataset {
    /// Sample `index` of questions in people's own words: most about what is known, some about pictures that show nothing
    /// known, and some that no picture answers. The last two are answered by the sentences of [`Grammar`]. Most
    /// pictures of something known are asked about more than once, each time to be understood without the others.
    ///
    /// # Panics
    ///
    /// If the configuration draws no pictures of one thing or no grids.
    pub fn worded(&self, index: u64) -> WordedSample {
        let mut random = Random::new(self.config.seed, stream::WORDS, index);
        let language = self.language(&mut random);
        loop {
            let sample = match random.weighted(&SHARES) {
                0 => self.about_the_known(language, &mut random),
                1 => self.about_the_unknown(language, &mut random),
                _ => {
                    let (scene, _) = self.training_scene(&mut random);
                    let turn = self.about_nothing_shown(&scene, language, &mut random);
                    self.followed(scene, Intent::Outside, turn, language, &mut random)
                }
            };
            if let Some(sample) = sample {
                return sample;
            }
        }
    }

    fn about_the_known(&self, language: Language, random: &mut Random) -> Option<WordedSample> {
        let intent = Intent::ALL[random.weighted(&INTENTS)];
        if intent.is_further() {
            let scene = match intent {
                Intent::OnColour => self.grid_on_colours(random),
                _ => self.training_scene(random).0,
            };
            let turn = self.next_turn(&scene, intent, language, random);
            return self.followed(scene, intent, turn, language, random);
        }
        let everything =
            intent == Intent::Describe || (intent == Intent::Naming && random.chance(NAMING_OF_GRIDS));
        let Some(task) = intent.task().filter(|_| !everything) else {
            let plain = intent == Intent::Describe && random.chance(DESCRIBED_ON_PLAIN);
            let scene = if plain {
                let alone = |query: &Query| query.composition.is_some();
                self.asked_on_any_ground(Task::Naming, alone, random).0
            } else {
                self.training_scene(random).0
            };
            let answer = self.describe(&scene, language);
            let suits = intent == Intent::Describe || scene.is_grid();
            // Nothing follows: a description gives every other answer away.
            return if suits { self.single(scene, intent, None, answer, language, random) } else { None };
        };
        // The colour behind a named thing, or of a ground with one thing on it.
        let suits =
            |query: &Query| task != Task::Colour || query.subject.is_none() == (intent == Intent::Background);
        // Also on plain grounds: were they only described there, the ground would decide between naming, description and
        // refusal, and no longer the question.
        let (mut scene, mut query) = self.asked_on_any_ground(task, suits, random);
        match task {
            Task::Count if random.chance(COUNTED_BY_NAME) => query = Query::count_any(&scene, random)?,
            Task::Naming | Task::Category => change_ground(&mut scene, random),
            Task::Corner => take_names_of_grounds(&mut scene, random),
            _ => {}
        }
        let answer = query.answer.text(&self.catalogue, language);
        let question = self.own_words(&scene, intent, Some(&query), Part::Trained, language, random)?;
        self.followed(scene, intent, Some((question, answer)), language, random)
    }

    /// A picture of something known with its first question, and mostly further ones. What a picture of one
    /// thing shows is never asked after something else, which may have named it.
    ///
    /// - intent: of the first question
    fn followed(
        &self,
        scene: Scene,
        intent: Intent,
        first: Option<(String, String)>,
        language: Language,
        random: &mut Random,
    ) -> Option<WordedSample> {
        let mut turns = vec![first?];
        if random.chance(CONVERSATIONS) {
            let further = 1 + random.below(MOST_FURTHER_TURNS);
            let drilled = scene.is_grid() && intent != Intent::Outside && random.chance(DRILLS);
            // The bound ends the search where a picture does not give rise to as many.
            for _ in 0..4 * further {
                let turn = if random.chance(OUTSIDE_FURTHER) {
                    self.about_nothing_shown(&scene, language, random)
                } else {
                    let next = match intent {
                        _ if !drilled => Intent::ALL[random.weighted(&INTENTS)],
                        // How many of a thing and how many things in all are told apart where both are asked.
                        Intent::Count | Intent::CountAll => {
                            random.choose(&[Intent::Count, Intent::Count, Intent::CountAll])
                        }
                        _ => intent,
                    };
                    self.next_turn(&scene, next, language, random)
                };
                turns.extend(turn.filter(|turn| turns.iter().all(|(_, answer)| *answer != turn.1)));
                if turns.len() > further {
                    break;
                }
            }
        }
        Some(WordedSample { scene, language, turns })
    }

    /// Another question about a picture, where what it is about can be seen there.
    fn next_turn(
        &self,
        scene: &Scene,
        intent: Intent,
        language: Language,
        random: &mut Random,
    ) -> Option<(String, String)> {
        let query = match intent.task() {
            _ if intent.is_further() => self.further(intent, scene, random)?,
            None | Some(Task::Naming | Task::Category) => return None,
            Some(Task::Count) => Query::count_any(scene, random)?,
            Some(task) => Query::draw(task, scene, &self.catalogue, self.pool(scene), random)?,
        };
        let suits = match intent.task() {
            Some(Task::Colour) => query.subject.is_none() == (intent == Intent::Background),
            Some(Task::Count) => shows_something_twice(scene) || random.chance(COUNTED_ONCE),
            _ => true,
        };
        let question = self.own_words(scene, intent, Some(&query), Part::Trained, language, random);
        Some((question.filter(|_| suits)?, query.answer.text(&self.catalogue, language)))
    }

    /// A question that no picture answers, and that it does not.
    fn about_nothing_shown(
        &self,
        scene: &Scene,
        language: Language,
        random: &mut Random,
    ) -> Option<(String, String)> {
        let question = self.own_words(scene, Intent::Outside, None, Part::Trained, language, random)?;
        Some((question, Grammar::of(language).outside_answer.to_owned()))
    }

    /// A question of those that the templates do not ask.
    fn further(&self, intent: Intent, scene: &Scene, random: &mut Random) -> Option<Query> {
        match intent {
            Intent::LeftOf => Query::reversed(Task::RightOf, scene, random),
            Intent::Below => Query::reversed(Task::Above, scene, random),
            Intent::OnColour => Query::on_colour(scene, random),
            Intent::ExistKind => Query::exist_kind(scene, &self.catalogue, random),
            Intent::CountAll => Query::count_all(scene),
            _ => None,
        }
    }

    fn about_the_unknown(&self, language: Language, random: &mut Random) -> Option<WordedSample> {
        let grammar = Grammar::of(language);
        let unknown = grammar.unknown.to_owned();
        let (mut scene, _) = self.training_scene(random);
        match random.weighted(&[0.55, 0.25, 0.2]) {
            0 => {
                scene = self.strange_scene(scene.style, false, self.config.variation, random)?;
                change_ground(&mut scene, random);
            }
            1 => scene = textured_scene(trained_pattern(random), random),
            _ => {
                // A stranger among known things: what is in its corner?
                let concept = self.stranger(scene.style, false, random)?;
                let mut query =
                    Query::draw(Task::Corner, &scene, &self.catalogue, self.pool(&scene), random)?;
                let place = query.corner? as usize;
                scene.tiles[place].object.as_mut()?.concept = concept;
                take_names_of_grounds(&mut scene, random);
                query.answer = Fact::Concept(concept);
                return self.single(scene, Intent::Corner, Some(&query), unknown, language, random);
            }
        }
        let shown = scene.concept_at(0);
        let intents = [Intent::Naming, Intent::Describe, Intent::Category, Intent::Exist, Intent::Background];
        let intent = intents[random.weighted(&[0.5, 0.15, 0.1, 0.15, 0.1])];
        let answer = match intent {
            // What kind of thing it is can be seen without knowing its name.
            Intent::Category => shown.map_or(unknown, |concept| {
                self.catalogue.label(self.catalogue.concepts[concept].category, language).to_owned()
            }),
            Intent::Exist => Fact::Truth(false).text(&self.catalogue, language),
            Intent::Background => scene.colour_at(0)?.name(language).to_owned(),
            _ => unknown,
        };
        let mut query = Query::about(Task::Exist, Fact::Truth(false));
        if intent == Intent::Exist {
            let absent = random.choose(self.pool(&scene));
            query.subject =
                Some(absent).filter(|absent| shown.is_none_or(|shown| !self.catalogue.alike(*absent, shown)));
            query.subject?;
        }
        self.single(scene, intent, Some(&query), answer, language, random)
    }

    fn single(
        &self,
        scene: Scene,
        intent: Intent,
        query: Option<&Query>,
        answer: String,
        language: Language,
        random: &mut Random,
    ) -> Option<WordedSample> {
        let question = self.own_words(&scene, intent, query, Part::Trained, language, random)?;
        Some(WordedSample { scene, language, turns: vec![(question, answer)] })
    }

    /// A question in somebody's own words; `None` where no wording of this part fits what it names.
    fn own_words(
        &self,
        scene: &Scene,
        intent: Intent,
        query: Option<&Query>,
        part: Part,
        language: Language,
        random: &mut Random,
    ) -> Option<String> {
        let alone = !scene.is_grid();
        let shown = scene.concept_at(0).filter(|_| alone);
        let gaps = Gaps {
            name: query
                .and_then(|query| query.subject)
                .map_or("", |subject| self.catalogue.name(subject, language)),
            corner: query.and_then(|query| query.corner),
            colour: query.and_then(|query| query.colour),
            category: query
                .and_then(|query| query.kind)
                .or(shown.map(|concept| self.catalogue.concepts[concept].category)),
            alone,
        };
        Phrasebook::of(language).ask(intent, part, gaps, random)
    }

    /// The question of an evaluation item in held-out words, in every language and of both parts; of a picture of one
    /// thing also its description or the colour of its ground, of others what the templates do not ask about them.
    pub fn in_own_words(&self, item: &EvalItem, index: usize) -> Vec<Worded> {
        let mut random = Random::new(0, stream::HELD_OUT_WORDS, index as u64);
        let intents: &[Intent] = match item.query.task {
            Task::Naming => &[Intent::Naming, Intent::Describe],
            Task::Category => &[Intent::Category, Intent::Background],
            Task::Exist => &[Intent::Exist, Intent::ExistKind],
            Task::Count => &[Intent::Count, Intent::CountAll],
            Task::Colour if item.query.subject.is_none() => &[Intent::Background],
            Task::Colour => &[Intent::Colour, Intent::OnColour],
            Task::Corner => &[Intent::Corner],
            Task::RightOf => &[Intent::RightOf, Intent::LeftOf],
            Task::Above => &[Intent::Above, Intent::Below],
        };
        // In every language about the same.
        let further: Vec<Option<Query>> =
            intents.iter().map(|intent| self.further(*intent, &item.scene, &mut random)).collect();
        let mut worded = Vec::new();
        for language in Language::ALL {
            for (intent, further) in intents.iter().copied().zip(&further) {
                let query = if intent.is_further() {
                    let Some(query) = further else { continue };
                    query
                } else {
                    &item.query
                };
                let answer = match intent {
                    Intent::Describe => Some(self.describe(&item.scene, language)),
                    Intent::Background => {
                        item.scene.colour_at(0).map(|colour| colour.name(language).to_owned())
                    }
                    _ => Some(query.answer.text(&self.catalogue, language)),
                };
                for part in [Part::HeldOutWording, Part::HeldOutForm] {
                    let question =
                        self.own_words(&item.scene, intent, Some(query), part, language, &mut random);
                    if let (Some(question), Some(answer)) = (question, &answer) {
                        worded.push(Worded { intent, language, part, question, answer: answer.clone() });
                    }
                }
            }
        }
        worded
    }

    /// Pictures that show nothing known, by turns things that have no name here, in a training style and in Twemoji's,
    /// and textures, none of them learnt from; each with a naming question in held-out words.
    ///
    /// # Panics
    ///
    /// If the drawings of strangers have not been loaded.
    pub fn unknown(&self, count: usize) -> Vec<UnknownItem> {
        let item = |index: usize| {
            let mut random = Random::new(0, stream::UNKNOWN, index as u64);
            let turn = index / 4;
            let (kind, scene) = match index % 4 {
                0 | 1 => ("things without a name here", Style::TRAIN[turn % Style::TRAIN.len()]),
                2 => ("the same in Twemoji's style", Style::Twemoji),
                _ => ("", Style::Noto),
            };
            let (kind, scene) = if kind.is_empty() {
                let patterns = [&Pattern::HELD_OUT[..], &[Pattern::Noise, Pattern::Blank]].concat();
                let pattern = patterns[turn % patterns.len()];
                (pattern.name(), textured_scene(pattern, &mut random))
            } else {
                let scene = self.strange_scene(scene, true, Variation::Layout, &mut random);
                (kind, scene.expect("every style draws some of them"))
            };
            let mut ask = |language: Language| {
                let part = [Part::HeldOutWording, Part::HeldOutForm][turn % 2];
                // A wording that names the kind of thing would give away that there is one.
                let gaps = Gaps::default();
                Phrasebook::of(language).ask(Intent::Naming, part, gaps, &mut random).unwrap_or_default()
            };
            UnknownItem { kind, scene, questions: ByLanguage::from_fn(&mut ask) }
        };
        (0..count).map(item).collect()
    }

    /// Questions that no picture answers, in held-out words, each with a picture of known things.
    pub fn outside(&self, count: usize) -> Vec<UnknownItem> {
        let item = |index: usize| {
            let mut random = Random::new(0, stream::OUTSIDE, index as u64);
            let kind = [Kind::Single, Kind::Mixed][index % 2];
            let scene =
                self.scene(kind, Style::TRAIN[index % Style::TRAIN.len()], Variation::Layout, &mut random);
            let part = [Part::HeldOutWording, Part::HeldOutForm][index / 2 % 2];
            let mut ask = |language: Language| {
                let phrases = Phrasebook::of(language);
                phrases.ask(Intent::Outside, part, Gaps::default(), &mut random).unwrap_or_default()
            };
            UnknownItem { kind: "outside", scene, questions: ByLanguage::from_fn(&mut ask) }
        };
        (0..count).map(item).collect()
    }
}
