//! `parrot eval` asking a tiny random model.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::{ImageFormat, Rgb, RgbImage};
use parrot_eval::{Asker, Conditions, Dataset, GenerateOptions, ImageStore, Journal, QuestionOutcome, RunAs};
use parrot_infer::{Parrot, device, tiny};
use serde_json::Value;
use tempfile::TempDir;

use crate::common::{error, output, parrot};

/// `model/`, and `data/` with three languages of five pictures, made once for all tests.
static FILES: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    tiny::write(&folder.path().join("model"), 3).unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    for (code, question, yes, no) in [
        ("en", "Is it red?", "Yes", "No"),
        ("tr", "Bu kırmızı mı?", "Evet", "Hayır"),
        ("ar", "هل هو أحمر؟", "نعم", "لا"),
    ] {
        let mut text = "index\timage\tquestion\tA\tB\tanswer\tcategory\n".to_string();
        for number in 1..=5u8 {
            let long = "?".repeat(usize::from(number % 3));
            text += &format!("{number}\t{}\t{question}{long}\t{yes}\t{no}\tA\tcolour\n", image(number));
            text += &format!("100000{number}\t{number}\t{question}\t{no}\t{yes}\tB\tcolour\n");
        }
        fs::write(data.join(format!("toy_mmmb_{code}.tsv")), text).unwrap();
    }
    folder
});

fn file(name: &str) -> PathBuf {
    FILES.path().join(name)
}

fn image(seed: u8) -> String {
    let pixels =
        RgbImage::from_fn(20, 16, |x, y| Rgb([seed.wrapping_mul(40), (x * 12) as u8, (y * 15) as u8 ^ seed]));
    let mut png = Cursor::new(Vec::new());
    pixels.write_to(&mut png, ImageFormat::Png).unwrap();
    STANDARD.encode(png.into_inner())
}

/// `parrot eval --data DATA --out OUT`, answers of six tokens.
fn ask(data: &Path, out: &Path, extra: &[&str]) -> assert_cmd::Command {
    ask_model(&file("model"), data, out, extra)
}

fn ask_model(model: &Path, data: &Path, out: &Path, extra: &[&str]) -> assert_cmd::Command {
    let [data, out, model] = [data, out, model].map(|path| path.to_str().unwrap());
    let mut command =
        parrot(&["eval", "--data", data, "--out", out, "--model", model, "--max-new-tokens", "6"]);
    command.args(extra);
    command
}

fn results(out: &Path) -> Value {
    let mut results: Value = serde_json::from_slice(&fs::read(out.join("results.json")).unwrap()).unwrap();
    for key in ["seconds_now", "questions_now", "images_now", "tokens_now", "batch_size"] {
        results["asked"].as_object_mut().unwrap().remove(key);
    }
    results
}

/// Everything that a run leaves behind but the order of its answers.
fn tables(out: &Path) -> Vec<String> {
    let mut tables = vec![fs::read_to_string(out.join("results.md")).unwrap()];
    for protocol in ["paper-2024-06", "kit-2024-08", "kit-2026-08"] {
        for code in ["ar", "en", "tr"] {
            let file = out.join(protocol).join(format!("model_toy_mmmb_{code}.tsv"));
            tables.push(fs::read_to_string(file).unwrap());
        }
    }
    tables
}

#[test]
fn a_killed_run_ends_with_the_answers_of_one_that_was_not() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, resumed) = (folder.path().join("whole"), folder.path().join("resumed"));
    let (table, stderr) = output(ask(&file("data"), &whole, &[]));
    assert!(table.contains("| toy_mmmb | paper-2024-06 | per group |"), "{table}");
    assert!(stderr.ends_with(&format!("note: results are in {}\n", whole.display())), "{stderr}");

    // Killed in the middle of a line, in the middle of a batch.
    let answers = fs::read_to_string(whole.join("answers.jsonl")).unwrap();
    fs::create_dir(&resumed).unwrap();
    let lines: Vec<&str> = answers.lines().collect();
    let cut = lines[..12].join("\n") + "\n" + &lines[12][..20];
    fs::write(resumed.join("answers.jsonl"), &cut).unwrap();
    output(ask(&file("data"), &resumed, &[]));
    assert_eq!(tables(&resumed), tables(&whole));
    assert_eq!(results(&resumed), results(&whole));

    // What is answered is not asked again, and another model does not take over.
    let before = fs::read(resumed.join("answers.jsonl")).unwrap();
    output(ask(&file("data"), &resumed, &[]));
    assert_eq!(fs::read(resumed.join("answers.jsonl")).unwrap(), before);
    let json: Value = serde_json::from_slice(&fs::read(resumed.join("results.json")).unwrap()).unwrap();
    assert_eq!(json["asked"]["questions_now"], 0);
    assert!(json["asked"]["questions"].as_u64().unwrap() > 0, "what was answered before counts");
    let other = error(ask(&file("data"), &resumed, &["--dtype", "f16"]));
    assert!(
        other.contains(
            "answers.jsonl line 1: these answers are of another run: dtype should be f16, found f32"
        )
    );
}

