//! The experiment, a step of each of its parts.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use emoji_vqa::experiment::{Arm, Scale, report, run};
use emoji_vqa::train::Common;

#[test]
fn every_arm_is_trained_measured_and_reported_and_nothing_twice() {
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets");
    let common = Common { assets, threads: 2, seed: 0, all: false, device: "cpu".into() };
    let scale = Scale {
        seeds: 1,
        language_steps: 1,
        alignment_steps: 1,
        projector_steps: 1,
        instruction_steps: 2,
        scenes: 1,
    };
    let place = tempfile::tempdir().unwrap();
    let runs = place.path().join("runs");
    let measure = |scale: &Scale, stop: bool| run(scale, &common, &runs, &AtomicBool::new(stop));
    assert!(measure(&scale, true).unwrap().is_none(), "it was to stop");
    let measured = measure(&scale, false).unwrap().unwrap();
    assert!(measured.iter().map(|it| it.arm).eq(Arm::ALL));
    // What has been measured is only read.
    std::fs::remove_dir_all(runs.join("pretrained")).unwrap();
    assert_eq!(measure(&scale, false).unwrap().unwrap().len(), measured.len());
    assert!(!runs.join("pretrained").exists());
    let other = Scale { scenes: 2, ..scale.clone() };
    assert!(measure(&other, false).unwrap_err().to_string().contains("of another scale"));

    let out = place.path().join("report");
    report::write(&scale, &measured, &out).unwrap();
    for file in ["results.json", "accuracy.svg", "routing.svg"] {
        assert!(out.join(file).is_file(), "{file} is missing");
    }
    assert!(report::markdown(&measured).contains("imbalanced-control"));
}
