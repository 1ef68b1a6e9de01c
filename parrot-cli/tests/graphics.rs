//! The network on a graphics API, on the processor: Mesa's driver for that (Debian: `mesa-vulkan-drivers`).

use assert_cmd::Command;

/// Projector, router, experts, a picture's answer, training: kernels are tried for every shape, and translated, which takes a
/// minute each. `parrot verify` without `--case` runs all.
const CASES: [&str; 5] = ["projector_mlp2x_gelu", "moe_unit_0", "t1_moe_zh", "t1_gen_en", "train_stage1_ga1"];

#[test]
fn golden_cases_hold_on_a_graphics_api() {
    verify("f32", &CASES);
}

/// The experts, several matrices at once, and an answer, with the embeddings and the products of one row and of many.
#[test]
fn weights_in_blocks_are_what_they_stand_for_on_a_graphics_api() {
    verify("q8", &["moe_unit_0", "t1_gen_en"]);
    verify("q4", &["t1_gen_en"]);
}

#[track_caller]
fn verify(dtype: &str, cases: &[&str]) {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/golden");
    let mut command = Command::new(env!("CARGO_BIN_EXE_parrot"));
    command.args(["verify", golden, "--device", "wgpu:cpu", "--dtype", dtype]);
    cases.iter().for_each(|case| _ = command.args(["--case", case]));
    let output = command.output().unwrap();
    let [table, problems] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(output.status.success(), "{table}{problems}");
    let total = table.lines().find(|line| line.starts_with("total")).unwrap();
    let total: Vec<&str> = total.split_whitespace().collect();
    let all = cases.len().to_string();
    assert_eq!(total[..5], ["total", &all, &all, "0", "0"], "{table}{problems}");
}
