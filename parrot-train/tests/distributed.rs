//! Several processes on one machine train what one process trains.
//!
//! ```sh
//! cargo test -p parrot-train --features mpi --test distributed
//! ```

mod shapes;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use burn::prelude::*;
use parrot_model::checkpoint::Weights;
use parrot_model::parrot::ParrotModel;
use parrot_train::distributed::shard::Owners;
use serde_json::{Value, json};

use shapes::{ASSETS, configs, save_start};

/// A model, data and a recipe in a folder that goes with the value.
struct Workplace(tempfile::TempDir);

impl Workplace {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        save_start(&place.path("start"), 2);
        let record = |id: usize| {
            let image = ["rocket.png", "butterfly.png"][id % 2];
            json!({"id": id, "image": image, "conversations": [
                {"from": "human", "value": "<image>\nWhat is this?"},
                {"from": "gpt", "value": format!("It is {}.", "very ".repeat(id % 5))}]})
        };
        fs::write(place.path("data.json"), Value::from((0..24).map(record).collect::<Vec<_>>()).to_string())
            .unwrap();
        let recipe = format!(
            r#"
name = "stage2"
out = {out:?}

[model]
from = {start:?}

[[data.source]]
file = {data:?}
pictures = "{ASSETS}/pictures"

[train]
parts = ["projector", "moe", "language_model"]
steps = 6
batch_size = 8
micro_batch_size = 2
learning_rate = 1e-3
loss_normalisation = "tokens"
save_every = 2
"#,
            out = place.path("run"),
            start = place.path("start"),
            data = place.path("data.json"),
        );
        fs::write(place.path("recipe.toml"), recipe).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, processes: usize, out: &str, settings: &[&str]) -> Command {
        let program = env!("CARGO_BIN_EXE_parrot-train");
        let mut command = match processes {
            1 => Command::new(program),
            _ => {
                let mut mpirun = Command::new("mpirun");
                mpirun.args([
                    "--allow-run-as-root",
                    "--oversubscribe",
                    "-n",
                    &processes.to_string(),
                    program,
                ]);
                mpirun
            }
        };
        command
            .arg("run")
            .arg(self.path("recipe.toml"))
            .arg("--set")
            .arg(format!("out={}", self.path(out).display()));
        command.args(settings.iter().flat_map(|setting| ["--set", *setting]));
        command
    }

    fn train(&self, processes: usize, out: &str, settings: &[&str]) -> String {
        let Output { status, stderr, .. } =
            self.command(processes, out, settings).output().expect("mpirun is there");
        let said = String::from_utf8_lossy(&stderr).into_owned();
        assert!(status.success(), "{processes} processes: {said}");
        said
    }

    fn weights(&self, out: &str) -> BTreeMap<String, Vec<f32>> {
        let weights = Weights::from_folder(self.path(out).join("model")).unwrap();
        let values = |name: &str| {
            let bytes = weights.get(name).unwrap().bytes;
            bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
        };
        weights.names().map(|name| (name.to_owned(), values(name))).collect()
    }

    /// The largest difference between two runs' weights.
    fn difference(&self, one: &str, other: &str) -> f32 {
        let (one, other) = (self.weights(one), self.weights(other));
        assert_eq!(one.len(), other.len());
        let pairs = one.iter().flat_map(|(name, values)| values.iter().zip(&other[name]));
        pairs.fold(0.0, |most, (a, b)| most.max((a - b).abs()))
    }
}

/// Sums over processes round differently than sums over micro-batches, and AdamW divides a gradient by its own size:
/// where that is next to nothing, rounding moves a weight by up to the learning rate. Half a percent of it is allowed.
const TOLERANCE: f32 = 5e-6;

#[test]
fn two_and_four_processes_train_what_one_does() {
    let place = Workplace::new();
    place.train(1, "one", &[]);
    for processes in [2, 4] {
        let out = format!("of-{processes}");
        let said = place.train(processes, &out, &[]);
        assert_eq!(said.matches("data: 24 records").count(), 1, "only the first process speaks: {said}");
        let difference = place.difference("one", &out);
        assert!(difference < TOLERANCE, "{processes} processes: {difference}");
        let lines = fs::read_to_string(place.path(&out).join("metrics.jsonl")).unwrap();
        let samples: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(samples.iter().all(|step| step["samples"] == 8), "{lines}");
    }
}

#[test]
fn a_run_of_four_goes_on_as_two_and_as_one() {
    let place = Workplace::new();
    place.train(1, "one", &[]);
    for processes in [2, 1] {
        let out = format!("then-{processes}");
        place.train(4, &out, &[]);
        fs::remove_dir_all(place.path(&out).join("step-000006")).unwrap();
        fs::remove_dir_all(place.path(&out).join("model")).unwrap();
        place.train(processes, &out, &[]);
        let difference = place.difference("one", &out);
        assert!(difference < TOLERANCE, "then {processes}: {difference}");
    }
}

#[test]
fn adafactor_is_shared_as_well() {
    let place = Workplace::new();
    let settings = ["optimizer.name=adafactor", "train.activation_checkpointing=true"];
    place.train(1, "one", &settings);
    place.train(2, "two", &settings);
    let difference = place.difference("one", "two");
    assert!(difference < TOLERANCE, "{difference}");
}

/// Of n processes each keeps about an n-th of the optimizer's state.
#[test]
fn owners_have_alike_shares() {
    let (config, vision) = configs(2);
    let model = ParrotModel::init(&config, &vision, &Device::flex().autodiff()).unwrap();
    let all = Owners::new(&model, 1).owned_by(0);
    for processes in [2, 4] {
        let owners = Owners::new(&model, processes);
        let shares: Vec<_> = (0..processes).map(|process| owners.owned_by(process)).collect();
        assert_eq!(shares.iter().map(std::collections::BTreeSet::len).sum::<usize>(), all.len());
        assert!(shares.iter().all(|share| !share.is_empty()));
    }
}

