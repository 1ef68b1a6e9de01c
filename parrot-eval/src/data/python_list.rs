//! Lists of texts as Python writes them: the accepted answers of OCRBench and TextVQA, and several pictures of a row.

/// Reads `['a', "b"]`; escapes are those of Python's string literals.
///
/// # Errors
///
/// What is wrong, in words: a kit, which lets Python evaluate the field, stops there.
pub(crate) fn python_list(field: &str) -> Result<Vec<String>, String> {
    let field = field.trim();
    let inside = field.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let mut rest = inside.ok_or_else(|| format!("found {}", shown(field)))?.trim_start();
    let mut texts = Vec::new();
    while !rest.is_empty() {
        let (text, after) = literal(rest)?;
        texts.push(text);
        let after = after.trim_start();
        rest = match after.strip_prefix(',') {
            Some(after) => after.trim_start(),
            None if after.is_empty() => after,
            None => return Err(format!("expected a comma before {}", shown(after))),
        };
    }
    Ok(texts)
}

/// A quoted text at the beginning, and what follows it.
fn literal(rest: &str) -> Result<(String, &str), String> {
    let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'));
    let quote = quote.ok_or_else(|| format!("expected a quote before {}", shown(rest)))?;
    let mut chars = rest[1..].char_indices();
    let mut text = String::new();
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == quote => return Ok((text, &rest[1 + at + 1..])),
            '\\' => escape(&mut chars, &mut text)?,
            c => text.push(c),
        }
    }
    Err(format!("there is no quote behind {}", shown(rest)))
}

/// What stands behind a backslash.
fn escape(chars: &mut std::str::CharIndices<'_>, text: &mut String) -> Result<(), String> {
    let Some((_, c)) = chars.next() else { return Err("it ends with a backslash".into()) };
    let simple = match c {
        '\n' => return Ok(()),
        '\\' | '\'' | '"' => c,
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        'x' => code(chars, 2, 16, 0)?,
        'u' => code(chars, 4, 16, 0)?,
        'U' => code(chars, 8, 16, 0)?,
        '0'..='7' => {
            let more = chars.as_str().chars().take(2).take_while(|c| c.is_digit(8)).count();
            code(chars, more, 8, c.to_digit(8).unwrap_or_default())?
        }
        'N' => return Err("characters by name are not read".into()),
        // Python keeps the backslash of what is no escape.
        other => {
            text.push('\\');
            other
        }
    };
    text.push(simple);
    Ok(())
}

/// A character by its number, of which `value` has been read and `digits` more digits follow.
fn code(
    chars: &mut std::str::CharIndices<'_>,
    digits: usize,
    radix: u32,
    value: u32,
) -> Result<char, String> {
    let mut value = value;
    for _ in 0..digits {
        let digit = chars.next().and_then(|(_, c)| c.to_digit(radix));
        let digit = digit.ok_or("an escape lacks digits")?;
        value = value.checked_mul(radix).and_then(|value| value.checked_add(digit)).unwrap_or(u32::MAX);
    }
    char::from_u32(value).ok_or_else(|| format!("{value:#x} is no character"))
}

/// The beginning, for a message.
fn shown(text: &str) -> String {
    const LENGTH: usize = 40;
    let start: String = text.chars().take(LENGTH).collect();
    if text.chars().count() > LENGTH { format!("`{start}…`") } else { format!("`{start}`") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compared with what Python makes of them.
    #[test]
    fn lists_are_read_as_python_reads_them() {
        for (field, expected) in [
            ("[]", vec![]),
            (" ['a'] ", vec!["a"]),
            (r#"['a', "b's" ,'c\'s',]"#, vec!["a", "b's", "c's"]),
            (r"['\\frac{a}', '\frac', '\d', '\n']", vec![r"\frac{a}", "\u{c}rac", r"\d", "\n"]),
            (r"['\x41\u00e9\U0001F99C\101\0']", vec!["Aé🦜A\0"]),
            (r"['], [', '東京']", vec!["], [", "東京"]),
        ] {
            assert_eq!(python_list(field).unwrap(), expected, "{field}");
        }
    }

    #[test]
    fn what_is_no_list_of_texts_is_said() {
        for (field, expected) in [
            ("", "found ``"),
            ("stop", "found `stop`"),
            ("['a'", "found `['a'`"),
            ("['a' 'b']", "expected a comma before `'b'`"),
            ("['a', 7]", "expected a quote before `7`"),
            ("[,]", "expected a quote before `,`"),
            ("['a]", "there is no quote behind `'a`"),
            (r"['\]", "it ends with a backslash"),
            (r"['\x4']", "an escape lacks digits"),
            (r"['\ud800']", "0xd800 is no character"),
            (r"['\UFFFFFFFF']", "0xffffffff is no character"),
            (r"['\N{DASH}']", "characters by name are not read"),
        ] {
            assert_eq!(python_list(field).unwrap_err(), expected, "{field}");
        }
        assert!(python_list(&format!("['{}", "é".repeat(100_000))).unwrap_err().len() < 200);
    }
}
