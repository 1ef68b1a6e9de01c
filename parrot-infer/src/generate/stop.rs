//! Stop strings in text that arrives in pieces.

use crate::{Error, Result};

/// Passes text on up to the first stop string, and nothing of the stop string itself.
///
/// Text that may turn out to be the beginning of a stop string is held back until that is decided. What
/// comes out does not depend on how the text was cut into pieces.
#[derive(Debug, Clone, Default)]
pub(crate) struct StopStrings {
    stops: Vec<String>,
    held: String,
}

impl StopStrings {
    /// # Errors
    ///
    /// [`Error::Option`] for an empty stop string, which would match at once.
    pub(crate) fn new(stops: &[String]) -> Result<Self> {
        if stops.iter().any(String::is_empty) {
            return Err(Error::option("a stop string", "at least one character long", "an empty one"));
        }
        Ok(Self { stops: stops.to_vec(), held: String::new() })
    }

    /// Adds a piece; returns what may be shown, and whether a stop string is complete.
    pub(crate) fn push(&mut self, piece: &str) -> (String, bool) {
        self.held.push_str(piece);
        if let Some(start) = self.first_match() {
            self.held.truncate(start);
            return (std::mem::take(&mut self.held), true);
        }
        let undecided = self.undecided();
        let rest = self.held.split_off(self.held.len() - undecided);
        (std::mem::replace(&mut self.held, rest), false)
    }

    /// Ends the text: what was held back was no stop string after all.
    pub(crate) fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Where the first complete stop string begins; of several that end together, the longest.
    fn first_match(&self) -> Option<usize> {
        let found = self.stops.iter().filter_map(|stop| Some((self.held.find(stop)?, stop.len())));
        found.min_by_key(|(start, len)| (start + len, *start)).map(|(start, _)| start)
    }

    /// Length of the longest end of the held text that begins a stop string.
    fn undecided(&self) -> usize {
        let begins_a_stop = |tail: &str| self.stops.iter().any(|stop| stop.starts_with(tail));
        let tails = self.held.char_indices().map(|(at, _)| &self.held[at..]);
        tails.into_iter().find(|tail| begins_a_stop(tail)).map_or(0, str::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let stops: Vec<String> = stops.iter().map(ToString::to_string).collect();
        let mut filter = StopStrings::new(&stops).unwrap();
        let mut shown = String::new();
        for piece in pieces {
            let (text, stopped) = filter.push(piece);
            shown += &text;
            if stopped {
                return (shown, true);
            }
        }
        shown += &filter.finish();
        (shown, false)
    }

    #[test]
    fn nothing_of_a_stop_string_is_shown() {
        assert_eq!(filter(&["\n\n"], &["one", "\n", "two", "\n", "\nthree"]), ("one\ntwo".into(), true));
        assert_eq!(filter(&["END"], &["EN", "EN", "D"]), ("EN".into(), true));
        assert_eq!(filter(&["END"], &["E", "N"]), ("EN".into(), false));
        assert_eq!(filter(&[], &["as it ", "is"]), ("as it is".into(), false));
    }

    #[test]
    fn text_is_held_no_longer_than_needed() {
        let mut filter = StopStrings::new(&["stop".into()]).unwrap();
        assert_eq!(filter.push("a st"), ("a ".into(), false));
        assert_eq!(filter.push("ay"), ("stay".into(), false));
        assert_eq!(filter.push("ط st"), ("ط ".into(), false));
    }

    /// Every way to cut the text gives what one character at a time gives.
    #[test]
    fn the_cuts_between_pieces_do_not_matter() {
        for stops in [&["abcd", "bc"][..], &["aab"], &["é!", "!"], &["bab", "ab"]] {
            for text in ["xabcdx", "aaaab", "né!né!", "xbabab", "abab"] {
                let single: Vec<String> = text.chars().map(String::from).collect();
                let single: Vec<&str> = single.iter().map(String::as_str).collect();
                let expected = filter(stops, &single);
                let cuts: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
                for &a in &cuts {
                    for &b in cuts.iter().filter(|b| **b >= a) {
                        let found = filter(stops, &[&text[..a], &text[a..b], &text[b..]]);
                        assert_eq!(found, expected, "{stops:?} {text} {a} {b}");
                    }
                }
            }
        }
    }

    #[test]
    fn an_empty_stop_string_is_refused() {
        assert!(StopStrings::new(&["x".into(), String::new()]).is_err());
    }
}
