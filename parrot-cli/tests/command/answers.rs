//! The `parrot` command as a user meets it, on a tiny random model.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::LazyLock;

use assert_cmd::Command;
use image::{Rgb, RgbImage};
use parrot_infer::tiny;
use serde_json::Value;
use tempfile::TempDir;

use crate::chat::chat;
use crate::common::{error, output, parrot, text};

/// `model/`, `photo.png`, `other.png` and `garbage.png`, made once for all tests.
static FILES: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    tiny::write(&folder.path().join("model"), 3).unwrap();
    for (name, red) in [("photo.png", 200), ("other.png", 20)] {
        let image = RgbImage::from_fn(30, 20, |x, y| Rgb([red, (x * 8) as u8, (y * 12) as u8]));
        image.save(folder.path().join(name)).unwrap();
    }
    fs::write(folder.path().join("garbage.png"), "this is no picture").unwrap();
    folder
});

pub(crate) fn file(name: &str) -> PathBuf {
    FILES.path().join(name)
}

pub(crate) fn text_of(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// `parrot ask PHOTO … --model MODEL`, answers of eight tokens.
fn ask(args: &[&str]) -> Command {
    let (photo, model) = (file("photo.png"), file("model"));
    let mut command = parrot(&["ask", text_of(&photo), "--model", text_of(&model), "--max-new-tokens", "8"]);
    command.args(args);
    command
}

#[test]
fn an_answer_is_all_there_is_on_stdout() {
    let (answer, stderr) = output(ask(&["What is this?"]));
    assert!(answer.ends_with('\n') && answer.len() > 1);
    assert_eq!(stderr, "");
    assert_eq!(output(ask(&["What is this?"])).0, answer);

    let (same, stderr) = output(ask(&["What is this?", "--verbose", "--show-routing"]));
    assert_eq!(same, answer);
    assert!(stderr.contains("prefill") && stderr.contains("vision"), "{stderr}");
    let sure: f64 = stderr.split_once("confidence ").unwrap().1.split(',').next().unwrap().parse().unwrap();
    assert!((0.0..=1.0).contains(&sure), "{stderr}");
    assert_eq!(stderr.lines().filter(|line| line.contains("expert ") && line.contains('#')).count(), 6);
    assert!(stderr.is_ascii(), "no block characters outside a terminal: {stderr}");
}

#[test]
fn each_of_several_questions_stands_before_its_answer() {
    let (one, _) = output(ask(&["What is this?"]));
    let (two, _) = output(ask(&["ما هذا؟"]));
    let (both, stderr) = output(ask(&["What is this?", "ما هذا؟", "-v"]));
    assert_eq!(both, format!("What is this?\n{one}\nما هذا؟\n{two}"));
    assert!(stderr.lines().nth(1).unwrap().contains("picture remembered"), "{stderr}");

    let questions = file("questions.txt");
    fs::write(&questions, "\u{feff}What is this?\n\n  ما هذا؟\n").unwrap();
    assert_eq!(output(ask(&["--questions", text_of(&questions)])).0, both);
    let mut piped = ask(&["--questions", "-"]);
    piped.write_stdin("What is this?\nما هذا؟");
    assert_eq!(output(piped).0, both);
}

/// It ended the call: those behind it got no answer.
#[test]
fn a_picture_that_cannot_be_read_costs_no_other_its_answer() {
    let (photo, other, garbage) = (file("photo.png"), file("other.png"), file("garbage.png"));
    let answers = |pictures: &[&Path]| {
        let mut command = parrot(&["ask"]);
        command.args(pictures).args(["What is this?", "--json", "--model", text_of(&file("model"))]);
        let output = command.args(["--max-new-tokens", "2"]).output().unwrap();
        let (json, said) = (text(output.stdout), text(output.stderr));
        let names = json.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["image"].clone());
        (output.status.code(), names.collect::<Vec<_>>(), said)
    };
    let expected = [text_of(&photo), text_of(&other)];
    for pictures in [[&*photo, &garbage, &other], [&garbage, &photo, &other]] {
        let (status, names, said) = answers(&pictures);
        assert_eq!((status, &names[..]), (Some(1), &expected.map(Value::from)[..]), "{said}");
        let lines: Vec<&str> = said.lines().collect();
        assert!(lines.len() == 2 && lines[0].contains("garbage.png"), "{said}");
        assert_eq!(lines[1], "error: 1 of 3 pictures could not be asked about");
    }
}

