//! How far a run is, how fast it goes and when it will be done.

use std::collections::HashSet;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use parrot_eval::{Dataset, How, Job, Journal, Protocol, QuestionOutcome, Share};

use crate::terminal::print_notice;

/// A bar over questions with the share of right answers so far; lines where there is no terminal. Of several processes the first
/// one shows it, and the others are about as far.
pub(super) struct Progress<'a> {
    datasets: &'a [Dataset],
    protocol: Protocol,
    share: Share,
    bar: ProgressBar,
    right: usize,
    judged: usize,
    /// Questions that have an answer or a reason why not.
    answered: usize,
    now: Now,
    /// The pictures that this run asked about.
    images: HashSet<[u8; 32]>,
    /// When this run began to ask.
    began: Option<Instant>,
    /// When a line was last printed, where there is no terminal for a bar.
    said: Option<Instant>,
}

/// What a run has asked, without what had been answered before.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Now {
    pub(super) questions: usize,
    /// Different ones.
    pub(super) images: usize,
    /// Tokens of the answers.
    pub(super) tokens: usize,
}

/// Seconds between lines where there is no terminal.
const BETWEEN_LINES: u64 = 30;

impl<'a> Progress<'a> {
    /// - questions: those of this process
    pub(super) fn new(datasets: &'a [Dataset], protocol: Protocol, questions: usize, share: Share) -> Self {
        let style = ProgressStyle::with_template("{bar:30} {pos} of {len} questions, {msg}{eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = if share.process == 0 { ProgressBar::new(questions as u64) } else { ProgressBar::hidden() };
        let said = (!io::stderr().is_terminal() && share.process == 0).then(Instant::now);
        Self {
            datasets,
            protocol,
            share,
            bar: bar.with_style(style),
            right: 0,
            judged: 0,
            answered: 0,
            now: Now::default(),
            images: HashSet::new(),
            began: None,
            said,
        }
    }

    pub(super) fn show(&mut self, batch: &[&Job], journal: &Journal, is_new: bool) {
        for job in batch {
            let Some(QuestionOutcome::Answer { text, tokens, .. }) =
                journal.get(&job.id).map(|record| &record.outcome)
            else {
                continue;
            };
            self.now.tokens += if is_new { *tokens } else { 0 };
            let dataset = &self.datasets[job.dataset];
            let text = parrot_eval::post_process(&job.message().to_string(), text);
            let text = parrot_eval::through_spreadsheet(&text);
            let verdict = dataset.benchmark.judge(&dataset.rows[job.row], &text, self.protocol);
            if verdict.how != How::Unjudged {
                self.right += usize::from(verdict.right);
                self.judged += 1;
            }
        }
        self.answered += batch.len();
        self.bar.inc(batch.len() as u64);
        if is_new {
            // What was answered before says nothing about how long the rest takes; the first batch also waits for kernels.
            if self.began.is_none() {
                self.bar.reset_eta();
            }
            self.began.get_or_insert_with(Instant::now);
            self.now.questions += batch.len();
            let images = batch.iter().flat_map(|job| &job.images);
            self.images.extend(images.map(|image| image.encoded.hash()));
        }
        let message = self.message();
        if let Some(said) = self.said.as_mut().filter(|said| said.elapsed().as_secs() >= BETWEEN_LINES) {
            *said = Instant::now();
            let left = self.left().map_or(String::new(), |left| format!(", {} left", HumanDuration(left)));
            let length = self.bar.length().unwrap_or(0);
            print_notice(&format!("{} of {length} questions, {message}{left}", self.answered));
        }
        self.bar.set_message(message + ", ");
    }

    /// The share of right answers, and how fast all processes are if they are as fast as this one.
    fn message(&self) -> String {
        let right = format!("{:.1} % right so far", parrot_eval::percent(self.right, self.judged));
        let Some(seconds) =
            self.began.map(|began| began.elapsed().as_secs_f64()).filter(|seconds| *seconds > 1.0)
        else {
            return right;
        };
        let rate = |count: usize| (count * self.share.of) as f64 / seconds;
        let speed = format!("{right}, {:.1} pictures/s", rate(self.images.len()));
        // Where options are chosen nothing is written.
        if self.now.tokens == 0 { speed } else { format!("{speed}, {:.1} tokens/s", rate(self.now.tokens)) }
    }

    /// How long the rest takes.
    fn left(&self) -> Option<Duration> {
        let elapsed = self.began?.elapsed();
        let left = (self.bar.length()? as usize).checked_sub(self.answered)?;
        Some(elapsed.mul_f64(left as f64 / self.now.questions.max(1) as f64))
    }

    /// What this process has asked.
    pub(super) fn finish(self) -> Now {
        self.bar.finish_and_clear();
        Now { images: self.images.len(), ..self.now }
    }
}
