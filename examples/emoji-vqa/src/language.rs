//! The six languages of Parrot's benchmark MMMB (paper, section 4), always in the same order.

use anyhow::Result;
pub use parrot_eval::Language;
use serde::{Deserialize, Serialize};

/// One value per language; in JSON an object with the six codes as keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ByLanguage<T> {
    /// English.
    pub en: T,
    /// Chinese.
    pub zh: T,
    /// Portuguese.
    pub pt: T,
    /// Arabic.
    pub ar: T,
    /// Turkish.
    pub tr: T,
    /// Russian.
    pub ru: T,
}

impl<T> ByLanguage<T> {
    /// The value of one language.
    pub const fn get(&self, language: Language) -> &T {
        match language {
            Language::En => &self.en,
            Language::Zh => &self.zh,
            Language::Pt => &self.pt,
            Language::Ar => &self.ar,
            Language::Tr => &self.tr,
            Language::Ru => &self.ru,
        }
    }

    /// Calls `value` once per language.
    pub fn from_fn(value: impl FnMut(Language) -> T) -> Self {
        let [en, zh, pt, ar, tr, ru] = Language::ALL.map(value);
        Self { en, zh, pt, ar, tr, ru }
    }

    /// Calls `value` once per language, in the order of [`Language::ALL`].
    ///
    /// # Errors
    ///
    /// The first error of `value`.
    pub fn try_from_fn(mut value: impl FnMut(Language) -> Result<T>) -> Result<Self> {
        Ok(Self {
            en: value(Language::En)?,
            zh: value(Language::Zh)?,
            pt: value(Language::Pt)?,
            ar: value(Language::Ar)?,
            tr: value(Language::Tr)?,
            ru: value(Language::Ru)?,
        })
    }

    /// The six values with their languages.
    pub fn iter(&self) -> impl Iterator<Item = (Language, &T)> {
        Language::ALL.into_iter().map(|language| (language, self.get(language)))
    }
}

/// A table row of six words, in the order of [`Language::ALL`].
pub(crate) const fn six(words: [&'static str; 6]) -> ByLanguage<&'static str> {
    let [en, zh, pt, ar, tr, ru] = words;
    ByLanguage { en, zh, pt, ar, tr, ru }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn get_follows_the_order_of_all() {
        let row = six(["en", "zh", "pt", "ar", "tr", "ru"]);
        assert!(row.iter().all(|(language, word)| language.code() == *word));
    }
}
