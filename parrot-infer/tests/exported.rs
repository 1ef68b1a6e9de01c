//! The default model, exported for transformers, answers there as it does here: `tests/reference/exported.py`.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;

use parrot_infer::{AskOptions, Image, Parrot, device};
use parrot_model::checkpoint::export_transformers;
use serde::Deserialize;

#[derive(Deserialize)]
struct Exported {
    version: String,
    answers: Vec<Asked>,
}

#[derive(Deserialize)]
struct Asked {
    pictures: Vec<PathBuf>,
    question: String,
    answer: String,
}

/// Copies a folder with the folders in it.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &to);
        } else {
            std::fs::copy(&path, &to).unwrap();
        }
    }
}

#[test]
#[ignore = "needs a Python with torch, transformers and Pillow, named by PARROT_PYTHON"]
fn greedy_answers_are_those_of_transformers() {
    let python = std::env::var_os("PARROT_PYTHON").expect("PARROT_PYTHON names a Python");
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let place = tempfile::tempdir().unwrap();
    let (folder, out) = (place.path().join("model"), place.path().join("answers.json"));
    copy(&here.join("../assets/parrot-mini"), &folder);
    export_transformers(&folder).unwrap();
    let script = here.join("tests/reference/exported.py");
    let mut command = Command::new(python);
    command.arg(script).arg(&folder).arg(here.join("../assets/pictures")).arg(&out);
    command.env("HF_HUB_OFFLINE", "1").env("HF_MODULES_CACHE", place.path().join("modules"));
    assert!(command.status().unwrap().success());
    let theirs: Exported = serde_json::from_slice(&std::fs::read(out).unwrap()).unwrap();

    let parrot = Parrot::load(&folder, &device::open("cpu").unwrap()).unwrap();
    let options = AskOptions { max_new_tokens: 40, ..AskOptions::default() };
    for Asked { pictures, question, answer } in &theirs.answers {
        let images: Vec<Image> = pictures.iter().map(|file| Image::open(file).unwrap()).collect();
        let go_on = |_: &str| ControlFlow::Continue(());
        let ours = parrot.ask_streaming(&images, question, &options, go_on).unwrap().text;
        assert_eq!(ours.trim(), answer, "{pictures:?} {question}");
    }
    println!("{} answers equal those of transformers {}", theirs.answers.len(), theirs.version);
}
