//! `parrot eval` in several processes on one machine finds what it finds in one.
//!
//! ```sh
//! cargo test --workspace --features parrot-cli/mpi --test distributed
//! ```

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::{ImageFormat, Rgb, RgbImage};
use parrot_infer::tiny;
use serde_json::Value;

/// A tiny random model and questions in two languages about seven pictures, in a folder that goes with the value.
struct Workplace(tempfile::TempDir);

impl Workplace {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        tiny::write(&place.path("model"), 3).unwrap();
        fs::create_dir(place.path("data")).unwrap();
        for (code, question, yes, no) in
            [("en", "Is it red?", "Yes", "No"), ("tr", "Bu kırmızı mı?", "Evet", "Hayır")]
        {
            let mut text = "index\timage\tquestion\tA\tB\tanswer\tcategory\n".to_string();
            for number in 1..=7u8 {
                let long = "?".repeat(usize::from(number % 3));
                text += &format!("{number}\t{}\t{question}{long}\t{yes}\t{no}\tA\tcolour\n", image(number));
                text += &format!("100000{number}\t{number}\t{question}\t{no}\t{yes}\tB\tcolour\n");
            }
            fs::write(place.path(&format!("data/toy_mmmb_{code}.tsv")), text).unwrap();
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn evaluate(&self, processes: usize, out: &str, extra: &[&str]) -> Output {
        let program = env!("CARGO_BIN_EXE_parrot");
        let mut command = match processes {
            1 => Command::new(program),
            _ => {
                let mut mpirun = Command::new("mpirun");
                let number = processes.to_string();
                mpirun.args(["--allow-run-as-root", "--oversubscribe", "-n", &number, program]);
                mpirun
            }
        };
        command.arg("eval").arg("--data").arg(self.path("data")).arg("--out").arg(self.path(out));
        command.arg("--model").arg(self.path("model"));
        command.args(["--max-new-tokens", "6", "--pictures", "2", "--device", "cpu"]).args(extra);
        command.env_remove("PARROT_MODEL").env_remove("RUST_LOG").output().expect("mpirun is there")
    }

    fn asks(&self, processes: usize, out: &str) -> String {
        let Output { status, stderr, .. } = self.evaluate(processes, out, &[]);
        let said = String::from_utf8_lossy(&stderr).into_owned();
        assert!(status.success(), "{processes} processes: {said}");
        said
    }

    /// Everything that a run leaves but times, by file: tables, pages and predictions byte by byte, answers in any order.
    fn results(&self, out: &str) -> Vec<(String, Vec<u8>)> {
        let mut found = Vec::new();
        collect(&self.path(out), "", &mut found);
        found.sort();
        for (name, bytes) in &mut found {
            if name == "/results.json" {
                let mut json: Value = serde_json::from_slice(bytes).unwrap();
                json["asked"] = Value::Null;
                *bytes = json.to_string().into_bytes();
            } else if name == "/answers.jsonl" {
                let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
                // A batch of which a killed run had answered a part is asked again as a whole.
                lines.sort_unstable();
                lines.dedup();
                *bytes = lines.join(&b'\n');
            }
        }
        found
    }
}

impl Workplace {
    #[track_caller]
    fn assert_same(&self, one: &str, other: &str) {
        let (one, other) = (self.results(one), self.results(other));
        let names = |results: &[(String, Vec<u8>)]| -> Vec<String> {
            results.iter().map(|(name, _)| name.clone()).collect()
        };
        assert_eq!(names(&one), names(&other));
        let differing: Vec<&String> =
            one.iter().zip(&other).filter(|(one, other)| one.1 != other.1).map(|(one, _)| &one.0).collect();
        assert!(differing.is_empty(), "{differing:?}");
    }
}

fn collect(folder: &Path, within: &str, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{within}/{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() {
            collect(&path, &name, found);
        } else {
            found.push((name, fs::read(&path).unwrap()));
        }
    }
}

fn image(seed: u8) -> String {
    let colour = |x: u32, y: u32| Rgb([seed.wrapping_mul(40), (x * 12) as u8, (y * 15) as u8 ^ seed]);
    let mut png = Cursor::new(Vec::new());
    RgbImage::from_fn(20, 16, colour).write_to(&mut png, ImageFormat::Png).unwrap();
    STANDARD.encode(png.into_inner())
}

#[test]
fn three_processes_find_what_one_finds() {
    let place = Workplace::new();
    let alone = place.asks(1, "one");
    assert!(alone.contains("about 7 pictures in ") && alone.contains("tokens/s"), "{alone}");
    let together = place.asks(3, "three");
    assert!(together.contains(" s in 3 processes: "), "{together}");
    // Only the first one speaks.
    assert_eq!(together.matches("results are in").count(), 1);
    place.assert_same("one", "three");
}

/// What a killed run of three processes leaves, and then two.
#[test]
fn another_number_of_processes_goes_on() {
    let place = Workplace::new();
    place.asks(1, "one");
    let answers = fs::read_to_string(place.path("one/answers.jsonl")).unwrap();
    let lines: Vec<&str> = answers.split_inclusive('\n').collect();
    fs::create_dir(place.path("killed")).unwrap();
    for (name, part) in [("answers.jsonl", &lines[1..4]), ("answers.2.jsonl", &lines[6..9])] {
        let text = lines[0].to_string() + &part.concat() + "{\"id\":\"ha";
        fs::write(place.path("killed").join(name), text).unwrap();
    }
    place.asks(2, "killed");
    place.assert_same("one", "killed");
    assert!(!place.path("killed/answers.2.jsonl").exists() && !place.path("killed/answers.1.jsonl").exists());
    // Everything is there, and nothing is asked again.
    let again = place.asks(1, "killed");
    assert!(!again.contains("asked "), "{again}");
}

#[test]
fn one_process_that_fails_ends_all() {
    let place = Workplace::new();
    let refused = place.evaluate(2, "out", &["--data", "/nowhere.tsv"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("rank ") && said.contains("/nowhere"), "{said}");
}
