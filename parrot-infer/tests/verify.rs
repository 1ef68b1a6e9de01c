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
        let elsewhere = kind == "gradients" || kind.starts_with("train") || kind.starts_with("dataset_");
        assert_eq!(skipped > 0, elsewhere || kind == "note", "{kind}");
        run += report["run"].as_u64().unwrap();
    }
    assert!(run >= 80, "only {run} cases were run");
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
fn a_changed_tensor_or_picture_fails() {
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
}

#[test]
fn inputs_that_no_network_takes_fail_without_a_crash() {
    let folder = tampered("golden/cases_t1.json", r#""input_ids": [1001,"#, r#""input_ids": [99999,"#);
    let assert = verify(folder.path(), &["--kind", "moe", "--kind", "generate", "--kind", "variant"]).code(1);
    assert!(stdout(&assert).contains("FAILED t1_"), "{}", stdout(&assert));
}