#[test]
fn a_batch_says_what_each_question_gets_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (together, alone) = (folder.path().join("together"), folder.path().join("alone"));
    output(ask(&file("data"), &together, &["--batch-size", "16", "--pictures", "3"]));
    output(ask(&file("data"), &alone, &["--batch-size", "1", "--pictures", "1"]));
    assert_eq!(tables(&together), tables(&alone));
}

#[test]
fn each_image_is_computed_once_for_all_languages() {
    let parrot = Parrot::load(file("model"), &device::open("cpu").unwrap()).unwrap();
    let four = 4 * parrot.image_bytes();
    let parrot = parrot.remember_image_bytes(four);
    let mut images = ImageStore::default();
    let datasets: Vec<Dataset> = ["ar", "en", "tr"]
        .map(|code| Dataset::open(&file(&format!("data/toy_mmmb_{code}.tsv")), &mut images).unwrap())
        .into();
    assert_eq!(images.len(), 5);
    let jobs = parrot_eval::jobs(&datasets, &[RunAs::Dataset, RunAs::Collection]);
    // Ten questions in three languages; in Arabic and Turkish under two names, which are one in English.
    assert_eq!(jobs.len(), 10 + 20 + 20);
    let options =
        GenerateOptions { batch_size: 4, images: 4, max_new_tokens: 2, ..GenerateOptions::default() };
    let batches = parrot_eval::batches(&jobs, &parrot, &options);
    assert_eq!(batches.iter().map(Vec::len).sum::<usize>(), 50);
    // A picture whose batches are over does not come again: each is computed in one window.
    let window = |job: &parrot_eval::Job| datasets[job.dataset].rows[job.row].group().unwrap() > 4;
    let windows: Vec<bool> = batches.iter().map(|batch| window(batch[0])).collect();
    assert!(windows.is_sorted());
    for batch in &batches {
        assert!(batch.iter().all(|job| window(job) == window(batch[0])));
        assert!(batch.is_sorted_by_key(|job| job.prompt.len()), "a token is a byte here");
    }
    let folder = tempfile::tempdir().unwrap();
    let conditions = Conditions {
        model_sha256: String::new(),
        dtype: "f32".into(),
        device: "cpu".into(),
        batch_size: 4,
        max_new_tokens: 2,
        jpeg_roundtrip: false,
    };
    let mut journal = Journal::open(&folder.path().join("answers.jsonl"), &conditions).unwrap();
    let mut asked = 0;
    parrot_eval::generate(&parrot, &datasets, &jobs, &options, &mut journal, |batch, _, is_new| {
        asked += batch.len();
        assert!(is_new);
        asked < 20
    })
    .unwrap();
    assert_eq!((asked, journal.len()), (20, 20), "stopped when told so");
}

/// Each answer is an option, whatever the model would have written.
#[test]
fn the_likeliest_option_is_an_answer_that_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let written = output(ask(&file("data"), &folder.path().join("written"), &[])).0;
    assert!(!written.contains("Answers are the options"), "{written}");
    let chosen = folder.path().join("chosen");
    let (table, _) = output(ask(&file("data"), &chosen, &["--method", "likelihood"]));
    assert!(table.contains("Answers are the options that the model finds likeliest"), "{table}");
    let results = results(&chosen);
    assert_eq!(results["asked"]["method"], "likelihood");
    for result in results["results"].as_array().unwrap() {
        assert_eq!(result["extraction"]["letter"], result["answered"], "{result}");
        assert!(result["answered"].as_u64().unwrap() > 0 && result["unread"].is_null(), "{result}");
    }
    // One at a time is the same.
    let alone = folder.path().join("alone");
    output(ask(&file("data"), &alone, &["--method", "likelihood", "--batch-size", "1"]));
    assert_eq!(tables(&alone), tables(&chosen));
}

