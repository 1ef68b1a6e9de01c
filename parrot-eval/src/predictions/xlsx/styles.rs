//! Which cells hold dates: to a spreadsheet they are numbers in a format for dates.

use std::collections::BTreeMap;

use super::number::integer;
use super::package::{Package, no_xlsx};
use super::xml::{Xml, shown};

/// openpyxl looks for it nowhere else.
const PART: &str = "xl/styles.xml";

/// What a number is in its cell's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// A number.
    Number,
    /// A date, a time or both.
    Date,
    /// A length of time.
    Duration,
}

/// The formats of a spreadsheet's cells.
#[derive(Default)]
pub(super) struct Styles {
    formats: Vec<Format>,
}

impl Styles {
    /// Reads them; without that part all numbers are numbers.
    pub(super) fn read(package: &mut Package) -> Result<Self, String> {
        if !package.has(PART) {
            return Ok(Self::default());
        }
        let (mut own, mut cells) = (BTreeMap::new(), Vec::new());
        let mut xml = package.xml(PART)?;
        while let Some(tag) = xml.start()? {
            match (xml.depth(), tag.name()) {
                (2, "numFmts") => own = own_formats(&mut xml)?,
                (2, "cellXfs") => cells = cell_formats(&mut xml)?,
                _ => {}
            }
        }
        let format = |id: i64| own.get(&id).copied().unwrap_or_else(|| built_in(id));
        Ok(Self { formats: cells.into_iter().map(format).collect() })
    }

    /// The format of the cells of a style.
    pub(super) fn format(&self, style: i64) -> Format {
        let format = usize::try_from(style).ok().and_then(|style| self.formats.get(style));
        format.copied().unwrap_or(Format::Number)
    }
}

/// The formats that the file itself describes.
fn own_formats(xml: &mut Xml) -> Result<BTreeMap<i64, Format>, String> {
    let mut formats = BTreeMap::new();
    while let Some(tag) = xml.child(2)? {
        if tag.name() == "numFmt"
            && let [Some(id), Some(code)] = xml.attributes(&tag, ["numFmtId", "formatCode"])?
        {
            formats.insert(format_id(&id)?, described(&code));
        }
    }
    Ok(formats)
}

/// The numbers of the formats of the styles, which cells name by their places.
fn cell_formats(xml: &mut Xml) -> Result<Vec<i64>, String> {
    let mut formats = Vec::new();
    while let Some(tag) = xml.child(2)? {
        if tag.name() == "xf" {
            let [id] = xml.attributes(&tag, ["numFmtId"])?;
            formats.push(id.map_or(Ok(0), |id| format_id(&id))?);
        }
    }
    Ok(formats)
}

fn format_id(text: &str) -> Result<i64, String> {
    let number = integer(text).and_then(|number| number.parse().ok());
    number.ok_or_else(|| no_xlsx(&format!("its part {PART}: `{}` is no format's number", shown(text))))
}

/// A format that no file describes. Those of East Asian dates (27 to 36 and 50 to 58) are not known to openpyxl.
fn built_in(id: i64) -> Format {
    match id {
        14..=22 | 45 | 47 => Format::Date,
        46 => Format::Duration,
        _ => Format::Number,
    }
}

/// What openpyxl takes a format for by its code, as `yyyy-mm-dd;@`: only what stands before a semicolon counts, even within quotes.
fn described(code: &str) -> Format {
    let code = code.split(';').next().unwrap_or_default();
    let lower = code.to_ascii_lowercase();
    let mut before = ' ';
    let is_date = without_literals(code).chars().any(|c| {
        let is_skipped = matches!(before, '_' | '\\');
        before = c;
        !is_skipped && matches!(c.to_ascii_lowercase(), 'd' | 'm' | 'h' | 'y' | 's')
    });
    match is_date {
        true if ELAPSED.iter().any(|unit| lower.contains(unit)) => Format::Duration,
        true => Format::Date,
        false => Format::Number,
    }
}

/// Hours, minutes or seconds that are not counted anew each day, hour or minute.
const ELAPSED: [&str; 6] = ["[h]", "[hh]", "[m]", "[mm]", "[s]", "[ss]"];

/// A format without what it has in quotes and, but for elapsed time in small letters, in brackets: colours, conditions, languages.
fn without_literals(code: &str) -> String {
    // Where none closes there is nothing to look for.
    let last = code.rfind(']').unwrap_or(0);
    let mut kept = String::new();
    let mut at = 0;
    while let Some(c) = code[at..].chars().next() {
        let behind = at + c.len_utf8();
        let rest = &code[behind..];
        let end = match c {
            '"' => rest.find(['"', '\n']).filter(|end| rest[*end..].starts_with('"')),
            '[' if at < last && !ELAPSED.iter().any(|unit| code[at..].starts_with(unit)) => rest.find(']'),
            _ => None,
        };
        at = end.map_or(behind, |end| behind + end + 1);
        if end.is_none() {
            kept.push(c);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What openpyxl 3.1.5 says of these formats.
    #[test]
    fn formats_are_told_apart_as_openpyxl_does() {
        for (code, format) in [
            ("General", Format::Number),
            ("Standard", Format::Date),
            ("0.00", Format::Number),
            ("0.00E+00", Format::Number),
            ("yyyy-mm-dd", Format::Date),
            ("YYYY/MM/DD", Format::Date),
            ("yyyy\"年\"m\"月\"d\"日\";@", Format::Date),
            ("[$-411]ge.m.d", Format::Date),
            ("[$-411]0.0", Format::Number),
            ("[Red]0", Format::Number),
            ("[Red", Format::Date),
            ("0 \"days\"", Format::Number),
            ("0 \"days", Format::Date),
            ("0;\"d\"", Format::Number),
            ("\";d\"", Format::Number),
            ("0_d", Format::Number),
            ("0\\d", Format::Number),
            ("0_\"x\"d", Format::Number),
            ("[h]:mm", Format::Duration),
            ("[HH]:mm", Format::Duration),
            ("[H]", Format::Number),
            ("[ss]", Format::Duration),
            ("[hhh]:mm", Format::Date),
            ("0;[h]:mm", Format::Number),
        ] {
            assert_eq!(described(code), format, "{code}");
        }
        assert_eq!([14, 31, 46, 57, 164].map(built_in), {
            [Format::Date, Format::Number, Format::Duration, Format::Number, Format::Number]
        });
    }
}