#[test]
fn a_text_may_begin_with_a_hyphen_but_is_no_option() {
    for system in ["-1", "- be brief", "--- be brief ---", "-be"] {
        output(ask(&["What?", "--system", system, "--stop", "- x", "--stop", "-7"]));
    }
    let (chosen, _) = output({
        let (photo, model) = (file("photo.png"), file("model"));
        let mut command = parrot(&["ask", text_of(&photo), "What?", "--model", text_of(&model)]);
        command.args(["--choice", "- x", "--choice", "-1 °C"]);
        command
    });
    assert!(["- x\n", "-1 °C\n"].contains(&&*chosen), "{chosen}");
    for forgotten in ["--verbose", "-v", "--temperature", "--help"] {
        let output = ask(&["What?", "--system", forgotten]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("--system <TEXT>") && said.contains("an option itself"), "{said}");
    }
}

/// U+202E in a picture's name went to the terminal, to a pipe and to whoever reads what came from it.
#[test]
fn json_has_no_character_that_steers_a_terminal_on_any_stream() {
    let odd = file("\u{202e}evil\u{85}.png");
    fs::copy(file("photo.png"), &odd).unwrap();
    let mut ask =
        parrot(&["ask", text_of(&odd), "Hm\u{2066}?", "--json", "--model", text_of(&file("model"))]);
    ask.args(["--max-new-tokens", "1"]);
    let (json, _) = output(ask);
    assert!(!json.contains(['\u{202e}', '\u{85}', '\u{2066}']) && json.contains("\\u202eevil"), "{json}");
    let record: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&record["image"], &record["question"]), (&text_of(&odd).into(), &"Hm\u{2066}?".into()));
}

#[test]
fn json_is_one_object_per_answer() {
    let (plain, _) = output(ask(&["Что это?"]));
    let (lines, _) = output(ask(&["--json", "Что это?", "Why?"]));
    let records: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len(), 2);
    assert_eq!(records[0]["question"], "Что это?");
    assert_eq!(format!("{}\n", records[0]["answer"].as_str().unwrap()), plain);
    assert_eq!(records[0]["routing_weights"][0].as_array().unwrap().len(), 6);
    assert_eq!(records[0]["finish_reason"], "length");
    assert_eq!(records[0]["token_ids"].as_array().unwrap().len(), 8);
    let confidence = records[0]["confidence"].as_f64().unwrap();
    assert!(0.0 < confidence && confidence < 1.0, "{confidence}");
    assert!(records[0]["seconds"]["vision"].as_f64().unwrap() > 0.0);
    assert_eq!(records[1]["seconds"]["vision"], 0.0);
}

/// Questions come from files as well, and what is written into a log is read on a terminal.
#[test]
fn echoed_questions_steer_no_terminal() {
    let (printed, _) = output(ask(&["What\u{1b}[31m?", "Why?"]));
    assert!(printed.starts_with("What\u{fffd}[31m?\n"), "{printed:?}");
}

#[test]
fn a_choice_is_one_of_the_answers_given() {
    let (photo, model) = (file("photo.png"), file("model"));
    let choose = |args: &[&str]| {
        let mut command = parrot(&["ask", text_of(&photo), "--model", text_of(&model)]);
        command.args(["--choice", "cat", "--choice", "القطة", "--choice", "a dog"]).args(args);
        command
    };
    let (chosen, stderr) = output(choose(&["What is this?", "-v"]));
    assert!(["cat\n", "القطة\n", "a dog\n"].contains(&&*chosen), "{chosen}");
    assert_eq!(stderr.lines().count(), 4, "{stderr}");
    let (both, _) = output(choose(&["What is this?", "这是什么?"]));
    assert!(both.starts_with(&format!("What is this?\n{chosen}\n这是什么?\n")), "{both}");

    let (json, _) = output(choose(&["What is this?", "--json"]));
    let record: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(format!("{}\n", record["answer"].as_str().unwrap()), chosen);
    let choices = record["choices"].as_array().unwrap();
    let probability = |choice: &Value| choice["probability"].as_f64().unwrap();
    assert!((choices.iter().map(probability).sum::<f64>() - 1.0).abs() < 1e-5);
    let best = choices.iter().max_by(|a, b| probability(a).total_cmp(&probability(b))).unwrap();
    assert_eq!(best["answer"], record["answer"]);

    assert_eq!(
        error(choose(&["What?", "--choice", ""])),
        "answers should be text in each, found an empty one"
    );
    let sampled = choose(&["What?", "--temperature", "1"]).assert().failure().code(2);
    let stderr = String::from_utf8_lossy(&sampled.get_output().stderr).into_owned();
    assert!(stderr.contains("cannot be used with"), "{stderr}");
}

