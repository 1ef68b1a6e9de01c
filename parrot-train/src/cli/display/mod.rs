//! How a run is shown while it goes on.

mod bar;
mod dashboard;
mod summary;

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use parrot_train::metrics::StepRecord;

use bar::Bar;
use dashboard::Dashboard;

pub(crate) use summary::RunSummary;

/// A run on the terminal.
#[derive(Debug)]
pub(crate) enum Display {
    /// A progress bar; where there is no terminal, a line every half a minute.
    Bar(Bar),
    /// A dashboard on the whole terminal.
    Dashboard(Box<Dashboard>),
    /// Nothing.
    Quiet,
}

impl Display {
    /// A bar for the steps after `done`.
    pub(crate) fn bar(subject: &RunSummary, done: usize) -> Self {
        Self::Bar(Bar::new(subject, done))
    }

    /// Takes the terminal over.
    ///
    /// - earlier: the steps that earlier calls have done
    /// - stop: set when the dashboard is asked to stop
    pub(crate) fn dashboard(
        subject: &RunSummary,
        earlier: Vec<StepRecord>,
        stop: Arc<AtomicBool>,
    ) -> io::Result<Self> {
        Ok(Self::Dashboard(Box::new(Dashboard::open(subject, earlier, stop)?)))
    }

    /// Shows a step. A dashboard that the user leaves becomes a bar.
    pub(crate) fn show(&mut self, record: StepRecord) {
        match self {
            Self::Bar(bar) => bar.show(&record),
            Self::Dashboard(dashboard) => {
                let step = record.step;
                if !dashboard.show(record) {
                    *self = Self::bar(&dashboard.subject().clone(), step);
                }
            }
            Self::Quiet => {}
        }
    }

    /// Lets go of the terminal.
    pub(crate) fn finish(self) {
        if let Self::Bar(bar) = self {
            bar.finish();
        }
    }
}

#[cfg(test)]
mod testing {
    use serde_json::json;

    use super::*;

    pub(super) fn subject(steps: usize) -> RunSummary {
        RunSummary { stage: "stage1".into(), steps, peak: Some(1e12) }
    }

    /// Half a second long; every other one looks at the router.
    pub(super) fn record(step: usize) -> StepRecord {
        let weights = [0.1, 0.2, 0.3, 0.2, 0.1, 0.1];
        let routing = json!([{"language": "ar", "weights": weights}, {"language": "en", "weights": weights}]);
        serde_json::from_value(json!({
            "step": step, "loss": 4.0 / step as f64, "grad_norm": 1.0, "learning_rate": 1e-3, "samples": 32,
            "tokens": 3200, "pictures": 32, "learnt": 640, "skipped": [], "seconds": 0.5, "flops": 1e11,
            "routing": if step.is_multiple_of(2) { routing } else { json!([]) },
        }))
        .unwrap()
    }
}
