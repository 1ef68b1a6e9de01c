//! Questions about a scene: first without any language, then in words.

use crate::{
    catalogue::{Catalogue, Category},
    colour::Colour,
    holdout::Composition,
    language::Language,
    random::Random,
    scene::{Corner, Scene},
    wording::{Wording, fill},
};

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Task {
    /// What is this? (a picture of one thing)
    Naming,
    /// What kind of thing is it? (a picture of one thing)
    Category,
    /// Is x in the picture?
    Exist,
    /// How many times is x in the picture?
    Count,
    /// What colour is behind x?
    Colour,
    /// What is at the top left?
    Corner,
    /// What is to the right of x?
    RightOf,
    /// What is above x?
    Above,
}

impl Task {
    /// All eight, in the order of task weights.
    pub const ALL: [Self; 8] = [
        Self::Naming,
        Self::Category,
        Self::Exist,
        Self::Count,
        Self::Colour,
        Self::Corner,
        Self::RightOf,
        Self::Above,
    ];
}

/// How the answer is to be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Form {
    /// In the words of one of the listed options.
    Choice,
    /// In words, in the language of the question.
    Open,
}

/// An answer without a language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Fact {
    Concept(usize),
    Category(Category),
    Colour(Colour),
    Number(usize),
    Truth(bool),
}

impl Fact {
    /// The answer in words. Numbers are digits in every language.
    pub fn text(self, catalogue: &Catalogue, language: Language) -> String {
        match self {
            Self::Concept(concept) => catalogue.name(concept, language).to_owned(),
            Self::Category(category) => catalogue.label(category, language).to_owned(),
            Self::Colour(colour) => colour.name(language).to_owned(),
            Self::Number(number) => number.to_string(),
            Self::Truth(truth) => Wording::of(language).truth[usize::from(!truth)].to_owned(),
        }
    }
}

/// A question without a language. In all six it asks the same and has the same options in the same order.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// What is asked.
    pub task: Task,
    /// The thing that the question names, if it names one.
    pub subject: Option<usize>,
    /// The corner that the question names, if it names one.
    pub corner: Option<Corner>,
    /// The colour that the question names, if it names one.
    pub colour: Option<Colour>,
    /// The kind of thing that the question names, if it names one.
    pub kind: Option<Category>,
    /// The right answer.
    pub answer: Fact,
    /// Three wrong ones; one for yes or no.
    pub distractors: Vec<Fact>,
    /// Which of the paraphrases, modulo their number.
    pub paraphrase: usize,
    /// Which combination of things has to be seen to answer; decides whether the question is held out.
    pub composition: Option<Composition>,
}

/// A question and its answer, in words.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// What is asked.
    pub task: Task,
    /// How the answer is to be given.
    pub form: Form,
    /// The question alone.
    pub question: String,
    /// What can be chosen from, without letters; empty when the answer is open.
    pub options: Vec<String>,
    /// The letter of the right option, when there are options.
    pub letter: Option<char>,
    /// What follows the options, if anything, as in the prompts of MMMB.
    pub ending: Option<&'static str>,
    /// What the assistant says: the right answer in words, in either form.
    pub text: String,
}

impl Turn {
    /// What the user says: the question, then one line per option, as in MMMB: `A. cat`, and the ending.
    pub fn prompt(&self) -> String {
        let mut prompt = self.question.clone();
        for (letter, option) in ('A'..).zip(&self.options) {
            prompt += &format!("\n{letter}. {option}");
        }
        if let Some(ending) = self.ending {
            prompt += &format!("\n{ending}");
        }
        prompt
    }

    /// The same question with its options moved on by `by` places, for circular evaluation (MMBench).
    pub fn rotated(&self, by: usize) -> Self {
        let mut turn = self.clone();
        let count = turn.options.len();
        if let Some(letter) = turn.letter.filter(|_| count > 0) {
            turn.options.rotate_right(by % count);
            let place = (letter as usize - 'A' as usize + by) % count;
            turn.letter = Some(char::from(b'A' + place as u8));
        }
        turn
    }
}

impl Query {
    /// A question of a task about a scene, or none where the task does not apply. `pool` is what wrong names
    /// may be taken from.
    pub fn draw(
        task: Task,
        scene: &Scene,
        catalogue: &Catalogue,
        pool: &[usize],
        random: &mut Random,
    ) -> Option<Self> {
        let mut query = match task {
            Task::Naming | Task::Category => Self::about_single(task, scene, catalogue)?,
            Task::Exist => Self::exist(scene, catalogue, pool, random)?,
            Task::Count => Self::count(scene)?,
            Task::Colour => Self::colour(scene, random)?,
            Task::Corner => Self::corner(scene, random)?,
            Task::RightOf | Task::Above => Self::neighbour(task, scene, random)?,
        };
        query.paraphrase = random.below(6);
        query.distractors = query.distractors(scene, catalogue, pool, random);
        Some(query)
    }

