//! What people really type: hundreds of wordings per task and language, unfolded from patterns that were written by
//! hand, one table per language.
//!
//! A pattern like `(what|which) colo(|u)r is behind {the}` stands for all its readings. The readings of one pattern are
//! a *form* of asking. In a reading, braces say what is put in: `{x}` the name, bare or in any quotation marks, `{q}`
//! the name in quotation marks, `{c}` where in the picture, `{k}` the kind of thing (`what animal is this`), `{col…}` a colour
//! and `{kind…}` a kind of thing in a form that the language needs, and what else a language's own table of names knows: `{a}` English `a cat`, `{gen}` Russian `кошки`. A `!` before a pattern
//! says that it suits a picture of one thing only, a full stop at its end that it is a request and no question.
//!
//! About an eighth of the forms and a tenth of the other readings are never trained on ([`Part`]); which ones, a hash of
//! their text decides.

use std::collections::HashSet;
use std::sync::LazyLock;

use crate::catalogue::Category;
use crate::colour::Colour;
use crate::language::{ByLanguage, Language};
use crate::random::{Random, stable_hash};
use crate::scene::Corner;

use super::grammar::{Grammar, Intent};
use super::pattern::readings;
use super::surface::type_out;

/// What a wording may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// To learn from.
    Trained,
    /// To measure with: another reading of a form that is learnt from.
    HeldOutWording,
    /// To measure with: no reading of this form is learnt from.
    HeldOutForm,
}

/// One reading of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// With its gaps in braces.
    pub text: String,
    /// Whether it may be learnt from.
    pub part: Part,
    /// Suits a picture of one thing only.
    pub alone: bool,
    /// Asks for something without being a question.
    pub request: bool,
}

/// What a question puts into the gaps.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gaps<'a> {
    /// The thing that it names.
    pub name: &'a str,
    /// Where in the picture.
    pub corner: Option<Corner>,
    /// The colour that it names.
    pub colour: Option<Colour>,
    /// What kind of thing the picture shows, or the question names.
    pub category: Option<Category>,
    /// Whether the picture shows one thing.
    pub alone: bool,
}

/// All readings of one language.
#[derive(Debug)]
pub struct Phrasebook {
    language: Language,
    /// By intent, then by form.
    forms: Vec<Vec<Vec<Reading>>>,
}

impl Phrasebook {
    /// The phrasebook of a language, unfolded when it is first asked for.
    pub fn of(language: Language) -> &'static Self {
        static BOOKS: LazyLock<ByLanguage<Phrasebook>> =
            LazyLock::new(|| ByLanguage::from_fn(Phrasebook::unfold));
        BOOKS.get(language)
    }

    fn unfold(language: Language) -> Self {
        let grammar = Grammar::of(language);
        let forms = Intent::ALL.map(|intent| {
            let patterns = grammar.patterns(intent);
            let hash = |text: &str| stable_hash(&format!("{}|{}|{text}", language.code(), intent.name()));
            let mut by_hash: Vec<&str> = patterns.to_vec();
            by_hash.sort_by_key(|pattern| hash(pattern));
            let held_out = &by_hash[..(patterns.len() / 8).max(1)];
            let mut seen = HashSet::new();
            // Held-out forms first: a reading that a trained form has as well stays held out.
            let mut order: Vec<&str> = patterns.to_vec();
            order.sort_by_key(|pattern| !held_out.contains(pattern));
            let form = |pattern: &str| {
                let (body, alone) = pattern.strip_prefix('!').map_or((pattern, false), |body| (body, true));
                let (body, request) = body.strip_suffix('.').map_or((body, false), |body| (body, true));
                let mut texts = readings(body);
                texts.retain(|text| seen.insert(text.clone()));
                let part = |text: &str| {
                    if held_out.contains(&pattern) {
                        Part::HeldOutForm
                    } else if hash(text).is_multiple_of(10) {
                        Part::HeldOutWording
                    } else {
                        Part::Trained
                    }
                };
                let reading = |text: String| Reading { part: part(&text), text, alone, request };
                texts.into_iter().map(reading).collect::<Vec<_>>()
            };
            order.into_iter().map(form).filter(|form| !form.is_empty()).collect()
        });
        Self { language, forms: forms.into() }
    }

    /// Every reading of an intent.
    pub fn readings(&self, intent: Intent) -> impl Iterator<Item = &Reading> {
        self.forms[intent as usize].iter().flatten()
    }

    /// A question as somebody might type it: a form, a reading of it, and the way it is typed, all at random. `None`
    /// where no reading of this part fits the gaps; in [`Part::Trained`] one fits every core concept.
    pub fn ask(&self, intent: Intent, part: Part, gaps: Gaps<'_>, random: &mut Random) -> Option<String> {
        let grammar = Grammar::of(self.language);
        let forms = &self.forms[intent as usize];
        // Forms count alike, however many readings they have. The bound ends a hopeless search.
        (0..1000).find_map(|_| {
            let form = &forms[random.below(forms.len())];
            let reading = &form[random.below(form.len())];
            let suits = reading.part == part && (gaps.alone || !reading.alone);
            let text = suits.then(|| fill(&reading.text, grammar, gaps, random))??;
            Some(type_out(&text, reading.request, &grammar.surface, random))
        })
    }
}

