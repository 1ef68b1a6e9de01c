//! The patterns of a language: how each task is asked for, how names are put in, how questions are typed.

use super::surface::Surface;
use crate::catalogue::Category;
use crate::colour::Colour;

/// What a wording asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Intent {
    /// What is this?
    Naming,
    /// What kind of thing is it?
    Category,
    /// Is x in the picture?
    Exist,
    /// How many x are there?
    Count,
    /// What colour is behind x?
    Colour,
    /// What colour is the background? (a picture of one thing)
    Background,
    /// What is at the top left?
    Corner,
    /// What is to the right of x?
    RightOf,
    /// What is above x?
    Above,
    /// What is to the left of x?
    LeftOf,
    /// What is below x?
    Below,
    /// What is on the red ground?
    OnColour,
    /// Is there an animal in the picture?
    ExistKind,
    /// How many things are there?
    CountAll,
    /// Describe the picture.
    Describe,
    /// Anything that a picture of this data set does not answer.
    Outside,
}

impl Intent {
    /// All sixteen.
    pub const ALL: [Self; 16] = [
        Self::Naming,
        Self::Category,
        Self::Exist,
        Self::Count,
        Self::Colour,
        Self::Background,
        Self::Corner,
        Self::RightOf,
        Self::Above,
        Self::LeftOf,
        Self::Below,
        Self::OnColour,
        Self::ExistKind,
        Self::CountAll,
        Self::Describe,
        Self::Outside,
    ];

    /// Whether no template asks for it.
    pub fn is_further(self) -> bool {
        matches!(self, Self::LeftOf | Self::Below | Self::OnColour | Self::ExistKind | Self::CountAll)
    }

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Naming => "naming",
            Self::Category => "category",
            Self::Exist => "exist",
            Self::Count => "count",
            Self::Colour => "colour",
            Self::Background => "background",
            Self::Corner => "corner",
            Self::RightOf => "right of",
            Self::Above => "above",
            Self::LeftOf => "left of",
            Self::Below => "below",
            Self::OnColour => "on colour",
            Self::ExistKind => "exist kind",
            Self::CountAll => "count all",
            Self::Describe => "describe",
            Self::Outside => "outside",
        }
    }
}

/// The patterns of one language.
#[derive(Debug)]
pub struct Grammar {
    /// [`Intent::Naming`]
    pub naming: &'static [&'static str],
    /// [`Intent::Category`]
    pub category: &'static [&'static str],
    /// [`Intent::Exist`]
    pub exist: &'static [&'static str],
    /// [`Intent::Count`]
    pub count: &'static [&'static str],
    /// [`Intent::Colour`]
    pub colour: &'static [&'static str],
    /// [`Intent::Background`]
    pub background: &'static [&'static str],
    /// [`Intent::Corner`]
    pub corner: &'static [&'static str],
    /// [`Intent::RightOf`]
    pub right_of: &'static [&'static str],
    /// [`Intent::Above`]
    pub above: &'static [&'static str],
    /// [`Intent::LeftOf`]
    pub left_of: &'static [&'static str],
    /// [`Intent::Below`]
    pub below: &'static [&'static str],
    /// [`Intent::OnColour`]; `{col…}` is the colour.
    pub on_colour: &'static [&'static str],
    /// [`Intent::ExistKind`]; `{kind…}` is what kind of thing.
    pub exist_kind: &'static [&'static str],
    /// [`Intent::CountAll`]
    pub count_all: &'static [&'static str],
    /// [`Intent::Describe`]
    pub describe: &'static [&'static str],
    /// [`Intent::Outside`]
    pub outside: &'static [&'static str],
    /// Patterns for `{c}`, in the order of [`Corner::ALL`](crate::scene::Corner::ALL).
    pub corners: [&'static str; 4],
    /// For `{k}`, in the order in which [`Category`] is declared; empty where nobody would say it.
    pub kinds: [&'static str; 11],
    /// What people call a thing whose name in the catalogue is another.
    pub synonyms: &'static [(&'static str, &'static [&'static str])],
    /// A name in a form that only this language has; `None` where the name has no such form.
    pub form: fn(name: &str, form: &str) -> Option<String>,
    /// The word for a colour in a form whose name begins with `col`; `None` where there is none.
    pub colour_form: fn(colour: Colour, form: &str) -> Option<String>,
    /// The word for a kind of thing in a form whose name begins with `kind`; `None` where nobody would say it.
    pub kind_form: fn(kind: Category, form: &str) -> Option<String>,
    /// How it is typed.
    pub surface: Surface,
    /// The answer about a picture that shows nothing known.
    pub unknown: &'static str,
    /// The answer to a question outside the tasks.
    pub outside_answer: &'static str,
}

impl Grammar {
    /// The patterns of an intent.
    pub(super) fn patterns(&self, intent: Intent) -> &'static [&'static str] {
        match intent {
            Intent::Naming => self.naming,
            Intent::Category => self.category,
            Intent::Exist => self.exist,
            Intent::Count => self.count,
            Intent::Colour => self.colour,
            Intent::Background => self.background,
            Intent::Corner => self.corner,
            Intent::RightOf => self.right_of,
            Intent::Above => self.above,
            Intent::LeftOf => self.left_of,
            Intent::Below => self.below,
            Intent::OnColour => self.on_colour,
            Intent::ExistKind => self.exist_kind,
            Intent::CountAll => self.count_all,
            Intent::Describe => self.describe,
            Intent::Outside => self.outside,
        }
    }
}
