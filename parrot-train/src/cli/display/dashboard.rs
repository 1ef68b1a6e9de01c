//! A dashboard on the whole terminal.
//!
//! It is drawn after a step, at most five times a second. Keys are read at the same moments, so that nothing runs beside
//! the training. `q` goes on with the progress bar, `s` and Ctrl-C save and stop.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::prelude::Frame;
use ratatui::style::{Color, Style, Stylize};
use ratatui::symbols::Marker;
use ratatui::text::Line;
use ratatui::widgets::{Axis, Bar, BarChart, BarGroup, Block, Chart, Dataset, Gauge, GraphType, Paragraph};

use parrot_train::metrics::report::smooth;
use parrot_train::metrics::{Rates, StepRecord, called, expert_use, short};

use super::summary::RunSummary;

/// Least time between two drawings.
const INTERVAL: Duration = Duration::from_millis(200);

/// Steps that rates are taken over.
const WINDOW: usize = 50;

/// The terminal and what it shows.
#[derive(Debug)]
pub(crate) struct Dashboard {
    /// Taken only when the dashboard is dropped.
    terminal: Option<DefaultTerminal>,
    view: View,
    stop: Arc<AtomicBool>,
    drawn: Option<Instant>,
}

/// What is shown.
#[derive(Debug)]
struct View {
    subject: RunSummary,
    records: Vec<StepRecord>,
    /// Records of earlier calls, which say nothing of this one's speed.
    earlier: usize,
    stopping: bool,
}

impl Dashboard {
    /// Takes the terminal over; it comes back when the dashboard is dropped, and after a panic.
    pub(super) fn open(
        subject: &RunSummary,
        earlier: Vec<StepRecord>,
        stop: Arc<AtomicBool>,
    ) -> io::Result<Self> {
        let terminal = Some(ratatui::try_init()?);
        let view =
            View { subject: subject.clone(), earlier: earlier.len(), records: earlier, stopping: false };
        Ok(Self { terminal, view, stop, drawn: None })
    }

    /// What is shown.
    pub(super) fn subject(&self) -> &RunSummary {
        &self.view.subject
    }

    /// Adds a step; `false` when the user has left the dashboard.
    pub(super) fn show(&mut self, record: StepRecord) -> bool {
        self.view.records.push(record);
        while event::poll(Duration::ZERO).unwrap_or(false) {
            let Ok(Event::Key(key)) = event::read() else { continue };
            match key.code {
                KeyCode::Char('q') => return false,
                KeyCode::Char('c') if !key.modifiers.contains(KeyModifiers::CONTROL) => {}
                KeyCode::Char('s' | 'c') => {
                    self.stop.store(true, Ordering::Relaxed);
                    self.view.stopping = true;
                }
                _ => {}
            }
        }
        if self.drawn.is_none_or(|drawn| drawn.elapsed() > INTERVAL) {
            self.drawn = Some(Instant::now());
            // A terminal that cannot be drawn on does not end the training.
            let Some(terminal) = &mut self.terminal else { return false };
            return terminal.draw(|frame| self.view.draw(frame)).is_ok();
        }
        true
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        // A terminal that is gone ends no training: neither step prints that it failed, which would panic, and a terminal
        // that would try to show its cursor once more is not dropped.
        if let Some(mut terminal) = self.terminal.take()
            && terminal.show_cursor().is_err()
        {
            std::mem::forget(terminal);
        }
        let _ = ratatui::try_restore();
    }
}

