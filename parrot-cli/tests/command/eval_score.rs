//! `parrot eval` on answers that are there, as a user meets it.

use std::fs;

use parrot_eval::{Dataset, ImageStore, PredictionFile, Protocol};
use serde_json::Value;

use crate::common::{error, output, parrot, text};
use crate::eval_recorded::{lines, recorded, scores};

/// Every known benchmark with what it needs; a name that is none is told the others.
#[test]
fn the_list_shows_every_benchmark() {
    let (list, stderr) = output(parrot(&["eval", "--list"]));
    assert_eq!(stderr, "");
    for expected in [
        "MMMB\n",
        "mmmb_ar.tsv",
        "HallusionBench.tsv",
        "TextVQA_VAL.tsv",
        "judge: none",
        "l2-category",
        "source   VLMEvalKit e8e78f0",
    ] {
        assert!(list.contains(expected), "{expected} is not in\n{list}");
    }
    let (json, _) = output(parrot(&["eval", "--list", "--json"]));
    let all: Vec<Value> = serde_json::from_str(&json).unwrap();
    // And the table of the documentation has a row for each.
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/evaluation.md");
    let docs = fs::read_to_string(docs).unwrap();
    let rows = &docs[docs.find("| benchmark |").unwrap()..docs.find("### A judge").unwrap()];
    for name in all.iter().map(|it| it["name"].as_str().unwrap()) {
        assert!(rows.contains(name), "{name} is not in docs/evaluation.md");
    }
    let star = all.iter().find(|it| it["name"] == "MMStar").unwrap();
    assert_eq!(star["files"][0]["md5"], "e1ecd2140806c1b1bbf54b43372efb9e");
    let refused = parrot(&["eval", "--data", "x.tsv", "--benchmark", "songs"]).output().unwrap();
    let said = text(refused.stderr);
    assert!(said.contains("it is none of MMMB, MMBench, circular, POPE"), "{said}");
}

/// A missing answer is a wrong one, a doubled one counts once, and both are said.
#[test]
fn nothing_is_dropped_from_the_denominator() {
    let (all, _) = scores("kit_mmmb_tr", "all", Protocol::Kit2024_08);
    let (part, as_kit) = scores("kit_mmmb_tr", "part", Protocol::Kit2024_08);
    assert_eq!((all.rows, all.answered, all.scores[0].of), (120, 120, 120));
    assert_eq!((part.rows, part.answered, part.scores[0].of, as_kit[0].of), (120, 118, 120, 120));
    assert!(part.headline() <= all.headline());
    let counts: Vec<(String, usize)> =
        part.problems.iter().map(|(kind, count)| (kind.text().to_string(), *count)).collect();
    assert_eq!(counts, [("no prediction".into(), 2), ("duplicate prediction".into(), 2)]);
    assert_eq!(part.extraction.missing, 2);
    // Paired and per row stand side by side under every protocol.
    let (paired, _) = scores("kit_mmmb_tr", "all", Protocol::Paper2024_06);
    assert_eq!((paired.scores[0].of, paired.scores[1].of), (95, 120));
    assert_eq!(paired.scores[0].value, all.scores[1].value);
    assert_eq!(paired.scores[1].value, all.scores[0].value);
}

fn score_recorded(extra: &[&str]) -> assert_cmd::Command {
    let (data, answers) = (recorded("kit_mmmb_tr.tsv"), recorded("kit_mmmb_tr_all.jsonl"));
    let mut command =
        parrot(&["eval", "--data", data.to_str().unwrap(), "--score", answers.to_str().unwrap()]);
    command.args(extra);
    command
}

#[test]
fn other_programs_answers_are_scored_under_every_protocol() {
    let (table, stderr) = output(score_recorded(&[]));
    assert_eq!(stderr, "");
    for line in [
        "| kit_mmmb | paper-2024-06 | per group | **35.79** | **35.79** | 0.00 | tr | 95 |",
        "| kit_mmmb | paper-2024-06 | per row | 45.00 | 45.00 | 0.00 | tr | 120 |",
        "| kit_mmmb | kit-2024-08 | per row | **45.00** | **45.00** | 0.00 | tr | 120 |",
        "| kit_mmmb | kit-2026-08 | per row | **35.00** | **35.00** | 0.00 | tr | 120 |",
        "No problems with the files.",
    ] {
        assert!(table.lines().any(|found| found == line), "{line}\n{table}");
    }
    let (json, _) = output(score_recorded(&["--json", "--protocol", "kit-2026-08"]));
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["results"].as_array().unwrap().len(), 1);
    let result = &json["results"][0];
    assert_eq!((&result["protocol"], &result["rows"]), (&"kit-2026-08".into(), &120.into()));
    let read = result["extraction"].as_object().unwrap();
    assert_eq!(read.values().map(|count| count.as_u64().unwrap()).sum::<u64>(), 120);
    assert!(
        read["letter"].as_u64() > Some(30)
            && read["text"].as_u64() > Some(5)
            && read["refusal"].as_u64() > Some(0)
    );
}

