//! Filling the templates of pages.

use minijinja::{Environment, HtmlEscape, Value};
use parrot_model::untrusted::printable;
use serde::Serialize;

use crate::{Error, Result};

const STYLE: &str = include_str!("style.css");

/// Fills a page's template, which may ask for `style`; `breakable` and `with_code` escape what they are given.
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
    environment.add_filter("breakable", |text: String| Value::from_safe_string(breakable(&text)));
    environment.add_filter("with_code", |text: String| Value::from_safe_string(with_code(&text)));
    let page = Value::from(minijinja::value::Serde(page));
    let html = environment.render_named_str(name, template, page).map_err(failed)?;
    // Answers may hold what no page may, a zero byte for one; and pages are looked at on a terminal, too.
    Ok(printable(&html).into_owned())
}

/// A name that may go on in the next line behind what separates its parts; behind a hyphen it may anyway.
fn breakable(name: &str) -> String {
    let parts = name.split_inclusive(['_', '/']);
    parts.map(|part| HtmlEscape(part).to_string()).collect::<Vec<_>>().join("<wbr>")
}

/// What stands between backticks, as in Markdown, as `<code>`.
fn with_code(text: &str) -> String {
    let mut parts = text.split('`');
    let mut html = HtmlEscape(parts.next().unwrap_or_default()).to_string();
    while let Some(code) = parts.next() {
        html += &match parts.next() {
            Some(rest) => format!("<code>{}</code>{}", HtmlEscape(code), HtmlEscape(rest)),
            None => format!("`{}", HtmlEscape(code)),
        };
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_break_behind_what_separates_their_parts() {
        assert_eq!(breakable("MMBench_DEV_<x>-2"), "MMBench_<wbr>DEV_<wbr>&lt;x&gt;-2");
        assert_eq!(breakable(""), "");
    }

    #[test]
    fn what_no_page_may_hold_is_replaced() {
        let page = serde_json::json!({ "said": "a\0b\u{1b}[2Jc\r\n\u{202e}d" });
        let html = render("page.html", "<p>{{ said }}</p>", &page).unwrap();
        assert_eq!(html, "<p>a\u{fffd}b\u{fffd}[2Jc\u{fffd}\n\u{fffd}d</p>");
    }

    #[test]
    fn backticks_make_code_in_pairs() {
        assert_eq!(
            with_code("`a<b` and `--x Y`: write `B`"),
            "<code>a&lt;b</code> and <code>--x Y</code>: write <code>B</code>"
        );
        assert_eq!(with_code("one ` & <two>"), "one ` &amp; &lt;two&gt;");
        assert_eq!(with_code("``"), "<code></code>");
    }
}
