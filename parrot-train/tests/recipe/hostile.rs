//! What comes from outside: records, names, links, numbers.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use parrot_model::checkpoint::Checkpoint;
use serde_json::{Value, json};

use crate::shapes::ASSETS;
use crate::workplace::{Workplace, record};

/// The cases of others' files: what is wrong with each record is told, whatever all of them are.
#[test]
fn every_record_gets_one_verdict_from_all_commands() {
    let place = Workplace::new();
    let answer = json!({"from": "gpt", "value": "rocket"});
    let human = |words: &str| json!({"from": "human", "value": words});
    let long = format!("<image>\n{}", "what ".repeat(3000));
    let one = |name: &str, file: &str, text: &str, reason: &str| {
        place.write(file, text);
        let settings = format!("data.source=[{{file={:?}, pictures='{ASSETS}/pictures'}}]", place.path(file));
        let out = format!("out={}", place.path(name).display());
        let single = ["--set", "train.batch_size=1", "--set", "train.micro_batch_size=1"];
        let settings = [&["--set", &settings, "--set", &out][..], &single].concat();
        let (status, _, said) = place.call("run", &settings);
        assert!(status == 1 && said.contains(reason), "{name}: {said}");
        let (status, printed, _) = place.call("check-data", &settings);
        assert!(status == 1 && printed.contains(reason), "{name}: {printed}");
        let (status, planned, _) = place.call("plan", &settings);
        assert!(status == 1 && planned.contains("; 1 record cannot be used"), "{name}: {planned}");
        assert!(!place.path(name).join("model").exists());
    };
    let records = |image: Option<&str>, words: &str| {
        let mut record = json!({"id": "n", "conversations": [human(words), answer]});
        if let Some(image) = image {
            record["image"] = image.into();
        }
        record
    };
    let list = |record: Value| Value::from(vec![record; 1]).to_string();
    // train/longq.json: the model takes 512 tokens, of which the picture and the question leave none.
    one("longq", "longq.json", &list(records(Some("rocket.png"), &long)), "no labelled token is left");
    // However many may be left out, a stage of which none is left ends with what is wrong with them.
    let settings =
        format!("data.source=[{{file={:?}, pictures='{ASSETS}/pictures'}}]", place.path("longq.json"));
    let single = ["--set", "train.batch_size=1", "--set", "train.micro_batch_size=1"];
    let settings = [&["--set", &settings, "--set", "data.max_bad_records=99"][..], &single].concat();
    let (status, _, said) = place.call("run", &settings);
    assert!(status == 1 && said.contains("steps can be used; of the last: longq/"), "{said}");
    assert!(!place.path("run/model").exists());
    fs::remove_dir_all(place.path("run")).unwrap();
    // train/video.json
    let mut video = records(None, "<video>\nWhat?");
    video["video"] = "a.mp4".into();
    one("video", "video.json", &list(video), "something else than pictures: key `video`");
    // train/all_bad.json
    let mut all_bad = records(None, "<image>\nWhat?");
    all_bad["images"] = json!(["rocket.png"]);
    one("all_bad", "all_bad.json", &list(all_bad), "pictures stand under the key `image`, not `images`");
    // train/f_json_oneline_as_jsonl.jsonl
    let line = list(records(Some("rocket.png"), "<image>\nWhat?"));
    one("lines", "oneline.jsonl", &line, "name it .json");
    // train/nan.json
    let nan = line.replace("\"n\"", "NaN");
    one("nan", "nan.json", &nan, "no JSON");
    // Whatever may be left out: there is nothing to learn from, and the list says why.
    let settings =
        format!("data.source=[{{file={:?}, pictures='{ASSETS}/pictures'}}]", place.path("all_bad.json"));
    let (status, _, said) = place.call("run", &["--set", &settings, "--set", "data.max_bad_records=9"]);
    assert!(status == 1 && said.contains("none that can be used: pictures stand under"), "{said}");
    let listed = fs::read_to_string(place.path("run/bad-records.jsonl")).unwrap();
    assert!(listed.contains("not `images`"), "{listed}");
}