#[test]
fn a_seed_draws_the_same_answer_again() {
    let draw = |seed| output(ask(&["Hm?", "--temperature", "1.5", "--top-k", "90", "--seed", seed])).0;
    assert_eq!(draw("1"), draw("1"));
    assert_ne!(draw("1"), draw("2"));
}

#[test]
fn images_that_are_none_are_named() {
    let model = file("model");
    let ask = |image: &Path| parrot(&["ask", text_of(image), "What?", "--model", text_of(&model)]);
    let missing = error(ask(&file("missing.png")));
    assert!(
        missing.starts_with("cannot read ") && missing.contains("missing.png: No such file"),
        "{missing}"
    );
    let garbage = error(ask(&file("garbage.png")));
    assert!(garbage.contains("garbage.png: the bytes are not of a known picture format"), "{garbage}");
    let folder = error(ask(&model));
    assert!(folder.starts_with("cannot read "), "{folder}");
}

#[test]
fn questions_that_cannot_be_answered_say_why() {
    assert_eq!(error(ask(&[""])), "the question is empty");
    assert_eq!(error(ask(&["What?", "  "])), "the question is empty");
    let too_long = error(ask(&[&"x".repeat(400)]));
    assert_eq!(too_long, "the prompt is 463 tokens long, 207 more than the context of 256 holds");
    let mut nothing = ask(&["--questions", "-"]);
    nothing.write_stdin("\n \n");
    assert_eq!(error(nothing), "there are no questions in -");
    let missing = error(ask(&["--questions", "no/such/file"]));
    assert!(missing.starts_with("cannot read questions from no/such/file: "), "{missing}");
}

/// `ask *.png "What?"`: file names were once taken for questions.
#[test]
fn several_images_are_asked_about_one_by_one_or_together() {
    let other = file("other.png");
    let (one, _) = output(ask(&["What?"]));
    let (both, _) = output(ask(&[text_of(&other), "What?"]));
    let photo = file("photo.png");
    let photo = text_of(&photo);
    assert!(both.starts_with(&format!("{photo}\n{one}\n{}\n", text_of(&other))), "{both}");
    let (lines, _) = output(ask(&[text_of(&other), "What?", "Why?", "--json"]));
    assert_eq!(lines.lines().count(), 4);
    let (together, _) = output(ask(&[text_of(&other), "What?", "--together", "--json"]));
    assert_eq!(together.lines().count(), 1);
    assert!(together.contains("\"routing_weights\":[[") && together.contains("],["), "{together}");
    let model = file("model");
    let missing = error(parrot(&["ask", "missing.png", "What?", "--model", text_of(&model)]));
    assert!(missing.starts_with("cannot read missing.png: "), "{missing}");

    let mut piped = parrot(&["ask", "-", "What?", "--model", text_of(&model), "--max-new-tokens", "8"]);
    piped.write_stdin(std::fs::read(file("photo.png")).unwrap());
    assert_eq!(output(piped).0, one);
}

#[test]
fn numbers_below_zero_are_values() {
    let (photo, model) = (file("photo.png"), file("model"));
    let mut choose = parrot(&["ask", text_of(&photo), "--model", text_of(&model), "Which?"]);
    choose.args(["--choice", "-1", "--choice", "-2.5"]);
    let (chosen, _) = output(choose);
    assert!(["-1", "-2.5"].contains(&chosen.trim_end()), "{chosen}");
    let error = error(ask(&["What?", "--temperature", "-1"]));
    assert!(error.starts_with("temperature should be"), "{error}");
}

