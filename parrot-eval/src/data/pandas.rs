//! What pandas makes of a column of cells, and what comes back from the spreadsheet that the kits write and read again.
//!
//! A column all of whose cells are numbers becomes numbers, one of `True` and `False` truth values, in `read_csv` as in
//! `read_excel`; as text they are written anew: `007` is 7, and 7.0 where a cell of the column is missing or has a
//! fraction. In between stands an `.xlsx`, which knows no 7.0, takes what begins with `=` for a formula, and cuts long
//! cells. Recorded with pandas 3.1.1, openpyxl 3.1.5 and XlsxWriter 3.3.1.

use crate::data::table::is_missing;
use crate::protocol::Protocol;

/// Characters of a spreadsheet's cell at most.
pub(crate) const LONGEST_CELL: usize = 32_767;

/// A column as pandas has it.
#[derive(Debug, PartialEq)]
enum Column {
    /// Whole numbers as Python writes them, of any size; `None` for what is missing.
    Whole(Vec<Option<String>>),
    /// Numbers; `None` for what is missing.
    Real(Vec<Option<f64>>),
    /// Truth values; `None` for what is missing.
    Truth(Vec<Option<bool>>),
    /// Anything else.
    Text,
}

/// What pandas reads a column of cells from: the two differ in what they make of integers beyond 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Csv,
    Excel,
}

/// What a column is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// Whole numbers; those of Python's own, which no array of pandas holds, leave room for gaps.
    Whole,
    /// Numbers, if all of them are.
    Real,
    /// Anything else.
    Text,
}

/// What `read_csv` reads the cells that are there as. It tries one type after the other, each until a cell does not fit.
fn reading_in_csv<'a>(present: impl Iterator<Item = &'a str> + Clone, has_gap: bool) -> Reading {
    let present = present.map(trimmed);
    let fits = |cell: &str| is_integer(cell) && python_int(cell).parse::<i64>().is_ok();
    match present.clone().find(|cell| !fits(cell)) {
        None if has_gap => return Reading::Real,
        None => return Reading::Whole,
        Some(cell) if !is_integer(cell) => return Reading::Real,
        Some(_) => {}
    }
    // 64 bits without a sign. Behind a minus nothing is looked at.
    let (mut is_unsigned, mut has_minus, mut is_larger) = (false, false, false);
    for cell in present.clone() {
        if cell.starts_with('-') {
            has_minus = true;
        } else if !is_integer(cell) {
            return Reading::Real;
        } else if python_int(cell).parse::<u64>().is_err() {
            is_larger = true;
            break;
        } else {
            is_unsigned |= python_int(cell).parse::<i64>().is_err();
        }
    }
    let is_python = is_larger || has_minus;
    if !is_larger && is_unsigned && (has_gap || has_minus) || is_python && !present.clone().all(is_python_int)
    {
        Reading::Text
    } else {
        Reading::Whole
    }
}

/// Whether Python's `int` takes this: unlike pandas' own parsers with underscores between digits, but with a limit to them.
pub(crate) fn is_python_int(cell: &str) -> bool {
    const MOST_DIGITS: usize = 4300;
    let digits = cell.strip_prefix(['+', '-']).unwrap_or(cell);
    let are_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    digits.split('_').all(are_digits) && digits.replace('_', "").len() <= MOST_DIGITS
}

/// What `read_excel` reads the cells that are there as.
fn reading_in_excel<'a>(present: impl Iterator<Item = &'a str> + Clone, has_gap: bool) -> Reading {
    let integers = present.clone().map(trimmed).filter(|cell| is_integer(cell)).map(python_int);
    let (mut is_unsigned, mut is_negative, mut is_endless) = (false, false, false);
    for digits in integers {
        match digits.parse::<i64>() {
            Ok(number) => is_negative |= number < 0,
            Err(_) => is_unsigned |= digits.parse::<u64>().is_ok(),
        }
        is_endless |= !is_python_int(&digits);
    }
    // What no type of pandas holds at once.
    if is_unsigned && (has_gap || is_negative) || is_endless {
        Reading::Text
    } else if !has_gap && present.clone().map(trimmed).all(is_integer) {
        Reading::Whole
    } else {
        Reading::Real
    }
}

