//! How requests are logged.

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
        let log = crate::log_on_stderr(usual);
        match self {
            Self::Json => log.json().flatten_event(true).init(),
            Self::Text | Self::Off => log.init(),
        }
    }
}
