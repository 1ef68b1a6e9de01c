//! `parrot quantize`, and asking what it has written.

use std::fs;
use std::path::Path;

use parrot_infer::tiny;

use crate::common::{error, output, parrot};

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/parrot-mini");
const IMAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/pictures/rocket.png");

fn ask(model: &str, dtype: &[&str]) -> assert_cmd::Command {
    let mut command = parrot(&["ask", IMAGE, "What is this?", "--json", "--device", "cpu", "--model", model]);
    command.args(dtype);
    command
}

/// The ids of an answer's tokens.
fn answer(model: &str, dtype: &[&str]) -> serde_json::Value {
    let (json, stderr) = output(ask(model, dtype));
    assert_eq!(stderr, "");
    let record: serde_json::Value = serde_json::from_str(&json).unwrap();
    serde_json::json!([record["token_ids"], record["routing_weights"]])
}

#[test]
fn a_quantised_model_answers_as_quantising_while_loading_does() {
    let folder = tempfile::tempdir().unwrap();
    for format in ["q8", "q4"] {
        let out = folder.path().join(format);
        let out = out.to_str().unwrap();
        let written = output(parrot(&["quantize", MODEL, "--to", format, "--out", out]));
        assert_eq!(written, (String::new(), String::new()));
        let expected = answer(MODEL, &["--dtype", format]);
        assert_eq!(answer(out, &[]), expected);
        assert_eq!(answer(out, &["--dtype", format]), expected);
        let size = |folder: &Path| fs::metadata(folder.join("model.safetensors")).unwrap().len();
        assert!(size(Path::new(out)) < size(Path::new(MODEL)) * 3 / 5, "{format}");

        let (_, said) = output(parrot(&["quantize", MODEL, "--to", format, "--out", out]));
        assert_eq!(said, format!("note: the model that was in {out} is replaced\n"));

        let refused = error(ask(out, &["--dtype", "f32"]));
        assert!(refused.contains(&format!("can be held in {format} alone, not in f32")), "{refused}");
        let again = folder.path().join("again");
        let refused = error(parrot(&["quantize", out, "--to", "q4", "--out", again.to_str().unwrap()]));
        assert!(refused.contains(&format!("is quantised already, in {format}")), "{refused}");
        assert!(!again.exists());
    }
}

/// The link became a folder, and the model that it led to, which was said to be replaced, stayed.
#[cfg(unix)]
#[test]
fn a_link_to_a_model_is_written_through() {
    let folder = tempfile::tempdir().unwrap();
    let [model, old, link] = ["model", "old", "link"].map(|name| folder.path().join(name));
    tiny::write(&model, 0).unwrap();
    tiny::write(&old, 1).unwrap();
    std::os::unix::fs::symlink("old", &link).unwrap();
    let path = |path: &Path| path.to_str().unwrap().to_string();
    for out in [path(&link), path(&link) + "/"] {
        let (_, said) = output(parrot(&["quantize", &path(&model), "--to", "q8", "--out", &out]));
        assert_eq!(said, format!("note: the model that was in {out} is replaced\n"));
        assert!(link.is_symlink());
        assert!(fs::read_to_string(old.join("config.json")).unwrap().contains("quantization_config"));
    }
}
