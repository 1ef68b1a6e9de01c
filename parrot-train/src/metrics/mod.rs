//! What a run leaves behind for people and their tools: `metrics.jsonl`, TensorBoard's event files, and at the end a
//! [report].

mod record;
pub mod report;
mod tensorboard;

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use parrot_model::untrusted;

use crate::flops::Cost;
use crate::step::StepReport;
use crate::{Error, Result};

use tensorboard::EventFile;

pub use record::{Rates, StepRecord, called, expert_use, short};

/// The file in a run's folder that has one [`StepRecord`] a line.
pub(crate) const METRICS_FILE: &str = "metrics.jsonl";

/// The file in a run's folder that has its [report].
pub const REPORT_FILE: &str = "report.html";

/// The files that a run writes as it goes on.
#[derive(Debug)]
pub struct Metrics {
    cost: Cost,
    lines: File,
    path: PathBuf,
    events: EventFile,
    last: Instant,
}

impl Metrics {
    /// Opens the files in a run's folder for the steps after `done`, and returns the records of the steps before. Those of
    /// later steps, which a run that was killed had done and not saved, are cut off.
    ///
    /// - cost: what a step costs
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when a file cannot be written.
    pub fn open(folder: &Path, cost: Cost, done: usize) -> Result<(Self, Vec<StepRecord>)> {
        untrusted::create_folder(folder)?;
        let path = folder.join(METRICS_FILE);
        let mut kept = Vec::new();
        let mut lines = Vec::new();
        // As they stand: a number that is read and written again may lose its last digit.
        for (record, line) in read_lines(&path)?.into_iter().filter(|(record, _)| record.step <= done) {
            kept.push(record);
            lines.extend(line);
            lines.push(b'\n');
        }
        untrusted::replace_file(&path, &lines)?;
        let lines = OpenOptions::new().append(true).open(&path).map_err(Error::io("write", &path))?;
        let events = EventFile::create(&folder.join("tensorboard"), done)?;
        Ok((Self { cost, lines, path, events, last: Instant::now() }, kept))
    }

    /// Records a step; returns what was written.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when a file cannot be written.
    pub fn record(&mut self, step: usize, report: &StepReport) -> Result<StepRecord> {
        let record = StepRecord {
            step,
            report: report.clone(),
            seconds: self.last.elapsed().as_secs_f64(),
            flops: self.cost.step(report.workload()),
            memory: resident_memory(),
        };
        self.last = Instant::now();
        self.lines.write_all(line(&record).as_bytes()).map_err(Error::io("write", &self.path))?;
        self.events.write(&record)?;
        Ok(record)
    }
}

/// Linux tells in pages, of 4 KiB on all that this runs on but some ARM servers; the shape of the curve is right there
/// as well.
fn resident_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    Some(text.split_whitespace().nth(1)?.parse::<u64>().ok()? * 4096)
}

/// Refuses metrics and a report that no run has left in a folder: a run that begins there would replace them. Where a run was
/// killed before its first checkpoint there are metrics, and none has a report without metrics.
///
/// # Errors
///
/// [`Error::Data`], and [`Error::Io`] for what cannot be read.
pub(crate) fn check_begin(folder: &Path) -> Result<()> {
    let [metrics, report] = [METRICS_FILE, REPORT_FILE].map(|name| folder.join(name));
    // Of a link the link only is replaced.
    let holds =
        |path: &Path| path.symlink_metadata().is_ok_and(|found| !found.is_symlink() && found.len() > 0);
    if holds(&metrics) {
        let mut lines = BufReader::new(untrusted::open(&metrics)?).split(b'\n').map_while(|line| line.ok());
        if lines.any(|line| untrusted::from_json::<StepRecord>(&line).is_ok()) {
            return Ok(());
        }
    }
    let Some(path) = [metrics, report].into_iter().find(|path| holds(path)) else { return Ok(()) };
    let reason =
        "a run would replace this file, which is none of a run's; move it away, or choose another `out`";
    Err(Error::Data { path, reason: reason.into() })
}

/// A step's line, in one piece so that a killed run leaves at most its last line unfinished.
fn line(record: &StepRecord) -> String {
    serde_json::to_string(record).unwrap_or_default() + "\n"
}

/// The records of a `metrics.jsonl`; none where there is no file. A line that is no record, as a killed run may leave
/// at the end, is passed over.
///
/// # Errors
///
/// [`Error::Io`].
pub fn read(path: &Path) -> Result<Vec<StepRecord>> {
    Ok(read_lines(path)?.into_iter().map(|(record, _)| record).collect())
}

/// The records with their lines; one that is no record is skipped with a warning.
fn read_lines(path: &Path) -> Result<Vec<(StepRecord, Vec<u8>)>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let file = untrusted::open(path)?;
    let lines = BufReader::new(file).split(b'\n').collect::<std::io::Result<Vec<_>>>();
    let mut records = Vec::new();
    let mut damaged = 0;
    for line in
        lines.map_err(Error::io("read", path))?.into_iter().filter(|line| !line.trim_ascii().is_empty())
    {
        match untrusted::from_json(&line) {
            Ok(record) => records.push((record, line)),
            Err(_) => damaged += 1,
        }
    }
    if damaged > 0 {
        let lines = if damaged == 1 { "line is" } else { "lines are" };
        tracing::warn!("{}: {damaged} damaged {lines} passed over", path.display());
    }
    Ok(records)
}

#[cfg(test)]
pub(crate) mod testing {
    use std::collections::BTreeSet;

    use parrot_model::config::{ParrotConfig, VisionConfig};

    use super::*;
    use crate::part::Part;
    use crate::step::ExpertUse;

