//! `parrot eval` in several processes on one machine finds what it finds in one.
//!
//! ```sh
//! cargo test --workspace --features parrot-cli/mpi --test distributed
//! ```

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

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
        place.write_questions(1);
        place
    }

    /// - times: how often each picture is shown
    fn write_questions(&self, times: usize) {
        for (code, question, yes, no) in
            [("en", "Is it red?", "Yes", "No"), ("tr", "Bu kırmızı mı?", "Evet", "Hayır")]
        {
            let mut text = "index\timage\tquestion\tA\tB\tanswer\tcategory\n".to_string();
            for number in 1..=7 * times {
                let (long, image) = ("?".repeat(number % 3), image((number % 7) as u8));
                text += &format!("{number}\t{image}\t{question}{long}\t{yes}\t{no}\tA\tcolour\n");
                text += &format!("{}\t{number}\t{question}\t{no}\t{yes}\tB\tcolour\n", 1_000_000 + number);
            }
            fs::write(self.path(&format!("data/toy_mmmb_{code}.tsv")), text).unwrap();
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn evaluate(&self, processes: usize, out: &str, extra: &[&str]) -> Output {
        self.command(processes, out, extra).output().expect("mpirun is there")
    }

    fn command(&self, processes: usize, out: &str, extra: &[&str]) -> Command {
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
        command.args(["--pictures", "2", "--device", "cpu"]).args(extra);
        command.env_remove("PARROT_MODEL").env_remove("RUST_LOG");
        command
    }

    fn asks(&self, processes: usize, out: &str) -> String {
        let Output { status, stderr, .. } = self.evaluate(processes, out, &["--max-new-tokens", "6"]);
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

/// What is left where several processes are killed in the middle of a line, and then another number of them.
#[test]
fn another_number_of_processes_goes_on() {
    let place = Workplace::new();
    place.asks(1, "one");
    let answers = fs::read_to_string(place.path("one/answers.jsonl")).unwrap();
    let lines: Vec<&str> = answers.split_inclusive('\n').collect();
    for (killed, then) in [(3, 2), (2, 1), (2, 3)] {
        let out = format!("{killed}-{then}");
        fs::create_dir(place.path(&out)).unwrap();
        let last = format!("answers.{}.jsonl", killed - 1);
        for (name, part) in [("answers.jsonl", &lines[1..4]), (&*last, &lines[6..9])] {
            let text = lines[0].to_string() + &part.concat() + "{\"id\":\"ha";
            fs::write(place.path(&out).join(name), text).unwrap();
        }
        place.asks(then, &out);
        // No process leaves a file of its own.
        place.assert_same("one", &out);
        // Everything is there, and nothing is asked again.
        let again = place.asks(1, &out);
        assert!(!again.contains("asked "), "{again}");
    }
}

/// Two processes that are killed while they answer; one and three go on from what they leave.
#[test]
fn a_killed_run_goes_on() {
    // One of many questions at a time, and long answers, so that there is time for it.
    const SLOW: [&str; 4] = ["--batch-size", "1", "--max-new-tokens", "100"];
    let place = Workplace::new();
    place.write_questions(10);
    let asks = |processes: usize, out: &str| {
        let Output { status, stderr, .. } = place.evaluate(processes, out, &SLOW);
        assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    };
    asks(1, "one");
    let mut two = place.command(2, "killed", &SLOW);
    let mut two = two.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let answered = |name: &str| {
        let text = fs::read_to_string(place.path("killed").join(name)).unwrap_or_default();
        text.lines().count().saturating_sub(1)
    };
    while answered("answers.jsonl") < 1 || answered("answers.1.jsonl") < 1 {
        assert!(two.try_wait().unwrap().is_none(), "it has finished before it could be killed");
        std::thread::sleep(Duration::from_millis(2));
    }
    // mpirun ends its processes when it is told to end.
    let told = Command::new("kill").arg(two.id().to_string()).status().unwrap();
    assert!(told.success() && !two.wait().unwrap().success());
    assert!(!place.path("killed/results.json").exists());
    for processes in [1, 3] {
        let out = format!("then-{processes}");
        fs::create_dir(place.path(&out)).unwrap();
        for name in ["answers.jsonl", "answers.1.jsonl"] {
            fs::copy(place.path("killed").join(name), place.path(&out).join(name)).unwrap();
        }
        asks(processes, &out);
        place.assert_same("one", &out);
    }
}

#[test]
fn one_process_that_fails_ends_all() {
    let place = Workplace::new();
    let refused = place.evaluate(2, "out", &["--data", "/nowhere.tsv"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("rank ") && said.contains("/nowhere"), "{said}");
}