impl View {
    fn draw(&self, frame: &mut Frame<'_>) {
        let Some(last) = self.records.last() else { return };
        let has_experts = self.records.iter().any(|record| !record.report.routing.is_empty());
        let [header, gauge, loss, below, footer] = Layout::vertical([
            Constraint::Length(2),
            Constraint::Length(1),
            Constraint::Min(8),
            Constraint::Length(12),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        self.draw_header(frame, header, last);
        let share = last.step as f64 / self.subject.steps.max(1) as f64;
        let label = format!("{} of {}", last.step, self.subject.steps);
        frame.render_widget(
            Gauge::default().gauge_style(Color::Blue).ratio(share.min(1.0)).label(label),
            gauge,
        );
        draw_curve(frame, loss, "loss", &self.curve(|record| record.report.loss), true);
        let widths = if has_experts { [25, 25, 50] } else { [50, 50, 0] };
        let [rate, norm, experts] = Layout::horizontal(widths.map(Constraint::Percentage)).areas(below);
        draw_curve(frame, rate, "learning rate", &self.curve(|record| record.report.learning_rate), false);
        draw_curve(frame, norm, "gradient norm", &self.curve(|record| record.report.grad_norm), false);
        if has_experts {
            self.draw_experts(frame, experts);
        }
        let keys =
            if self.stopping { "saving and stopping after this step" } else { "q leave  s save and stop" };
        frame.render_widget(Line::from(keys).dim(), footer);
    }

    fn draw_header(&self, frame: &mut Frame<'_>, area: Rect, last: &StepRecord) {
        let own = &self.records[self.earlier.min(self.records.len() - 1)..];
        let recent = &own[own.len().saturating_sub(WINDOW)..];
        let seconds: f64 = recent.iter().map(|record| record.seconds).sum();
        let left =
            (self.subject.steps - last.step.min(self.subject.steps)) as f64 * seconds / recent.len() as f64;
        let left = indicatif::HumanDuration(Duration::from_secs_f64(left));
        let report = &last.report;
        let text = vec![
            Line::from(format!("{}  loss {:.4}  {left} left", self.subject.stage, report.loss)).bold(),
            Line::from(Rates::over(recent.iter()).text(self.subject.peak)),
        ];
        frame.render_widget(Paragraph::new(text), area);
    }

    fn draw_experts(&self, frame: &mut Frame<'_>, area: Rect) {
        let used = expert_use(self.records.iter());
        let mut chart = BarChart::default()
            .block(Block::bordered().title("experts"))
            .bar_width(2)
            .bar_gap(0)
            .group_gap(2);
        let languages: Vec<(&str, Vec<Bar<'_>>)> = used
            .iter()
            .map(|used| {
                let bar = |(expert, weight): (usize, &f32)| {
                    let percent = (100.0 * weight).round() as u64;
                    Bar::default()
                        .value(percent)
                        .text_value(String::new())
                        .style(COLOURS[expert % COLOURS.len()])
                };
                (called(&used.language), used.weights.iter().enumerate().map(bar).collect())
            })
            .collect();
        for (language, bars) in &languages {
            chart = chart.data(BarGroup::default().label(Line::from(*language)).bars(bars));
        }
        frame.render_widget(chart, area);
    }

    fn curve(&self, value: impl Fn(&StepRecord) -> f64) -> Vec<(f64, f64)> {
        let points = self.records.iter().map(|record| (record.step as f64, value(record)));
        points.filter(|(_, value)| value.is_finite()).collect()
    }
}

const COLOURS: [Color; 6] =
    [Color::Red, Color::Green, Color::Blue, Color::Yellow, Color::Magenta, Color::Cyan];

/// The values of each step, and over them a running mean where it is asked for.
fn draw_curve(frame: &mut Frame<'_>, area: Rect, title: &str, points: &[(f64, f64)], with_mean: bool) {
    let mean = if with_mean { smooth(points) } else { Vec::new() };
    let values = || points.iter().map(|(_, value)| *value);
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    let low = if low < high * 0.5 || !low.is_finite() { 0.0 } else { low };
    let high = if high > low { high } else { low + 1.0 };
    let first = points.first().map_or(0.0, |(step, _)| *step);
    let last = points.last().map_or(1.0, |(step, _)| *step).max(first + 1.0);
    let raw = Style::new().fg(if with_mean { Color::DarkGray } else { Color::Blue });
    let mut datasets = vec![Dataset::default().data(points).marker(Marker::Dot).style(raw)];
    if with_mean {
        let line = Dataset::default().data(&mean).marker(Marker::Braille).graph_type(GraphType::Line);
        datasets.push(line.style(Style::new().fg(Color::Blue)));
    }
    let label = |value: f64| if value != 0.0 && value < 0.01 { format!("{value:.1e}") } else { short(value) };
    let chart = Chart::new(datasets)
        .block(Block::bordered().title(title.to_owned()))
        .x_axis(Axis::default().bounds([first, last]).labels([format!("{first:.0}"), format!("{last:.0}")]))
        .y_axis(Axis::default().bounds([low, high]).labels([label(low), label(high)]));
    frame.render_widget(chart, area);
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::testing::{record, subject};
    use super::*;

    fn drawn(records: Vec<StepRecord>, width: u16, height: u16) -> String {
        let view = View { subject: subject(100), records, earlier: 0, stopping: false };
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| view.draw(frame)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn shows_where_a_run_is() {
        let screen = drawn((1..=40).map(record).collect(), 120, 36);
        for part in [
            "stage1  loss 0.1000  30 seconds left",
            "40 of 100",
            "gradient norm",
            "experts",
            "64.0 samples/s",
        ] {
            assert!(screen.contains(part), "{part} is missing:\n{screen}");
        }
    }

    #[test]
    fn the_first_step_and_a_small_terminal_are_no_trouble() {
        drawn(vec![record(1)], 20, 6);
        drawn(Vec::new(), 80, 24);
        let mut broken = record(1);
        broken.report.loss = f64::NAN;
        drawn(vec![broken], 80, 24);
    }
}