    pub(crate) fn cost() -> Cost {
        let parts = BTreeSet::from([Part::Projector]);
        Cost::new(&ParrotConfig::parrot_mini(), &VisionConfig::clip_vit_mini(), &parts).unwrap()
    }

    pub(crate) fn report(step: usize) -> StepReport {
        let weights = [0.1, 0.2, 0.3, 0.2, 0.1, 0.1];
        let groups =
            ["ar", "en"].map(|language| ExpertUse { language: language.into(), weights: weights.into() });
        StepReport {
            loss: 4.0 / step as f64,
            grad_norm: 1.0,
            learning_rate: 1e-3,
            samples: 32,
            tokens: 3200,
            images: 32,
            learnt: 640,
            skipped: Vec::new(),
            routing: if step.is_multiple_of(2) { groups.into() } else { Vec::new() },
        }
    }

    pub(crate) fn record(step: usize) -> StepRecord {
        StepRecord { step, report: report(step), seconds: 0.5, flops: 1e11, memory: Some(1 << 30) }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{cost, record, report};
    use super::*;

    #[test]
    fn steps_that_were_lost_are_cut_off_and_none_is_there_twice() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(METRICS_FILE);
        let (mut metrics, earlier) = Metrics::open(folder.path(), cost(), 0).unwrap();
        assert!(earlier.is_empty());
        (1..=6).for_each(|step| assert_eq!(metrics.record(step, &report(step)).unwrap().step, step));
        drop(metrics);
        // Killed in the middle of a line, after a checkpoint at step 4.
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, &text[..text.len() - 20]).unwrap();
        let (mut metrics, earlier) = Metrics::open(folder.path(), cost(), 4).unwrap();
        assert_eq!(earlier.len(), 4);
        (5..=9).for_each(|step| assert_eq!(metrics.record(step, &report(step)).unwrap().step, step));
        let records = read(&path).unwrap();
        assert_eq!(records.iter().map(|record| record.step).collect::<Vec<_>>(), (1..=9).collect::<Vec<_>>());
        assert_eq!(records[1].report, report(2));
        assert!(records.iter().all(|record| record.flops > 0.0));
    }

    /// A disk's damage in the middle, bytes that are no text; and numbers of seventeen digits.
    #[test]
    fn a_damaged_line_is_passed_over_and_the_others_stay_to_the_digit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(METRICS_FILE);
        let line = |step: usize, loss: &str| {
            let text =
                line(&StepRecord { report: StepReport { loss: 0.25, ..report(step) }, ..record(step) });
            text.replace("0.25,", &format!("{loss},"))
        };
        let [first, last] = [line(1, "0.30000000000000004"), line(3, "3.0e-1")];
        let damaged = [b"{\"step\": 2, \xFF\xFE\0".as_slice(), b"\n"].concat();
        fs::write(&path, [first.as_bytes(), &damaged, last.as_bytes()].concat()).unwrap();
        let (_, kept) = Metrics::open(folder.path(), cost(), 3).unwrap();
        assert_eq!(kept.iter().map(|record| record.step).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(fs::read_to_string(&path).unwrap(), first + &last);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_in_the_folder_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let victim = folder.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        let run = folder.path().join("run");
        fs::create_dir(&run).unwrap();
        for name in [METRICS_FILE, ".new-metrics.jsonl", ".metrics.jsonl"] {
            std::os::unix::fs::symlink(&victim, run.join(name)).unwrap();
        }
        let (mut metrics, _) = Metrics::open(&run, cost(), 0).unwrap();
        metrics.record(1, &report(1)).unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        fs::remove_dir_all(run.join("tensorboard")).unwrap();
        std::os::unix::fs::symlink(folder.path(), run.join("tensorboard")).unwrap();
        assert!(Metrics::open(&run, cost(), 0).is_err());
    }

    #[test]
    fn rates_are_over_the_time_that_steps_took() {
        let records = [record(1), record(2)];
        let rates = Rates::over(records.iter());
        assert_eq!(rates, Rates { samples: 64.0, tokens: 6400.0, flops: 2e11 });
        assert_eq!(rates.text(Some(1e12)), "64.0 samples/s  6.40 k tokens/s  200 GFLOP/s (20 %)");
        assert_eq!(Rates::over([].iter()), Rates::default());
    }

    #[test]
    fn expert_use_is_the_mean_of_a_languages_last_looks() {
        // Looks at every other step: twelve of them.
        let mut records: Vec<StepRecord> = (1..=24).map(record).collect();
        records[3].report.routing[1].weights = vec![1.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        records[23].report.routing.remove(0);
        records[23].report.routing[0].weights = vec![0.6, 0.0, 0.0, 0.2, 0.1, 0.1];
        let used = expert_use(records.iter());
        let first: Vec<(&str, f32)> =
            used.iter().map(|used| (used.language.as_str(), used.weights[0])).collect();
        assert!(matches!(first[..], [("ar", _), ("en", _)]), "{first:?}");
        assert!((first[0].1 - 0.1).abs() < 1e-6 && (first[1].1 - 0.15).abs() < 1e-6, "{first:?}");
        assert!(expert_use([].iter()).is_empty());
    }

    /// As runs of older versions have them.
    #[test]
    fn a_record_with_groups_is_read() {
        let text = serde_json::to_string(&record(2)).unwrap();
        let older: StepRecord = serde_json::from_str(&text.replace("\"language\"", "\"group\"")).unwrap();
        assert_eq!(older, record(2));
    }

    #[test]
    fn no_file_is_no_record() {
        assert!(read(Path::new("/no/such/metrics.jsonl")).unwrap().is_empty());
    }
}