/// The three formats hold the same answers, and ours are those that we write.
#[test]
fn predictions_are_read_from_tsv_xlsx_and_jsonl() {
    let data = Dataset::open(&recorded("kit_mmmb_tr.tsv"), &mut ImageStore::default()).unwrap();
    let jsonl = PredictionFile::read(&recorded("kit_mmmb_tr_all.jsonl")).unwrap();
    let assigned = parrot_eval::assign(&data, std::slice::from_ref(&jsonl));
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    parrot_eval::write_tsv(&file("x_kit_mmmb_tr.tsv"), &data, &assigned.of_rows).unwrap();
    parrot_eval::write_xlsx(&file("x_kit_mmmb_tr.xlsx"), &data, &assigned.of_rows).unwrap();
    for name in ["x_kit_mmmb_tr.tsv", "x_kit_mmmb_tr.xlsx"] {
        let read = PredictionFile::read(&file(name)).unwrap();
        // Named after the dataset, so it need not be the only one.
        let read = parrot_eval::assign_by_name(&data, &[read]);
        assert_eq!((&read.of_rows, &read.problems), (&assigned.of_rows, &assigned.problems), "{name}");
        assert!(read.from_spreadsheet.iter().all(|is_read| *is_read == name.ends_with("xlsx")), "{name}");
    }
    let text = fs::read_to_string(file("x_kit_mmmb_tr.tsv")).unwrap();
    assert!(
        text.starts_with("index\tquestion\thint\tA\tB\tC\tD\tanswer\tcategory\tl2-category\tprediction\n"),
        "{text}"
    );
}

#[test]
fn nothing_at_a_time_is_refused() {
    let data = recorded("kit_mmmb_tr.tsv");
    for option in ["--batch-size", "--pictures", "--max-new-tokens", "--judge-patience"] {
        let done = parrot(&["eval", "--data", data.to_str().unwrap(), option, "0"]).output().unwrap();
        let said = text(done.stderr);
        assert!(!done.status.success() && said.contains("0 is not in 1.."), "{option}: {said}");
    }
}

#[test]
fn broken_predictions_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let data = recorded("kit_mmmb_tr.tsv");
    let score = |name: &str, content: &[u8]| {
        let file = folder.path().join(name);
        fs::write(&file, content).unwrap();
        parrot(&[
            "eval",
            "--data",
            data.to_str().unwrap(),
            "--protocol",
            "kit-2024-08",
            "--score",
            file.to_str().unwrap(),
        ])
    };
    assert!(error(score("a.jsonl", b"{\"index\": 1}\n")).contains("a.jsonl line 1: expected {\"index\": "));
    assert!(error(score("a.jsonl", b"")).ends_with("a.jsonl: the file is empty"));
    assert!(
        error(score("a.tsv", b"index\tanswer\n1\tA\n"))
            .ends_with("a.tsv: there is no column prediction, only index, answer")
    );
    assert!(error(score("a.xlsx", b"PK no")).contains("a.xlsx: no XLSX file: "));
    assert!(error(score("a.csv", b"")).contains("predictions are read from .tsv, .xlsx and .jsonl files"));
    let missing = parrot(&["eval", "--data", data.to_str().unwrap(), "--score", "no/such"]);
    assert!(error(missing).contains("cannot read no/such: "));
    // It was said that files are matched by their names.
    let other = error(score("a.tsv", b"index\tprediction\nTrue\tA\n"));
    assert!(other.contains("no prediction has the index of a row of kit_mmmb_tr; "), "{other}");
    assert!(other.ends_with("expected indices such as “1”, found “True”"), "{other}");
    let header = error(score("a.tsv", b"index\tprediction\n"));
    assert!(header.ends_with("a.tsv: there is not one prediction in it"), "{header}");
    for name in ["a.tsv", "a.jsonl"] {
        let page = error(score(name, b"<!DOCTYPE html>\n<html>\n"));
        assert!(page.contains(name) && page.contains("it is a web page"), "{page}");
    }
    // A run that was killed while it wrote: what is there counts, what is not is said.
    let (table, stderr) =
        output(score("a.jsonl", b"{\"index\": 1, \"prediction\": \"A\"}\n{\"index\": 2, \"pred"));
    assert!(stderr.contains("a.jsonl line 2: no prediction: the line is cut off"), "{stderr}");
    assert!(stderr.contains("and 110 more problems, in all 120 × no prediction"), "{stderr}");
    assert!(
        table.contains("120 rows; ") && table.contains("not answered 119; 119 × no prediction"),
        "{table}"
    );
}

