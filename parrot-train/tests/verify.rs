//! `parrot-train verify` on the golden cases that lie in this repository.

use std::path::{Path, PathBuf};
use std::{fs, io};

use assert_cmd::Command;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/golden")
}

fn verify(directory: &Path, arguments: &[&str]) -> assert_cmd::assert::Assert {
    let mut command = Command::cargo_bin("parrot-train").unwrap();
    command.arg("verify").arg(directory).args(arguments).assert()
}

fn stdout(assert: &assert_cmd::assert::Assert) -> String {
    String::from_utf8(assert.get_output().stdout.clone()).unwrap()
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy_folder(&entry.path(), &target)?,
            false => fs::copy(entry.path(), target).map(|_| ())?,
        }
    }
    Ok(())
}

/// A copy of the golden directory in which `file` has `from` replaced by `to`.
fn tampered(file: &str, from: &str, to: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy_folder(&golden(), folder.path()).unwrap();
    let path = folder.path().join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{file} does not contain {from}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
    folder
}

#[test]
fn every_case_passes_and_none_is_left_out() {
    let assert = verify(&golden(), &["--json"]).success();
    let report: serde_json::Value = serde_json::from_str(&stdout(&assert)).unwrap();
    assert_eq!(report["success"], true);
    let index: serde_json::Value =
        serde_json::from_slice(&fs::read(golden().join("cases.json")).unwrap()).unwrap();
    let mut run = 0;
    for (kind, count) in index["kinds"].as_object().unwrap() {
        let report = &report["kinds"][kind];
        let skipped: u64 =
            report["skipped"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
        assert_eq!(report["run"].as_u64().unwrap() + skipped, count.as_u64().unwrap(), "{kind}");
        let elsewhere = !(kind == "gradients" || kind.starts_with("train") || kind.starts_with("dataset_"));
        assert_eq!(skipped > 0, elsewhere || kind == "note", "{kind}");
        run += report["run"].as_u64().unwrap();
    }
    assert!(run >= 16, "only {run} cases were run");
}

#[test]
fn a_device_or_dtype_that_cannot_be_used_is_named() {
    for (arguments, reason) in [
        (["--device", "abacus"], "device abacus: there is no such device"),
        (["--device", "cuda:x"], "device cuda:x: `x` is no device number"),
        (["--dtype", "f16"], "f32, the only one in which training is compared"),
        (["--dtype", "f64"], "weights are held as f32, f16 or bf16"),
    ] {
        let failure = verify(&golden(), &arguments).failure();
        let error = String::from_utf8(failure.get_output().stderr.clone()).unwrap();
        assert!(error.contains(reason) && !error.contains("panicked"), "{error}");
    }
    verify(&golden(), &["--device", "cpu", "--dtype", "f32", "--case", "t1_dataset_order"]).success();
}

#[test]
fn a_changed_expectation_fails_and_is_named() {
    let folder = tampered("golden/cases_t1.json", r#""shuffled": ["B", "I""#, r#""shuffled": ["I", "B""#);
    let text =
        stdout(&verify(folder.path(), &["--kind", "dataset_order", "--kind", "dataset_sample"]).code(1));
    assert!(text.contains("FAILED t1_dataset_order (dataset_order): shuffled[0]"), "{text}");
    let counts = |kind: &str| -> Vec<String> {
        let row = text.lines().find(|line| line.starts_with(&format!("{kind} "))).unwrap();
        row.split_whitespace().skip(1).take(4).map(str::to_string).collect()
    };
    assert_eq!(counts("dataset_order"), ["1", "0", "1", "0"]);
    assert_eq!(counts("dataset_sample"), ["10", "10", "0", "0"]);
}

#[test]
fn a_changed_loss_or_gradient_norm_fails() {
    let folder = tampered("golden/cases_t1.json", r#""grad_norm_total": 10.7"#, r#""grad_norm_total": 11.7"#);
    let text = stdout(&verify(folder.path(), &["--kind", "gradients"]).code(1));
    assert!(text.contains("FAILED t1_grads (gradients): grad_norm_total"), "{text}");
    let folder = tampered("golden/cases_train.json", r#""loss": [10.166"#, r#""loss": [10.266"#);
    let text = stdout(&verify(folder.path(), &["--case", "train_stage1_ga1"]).code(1));
    assert!(text.contains("FAILED train_stage1_ga1 (train): loss[0]: 10.166"), "{text}");
}

#[test]
fn broken_directories_are_refused_in_words() {
    let missing = verify(Path::new("no/such/directory"), &[]).failure();
    let error = String::from_utf8(missing.get_output().stderr.clone()).unwrap();
    assert!(error.contains("cases.json") && !error.contains("panicked"), "{error}");

    let folder = tampered("cases.json", "excerpt", "excerpt");
    fs::remove_file(folder.path().join("t1/model-00002-of-00003.safetensors")).unwrap();
    let text = stdout(&verify(folder.path(), &["--kind", "gradients"]).code(1));
    assert!(text.contains("FAILED t1_grads") && text.contains("model-00002-of-00003.safetensors"), "{text}");
}
