//! `parrot bench --vs`: another program's times of the same phases, by turns with ours.
//!
//! On a machine that others use as well, two times that were measured one after the other say little about which program is the
//! faster; measured by turns, what disturbs one round mostly disturbs both.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use parrot_model::untrusted::printable;
use serde::Serialize;

use super::measure::BenchReport;
use super::time;

/// A program beside ours.
#[derive(Debug, Serialize)]
pub(crate) struct Peer {
    /// What the user typed.
    command: String,
    /// Of its phases those that ours has too.
    phases: Vec<Comparison>,
}

/// One phase, of both.
#[derive(Debug, PartialEq, Serialize)]
struct Comparison {
    name: &'static str,
    /// The median of each round, in seconds.
    ours_s: Vec<f64>,
    peers_s: Vec<f64>,
    /// The least of ours by the least of the peer's: below 1, ours is faster.
    ratio: f64,
}

impl Peer {
    /// - ours: of each round
    /// - peers: of each round, its median times by phase
    ///
    /// # Errors
    ///
    /// If none of its phases is one of ours.
    pub(crate) fn new(command: &str, ours: &[BenchReport], peers: &[BTreeMap<String, f64>]) -> Result<Self> {
        let names = ours.first().map_or(&[][..], |report| &report.phases).iter().map(|phase| phase.name);
        let compared = names.clone().filter_map(|name| {
            let ours_s = ours.iter().filter_map(|report| {
                report.phases.iter().find(|phase| phase.name == name).map(|phase| phase.median_s)
            });
            let ours_s: Vec<f64> = ours_s.collect();
            let peers_s: Vec<f64> = peers.iter().filter_map(|round| round.get(name).copied()).collect();
            let least = |seconds: &[f64]| seconds.iter().copied().reduce(f64::min);
            let ratio = least(&ours_s)? / least(&peers_s)?;
            Some(Comparison { name, ours_s, peers_s, ratio })
        });
        let phases: Vec<Comparison> = compared.collect();
        if phases.is_empty() {
            bail!(
                "--vs {}: it printed no row `| PHASE | MEDIAN |` of a phase that is measured here ({})",
                printable(command),
                names.collect::<Vec<_>>().join(", ")
            );
        }
        Ok(Self { command: command.into(), phases })
    }

    /// A table like that of ours.
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("\nby turns with `{}`\n\n", printable(&self.command));
        text.push_str("| phase | parrot | the other | parrot / the other |\n|---|--:|--:|--:|\n");
        let times = |seconds: &[f64]| seconds.iter().map(|s| time(*s)).collect::<Vec<_>>().join(", ");
        for Comparison { name, ours_s, peers_s, ratio } in &self.phases {
            let _ = writeln!(text, "| {name} | {} | {} | {ratio:.2} |", times(ours_s), times(peers_s));
        }
        text
    }
}

/// Runs a command in the system's shell and reads its table: the median of each phase, in seconds.
///
/// # Errors
///
/// If it cannot be run or fails.
pub(crate) fn run(command: &str) -> Result<BTreeMap<String, f64>> {
    let [shell, option] = if cfg!(windows) { ["cmd", "/C"] } else { ["sh", "-c"] };
    let mut peer = Command::new(shell);
    peer.args([option, command]).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = peer.output().with_context(|| format!("--vs {}: cannot run {shell}", printable(command)))?;
    if !output.status.success() {
        bail!("--vs {}: it failed ({})", printable(command), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(row).collect())
}

/// The name and the first time of a table's row, `| prefill | 12.3 ms | …`.
fn row(line: &str) -> Option<(String, f64)> {
    let mut cells = line.trim().strip_prefix('|')?.split('|').map(str::trim);
    let (name, time) = (cells.next()?, cells.next()?);
    let (number, unit) = time.split_once(' ')?;
    let scale = match unit {
        "ms" => 1e-3,
        "s" => 1.0,
        _ => return None,
    };
    let seconds = number.parse::<f64>().ok()? * scale;
    (seconds.is_finite() && seconds > 0.0).then(|| (name.into(), seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_as_they_are_printed() {
        assert_eq!(
            row("| projector + experts | 122.50 ms | 120 ms |"),
            Some(("projector + experts".into(), 0.1225))
        );
        assert_eq!(row("  | decode | 1.50 s |"), Some(("decode".into(), 1.5)));
        for line in [
            "",
            "| phase | median |",
            "|---|--:|",
            "| decode | 3 tokens |",
            "| decode | -1 ms |",
            "decode 3 ms",
        ] {
            assert_eq!(row(line), None, "{line}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_command_is_run_and_its_failure_named() {
        let found = run("echo 'threads: 2'; echo '| decode | 250.00 ms | 1 ms |'").unwrap();
        assert_eq!(found, BTreeMap::from([("decode".into(), 0.25)]));
        let error = run("exit 3").unwrap_err().to_string();
        assert!(error.starts_with("--vs exit 3: it failed (exit status: 3"), "{error}");
    }

    #[test]
    fn what_has_no_phase_of_ours_is_refused() {
        let error = Peer::new("true", &[], &[BTreeMap::from([("decoding".into(), 1.0)])]).unwrap_err();
        assert!(error.to_string().starts_with("--vs true: it printed no row"), "{error}");
    }
}
