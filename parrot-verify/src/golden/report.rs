//! Running cases, counting how they turned out, and printing it.

use std::collections::BTreeMap;
use std::fmt;

use parrot_model::error_chain;
use parrot_model::untrusted::contained;
use serde::Serialize;

use super::{Case, CaseVerdict, Deviation, Directory, Quantity};
use crate::Result;

/// Which cases to run. Both empty: all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only cases of these kinds.
    pub kinds: Vec<String>,
    /// Only cases of these ids.
    pub ids: Vec<String>,
}

impl Filter {
    fn takes(&self, case: &Case) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&case.kind))
            && (self.ids.is_empty() || self.ids.contains(&case.id))
    }
}

/// How all cases of a directory turned out.
#[derive(Debug, Default, Serialize)]
#[non_exhaustive]
pub struct VerifyReport {
    /// The results by kind, in alphabetical order.
    pub kinds: BTreeMap<String, KindReport>,
    /// Every failed case, in the order of the manifest.
    pub failures: Vec<Failure>,
    /// Notes of the cases, which do not decide whether they pass.
    pub remarks: Vec<String>,
}

/// How the cases of one kind turned out.
#[derive(Debug, Default, Serialize)]
#[non_exhaustive]
pub struct KindReport {
    /// Cases run: passed and failed together.
    pub run: usize,
    /// Cases in which everything agreed, or whose error was reproduced or answered.
    pub passed: usize,
    /// Cases in which something did not agree.
    pub failed: usize,
    /// How many of the passed are failures or oddities of the reference that this build reproduces.
    pub reproduced: usize,
    /// How many of the passed are failures or oddities of the reference where this build gives its own error.
    pub own_error: usize,
    /// Cases not run, counted by reason.
    pub skipped: BTreeMap<String, usize>,
    /// How far each quantity was off at most.
    pub differences: BTreeMap<Quantity, Deviation>,
}

/// A case that did not pass.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Failure {
    /// The case.
    pub id: String,
    /// Its kind.
    pub kind: String,
    /// The first thing that did not agree, and how many more there were.
    pub reason: String,
}

/// Runs `verify` on every case that `filter` takes, and tells `progress` how many are done, of how many. A case
/// whose inputs cannot be read, or on which this build gives an unexpected error or panics, has failed; so
/// has a filter that names what the directory does not have.
pub(crate) fn run(
    directory: &Directory,
    filter: &Filter,
    mut progress: impl FnMut(usize, usize),
    mut verify: impl FnMut(&Case) -> Result<CaseVerdict>,
) -> VerifyReport {
    let mut report = VerifyReport::default();
    let has = |named: &dyn Fn(&Case) -> bool| directory.cases().iter().any(named);
    let unknown_kinds = filter.kinds.iter().filter(|kind| !has(&|case| case.kind == **kind));
    let unknown_ids = filter.ids.iter().filter(|id| !has(&|case| case.id == **id));
    for (id, kind) in unknown_kinds.map(|kind| ("", &**kind)).chain(unknown_ids.map(|id| (&**id, ""))) {
        let reason = "the directory has no such case".into();
        report.failures.push(Failure { id: id.into(), kind: kind.into(), reason });
    }
    let cases: Vec<&Case> = directory.cases().iter().filter(|case| filter.takes(case)).collect();
    for (done, case) in cases.iter().enumerate() {
        progress(done, cases.len());
        // A panic is a defect of this build or a case that no check foresaw; either way it is this case's.
        let verdict = contained(|| verify(case)).unwrap_or_else(|panic| Err(directory.error(panic)));
        report.count(case, verdict);
    }
    report
}

