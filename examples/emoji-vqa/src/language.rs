//! The six languages of Parrot's benchmark MMMB (paper, section 4), always in the same order.

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

/// A language of the data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    En,
    /// Chinese, simplified.
    Zh,
    /// Portuguese, Brazilian.
    Pt,
    /// Arabic, modern standard.
    Ar,
    /// Turkish.
    Tr,
    /// Russian.
    Ru,
}

impl Language {
    /// All six, in the order that every array of six follows.
    pub const ALL: [Self; 6] = [Self::En, Self::Zh, Self::Pt, Self::Ar, Self::Tr, Self::Ru];

    /// The two-letter code, e.g. `pt`.
    pub fn code(self) -> &'static str {
        ["en", "zh", "pt", "ar", "tr", "ru"][self as usize]
    }

    /// The language of a two-letter code.
    ///
    /// # Errors
    ///
    /// When the code is none of the six.
    pub fn from_code(code: &str) -> Result<Self> {
        match Self::ALL.into_iter().find(|language| language.code() == code) {
            Some(language) => Ok(language),
            None => bail!("`{code}` is none of en, zh, pt, ar, tr, ru"),
        }
    }
}

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
    fn codes_round_trip_and_strangers_are_refused() {
        for language in Language::ALL {
            assert_eq!(Language::from_code(language.code()).unwrap(), language);
        }
        assert!(Language::from_code("de").unwrap_err().to_string().contains("de"));
    }

    #[test]
    fn get_follows_the_order_of_all() {
        let row = six(["en", "zh", "pt", "ar", "tr", "ru"]);
        assert!(row.iter().all(|(language, word)| language.code() == *word));
    }
}
