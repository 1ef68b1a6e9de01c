//! A file of records → the records one by one, whole or broken.
//!
//! A broken record costs no other, neither in a list (`.json`) nor in lines (`.jsonl`). serde_json would give up the whole
//! list at a `NaN`, so the list is first cut into elements, by its brackets, and then each element is read on its own.

use std::io::{self, BufRead};

use serde_json::Value;

/// The elements of a JSON list.
pub(super) struct Elements<R> {
    reader: R,
    /// What has been read and is to be read again, from here on.
    again: Vec<u8>,
    at: usize,
    /// Bytes that may still be read again, and how often some have been.
    budget: usize,
    times: usize,
    /// Where the list has ended, and how.
    end: Option<End>,
    /// How the records begin that one program has written: with the brace and the first key.
    beginning: Option<Vec<u8>>,
    /// Whether the last one was broken.
    is_lost: bool,
}

/// How a list ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// With its bracket, and nothing behind it.
    Closed,
    /// With the file.
    CutOff,
    /// With its bracket, but something stands behind it.
    GoesOn,
}

/// Bytes of broken records that are read again at most, but for the first few times: a file made for that would
/// otherwise take for ever.
const READ_AGAIN: usize = 16 << 20;
const TIMES_AGAIN: usize = 16;

impl<R: BufRead> Elements<R> {
    /// Reads up to the list's first bracket; `Err` is the byte that stands in its place, `None` for an empty file.
    pub(super) fn begin(reader: R) -> io::Result<Result<Self, Option<u8>>> {
        let mut elements = Self {
            reader,
            again: Vec::new(),
            at: 0,
            budget: READ_AGAIN,
            times: 0,
            end: None,
            beginning: None,
            is_lost: false,
        };
        Ok(match elements.next_visible()? {
            Some(b'[') => Ok(elements),
            other => Err(other),
        })
    }

    /// How the list has ended, once [`next`](Self::next) has returned `None`.
    pub(super) fn end(&self) -> End {
        self.end.unwrap_or(End::CutOff)
    }

