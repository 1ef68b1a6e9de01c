//! A progress bar, or lines where there is no terminal.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

use parrot_train::metrics::{Rates, StepRecord};

use super::super::say;
use super::summary::RunSummary;

/// Steps that rates are taken over: enough to be steady, few enough to follow.
const WINDOW: usize = 50;

/// How often a run without a terminal says where it is.
const QUIET: Duration = Duration::from_secs(30);

/// Shows steps as they are done.
#[derive(Debug)]
pub(crate) struct Bar {
    bar: ProgressBar,
    stage: String,
    steps: usize,
    peak: Option<f64>,
    recent: VecDeque<StepRecord>,
    said: Option<Instant>,
}

impl Bar {
    pub(super) fn new(subject: &RunSummary, done: usize) -> Self {
        let RunSummary { stage, steps, peak, .. } = subject.clone();
        let bar = ProgressBar::new(steps as u64).with_prefix(stage.clone());
        let template = "{prefix} {wide_bar} {pos}/{len}  {msg}";
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        bar.set_position(done as u64);
        Self { bar, stage, steps, peak, recent: VecDeque::new(), said: None }
    }

    pub(super) fn show(&mut self, record: &StepRecord) {
        if self.recent.len() == WINDOW {
            self.recent.pop_front();
        }
        self.recent.push_back(record.clone());
        self.bar.set_position(record.step as u64);
        if !self.bar.is_hidden() {
            self.bar.set_message(self.text(record));
        } else if self.said.is_none_or(|said| said.elapsed() > QUIET) || record.step == self.steps {
            self.said = Some(Instant::now());
            say(&format!("{} {}/{}  {}", self.stage, record.step, self.steps, self.text(record)));
        }
    }

    fn text(&self, record: &StepRecord) -> String {
        let seconds: f64 = self.recent.iter().map(|record| record.seconds).sum();
        let left = (self.steps - record.step.min(self.steps)) as f64 * seconds / self.recent.len() as f64;
        let rates = Rates::over(self.recent.iter()).text(self.peak);
        let left = HumanDuration(Duration::from_secs_f64(left));
        let report = &record.report;
        format!("loss {:.3}  lr {:.1e}  {rates}  {left} left", report.loss, report.learning_rate)
    }

    pub(super) fn finish(self) {
        self.bar.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{record, subject};
    use super::*;

    #[test]
    fn says_loss_rates_and_the_time_that_is_left() {
        let mut bar = Bar::new(&subject(10), 0);
        (1..=4).for_each(|step| bar.show(&record(step)));
        let text = bar.text(&record(4));
        assert!(
            text.starts_with("loss 1.000  lr 1.0e-3  64.0 samples/s  6.40 k tokens/s  200 GFLOP/s (20 %)"),
            "{text}"
        );
        assert!(text.ends_with("3 seconds left"), "{text}");
    }
}
