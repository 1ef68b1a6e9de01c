//! A spreadsheet's cell in the words in which Python writes what openpyxl and pandas make of it. Recorded with pandas 3.1.1
//! and openpyxl 3.1.5.

use std::borrow::Cow;

use super::dates::{Iso, date, duration, iso};
use super::number::{float, integer};
use super::strings::Texts;
use super::styles::{Format, Styles};
use super::xml::shown;
use crate::data::pandas::{Kind, python_bool, python_float};

/// What pandas has of a cell that is not empty.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'b> {
    /// Nothing, in a cell that counts as one with something in it: an error, or a date that Python has not.
    Missing,
    /// What is not missing, as Python writes it.
    Written(Kind, Cow<'b, str>),
}

/// What the cells of a spreadsheet refer to.
pub(super) struct Book {
    /// The texts that they share.
    pub(super) texts: Texts,
    /// Their formats.
    pub(super) styles: Styles,
    /// Whether dates are counted from 1904.
    pub(super) is_1904: bool,
}

impl Book {
    /// What a cell holds; `None` for an empty text.
    ///
    /// - kind: the cell's own word for what it holds
    /// - text: what it holds, which is not empty
    /// - style: the number of its style
    pub(super) fn value(
        &self,
        kind: &str,
        text: String,
        style: Option<&str>,
    ) -> Result<Option<Value<'_>>, String> {
        let format = self.format(style)?;
        Ok(match kind {
            "n" => Some(self.number(&text, format)?),
            "s" => written(Kind::Text, self.shared(&text)?.into()),
            "b" => {
                let number = integer(&text).ok_or_else(|| refused(&text, "0 or 1"))?;
                written(Kind::Truth, python_bool(number != "0").into())
            }
            "d" => match iso(&text).ok_or_else(|| refused(&text, "a date such as 2024-01-02T03:04:05"))? {
                Iso::Date(text) => written(Kind::Date, text.into()),
                Iso::Duration(text) => written(Kind::Duration, text.into()),
            },
            "e" => Some(Value::Missing),
            // "str", and words that nobody knows.
            _ => written(Kind::Text, text.into()),
        })
    }

    fn format(&self, style: Option<&str>) -> Result<Format, String> {
        Ok(match style {
            None => self.styles.format(0),
            Some("") => Format::Number,
            Some(text) => {
                let number = integer(text).ok_or_else(|| refused(text, "the number of a style"))?;
                // What no file has room for is no style.
                number.parse().map_or(Format::Number, |number| self.styles.format(number))
            }
        })
    }

    fn shared(&self, text: &str) -> Result<&str, String> {
        let number = integer(text).ok_or_else(|| refused(text, "the number of a text"))?;
        let shared = number.parse().ok().and_then(|number| self.texts.get(number));
        shared.ok_or_else(|| format!("it refers to text {} of {}", shown(text), self.texts.len()))
    }

    fn number(&self, text: &str, format: Format) -> Result<Value<'_>, String> {
        let refuse = || refused(text, "a number");
        let (kind, found) = if text.contains(['.', 'e', 'E']) {
            let number = float(text).ok_or_else(refuse)?;
            match format {
                Format::Number if number.is_finite() => (Kind::Number, Some(number_text(number))),
                Format::Number => return Err(refuse()),
                Format::Date => (Kind::Date, date(number, self.is_1904)),
                Format::Duration => (Kind::Duration, duration(number)),
            }
        } else {
            let number = integer(text).ok_or_else(refuse)?;
            let days = || number.parse().unwrap_or(f64::NAN);
            match format {
                Format::Date => (Kind::Date, date(days(), self.is_1904)),
                Format::Duration => (Kind::Duration, duration(days())),
                Format::Number => (Kind::Number, Some(number)),
            }
        };
        Ok(found.map_or(Value::Missing, |text| Value::Written(kind, text.into())))
    }
}

/// What is not empty; an empty text is nothing.
pub(super) fn written(kind: Kind, text: Cow<str>) -> Option<Value> {
    (!text.is_empty()).then_some(Value::Written(kind, text))
}

fn refused(text: &str, expected: &str) -> String {
    format!("expected {expected}, found `{}`", shown(text))
}

/// A number that is whole is an integer, of whatever size.
fn number_text(number: f64) -> String {
    // 0 is added for -0.0, which as an integer has no sign.
    if number.fract() == 0.0 { format!("{:.0}", number + 0.0) } else { python_float(number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_whole_are_integers() {
        for (number, text) in [
            (1.0, "1"),
            (-0.0, "0"),
            (1e16, "10000000000000000"),
            (123_456_789_012_345_696.0, "123456789012345696"),
            (2.5, "2.5"),
            (1e-7, "1e-07"),
        ] {
            assert_eq!(number_text(number), text);
        }
    }

    /// What pandas 3.1.1 with openpyxl 3.1.5 read from such cells.
    #[test]
    fn cells_hold_what_openpyxl_says() {
        let book = Book { texts: Texts::default(), styles: Styles::default(), is_1904: false };
        let value = |kind, text: &str| book.value(kind, text.into(), None);
        for (kind, text, of_kind, read) in [
            ("n", " 7 ", Kind::Number, "7"),
            ("n", "1e3", Kind::Number, "1000"),
            ("n", "18446744073709551616", Kind::Number, "18446744073709551616"),
            ("b", "2", Kind::Truth, "True"),
            ("b", "-0", Kind::Truth, "False"),
            ("d", "T03:04", Kind::Date, "03:04:00"),
            ("d", "PT36H", Kind::Duration, "1 day, 12:00:00"),
            ("str", "_x0041_", Kind::Text, "_x0041_"),
            ("str", "#SPILL!", Kind::Text, "#SPILL!"),
            ("N", "7", Kind::Text, "7"),
            ("", "7", Kind::Text, "7"),
        ] {
            assert_eq!(value(kind, text), Ok(Some(Value::Written(of_kind, read.into()))), "{kind} {text}");
        }
        for error in ["#SPILL!", "#DIV/0!", "anything"] {
            assert_eq!(value("e", error), Ok(Some(Value::Missing)));
        }
        for (kind, text, problem) in [
            ("n", "\u{1b}x", "expected a number, found `\u{fffd}x`"),
            ("n", "1e999", "expected a number, found `1e999`"),
            ("n", "nan", "expected a number, found `nan`"),
            ("b", "true", "expected 0 or 1, found `true`"),
            ("d", "today", "expected a date such as 2024-01-02T03:04:05, found `today`"),
            ("s", "x", "expected the number of a text, found `x`"),
            ("s", "0", "it refers to text 0 of 0"),
        ] {
            assert_eq!(value(kind, text), Err(problem.into()), "{kind} {text}");
        }
    }
}
