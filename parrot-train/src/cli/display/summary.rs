//! What a display has to know about a run.

/// A run's name and size.
#[derive(Debug, Clone)]
pub(crate) struct RunSummary {
    /// The stage's name.
    pub(crate) stage: String,
    /// Its steps.
    pub(crate) steps: usize,
    /// The device's own rate of matrix products, in operations per second; `None` where it was not measured.
    pub(crate) peak: Option<f64>,
}
