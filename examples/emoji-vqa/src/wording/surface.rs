//! How a question is typed: capitals, punctuation, greetings, haste and slips.

use crate::random::Random;

/// What a language offers.
#[derive(Debug)]
pub struct Surface {
    /// Quotation marks around a name, typographic and straight.
    pub quotes: &'static [[&'static str; 2]],
    /// What ends a request.
    pub stop: &'static str,
    /// What ends a question, the usual mark first.
    pub marks: &'static [&'static str],
    /// Said before: greetings, politeness.
    pub openings: &'static [&'static str],
    /// Said after.
    pub closings: &'static [&'static str],
    /// The text as typed in haste or on a foreign keyboard: without accents, in Latin letters, ….
    pub hasty: fn(&str) -> String,
}

/// How often what happens to a question.
mod rate {
    pub(super) const OPENING: f32 = 0.10;
    pub(super) const CLOSING: f32 = 0.07;
    pub(super) const USUAL_MARK: f32 = 0.55;
    pub(super) const OTHER_MARK: f32 = 0.12;
    pub(super) const CAPITAL: f32 = 0.55;
    pub(super) const ALL_CAPITALS: f32 = 0.03;
    pub(super) const HASTE: f32 = 0.10;
    pub(super) const SLIP: f32 = 0.08;
}

/// A plain question, as typed by somebody.
pub(super) fn type_out(plain: &str, request: bool, surface: &Surface, random: &mut Random) -> String {
    let mut text = plain.to_owned();
    if random.chance(rate::SLIP) {
        text = slip(&text, random);
    }
    if random.chance(rate::OPENING) {
        text = format!("{}{text}", random.choose(surface.openings));
    }
    if random.chance(rate::CLOSING) {
        text += random.choose(surface.closings);
    }
    let usual = if request { surface.stop } else { surface.marks[0] };
    // What ends in a quotation mark or a closing of its own may go without.
    if random.chance(rate::USUAL_MARK) {
        text += usual;
    } else if random.chance(rate::OTHER_MARK / (1.0 - rate::USUAL_MARK)) {
        text += random.choose(surface.marks);
    }
    if random.chance(rate::HASTE) {
        text = (surface.hasty)(&text);
    }
    if random.chance(rate::CAPITAL) {
        let mut letters = text.chars();
        text = letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default();
    } else if random.chance(rate::ALL_CAPITALS) {
        text = text.to_uppercase();
    }
    text
}

/// One slip of the fingers in a word of at least four letters: two letters swapped, one left out, one typed twice. A
/// text without such a word stays as it is.
fn slip(text: &str, random: &mut Random) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    let within = |at: &usize| letters[at - 1..at + 3].iter().all(|letter| letter.is_alphabetic());
    let places: Vec<usize> = (1..letters.len().saturating_sub(2)).filter(within).collect();
    if places.is_empty() {
        return text.to_owned();
    }
    let at = random.choose(&places);
    match random.below(3) {
        0 => letters.swap(at, at + 1),
        1 => drop(letters.remove(at)),
        _ => letters.insert(at, letters[at]),
    }
    letters.into_iter().collect()
}

/// Replaces letters, one by one; others stay.
pub(super) fn transcribed(text: &str, table: &[(char, &str)]) -> String {
    let letter = |letter: char| match table.iter().find(|(from, _)| *from == letter) {
        Some((_, to)) => (*to).to_owned(),
        None => letter.to_string(),
    };
    text.chars().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Surface = Surface {
        quotes: &[["“", "”"]],
        stop: ".",
        marks: &["?"],
        openings: &["hi, "],
        closings: &[" please"],
        hasty: |text| text.replace('\'', ""),
    };

    #[test]
    fn most_questions_stay_readable_and_all_ways_occur() {
        let typed = |index| type_out("what's in here", false, &PLAIN, &mut Random::new(0, 0, index));
        let all: Vec<String> = (0..2000).map(typed).collect();
        for wanted in [
            "What's in here?",
            "what's in here",
            "hi, what's in here?",
            "What's in here please",
            "WHAT'S IN HERE",
            "whats in here",
        ] {
            assert!(all.iter().any(|text| text == wanted), "{wanted}");
        }
        let intact = all.iter().filter(|text| text.to_lowercase().contains("what's in here")).count();
        assert!((1600..1850).contains(&intact), "{intact}");
    }

    #[test]
    fn a_slip_changes_one_place_of_a_long_word() {
        for index in 0..200 {
            let slipped = slip("an elephant", &mut Random::new(0, 0, index));
            assert!(
                slipped.starts_with("an e") && slipped.len().abs_diff("an elephant".len()) <= 1,
                "{slipped}"
            );
        }
        assert_eq!(slip("a cat", &mut Random::new(0, 0, 0)), "a cat");
    }
}