    /// What the question names: a thing or a corner; empty where it names none.
    pub fn word<'a>(&self, catalogue: &'a Catalogue, language: Language) -> &'a str {
        let subject = self.subject.map(|concept| catalogue.name(concept, language));
        subject.or(self.corner.map(|corner| Wording::of(language).corner(corner))).unwrap_or_default()
    }

    /// The question in a language. In a choice the right option stands at `place`, modulo their number.
    pub fn turn(&self, catalogue: &Catalogue, language: Language, form: Form, place: usize) -> Turn {
        let wording = Wording::of(language);
        let frames = match self.task {
            Task::Naming => wording.naming,
            Task::Category => wording.category,
            Task::Exist => wording.exist,
            Task::Count => wording.count,
            Task::Colour if self.subject.is_none() => wording.background,
            Task::Colour => wording.colour,
            Task::Corner => wording.corner,
            Task::RightOf => wording.right_of,
            Task::Above => wording.above,
        };
        let question = fill(frames[self.paraphrase % frames.len()], &[self.word(catalogue, language)]);
        let text = self.answer.text(catalogue, language);

        let mut options = Vec::new();
        let mut letter = None;
        if form == Form::Choice {
            let place = place % (self.distractors.len() + 1);
            options = self.distractors.iter().map(|fact| fact.text(catalogue, language)).collect();
            options.insert(place, text.clone());
            letter = Some(char::from(b'A' + place as u8));
        }
        Turn { task: self.task, form, question, options, letter, ending: None, text }
    }

    /// A question that names nothing and whose answer no picture decides.
    pub(crate) fn about(task: Task, answer: Fact) -> Self {
        Self::new(task, answer, None)
    }

    fn new(task: Task, answer: Fact, composition: Option<Composition>) -> Self {
        Self {
            task,
            subject: None,
            corner: None,
            colour: None,
            kind: None,
            answer,
            distractors: Vec::new(),
            paraphrase: 0,
            composition,
        }
    }

    fn about_single(task: Task, scene: &Scene, catalogue: &Catalogue) -> Option<Self> {
        let concept = scene.concept_at(0).filter(|_| !scene.is_grid())?;
        let answer = match task {
            Task::Naming => Fact::Concept(concept),
            _ => Fact::Category(catalogue.concepts[concept].category),
        };
        Some(Self::new(task, answer, Composition::on_ground(scene, 0, concept)))
    }

    /// Yes and no are equally likely. What is absent is often of the category of something present.
    fn exist(scene: &Scene, catalogue: &Catalogue, pool: &[usize], random: &mut Random) -> Option<Self> {
        let present: Vec<(usize, usize)> = scene.objects().map(|(place, o)| (place, o.concept)).collect();
        if present.is_empty() {
            return None;
        }
        let (place, seen) = random.choose(&present);
        let truth = random.chance(0.5);
        let subject = if truth {
            seen
        } else {
            let shown: Vec<usize> = present.iter().map(|(_, concept)| *concept).collect();
            *strangers(1, Some(seen), &shown, catalogue, pool, random).first()?
        };
        let ground = Composition::on_ground(scene, place, seen);
        let query = Self::new(Task::Exist, Fact::Truth(truth), ground);
        Some(Self { subject: Some(subject), ..query })
    }

    /// Asks for what is shown most often.
    fn count(scene: &Scene) -> Option<Self> {
        let objects = scene.objects().filter(|_| scene.is_grid());
        let (place, object) = objects.max_by_key(|(place, o)| (scene.count(o.concept), 4 - place))?;
        Some(Self::count_of(scene, place, object.concept))
    }

    /// How often any of the things is there. Asked for what is shown most often alone, one need not know what is asked for.
    pub(crate) fn count_any(scene: &Scene, random: &mut Random) -> Option<Self> {
        let mut shown: Vec<(usize, usize)> = scene.objects().map(|(place, o)| (o.concept, place)).collect();
        // Each thing once, however often it is there.
        shown.sort_unstable();
        shown.dedup_by_key(|(concept, _)| *concept);
        if !scene.is_grid() || shown.is_empty() {
            return None;
        }
        let (concept, place) = random.choose(&shown);
        Some(Self::count_of(scene, place, concept))
    }

    fn count_of(scene: &Scene, place: usize, concept: usize) -> Self {
        let count = scene.count(concept);
        let composition = match count {
            1 => Composition::on_ground(scene, place, concept),
            _ => Some(Composition::Count(concept, count)),
        };
        let query = Self::new(Task::Count, Fact::Number(count), composition);
        Self { subject: Some(concept), ..query }
    }

    fn colour(scene: &Scene, random: &mut Random) -> Option<Self> {
        let places: Vec<usize> =
            (0..scene.tiles.len()).filter(|place| scene.colour_at(*place).is_some()).collect();
        let (place, concept) = unique_object(scene, &places, random)?;
        let colour = scene.colour_at(place)?;
        let query = Self::new(Task::Colour, Fact::Colour(colour), Some(Composition::Ground(concept, colour)));
        Some(Self { subject: scene.is_grid().then_some(concept), ..query })
    }

    fn corner(scene: &Scene, random: &mut Random) -> Option<Self> {
        let places: Vec<usize> = scene.objects().map(|(place, _)| place).collect();
        if !scene.is_grid() || places.is_empty() {
            return None;
        }
        let place = random.choose(&places);
        let concept = scene.concept_at(place)?;
        let ground = Composition::on_ground(scene, place, concept);
        let query = Self::new(Task::Corner, Fact::Concept(concept), ground);
        Some(Self { corner: Some(Corner::ALL[place]), ..query })
    }

    fn neighbour(task: Task, scene: &Scene, random: &mut Random) -> Option<Self> {
        let beside = |place: usize| match task {
            Task::RightOf => scene.right_of(place),
            _ => scene.above(place),
        };
        let places: Vec<usize> = (0..scene.tiles.len()).filter(|place| beside(*place).is_some()).collect();
        let (place, subject) = unique_object(scene, &places, random)?;
        let answer = beside(place)?;
        let composition = match task {
            Task::RightOf => Composition::Beside(subject, answer),
            _ => Composition::Stacked(answer, subject),
        };
        let query = Self::new(task, Fact::Concept(answer), Some(composition));
        Some(Self { subject: Some(subject), ..query })
    }

    /// What is to the left of a thing, or below it: the neighbours of [`Task::RightOf`] and [`Task::Above`] the other way round.
    pub(crate) fn reversed(task: Task, scene: &Scene, random: &mut Random) -> Option<Self> {
        let neighbour = |place: usize| match task {
            Task::RightOf => (place % 2 == 1).then(|| place - 1),
            _ => (place < 2).then_some(place + 2),
        };
        let beside = |place: usize| scene.concept_at(neighbour(place)?).filter(|_| scene.is_grid());
        let places: Vec<usize> = (0..scene.tiles.len()).filter(|place| beside(*place).is_some()).collect();
        let (place, subject) = unique_object(scene, &places, random)?;
        let answer = beside(place)?;
        let composition = match task {
            Task::RightOf => Composition::Beside(answer, subject),
            _ => Composition::Stacked(subject, answer),
        };
        let query = Self::new(task, Fact::Concept(answer), (subject != answer).then_some(composition));
        Some(Self { subject: Some(subject), ..query })
    }

    /// Which thing stands on a colour.
    pub(crate) fn on_colour(scene: &Scene, random: &mut Random) -> Option<Self> {
        let on = |place: usize| Some((scene.colour_at(place)?, scene.concept_at(place)?));
        let found: Vec<(Colour, usize)> = (0..scene.tiles.len()).filter_map(on).collect();
        if !scene.is_grid() || found.is_empty() {
            return None;
        }
        let (colour, concept) = random.choose(&found);
        let ground = Composition::Ground(concept, colour);
        let query = Self::new(Task::Corner, Fact::Concept(concept), Some(ground));
        Some(Self { colour: Some(colour), ..query })
    }

    /// Whether there is a thing of a kind; yes and no are equally likely.
    pub(crate) fn exist_kind(scene: &Scene, catalogue: &Catalogue, random: &mut Random) -> Option<Self> {
        let kind_of = |concept: usize| catalogue.concepts[concept].category;
        let shown: Vec<Category> = scene.objects().map(|(_, object)| kind_of(object.concept)).collect();
        let truth = random.chance(0.5);
        // What grows may be eaten, and what is worn or played is a thing like others: nobody is told no about the nearest kinds.
        let near = |a: Category, b: Category| {
            use Category::{Clothing, Drink, Food, Nature, Object, Place, Plant, Sport};
            let edible = [Plant, Food, Drink, Nature];
            let things = [Object, Sport, Clothing, Place];
            a == b || [&edible[..], &things].iter().any(|kinds| kinds.contains(&a) && kinds.contains(&b))
        };
        let kinds: Vec<Category> = catalogue
            .categories
            .iter()
            .map(|entry| entry.category)
            // A fountain and a railway track are places, but nobody would call them that.
            .filter(|kind| *kind != Category::Place)
            .filter(|kind| if truth { shown.contains(kind) } else { !shown.iter().any(|s| near(*s, *kind)) })
            .collect();
        if shown.is_empty() || kinds.is_empty() {
            return None;
        }
        let query = Self::new(Task::Exist, Fact::Truth(truth), None);
        Some(Self { kind: Some(random.choose(&kinds)), ..query })
    }

    /// How many things there are in all.
    pub(crate) fn count_all(scene: &Scene) -> Option<Self> {
        let count = scene.objects().count();
        (count > 0).then(|| Self::new(Task::Count, Fact::Number(count), None))
    }

    /// Wrong answers that the picture itself suggests, filled up with others:
    /// other things of the picture, so that knowing what is in it does not suffice without knowing where;
    /// other colours of the picture; and for a picture of one thing, half the time things of its kind.
    fn distractors(
        &self,
        scene: &Scene,
        catalogue: &Catalogue,
        pool: &[usize],
        random: &mut Random,
    ) -> Vec<Fact> {
        match self.answer {
            Fact::Truth(truth) => vec![Fact::Truth(!truth)],
            Fact::Number(number) => {
                let mut others: Vec<Fact> = (1..=4).filter(|n| *n != number).map(Fact::Number).collect();
                random.shuffle(&mut others);
                others
            }
            Fact::Category(category) => {
                let all = catalogue.categories.iter().map(|entry| entry.category);
                let mut others: Vec<Fact> = all.filter(|c| *c != category).map(Fact::Category).collect();
                random.shuffle(&mut others);
                others.truncate(3);
                others
            }
            Fact::Colour(colour) => {
                let mut others = Colour::ALL;
                random.shuffle(&mut others);
                // Stable: colours of the picture first.
                others.sort_by_key(|other| {
                    !scene.tiles.iter().any(|tile| tile.ground.colour() == Some(*other))
                });
                let mut others: Vec<Fact> =
                    others.into_iter().filter(|other| *other != colour).map(Fact::Colour).take(3).collect();
                random.shuffle(&mut others);
                others
            }
            Fact::Concept(answer) => {
                let mut others: Vec<usize> = scene.objects().map(|(_, object)| object.concept).collect();
                others.sort_unstable();
                others.dedup();
                others.retain(|other| *other != answer && Some(*other) != self.subject);
                random.shuffle(&mut others);
                others.truncate(3);
                let near = random.chance(0.5).then_some(answer);
                let mut taken = others.clone();
                taken.extend([answer].into_iter().chain(self.subject));
                others.extend(strangers(3 - others.len(), near, &taken, catalogue, pool, random));
                random.shuffle(&mut others);
                others.into_iter().map(Fact::Concept).collect()
            }
        }
    }
}