#[test]
fn results_say_how_they_came_about() {
    let folder = tempfile::tempdir().unwrap();
    let (json, _) = output(ask(&file("data"), folder.path(), &["--json"]));
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["model"]["name"], "model");
    assert_eq!(json["model"]["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(json["model"]["dtype"], "f32");
    assert!(json["model"]["device"].is_string() && json["versions"]["burn"].is_string());
    assert_eq!(json["asked"]["run_as"]["paper-2024-06"], "dataset");
    assert_eq!(json["asked"]["run_as"]["kit-2026-08"], "collection");
    let results = json["results"].as_array().unwrap();
    assert_eq!(results.len(), 9);
    let scores_of = |dataset: &str, protocol: &str| {
        results.iter().find(|it| it["dataset"] == dataset && it["protocol"] == protocol).unwrap()
    };
    let hash = |dataset, protocol| &scores_of(dataset, protocol)["prompts_sha256"];
    assert_eq!(hash("toy_mmmb_tr", "kit-2024-08"), hash("toy_mmmb_tr", "kit-2026-08"));
    assert_ne!(hash("toy_mmmb_tr", "paper-2024-06"), hash("toy_mmmb_tr", "kit-2024-08"));
    assert_eq!(hash("toy_mmmb_en", "paper-2024-06"), hash("toy_mmmb_en", "kit-2024-08"));
    for result in results {
        let weights = result["expert_weights"].as_array().unwrap();
        let sum: f64 = weights.iter().map(|weight| weight.as_f64().unwrap()).sum();
        assert!(weights.len() == 6 && (sum - 1.0).abs() < 1e-4, "{result}");
        assert_eq!((&result["rows"], &result["answered"]), (&10.into(), &10.into()));
    }
    assert_ne!(
        scores_of("toy_mmmb_ar", "paper-2024-06")["expert_weights"],
        scores_of("toy_mmmb_tr", "paper-2024-06")["expert_weights"]
    );

    let page = fs::read_to_string(folder.path().join("report.html")).unwrap();
    assert!(
        page.contains("dir=\"rtl\"")
            && page.contains("lang=\"ar\"")
            && page.contains("data:image/png;base64,")
    );
    for outside in ["http://", "https://", "src=\"/", "@import", "<script"] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(folder.path().join("kit-2024-08/model_toy_mmmb_tr.xlsx").is_file());
}

/// What one writes, the other scores: prompts out, answers in, the same numbers.
#[test]
fn the_halves_make_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    output(ask(&file("data"), folder.path(), &["--protocol", "paper-2024-06"]));
    let whole = results(folder.path());

    let data = file("data");
    let data = data.to_str().unwrap();
    let (prompts, _) =
        output(parrot(&["eval", "--data", data, "--protocol", "paper-2024-06", "--prompts-only"]));
    let prompts: Vec<Value> = prompts.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(prompts.len(), 30);
    let turkish = prompts.iter().find(|it| it["dataset"] == "toy_mmmb_tr" && it["index"] == "1").unwrap();
    assert_eq!(
        turkish["prompt"],
        "Bu kırmızı mı??\nA. Evet\nB. Hayır\nVerilen seçeneklerden doğrudan seçeneğin harfi ile cevap verin."
    );

    // Another system: the model behind the library.
    let model = Parrot::load(file("model"), &device::open("cpu").unwrap()).unwrap();
    let mut images = ImageStore::default();
    let mut answers = String::new();
    for code in ["ar", "en", "tr"] {
        let dataset = Dataset::open(&file(&format!("data/toy_mmmb_{code}.tsv")), &mut images).unwrap();
        for row in &dataset.rows {
            let prompt = dataset.prompt(row, RunAs::Dataset, Asker::Parrot);
            assert!(
                prompts
                    .iter()
                    .any(|it| it["dataset"] == dataset.id.as_str() && it["prompt"] == prompt.as_str())
            );
            let image = row.images[0].decode("x").unwrap();
            let options = parrot_infer::AskOptions { max_new_tokens: 6, ..Default::default() };
            let question = parrot_infer::Question::new(std::slice::from_ref(&image), &prompt);
            let answer = model.ask_batch(&[question], &options).unwrap().remove(0);
            let text = parrot_eval::post_process(&prompt, &answer.text);
            let line = serde_json::json!({"dataset": dataset.id, "index": row.number(), "prediction": text});
            answers += &format!("{line}\n");
        }
    }
    let file = folder.path().join("other.jsonl");
    fs::write(&file, answers).unwrap();
    let args =
        ["eval", "--data", data, "--protocol", "paper-2024-06", "--json", "--score", file.to_str().unwrap()];
    let (json, _) = output(parrot(&args));
    let json: Value = serde_json::from_str(&json).unwrap();
    for (scored, asked) in
        json["results"].as_array().unwrap().iter().zip(whole["results"].as_array().unwrap())
    {
        for key in ["dataset", "scores", "extraction", "problems"] {
            assert_eq!(scored[key], asked[key], "{key}");
        }
    }
    assert_eq!(json["languages"], whole["languages"]);

    // Where the protocols ask differently, each way is told.
    let (both, _) = output(parrot(&["eval", "--data", data, "--prompts-only"]));
    let both: Vec<Value> = both.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(both.len(), 60);
    for prompt in &prompts {
        assert!(prompt["run_as"] == "dataset" && both.contains(prompt), "{prompt}");
    }
    let endings: Vec<(&Value, bool)> = both
        .iter()
        .filter(|it| it["dataset"] == "toy_mmmb_tr" && it["index"] == "1")
        .map(|it| (&it["run_as"], it["prompt"].as_str().unwrap().ends_with(parrot_eval::ENGLISH_ENDING)))
        .collect();
    assert_eq!(endings, [(&"dataset".into(), false), (&"collection".into(), true)]);
    // Other models' prompts depend on no name.
    let (other, _) = output(parrot(&["eval", "--data", data, "--prompts-only", "--prompts-for", "other"]));
    assert!(other.contains("Please select the correct answer from the options above. \\n"), "{other}");
    assert!(other.lines().count() == 30 && !other.contains("run_as"), "{other}");
}

