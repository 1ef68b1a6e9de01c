//! TOML and changes of it → a recipe, with errors that a newcomer can act on.

use parrot_model::untrusted::{Objects, plain_reason};
use serde::Deserializer;
use serde::de::DeserializeOwned;
use toml::value::Datetime;
use toml::{Table, Value};

/// Parses `text`, sets what `changes` says and reads the whole.
pub(super) fn recipe<T: DeserializeOwned>(text: &str, changes: &[String]) -> Result<T, String> {
    let broken = |error| in_one_line("", &error, text);
    if changes.is_empty() {
        // From the text itself, so that errors show the line.
        return read(toml::Deserializer::parse(text).map_err(broken)?, text);
    }
    let mut table: Table = text.parse().map_err(broken)?;
    for change in changes {
        set(&mut table, change)?;
    }
    let recipe = read(table.clone(), "")?;
    // A key that goes need not be there, but one that no recipe has was meant to be another.
    for change in changes.iter().filter(|change| change.trim_end().ends_with('=')) {
        let mut probe = table.clone();
        set(&mut probe, &format!("{change}false"))?;
        match read::<T>(probe, "") {
            Err(reason) if reason.contains("unknown field") => return Err(reason),
            _ => {}
        }
    }
    Ok(recipe)
}

fn read<'de, T: DeserializeOwned>(
    recipe: impl Deserializer<'de, Error = toml::de::Error>,
    text: &str,
) -> Result<T, String> {
    serde_path_to_error::deserialize(Objects(recipe)).map_err(|error| {
        let key = error.path().to_string();
        in_one_line(&key, error.inner(), text)
    })
}

/// Applies `a.b.c=value`; the value is TOML, or else a string. Without a value the key goes.
fn set(table: &mut Table, change: &str) -> Result<(), String> {
    let Some((key, value)) = change.split_once('=') else {
        return Err(format!("--set {change}: should be key=value"));
    };
    let (key, value) = (key.trim(), value.trim());
    let mut parts: Vec<&str> = key.split('.').collect();
    let last = parts.pop().unwrap_or_default();
    if value.is_empty() {
        let table = parts.iter().try_fold(table, |table, part| table.get_mut(*part)?.as_table_mut());
        table.map(|table| table.remove(last));
        return Ok(());
    }
    // One value, not what would smuggle further keys in.
    let parsed = format!("value = {value}").parse::<Table>().ok().filter(|table| table.len() == 1);
    let digits = value.strip_prefix(['+', '-']).unwrap_or(value);
    if parsed.is_none() && is_number(digits) {
        return Err(format!("{key}: {}", beyond_all(value)));
    }
    // No key is a date, but a name may well look like one.
    let parsed = parsed.and_then(|mut table| table.remove("value")).filter(|value| !value.is_datetime());
    let value = parsed.unwrap_or_else(|| Value::String(value.to_owned()));
    let mut here = table;
    for part in parts {
        here = here
            .entry(part)
            .or_insert_with(|| Value::Table(Table::new()))
            .as_table_mut()
            .ok_or_else(|| format!("--set {change}: `{part}` is no table"))?;
    }
    here.insert(last.to_owned(), value);
    Ok(())
}

/// What is wrong with a whole number that no setting holds.
fn beyond_all(number: &str) -> String {
    let bound = if number.starts_with('-') { "at least -" } else { "at most " };
    format!("should be {bound}{}, found {number}", i64::MAX)
}

/// Whether this is a whole number, however large, as TOML writes them: `1_000`.
fn is_number(text: &str) -> bool {
    text.split('_').all(|group| !group.is_empty() && group.bytes().all(|byte| byte.is_ascii_digit()))
        && (text == "0" || !text.starts_with('0'))
}

/// An error in one line: where in `text`, of which key, and what is wrong. Of an unknown key serde names all known ones; the
/// one that was probably meant helps more.
fn in_one_line(key: &str, error: &toml::de::Error, text: &str) -> String {
    let place = error.span().and_then(|span| text.get(..span.start)).map(|before| {
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        format!("line {line}, column {column}: ")
    });
    let mut place = place.unwrap_or_default();
    if !matches!(key, "" | ".") {
        place += &format!("{key}: ");
    }
    let mut message = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
    if error.span().and_then(|span| text.get(span)).is_some_and(|found| found.parse::<Datetime>().is_ok()) {
        message = message.replace("type: map", "type: a date without quotation marks");
    }
    // TOML's numbers are larger than any setting's.
    if let Some((number, _)) =
        message.strip_prefix("invalid type: integer `").and_then(|rest| rest.split_once("` as i128"))
    {
        return format!("{place}{}", beyond_all(number));
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    let unknown = quoted.next().unwrap_or_default();
    let likeness = |known: &str| strsim::jaro_winkler(unknown, known);
    let nearest = quoted.max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    let is_unknown = message.starts_with("unknown field") || message.starts_with("unknown variant");
    match nearest.filter(|nearest| is_unknown && likeness(nearest) > 0.75) {
        Some(nearest) => format!("{place}{}; did you mean `{nearest}`?", plain_reason(&message)),
        None => format!("{place}{}", plain_reason(&message)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_beyond_all_settings_is_told_its_bound() {
        for (number, bound) in [("99999999999999999999", "at most "), ("-99999999999999999999", "at least -")]
        {
            let found =
                recipe::<std::collections::BTreeMap<String, usize>>(&format!("steps = {number}"), &[]);
            let expected = format!("steps: should be {bound}9223372036854775807, found {number}");
            assert!(found.as_ref().unwrap_err().ends_with(&expected), "{found:?}");
        }
    }
}
