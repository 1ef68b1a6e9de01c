//! Text from outside: read in the encodings that editors write, shown without characters that would control a terminal.

use std::borrow::Cow;

/// Text on its way to people: control characters and those that change the direction of what follows become U+FFFD;
/// line ends and tabs stay.
///
/// For whatever was not written by the program itself: names of files and tensors, keys of a configuration, questions,
/// answers. An escape sequence in it could otherwise clear the screen, write to the clipboard or pose as output.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_harmless) {
        return text.into();
    }
    text.chars()
        .map(|c| if is_harmless(c) { c } else { char::REPLACEMENT_CHARACTER })
        .collect::<String>()
        .into()
}

/// [`printable`] for JSON, which says the same afterwards: such characters, which JSON has within strings only, are escaped.
#[must_use]
pub fn printable_json(json: &str) -> Cow<'_, str> {
    if json.chars().all(is_harmless) {
        return json.into();
    }
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        // None of them is beyond four digits.
        if is_harmless(c) {
            escaped.push(c);
        } else {
            escaped += &format!("\\u{:04x}", u32::from(c));
        }
    }
    escaped.into()
}

fn is_harmless(c: char) -> bool {
    match c {
        '\n' | '\t' => true,
        // Embeddings, overrides and isolates reach beyond the text that they stand in; marks (U+200E, U+200F) do not.
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => false,
        c => !c.is_control(),
    }
}

/// A text file's bytes as text: UTF-8, or UTF-16 that begins with its byte order mark, as Windows' editors write it.
///
/// # Errors
///
/// In words, what the bytes are instead.
pub fn decode_text(bytes: &[u8]) -> Result<String, String> {
    let (unit, rest): (fn([u8; 2]) -> u16, _) = match bytes {
        [0xff, 0xfe, rest @ ..] => (u16::from_le_bytes, rest),
        [0xfe, 0xff, rest @ ..] => (u16::from_be_bytes, rest),
        _ => {
            let text = std::str::from_utf8(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes));
            let text = text.map_err(|error| format!("it is no text in UTF-8: {error}"))?;
            if text.contains('\0') {
                return Err("it is no text: it has zero bytes (UTF-16 needs its byte order mark)".to_owned());
            }
            return Ok(text.to_owned());
        }
    };
    let (units, odd) = rest.as_chunks::<2>();
    let units: Vec<u16> = units.iter().map(|pair| unit(*pair)).collect();
    match String::from_utf16(&units) {
        Ok(text) if odd.is_empty() && !text.contains('\0') => Ok(text),
        _ => Err("it begins as UTF-16 but is none".to_owned()),
    }
}

/// A text's beginning and end, with `…` for what is between, where it has more than `most` characters.
#[must_use]
pub fn shortened(text: &str, most: usize) -> Cow<'_, str> {
    let length = text.chars().count();
    if length <= most {
        return text.into();
    }
    let (first, last) = (most / 2, length - most / 2);
    text.chars().take(first).chain(['…']).chain(text.chars().skip(last)).collect::<String>().into()
}

/// Characters of a reason that are shown; serde's longest list of keys is shorter.
const MOST_REASON: usize = 1000;

