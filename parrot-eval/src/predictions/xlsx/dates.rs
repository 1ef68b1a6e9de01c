//! Dates and lengths of time in the words in which Python writes what openpyxl makes of them. Recorded with pandas 3.1.1 and
//! openpyxl 3.1.5.

/// Microseconds of a second, of a day, and of what spreadsheets know nothing shorter than.
const SECOND: i128 = 1_000_000;
const DAY: i128 = 86_400 * SECOND;
const MILLISECOND: i128 = 1000;

/// Days from 1970 to the day 0 of a spreadsheet's dates: 1899-12-30, and 1904-01-01 in those of old Macs.
const EPOCH_1900: i64 = -25_569;
const EPOCH_1904: i64 = -24_107;

/// The days of Python's dates, counted from 1970: of the years 1 to 9999.
const DAYS: std::ops::RangeInclusive<i64> = -719_162..=2_932_896;

/// Days of the longest time that Python knows.
const MOST_DAYS: i128 = 999_999_999;

/// The date, with its time, that is this many days after the day 0, or the time alone where there is no day; `None` for a date
/// that Python has not.
pub(super) fn date(serial: f64, is_1904: bool) -> Option<String> {
    let mut day = serial.floor();
    if day.is_nan() || day.abs() > 1e7 {
        return None;
    }
    let milliseconds = ((serial - day) * 86_400.0 * 1000.0).round_ties_even() as i128;
    let clock = milliseconds * MILLISECOND;
    if (0.0..1.0).contains(&serial) && clock < DAY {
        return Some(time(clock));
    }
    // To spreadsheets 1900 was a leap year: what they call its first two months lies a day further.
    if serial > 0.0 && serial < 60.0 && !is_1904 {
        day += 1.0;
    }
    let day = day as i64 + if is_1904 { EPOCH_1904 } else { EPOCH_1900 };
    let with_time = day + i64::from(clock == DAY);
    if !DAYS.contains(&day) || !DAYS.contains(&with_time) {
        return None;
    }
    let (year, month, day) = civil_from_days(with_time);
    Some(format!("{year:04}-{month:02}-{day:02} {}", time(clock % DAY)))
}

/// Year, month and day, from 1, of a day counted from 1970-01-01, in the Gregorian calendar. Years are taken to begin in
/// March, so that the day that not all of them have is their last one.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

/// `03:04:00`, with a fraction where there is one.
fn time(microseconds: i128) -> String {
    let (seconds, fraction) = (microseconds / SECOND, microseconds % SECOND);
    let clock = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if fraction == 0 { clock } else { format!("{clock}.{fraction:06}") }
}

/// A length of time of this many days; `None` where it is too long for Python.
pub(super) fn duration(days: f64) -> Option<String> {
    if days.is_nan() || days.abs() >= 1e9 {
        return None;
    }
    let rest = days.fract() * DAY as f64;
    let exact = days.trunc() as i128 * DAY + rest.trunc() as i128 + rest.fract().round_ties_even() as i128;
    let fraction = exact.rem_euclid(SECOND);
    if fraction == 0 {
        return elapsed(exact);
    }
    // openpyxl counts the seconds in a float.
    let seconds = (exact as f64 / SECOND as f64).floor() as i128;
    let milliseconds = (fraction as f64 / MILLISECOND as f64).round_ties_even() as i128;
    elapsed(seconds * SECOND + milliseconds * MILLISECOND)
}

/// `2 days, 1:00:00`, as Python writes a `timedelta`.
fn elapsed(microseconds: i128) -> Option<String> {
    let (days, clock) = (microseconds.div_euclid(DAY), time(microseconds.rem_euclid(DAY)));
    let clock = clock.strip_prefix('0').unwrap_or(&clock);
    if days.abs() > MOST_DAYS {
        return None;
    }
    Some(match days {
        0 => clock.into(),
        -1 | 1 => format!("{days} day, {clock}"),
        days => format!("{days} days, {clock}"),
    })
}

/// What a date that is written out is, as `2024-01-02T03:04:05.5Z` or `PT1H30M`.
#[derive(Debug, PartialEq)]
pub(super) enum Iso {
    /// A date, a time or both.
    Date(String),
    /// A length of time.
    Duration(String),
}

