//! Base64 as Python's `b64decode` reads it, by which the kits load pictures.

/// Decodes what may have anything in between: characters outside the alphabet are passed over, and what follows the
/// padding is not read.
///
/// # Errors
///
/// What is wrong, in words: a character beyond ASCII, missing padding, or one character too many.
pub(crate) fn decode(text: &str) -> Result<Vec<u8>, String> {
    if let Some(c) = text.chars().find(|c| !c.is_ascii()) {
        return Err(format!("not base64: it has the character {c:?}"));
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    // Bits that do not make a byte yet, and how many characters of a group of four they come from.
    let (mut bits, mut characters, mut padding) = (0_u32, 0, 0);
    for byte in text.bytes() {
        if byte == b'=' {
            padding += 1;
            if characters >= 2 && characters + padding >= 4 {
                return Ok(bytes);
            }
            continue;
        }
        let Some(value) = value_of(byte) else { continue };
        padding = 0;
        bits = bits << 6 | u32::from(value);
        characters = (characters + 1) % 4;
        match characters {
            1 => {}
            2 => bytes.push((bits >> 4) as u8),
            3 => bytes.push((bits >> 2) as u8),
            _ => bytes.push(bits as u8),
        }
    }
    match characters {
        0 => Ok(bytes),
        1 => Err("not base64: one character is too many".into()),
        _ => Err("not base64: its padding is missing".into()),
    }
}

fn value_of(byte: u8) -> Option<u8> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Python 3.11 made of them; `None` for an error.
    #[test]
    fn it_reads_what_python_reads() {
        for (text, expected) in [
            ("aGVsbG8=", Some(&b"hello"[..])),
            ("aGVs\nbG8=", Some(b"hello")),
            ("aGVs bG8=", Some(b"hello")),
            ("aGVsbG8", None),
            ("aGVsbG8====", Some(b"hello")),
            ("aGVsbG8=aGVs", Some(b"hello")),
            ("aGVs%bG8=", Some(b"hello")),
            ("aGVs-bG8=", Some(b"hello")),
            ("=aGVsbG8=", Some(b"hello")),
            ("aGV=sbG8=", Some(b"he")),
            ("aGVsb", None),
            ("aG=VsbG8=", Some(b"hello")),
            ("====", Some(b"")),
            ("", Some(b"")),
            ("äGVsbG8=", None),
            ("aGVsbG9=", Some(b"hello")),
        ] {
            assert_eq!(decode(text).ok().as_deref(), expected, "{text:?}");
        }
    }
}
