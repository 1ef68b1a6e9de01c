//! What Parrot's wrapper makes of an answer before anything is scored.

use crate::prompt::ENGLISH_ENDING;

/// An ending that older prompts had.
const OBSOLETE_ENDING: &str = "请直接回答选项字母。";

/// Strips ASCII whitespace and, if the prompt asks for a letter in English, reduces the answer to one where it
/// begins or ends with one.
///
/// Prompts that end in Chinese, Portuguese, Arabic, Turkish or Russian never get this: their answers are scored
/// as they are.
#[must_use]
pub fn post_process(prompt: &str, answer: &str) -> String {
    let answer = answer.trim_matches(is_space);
    if prompt.ends_with(ENGLISH_ENDING) || prompt.ends_with(OBSOLETE_ENDING) {
        to_letter(answer).into()
    } else {
        answer.into()
    }
}

fn to_letter(mut answer: &str) -> &str {
    loop {
        answer = answer.trim_matches(|c: char| is_space(c) || c.is_ascii_punctuation());
        let mut chars = answer.chars();
        let (Some(first), Some(second)) = (chars.next(), chars.next()) else { return answer };
        if first.is_ascii_uppercase() && is_boundary(second) {
            return &answer[..1];
        }
        let mut backwards = answer.chars().rev();
        if let (Some(last), Some(before)) = (backwards.next(), backwards.next())
            && last.is_ascii_uppercase()
            && is_boundary(before)
        {
            return &answer[answer.len() - 1..];
        }
        let Some(rest) = after(answer, "answer is").or_else(|| after(answer, "answer:")) else {
            return answer;
        };
        answer = after(rest, "option").unwrap_or(rest);
    }
}

/// What follows the first `prefix`, whatever its letter case. The kits look for its place in the lower-cased text and
/// cut the text itself there: an `İ`, which becomes two characters, moves the cut on by one.
fn after<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let at = text.to_ascii_lowercase().find(prefix)?;
    let moved = text[..at].matches('İ').count();
    let rest = &text[at + prefix.len()..];
    Some(rest.char_indices().nth(moved).map_or("", |(at, _)| &rest[at..]))
}

fn is_boundary(c: char) -> bool {
    is_space(c) || c.is_ascii_punctuation()
}

/// Python's `string.whitespace`.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{b}' | '\u{c}')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded from the wrapper's own code.
    #[test]
    fn the_table_of_the_protocol() {
        for (raw, expected) in [
            ("A. rabbit", "A"),
            ("The answer is B", "B"),
            ("answer: option C", "C"),
            ("(C)", "C"),
            ("rabbit", "rabbit"),
            ("I think D", "I"),
            ("A cat sits", "A"),
            ("A-frame house", "A"),
            ("Answer: b", "b"),
            ("The answer is", ""),
        ] {
            assert_eq!(post_process(&format!("?\n{ENGLISH_ENDING}"), raw), expected, "{raw:?}");
            assert_eq!(post_process(OBSOLETE_ENDING, raw), expected, "{raw:?}");
        }
    }

    #[test]
    fn only_the_english_ending_asks_for_it() {
        for ending in ["请直接用给定选项中的选项字母回答。", "Verilen seçeneklerden …", ""]
        {
            assert_eq!(post_process(ending, " \t(C) the cat\u{a0}\n"), "(C) the cat\u{a0}");
        }
    }

    #[test]
    fn hostile_answers_end_somewhere() {
        let long = "answer is ".repeat(500);
        assert_eq!(post_process(ENGLISH_ENDING, &long), "");
        for answer in ["", "…", "İanswer is İ", "答案 B", "B 答案", "answer:answer is:option"] {
            let _ = post_process(ENGLISH_ENDING, answer);
        }
        assert_eq!(post_process(ENGLISH_ENDING, "答案 B"), "B");
        // As the kits cut it: behind an İ a character is lost.
        assert_eq!(post_process(ENGLISH_ENDING, "İyi: the answer is bc"), "bc");
        assert_eq!(post_process(ENGLISH_ENDING, "İİ: the answer is bc"), "c");
        assert_eq!(post_process(ENGLISH_ENDING, "İİİ: the answer is"), "");
    }
}
