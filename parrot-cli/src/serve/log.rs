//! How requests are logged.

use std::io;

use tracing_subscriber::EnvFilter;

use crate::terminal::{is_coloured, print_notice};

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
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|error| {
            if std::env::var_os(EnvFilter::DEFAULT_ENV).is_some() {
                print_notice(&format!(
                    "RUST_LOG says nothing that a log can follow, and is passed over: {error}"
                ));
            }
            EnvFilter::new(usual)
        });
        let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
        let subscriber = subscriber.with_ansi(is_coloured());
        match self {
            Self::Json => subscriber.json().flatten_event(true).init(),
            Self::Text | Self::Off => subscriber.init(),
        }
    }
}
