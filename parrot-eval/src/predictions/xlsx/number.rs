//! Numbers as Python's `int` and `float` read them.

use crate::data::pandas::{is_python_int, python_int};

/// An integer of any size, which may have blanks around it, a sign, zeros in front and `_` between digits, as Python writes
/// it again.
pub(super) fn integer(text: &str) -> Option<String> {
    let text = text.trim();
    is_python_int(text).then(|| python_int(text))
}

/// A number with a fraction or an exponent, infinite where it is too large.
pub(super) fn float(text: &str) -> Option<f64> {
    let text = without_separators(text.trim())?;
    // Rust reads words, too.
    let has_words = text.bytes().any(|byte| byte.is_ascii_alphabetic() && !byte.eq_ignore_ascii_case(&b'e'));
    if has_words { None } else { text.parse().ok() }
}

/// A number without the `_` between its digits; `None` where one stands elsewhere.
fn without_separators(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let is_digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
    let is_right = |at: usize| is_digit(at.checked_sub(1)) && is_digit(Some(at + 1));
    text.match_indices('_').all(|(at, _)| is_right(at)).then(|| text.replace('_', ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Python 3.11 makes of them.
    #[test]
    fn numbers_are_read_as_python_does() {
        let long = "9".repeat(4300);
        let too_long = format!("0{long}");
        for (text, read) in [
            ("7", Some("7")),
            (" +007\n", Some("7")),
            ("-0", Some("0")),
            ("-1_000", Some("-1000")),
            ("18446744073709551616", Some("18446744073709551616")),
            (&long, Some(&*long)),
            (&too_long, None),
            ("1__0", None),
            ("_1", None),
            ("1_", None),
            ("- 1", None),
            ("+-1", None),
            ("", None),
            ("x", None),
            ("1.0", None),
        ] {
            assert_eq!(integer(text).as_deref(), read, "{text}");
        }
        for (text, read) in [
            (" 1.5\t", Some(1.5)),
            (".5", Some(0.5)),
            ("5.", Some(5.0)),
            ("-1_0.2_5e1_0", Some(-10.25e10)),
            ("1E-7", Some(1e-7)),
            ("1e999", Some(f64::INFINITY)),
            ("1_.5", None),
            (".", None),
            ("e", None),
            ("1e", None),
            ("inf", None),
            ("1.5.", None),
        ] {
            assert_eq!(float(text), read, "{text}");
        }
    }
}