/// A page of HTML under a picture's name, as downloads leave it: a plan counted the record as one that is trained on.
#[test]
fn a_plan_opens_pictures() {
    let place = Workplace::new();
    place.write("page.png", "<!DOCTYPE html>");
    let mut record = record(0);
    record["image"] = "page.png".into();
    place.write("data.json", &Value::from(vec![record]).to_string());
    let settings =
        format!("data.source=[{{file={:?}, pictures={:?}}}]", place.path("data.json"), place.path(""));
    let settings = ["--set", &settings, "--set", "train.batch_size=1", "--set", "train.micro_batch_size=1"];
    let (status, planned, said) = place.call("plan", &settings);
    assert_eq!(status, 1, "{said}");
    assert!(said.contains("1 record cannot be used; data.max_bad_records allows 0"), "{said}");
    assert!(planned.contains("; 1 record cannot be used"), "{planned}");
    let expected =
        "1 were tokenised, the pictures of 1 decoded, and 1 of them cannot be used; check-data says more";
    assert!(planned.contains(expected), "{planned}");
    for command in ["run", "check-data"] {
        let (status, printed, said) = place.call(command, &settings);
        assert!(status == 1 && format!("{printed}{said}").contains("page.png"), "{command}: {printed}{said}");
    }
}

/// What a run refuses before its first step, a plan and a look at the data refuse as well, and say the same of it.
#[test]
fn run_plan_and_check_data_agree_on_every_recipe() {
    let place = Workplace::new();
    let path = |name: &str| place.path(name).display().to_string();
    place.write("none.json", "[]");
    place.write("page.png", "<!DOCTYPE html>");
    let mut unreadable = record(0);
    unreadable["image"] = "page.png".into();
    place.write("unreadable.json", &Value::from(vec![unreadable]).to_string());
    let silent = json!([{"id": 1, "conversations": [{"from": "human", "value": "What?"}]}]);
    place.write("silent.json", &silent.to_string());
    fs::create_dir_all(place.path("taken/model")).unwrap();
    place.write("taken/model/thesis.txt", "precious");
    let foreign = [
        ("model", "thesis"),
        ("metrics.jsonl", "{\"epoch\": 1, \"acc\": 0.5}\n"),
        ("report.html", "my report"),
        ("bad-records.jsonl", "{\"id\": 1}\n"),
    ];
    for (name, text) in foreign {
        fs::create_dir(place.path(&format!("foreign-{name}"))).unwrap();
        place.write(&format!("foreign-{name}/{name}"), text);
    }
    Checkpoint::open(place.path("start"))
        .unwrap()
        .quantize(parrot_model::quantization::BlockFormat::Q4, place.path("small"), |_, _| ())
        .unwrap();
    for broken in ["tokenless", "weightless", "shapeless"] {
        copy(&place.path("start"), &place.path(broken));
    }
    place.write("tokenless/tokenizer.json", "{}");
    fs::remove_file(place.path("weightless/model.safetensors")).unwrap();
    let config = fs::read_to_string(place.path("shapeless/config.json")).unwrap();
    let config = config.replace("\"intermediate_size\": 24", "\"intermediate_size\": 26");
    place.write("shapeless/config.json", &config);
    #[cfg(unix)]
    std::os::unix::fs::symlink("nowhere", place.path("dangling")).unwrap();
    let data = |file: &str| format!("data.source=[{{file={:?}, pictures={:?}}}]", path(file), path(""));
    let from = |folder: &str| format!("model.from={}", path(folder));
    let out = |folder: &str| format!("out={}", path(folder));
    let cases = [
        (data("none.json"), "", ""),
        (data("silent.json"), "", ""),
        (data("unreadable.json"), "", ""),
        (from("tokenless"), "tokenizer.json", ""),
        (from("small"), "its weights are quantised and can be held in q4 alone", ""),
        (from("weightless"), "neither model.safetensors nor", ""),
        (from("shapeless"), "mlp.down_proj.weight", ""),
        (out("none.json"), "none.json is a file, not a folder", ""),
        #[cfg(unix)]
        (out("dangling"), "dangling is a link to nothing", ""),
        (out("taken"), "move it away", ""),
        (out("foreign-model"), "place is taken by a file; move it away", ""),
        (out("foreign-metrics.jsonl"), "metrics.jsonl: a run would replace this file", ""),
        (out("foreign-report.html"), "report.html: a run would replace this file", ""),
        (out("foreign-bad-records.jsonl"), "bad-records.jsonl: the list of bad records would replace", ""),
        ("data.max_length=0".into(), "setting `data.max_length` should be at least 1, found 0", ""),
        ("data.max_length=1".into(), "setting `data.max_length` should be at least 2", ""),
        ("data.max_length=2000".into(), "at most the 1024 positions that the model has, found 2000", ""),
        #[cfg(unix)]
        (data("dangling"), "dangling", ""),
        (
            "train.steps=".into(),
            "setting `train.epochs` should be at most 1000000000 steps",
            "train.epochs=1e6",
        ),
    ];
    for (change, reason, more) in &cases {
        // An epoch of nine records a million times over has fewer steps than that.
        let weight = format!(
            "data.source=[{{file={:?}, pictures='{ASSETS}/pictures', weight=999.0}}]",
            path("data.json")
        );
        let mut arguments =
            vec!["--set", change, "--set", "data.max_bad_records=9", "--set", "train.micro_batch_size=1"];
        arguments.extend(["--set", "train.batch_size=1"]);
        if !more.is_empty() {
            arguments.extend(["--set", more, "--set", &weight]);
        }
        for command in ["plan", "check-data", "run"] {
            let (status, _, said) = place.call(command, &arguments);
            assert_eq!(status, 1, "{command} {change}: {said}");
            assert!(said.contains("error: ") && said.contains(reason), "{command} {change}: {said}");
        }
    }
    for (name, text) in foreign {
        assert_eq!(fs::read_to_string(place.path(&format!("foreign-{name}/{name}"))).unwrap(), text);
    }
    // As many may be left out on the way as before the start.
    let mut records: Vec<Value> = (0..9).map(record).collect();
    records[2]["conversations"][1]["value"] = " ".into();
    records[3]["image"] = "page.png".into();
    records[0]["image"] = "page.png".into();
    records[1]["image"] = "page.png".into();
    for (id, record) in records.iter_mut().enumerate().skip(4) {
        if id % 3 != 2 {
            record["image"] = "rocket.png".into();
        }
    }
    fs::copy(format!("{ASSETS}/pictures/rocket.png"), place.path("rocket.png")).unwrap();
    place.write("mixed.json", &Value::from(records).to_string());
    for (allowed, expected) in [(3, 0), (2, 1)] {
        let allowed = format!("data.max_bad_records={allowed}");
        for command in ["plan", "check-data", "run"] {
            let out = out(&format!("mixed-{expected}"));
            let arguments = ["--set", &data("mixed.json"), "--set", &allowed, "--set", &out];
            let (status, _, said) = place.call(command, &arguments);
            assert_eq!(status, expected, "{command} {allowed}: {said}");
        }
    }
}

