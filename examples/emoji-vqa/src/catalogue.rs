//! `concepts.json`: what can be shown, what it is called in six languages, and who has drawn it.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::language::{ByLanguage, Language};

/// A family of drawings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Style {
    /// Noto Emoji, Google.
    Noto,
    /// Noto Emoji of the blob years, Google.
    NotoV1,
    /// Fluent UI Emoji, flat, Microsoft.
    FluentEmojiFlat,
    /// Fluent UI Emoji with gradients, Microsoft.
    FluentEmoji,
    /// EmojiOne 2.3.
    Emojione,
    /// FxEmojis, Mozilla.
    Fxemoji,
    /// Streamline Emojis.
    StreamlineEmojis,
    /// Twemoji: never trained on, the near test of unseen drawings.
    Twemoji,
    /// OpenMoji: never trained on (share-alike licence), the far test of unseen drawings.
    Openmoji,
}

impl Style {
    /// All nine.
    pub const ALL: [Self; 9] = [
        Self::Noto,
        Self::NotoV1,
        Self::FluentEmojiFlat,
        Self::FluentEmoji,
        Self::Emojione,
        Self::Fxemoji,
        Self::StreamlineEmojis,
        Self::Twemoji,
        Self::Openmoji,
    ];

    /// The styles that training pictures are made from.
    pub const TRAIN: [Self; 7] = [
        Self::Noto,
        Self::NotoV1,
        Self::FluentEmojiFlat,
        Self::FluentEmoji,
        Self::Emojione,
        Self::Fxemoji,
        Self::StreamlineEmojis,
    ];

    /// The name in `concepts.json`, which is also the name of the Iconify package.
    pub fn name(self) -> &'static str {
        match self {
            Self::Noto => "noto",
            Self::NotoV1 => "noto-v1",
            Self::FluentEmojiFlat => "fluent-emoji-flat",
            Self::FluentEmoji => "fluent-emoji",
            Self::Emojione => "emojione",
            Self::Fxemoji => "fxemoji",
            Self::StreamlineEmojis => "streamline-emojis",
            Self::Twemoji => "twemoji",
            Self::Openmoji => "openmoji",
        }
    }

    /// The sprite sheet, relative to the folder of `concepts.json`. OpenMoji lies apart from the rest
    /// because its licence is share-alike.
    pub fn sheet(self) -> String {
        match self {
            Self::Openmoji => "openmoji/openmoji.png".into(),
            other => format!("{}.png", other.name()),
        }
    }
}

/// What kind of thing a concept is: the answer to the category question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Category {
    Animal,
    Plant,
    Food,
    Drink,
    Vehicle,
    Place,
    Nature,
    Sport,
    Clothing,
    Music,
    Object,
}

/// A category and its word in six languages.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CategoryLabel {
    /// The category.
    pub category: Category,
    /// Its word, e.g. `animal`.
    pub label: ByLanguage<String>,
}

/// One thing that can be shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Concept {
    /// The emoji itself.
    pub emoji: String,
    /// Its code points in hexadecimal, joined by `-`, without the variation selector: `1f9f8`.
    pub code: String,
    /// The subgroup of the Unicode emoji list, e.g. `animal-mammal`.
    pub subgroup: String,
    /// The category, derived from the subgroup.
    pub category: Category,
    /// True for the concepts that the default model is trained on.
    pub core: bool,
    /// The CLDR short name.
    pub name: ByLanguage<String>,
    /// A few CLDR keywords.
    pub keywords: ByLanguage<Vec<String>>,
    /// The styles that have a drawing.
    pub styles: Vec<Style>,
    /// Codes of concepts whose drawings can be mistaken for this one: never offered against each other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub look_alikes: Vec<String>,
}

/// The content of `concepts.json`.
///
/// Concept `i` is drawn in cell `i` of every sprite sheet, counted in reading order; the cell of a style
/// without a drawing is empty. Core concepts come first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Catalogue {
    /// Edge of a sprite in pixels.
    pub sprite: u32,
    /// Sprites per row of a sheet.
    pub columns: u32,
    /// The categories' words.
    pub categories: Vec<CategoryLabel>,
    /// The concepts.
    pub concepts: Vec<Concept>,
}

impl Catalogue {
    /// Reads `concepts.json` from a folder.
    ///
    /// # Errors
    ///
    /// When the file is missing, is not JSON of this form, or contradicts itself (no concepts, a core
    /// concept behind one that is not, a category without a word).
    pub fn load(folder: &Path) -> Result<Self> {
        let path = folder.join("concepts.json");
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let catalogue: Self =
            serde_json::from_str(&text).with_context(|| format!("{} is no catalogue", path.display()))?;
        catalogue.check().with_context(|| format!("{} contradicts itself", path.display()))?;
        Ok(catalogue)
    }

    /// Number of core concepts; they are `concepts[..core_count()]`.
    pub fn core_count(&self) -> usize {
        self.concepts.iter().take_while(|concept| concept.core).count()
    }

    /// The word for a category.
    ///
    /// # Panics
    ///
    /// When the category has no word, which [`Catalogue::load`] rules out.
    pub fn label(&self, category: Category, language: Language) -> &str {
        let entry = self.categories.iter().find(|entry| entry.category == category);
        entry.expect("load checks that every category has a word").label.get(language)
    }

    /// What a concept is called.
    pub fn name(&self, concept: usize, language: Language) -> &str {
        self.concepts[concept].name.get(language)
    }

    /// Whether two concepts are the same or could be mistaken for each other.
    pub fn alike(&self, a: usize, b: usize) -> bool {
        a == b || self.concepts[a].look_alikes.contains(&self.concepts[b].code)
    }

    fn check(&self) -> Result<()> {
        ensure!(self.sprite > 0 && self.columns > 0, "sprite and columns must be positive");
        ensure!(!self.concepts.is_empty(), "there are no concepts");
        let core = self.core_count();
        for concept in &self.concepts[core..] {
            ensure!(!concept.core, "core concept {} stands behind one that is not", concept.code);
        }
        for concept in &self.concepts {
            let known = self.categories.iter().any(|entry| entry.category == concept.category);
            ensure!(known, "category {:?} of {} has no word", concept.category, concept.code);
        }
        Ok(())
    }
}