/// Serde's reason why JSON or TOML is not what it should be, in words that those who write such files know: `usize` becomes
/// `a whole number, 0 or more`, and the names that types have in Rust go. What it quotes at length is cut, as it may be all
/// of a file.
#[must_use]
pub fn plain_reason(reason: &str) -> String {
    let mut plain = shortened(reason, MOST_REASON).into_owned();
    for (found, word) in [("sequence", "a list"), ("map", "an object"), ("unit value", "null")] {
        plain = plain.replace(&format!("invalid type: {found},"), &format!("invalid type: {word},"));
    }
    for form in [
        "data did not match any variant of untagged enum ",
        "expected internally tagged enum ",
        "expected struct variant ",
        "expected struct ",
    ] {
        let Some((before, name)) = plain.split_once(form) else { continue };
        let behind = name.trim_start_matches(|c: char| c.is_alphanumeric() || "_:".contains(c));
        let word = if form.starts_with("data") {
            "it has none of the forms that it may have"
        } else {
            "expected an object"
        };
        plain = format!("{before}{word}{behind}");
    }
    plain = plain
        .replace("expected variant identifier", "expected a name")
        .replace("expected unit", "expected null");
    let Some((before, expected)) = plain.rsplit_once("expected ") else { return plain };
    let end = expected.find([' ', ',']).unwrap_or(expected.len());
    let word = match &expected[..end] {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        _ => {
            return plain
                .replace("expected a sequence", "expected a list")
                .replace("expected a map", "expected an object");
        }
    };
    format!("{before}expected {word}{}", &expected[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_replaced() {
        assert_eq!(printable("a\u{1b}[2Jb\r\u{9b}\n\tß"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}\n\tß");
        assert_eq!(printable("photo\u{202e}gpj.exe"), "photo\u{fffd}gpj.exe");
        assert!(matches!(printable("ما هذا؟\u{200f}"), Cow::Borrowed(_)));
    }

    /// Prompts had U+FFFD in place of these.
    #[test]
    fn json_says_the_same_without_what_steers_a_terminal() {
        let text = "a\u{85}b\u{202e}c\u{7f}d\u{2066}e\u{1b}f\u{200f}\nü";
        let json = serde_json::json!({ "prompt": text }).to_string();
        let shown = printable_json(&json);
        assert_eq!(printable(&shown), shown);
        assert!(shown.contains("a\\u0085b\\u202ec\\u007fd\\u2066e\\u001bf"), "{shown}");
        let read: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(read["prompt"], text);
        assert!(matches!(printable_json("{\n\t\"a\": \"ما\"}"), Cow::Borrowed(_)));
    }

    #[test]
    fn reasons_have_no_types_of_rust() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(untagged)]
        #[expect(dead_code, reason = "only its errors are looked at")]
        enum Form {
            Number(u8),
        }
        #[derive(Debug, serde::Deserialize)]
        #[expect(dead_code, reason = "only its errors are looked at")]
        struct Inner {
            count: usize,
            ratio: f64,
            names: Vec<String>,
            form: Form,
        }
        let reason = |json: &str| plain_reason(&serde_json::from_str::<Inner>(json).unwrap_err().to_string());
        for (json, expected) in [
            (
                r#"{"count": -1}"#,
                "invalid value: integer `-1`, expected a whole number, 0 or more at line 1 column 12",
            ),
            (r#"{"ratio": []}"#, "invalid type: a list, expected a number at line 1 column 10"),
            (r#"{"names": {}}"#, "invalid type: an object, expected a list at line 1 column 10"),
            (r#"{"form": "x"}"#, "it has none of the forms that it may have at line 1 column 13"),
            ("7", "invalid type: integer `7`, expected an object at line 1 column 1"),
        ] {
            assert_eq!(reason(json), expected);
        }
        let long = reason(&format!(r#"{{"ratio": "{}"}}"#, "ü".repeat(100_000)));
        assert!(
            long.chars().count() < 1100 && long.ends_with("expected a number at line 1 column 200012"),
            "{long}"
        );
    }

    #[test]
    fn text_is_read_as_editors_write_it() {
        let both = |text: &str| {
            let units = || std::iter::once(0xfeff).chain(text.encode_utf16());
            [
                units().flat_map(u16::to_le_bytes).collect::<Vec<u8>>(),
                units().flat_map(u16::to_be_bytes).collect(),
            ]
        };
        for bytes in both("Qu'est-ce ? 🦜\n") {
            assert_eq!(decode_text(&bytes).unwrap(), "Qu'est-ce ? 🦜\n");
            assert!(decode_text(&bytes[..bytes.len() - 1]).unwrap_err().contains("UTF-16"));
        }
        assert_eq!(decode_text("\u{feff}ما".as_bytes()).unwrap(), "ما");
        assert!(decode_text(b"a\0b\0").unwrap_err().contains("zero bytes"));
        assert!(decode_text(b"caf\xe9").unwrap_err().contains("UTF-8"));
    }
}