/// A folder's copy.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(from, to).unwrap();
        }
    }
}

/// What a plan says of a step's tokens is what its records have, or it says what it takes them to have.
#[test]
fn a_plan_counts_the_tokens_of_what_it_has_tokenised() {
    let place = Workplace::new();
    let (_, planned, _) = place.call("plan", &[]);
    let tokens = |planned: &str| {
        let line = planned.lines().find(|line| line.starts_with("tokens")).unwrap().to_string();
        let number: String = line.split("about ").nth(1).unwrap().split(" a step").next().unwrap().into();
        (number.replace(' ', "").parse::<usize>().unwrap(), line)
    };
    let (planned_tokens, line) = tokens(&planned);
    assert!(line.ends_with(", by what was tokenised"), "{line}");
    let (status, _, said) = place.call("run", &["--quiet"]);
    assert_eq!(status, 0, "{said}");
    let metrics = fs::read_to_string(place.path("run/metrics.jsonl")).unwrap();
    let steps: Vec<Value> = metrics.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mean =
        steps.iter().map(|step| step["tokens"].as_u64().unwrap() as usize).sum::<usize>() / steps.len();
    assert!(planned_tokens.abs_diff(mean) * 10 < mean, "{planned_tokens} planned, {mean} in the run");

    let absent = "data.source=[{file='not here.json', pictures='.', records=100}]";
    let (status, planned, said) = place.call("plan", &["--set", absent]);
    assert_eq!(status, 0, "{said}");
    let (_, line) = tokens(&planned);
    assert!(line.ends_with(", each sample taken to have a picture and 200 tokens of text"), "{line}");
}

