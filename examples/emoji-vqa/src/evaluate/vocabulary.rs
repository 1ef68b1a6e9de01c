//! Which language an answer is in.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalogue::Catalogue;
use crate::colour::Colour;
use crate::language::Language;
use crate::wording::Wording;
use crate::wording::grammar::Grammar;

/// What answers are made of, by language.
pub(crate) struct Words {
    /// Names of things, in all languages.
    names: BTreeSet<String>,
    /// Names, colours, yes and no.
    answers: BTreeMap<Language, BTreeSet<String>>,
    /// The single words of these, of kinds of things, of captions and of what is said instead of an answer.
    words: BTreeMap<Language, BTreeSet<String>>,
}

impl Words {
    pub(crate) fn new(catalogue: &Catalogue) -> Self {
        let answers = |language: Language| {
            let names =
                (0..catalogue.concepts.len()).map(|concept| catalogue.name(concept, language).to_string());
            let colours = Colour::ALL.into_iter().map(|colour| colour.name(language).to_string());
            let truth = Wording::of(language).truth.into_iter().map(str::to_string);
            names.chain(colours).chain(truth).collect::<BTreeSet<_>>()
        };
        let answers: BTreeMap<Language, BTreeSet<String>> =
            Language::ALL.into_iter().map(|language| (language, answers(language))).collect();
        let words = |language: Language| {
            let (wording, grammar) = (Wording::of(language), Grammar::of(language));
            let labels = catalogue.categories.iter().map(|entry| entry.label.get(language).as_str());
            let frames = [wording.caption, wording.labelled, grammar.unknown, grammar.outside_answer];
            let texts = answers[&language].iter().map(String::as_str).chain(labels);
            let texts = texts.chain(wording.corners).chain(frames);
            texts.flat_map(single_words).collect::<BTreeSet<_>>()
        };
        let words = Language::ALL.into_iter().map(|language| (language, words(language))).collect();
        let named = catalogue.concepts.iter().flat_map(|concept| concept.name.iter());
        Self { names: named.map(|(_, name)| name.clone()).collect(), answers, words }
    }

    /// Whether `text` is a word of another language and none of `language`; words that two languages share
    /// tell nothing.
    pub(crate) fn in_another_language(&self, text: &str, language: Language) -> bool {
        let is_word_of = |language: &Language| self.answers[language].contains(text);
        !is_word_of(&language) && self.answers.keys().any(is_word_of)
    }

    /// Whether a text of several words is rather in another language than in `language`: its letters are mostly of
    /// another script, or another language of the same script has more of its words.
    pub(crate) fn is_another_language(&self, text: &str, language: Language) -> bool {
        let written =
            |script: Script| text.chars().filter(|letter| Script::of(*letter) == Some(script)).count();
        let own = Script::of_language(language);
        if Script::ALL.into_iter().any(|script| written(script) > written(own)) {
            return true;
        }
        let known = |language: &Language| {
            single_words(text).filter(|word| self.words[language].contains(word)).count()
        };
        let rivals = Language::ALL.into_iter().filter(|other| Script::of_language(*other) == own);
        rivals.map(|rival| known(&rival)).max() > Some(known(&language))
    }

    /// Whether a text begins as captions and names do: with the name of a thing, in any language.
    pub(crate) fn begins_with_a_name(&self, text: &str) -> bool {
        self.names.iter().any(|name| {
            let rest = text.strip_prefix(name.as_str());
            rest.is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
        })
    }
}

fn single_words(text: &str) -> impl Iterator<Item = String> {
    text.split(|letter: char| !letter.is_alphanumeric() && letter != '\'')
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
}

/// What a language is written in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Script {
    Latin,
    Han,
    Arabic,
    Cyrillic,
}

impl Script {
    const ALL: [Self; 4] = [Self::Latin, Self::Han, Self::Arabic, Self::Cyrillic];

    fn of(letter: char) -> Option<Self> {
        match letter {
            '\u{0400}'..='\u{04ff}' => Some(Self::Cyrillic),
            '\u{0600}'..='\u{06ff}' => Some(Self::Arabic),
            '\u{4e00}'..='\u{9fff}' => Some(Self::Han),
            _ if letter.is_alphabetic() => Some(Self::Latin),
            _ => None,
        }
    }

    fn of_language(language: Language) -> Self {
        match language {
            Language::En | Language::Pt | Language::Tr => Self::Latin,
            Language::Zh => Self::Han,
            Language::Ar => Self::Arabic,
            Language::Ru => Self::Cyrillic,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn sentences_names_and_captions_are_in_their_own_language() {
        let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/emoji");
        let words = Words::new(&Catalogue::load(&assets).unwrap());
        for language in Language::ALL {
            let grammar = Grammar::of(language);
            for own in [grammar.unknown, grammar.outside_answer, Wording::of(language).truth[0], "3", ""] {
                assert!(!words.is_another_language(own, language), "{language:?}: {own}");
                assert!(!words.begins_with_a_name(grammar.unknown));
            }
            for other in Language::ALL.into_iter().filter(|other| *other != language) {
                assert!(words.is_another_language(grammar.unknown, other), "{language:?} for {other:?}");
            }
        }
        assert!(words.is_another_language("top left: cat on red", Language::Pt));
        assert!(words.is_another_language("köpek, kırmızı zemin", Language::En));
        assert!(!words.is_another_language("köpek, kırmızı zemin", Language::Tr));
        assert!(words.begins_with_a_name("elefante em fundo azul") && !words.begins_with_a_name("catalogue"));
    }
}
