//! The language that a file is in, by the ending of its name.

use std::cmp::Ordering;

use serde::{Serialize, Serializer};

use crate::language::Language;

/// A language's code of ISO 639-1, e.g. `pt`. Those of the benchmarks come first, in the paper's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LanguageCode(&'static str);

/// All codes of ISO 639-1.
const CODES: &str = "aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee \
    el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka kg \
    ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv \
    ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw ta te tg th ti tk tl \
    tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu";

impl LanguageCode {
    /// The code.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.0
    }

    /// The language that a file's name ends with: `mmmb_tr`, `animals_fr`, and `_cn` as well as `_zh` for Chinese.
    #[must_use]
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        let (_, code) = name.rsplit_once('_')?;
        let code = code.to_ascii_lowercase();
        let code = if code == "cn" { "zh" } else { &code };
        CODES.split(' ').find(|known| *known == code).map(Self)
    }

    /// Whether it is written from right to left.
    #[must_use]
    pub(crate) fn is_right_to_left(self) -> bool {
        matches!(self.0, "ar" | "dv" | "fa" | "he" | "ks" | "ps" | "sd" | "ug" | "ur" | "yi")
    }

    /// Its place among those of the benchmarks; behind them for another one.
    fn place(self) -> usize {
        let place = Language::ALL.iter().position(|language| language.code() == self.0);
        place.unwrap_or(Language::ALL.len())
    }
}

impl From<Language> for LanguageCode {
    fn from(language: Language) -> Self {
        Self(language.code())
    }
}

impl Ord for LanguageCode {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place().cmp(&other.place()).then_with(|| self.0.cmp(other.0))
    }
}

impl PartialOrd for LanguageCode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Serialize for LanguageCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_which_language_it_is() {
        for (name, code) in [
            ("mmbench_dev_cn", Some("zh")),
            ("mini_mmmb_AR", Some("ar")),
            ("animals_fr", Some("fr")),
            ("my_set", None),
            ("MMMU_qa", None),
            ("POPE", None),
        ] {
            assert_eq!(LanguageCode::of_name(name).map(LanguageCode::code), code, "{name}");
        }
        let mut codes =
            ["de", "ru", "af", "en"].map(|code| LanguageCode::of_name(&format!("x_{code}")).unwrap());
        codes.sort();
        assert_eq!(codes.map(LanguageCode::code), ["en", "ru", "af", "de"]);
    }
}