/// train/esc.json: ids, picture names and roles with a terminal's commands.
#[test]
fn what_files_say_gives_a_terminal_no_commands() {
    let place = Workplace::new();
    let mut records: Vec<Value> = (0..3).map(record).collect();
    records[0]["id"] = "x\u{1b}[31mRED\u{1b}]2;pwned\u{7}".into();
    records[0]["image"] = "none\u{1b}[31mRED\u{9b}2J.png".into();
    records[1]["conversations"][0]["from"] = "robot\u{1b}[31mRED".into();
    records[2]["k\u{1b}[2J"] = 1.into();
    place.write("data.json", &Value::from(records).to_string());
    for (command, arguments) in
        [("run", &[][..]), ("check-data", &[]), ("check-data", &["--json"]), ("plan", &[])]
    {
        let arguments = &[arguments, &["--set", "name=\"x\\u001b[31mRED\""]].concat();
        let (_, printed, said) = place.call(command, arguments);
        let all = printed + &said;
        assert!(all.chars().all(|c| !c.is_control() || c == '\n'), "{command}: {all:?}");
        assert!(command == "plan" || all.contains("RED"), "{all}");
    }
}

/// Its name is not enough to take a folder for a model that an earlier run has left.
#[test]
fn a_folder_that_is_no_runs_stays() {
    let place = Workplace::new();
    fs::create_dir_all(place.path("run/model")).unwrap();
    fs::write(place.path("run/model/thesis.txt"), "precious").unwrap();
    let (status, _, said) = place.call("run", &["--quiet"]);
    assert!(status == 1 && said.contains("move it away"), "{status} {said}");
    assert_eq!(fs::read_to_string(place.path("run/model/thesis.txt")).unwrap(), "precious");
}