#[test]
fn models_devices_and_dtypes_that_do_not_exist_are_named() {
    let photo = file("photo.png");
    let missing = error(parrot(&["ask", text_of(&photo), "What?", "--model", "no/such/model"]));
    assert_eq!(missing, "cannot find the model no/such/model: checkpoint no/such/model: no such folder");
    let empty = error(parrot(&["ask", text_of(&photo), "What?", "--model", ""]));
    assert_eq!(empty, "--model: the path is empty");
    let mut id = parrot(&["ask", text_of(&photo), "What?", "--model", "nobody/nothing"]);
    id.env("HF_HUB_OFFLINE", "1").env("HF_HOME", FILES.path());
    let id = error(id);
    assert!(id.starts_with("cannot find the model nobody/nothing: model nobody/nothing: "), "{id}");
    let device = error(ask(&["What?", "--device", "abacus"]));
    assert!(
        device.starts_with("device abacus: there is no such device; write auto, cpu, cuda[:N], "),
        "{device}"
    );
    assert_eq!(error(ask(&["What?", "--top-k", "0"])), "top_k should be at least 1, found 0");
    for dtype in ["f16", "bf16"] {
        output(ask(&["What?", "--device", "cpu", "--dtype", dtype]));
    }
}

#[test]
fn a_mistyped_number_is_told_before_a_model_is_looked_for() {
    let photo = file("photo.png");
    for (option, value, reason) in [
        ("--top-p", "2", "top_p should be above 0 and at most 1, found 2"),
        ("--stop", "", "a stop string should be at least one character long, found an empty one"),
    ] {
        let wrong = [option, value, "--model", "nowhere"];
        for command in [&["ask", text_of(&photo), "What?"][..], &["chat", text_of(&photo)]] {
            assert_eq!(error(parrot(&[command, &wrong].concat())), reason);
        }
    }
}

#[test]
fn a_backend_that_is_not_built_in_is_named_with_its_feature() {
    let (json, _) = output(parrot(&["devices", "--json"]));
    let offer: Value = serde_json::from_str(&json).unwrap();
    for missing in offer["not_built"].as_array().unwrap() {
        let (name, feature) = (missing["name"].as_str().unwrap(), missing["feature"].as_str().unwrap());
        for mut command in [ask(&["What?"]), chat("What?\n"), parrot(&["verify", "../assets/golden"])] {
            command.args(["--device", name]);
            let error = error(command);
            assert!(error.starts_with(&format!("device {name}: this build has no ")), "{error}");
            assert!(error.ends_with(&format!("; build with `--features {feature}`")), "{error}");
        }
    }
}

#[test]
fn devices_lists_what_there_is_and_what_is_missing() {
    let (json, stderr) = output(parrot(&["devices", "--json"]));
    assert_eq!(stderr, "");
    let offer: Value = serde_json::from_str(&json).unwrap();
    let list = |key: &str| offer[key].as_array().unwrap();
    assert_eq!(list("devices").iter().filter(|device| device["auto"] == true).count(), 1);
    let cpu = list("devices").iter().find(|device| device["name"] == "cpu").unwrap();
    let dtypes = serde_json::json!(["f32", "f16", "bf16"]);
    assert_eq!((&cpu["default_dtype"], &cpu["dtypes"]), (&"f32".into(), &dtypes));
    let backends_there: HashSet<&str> =
        list("devices").iter().filter_map(|device| device["name"].as_str()?.split(':').next()).collect();
    let backends = backends_there.len() + list("without_device").len() + list("not_built").len();
    assert_eq!(backends, 7, "{json}");

    let (text, _) = output(parrot(&["devices"]));
    for device in list("devices") {
        assert!(text.contains(device["name"].as_str().unwrap()), "{text}");
    }
    assert!(text.contains("* is what --device auto takes"), "{text}");
}

