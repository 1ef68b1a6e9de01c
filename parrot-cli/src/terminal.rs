//! What differs between a terminal and a file.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use parrot_model::untrusted;

/// Characters of an error at most: what it quotes may be all of a file.
const MOST_SHOWN: usize = 4000;

/// One line, causes after colons. What it quotes (the name of a tensor, say) may come from anywhere.
pub(crate) fn print_error(error: &anyhow::Error) {
    let line = format!("{error:#}").replace('\n', " ");
    // Whoever looks at a log looks at it on a terminal.
    let line = untrusted::printable(&untrusted::shortened(&line, MOST_SHOWN)).into_owned();
    // If stderr is gone there is nobody to tell.
    let _ = writeln!(io::stderr(), "error: {line}");
}

/// Prints one line that is not an error.
pub(crate) fn print_notice(notice: &str) {
    let _ = writeln!(io::stderr(), "note: {}", untrusted::printable(notice));
}

/// Prints lines that go with an answer or a conversation. Where they cannot be printed, it goes on without them.
pub(crate) fn print_aside(lines: &str) {
    let _ = writeln!(io::stderr(), "{}", lines.trim_end());
}

/// Whether what goes to stderr may have colours: not in a file, nor where `NO_COLOR` says so.
pub(crate) fn is_coloured() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Text within a line of another direction: on a terminal between U+2068 and U+2069, so that an Arabic
/// question does not turn the numbers behind it round.
pub(crate) fn isolate(text: &str, terminal: bool) -> Cow<'_, str> {
    if terminal { format!("\u{2068}{text}\u{2069}").into() } else { text.into() }
}

/// Generated text on its way to the screen: a picture that talks the model into writing escape sequences
/// must not reach the terminal with them. Files get the text as it is.
pub(crate) fn printable(text: &str, terminal: bool) -> Cow<'_, str> {
    if terminal { untrusted::printable(text) } else { text.into() }
}

/// JSON for stdout, which says the same wherever it goes: programs read it from a pipe, and their users in a log.
pub(crate) fn print_json(json: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{}", untrusted::printable_json(json.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_terminal_needs_protection() {
        assert_eq!(printable("a\u{1b}[2Jb\n", true), "a\u{fffd}[2Jb\n");
        assert_eq!(printable("a\u{1b}[2Jb\n", false), "a\u{1b}[2Jb\n");
        assert_eq!(isolate("ما", true), "\u{2068}ما\u{2069}");
        assert_eq!(isolate("ما", false), "ما");
    }
}
