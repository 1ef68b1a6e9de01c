//! Signs of life for whatever takes longer than a second, on stderr and only if that is a terminal.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const PATIENCE: Duration = Duration::from_secs(1);

/// A bar over bytes.
pub(crate) struct Bar {
    bar: ProgressBar,
    started: Instant,
}

impl Bar {
    /// A bar that says what is being done, e.g. `loading`.
    pub(crate) fn new(doing: &'static str) -> Self {
        let style = ProgressStyle::with_template("{msg} {bar:40} {bytes} of {total_bytes}, {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::hidden().with_style(style).with_message(doing);
        Self { bar, started: Instant::now() }
    }

    /// Says something else from now on.
    pub(crate) fn say(&self, doing: String) {
        self.bar.set_message(doing);
    }

    pub(crate) fn show(&self, done: u64, total: u64) {
        self.bar.set_length(total);
        self.bar.set_position(done);
        if self.bar.is_hidden() && self.started.elapsed() > PATIENCE {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A spinner that turns until it is dropped.
pub(crate) struct Spinner {
    bar: ProgressBar,
    running: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Spinner {
    pub(crate) fn start(message: &'static str) -> Self {
        let (done, is_done) = channel::<()>();
        let bar = ProgressBar::hidden().with_style(ProgressStyle::default_spinner()).with_message(message);
        let shown = bar.clone();
        let thread = thread::spawn(move || {
            if is_done.recv_timeout(PATIENCE) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            shown.set_draw_target(ProgressDrawTarget::stderr());
            shown.enable_steady_tick(Duration::from_millis(100));
            let _ = is_done.recv();
            shown.finish_and_clear();
        });
        Self { bar, running: Some((done, thread)) }
    }

    /// Says something else from now on.
    pub(crate) fn say(&self, message: String) {
        self.bar.set_message(message);
    }

    /// Stops and clears it before something else is written.
    pub(crate) fn stop(&mut self) {
        if let Some((done, thread)) = self.running.take() {
            drop(done);
            let _ = thread.join();
        }
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.stop();
    }
}
