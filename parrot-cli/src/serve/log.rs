//! How requests are logged.

use std::io;

use crate::terminal::is_coloured;

/// How requests are logged.
#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
pub(super) enum Format {
    /// A line of text for each
    #[default]
    Text,
    /// A JSON object on a line for each
    Json,
    /// Not at all, unless RUST_LOG says so
    Off,
}

impl Format {
    pub(super) fn init(self) {
        let usual = if matches!(self, Self::Off) { "off" } else { "off,parrot_serve=info" };
        let filter = crate::log_filter(usual);
        let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
        let subscriber = subscriber.with_ansi(is_coloured());
        match self {
            Self::Json => subscriber.json().flatten_event(true).init(),
            Self::Text | Self::Off => subscriber.init(),
        }
    }
}
