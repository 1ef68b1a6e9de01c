//! What the questions sound like in six languages: the few templates that options, conversations and the benchmarks
//! use, and what people really type, in [`grammar`]. Each language has a file with both.
//!
//! In a template a name stands in quotation marks and is never inflected: every frame is built so that no case, gender,
//! article or plural depends on what is put in. Where a language would inflect, the frame brings its own
//! noun: Turkish `“kedi” resminin sağında`, Russian `справа от рисунка «кошка»`, Arabic `رمز «قطة»`.

mod arabic;
mod chinese;
mod english;
pub mod grammar;
mod pattern;
mod portuguese;
mod russian;
mod russian_names;
mod surface;
mod turkish;

use crate::{language::Language, scene::Corner};

/// The frames of one language; `{}` is where the name or the corner goes.
#[derive(Debug)]
pub struct Wording {
    /// Describe the picture: asks for the caption.
    pub describe: &'static str,
    /// Describe every thing: asks for one line per thing, in any order.
    pub relate: &'static str,
    /// What is this?
    pub naming: &'static [&'static str],
    /// What kind of thing is this?
    pub category: &'static [&'static str],
    /// Is there “…” in the picture?
    pub exist: &'static [&'static str],
    /// How many times does “…” appear?
    pub count: &'static [&'static str],
    /// What color is behind “…”?
    pub colour: &'static [&'static str],
    /// What color is the background? For a picture of one thing, which must not be named.
    pub background: &'static [&'static str],
    /// What is at the top left?
    pub corner: &'static [&'static str],
    /// What is to the right of “…”?
    pub right_of: &'static [&'static str],
    /// What is above “…”?
    pub above: &'static [&'static str],
    /// The corners, in the order of [`Corner::ALL`].
    pub corners: [&'static str; 4],
    /// Yes and no.
    pub truth: [&'static str; 2],
    /// The caption of one thing: name, then colour.
    pub caption: &'static str,
    /// A line of the caption of a grid: corner, then caption.
    pub labelled: &'static str,
    /// Goes on after a caption: what is to the right.
    pub and_right: &'static str,
    /// Goes on after a caption: what is above.
    pub and_above: &'static str,
}

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

    /// The word for a corner.
    pub fn corner(&self, corner: Corner) -> &'static str {
        self.corners[corner as usize]
    }

    /// Every frame, for the tokenizer.
    pub fn frames(&self) -> impl Iterator<Item = &'static str> {
        [
            self.naming,
            self.category,
            self.exist,
            self.count,
            self.colour,
            self.background,
            self.corner,
            self.right_of,
            self.above,
        ]
        .into_iter()
        .flatten()
        .copied()
    }
}

/// Puts the words in for the `{}` of a frame, one after the other.
pub fn fill(frame: &str, words: &[&str]) -> String {
    let mut parts = frame.split("{}");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for (word, part) in words.iter().zip(parts) {
        text += word;
        text += part;
    }
    text
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