impl Column {
    fn from_cells<'a>(cells: impl Iterator<Item = Option<&'a str>> + Clone, source: Source) -> Self {
        let present = || cells.clone().flatten();
        if present().next().is_none() {
            return Self::Text;
        }
        if present().all(|cell| truth(cell).is_some()) {
            return Self::Truth(cells.map(|cell| cell.and_then(truth)).collect());
        }
        let has_gap = cells.clone().any(|cell| cell.is_none());
        let reading = match source {
            Source::Csv => reading_in_csv(present(), has_gap),
            Source::Excel => reading_in_excel(present(), has_gap),
        };
        match reading {
            Reading::Whole => {
                Self::Whole(cells.map(|cell| cell.map(|cell| python_int(trimmed(cell)))).collect())
            }
            Reading::Real if present().all(|cell| real(cell).is_some()) => {
                Self::Real(cells.map(|cell| cell.and_then(real)).collect())
            }
            _ => Self::Text,
        }
    }

    /// The cells as Python writes them; `None` where they are to stay as they are.
    fn written(self) -> Option<Vec<Option<String>>> {
        match self {
            Self::Whole(numbers) => Some(numbers),
            Self::Real(numbers) => Some(numbers.iter().map(|number| number.map(python_float)).collect()),
            Self::Truth(values) => Some(values.iter().map(|value| value.map(python_bool)).collect()),
            Self::Text => None,
        }
    }
}

/// A column of a TSV file as its cells go into prompts; `None` where they are those of the file.
pub(crate) fn read_csv(cells: &[Option<&str>]) -> Option<Vec<Option<String>>> {
    let column = match Column::from_cells(cells.iter().copied(), Source::Csv) {
        // What are integers but for gaps has been read as such, and those have no -0.
        Column::Real(mut numbers) if cells.iter().flatten().all(|cell| is_integer(trimmed(cell))) => {
            numbers.iter_mut().flatten().for_each(|number| *number += 0.0);
            Column::Real(numbers)
        }
        column => column,
    };
    column.written()
}

/// What a cell of a spreadsheet holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text.
    Text,
    /// A number.
    Number,
    /// A truth value.
    Truth,
    /// A date, a time or both.
    Date,
    /// A length of time.
    Duration,
}

/// How many cells of each kind a column of a spreadsheet has.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Kinds {
    texts: usize,
    numbers: usize,
    truths: usize,
    dates: usize,
    durations: usize,
}

impl Kinds {
    /// Counts a cell.
    pub(crate) fn add(&mut self, kind: Kind) {
        let count = match kind {
            Kind::Text => &mut self.texts,
            Kind::Number => &mut self.numbers,
            Kind::Truth => &mut self.truths,
            Kind::Date => &mut self.dates,
            Kind::Duration => &mut self.durations,
        };
        *count += 1;
    }
}

/// A column of a spreadsheet, whose cells are given as Python writes each of them, as pandas reads all of it; `None` where they
/// stay as they are. So does a column of nothing but texts: what becomes of it is the matter of [`through_xlsx`].
pub(crate) fn read_excel(cells: &[Option<&str>], kinds: &Kinds) -> Option<Vec<Option<String>>> {
    let Kinds { texts, numbers, truths, dates, durations } = *kinds;
    // Words for a missing value are none among dates and lengths of time, of which pandas makes a column of their own.
    let present = || cells.iter().flatten().filter(|cell| !is_missing(cell));
    let are_times = numbers + truths == 0 && texts == cells.iter().flatten().count() - present().count();
    let or_no_time = |write: fn(&str) -> String| {
        let cells = cells.iter().map(|cell| cell.filter(|cell| !is_missing(cell)));
        Some(cells.map(|cell| Some(cell.map_or_else(|| NOT_A_TIME.into(), write))).collect())
    };
    if are_times && durations > 0 && dates == 0 {
        return or_no_time(pandas_duration);
    }
    // A day without a time, and a time without a day, are other things to Python.
    if are_times && dates > 0 && durations == 0 && present().all(|cell| is_date_and_time(cell)) {
        return or_no_time(str::to_owned);
    }
    let is_of_truths = texts + numbers == 0 && cells.iter().all(Option::is_some);
    if numbers + truths == 0 || dates + durations > 0 || is_of_truths {
        return None;
    }
    // A text that says so is no truth value.
    let said = cells.iter().flatten().filter(|cell| matches!(**cell, "True" | "False")).count();
    if said > truths {
        return None;
    }
    let as_number = |cell: &str| match cell {
        "True" => "1".to_string(),
        "False" => "0".to_string(),
        cell => cell.to_string(),
    };
    let cells: Vec<Option<String>> =
        cells.iter().map(|cell| cell.filter(|cell| !is_missing(cell)).map(as_number)).collect();
    Column::from_cells(cells.iter().map(Option::as_deref), Source::Excel).written()
}

