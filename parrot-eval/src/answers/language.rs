//! Whether an answer is in another language than the question.
//!
//! No kit asks that. Short answers say little about their language, so only what is sure is counted: an answer in another script,
//! or one that is long enough for its language to be told by its letters (crate `whatlang`). Words that the question, its options
//! or its expected answers have are nobody's language: names, `Yes`.

use std::collections::HashSet;

use whatlang::{Lang, Script};

use crate::data::row::Row;
use crate::language_code::LanguageCode;

/// Letters below which an answer says nothing: the letter of an option, a unit.
const FEWEST_LETTERS: usize = 4;

/// Whether an answer to a row is in words of another language than this one.
pub(crate) fn is_in_another_language(text: &str, row: &Row, language: LanguageCode) -> bool {
    let known = known_words(row);
    let own: Vec<&str> = words(text).filter(|word| !known.contains(&word.to_lowercase())).collect();
    let own = own.join(" ");
    let letters = own.chars().filter(|c| c.is_alphabetic()).count();
    // A character of these is a syllable or a word.
    let is_dense =
        |c: char| matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}');
    if letters < if own.chars().any(is_dense) { 2 } else { FEWEST_LETTERS } {
        return false;
    }
    let (Some(expected), Some(script)) = (whatlangs(language), whatlang::detect_script(&own)) else {
        return false;
    };
    if !scripts(expected).contains(&script) {
        return true;
    }
    whatlang::detect(text).is_some_and(|found| found.is_reliable() && found.lang() != expected)
}

/// The words of a row's texts, in lower case.
fn known_words(row: &Row) -> HashSet<String> {
    let texts = row.columns().filter(|(name, _)| *name != "category").filter_map(|(_, cell)| cell);
    let known = texts.flat_map(words).map(str::to_lowercase);
    known.chain(["yes".into(), "no".into()]).collect()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

/// The language as the crate names it; `None` for one that it does not know.
fn whatlangs(language: LanguageCode) -> Option<Lang> {
    const CODES: &str = "af afr am amh ar ara az aze be bel bg bul bn ben ca cat cs ces cy cym da dan de deu el ell en eng eo epo \
        es spa et est fa pes fi fin fr fra gu guj he heb hi hin hr hrv hu hun hy hye id ind it ita ja jpn jv jav ka kat km khm \
        kn kan ko kor la lat lt lit lv lav mk mkd ml mal mr mar my mya nb nob ne nep nl nld no nob or ori pa pan pl pol pt por ro \
        ron ru rus si sin sk slk sl slv sn sna sr srp sv swe ta tam te tel th tha tk tuk tl tgl tr tur uk ukr ur urd uz uzb vi \
        vie yi yid zh cmn zu zul";
    let mut codes = CODES.split(' ');
    while let (Some(code), Some(lang)) = (codes.next(), codes.next()) {
        if code == language.code() {
            return Lang::from_code(lang);
        }
    }
    None
}

/// What a language is written in.
fn scripts(language: Lang) -> Vec<Script> {
    match language {
        Lang::Jpn => vec![Script::Hiragana, Script::Katakana, Script::Mandarin],
        Lang::Srp | Lang::Aze | Lang::Uzb | Lang::Tuk => vec![Script::Cyrillic, Script::Latin],
        language => {
            Script::all().iter().copied().filter(|script| script.langs().contains(&language)).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_script_or_many_words_of_another_language_are_told() {
        let row = Row::from_cells(&[("question", "Qu'est-ce que NASA ?"), ("A", "un chat"), ("answer", "A")]);
        let other = |text: &str, code: &str| {
            let language = LanguageCode::of_name(&format!("x_{code}")).unwrap();
            is_in_another_language(text, &row, language)
        };
        for (text, code) in [
            ("a black cat", "zh"),
            ("猫在桌子上", "en"),
            ("это кошка", "tr"),
            ("The cat sits on the table and looks out of the window.", "fr"),
            ("Le chat est assis sur la table et regarde par la fenêtre.", "en"),
            ("the cat", "ar"),
            ("猫です", "fr"),
        ] {
            assert!(other(text, code), "{text} as {code}");
        }
        for (text, code) in [
            ("A", "zh"),
            ("B.", "ar"),
            ("Yes", "ru"),
            ("NASA", "zh"),
            ("42 km", "ar"),
            ("chat", "tr"),
            ("un chat", "en"),
            ("Le chat est assis sur la table et regarde par la fenêtre.", "fr"),
            ("Masanın üzerinde bir kedi oturuyor ve pencereden bakıyor.", "tr"),
            ("猫です", "ja"),
            ("黑色的猫", "zh"),
            ("whatever it is", "eu"),
        ] {
            assert!(!other(text, code), "{text} as {code}");
        }
    }
}