#[test]
fn micro_batches_that_cannot_be_shared_are_refused() {
    let place = Workplace::new();
    let output = place.command(3, "run", &[]).output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("`train.batch_size` should be a multiple of 6, train.micro_batch_size for each of the 3 processes, found 8"), "{said}");
    assert!(said.contains("of 3 ("), "it says which process: {said}");
}

/// A loss that is no number and samples that cannot be made are told with the samples of all processes.
#[test]
fn the_first_process_tells_what_is_wrong_in_the_others() {
    let place = Workplace::new();
    let images = place.path("pictures");
    fs::create_dir(&images).unwrap();
    fs::copy(Path::new(ASSETS).join("pictures/rocket.png"), images.join("rocket.png")).unwrap();
    fs::write(images.join("butterfly.png"), "no picture").unwrap();
    let source = format!(
        "data.source=[{{file={:?}, pictures={:?}}}]",
        place.path("data.json").display().to_string(),
        images.display().to_string()
    );
    let settings = [&source, "data.max_bad_records=12", "train.steps=3"];
    let skipped = |processes: usize| -> Vec<Vec<String>> {
        let out = format!("skips-{processes}");
        place.train(processes, &out, &settings);
        let lines = fs::read_to_string(place.path(&out).join("metrics.jsonl")).unwrap();
        let of_a_step = |line: &str| {
            let step: Value = serde_json::from_str(line).unwrap();
            let ids = step["skipped"].as_array().cloned().unwrap_or_default();
            let mut ids: Vec<String> = ids.iter().map(|it| it["id"].as_str().unwrap().into()).collect();
            ids.sort();
            ids
        };
        lines.lines().map(of_a_step).collect()
    };
    let one = skipped(1);
    assert_eq!(one.concat().len(), 12, "every second of 24");
    assert_eq!(one, skipped(4));

    // Weights that a step makes ten thousand times as large are soon no numbers.
    let broken = [
        "train.learning_rate=10",
        "optimizer={name='adamw', weight_decay=1000.0}",
        "train.max_grad_norm=0",
        "train.warmup_ratio=0",
        "train.steps=40",
        "train.save_every=40",
    ];
    let output = place.command(4, "broken", &broken).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let line =
        said.lines().find(|line| line.contains("samples of the step: ")).unwrap_or_else(|| panic!("{said}"));
    let (_, ids) = line.split_once("samples of the step: ").unwrap();
    assert_eq!(ids.matches("data/").count(), 8, "{line}");
}

/// The list is written once, by the first process.
#[test]
fn too_many_bad_records_are_listed_once() {
    let place = Workplace::new();
    let mut records: Value =
        serde_json::from_str(&fs::read_to_string(place.path("data.json")).unwrap()).unwrap();
    for record in &mut records.as_array_mut().unwrap()[..20] {
        record["image"] = "no such.png".into();
    }
    fs::write(place.path("data.json"), records.to_string()).unwrap();
    let output = place.command(4, "run", &[]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("20 records cannot be used, 0 may"), "{said}");
    let listed = fs::read_to_string(place.path("run/bad-records.jsonl")).unwrap();
    assert_eq!(listed.lines().count(), 20);
    assert!(listed.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{listed}");
}

/// The launcher's child of this rank.
fn process_of_rank(launcher: u32, rank: usize) -> String {
    let children = fs::read_to_string(format!("/proc/{launcher}/task/{launcher}/children")).unwrap();
    let wanted = format!("OMPI_COMM_WORLD_RANK={rank}");
    let is_wanted = |process: &&str| {
        let environment = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
    };
    children.split_whitespace().find(is_wanted).unwrap_or_else(|| panic!("none has {wanted}")).to_owned()
}

/// One that dies without a word takes the others along, and the run goes on from its last checkpoint, with another
/// number of processes.
#[test]
fn a_process_that_dies_ends_the_run_by_name() {
    let place = Workplace::new();
    for (rank, then) in [(1, 4), (0, 1)] {
        let out = format!("without-{rank}");
        let settings = ["train.steps=100000", "train.save_every=2"];
        let mut child = place.command(2, &out, &settings).stderr(Stdio::piped()).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while !place.path(&out).join("step-000004").exists() {
            assert!(Instant::now() < deadline, "no checkpoint in a minute");
            std::thread::sleep(Duration::from_millis(20));
        }
        let victim = process_of_rank(child.id(), rank);
        Command::new("kill").args(["-KILL", &victim]).status().unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        let status = loop {
            match child.try_wait().unwrap() {
                Some(status) => break status,
                None if Instant::now() > deadline => {
                    let _ = child.kill();
                    panic!("the other process goes on");
                }
                None => std::thread::sleep(Duration::from_millis(50)),
            }
        };
        assert!(!status.success());
        let mut said = String::new();
        std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
        assert!(said.contains(&format!("process rank {rank} with PID")), "{said}");
        let newest = fs::read_dir(place.path(&out)).unwrap().filter_map(|entry| {
            entry.unwrap().file_name().to_str()?.strip_prefix("step-")?.parse::<usize>().ok()
        });
        let newest = newest.max().unwrap();
        let said = place.train(then, &out, &[&format!("train.steps={}", newest + 2)]);
        assert!(said.contains(&format!("{0}/{0}", newest + 2)), "{said}");
    }
}