#[test]
fn rows_that_cannot_be_asked_are_wrong_and_said() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("bad_mmmb_en.tsv");
    let not_an_image = STANDARD.encode([b'x'; 100]);
    let text = format!(
        "index\timage\tquestion\tA\tB\tanswer\n1\t{}\tIs it red?\tYes\tNo\tA\n2\t\tIs it red?\tYes\tNo\tA\n\
         3\t{not_an_image}\tIs it red?\tYes\tNo\tA\n4\t1\t{}\tYes\tNo\tA\n5\t1\tIs it red?\tYes\tNo\tMaybe\n",
        image(1),
        "long ".repeat(80),
    );
    fs::write(&data, text).unwrap();
    let out = folder.path().join("out");
    let (table, stderr) = output(ask(&data, &out, &["--protocol", "kit-2024-08"]));
    for line in [
        "note: bad_mmmb_en.tsv line 3 (index 2): no picture",
        "note: bad_mmmb_en.tsv line 6 (index 5): answer is no option: expected one of A, B, found Maybe",
        "note: bad_mmmb_en.tsv line 4 (index 3): could not be asked: picture of the row: the bytes are not of a known picture format",
    ] {
        assert!(stderr.lines().any(|found| found.starts_with(line)), "{line}\n{stderr}");
    }
    assert!(stderr.contains("line 5 (index 4): could not be asked: the prompt is "), "{stderr}");
    assert!(
        table.contains("5 rows; ")
            && table
                .contains("not answered 3; 1 × no picture, 1 × answer is no option, 2 × could not be asked"),
        "{table}"
    );
    let json = results(&out);
    let result = &json["results"][0];
    assert_eq!((&result["scores"][0]["of"], &result["as_kit"]), (&5.into(), &Value::Null));
    let unknown = "what the kit would print cannot be said: it would have asked what could not be asked here";
    assert!(table.contains(unknown), "{table}");
    assert_eq!(json["problems"].as_array().unwrap().len(), 4);
    let mut journal = fs::read_to_string(out.join("answers.jsonl")).unwrap();
    let refused = journal.lines().skip(1).filter(|line| {
        matches!(
            serde_json::from_str::<parrot_eval::Answered>(line).unwrap().outcome,
            QuestionOutcome::Refused(_)
        )
    });
    assert_eq!(refused.count(), 2);
    journal.insert_str(0, "{}\n");
    fs::write(out.join("answers.jsonl"), journal).unwrap();
    assert!(error(ask(&data, &out, &[])).contains("answers.jsonl line 1: no conditions of a run"));
}