    /// The next element, or why it is no JSON.
    ///
    /// A record that is not closed swallows those behind it, and one with a quote too many turns texts inside out. Both
    /// are cut where the next record begins, with the same key as those before, and from there it is read again.
    pub(super) fn next(&mut self) -> io::Result<Option<Result<Value, String>>> {
        while let Some((mut element, behind)) = self.next_element()? {
            let mut value = parse(&element);
            if value.is_err() {
                if self.beginning.is_none() {
                    self.beginning = beginning(&element);
                }
                let own = element.iter().take_while(|byte| byte.is_ascii_whitespace()).count() + 1;
                let next = self.beginning.as_ref().and_then(|beginning| find(&element, beginning, own));
                if let Some(next) =
                    next.filter(|next| self.times < TIMES_AGAIN || element.len() - next <= self.budget)
                {
                    self.read_again([&element[next..], &behind].concat());
                    element.truncate(next);
                    let piece = element.trim_ascii();
                    value = parse(piece.strip_suffix(b",").unwrap_or(piece));
                }
            } else {
                self.beginning = beginning(&element);
            }
            // What is left over of a broken record is no record of its own.
            let is_rest = self.is_lost && value.is_err() && !begins(&element, self.beginning.as_deref());
            self.is_lost = value.is_err();
            if !is_rest {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    fn read_again(&mut self, bytes: Vec<u8>) {
        self.times += 1;
        self.budget = self.budget.saturating_sub(bytes.len());
        let rest = self.again.split_off(self.at.min(self.again.len()));
        self.again = bytes;
        self.again.extend(rest);
        self.at = 0;
        self.end = None;
    }

    /// What stands up to the next comma or the list's end, by brackets and quotes alone, and what was read behind it.
    fn next_element(&mut self) -> io::Result<Option<(Vec<u8>, Vec<u8>)>> {
        if self.end.is_some() {
            return Ok(None);
        }
        let mut element = Vec::new();
        let mut brackets = Vec::new();
        let (mut in_string, mut escaped) = (false, false);
        loop {
            let Some(byte) = self.next_byte()? else {
                // A record that lacks its brace has taken the list's bracket for one of its own.
                let last = element.iter().rposition(|byte: &u8| !byte.is_ascii_whitespace());
                let bracket = last.filter(|at| element[*at] == b']');
                element.truncate(bracket.unwrap_or(element.len()));
                self.end = Some(if bracket.is_some() { End::Closed } else { End::CutOff });
                let behind = if bracket.is_some() { vec![b']'] } else { Vec::new() };
                return Ok(some_element(element, behind));
            };
            match byte {
                _ if in_string => match byte {
                    _ if escaped => escaped = false,
                    b'\\' => escaped = true,
                    // No string goes over a line's end: one that does was not closed.
                    b'"' | b'\n' => in_string = false,
                    _ => {}
                },
                b'"' => in_string = true,
                b'{' | b'[' => brackets.push(byte),
                b'}' | b']' => {
                    let opening = if byte == b'}' { b'{' } else { b'[' };
                    match brackets.iter().rposition(|bracket| *bracket == opening) {
                        Some(at) => brackets.truncate(at),
                        None if byte == b']' && brackets.is_empty() => {
                            let more = self.next_visible()?;
                            self.end = Some(if more.is_some() { End::GoesOn } else { End::Closed });
                            return Ok(some_element(element, [byte].into_iter().chain(more).collect()));
                        }
                        None => {}
                    }
                }
                b',' if brackets.is_empty() => return Ok(Some((element, vec![byte]))),
                _ => {}
            }
            element.push(byte);
        }
    }

    fn next_byte(&mut self) -> io::Result<Option<u8>> {
        if let Some(byte) = self.again.get(self.at) {
            self.at += 1;
            return Ok(Some(*byte));
        }
        let byte = self.reader.fill_buf()?.first().copied();
        self.reader.consume(usize::from(byte.is_some()));
        Ok(byte)
    }

    fn next_visible(&mut self) -> io::Result<Option<u8>> {
        loop {
            match self.next_byte()? {
                Some(byte) if byte.is_ascii_whitespace() => {}
                other => return Ok(other),
            }
        }
    }
}

/// Behind the last comma there may be nothing.
fn some_element(element: Vec<u8>, behind: Vec<u8>) -> Option<(Vec<u8>, Vec<u8>)> {
    (!element.trim_ascii().is_empty()).then_some((element, behind))
}

/// The brace and the first key of a record.
fn beginning(element: &[u8]) -> Option<Vec<u8>> {
    let start = element.iter().position(|byte| *byte == b'{')?;
    let mut quotes = (start..element.len()).filter(|at| element[*at] == b'"');
    let (_, end) = (quotes.next()?, quotes.next()?);
    Some(element[start..=end].to_vec())
}

fn begins(element: &[u8], beginning: Option<&[u8]>) -> bool {
    beginning.is_none_or(|beginning| element.trim_ascii_start().starts_with(beginning))
}

/// Where `beginning` stands in the element from this place on.
fn find(element: &[u8], beginning: &[u8], from: usize) -> Option<usize> {
    let rest = element.get(from..)?;
    rest.windows(beginning.len()).position(|bytes| bytes == beginning).map(|at| from + at)
}

/// A JSON value, or why it is none; what Python writes and JSON does not know is named.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(bytes).map_err(|error| {
        let line = bytes.split(|byte| *byte == b'\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
        let rest = line.get(error.column().saturating_sub(1)..).unwrap_or_default();
        let odd = ["NaN", "Infinity", "-Infinity"]
            .into_iter()
            .find(|word| rest.starts_with(word.as_bytes()) || rest.starts_with(&word.as_bytes()[1..]));
        match odd {
            Some(word) => format!("no JSON: {word}, which JSON does not have"),
            None => format!("no JSON: {error}"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of each record, by `n`, and how the list ends.
    fn read(text: &str) -> (Vec<Option<i64>>, End) {
        let mut elements = Elements::begin(text.as_bytes()).unwrap().ok().unwrap();
        let mut found = Vec::new();
        while let Some(value) = elements.next().unwrap() {
            found.push(value.ok().and_then(|value| value["n"].as_i64()));
        }
        (found, elements.end())
    }

    #[test]
    fn a_broken_record_costs_itself_alone() {
        let good = |n: i64| format!(r#"{{"n": {n}, "text": "a ] }} , [ {{ \" b", "list": [{{"m": 1}}]}}"#);
        for broken in [
            r#"{"n": NaN}"#,
            r#"{"n": 7, "x": -Infinity}"#,
            r#"{"n": 7, "x": "\ud83d"}"#,
            r#"{"n": 7, "x": [}"#,
            r#"{"n": 7, "x": [1, 2}"#,
            r#"{"n": 7, "x": ]}"#,
            r#"{"n": 7, "x""#,
            r#"{"n": 7, "x: 1}"#,
            r#"{"n": 7, "x": "unclosed}"#,
            r#"{"n": 7, "list": [{"m": 1}]"#,
            r#"{"n" 7}"#,
        ] {
            for between in [", ", ",\n", " ,\n "] {
                let text = format!("[{}]", [&good(1), broken, &good(2), &good(3)].join(between));
                assert_eq!(read(&text), (vec![Some(1), None, Some(2), Some(3)], End::Closed), "{text}");
                let text = format!("[{}]\n", [&good(1), &good(2), broken].join(between));
                assert_eq!(read(&text).0, [Some(1), Some(2), None], "{text}");
            }
        }
    }

    /// Each record swallows all that follow.
    #[test]
    fn a_file_of_broken_records_only_ends_in_time() {
        let text = format!("[{}", r#"{"n": [1, "#.repeat(5_000));
        assert!(read(&text).0.iter().all(Option::is_none));
    }

    #[test]
    fn a_list_that_is_cut_off_or_goes_on_is_told() {
        assert_eq!(read("[]"), (vec![], End::Closed));
        assert_eq!(read(r#" [{"n": 1}, ] "#), (vec![Some(1)], End::Closed));
        assert_eq!(read(r#"[{"n": 1}, {"n": 2"#), (vec![Some(1), None], End::CutOff));
        assert_eq!(read(r#"[{"n": 1},"#), (vec![Some(1)], End::CutOff));
        assert_eq!(read(r#"[{"n": 1}] x"#), (vec![Some(1)], End::GoesOn));
        for (text, first) in [("", None), (r#"{"n": 1}"#, Some(b'{'))] {
            assert_eq!(Elements::begin(text.as_bytes()).unwrap().err().unwrap(), first);
        }
    }

    #[test]
    fn what_json_does_not_have_is_named() {
        for (text, word) in [
            (r#"{"a": NaN}"#, "NaN"),
            (r#"{"a": Infinity}"#, "Infinity"),
            (r#"{"a": -Infinity}"#, "Infinity"),
        ] {
            let reason = parse(text.as_bytes()).unwrap_err();
            assert!(reason.contains(&format!("{word}, which JSON does not have")), "{reason}");
        }
        assert!(parse(b"{\"a\" 1}").unwrap_err().starts_with("no JSON: expected `:` at line 1 column 6"));
    }
}
