//! Which language a record's answers are in, as far as script and frequent words tell.

use super::record::Record;

/// Languages that are told apart by a few frequent words and by letters of their own, beside those that are by their
/// script.
const WORDS: [(&str, &[&str], &str); 14] = [
    ("cs", &["je", "se", "na", "to", "že", "jsou", "není", "který", "nebo"], "ěřů"),
    ("de", &["der", "die", "das", "ist", "und", "ein", "eine", "nicht", "mit", "auf", "den", "im"], "äß"),
    ("en", &["the", "is", "of", "and", "what", "in", "this", "a", "an", "on", "it", "with"], ""),
    ("es", &["el", "la", "los", "las", "es", "una", "y", "en", "del", "con", "por", "un"], "ñ¿¡"),
    ("fr", &["le", "la", "les", "des", "est", "une", "un", "dans", "et", "du", "sur", "avec"], "œèùàê"),
    ("id", &["yang", "dan", "di", "ini", "itu", "dengan", "untuk", "adalah", "sebuah", "tidak"], ""),
    ("it", &["il", "la", "di", "che", "è", "una", "un", "non", "sono", "della", "gli", "con"], "òìù"),
    ("nl", &["de", "het", "een", "van", "en", "niet", "op", "met", "dat", "zijn", "is"], ""),
    ("pl", &["jest", "nie", "na", "się", "do", "to", "w", "z", "i"], "łąęśżźćń"),
    ("pt", &["que", "não", "uma", "está", "são", "com", "um", "na", "da", "do", "é", "imagem", "o"], "ãõçêá"),
    ("ro", &["este", "și", "un", "o", "în", "pe", "cu", "nu", "sunt", "la"], "șțăî"),
    ("sv", &["och", "att", "det", "är", "en", "ett", "som", "på", "av", "med"], "åä"),
    ("tr", &["bir", "ve", "bu", "için", "ne", "nedir", "var", "olan", "ile"], "ışğüö"),
    (
        "vi",
        &["là", "của", "và", "một", "có", "không", "trong", "này", "trên"],
        "ăđơưạảấầẩậắặẹẻếềểễệỉịọỏốồổộớờởợụủứừửựỳỵỷỹ",
    ),
];

/// Languages that have a script to themselves, or nearly so: its blocks.
const SCRIPTS: [(&str, std::ops::RangeInclusive<char>); 16] = [
    ("ar", '\u{0600}'..='\u{06FF}'),
    ("bn", '\u{0980}'..='\u{09FF}'),
    ("el", '\u{0370}'..='\u{03FF}'),
    ("he", '\u{0590}'..='\u{05FF}'),
    ("hi", '\u{0900}'..='\u{097F}'),
    ("hy", '\u{0530}'..='\u{058F}'),
    ("ja", '\u{3040}'..='\u{30FF}'),
    ("ka", '\u{10A0}'..='\u{10FF}'),
    ("km", '\u{1780}'..='\u{17FF}'),
    ("ko", '\u{AC00}'..='\u{D7AF}'),
    ("my", '\u{1000}'..='\u{109F}'),
    ("ru", '\u{0400}'..='\u{04FF}'),
    ("ta", '\u{0B80}'..='\u{0BFF}'),
    ("te", '\u{0C00}'..='\u{0C7F}'),
    ("th", '\u{0E00}'..='\u{0E7F}'),
    ("zh", '\u{4E00}'..='\u{9FFF}'),
];

/// Languages that share a script with a more frequent one, by letters that this one does not have.
const WITHIN: [(&str, &str, &str); 3] = [("ru", "uk", "іїєґ"), ("ar", "fa", "پچژگ"), ("ar", "ur", "ٹڈڑےں")];

/// About which language a record's answers are in; `other` where nothing tells.
pub(super) fn language_of(record: &Record) -> &'static str {
    language(&answers(record).collect::<Vec<_>>().join(" "))
}

/// The answers of a record, one after the other.
pub(super) fn answers(record: &Record) -> impl Iterator<Item = &str> {
    let turns = record.conversations.iter();
    turns.filter(|turn| turn.from == parrot_model::text::Role::Assistant).map(|turn| turn.value.as_str())
}

/// About which language a text is in; `other` where nothing tells.
fn language(text: &str) -> &'static str {
    let count = |range: &std::ops::RangeInclusive<char>| text.chars().filter(|c| range.contains(c)).count();
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    let found = SCRIPTS.each_ref().map(|(language, range)| (*language, count(range)));
    // Japanese is written in Chinese characters, too, but never for long without its own.
    let kana =
        found.iter().find(|(language, _)| *language == "ja").is_some_and(|(_, found)| *found * 10 > letters);
    if kana {
        return "ja";
    }
    if let Some((script, _)) = found.into_iter().find(|(_, found)| *found * 3 > letters) {
        let own = |letters: &str| text.chars().any(|c| letters.contains(c));
        return WITHIN
            .iter()
            .rev()
            .find(|(of, _, letters)| *of == script && own(letters))
            .map_or(script, |it| it.1);
    }
    let text = text.to_lowercase();
    let words: Vec<&str> = text.split(|c: char| !c.is_alphabetic()).collect();
    let score = |(language, frequent, letters): (&'static str, &[&str], &str)| {
        let found = words.iter().filter(|word| frequent.contains(word)).count();
        (2 * found + text.chars().filter(|c| letters.contains(*c)).count(), language)
    };
    let best = WORDS.map(score).into_iter().max();
    best.filter(|(score, _)| *score > 0).map_or("other", |(_, language)| language)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_told_apart() {
        for (text, expected) in [
            ("The cat is on the mat.", "en"),
            ("这是一只猫。It is a cat", "zh"),
            ("O gato está na caixa, que não é grande.", "pt"),
            ("هذه قطة صغيرة", "ar"),
            ("Bu bir kedi ve şapka", "tr"),
            ("Это кошка", "ru"),
            ("Le chat est dans la boîte avec une balle.", "fr"),
            ("Die Katze ist in der Schachtel und nicht auf dem Tisch.", "de"),
            ("El gato está en la caja y es una caja pequeña.", "es"),
            ("Il gatto è nella scatola, che non è grande.", "it"),
            ("De kat zit niet op het dak van een huis.", "nl"),
            ("Kot jest w pudełku i nie śpi.", "pl"),
            ("Con mèo ở trong hộp và nó không ngủ.", "vi"),
            ("Kucing itu ada di dalam kotak yang besar.", "id"),
            ("Katten är på taket och det är en hund med.", "sv"),
            ("猫は箱の中にいます", "ja"),
            ("고양이가 상자 안에 있다", "ko"),
            ("बिल्ली डिब्बे में है", "hi"),
            ("แมวอยู่ในกล่อง", "th"),
            ("החתול בקופסה", "he"),
            ("Кіт у коробці, її видно", "uk"),
            ("گربه روی میز بزرگ است", "fa"),
            ("42", "other"),
        ] {
            assert_eq!(language(text), expected, "{text}");
        }
    }
}