/// Makes the embeddings of tokens, bytes here, as large as numbers can be, so that the router overflows.
fn blow_up_embeddings(model: &Path, tokens: &[u8]) {
    let file = model.join("model.safetensors");
    let mut bytes = fs::read(&file).unwrap();
    let start = 8 + usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    let header: Value = serde_json::from_slice(&bytes[8..start]).unwrap();
    let embedding = &header["model.embed_tokens.weight"];
    assert_eq!(embedding["dtype"], "F32");
    let width = usize::try_from(embedding["shape"][1].as_u64().unwrap()).unwrap();
    let offset = usize::try_from(embedding["data_offsets"][0].as_u64().unwrap()).unwrap();
    for (number, token) in tokens.iter().enumerate() {
        let row = start + offset + usize::from(*token) * width * 4;
        for at in 0..width {
            // One of these directions is the picture's.
            let value = if (at >> (number / 2)) % 2 == number % 2 { f32::MAX } else { f32::MIN };
            bytes[row + 4 * at..row + 4 * at + 4].copy_from_slice(&value.to_le_bytes());
        }
    }
    fs::write(file, bytes).unwrap();
}

#[test]
fn an_answer_that_is_not_finite_stops_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("broken");
    tiny::write(&model, 3).unwrap();
    blow_up_embeddings(&model, b"#$%&@~<>");
    let data = folder.path().join("bad_mmmb_en.tsv");
    let header = "index\timage\tquestion\tA\tB\tanswer";
    let rows = ["Is it red?", "Is it #$%&@~<>?", "Is it blue?"].iter().zip(1..);
    let rows: String = rows.map(|(q, at)| format!("{at}\t{}\t{q}\tYes\tNo\tA\n", image(1))).collect();
    fs::write(&data, format!("{header}\n{rows}")).unwrap();
    let out = folder.path().join("out");
    // Twice: going on with what there is fails as little.
    for _ in 0..2 {
        let (table, stderr) = output(ask_model(&model, &data, &out, &["--protocol", "kit-2024-08"]));
        let line =
            "note: bad_mmmb_en.tsv line 3 (index 2): could not be asked: the model's scores are not finite";
        assert!(stderr.contains(line), "{stderr}");
        assert!(table.contains("not answered 1; 1 × could not be asked"), "{table}");
    }
}

#[test]
fn two_runs_do_not_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (file("data/toy_mmmb_en.tsv"), folder.path());
    let held = fs::File::create(out.join("answers.jsonl")).unwrap();
    held.lock().unwrap();
    let busy = error(ask(&data, out, &[]));
    assert!(busy.contains("answers.jsonl: another run is writing it"), "{busy}");
    drop(held);
    output(ask(&data, out, &["--protocol", "kit-2024-08"]));
}

#[test]
fn a_jpeg_round_trip_is_another_question() {
    let folder = tempfile::tempdir().unwrap();
    let (exact, lossy) = (folder.path().join("exact"), folder.path().join("lossy"));
    let data = file("data/toy_mmmb_en.tsv");
    output(ask(&data, &exact, &["--protocol", "kit-2024-08"]));
    output(ask(&data, &lossy, &["--protocol", "kit-2024-08", "--jpeg-roundtrip"]));
    assert_ne!(results(&exact)["results"], results(&lossy)["results"]);
    assert!(
        error(ask(&data, &exact, &["--jpeg-roundtrip"]))
            .contains("jpeg_roundtrip should be true, found false")
    );
}