impl VerifyReport {
    /// Adds how one case turned out.
    fn count(&mut self, case: &Case, verdict: Result<CaseVerdict>) {
        let kind = self.kinds.entry(case.kind.clone()).or_default();
        let mut problems = Vec::new();
        match verdict {
            Ok(CaseVerdict::Skipped(reason)) => {
                *kind.skipped.entry(reason).or_insert(0) += 1;
                return;
            }
            Ok(CaseVerdict::Compared(checks)) => {
                for (quantity, difference) in checks.differences {
                    kind.differences.entry(quantity).or_insert(difference).merge(difference);
                }
                self.remarks.extend(checks.remarks.iter().map(|remark| format!("{}: {remark}", case.id)));
                problems = checks.problems;
            }
            Ok(CaseVerdict::Reproduced) => kind.reproduced += 1,
            Ok(CaseVerdict::OwnError(error)) => {
                kind.own_error += 1;
                self.remarks.push(format!("{}: own error: {error}", case.id));
            }
            Err(error) => problems.push(error_chain(&error)),
        }
        kind.run += 1;
        let Some(first) = problems.first() else {
            kind.passed += 1;
            return;
        };
        kind.failed += 1;
        let more = match problems.len() {
            1 => String::new(),
            count => format!("; and {} more", count - 1),
        };
        let reason = format!("{first}{more}");
        self.failures.push(Failure { id: case.id.clone(), kind: case.kind.clone(), reason });
    }

    /// By reason: the kinds skipped for it, each with its number of cases.
    fn skipped(&self) -> BTreeMap<&str, Vec<String>> {
        let mut skipped: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (name, kind) in &self.kinds {
            for (reason, count) in &kind.skipped {
                skipped.entry(reason).or_default().push(format!("{count} {name}"));
            }
        }
        skipped
    }

    /// The report for programs, indented.
    #[must_use]
    pub fn to_json(&self) -> String {
        let value = serde_json::json!({
            "success": self.is_success(),
            "kinds": self.kinds,
            "failures": self.failures,
            "remarks": self.remarks,
        });
        format!("{value:#}")
    }

    /// Whether at least one case ran and none failed.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.failures.is_empty() && self.kinds.values().any(|kind| kind.run > 0)
    }
}

/// A table by kind, then what was skipped, said and failed.
impl fmt::Display for VerifyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.kinds.keys().map(String::len).max().unwrap_or(0).max("kind".len());
        let head = ["run", "passed", "failed", "skipped"];
        writeln!(
            f,
            "{:width$}  {:>5}  {:>6}  {:>6}  {:>7}  largest difference",
            "kind", head[0], head[1], head[2], head[3]
        )?;
        let mut total = [0; 4];
        let line = |f: &mut fmt::Formatter<'_>, name: &str, counts: [usize; 4], end: &str| {
            let [run, passed, failed, skipped] = counts;
            writeln!(f, "{name:width$}  {run:>5}  {passed:>6}  {failed:>6}  {skipped:>7}  {end}")
        };
        for (name, kind) in &self.kinds {
            let counts = [kind.run, kind.passed, kind.failed, kind.skipped.values().sum()];
            for (total, count) in total.iter_mut().zip(counts) {
                *total += count;
            }
            line(f, name, counts, &kind.details())?;
        }
        line(f, "total", total, "")?;
        for (reason, kinds) in self.skipped() {
            writeln!(f, "skipped, {reason}: {}", kinds.join(", "))?;
        }
        for remark in &self.remarks {
            writeln!(f, "{remark}")?;
        }
        for Failure { id, kind, reason } in &self.failures {
            writeln!(f, "FAILED {id} ({kind}): {reason}")?;
        }
        if total[0] == 0 {
            writeln!(f, "FAILED: no case was run")?;
        }
        Ok(())
    }
}

impl KindReport {
    /// `logits 2.3e-5 (≤ 1e-3), embeddings 4.0e-6 (≤ 5e-5)`, and how errors were met.
    fn details(&self) -> String {
        let mut parts: Vec<String> = self
            .differences
            .iter()
            .map(|(quantity, Deviation { largest, limit })| {
                let limit = limit.map_or("reported only".to_string(), |limit| format!("≤ {limit:.0e}"));
                format!("{quantity} {largest:.1e} ({limit})")
            })
            .collect();
        if self.reproduced + self.own_error > 0 {
            parts.push(format!("{} reproduced, {} own error", self.reproduced, self.own_error));
        }
        if parts.is_empty() { "-".into() } else { parts.join(", ") }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Checks;
    use super::*;

    /// A directory of cases without fields.
    fn directory(cases: &str) -> (tempfile::TempDir, Directory) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("cases.json"), r#"{"parts": {"a": "part.json"}}"#).unwrap();
        std::fs::write(folder.path().join("part.json"), cases).unwrap();
        let directory = Directory::open(folder.path()).unwrap();
        (folder, directory)
    }