/// It was replaced by the list of bad records, or removed where there were none: training data, the recipe, anything.
#[test]
fn a_list_of_bad_records_takes_no_other_files_place() {
    let place = Workplace::new();
    place.write("thesis.txt", "precious");
    place.write("lines.jsonl", "{\"source\": \"data\", \"id\": \"1\"}\n");
    place.write("empty.jsonl", "");
    fs::create_dir(place.path("folder")).unwrap();
    let list = |name: &str, more: &[&str]| {
        let path = place.path(name).display().to_string();
        place.call("check-data", &[&["--bad-records", &path], more].concat())
    };
    let names = ["data.json", "recipe.toml", "thesis.txt", "lines.jsonl"];
    let before = names.map(|name| fs::read(place.path(name)).unwrap());
    for (name, expected) in names.into_iter().zip([
        "data.json: the list of bad records would replace this file, which the recipe needs",
        "recipe.toml: the list of bad records would replace this file, which the recipe needs",
        "thesis.txt: the list of bad records would replace this file, which is no such list",
        "lines.jsonl: the list of bad records would replace this file, which is no such list",
    ]) {
        let (status, printed, said) = list(name, &[]);
        assert!(status == 1 && printed.is_empty() && said.contains(expected), "{said}");
    }
    assert_eq!(names.map(|name| fs::read(place.path(name)).unwrap()), before);
    let (status, _, said) = list("folder", &[]);
    assert!(status == 1 && said.contains("folder: it is a folder, not a file"), "{said}");
    #[cfg(unix)]
    for (target, expected) in
        [("thesis.txt", "which is no such list"), ("nowhere", "it is a link to nothing")]
    {
        let link = place.path(&format!("to-{target}"));
        std::os::unix::fs::symlink(target, &link).unwrap();
        let (status, _, said) = list(&format!("to-{target}"), &[]);
        assert!(status == 1 && said.contains(expected) && link.is_symlink(), "{said}");
    }

    // A list of an earlier call is replaced, and removed where there are none.
    let mut records: Vec<Value> = (0..9).map(record).collect();
    records[0]["image"] = "no such.png".into();
    place.write("bad.json", &Value::from(records).to_string());
    let bad = format!("data.source=[{{file={:?}, pictures='{ASSETS}/pictures'}}]", place.path("bad.json"));
    for name in ["empty.jsonl", "new.jsonl"] {
        assert_eq!(list(name, &[]).0, 0);
        assert_eq!(place.path(name).exists(), name == "empty.jsonl");
        for _ in 0..2 {
            assert_eq!(list(name, &["--set", &bad]).0, 1);
            assert_eq!(fs::read_to_string(place.path(name)).unwrap().lines().count(), 1);
        }
        assert_eq!(list(name, &[]).0, 0);
        assert!(!place.path(name).exists());
    }
}

/// Written through, they would have lost somebody a file.
#[cfg(unix)]
#[test]
fn a_run_writes_through_no_link() {
    use std::os::unix::fs::symlink;

    let place = Workplace::new();
    let victims = place.path("victims");
    fs::create_dir_all(place.path("run")).unwrap();
    fs::create_dir(&victims).unwrap();
    for name in ["metrics.jsonl", "report.html", "bad-records.jsonl", ".new-report.html", ".metrics.jsonl"] {
        fs::write(victims.join(name), "precious").unwrap();
        symlink(victims.join(name), place.path("run").join(name)).unwrap();
    }
    fs::create_dir(victims.join("model")).unwrap();
    fs::write(victims.join("model/config.json"), "precious").unwrap();
    symlink(victims.join("model"), place.path("run/model")).unwrap();
    let (status, _, said) = place.call("run", &["--quiet"]);
    assert_eq!(status, 0, "{said}");
    for name in ["metrics.jsonl", "report.html", "bad-records.jsonl", ".new-report.html", "model/config.json"]
    {
        assert_eq!(fs::read_to_string(victims.join(name)).unwrap(), "precious", "{name}");
    }
    Checkpoint::open(place.path("run/model")).unwrap();
    fs::remove_file(place.path("run/.lock")).unwrap();
    fs::write(victims.join("lock"), "precious").unwrap();
    symlink(victims.join("lock"), place.path("run/.lock")).unwrap();
    let (status, _, said) = place.call("run", &["--quiet"]);
    assert!(status == 1 && said.contains("symbolic link"), "{said}");
    assert_eq!(fs::read_to_string(victims.join("lock")).unwrap(), "precious");
}

#[test]
fn numbers_of_bench_have_bounds() {
    for (option, number) in [
        ("--threads", "1000000"),
        ("--threads", "0"),
        ("--micro-batches", "100000000000"),
        ("--micro-batch-size", "5000"),
        ("--tokens", "18446744073709551615"),
        ("--steps", "18446744073709551615"),
        ("--lora", "1000000"),
    ] {
        let output =
            Command::cargo_bin("parrot-train").unwrap().args(["bench", option, number]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            matches!(output.status.code(), Some(1 | 2)) && said.contains(option),
            "{option} {number}: {said}"
        );
    }
}
