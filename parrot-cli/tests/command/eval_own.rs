//! `parrot eval` on one's own questions, and two runs beside each other.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::common::{error, output, parrot};

const IMAGE: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

fn recorded(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../parrot-eval/tests/recorded").join(name)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A file of three questions with expected answers, and a program's answers to it.
fn own_questions(folder: &Path) -> (PathBuf, PathBuf) {
    let (questions, answers) = (folder.join("animaux_fr.tsv"), folder.join("animaux_answers.jsonl"));
    let rows = [("Qui dort ?", "un chat"), ("Et là ?", "[\"un chien\", \"un chiot\"]"), ("Combien ?", "3")];
    let rows: String = rows
        .iter()
        .enumerate()
        .map(|(index, (question, answer))| format!("{index}\t{IMAGE}\t{question}\t{}\n", quoted(answer)))
        .collect();
    fs::write(&questions, format!("index\timage\tquestion\tanswer\n{rows}")).unwrap();
    let said = ["C'est un chat.", "Un chiot !", "13"].iter().enumerate();
    let said = said.map(|(index, text)| format!("{{\"index\": {index}, \"prediction\": \"{text}\"}}\n"));
    fs::write(&answers, said.collect::<String>()).unwrap();
    (questions, answers)
}

/// A cell as CSV quotes it.
fn quoted(cell: &str) -> String {
    format!("\"{}\"", cell.replace('"', "\"\""))
}

#[test]
fn questions_with_expected_answers_need_no_kit() {
    let folder = tempfile::tempdir().unwrap();
    let (questions, answers) = own_questions(folder.path());
    let score = |extra: &[&str]| -> Value {
        let mut command = parrot(&["eval", "--data", text(&questions), "--score", text(&answers), "--json"]);
        command.args(["--protocol", "kit-2026-08"]).args(extra);
        serde_json::from_str(&output(command).0).unwrap()
    };
    let found = score(&[]);
    assert_eq!(found["results"][0]["benchmark"], "contains");
    assert_eq!(found["results"][0]["scores"][0]["value"].as_f64().unwrap().round(), 67.0);
    let found = score(&["--benchmark", "exact"]);
    assert_eq!(found["results"][0]["scores"][0]["name"], "exact");
    assert_eq!(found["results"][0]["scores"][0]["value"].as_f64().unwrap().round(), 33.0);

    let prompts = |data: &Path, extra: &[&str]| {
        let mut command = parrot(&["eval", "--prompts-only", "--run-as", "dataset", "--data", text(data)]);
        command.args(extra);
        output(command)
    };
    let first = |lines: &str| serde_json::from_str::<Value>(lines.lines().next().unwrap()).unwrap();
    let (found, _) = prompts(&questions, &["--prompt", "Réponds en deux mots."]);
    assert_eq!(first(&found)["prompt"], "Qui dort ?\nRéponds en deux mots.");
    // In a folder such a file may be anything.
    fs::copy(recorded("kit_mmmb_tr.tsv"), folder.path().join("kit_mmmb_tr.tsv")).unwrap();
    let (found, notes) = prompts(folder.path(), &[]);
    assert!(notes.contains("animaux_fr.tsv: skipped") && notes.contains("name the file itself"), "{notes}");
    assert!(found.lines().all(|line| line.contains("kit_mmmb_tr")));
}

#[test]
fn two_runs_are_compared_answer_by_answer() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("difference");
    let data = recorded("kit_mmmb_tr.tsv");
    let runs = [recorded("kit_mmmb_tr_all.jsonl"), recorded("kit_mmmb_tr_part.jsonl")];
    let compare = |runs: [&Path; 2], extra: &[&str]| {
        let mut command = parrot(&["eval", "--data", text(&data), "--compare", text(runs[0]), text(runs[1])]);
        command.args(extra);
        command
    };
    let (table, notes) = output(compare([&runs[0], &runs[1]], &["--out", text(&out)]));
    assert!(table.starts_with("# kit_mmmb_tr_part against kit_mmmb_tr_all"), "{table}");
    assert!(table.contains("| kit_mmmb_tr | kit-2026-08 | accuracy per row |"), "{table}");
    assert!(notes.contains("the comparison is in"), "{notes}");
    let page = fs::read_to_string(out.join("comparison.html")).unwrap();
    assert!(page.contains("Answers that changed") && page.contains("data:image/png;base64,"));
    let found: Value = serde_json::from_slice(&fs::read(out.join("comparison.json")).unwrap()).unwrap();
    for difference in found["datasets"].as_array().unwrap() {
        let [first, second] = [0, 1].map(|run| difference["values"][run].as_f64().unwrap());
        assert_eq!(difference["difference"].as_f64().unwrap(), second - first);
        // The second lacks answers that the first has, so it has gained nothing.
        assert_eq!(difference["gained"], 0);
        // All questions are about one picture, which says nothing of others.
        assert!(difference["interval"].is_null());
    }

    // A run and itself; its folder is what `--out` writes.
    let run = folder.path().join("run/kit-2026-08");
    fs::create_dir_all(&run).unwrap();
    let table: String = fs::read_to_string(&runs[0])
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|line| format!("{}\t{}\n", line["index"], quoted(line["prediction"].as_str().unwrap_or("nan"))))
        .collect();
    fs::write(run.join("model_kit_mmmb_tr.tsv"), format!("index\tprediction\n{table}")).unwrap();
    let run = run.parent().unwrap();
    let (table, _) = output(compare([run, &runs[0]], &["--protocol", "kit-2026-08"]));
    assert!(table.contains("| +0.00 | – | 0 | 0 | 1.000 |"), "{table}");
    let message = error(compare([run, &runs[0]], &["--protocol", "paper-2024-06"]));
    assert!(message.contains("have no dataset and protocol in common"), "{message}");
    let message = error(compare([&folder.path().join("gone"), &runs[0]], &[]));
    assert!(message.contains("gone"), "{message}");
}
