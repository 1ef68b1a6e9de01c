//! A spreadsheet's cell in the words in which Python writes what openpyxl and pandas make of it. Recorded with pandas 3.1.1
//! and openpyxl 3.1.5.

use calamine::DataRef;

use crate::data::pandas::{Kind, python_bool, python_float};

/// Milliseconds of a day; spreadsheets know nothing shorter.
const DAY: i64 = 86_400_000;

/// Days from 1970 to the day 0 of a spreadsheet's dates: 1899-12-30, and 1904-01-01 in those of old Macs.
const EPOCH_1900: i64 = -25_569;
const EPOCH_1904: i64 = -24_107;

/// What the cell holds; `None` for nothing, an error, or a date that Python has not.
pub(super) fn python_text(cell: &DataRef<'_>, is_1904: bool) -> Option<(Kind, String)> {
    let (kind, text) = match cell {
        DataRef::Empty | DataRef::Error(_) => return None,
        DataRef::String(text) => (Kind::Text, text.clone()),
        DataRef::SharedString(text) => (Kind::Text, (*text).to_string()),
        DataRef::Int(number) => (Kind::Number, number.to_string()),
        DataRef::Float(number) => (Kind::Number, number_text(*number)),
        DataRef::Bool(value) => (Kind::Truth, python_bool(*value)),
        DataRef::DateTime(value) if value.is_duration() => (Kind::Duration, duration(value.as_f64())?),
        DataRef::DateTime(value) => (Kind::Date, date(value.as_f64(), is_1904)?),
        DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => (Kind::Date, iso(text)),
    };
    (!text.is_empty()).then_some((kind, text))
}

/// A number that is whole is an integer, of whatever size.
fn number_text(number: f64) -> String {
    // 0 is added for -0.0, which as an integer has no sign.
    if number.fract() == 0.0 { format!("{:.0}", number + 0.0) } else { python_float(number) }
}

/// A date with its time, or the time alone where there is no day.
fn date(serial: f64, is_1904: bool) -> Option<String> {
    let mut day = serial.floor();
    if day.is_nan() || day.abs() > 1e7 {
        return None;
    }
    let milliseconds = ((serial - day) * 86_400.0 * 1000.0).round_ties_even() as i64;
    if (0.0..1.0).contains(&serial) && milliseconds < DAY {
        return Some(time(milliseconds));
    }
    // To spreadsheets 1900 was a leap year: what they call its first two months lies a day further.
    if serial > 0.0 && serial < 60.0 && !is_1904 {
        day += 1.0;
    }
    let epoch = if is_1904 { EPOCH_1904 } else { EPOCH_1900 };
    let (year, month, day) = civil_from_days(epoch + day as i64 + milliseconds / DAY);
    (1..=9999).contains(&year).then(|| format!("{year:04}-{month:02}-{day:02} {}", time(milliseconds % DAY)))
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
fn time(milliseconds: i64) -> String {
    let (seconds, fraction) = (milliseconds / 1000, milliseconds % 1000);
    let clock = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if fraction == 0 { clock } else { format!("{clock}.{fraction:03}000") }
}

/// `2 days, 1:00:00`, as Python writes a `timedelta`.
fn duration(days: f64) -> Option<String> {
    if days.is_nan() || days.abs() >= 1e9 {
        return None;
    }
    let seconds = days.fract() * 86_400.0;
    let microseconds = (seconds.fract() * 1e6).round_ties_even() as i64;
    let seconds = days.trunc() as i64 * 86_400 + seconds.trunc() as i64 + microseconds.div_euclid(1_000_000);
    let milliseconds = (microseconds.rem_euclid(1_000_000) as f64 / 1000.0).round_ties_even() as i64;
    let milliseconds = seconds * 1000 + milliseconds;
    let (days, clock) = (milliseconds.div_euclid(DAY), time(milliseconds.rem_euclid(DAY)));
    let clock = clock.strip_prefix('0').unwrap_or(&clock);
    Some(match days {
        0 => clock.into(),
        -1 | 1 => format!("{days} day, {clock}"),
        days => format!("{days} days, {clock}"),
    })
}

/// A date that is written out, `2024-01-02T03:04:05.5Z`.
fn iso(text: &str) -> String {
    if text.starts_with('P') {
        return text.into();
    }
    let text = text.strip_suffix('Z').unwrap_or(text).replacen('T', " ", 1);
    let text = text.trim_start();
    match text.split_once('.') {
        Some((clock, fraction)) => match fraction.chars().take(6).collect::<String>() {
            fraction if fraction.trim_matches('0').is_empty() => clock.into(),
            fraction => format!("{clock}.{fraction:0<6}"),
        },
        None => text.into(),
    }
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
        for (written, text) in [
            ("2024-01-02T03:04:05", "2024-01-02 03:04:05"),
            ("2024-01-02", "2024-01-02"),
            ("2024-01-02T03:04:05.123Z", "2024-01-02 03:04:05.123000"),
            ("T03:04:05.5", "03:04:05.500000"),
        ] {
            assert_eq!(iso(written), text);
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
    }

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
}
