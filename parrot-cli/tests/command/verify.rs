//! `parrot verify` on the golden cases that lie in this repository.

use std::path::{Path, PathBuf};
use std::{fs, io};

use assert_cmd::Command;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/golden")
}

fn verify(directory: &Path, arguments: &[&str]) -> assert_cmd::assert::Assert {
    let mut command = Command::cargo_bin("parrot").unwrap();
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
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target).map(|_| ())?;
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
        assert_eq!(skipped > 0, kind == "note", "{kind}");
        run += report["run"].as_u64().unwrap();
    }
    assert!(run >= 96, "only {run} cases were run");
}

#[test]
fn the_table_has_a_line_per_kind_with_counts_and_differences() {
    let text = stdout(&verify(&golden(), &["--kind", "variant", "--kind", "conversation_error"]).success());
    let row =
        |kind: &str| text.lines().find(|line| line.starts_with(&format!("{kind} "))).unwrap().to_string();
    let variant = row("variant");
    let counts: Vec<&str> = variant.split_whitespace().skip(1).take(4).collect();
    assert_eq!(counts, ["6", "6", "0", "0"]);
    assert!(variant.contains("embeddings") && variant.contains("logits"), "{variant}");
    assert!(row("conversation_error").contains("0 reproduced, 2 own error"), "{text}");
    assert_eq!(row("total").split_whitespace().nth(1), Some("8"));
}

#[test]
fn a_changed_expectation_fails_and_is_named() {
    let folder = tampered("golden/cases_t1.json", r#""new_ids": [631, 461"#, r#""new_ids": [631, 462"#);
    let text = stdout(&verify(folder.path(), &["--kind", "generate"]).code(1));
    assert!(text.contains("FAILED t1_gen_en (generate): new_ids[1]: 461, expected 462"), "{text}");
    assert_eq!(text.matches("FAILED").count(), 1, "{text}");
    let only_others = verify(folder.path(), &["--case", "t1_gen_multiturn"]);
    only_others.success();
}

#[test]
fn a_changed_tensor_or_image_fails() {
    let folder = tempfile::tempdir().unwrap();
    copy_folder(&golden(), folder.path()).unwrap();
    let path = folder.path().join("golden/pixels.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 2;
    bytes[last] ^= 1;
    fs::write(&path, bytes).unwrap();
    let text = stdout(
        &verify(
            folder.path(),
            &["--kind", "preprocess", "--kind", "preprocess_batch", "--kind", "preprocess_anyres"],
        )
        .code(1),
    );
    assert!(text.contains("pixel values off by"), "{text}");
}

#[test]
fn broken_directories_are_refused_in_words() {
    let missing = verify(Path::new("no/such/directory"), &[]).failure();
    let error = String::from_utf8(missing.get_output().stderr.clone()).unwrap();
    assert!(error.contains("cases.json") && !error.contains("panicked"), "{error}");

    let folder = tampered("cases.json", r#""id": "t1_gen_en""#, r#""id": "t1_gen_lost""#);
    let error = String::from_utf8(verify(folder.path(), &[]).failure().get_output().stderr.clone()).unwrap();
    assert!(error.contains("t1_gen_lost"), "{error}");

    // A file that cases need: they fail one by one, the others are run.
    let folder = tampered("cases.json", "excerpt", "excerpt");
    fs::remove_file(folder.path().join("golden/mods.safetensors")).unwrap();
    let text = stdout(&verify(folder.path(), &["--kind", "moe_unit", "--kind", "projector_error"]).code(1));
    assert!(text.contains("FAILED moe_unit_0 (moe_unit): cannot read"), "{text}");
    assert_eq!(text.matches("FAILED").count(), 4, "{text}");

    let folder = tampered("cases.json", "excerpt", "excerpt");
    fs::remove_file(folder.path().join("t1/model-00002-of-00003.safetensors")).unwrap();
    let text = stdout(&verify(folder.path(), &["--kind", "gradients"]).code(1));
    assert!(text.contains("FAILED t1_grads") && text.contains("model-00002-of-00003.safetensors"), "{text}");
}

#[test]
fn inputs_that_no_network_takes_fail_without_a_crash() {
    let folder = tampered("golden/cases_t1.json", r#""input_ids": [1001,"#, r#""input_ids": [99999,"#);
    let assert = verify(folder.path(), &["--kind", "moe", "--kind", "generate", "--kind", "variant"]).code(1);
    assert!(stdout(&assert).contains("FAILED t1_"), "{}", stdout(&assert));
}

#[test]
fn a_device_or_dtype_that_cannot_be_used_is_named() {
    for (arguments, reason) in [
        (["--device", "abacus"], "device abacus: there is no such device"),
        (["--device", "cuda:x"], "device cuda:x: `x` is no device number"),
        (["--dtype", "f64"], "weights are held as f32, f16, bf16, q8 or q4, or auto"),
        (["--dtype", "auto"], "--dtype auto is for one model"),
    ] {
        let failure = verify(&golden(), &arguments).failure();
        let error = String::from_utf8(failure.get_output().stderr.clone()).unwrap();
        assert!(error.contains(reason) && !error.contains("panicked"), "{error}");
    }
    verify(&golden(), &["--device", "cpu", "--dtype", "f32", "--case", "t1_dataset_order"]).success();
}

#[test]
fn a_changed_order_of_records_fails_and_is_named() {
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

/// In half precision a few optimizer steps differ from the reference by as much as from no step at all.
#[test]
fn training_is_compared_in_f32_alone() {
    let text =
        stdout(&verify(&golden(), &["--dtype", "f16", "--kind", "train", "--kind", "moe_unit"]).success());
    assert!(text.contains("training is compared in f32 alone"), "{text}");
}