#[test]
fn golden_cases_are_compared_in_every_dtype_of_the_device() {
    let verify = |dtype| parrot(&["verify", "../assets/golden", "--case", "moe_unit_0", "--dtype", dtype]);
    let (exact, _) = output(verify("f32"));
    assert!(exact.contains("(≤ 5e-5)"), "{exact}");
    let (rounded, _) = output(verify("f16"));
    assert!(rounded.contains("(≤ 1e-2)"), "{rounded}");
    let (coarse, _) = output(verify("bf16"));
    assert!(coarse.contains("(≤ 1e-1)"), "{coarse}");
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for args in [
        &["ask"][..],
        &["ask", "photo.png"],
        &["ask", "photo.png", "What?", "--loudly"],
        &["ask", "photo.png", "What?", "--questions", "file"],
        &["ask", "photo.png", "other.png"],
        &["ask", "photo.png", "What?", "--top-k", "many"],
        &["ask", "photo.png", "What?", "--dtype", "f64"],
        &["sing"],
        &[],
    ] {
        let output = parrot(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
    for args in [
        &["--help"][..],
        &["ask", "--help"],
        &["chat", "--help"],
        &["inspect", "--help"],
        &["devices", "--help"],
        &["verify", "--help"],
        &["bench", "--help"],
    ] {
        assert!(output(parrot(args)).0.contains("Examples:"), "{args:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn help_that_cannot_be_printed_is_a_failure() {
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_parrot"));
    let output = command.arg("--help").stdout(full).output().unwrap();
    let stderr = text(output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.starts_with("error: cannot write to standard output: "), "{stderr}");
}

#[test]
fn the_model_is_found_without_being_named() {
    let photo = file("photo.png");
    let (answer, _) = output(ask(&["What?"]));
    let args = ["ask", text_of(&photo), "What?", "--max-new-tokens", "8"];
    let mut from_environment = parrot(&args);
    from_environment.env("PARROT_MODEL", file("model"));
    assert_eq!(output(from_environment).0, answer);

    let folder = tempfile::tempdir().unwrap();
    tiny::write(&folder.path().join("assets/parrot-mini"), 3).unwrap();
    let mut from_current_folder = parrot(&args);
    from_current_folder.current_dir(folder.path());
    assert_eq!(output(from_current_folder).0, answer);
}

#[test]
fn a_reader_who_leaves_early_is_no_failure() {
    let (photo, model) = (file("photo.png"), file("model"));
    let args = ["ask", text_of(&photo), "What?", "Why?", "--model", text_of(&model)];
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_parrot"))
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(text(output.stderr), "");
    assert!(output.status.success());
}

#[test]
fn inspect_knows_the_sizes_without_their_files() {
    // As transformers counts Qwen1.5-0.5B, -7B and -14B.
    let sizes =
        [("parrot-0.5b", 463_987_712_u64), ("parrot-7b", 7_721_324_544), ("parrot-14b", 14_167_290_880)];
    for (name, language_model) in sizes {
        let (json, _) = output(parrot(&["inspect", name, "--json"]));
        let model: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(model["parameters"]["language_model"], language_model);
        assert_eq!(model["picture_tokens"], 577);
        assert_eq!(model["weight_bytes"]["f16"], model["total_parameters"].as_u64().unwrap() * 2);
        assert_eq!(model["tokenizer_size"], Value::Null);
    }
}

/// It said nothing of the weights, or that a file was fine that no other command would take.
#[test]
fn inspect_says_whether_the_weights_can_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    tiny::write(&model, 3).unwrap();
    let weights = model.join("model.safetensors");
    let inspect = || {
        let output = parrot(&["inspect", text_of(&model)]).output().unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    // A norm more than the network has.
    let config = fs::read_to_string(model.join("config.json")).unwrap();
    let mut shallower: Value = serde_json::from_str(&config).unwrap();
    shallower["num_hidden_layers"] = 1.into();
    fs::write(model.join("config.json"), shallower.to_string()).unwrap();
    let (code, stdout, stderr) = inspect();
    assert_eq!((code, stdout.contains("\n  weights          unusable\n")), (Some(1), true), "{stdout}");
    assert!(
        stderr.starts_with("error: the weights cannot be used: ") && stderr.contains("is unexpected"),
        "{stderr}"
    );
    fs::write(model.join("config.json"), config).unwrap();
    fs::write(&weights, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n").unwrap();
    let (code, stdout, stderr) = inspect();
    assert_eq!((code, stdout.contains("\n  weights          unusable\n")), (Some(1), true), "{stdout}");
    assert!(stderr.contains("Git LFS pointer"), "{stderr}");
    fs::remove_file(&weights).unwrap();
    let (code, stdout, stderr) = inspect();
    assert_eq!((code, &*stderr), (Some(0), ""));
    assert!(stdout.contains("\n  weights          absent\n"), "{stdout}");
}

/// It called models complete that could not be asked.
#[test]
fn inspect_refuses_what_ask_refuses() {
    let photo = file("photo.png");
    // Each a file, what stands there and what instead; nothing stands for all of it.
    for (name, from, to, weights) in [
        ("config.json", r#""image_aspect_ratio": "pad""#, r#""image_aspect_ratio": "anyres""#, "complete"),
        ("tokenizer_config.json", "", "{", "complete"),
        ("generation_config.json", "", "{", "complete"),
        ("tokenizer.json", "<|im_end|>", "<|im_close|>", "complete"),
        ("model.safetensors", r#""dtype":"F32""#, r#""dtype":"I32""#, "unusable"),
        // Of a network that cannot be there is nothing to show.
        ("config.json", r#""mm_hidden_size": 16"#, r#""mm_hidden_size": 17"#, ""),
    ] {
        let folder = tempfile::tempdir().unwrap();
        tiny::write(folder.path(), 3).unwrap();
        let path = folder.path().join(name);
        let mut bytes = fs::read(&path).unwrap_or_default();
        if from.is_empty() {
            bytes = to.into();
        } else {
            let at = bytes.windows(from.len()).position(|found| found == from.as_bytes()).unwrap();
            bytes.splice(at..at + from.len(), to.bytes());
        }
        fs::write(&path, bytes).unwrap();
        let model = text_of(folder.path());
        let asked = parrot(&["ask", text_of(&photo), "What?", "--model", model]).output().unwrap();
        let inspected = parrot(&["inspect", model]).output().unwrap();
        assert_eq!(inspected.status.code(), asked.status.code(), "{name}");
        let (said, of_ask, of_inspect) = (text(inspected.stdout), text(asked.stderr), text(inspected.stderr));
        let line = format!("\n  weights          {weights}\n");
        assert_eq!(said.contains(&line), !weights.is_empty(), "{name}: {said}");
        let why = |error: &str| Some(error.strip_prefix("error: ")?.split_once(": ")?.1.to_string());
        assert_eq!(why(&of_inspect), why(&of_ask), "{name}: {of_inspect}");
    }
}

#[test]
fn inspect_reads_a_folder() {
    let model = file("model");
    let (stdout, _) = output(parrot(&["inspect", text_of(&model)]));
    assert!(stdout.contains("12×12 pixels") && stdout.contains("(259 of them used)"), "{stdout}");
    let (json, _) = output(parrot(&["inspect", text_of(&model), "--json"]));
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["config"]["hidden_size"], 24);
    assert_eq!(json["picture_tokens"], 5);
    assert_eq!(json["weights"], "complete");
    assert!(error(parrot(&["inspect", "no/such/model"])).starts_with("cannot find the model no/such/model"));
}

#[test]
fn logs_go_to_stderr() {
    let mut command = ask(&["What?"]);
    command.env("RUST_LOG", "parrot_infer=debug");
    let (stdout, stderr) = output(command);
    assert_eq!(stdout, output(ask(&["What?"])).0);
    assert!(stderr.contains("loaded"), "{stderr}");
    let mut command = ask(&["What?"]);
    command.env("RUST_LOG", "x=y=z");
    let (stdout, stderr) = output(command);
    assert_eq!(stdout, output(ask(&["What?"])).0);
    assert!(stderr.starts_with("note: RUST_LOG") && stderr.lines().count() == 1, "{stderr}");
}

#[test]
fn bench_times_every_phase_of_a_size_and_of_a_folder() {
    let quick = ["--picture", "40", "30", "--prompt-tokens", "4", "--new-tokens", "2", "--warmup", "0"];
    let model = file("model");
    for model in ["parrot-mini", text_of(&model)] {
        let args = ["bench", "--device", "cpu", "--repeats", "1", "--model", model];
        let (text, _) = output(parrot(&[&args[..], &quick[..]].concat()));
        for phase in ["preprocess", "vision", "projector + experts", "prefill", "decode", "tokens/s"] {
            assert!(text.contains(phase), "{text}");
        }
    }
    assert!(error(parrot(&["bench", "--repeats", "0", "--model", "parrot-mini"])).contains("repeats"));

    // Beside another program.
    let beside = ["--json", "--rounds", "2", "--vs", "echo '| decode | 900.00 s |'"];
    let args = ["bench", "--device", "cpu", "--repeats", "1", "--model", "parrot-mini"];
    let (json, _) = output(parrot(&[&args[..], &quick[..], &beside[..]].concat()));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let decode = &json["peers"][0]["phases"][0];
    assert_eq!(decode["peers_s"], serde_json::json!([900.0, 900.0]));
    assert_eq!(decode["ours_s"].as_array().unwrap().len(), 2);
}