/// Puts words into the gaps of a reading; `None` where a gap has none.
fn fill(reading: &str, grammar: &Grammar, gaps: Gaps<'_>, random: &mut Random) -> Option<String> {
    let mut text = String::with_capacity(reading.len() + 16);
    let mut rest = reading;
    while let Some(open) = rest.find('{') {
        let close = open + rest[open..].find('}')?;
        text += &rest[..open];
        text += &gap(&rest[open + 1..close], grammar, gaps, random)?;
        rest = &rest[close + 1..];
    }
    text += rest;
    Some(text)
}

/// The share of names that are given by what people call the thing instead of the catalogue.
const SYNONYMS: f32 = 0.5;

fn gap(slot: &str, grammar: &Grammar, gaps: Gaps<'_>, random: &mut Random) -> Option<String> {
    match slot {
        "c" => {
            let places = readings(grammar.corners[gaps.corner? as usize]);
            Some(places[random.below(places.len())].clone())
        }
        "k" => {
            Some(grammar.kinds[gaps.category? as usize]).filter(|kind| !kind.is_empty()).map(str::to_owned)
        }
        form if form.starts_with("col") => (grammar.colour_form)(gaps.colour?, form),
        form if form.starts_with("kind") => (grammar.kind_form)(gaps.category?, form),
        _ if gaps.name.is_empty() => None,
        _ => {
            let synonyms =
                grammar.synonyms.iter().find(|(name, _)| *name == gaps.name).map(|(_, list)| *list);
            let name = match synonyms {
                Some(list) if random.chance(SYNONYMS) => random.choose(list),
                _ => gaps.name,
            };
            match slot {
                "x" if random.chance(0.5) => Some(name.to_owned()),
                "x" | "q" => {
                    let [open, close] = random.choose(grammar.surface.quotes);
                    Some(format!("{open}{name}{close}"))
                }
                form => (grammar.form)(name, form),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;
    use crate::catalogue::Catalogue;

    fn catalogue() -> Catalogue {
        Catalogue::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/emoji")).unwrap()
    }

    /// Lower case, letters and digits only: two questions that differ in nothing else are the same.
    fn bare(text: &str) -> String {
        text.to_lowercase()
            .chars()
            .filter(|letter| letter.is_alphanumeric() || "{}".contains(*letter))
            .collect()
    }

    #[test]
    fn every_wording_belongs_to_one_task() {
        for language in Language::ALL {
            let mut owner: BTreeMap<String, Intent> = BTreeMap::new();
            for intent in Intent::ALL {
                for reading in Phrasebook::of(language).readings(intent) {
                    let other = owner.insert(bare(&reading.text), intent);
                    assert!(
                        other.is_none_or(|other| other == intent),
                        "{language:?} {intent:?} {other:?}: {}",
                        reading.text
                    );
                }
            }
        }
    }

    #[test]
    fn there_are_hundreds_of_wordings_and_some_of_each_task_are_held_out() {
        for language in Language::ALL {
            for intent in Intent::ALL {
                let readings: Vec<&Reading> = Phrasebook::of(language).readings(intent).collect();
                let share = |part: Part| readings.iter().filter(|reading| reading.part == part).count();
                let (wordings, forms) = (share(Part::HeldOutWording), share(Part::HeldOutForm));
                // A corner has several names, which all go into every reading.
                let places = super::readings(Grammar::of(language).corners[0]).len();
                let ways = readings.len() * if intent == Intent::Corner { places } else { 1 };
                assert!(ways >= 100, "{language:?} {intent:?}: {ways}");
                assert!(wordings >= 5 && forms >= 1, "{language:?} {intent:?}: {wordings} {forms}");
                assert!(
                    2 * (wordings + forms) < readings.len(),
                    "{language:?} {intent:?}: {wordings} {forms}"
                );
            }
        }
    }

    #[test]
    fn every_core_concept_can_be_asked_about_in_every_part() {
        let catalogue = catalogue();
        for language in Language::ALL {
            let grammar = Grammar::of(language);
            for (at, concept) in catalogue.concepts[..catalogue.core_count()].iter().enumerate() {
                let mut random = Random::new(0, 0, at as u64);
                let name = concept.name.get(language);
                let corner = Some(Corner::ALL[at % 4]);
                let category = Some(concept.category);
                let colour = Some(Colour::ALL[at % 8]);
                let gaps = Gaps { name, corner, colour, category, alone: at % 2 == 0 };
                for intent in Intent::ALL {
                    if intent == Intent::ExistKind && (grammar.kind_form)(concept.category, "kind").is_none()
                    {
                        continue;
                    }
                    let mut ask = |part| Phrasebook::of(language).ask(intent, part, gaps, &mut random);
                    let trained = ask(Part::Trained);
                    assert!(trained.is_some(), "{language:?} {intent:?}: nothing asks for {name}");
                    for text in
                        [trained, ask(Part::HeldOutWording), ask(Part::HeldOutForm)].into_iter().flatten()
                    {
                        assert!(!text.contains(['{', '}', '(', '|']), "{language:?} {intent:?}: {text}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_form_of_a_name_is_one_that_the_language_has() {
        let catalogue = catalogue();
        for language in Language::ALL {
            let grammar = Grammar::of(language);
            let slots: HashSet<String> = Intent::ALL
                .into_iter()
                .flat_map(|intent| Phrasebook::of(language).readings(intent))
                .flat_map(|reading| {
                    reading
                        .text
                        .split('{')
                        .skip(1)
                        .map(|tail| tail.split('}').next().unwrap().to_owned())
                        .collect::<Vec<_>>()
                })
                .filter(|slot| !["x", "q", "c", "k"].contains(&slot.as_str()))
                .filter(|slot| !slot.starts_with("col") && !slot.starts_with("kind"))
                .collect();
            let core = &catalogue.concepts[..catalogue.core_count()];
            for slot in &slots {
                let with_form =
                    core.iter().filter(|concept| (grammar.form)(concept.name.get(language), slot).is_some());
                let count = with_form.count();
                assert!(2 * count > core.len(), "{language:?}: {count} names have the form {slot}");
            }
            let names: HashSet<&str> =
                catalogue.concepts.iter().map(|concept| concept.name.get(language).as_str()).collect();
            for (name, _) in grammar.synonyms {
                assert!(names.contains(name), "{language:?}: nothing is called {name}");
            }
        }
    }

    /// Among the things that the default model knows, and among all of them but for what those are called in short: a red
    /// apple is an apple where no other is known.
    #[test]
    fn no_thing_is_called_what_another_one_is() {
        let catalogue = catalogue();
        for language in Language::ALL {
            let synonyms = Grammar::of(language).synonyms;
            let (core, others) = catalogue.concepts.split_at(catalogue.core_count());
            for known in [core, others] {
                let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
                for concept in known {
                    let name = concept.name.get(language).as_str();
                    let lists = synonyms.iter().filter(|(other, _)| *other == name);
                    for called in lists.flat_map(|(_, list)| list.iter().copied()).chain([name]) {
                        let other = owners.insert(called, name);
                        assert!(
                            other.is_none(),
                            "{language:?}: {other:?} and {name} are both called {called}"
                        );
                    }
                }
            }
        }
    }
}