/// A thing that is shown once and stands at one of the places.
fn unique_object(scene: &Scene, places: &[usize], random: &mut Random) -> Option<(usize, usize)> {
    let found: Vec<(usize, usize)> = scene
        .objects()
        .filter(|(place, object)| places.contains(place) && scene.count(object.concept) == 1)
        .map(|(place, object)| (place, object.concept))
        .collect();
    (!found.is_empty()).then(|| random.choose(&found))
}

/// Up to `count` concepts of the pool that are unlike each other and everything in `taken`; of the category
/// of `near` while there are such.
fn strangers(
    count: usize,
    near: Option<usize>,
    taken: &[usize],
    catalogue: &Catalogue,
    pool: &[usize],
    random: &mut Random,
) -> Vec<usize> {
    let mut found: Vec<usize> = Vec::new();
    let category = near.map(|near| catalogue.concepts[near].category);
    // Drawing at random suffices: pools are far larger than what is taken. The bound ends a hopeless search.
    for attempt in 0..400 {
        if found.len() == count {
            break;
        }
        let concept = random.choose(pool);
        let fits = attempt >= 200 || category.is_none_or(|c| catalogue.concepts[concept].category == c);
        let fresh = taken.iter().chain(&found).all(|other| !catalogue.alike(concept, *other));
        if fits && fresh {
            found.push(concept);
        }
    }
    found
}
