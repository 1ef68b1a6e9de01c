//! Which language a record's answers are in, as far as script and frequent words tell.

use super::record::Record;

/// Languages that are told apart by a few frequent words, beside those that are by their script.
const WORDS: [(&str, &[&str]); 3] = [
    ("en", &["the", "is", "of", "and", "what", "in", "this"]),
    ("pt", &["que", "não", "uma", "está", "são", "com", "um", "na", "da", "do", "é", "imagem", "o"]),
    ("tr", &["bir", "ve", "bu", "için", "ne", "nedir", "var", "olan", "ile"]),
];

/// About which of the six languages a record's answers are in; `other` where nothing tells.
pub(super) fn language_of(record: &Record) -> &'static str {
    language(&answers(record).collect::<Vec<_>>().join(" "))
}

/// The answers of a record, one after the other.
pub(super) fn answers(record: &Record) -> impl Iterator<Item = &str> {
    let turns = record.conversations.iter();
    turns.filter(|turn| turn.from == parrot_model::text::Role::Assistant).map(|turn| turn.value.as_str())
}

/// About which of the six languages a text is in; `other` where nothing tells.
fn language(text: &str) -> &'static str {
    let count = |range: std::ops::RangeInclusive<char>| text.chars().filter(|c| range.contains(c)).count();
    let scripts = [
        ("zh", count('\u{4E00}'..='\u{9FFF}')),
        ("ar", count('\u{0600}'..='\u{06FF}')),
        ("ru", count('\u{0400}'..='\u{04FF}')),
    ];
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    if let Some((language, _)) = scripts.into_iter().find(|(_, found)| *found * 3 > letters) {
        return language;
    }
    let text = text.to_lowercase();
    let words: Vec<&str> = text.split(|c: char| !c.is_alphabetic()).collect();
    let score = |(language, frequent): (&'static str, &[&str])| {
        let letters: &[char] = match language {
            "pt" => &['ã', 'õ', 'ç', 'ê', 'á'],
            "tr" => &['ı', 'ş', 'ğ', 'ü', 'ö'],
            _ => &[],
        };
        let found = words.iter().filter(|word| frequent.contains(word)).count();
        (2 * found + text.chars().filter(|c| letters.contains(c)).count(), language)
    };
    WORDS
        .map(score)
        .into_iter()
        .max()
        .filter(|(score, _)| *score > 0)
        .map_or("other", |(_, language)| language)
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
            ("42", "other"),
        ] {
            assert_eq!(language(text), expected, "{text}");
        }
    }
}