/// A date that is written out; what stands behind it counts for nothing. `None` for what openpyxl refuses.
pub(super) fn iso(text: &str) -> Option<Iso> {
    let (date, rest) = match pattern(text, "0000-00-00") {
        Some((date, rest)) => (Some(date), rest),
        None => (None, text),
    };
    let rest = rest.strip_prefix('T').unwrap_or(rest);
    let (clock, rest) = match (pattern(rest, "00:00:00"), pattern(rest, "00:00")) {
        (Some((clock, rest)), _) => (Some(clock), rest),
        (None, Some((clock, _))) => (Some(clock), ""),
        (None, None) => (None, ""),
    };
    let written = match (date, clock) {
        (None, None) => return iso_duration(text).map(Iso::Duration),
        (Some(date), None) => valid_date(date)?.into(),
        (None, Some(clock)) => valid_time(clock, rest)?,
        (Some(date), Some(clock)) => format!("{} {}", valid_date(date)?, valid_time(clock, rest)?),
    };
    Some(Iso::Date(written))
}

/// Text that begins like `like`, in which 0 is any digit, and what follows.
fn pattern<'t>(text: &'t str, like: &str) -> Option<(&'t str, &'t str)> {
    let (start, rest) = text.split_at_checked(like.len())?;
    let fits = |(byte, like): (u8, u8)| if like == b'0' { byte.is_ascii_digit() } else { byte == like };
    start.bytes().zip(like.bytes()).all(fits).then_some((start, rest))
}

/// The date, `2024-01-02`, if there is such a day.
fn valid_date(date: &str) -> Option<&str> {
    let mut numbers = date.split('-').map(|number| number.parse::<u32>().unwrap_or(0));
    let (year, month, day) = (numbers.next()?, numbers.next()?, numbers.next()?);
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 => 28 + u32::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    (year > 0 && (1..=days).contains(&day)).then_some(date)
}

/// The time, `03:04:05` or `03:04`, and of the fraction behind it three digits.
fn valid_time(clock: &str, rest: &str) -> Option<String> {
    let mut numbers = clock.split(':').map(|number| number.parse::<i128>().unwrap_or(0));
    let (hours, minutes, seconds) = (numbers.next()?, numbers.next()?, numbers.next().unwrap_or(0));
    let digits = rest.strip_prefix('.').map_or("", |digits| &digits[..digits_in(digits).min(3)]);
    let is_time = hours < 24 && minutes < 60 && seconds < 60;
    is_time.then(|| time(((hours * 60 + minutes) * 60 + seconds) * SECOND + microseconds(digits)))
}

/// `PT1H30M5.5S`, any of which may be missing, but not all.
fn iso_duration(text: &str) -> Option<String> {
    let mut rest = text.strip_prefix("PT")?;
    let mut total = None;
    for (unit, most_decimals, seconds) in [('H', 0, 3600), ('M', 0, 60), ('S', 3, 1)] {
        let Some((whole, decimals, behind)) = amount(rest, unit, most_decimals) else { continue };
        // Longer ones are longer than Python's longest.
        let whole: i128 = if whole.len() > 18 { i128::from(i64::MAX) } else { whole.parse().unwrap_or(0) };
        let time = whole * seconds * SECOND + microseconds(decimals);
        total = Some(total.unwrap_or(0) + time);
        rest = behind;
    }
    elapsed(total?)
}

/// The digits before a unit, those behind their point, and what follows.
fn amount(text: &str, unit: char, most_decimals: usize) -> Option<(&str, &str, &str)> {
    let (whole, rest) = text.split_at(digits_in(text));
    let (decimals, rest) = match rest.strip_prefix('.') {
        Some(rest) if most_decimals > 0 && digits_in(rest) > 0 => rest.split_at(digits_in(rest)),
        _ => ("", rest),
    };
    let is_amount = !whole.is_empty() && decimals.len() <= most_decimals;
    rest.strip_prefix(unit).filter(|_| is_amount).map(|rest| (whole, decimals, rest))
}

/// What these digits, three at most, behind a second's point are.
fn microseconds(digits: &str) -> i128 {
    format!("{digits:0<6}").parse().unwrap_or(0)
}

