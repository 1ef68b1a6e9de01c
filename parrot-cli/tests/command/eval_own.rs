//! `parrot eval` on one's own questions, and two runs beside each other.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parrot_infer::tiny;
use serde_json::Value;

use crate::common::{error, output, parrot};
use crate::eval_recorded::recorded;

const IMAGE: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

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
    // Every character of it, though none steers a terminal.
    let odd = folder.path().join("odd_fr.tsv");
    let question = "a\u{85}b\u{202e}c\u{7f}d\u{2066}e";
    fs::write(&odd, format!("index\timage\tquestion\tanswer\n1\t{IMAGE}\t{question}\tA\n")).unwrap();
    let (found, _) = prompts(&odd, &["--prompt", "?"]);
    assert!(found.contains("a\\u0085b\\u202ec\\u007fd\\u2066e"), "{found}");
    assert_eq!(first(&found)["prompt"], format!("{question}\n?"));
    fs::remove_file(&odd).unwrap();
    // In a folder such a file may be anything.
    fs::copy(recorded("kit_mmmb_tr.tsv"), folder.path().join("kit_mmmb_tr.tsv")).unwrap();
    let (found, notes) = prompts(folder.path(), &[]);
    assert!(notes.contains("animaux_fr.tsv: skipped") && notes.contains("name the file itself"), "{notes}");
    assert!(found.lines().all(|line| line.contains("kit_mmmb_tr")));
}

/// Answers went through the kits' spreadsheet: with one that is empty, or a fraction, 2 was 2.0, and 007 was 7.
#[test]
fn numbers_are_compared_as_they_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let [questions, answers] = ["n.tsv", "n.jsonl"].map(|name| folder.path().join(name));
    for (expected, said, right) in [
        (&["2", "3", "4"][..], &["2", "3", ""][..], 67.0),
        (&["2", "3", "4"], &["2", "3", "0.5"], 67.0),
        (&["2", "3", "4"], &["2", "3", "None"], 67.0),
        (&["007", "0.10"], &["007", "0.10"], 100.0),
        (&["007", "0.10"], &["7", "0.1"], 0.0),
        (&["7", "8", "1.5"], &["7", "8", "1.5"], 100.0),
        (&["1e5", "=3"], &["1e5", "=3"], 100.0),
    ] {
        let rows: String =
            (1..).zip(expected).map(|(at, text)| format!("{at}\t{IMAGE}\t?\t{text}\n")).collect();
        fs::write(&questions, format!("index\timage\tquestion\tanswer\n{rows}")).unwrap();
        let line = |(at, text)| format!("{{\"index\": {at}, \"prediction\": \"{text}\"}}\n");
        fs::write(&answers, (1..).zip(said).map(line).collect::<String>()).unwrap();
        for (benchmark, protocol) in [("exact", "kit-2026-08"), ("contains", "kit-2024-08")] {
            let arguments = ["--benchmark", benchmark, "--protocol", protocol, "--json"];
            let mut command = parrot(&["eval", "--data", text(&questions), "--score", text(&answers)]);
            command.args(arguments);
            let found: Value = serde_json::from_str(&output(command).0).unwrap();
            let value = found["results"][0]["scores"][0]["value"].as_f64().unwrap().round();
            assert_eq!(value, right, "{benchmark} {expected:?} {said:?}");
        }
    }
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
    // What is no run is told what one is.
    let [gone, unfinished, scored] = ["gone", "unfinished", "scored"].map(|name| folder.path().join(name));
    for (run, file) in [(&unfinished, "answers.jsonl"), (&scored, "results.json")] {
        fs::create_dir(run).unwrap();
        fs::write(run.join(file), "").unwrap();
    }
    let expected =
        "--compare expects folders that --out named, or files of predictions (.tsv, .xlsx or .jsonl)";
    for (other, said) in [
        (gone, "gone: No such file or directory (os error 2)"),
        (folder.path().into(), "is no run's folder, which holds predictions in paper-2024-06, …"),
        (run.join("kit-2026-08"), "is no run's folder, which holds predictions in paper-2024-06, …"),
        (out.join("comparison.json"), "predictions are read from .tsv, .xlsx and .jsonl files"),
        (data.clone(), "there is no column prediction, only index, image"),
    ] {
        let message = error(compare([&runs[0], &other], &[]));
        assert!(message.contains(said) && message.ends_with(&format!("; {expected}")), "{message}");
    }
    let message = |run: &Path| error(compare([run, &runs[0]], &[]));
    assert!(message(&unfinished).ends_with("has not finished; the command that began it goes on with it"));
    assert!(message(&scored).ends_with("answers, and not these; name the file that --score read"));
}

/// Numbers to choose from in Arabic, indices that are words, pictures that are written out, addressed and named.
/// Results of other programs, and of people, were written over.
#[test]
fn what_others_have_written_where_results_go_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (questions, answers) = own_questions(folder.path());
    let model = folder.path().join("model");
    tiny::write(&model, 0).unwrap();
    let out = |name: &str| folder.path().join(name);
    let ask = |out: &Path| {
        parrot(&["eval", "--data", text(&questions), "--model", text(&model), "--out", text(out)])
    };
    let score = |out: &Path| {
        parrot(&["eval", "--data", text(&questions), "--score", text(&answers), "--out", text(out)])
    };
    let compare = |out: &Path| {
        let runs = [text(&answers), text(&answers)];
        parrot(&["eval", "--data", text(&questions), "--compare", runs[0], runs[1], "--out", text(out)])
    };
    for name in ["results.json", "results.md", "report.html", "comparison.json", "comparison.html"] {
        let out = out(&format!("with-{name}"));
        fs::create_dir(&out).unwrap();
        fs::write(out.join(name), "{\"results\": []}").unwrap();
        let refused = if name.starts_with("comparison") {
            vec![error(compare(&out))]
        } else {
            vec![error(ask(&out)), error(score(&out))]
        };
        for said in refused {
            assert!(said.contains(&format!("{name} is none of parrot eval's")), "{said}");
        }
        assert_eq!(fs::read_to_string(out.join(name)).unwrap(), "{\"results\": []}");
        assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
    }
    // One's own are replaced, but a model's results by another program's.
    for _ in 0..2 {
        output(ask(&out("asked")));
        output(score(&out("scored")));
        output(compare(&out("compared")));
    }
    let before = fs::read(out("asked").join("results.json")).unwrap();
    let said = error(score(&out("asked")));
    assert!(said.contains("asked holds a model's answers, and --score would put"), "{said}");
    assert_eq!(fs::read(out("asked").join("results.json")).unwrap(), before);
}

