//! The languages that the benchmarks exist in, and what a name says about them.

use serde::{Deserialize, Serialize};

/// A language that the benchmarks exist in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Language {
    En,
    Zh,
    Pt,
    Ar,
    Tr,
    Ru,
}

impl Language {
    /// In the paper's order.
    pub const ALL: [Self; 6] = [Self::En, Self::Zh, Self::Pt, Self::Ar, Self::Tr, Self::Ru];

    /// Its ISO 639-1 code, e.g. `pt`.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Zh => "zh",
            Self::Pt => "pt",
            Self::Ar => "ar",
            Self::Tr => "tr",
            Self::Ru => "ru",
        }
    }

    /// The language that a file's name ends with: `mmmb_tr`, and `_cn` as well as `_zh` for Chinese.
    #[must_use]
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        let (_, code) = name.rsplit_once('_')?;
        let code = code.to_ascii_lowercase();
        let code = if code == "cn" { "zh" } else { &code };
        Self::ALL.into_iter().find(|language| language.code() == code)
    }
}

impl Language {
    /// The language whose words a kit's prompts end in when a dataset is run by this name: the last three characters,
    /// in lower case only. `MMMB_TR` ends in English.
    #[must_use]
    pub(crate) fn of_prompts(name: &str) -> Option<Self> {
        let is_lower =
            name.rsplit('_').next().is_some_and(|code| code.bytes().all(|byte| byte.is_ascii_lowercase()));
        Self::of_name(name).filter(|_| is_lower)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_which_language_it_is() {
        for (name, language) in [
            ("mmbench_dev_cn", Some(Language::Zh)),
            ("MMMB_zh", Some(Language::Zh)),
            ("mini_mmmb_ar", Some(Language::Ar)),
            ("POPE", None),
            ("my_set", None),
        ] {
            assert_eq!(Language::of_name(name), language, "{name}");
        }
        for (name, language) in [
            ("MMMB_tr", Some(Language::Tr)),
            ("MMMB_TR", None),
            ("MMBench_DEV_CN", None),
            ("x_cn", Some(Language::Zh)),
        ] {
            assert_eq!(Language::of_prompts(name), language, "{name}");
        }
    }
}