fn digits_in(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What pandas 3.1.1 printed for these numbers in cells of the formats `yyyy-mm-dd` and `h:mm`.
    #[test]
    fn dates_are_written_as_python_does() {
        for (serial, text) in [
            (45_000.0, Some("2023-03-15 00:00:00")),
            (45_000.25, Some("2023-03-15 06:00:00")),
            (45_000.123_456_789, Some("2023-03-15 02:57:46.667000")),
            (45_000.999_999_999_9, Some("2023-03-16 00:00:00")),
            (0.0, Some("00:00:00")),
            (0.5, Some("12:00:00")),
            (0.127_777_777_777_777_8, Some("03:04:00")),
            (0.999_999_999_9, Some("1900-01-01 00:00:00")),
            (1.0, Some("1900-01-01 00:00:00")),
            (1.5, Some("1900-01-01 12:00:00")),
            (59.0, Some("1900-02-28 00:00:00")),
            (60.0, Some("1900-02-28 00:00:00")),
            (61.0, Some("1900-03-01 00:00:00")),
            (-0.5, Some("1899-12-29 12:00:00")),
            (-5.0, Some("1899-12-25 00:00:00")),
            (-693_593.0, Some("0001-01-01 00:00:00")),
            (-693_594.0, None),
            (2_958_465.0, Some("9999-12-31 00:00:00")),
            (2_958_466.0, None),
            (1e10, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
        ] {
            assert_eq!(date(serial, false).as_deref(), text, "{serial}");
        }
        for (serial, text) in [
            (45_000.0, "2027-03-16 00:00:00"),
            (0.0, "00:00:00"),
            (1.25, "1904-01-02 06:00:00"),
            (59.0, "1904-02-29 00:00:00"),
            (60.0, "1904-03-01 00:00:00"),
            (-5.0, "1903-12-27 00:00:00"),
        ] {
            assert_eq!(date(serial, true).as_deref(), Some(text), "{serial} from 1904");
        }
    }

    /// In the same way, in cells of the format `[h]:mm`.
    #[test]
    fn durations_are_written_as_python_does() {
        for (days, text) in [
            (49.0 / 24.0, "2 days, 1:00:00"),
            (1.5, "1 day, 12:00:00"),
            (0.5, "12:00:00"),
            (0.0, "0:00:00"),
            (-1.5, "-2 days, 12:00:00"),
            (0.000_001, "0:00:00.086000"),
            (1.000_012_345, "1 day, 0:00:01.067000"),
        ] {
            assert_eq!(duration(days).as_deref(), Some(text), "{days}");
        }
        assert_eq!(duration(1e9), None);
        assert_eq!(duration(-999_999_999.5), None);
    }

    /// What openpyxl 3.1.5 makes of cells that say that they hold a date.
    #[test]
    fn dates_that_are_written_out_are_read_as_openpyxl_does() {
        for (written, text) in [
            ("2024-01-02T03:04:05", "2024-01-02 03:04:05"),
            ("2024-01-02", "2024-01-02"),
            ("2024-01-02T03:04", "2024-01-02 03:04:00"),
            ("2024-01-02T03:04:05.123Z", "2024-01-02 03:04:05.123000"),
            ("2024-01-02T03:04:05.1239", "2024-01-02 03:04:05.123000"),
            ("2024-01-02 03:04:05", "2024-01-02"),
            ("2024-01-02T03:04:05+02:00", "2024-01-02 03:04:05"),
            ("2024-01-0203:04", "2024-01-02 03:04:00"),
            ("T03:04:05.5", "03:04:05.500000"),
            ("03:04:05.029", "03:04:05.029000"),
            ("03:04.5", "03:04:00"),
            ("2024-02-29T24", "2024-02-29"),
        ] {
            assert_eq!(iso(written), Some(Iso::Date(text.into())), "{written}");
        }
        for (written, text) in [
            ("PT1H30M5.5S", "1:30:05.500000"),
            ("PT49H", "2 days, 1:00:00"),
            ("PT1H2.3456S", "1:00:00"),
            ("PT90M and more", "1:30:00"),
        ] {
            assert_eq!(iso(written), Some(Iso::Duration(text.into())), "{written}");
        }
        for written in [
            "",
            " 2024-01-02",
            "2023-02-29",
            "2024-13-01",
            "0000-01-01",
            "2024-01-02T24:00",
            "P1DT2H",
            "PT",
            "PT1.5H",
            "PT99999999999999999999H",
            "2024",
        ] {
            assert_eq!(iso(written), None, "{written}");
        }
    }
}
