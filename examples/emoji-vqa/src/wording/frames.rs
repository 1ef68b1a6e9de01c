//! The few templates of each task in one language.

use crate::scene::Corner;

/// The frames of one language; `{}` is where the name or the corner goes.
#[derive(Debug)]
pub struct Wording {
    /// Describe the picture: asks for the caption.
    pub describe: &'static str,
    /// Describe every thing: asks for one line per thing, in any order.
    pub relate: &'static str,
    /// What is on which colour: asks for one line per colour, in any order.
    pub on_colours: &'static str,
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
