//! `parrot chat`.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command as Process, Stdio};

use assert_cmd::Command;
use parrot_infer::tiny;
use serde_json::Value;

use crate::answers::{file, text_of};
use crate::common::{error, output, parrot, text};

pub(crate) fn chat(lines: &str) -> Command {
    let (photo, model) = (file("photo.png"), file("model"));
    let mut command = parrot(&["chat", text_of(&photo), "--model", text_of(&model), "--max-new-tokens", "4"]);
    command.write_stdin(lines);
    command
}

#[test]
fn chat_remembers_until_it_is_told_to_forget() {
    let answers = |lines: &str| {
        let mut command = chat(lines);
        command.arg("--verbose");
        let (stdout, stderr) = output(command);
        let prompts = stderr.lines().map(|line| {
            let (_, rest) = line.split_once("prefill").unwrap();
            rest.split_once('(').unwrap().1.split_once(' ').unwrap().0.parse::<usize>().unwrap()
        });
        (stdout, prompts.collect::<Vec<_>>())
    };
    let (first, prompts) = answers("What is this?\n/quit\nnever asked\n");
    assert_eq!(prompts.len(), 1);
    let (two, prompts) = answers("What is this?\n\nWhat is this?\n");
    assert!(prompts[1] > prompts[0] && two.starts_with(&first));
    let (again, prompts) = answers("What is this?\n/clear\nWhat is this?\n");
    assert_eq!(prompts[0], prompts[1]);
    assert_eq!(again, first.repeat(2));

    let other = file("other.png");
    let (_, prompts) = answers(&format!("What?\n/image {}\nWhat?\n/clear\nWhat?\n", text_of(&other)));
    assert!(prompts[1] > prompts[0]);
    assert_eq!(prompts[2], prompts[0], "one picture after /clear");
    let (_, prompts) = answers(&format!("What?\n/image \"{}\"\nWhat?\nexit\nWhat?\n", text_of(&other)));
    assert_eq!(prompts.len(), 2);
}

/// What is said beside the answers, too.
#[test]
fn a_conversation_goes_on_where_stderr_cannot_be_written() {
    let expected = output(chat("What?\nWhy?\n")).0;
    let (photo, model) = (file("photo.png"), file("model"));
    let mut command = Process::new(env!("CARGO_BIN_EXE_parrot"));
    command.args(["chat", text_of(&photo), "--model", text_of(&model), "--max-new-tokens", "4"]);
    command.args(["--verbose", "--show-routing"]).env("RUST_LOG", "trace");
    let mut chat =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(chat.stderr.take());
    chat.stdin.take().unwrap().write_all(b"/help\nWhat?\nWhy?\n").unwrap();
    let answers = chat.wait_with_output().unwrap();
    assert_eq!((answers.status.code(), text(answers.stdout)), (Some(0), expected));
}

/// It was said that standard output could not be written.
#[test]
fn what_is_no_text_is_refused_as_input() {
    let mut command = chat("");
    command.write_stdin(b"\xff\xfe\n".to_vec());
    assert_eq!(error(command), "cannot read standard input: it is no text in UTF-8");
}

#[test]
fn chat_begins_again_with_a_second_image_where_the_model_knows_one_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    tiny::write(folder.path(), 3).unwrap();
    let config = folder.path().join("config.json");
    let mut keys: Value = serde_json::from_str(&fs::read_to_string(&config).unwrap()).unwrap();
    keys["max_images_per_conversation"] = 1.into();
    fs::write(&config, keys.to_string()).unwrap();
    let (photo, other) = (file("photo.png"), file("other.png"));
    let answers = |image: &Path, lines: &str| {
        let args = ["chat", text_of(image), "--model", text_of(folder.path()), "--max-new-tokens", "4"];
        let mut command = parrot(&args);
        command.write_stdin(lines);
        output(command)
    };
    let (first, stderr) = answers(&photo, "What?\n");
    assert_eq!(stderr, "");
    let (second, _) = answers(&other, "What?\n");
    let (both, stderr) = answers(&photo, &format!("What?\n/image {}\nWhat?\n", text_of(&other)));
    assert_eq!(both, first + &second);
    assert!(stderr.contains("one picture at a time") && stderr.lines().count() == 1, "{stderr}");
}

#[test]
fn chat_needs_no_image() {
    let model = file("model");
    let mut command = parrot(&["chat", "--model", text_of(&model), "--max-new-tokens", "4"]);
    command.write_stdin("What is two and two?\n/clear\nAnd three?\n");
    assert!(output(command).0.lines().count() >= 2);
}

#[test]
fn chat_fails_in_a_script_as_soon_as_something_is_wrong() {
    assert!(error(chat("/dance\n")).starts_with("there is no command /dance"));
    assert!(error(chat("/image no.png\n")).starts_with("cannot read no.png"));
    assert_eq!(error(chat("/image\n")), "/image needs a file's path");
    let too_long = error(chat(&format!("{}\n", "x".repeat(400))));
    assert!(too_long.contains("more than the context") && too_long.contains("/clear"), "{too_long}");
}