#[test]
fn a_set_of_ones_own_is_asked_by_its_columns_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    tiny::write(&path("model"), 3).unwrap();
    fs::create_dir(path("img")).unwrap();
    fs::write(path("img/two.png"), STANDARD.decode(IMAGE).unwrap()).unwrap();
    let images = [IMAGE, &format!("data:image/png;base64,{IMAGE}"), "img/two.png", "img/three.png"];
    let rows = ["one", "two", "three", "four"].iter().zip(images);
    let rows: String =
        rows.map(|(index, image)| format!("{index}\t{image}\tكم عددها؟\t1\t2\t3\tB\n")).collect();
    // As Excel writes it: with a mark at the start, and lines that end in two characters.
    let table = format!("\u{feff}index\timage\tquestion\tA\tB\tC\tanswer\n{rows}").replace('\n', "\r\n");
    fs::write(path("أعداد_ar.tsv"), table).unwrap();
    for (method, out) in [("generate", "written"), ("likelihood", "chosen")] {
        let (data, model, out) = (path("أعداد_ar.tsv"), path("model"), path(out));
        let mut command =
            parrot(&["eval", "--data", text(&data), "--model", text(&model), "--out", text(&out)]);
        command.args(["--method", method, "--max-new-tokens", "4"]);
        let (table, notes) = output(command);
        assert!(notes.contains("asked 1 question about 1 picture in"), "the same question thrice: {notes}");
        assert_eq!(notes.contains("tokens/s"), method == "generate", "{notes}");
        let missing = "أعداد_ar.tsv line 5 (index four): broken picture: cannot read ";
        assert!(notes.contains(missing) && !notes.contains("bad index"), "{notes}");
        // One line, of one protocol, without what a kit would print.
        assert_eq!(table.matches("| أعداد | kit-2026-08 | choice | **").count(), 1, "{table}");
        assert!(!table.contains("paper-2024-06") && !table.contains("the kit would"), "{table}");
        let found: Value = serde_json::from_slice(&fs::read(out.join("results.json")).unwrap()).unwrap();
        let result = &found["results"][0];
        assert_eq!((&result["benchmark"], &result["rows"]), (&"choice".into(), &4.into()));
        let prompts = result["prompts_sha256"].as_str().unwrap();
        assert_eq!(prompts.len(), 64);
        assert_eq!(found["asked"]["run_as"]["kit-2026-08"], "dataset", "so that the request is in Arabic");
    }
}

#[test]
fn a_table_that_is_none_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |name: &str, content: &[u8]| {
        let file = folder.path().join(name);
        fs::write(&file, content).unwrap();
        error(parrot(&["eval", "--data", text(&file), "--prompts-only"]))
    };
    for (content, said) in [
        ("index;image;question;A;B;answer\n1;x;q;a;b;A\n", "separated by `;`, not by tabs; save it as"),
        ("index\timage\tquestion\ta\tb\tanswer\n1\tx\tq\ta\tb\tA\n", "in capitals"),
        ("index\timage\tquestion\tA\tB\n1\tx\tq\ta\tb\n", "it lacks the column answer; it has index, image"),
        ("index\timage\tquestion\t question \tanswer\n1\tx\tq\tq\ta\n", "two columns are called `question`"),
        ("", "the file is empty"),
        ("index\timage\tquestion\tanswer\n1\tx\t\"Qui ?\ta\n", "quotes of the text itself are written twice"),
    ] {
        let message = refused("animaux_fr.tsv", content.as_bytes());
        assert!(message.contains("animaux_fr.tsv") && message.contains(said), "{said}: {message}");
    }
    for header in ["\u{feff}index\timage", "index\timage"] {
        let wide: Vec<u8> = header.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(refused("animaux_fr.tsv", &wide).ends_with("the file is UTF-16; save it as UTF-8"));
    }
    assert!(refused("MMStar.tsv", b"index\timage\n1\tx\n").contains("taken by its name for MMStar"));
    let file = folder.path().join("x.tsv");
    let rows = "1\t\tq\tcat\tdog\tb\n2\thttps://example.org/cat.jpg\tq\tcat\tdog\tB\n";
    fs::write(&file, format!("index\timage\t\" question \"\tA\tB \tanswer\n{rows}")).unwrap();
    let (_, notes) = output(parrot(&["eval", "--data", text(&file), "--prompts-only"]));
    assert!(notes.contains("x.tsv line 2 (index 1): no picture"), "{notes}");
    let address = "x.tsv line 3 (index 2): broken picture: https://example.org/cat.jpg is an address, and none is fetched; \
                   download the picture to below the table's folder and give its file's name\n";
    assert!(notes.contains(address), "{notes}");
    assert!(notes.contains("expected one of A, B, found `b`: write `B`"), "{notes}");
}
