//! TOML and changes of it → a recipe, with errors that a newcomer can act on.

use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// Parses `text`, sets what `changes` says and reads the whole.
pub(super) fn recipe<T: DeserializeOwned>(text: &str, changes: &[String]) -> Result<T, String> {
    if changes.is_empty() {
        // From the text itself, so that errors show the line.
        return toml::from_str(text).map_err(|error| with_suggestion(&error));
    }
    let mut table: Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
    for change in changes {
        set(&mut table, change)?;
    }
    table.try_into().map_err(|error: toml::de::Error| with_suggestion(&error))
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
    let value =
        parsed.and_then(|mut table| table.remove("value")).unwrap_or_else(|| Value::String(value.to_owned()));
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

/// Serde names an unknown key and all known ones; the one that was probably meant helps more.
fn with_suggestion(error: &toml::de::Error) -> String {
    let text = error.to_string();
    let text = text.trim_end();
    let message = error.message();
    if !message.starts_with("unknown field") && !message.starts_with("unknown variant") {
        return text.to_owned();
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    let unknown = quoted.next().unwrap_or_default();
    let nearest =
        quoted.max_by(|a, b| strsim::jaro_winkler(unknown, a).total_cmp(&strsim::jaro_winkler(unknown, b)));
    match nearest.filter(|nearest| strsim::jaro_winkler(unknown, nearest) > 0.75) {
        Some(nearest) => format!("{text}\ndid you mean `{nearest}`?"),
        None => text.to_owned(),
    }
}
