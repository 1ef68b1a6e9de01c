//! What the questions sound like in six languages: the few templates that options, conversations and the benchmarks
//! use, and what people really type, in [`phrasebook`]. Each language has a file with both.
//!
//! In a template a name stands in quotation marks and is never inflected: every frame is built so that no case, gender,
//! article or plural depends on what is put in. Where a language would inflect, the frame brings its own
//! noun: Turkish `“kedi” resminin sağında`, Russian `справа от рисунка «кошка»`, Arabic `رمز «قطة»`.

mod arabic;
mod arabic_names;
mod chinese;
mod chinese_names;
mod english;
mod english_names;
mod frames;
pub mod grammar;
mod pattern;
pub mod phrasebook;
mod portuguese;
mod portuguese_names;
mod russian;
mod russian_names;
mod surface;
mod turkish;
mod turkish_names;

use crate::language::Language;

use grammar::Grammar;

pub use frames::{Wording, fill};

impl Wording {
    /// The frames of a language.
    pub fn of(language: Language) -> &'static Self {
        match language {
            Language::En => &english::TEMPLATES,
            Language::Zh => &chinese::TEMPLATES,
            Language::Pt => &portuguese::TEMPLATES,
            Language::Ar => &arabic::TEMPLATES,
            Language::Tr => &turkish::TEMPLATES,
            Language::Ru => &russian::TEMPLATES,
        }
    }
}

impl Grammar {
    /// The grammar of a language.
    pub fn of(language: Language) -> &'static Self {
        match language {
            Language::En => &english::GRAMMAR,
            Language::Zh => &chinese::GRAMMAR,
            Language::Pt => &portuguese::GRAMMAR,
            Language::Ar => &arabic::GRAMMAR,
            Language::Tr => &turkish::GRAMMAR,
            Language::Ru => &russian::GRAMMAR,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_has_as_many_paraphrases_and_the_same_gaps() {
        let english = Wording::of(Language::En);
        for language in Language::ALL {
            let wording = Wording::of(language);
            let gaps =
                |wording: &Wording| wording.frames().map(|f| f.matches("{}").count()).collect::<Vec<_>>();
            assert_eq!(gaps(wording), gaps(english), "{language:?}");
            assert_eq!(wording.caption.matches("{}").count(), 2);
        }
    }

    #[test]
    fn no_two_frames_of_a_language_are_the_same() {
        for language in Language::ALL {
            let mut frames: Vec<_> = Wording::of(language).frames().collect();
            let all = frames.len();
            frames.sort_unstable();
            frames.dedup();
            assert_eq!(frames.len(), all, "{language:?}");
        }
    }

    #[test]
    fn names_stand_in_quotation_marks_and_questions_end_as_such() {
        for language in Language::ALL {
            let wording = Wording::of(language);
            let named = [wording.exist, wording.count, wording.colour, wording.right_of, wording.above];
            for frame in named.into_iter().flatten() {
                assert!(frame.contains("“{}”") || frame.contains("«{}»"), "{frame}");
            }
            assert!(wording.frames().all(|frame| frame.ends_with(['?', '？', '؟'])));
        }
    }

    #[test]
    fn fill_puts_words_in_order() {
        assert_eq!(fill("{} on {}", &["cat", "red"]), "cat on red");
        assert_eq!(fill("no gap", &[]), "no gap");
    }
}