/// What pandas has in the place of a date or a length of time that is missing.
pub(crate) const NOT_A_TIME: &str = "NaT";

/// Whether a date, as Python writes it, has a day and a time: `2023-03-15 06:00:00`.
fn is_date_and_time(date: &str) -> bool {
    date.contains('-') && date.contains(':')
}

/// Python's `1 day, 12:00:00` as pandas writes it, `1 days 12:00:00`.
fn pandas_duration(text: &str) -> String {
    let (days, clock) = text.split_once(" day").unwrap_or(("0", text));
    let clock = clock.trim_start_matches(['s', ',', ' ']);
    let sign = if days.starts_with('-') { "+" } else { "" };
    let zero = if clock.find(':') == Some(1) { "0" } else { "" };
    format!("{days} days {sign}{zero}{clock}")
}

/// Some of a column's cells, as [`read_csv`] has them, once they have been through a protocol's spreadsheet: as they are
/// scored, where only the rows that have an answer stand in it. `None` where they stay as they are.
///
/// - rewritten: whether [`read_csv`] took the whole column for numbers or truth values
pub(crate) fn through_xlsx_again(
    cells: &[Option<&str>],
    rewritten: bool,
    protocol: Protocol,
) -> Option<Vec<Option<String>>> {
    let typed = if rewritten { Column::from_cells(cells.iter().copied(), Source::Csv) } else { Column::Text };
    let column = match typed {
        Column::Whole(_) | Column::Real(_) => {
            let back = cells.iter().map(|cell| cell.and_then(real).map(number_in_xlsx));
            let back: Vec<Option<String>> = back.collect();
            let read = Column::from_cells(back.iter().map(Option::as_deref), Source::Excel).written();
            return Some(read.unwrap_or(back));
        }
        // With a gap a spreadsheet's truth values come back as numbers.
        Column::Truth(values) if values.contains(&None) => {
            Column::Real(values.into_iter().map(|value| value.map(f64::from)).collect())
        }
        Column::Text => {
            let back: Vec<Option<String>> = cells
                .iter()
                .map(|cell| cell.and_then(|text| xlsx_cell(text, writes_formulas(protocol))))
                .collect();
            let read = Column::from_cells(back.iter().map(Option::as_deref), Source::Excel)
                .written()
                .unwrap_or(back);
            let is_as_it_was = read.iter().map(Option::as_deref).eq(cells.iter().copied());
            return (!is_as_it_was).then_some(read);
        }
        column => column,
    };
    column.written()
}

/// The kit of 2024 writes what begins with `=` as a formula, whose value nobody computes.
fn writes_formulas(protocol: Protocol) -> bool {
    protocol != Protocol::Kit2026_08
}

/// The column of predictions as a kit reads it from the spreadsheet that it wrote.
///
/// - is_read: whether the prediction at a place has been read from a spreadsheet: then what writing changes has been changed,
///   or was never so
pub(crate) fn through_xlsx(
    predictions: &[&str],
    is_read: impl Fn(usize) -> bool,
    protocol: Protocol,
) -> Vec<String> {
    let formulas = writes_formulas(protocol);
    let cell = |(at, text): (usize, &&str)| match is_read(at) {
        true => (!is_missing(text)).then(|| (*text).to_string()),
        false => xlsx_cell(text, formulas),
    };
    let cells: Vec<Option<String>> = predictions.iter().enumerate().map(cell).collect();
    let written =
        Column::from_cells(cells.iter().map(Option::as_deref), Source::Excel).written().unwrap_or(cells);
    written.into_iter().map(|cell| cell.unwrap_or_else(|| "nan".into())).collect()
}

