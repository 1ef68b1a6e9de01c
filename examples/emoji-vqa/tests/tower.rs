//! The tower's training goes on where it was stopped.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use emoji_vqa::train::{Common, tower};

#[test]
fn a_tower_that_was_stopped_becomes_the_one_that_was_not() {
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets");
    let common = Common { assets, threads: 2, seed: 0, all: false, device: "cpu".into() };
    let folder = tempfile::tempdir().unwrap();
    let train = |name: &str, stop: bool| {
        tower::train(&common, 2, &folder.path().join(name), &AtomicBool::new(stop)).unwrap();
    };
    train("whole", false);
    train("stopped", true);
    assert!(!folder.path().join("stopped/model").exists());
    train("stopped", false);
    let weights =
        |name: &str| std::fs::read(folder.path().join(name).join("model/model.safetensors")).unwrap();
    assert!(weights("whole") == weights("stopped"), "the weights differ");
}
