//! Filling the templates of pages.

use minijinja::{Environment, Value};
use serde::Serialize;

use crate::{Error, Result};

const STYLE: &str = include_str!("style.css");

/// Fills a page's template, which may ask for `style`.
pub(crate) fn render(name: &str, template: &str, page: &impl Serialize) -> Result<String> {
    let failed = |error: minijinja::Error| Error::Table {
        file: name.into(),
        line: error.line().map(|line| line as u64),
        problem: format!("{error:#}"),
    };
    let mut environment = Environment::new();
    environment.add_global("style", Value::from_safe_string(STYLE.into()));
    environment.add_filter("score", |value: f64| format!("{value:.2}"));
    environment.add_filter("signed", |value: f64| format!("{value:+.2}"));
    environment.add_filter("weight", |value: f64| format!("{value:.3}"));
    let page = Value::from(minijinja::value::Serde(page));
    environment.render_named_str(name, template, page).map_err(failed)
}