/// A text that is written into a spreadsheet's cell and read again; `None` for what is missing then.
fn xlsx_cell(text: &str, formulas: bool) -> Option<String> {
    let is_formula =
        text.len() > 1 && (text.starts_with('=') || (text.starts_with("{=") && text.ends_with('}')));
    if formulas && is_formula {
        return Some("0".into());
    }
    let mut cell = String::with_capacity(text.len());
    for c in text.chars().take(LONGEST_CELL) {
        if c < ' ' && c != '\t' && c != '\n' {
            cell += &format!("_x{:04X}_", u32::from(c));
        } else {
            cell.push(c);
        }
    }
    (!is_missing(&cell)).then_some(cell)
}

/// A number that is written into a spreadsheet's cell, in 16 digits, and read again as a whole one where it is that.
fn number_in_xlsx(number: f64) -> String {
    let number: f64 = format!("{number:.15e}").parse().unwrap_or(number);
    if number.fract() == 0.0 { python_int(&format!("{number:.0}")) } else { python_float(number) }
}

/// A cell without what C calls space around it, as pandas' parsers read numbers.
fn trimmed(cell: &str) -> &str {
    cell.trim_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r'])
}

fn is_integer(cell: &str) -> bool {
    let digits = cell.strip_prefix(['+', '-']).unwrap_or(cell);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// An integer as Python writes it: no plus, no underscores, no zeros in front, no -0.
pub(crate) fn python_int(integer: &str) -> String {
    let digits = integer.trim_start_matches(['+', '-']).replace('_', "");
    match digits.trim_start_matches('0') {
        "" => "0".into(),
        digits if integer.starts_with('-') => format!("-{digits}"),
        digits => digits.into(),
    }
}

/// Like Python's `float`, but for `nan`, which is missing, and underscores.
fn real(cell: &str) -> Option<f64> {
    let cell = trimmed(cell);
    let word = cell.trim_start_matches(['+', '-']).to_ascii_lowercase();
    let is_number =
        matches!(word.as_str(), "inf" | "infinity") || cell.bytes().any(|byte| byte.is_ascii_digit());
    cell.parse().ok().filter(|_| is_number)
}

fn truth(cell: &str) -> Option<bool> {
    if cell.eq_ignore_ascii_case("true") {
        Some(true)
    } else {
        cell.eq_ignore_ascii_case("false").then_some(false)
    }
}

pub(crate) fn python_bool(value: bool) -> String {
    if value { "True".into() } else { "False".into() }
}

/// Python's `repr` of a float: the shortest digits that give it back, with an exponent from 1e16 up and below 1e-4.
pub(crate) fn python_float(number: f64) -> String {
    if number.is_infinite() {
        return if number > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let size = number.abs();
    if number != 0.0 && !(1e-4..1e16).contains(&size) {
        let text = format!("{number:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    format!("{number:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(cells: &[&'static str]) -> Vec<Option<&'static str>> {
        cells.iter().map(|cell| (!cell.is_empty()).then_some(*cell)).collect()
    }

    fn shown(column: Option<Vec<Option<String>>>, cells: &[&str]) -> Vec<String> {
        let as_they_are = || cells.iter().map(|cell| Some((*cell).to_string())).collect();
        let cells: Vec<Option<String>> = column.unwrap_or_else(as_they_are);
        cells.into_iter().map(|cell| cell.unwrap_or_else(|| "nan".into())).collect()
    }

    /// What pandas 3.1.1 printed for these columns after `read_csv`, and after `to_excel` and `read_excel`.
    #[test]
    fn columns_are_rewritten_as_pandas_does() {
        for (cells, csv, xlsx) in [
            (&["7", "007", "7.0"][..], &["7.0", "7.0", "7.0"][..], &["7", "7", "7"][..]),
            (&["7", "8", ""], &["7.0", "8.0", "nan"], &["7.0", "8.0", "nan"]),
            (&["7", "007"], &["7", "7"], &["7", "7"]),
            (&["True", "False"], &["True", "False"], &["True", "False"]),
            (&["true", "FALSE"], &["True", "False"], &["True", "False"]),
            (&["TrUe", "False"], &["True", "False"], &["True", "False"]),
            (&["True", ""], &["True", "nan"], &["1.0", "nan"]),
            (&["1e5", "2"], &["100000.0", "2.0"], &["100000", "2"]),
            (&["0.10", ".5"], &["0.1", "0.5"], &["0.1", "0.5"]),
            (&["1,000", "2"], &["1,000", "2"], &["1,000", "2"]),
            (&[" 7", "8 "], &["7", "8"], &["7", "8"]),
            (&["inf", "1"], &["inf", "1.0"], &["inf", "1.0"]),
            (&["1_0", "2"], &["1_0", "2"], &["1_0", "2"]),
            (&["-0", "1"], &["0", "1"], &["0", "1"]),
            (&["+7", "1"], &["7", "1"], &["7", "1"]),
            (&["0x1", "2"], &["0x1", "2"], &["0x1", "2"]),
            (&["1e400", "1"], &["inf", "1.0"], &["inf", "1.0"]),
            (&["1", "True"], &["1", "True"], &["1", "True"]),
            (&["99999999999999999999", "1"], &["99999999999999999999", "1"], &["100000000000000000000", "1"]),
            (&["cat", "7"], &["cat", "7"], &["cat", "7"]),
            (&["07", "123456789012345678"], &["7", "123456789012345678"], &["7", "123456789012345696"]),
            (&["07", "9223372036854775808"], &["7", "9223372036854775808"], &["7", "9223372036854775808"]),
            (&["07", "18446744073709551616"], &["7", "18446744073709551616"], &["7", "18446744073709549568"]),
            (&["0.30000000000000004", "1"], &["0.30000000000000004", "1.0"], &["0.3", "1.0"]),
            (&["1e16", "7.0"], &["1e+16", "7.0"], &["10000000000000000", "7"]),
        ] {
            assert_eq!(shown(read_csv(&some(cells)), cells), csv, "{cells:?}");
            let read = read_csv(&some(cells));
            let rewritten = read.is_some();
            let read = read.unwrap_or_else(|| some(cells).iter().map(|cell| cell.map(Into::into)).collect());
            let read: Vec<Option<&str>> = read.iter().map(Option::as_deref).collect();
            let back = through_xlsx_again(&read, rewritten, Protocol::Kit2024_08);
            let read: Vec<&str> = read.iter().map(|cell| cell.unwrap_or("nan")).collect();
            assert_eq!(shown(back, &read), xlsx, "{cells:?}");
        }
    }

    /// Found by `tests/kits.py` (seeds 1320 and 1445): an option that is a formula to the kit of 2024.
    #[test]
    fn options_of_text_go_through_the_spreadsheet_too() {
        let cells = some(&["=A", "dog", "", "a\rb"]);
        let back = |protocol| shown(through_xlsx_again(&cells, false, protocol), &["=A", "dog", "", "a\rb"]);
        assert_eq!(read_csv(&cells), None);
        assert_eq!(back(Protocol::Kit2024_08), ["0", "dog", "nan", "a_x000D_b"]);
        assert_eq!(back(Protocol::Kit2026_08), ["=A", "dog", "nan", "a_x000D_b"]);
        assert_eq!(through_xlsx_again(&some(&["cat", "dog", ""]), false, Protocol::Kit2024_08), None);
        // Seed 1697: numbers with a gap, at whose row there is no answer.
        let read = |cells: &[&'static str], rewritten| {
            shown(through_xlsx_again(&some(cells), rewritten, Protocol::Kit2026_08), cells)
        };
        assert_eq!(read(&["1.0", "1.0"], true), ["1", "1"]);
        // And texts of which those are left that are numbers.
        assert_eq!(read(&["007", "7.0"], false), ["7.0", "7.0"]);
    }

    /// Recorded in the same way, from a column of texts.
    #[test]
    fn predictions_come_back_from_a_spreadsheet_as_the_kits_read_them() {
        for (texts, read) in [
            (["7", "007"], ["7", "7"]),
            (["7", "A"], ["7", "A"]),
            (["7.0", "3"], ["7.0", "3.0"]),
            (["TRUE", "false"], ["True", "False"]),
            (["True", "A"], ["True", "A"]),
            (["=A", "B"], ["0", "B"]),
            (["=A", "=B"], ["0", "0"]),
            (["{=A}", "B"], ["0", "B"]),
            (["A\r\nx", "B"], ["A_x000D_\nx", "B"]),
            (["a_x0041_b", "B"], ["a_x0041_b", "B"]),
            (["a\u{1}b", "c"], ["a_x0001_b", "c"]),
            (["\tA", " A "], ["\tA", " A "]),
            (["1e5", "2"], ["100000.0", "2.0"]),
            ([" 7", "8"], ["7", "8"]),
            (["7", "None"], ["7.0", "nan"]),
            (["", "A"], ["nan", "A"]),
            (["+A", "'A"], ["+A", "'A"]),
            (["٣", "1"], ["٣", "1"]),
        ] {
            assert_eq!(through_xlsx(&texts, |_| false, Protocol::Kit2024_08), read, "{texts:?}");
        }
        assert_eq!(through_xlsx(&["=A", "{=B}"], |_| false, Protocol::Kit2026_08), ["=A", "{=B}"]);
        // What has been read from a spreadsheet is not written again, but its column is read as any other.
        for (texts, read) in [
            (["=A", "A\rb"], ["=A", "A\rb"]),
            (["07", "8"], ["7", "8"]),
            (["7.0", "nan"], ["7.0", "nan"]),
            (["True", "False"], ["True", "False"]),
        ] {
            assert_eq!(through_xlsx(&texts, |_| true, Protocol::Kit2024_08), read, "{texts:?}");
        }
        assert_eq!(through_xlsx(&["=A", "=A"], |at| at == 0, Protocol::Kit2024_08), ["=A", "0"]);
        let long = "x".repeat(LONGEST_CELL + 1);
        assert_eq!(through_xlsx(&[&long, "A"], |_| false, Protocol::Kit2026_08)[0].len(), LONGEST_CELL);
    }

    /// They stayed text. What pandas 3.1.1 printed for these columns of a TSV file.
    #[test]
    fn integers_beyond_64_bits_are_numbers_beside_fractions() {
        const HUGE: &str = "9223372036854775808";
        const HUGER: &str = "18446744073709551616";
        const LOW: &str = "-9223372036854775809";
        for (cells, csv) in [
            (&[HUGE, "1e16"][..], &["9.223372036854776e+18", "1e+16"][..]),
            (&["1e16", HUGE], &["1e+16", "9.223372036854776e+18"]),
            (&[HUGE, "-1", "1e16"], &["9.223372036854776e+18", "-1.0", "1e+16"]),
            (&[HUGE, "", "2.5"], &["9.223372036854776e+18", "nan", "2.5"]),
            (&[LOW, "1e16"], &["-9.223372036854776e+18", "1e+16"]),
            (&["1e16", HUGER], &["1e+16", "1.8446744073709552e+19"]),
            (&[HUGER, "1e16"], &[HUGER, "1e16"]),
            (&[HUGE, "07"], &[HUGE, "7"]),
            (&["07", HUGER], &["7", HUGER]),
            (&["+07", "-1", HUGER], &["7", "-1", HUGER]),
            (&["07", "", HUGER], &["7", "nan", HUGER]),
            (&["07", "", HUGE, HUGER], &["7", "nan", HUGE, HUGER]),
            (&["-00", "99999999999999999999999"], &["0", "99999999999999999999999"]),
            (&["07", LOW, ""], &["7", LOW, "nan"]),
            (&["07", LOW, "7.0"], &["7.0", "-9.223372036854776e+18", "7.0"]),
            (&["07", "-1", HUGE], &["07", "-1", HUGE]),
            (&["-0", HUGE], &["-0", HUGE]),
            (&["07", HUGE, ""], &["07", HUGE, ""]),
            (&["07", HUGE, LOW], &["07", HUGE, LOW]),
            (&["07", HUGER, "x"], &["07", HUGER, "x"]),
            (&["07", "9223372036854775807", ""], &["7.0", "9.223372036854776e+18", "nan"]),
            (&["07", "00000000000000000000000007"], &["7", "7"]),
            (&[HUGE, "1"], &[HUGE, "1"]),
            (&[HUGE, ""], &[HUGE, ""]),
            (&[LOW, HUGE], &[LOW, HUGE]),
            (&[HUGE, "A"], &[HUGE, "A"]),
            (&["", "-0"], &["nan", "0.0"]),
            (&["", "-0.0"], &["nan", "-0.0"]),
            (&["-0", "1.5"], &["-0.0", "1.5"]),
        ] {
            assert_eq!(shown(read_csv(&some(cells)), cells), csv, "{cells:?}");
        }
    }

    /// What pandas 3.1.1 read from a spreadsheet's column of these texts.
    #[test]
    fn integers_beyond_64_bits_come_back_from_a_spreadsheet() {
        const HUGE: &str = "9223372036854775808";
        const HUGER: &str = "18446744073709551616";
        const LOW: &str = "-9223372036854775809";
        for (texts, read) in [
            (&["07", HUGE][..], &["7", HUGE][..]),
            (&["-0", HUGE], &["0", HUGE]),
            (&["-07", HUGE], &["-07", HUGE]),
            (&["-1", HUGER], &["-1", HUGER]),
            (&["07", HUGE, LOW], &["7", HUGE, LOW]),
            (&["-1", HUGE, HUGER], &["-1", HUGE, HUGER]),
            (&["", "07", HUGE], &["nan", "07", HUGE]),
            (&["", "07", HUGER], &["nan", "7.0", "1.8446744073709552e+19"]),
            (&["", "07", LOW], &["nan", "7.0", "-9.223372036854776e+18"]),
            (&["07", HUGER, "7.0"], &["7.0", "1.8446744073709552e+19", "7.0"]),
            (&["-01", HUGE, "7.5"], &["-01", HUGE, "7.5"]),
            (&["-1.0", HUGE], &["-1.0", "9.223372036854776e+18"]),
        ] {
            assert_eq!(through_xlsx(texts, |_| false, Protocol::Kit2024_08), read, "{texts:?}");
        }
    }

    /// What pandas 3.1.1 printed for these columns of a TSV file. Python's `int` takes an underscore, but pandas asks it only
    /// where it has come across an integer of more than 64 bits before what it cannot read itself.
    #[test]
    fn underscores_are_read_where_python_reads_the_column() {
        const HUGE: &str = "9223372036854775808";
        const HUGER: &str = "18446744073709551616";
        const LOW: &str = "-9223372036854775809";
        let (zeros, more_zeros) = ("0".repeat(4300), "0".repeat(4301));
        for (cells, csv) in [
            (&[HUGER, "1_0"][..], &[HUGER, "10"][..]),
            (&["1_0", HUGER], &["1_0", HUGER]),
            (&[HUGER, " -1_0 ", "+0_7", "", "00"], &[HUGER, "-10", "7", "nan", "0"]),
            (&[HUGER, "1__0"], &[HUGER, "1__0"]),
            (&[HUGER, "_1"], &[HUGER, "_1"]),
            (&[HUGER, "1_"], &[HUGER, "1_"]),
            (&[HUGER, "1_0", "7.0"], &[HUGER, "1_0", "7.0"]),
            (&[HUGER, "\u{661}"], &[HUGER, "\u{661}"]),
            (&[HUGER, "7\u{b}"], &[HUGER, "7"]),
            (&[HUGE, "1_0"], &[HUGE, "1_0"]),
            (&[HUGE, HUGER, "1_0"], &[HUGE, HUGER, "10"]),
            (&[LOW, "1_0"], &[LOW, "1_0"]),
            (&[LOW, "-1_0"], &[LOW, "-10"]),
            (&[LOW, "-1_0", HUGE], &[LOW, "-1_0", HUGE]),
            (&[LOW, "-7.5"], &[LOW, "-7.5"]),
            (&[LOW, "7.5"], &["-9.223372036854776e+18", "7.5"]),
            (&["1_0", "8"], &["1_0", "8"]),
            (&["7\n", "\u{c}8"], &["7", "8"]),
            (&["7\r", "8.5"], &["7.0", "8.5"]),
            (&["\u{a0}7", "8"], &["\u{a0}7", "8"]),
        ] {
            let cells = some(cells);
            let as_text: Vec<&str> = cells.iter().map(|cell| cell.unwrap_or_default()).collect();
            assert_eq!(shown(read_csv(&cells), &as_text), csv, "{cells:?}");
        }
        let read = |zeros: &str| read_csv(&[Some(HUGER), Some(zeros)]).is_some();
        assert_eq!((read(&zeros), read(&more_zeros)), (true, false));
        // From a spreadsheet Python's `int` gets no such cell.
        let texts = ["1_0", HUGER];
        assert_eq!(through_xlsx(&texts, |_| false, Protocol::Kit2024_08), texts);
    }

    #[test]
    fn floats_are_written_as_python_does() {
        for (number, text) in [
            (7.0, "7.0"),
            (0.1, "0.1"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e-5, "1.5e-05"),
            (0.0001, "0.0001"),
            (-0.0, "-0.0"),
            (1e300, "1e+300"),
        ] {
            assert_eq!(python_float(number), text);
        }
    }
}