    const CASES: &str = r#"[
        {"id": "good", "kind": "vision"}, {"id": "bad", "kind": "vision"},
        {"id": "quirk", "kind": "vision_quirk"}, {"id": "refused", "kind": "vision_quirk"},
        {"id": "broken", "kind": "moe"}, {"id": "panics", "kind": "moe"}, {"id": "why", "kind": "note"}
    ]"#;

    fn verdict(directory: &Directory, case: &Case) -> Result<CaseVerdict> {
        let mut checks = Checks::new(parrot_model::device::Precision::F32);
        match case.id.as_str() {
            "good" => checks.value(Quantity::Module, "x", 1.0, 1.0 + 1e-5),
            "bad" => checks.value(Quantity::Module, "x", 1.0, 2.0),
            "quirk" => return Ok(CaseVerdict::Reproduced),
            "refused" => return Ok(CaseVerdict::OwnError("no".into())),
            "broken" => return Err(directory.error("unreadable")),
            "panics" => panic!("index 7 is out of bounds"),
            _ => return Ok(CaseVerdict::Skipped("notes only explain".into())),
        }
        Ok(checks.into())
    }

    #[test]
    fn counts_every_way_a_case_can_turn_out() {
        let (_folder, directory) = directory(CASES);
        let mut seen = Vec::new();
        let report = run(
            &directory,
            &Filter::default(),
            |done, total| seen.push((done, total)),
            |case| verdict(&directory, case),
        );
        assert_eq!(seen, (0..7).map(|done| (done, 7)).collect::<Vec<_>>());
        let vision = &report.kinds["vision"];
        assert_eq!((vision.run, vision.passed, vision.failed), (2, 1, 1));
        assert!((vision.differences[&Quantity::Module].largest - 1.0).abs() < 1e-9);
        let quirks = &report.kinds["vision_quirk"];
        assert_eq!((quirks.passed, quirks.reproduced, quirks.own_error), (2, 1, 1));
        assert_eq!(report.kinds["note"].skipped["notes only explain"], 1);
        let failed: Vec<&str> = report.failures.iter().map(|failure| failure.id.as_str()).collect();
        assert_eq!(failed, ["bad", "broken", "panics"]);
        assert!(!report.is_success());

        let text = report.to_string();
        assert!(text.contains("FAILED bad (vision): x: 1, expected 2 (module off by 1.00e0, allowed 5e-5)"));
        assert!(text.contains("FAILED panics (moe): golden data"), "{text}");
        assert!(text.contains("panicked: index 7 is out of bounds"), "{text}");
        assert!(text.contains("skipped, notes only explain: 1 note"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
        assert_eq!(json["success"], false);
        assert_eq!(json["kinds"]["vision"]["failed"], 1);
        assert_eq!(json["failures"][0]["id"], "bad");
    }

    #[test]
    fn filters_by_kind_and_by_id_and_refuses_to_pass_on_nothing() {
        let (_folder, directory) = directory(CASES);
        let run_with = |kinds: &[&str], ids: &[&str]| {
            let own = |names: &[&str]| names.iter().map(ToString::to_string).collect();
            let filter = Filter { kinds: own(kinds), ids: own(ids) };
            run(&directory, &filter, |_, _| (), |case| verdict(&directory, case))
        };
        assert_eq!(run_with(&["vision"], &[]).kinds["vision"].run, 2);
        assert!(run_with(&[], &["good"]).is_success());
        let nothing = run_with(&["no such kind"], &[]);
        assert!(!nothing.is_success());
        assert!(nothing.to_string().contains("no case was run"));
        let misspelt = run_with(&[], &["good", "godo"]);
        assert!(!misspelt.is_success());
        assert!(misspelt.to_string().contains("FAILED godo (): the directory has no such case"));
    }
}