/// The kit's own file of a collection, one language of which is missing, one not asked for.
#[test]
fn what_matches_no_dataset_is_said_and_the_rest_scored() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    for code in ["tr", "en"] {
        fs::copy(recorded("kit_mmmb_tr.tsv"), file(&format!("kit_mmmb_{code}.tsv"))).unwrap();
    }
    let mut table = "SUB_DATASET\toriginal_index\tindex\tprediction\n".to_string();
    for (number, line) in lines("kit_mmmb_tr_all.jsonl").iter().enumerate() {
        let prediction = line["prediction"].as_str().unwrap().replace('"', "\"\"");
        table += &format!("kit_mmmb_tr\t{}\t{number}\t\"{prediction}\"\n", line["index"]);
    }
    table += "kit_mmmb_ar\t1\t500\tA\nkit_mmmb_tr\t1\t501\t\"cut";
    fs::write(file("X_kit_mmmb.tsv"), table).unwrap();
    let command = |data: &[&str]| {
        let data: Vec<String> = data.iter().map(|name| file(name).display().to_string()).collect();
        let mut command = parrot(&["eval", "--protocol", "kit-2024-08", "--data"]);
        command.args(data).arg("--score").arg(file("X_kit_mmmb.tsv"));
        command
    };
    let (table, stderr) = output(command(&["kit_mmmb_tr.tsv", "kit_mmmb_en.tsv"]));
    let line = "| kit_mmmb | kit-2024-08 | per row | **0.00** | **45.00** | **22.50** | 45.00 | en | 120 |";
    assert!(table.contains(line), "{table}");
    for said in [
        "X_kit_mmmb.tsv line 126: no prediction: a quote opens here and is never closed",
        "X_kit_mmmb.tsv line 125: another dataset's predictions: 1 predictions for kit_mmmb_ar are not scored",
        "kit_mmmb_en.tsv: no prediction: there is none at all for kit_mmmb_en",
        "in all 124 × no prediction, 1 × another dataset's predictions",
    ] {
        assert!(stderr.contains(said), "{said}\n{stderr}");
    }
    assert!(table.contains("2 × no prediction\n"), "empty ones are counted with their dataset: {table}");
    let none = error(command(&["kit_mmmb_en.tsv"]));
    assert!(none.contains("X_kit_mmmb.tsv: no prediction is for kit_mmmb_en;"), "{none}");
}

#[test]
fn a_folders_other_tables_are_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    fs::write(file("songs.tsv"), "title\tsinger\nx\ty\n").unwrap();
    fs::write(file("options.tsv"), "A\tB\nx\ty\n").unwrap();
    let prompts = || parrot(&["eval", "--prompts-only", "--data", folder.path().to_str().unwrap()]);
    let none = error(prompts());
    assert!(
        none.starts_with("none of the files is a benchmark; options.tsv: skipped, as no benchmark"),
        "{none}"
    );
    fs::copy(recorded("kit_mmmb_tr.tsv"), file("kit_mmmb_tr.tsv")).unwrap();
    let (stdout, stderr) = output(prompts());
    assert_eq!(stdout.lines().count(), 2 * 120);
    assert!(stderr.contains("note: songs.tsv: skipped, as no benchmark: neither its name"), "{stderr}");
    // Neither a link to nowhere nor a pipe, whatever they are called, keeps the others from being read.
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(file("gone.tsv"), file("mmmb_ru.tsv")).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(file("mmmb_pt.tsv")).status().unwrap().success());
        let (stdout, stderr) = output(prompts());
        assert_eq!(stdout.lines().count(), 2 * 120);
        assert!(
            stderr.contains("mmmb_ru.tsv: skipped") && stderr.contains("a named pipe, not a file"),
            "{stderr}"
        );
    }
    // A broken benchmark is no other table.
    fs::write(file("mmmb_en.tsv"), "index\tquestion\nx\ty\n").unwrap();
    assert!(error(prompts()).contains("taken by its name for MMMB, it lacks the columns image"));
}

#[test]
fn files_that_are_no_benchmark_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let eval = |name: &str, content: &str| {
        let file = folder.path().join(name);
        fs::write(&file, content).unwrap();
        parrot(&["eval", "--prompts-only", "--run-as", "dataset", "--data", file.to_str().unwrap()])
    };
    assert!(
        error(eval("a.tsv", "x\ty\n1\t2\n"))
            .contains("a.tsv: neither its name nor its columns are of a benchmark that")
    );
    assert!(
        error(eval("mmmb_tr.tsv", "index\timage\tquestion\tA\tanswer\n1\t2\t3\t4\t5\n"))
            .contains("MMMB, it lacks the column B; it has")
    );
    assert!(
        error(eval("mmmb_tr.tsv", "a\tb\n1\t2\t3\n")).ends_with("line 2: 3 fields, but the header has 2")
    );
    let empty = tempfile::tempdir().unwrap();
    let none = parrot(&["eval", "--prompts-only", "--data", empty.path().to_str().unwrap()]);
    assert!(error(none).starts_with("there is no .tsv file in "));
    let missing = parrot(&["eval", "--data", "no/such.tsv"]);
    assert_eq!(error(missing), "cannot read no/such.tsv: No such file or directory (os error 2)");
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for args in [
        &["eval"][..],
        &["eval", "--data"],
        &["eval", "--data", "x.tsv", "--protocol", "paper"],
        &["eval", "--data", "x.tsv", "--prompts-only", "--score", "y.tsv"],
        &["eval", "--data", "x.tsv", "--prompts-for", "other"],
        &["eval", "--data", "x.tsv", "--run-as", "everyone"],
    ] {
        let output = parrot(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
    assert!(output(parrot(&["eval", "--help"])).0.contains("Examples:"));
}
