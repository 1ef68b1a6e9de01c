//! `parrot eval --judge`: a tiny random model's answers, rated by a server that plays the judge.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use parrot_infer::tiny;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{error, output, parrot};

const IMAGE: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const ROWS: usize = 2;

/// A model, and questions of LLaVA-Bench's kind.
struct Workplace(TempDir);

impl Workplace {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        tiny::write(&folder.path().join("model"), 3).unwrap();
        let rows = (1..=ROWS).map(|at| format!("{at}\t{IMAGE}\tWhat is {at}?\tA cat.\tA cat {at}.\tconv\n"));
        let text =
            format!("index\timage\tquestion\tcaption\tgpt4_ans\tcategory\n{}", rows.collect::<String>());
        fs::write(folder.path().join("mini_LLaVABench.tsv"), text).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn eval(&self, extra: &[&str]) -> assert_cmd::Command {
        let [data, model, out] =
            ["mini_LLaVABench.tsv", "model", "out"].map(|name| self.path(name).display().to_string());
        let mut command = parrot(&["eval", "--data", &data, "--out", &out, "--protocol", "kit-2026-08"]);
        command.args(["--model", &model, "--max-new-tokens", "6"]).args(extra);
        command.env("PARROT_JUDGE_KEY", "a-secret-key");
        command
    }

    fn judged_by(&self, address: &str) -> assert_cmd::Command {
        self.eval(&["--judge", address, "--judge-model", "referee"])
    }

    fn results(&self) -> Value {
        serde_json::from_slice(&fs::read(self.path("out/results.json")).unwrap()).unwrap()
    }

    /// How many answers are rated and unrated.
    fn rated(&self) -> [u64; 2] {
        let results = self.results();
        let extraction = &results["results"][0]["extraction"];
        ["judged", "unjudged"].map(|key| extraction[key].as_u64().unwrap_or(0))
    }
}

/// A judge that rates so many answers and is gone; what it was asked.
fn judge(requests: usize) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/v1", listener.local_addr().unwrap());
    let body = json!({"choices": [{"message": {"content": "8 4\nThe second is short."}}]}).to_string();
    let reply =
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
    let serve = move || {
        let answer = |_| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(&mut stream);
            let (mut head, mut length) = (String::new(), 0);
            while !head.ends_with("\r\n\r\n") {
                let start = head.len();
                assert!(reader.read_line(&mut head).unwrap() > 0, "the request is cut off: {head}");
                let line = head[start..].to_lowercase();
                if let Some(number) = line.strip_prefix("content-length:") {
                    length = number.trim().parse().unwrap();
                }
            }
            let mut asked = vec![0; length];
            reader.read_exact(&mut asked).unwrap();
            stream.write_all(reply.as_bytes()).unwrap();
            head + std::str::from_utf8(&asked).unwrap()
        };
        (0..requests).map(answer).collect()
    };
    (address, std::thread::spawn(serve))
}

fn whole(folder: &Path) -> String {
    let files = ["results.json", "results.md", "report.html", "ratings.jsonl", "answers.jsonl"];
    files.map(|name| fs::read_to_string(folder.join(name)).unwrap()).concat()
}

/// The judge goes away in between: what it has rated is kept, the rest is unrated, and the same command goes on with it.
#[test]
fn a_judge_that_goes_away_is_asked_about_the_rest_later() {
    let place = Workplace::new();
    // Without a judge answers are there, unrated.
    let (table, _) = output(place.eval(&[]));
    assert!(table.contains("a judge has to rate 2 of the answers"), "{table}");
    assert_eq!(place.rated(), [0, 2]);
    let answers = fs::read_to_string(place.path("out/answers.jsonl")).unwrap();

    let (address, served) = judge(1);
    let (table, notes) = output(place.judged_by(&address));
    let asked = served.join().unwrap();
    assert!(asked[0].starts_with("POST /v1/chat/completions") && asked[0].contains("Bearer a-secret-key"));
    assert!(asked[0].contains("What is 1?") && asked[0].contains("referee"), "{}", asked[0]);
    let said = "mini_LLaVABench.tsv line 3 (index 2): not judged: it cannot be reached";
    assert!(notes.contains(said), "{notes}");
    assert!(table.contains("judged 1, not judged 1"), "{table}");
    assert_eq!(place.rated(), [1, 1]);

    let (address, served) = judge(1);
    let (table, notes) = output(place.judged_by(&address));
    assert!(!notes.contains("not judged"), "{notes}");
    let asked = served.join().unwrap();
    assert!(asked[0].contains("What is 2?"), "only what is open is asked: {}", asked[0]);
    assert_eq!(place.rated(), [2, 0]);
    // Two of 4 to two of 8.
    assert!(table.contains("| relative score | 50.00 | 2 |") && table.contains("referee"), "{table}");
    assert_eq!(place.results()["results"][0]["scores"][0]["value"], 50.0);

    // Everything is rated: nobody has to be there, nor named.
    for extra in [&["--judge", "http://127.0.0.1:9/v1", "--judge-model", "referee"][..], &[]] {
        let (again, notes) = output(place.eval(extra));
        assert!(!notes.contains("not judged"), "{notes}");
        assert!(again.contains("| relative score | 50.00 | 2 |"), "{again}");
    }
    // Another one's ratings are not mixed with them.
    let (address, served) = judge(ROWS);
    let (table, _) = output(place.eval(&["--judge", &address, "--judge-model", "another"]));
    assert_eq!(served.join().unwrap().len(), ROWS);
    assert!(table.contains("Rated by another") && !table.contains("referee"), "{table}");
    assert_eq!(fs::read_to_string(place.path("out/answers.jsonl")).unwrap(), answers);
    assert!(!whole(&place.path("out")).contains("a-secret-key"));
}

/// Answers of another program are rated as well; a judge that refuses is asked once.
#[test]
fn what_another_program_answered_is_rated() {
    let place = Workplace::new();
    let lines = (1..=ROWS).map(|at| format!("{{\"index\": {at}, \"prediction\": \"It is cat {at}.\"}}\n"));
    fs::write(place.path("other.jsonl"), lines.collect::<String>()).unwrap();
    let (address, served) = judge(ROWS);
    let [data, answers] = ["mini_LLaVABench.tsv", "other.jsonl"].map(|name| place.path(name));
    let mut command = parrot(&["eval", "--protocol", "kit-2026-08", "--json"]);
    command.arg("--data").arg(data).arg("--score").arg(answers);
    command.args(["--judge", &address, "--judge-model", "referee"]).env_remove("PARROT_JUDGE_KEY");
    let (json, notes) = output(command);
    let found: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(found["results"][0]["scores"][0]["value"], 50.0, "{notes}");
    assert!(served.join().unwrap().iter().all(|asked| !asked.to_lowercase().contains("authorization")));
    // A judge that nobody can reach rates nothing, and that is no success.
    let unrated = place.judged_by("http://127.0.0.1:9/v1").assert().code(1);
    let said = String::from_utf8_lossy(&unrated.get_output().stderr).into_owned();
    assert!(said.contains("error: the judge has rated no answer"), "{said}");
    assert_eq!(place.rated(), [0, 2]);
    let refused = error(place.eval(&["--judge", "localhost:8000", "--judge-model", "referee"]));
    assert!(refused.contains("expected an address such as http://localhost:8000/v1"), "{refused}");
}
