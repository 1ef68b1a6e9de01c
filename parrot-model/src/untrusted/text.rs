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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_replaced() {
        assert_eq!(printable("a\u{1b}[2Jb\r\u{9b}\n\tß"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}\n\tß");
        assert_eq!(printable("photo\u{202e}gpj.exe"), "photo\u{fffd}gpj.exe");
        assert!(matches!(printable("ما هذا؟\u{200f}"), Cow::Borrowed(_)));
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
