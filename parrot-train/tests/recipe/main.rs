//! `parrot-train run`, `plan` and `check-data` as a user types them, on a model of a few thousand weights.

mod hostile;
#[path = "../shapes/mod.rs"]
mod shapes;
mod workplace;

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use burn::prelude::*;
use burn::tensor::FloatDType;
use parrot_model::checkpoint::{Checkpoint, Weights, names, save_module};
use parrot_model::config::{DecoderConfig, DecoderFamily};
use parrot_model::image::ImageProcessorConfig;
use parrot_model::language::Decoder;
use parrot_model::quantization::BlockFormat;
use parrot_train::checkpoint::RunFolder;
use serde_json::{Value, json};

use shapes::{ASSETS, save_start};
use workplace::{Workplace, record};

#[test]
fn a_recipe_becomes_a_model_and_a_report() {
    let place = Workplace::new();
    let (status, _, said) = place.call("run", &[]);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("data: 9 records") && said.contains("stage2 6/6  loss "), "{said}");
    Checkpoint::open(place.path("run/model")).unwrap();
    let html = fs::read_to_string(place.path("run/report.html")).unwrap();
    assert!(html.contains("Experts for en") || html.contains("Experts for zh"), "no language has experts");
    assert!(!html.contains("Experts for all"));
    let metrics = fs::read_to_string(place.path("run/metrics.jsonl")).unwrap();
    assert_eq!(metrics.lines().count(), 6);
    let events = fs::read_dir(place.path("run/tensorboard")).unwrap().count();
    assert_eq!(events, 1);
    // Done is done.
    let before = place.weights("run/model");
    let (status, _, said) = place.call("run", &["--quiet"]);
    assert_eq!((status, said.as_str()), (0, ""));
    assert!(before == place.weights("run/model"));
    // But it can be written in half the size.
    place.call("run", &["--quiet", "--set", "save_dtype=f16"]);
    let half = place.weights("run/model");
    assert!(half.len() < before.len() * 6 / 10, "{} of {}", half.len(), before.len());
}

/// A model card and the modelling file of an export were gone after the same command once more, without a word.
#[test]
fn what_is_added_to_a_finished_model_stays() {
    let place = Workplace::new();
    assert_eq!(place.call("run", &["--quiet"]).0, 0);
    let config = fs::read_to_string(place.path("run/model/config.json")).unwrap();
    place.write("run/model/README.md", "a card");
    fs::create_dir(place.path("run/model/pictures")).unwrap();
    place.write("run/model/pictures/curve.svg", "<svg/>");
    place.write("run/model/towers/tiny/notes.txt", "frozen");
    let mut export = Command::cargo_bin("parrot-train").unwrap();
    export.args(["export", "--transformers"]).arg(place.path("run/model")).assert().success();
    let (status, _, said) = place.call("run", &["--quiet"]);
    assert_eq!(status, 0, "{said}");
    let file = place.path("run/model/config.json");
    let expected = format!("note: {} differed from what the run writes, and is replaced\n", file.display());
    assert_eq!(said, expected);
    for name in ["README.md", "pictures/curve.svg", "towers/tiny/notes.txt", "modeling_parrot.py"] {
        assert!(place.path("run/model").join(name).is_file(), "{name}");
    }
    assert_eq!(fs::read_to_string(file).unwrap(), config);
    assert_eq!(place.call("run", &["--quiet"]), (0, String::new(), String::new()));
}

#[test]
fn a_run_in_two_calls_equals_one_in_one() {
    let place = Workplace::new();
    let out = |name: &str| format!("out={}", place.path(name).display());
    let run = |arguments: &[&str]| {
        let (status, _, said) = place.call("run", &[arguments, &["--quiet"]].concat());
        assert_eq!(status, 0, "{said}");
    };
    // As if the second had been killed after its step 4.
    run(&["--set", &out("one")]);
    run(&["--set", &out("two")]);
    fs::remove_dir_all(place.path("two/step-000006")).unwrap();
    fs::remove_dir_all(place.path("two/model")).unwrap();
    run(&["--set", &out("two")]);
    assert!(place.weights("one/model") == place.weights("two/model"));
    let metrics = fs::read_to_string(place.path("two/metrics.jsonl")).unwrap();
    assert_eq!(metrics.lines().count(), 6);
}

/// QLoRA, as a user asks for it: the decoder is quantised while it is loaded, and saved as it was with what was learnt.
#[test]
fn adapters_are_trained_beside_a_quantised_decoder() {
    let place = Workplace::new();
    let qlora = |out: &str, more: &[&str]| {
        let out = format!("out={}", place.path(out).display());
        let recipe = [
            &["--set", "model.decoder_dtype=q4", "--set", "train.parts=['projector', 'moe']"][..],
            &["--set", "lora={rank=2, alpha=4.0}", "--device", "cpu", "--set", &out],
        ];
        place.call("run", &[&recipe.concat(), more].concat())
    };
    let (status, _, said) = qlora("one", &[]);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("the decoder is frozen in q4"), "{said}");
    assert_eq!(qlora("two", &[]).0, 0);
    fs::remove_dir_all(place.path("two/step-000006")).unwrap();
    fs::remove_dir_all(place.path("two/model")).unwrap();
    assert_eq!(qlora("two", &["--quiet"]).0, 0);
    assert!(place.weights("one/model") == place.weights("two/model"));
    let [start, trained] =
        ["start", "one/model"].map(|folder| Weights::from_folder(place.path(folder)).unwrap());
    for (name, is_learnt) in [("self_attn.q_proj.weight", true), ("input_layernorm.weight", false)] {
        let name = format!("model.layers.0.{name}");
        let [before, after] = [&start, &trained].map(|weights| weights.numbers(&name).unwrap());
        assert_eq!(before != after, is_learnt, "{name}");
    }
    let plan = |arguments: &[&str]| place.call("plan", arguments).1;
    let parts = ["--set", "train.parts=['projector']"];
    let memory = |planned: String| {
        let line = planned.lines().find(|line| line.starts_with("language_model")).unwrap().to_string();
        let [.., number, unit] = line.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{line}") };
        number.parse::<f64>().unwrap() * if unit == "MB" { 1e6 } else { 1e3 }
    };
    let ratio =
        memory(plan(&[&parts[..], &["--set", "model.decoder_dtype=q4"]].concat())) / memory(plan(&parts));
    assert!((ratio - 5.0 / 32.0).abs() < 0.01, "{ratio}");

    // What cannot be merged into is not begun with.
    let start = Checkpoint::open(place.path("start")).unwrap();
    start.quantize(BlockFormat::Q4, place.path("small"), |_, _| ()).unwrap();
    let from = format!("model.from={}", place.path("small").display());
    let (status, _, said) = qlora("three", &["--set", &from]);
    assert!(status == 1 && said.contains("one that is not quantised"), "{said}");
    assert!(!place.path("three").exists());
}

/// The steps that `metrics.jsonl` has.
fn told_steps(place: &Workplace, run: &str) -> Vec<u64> {
    let lines = fs::read_to_string(place.path(run).join("metrics.jsonl")).unwrap();
    lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["step"].as_u64().unwrap()).collect()
}

/// The run goes on from the one before, and so do its metrics.
#[test]
fn metrics_go_on_where_the_weights_do_after_a_damaged_checkpoint() {
    let place = Workplace::new();
    assert_eq!(place.call("run", &["--quiet"]).0, 0);
    let before = place.weights("run/model");
    for file in ["state.json", "model/model.safetensors"] {
        let damaged = place.path("run/step-000006").join(file);
        let bytes = fs::read(&damaged).unwrap();
        fs::write(&damaged, &bytes[..bytes.len() - 10]).unwrap();
        assert_eq!(place.call("run", &["--quiet"]).0, 0);
        assert_eq!(told_steps(&place, "run"), [1, 2, 3, 4, 5, 6], "{file}");
        assert!(before == place.weights("run/model"), "{file}");
    }
}

/// The model does not depend on them: zeros, as a power cut leaves them, cost the report and a notice.
#[test]
fn a_finished_run_without_metrics_is_done() {
    let place = Workplace::new();
    assert_eq!(place.call("run", &["--quiet"]).0, 0);
    let before = place.weights("run/model");
    fs::write(place.path("run/metrics.jsonl"), [0_u8; 500]).unwrap();
    let damaged = "metrics.jsonl: 1 damaged line is passed over";
    let unreported = "metrics.jsonl: has no step to report";
    for expected in [&[damaged, unreported][..], &[unreported][..]] {
        let (status, _, said) = place.call("run", &["--quiet"]);
        assert_eq!(status, 0, "{said}");
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines.len(), expected.len(), "{said}");
        assert!(lines.iter().all(|line| line.starts_with("note: ")), "{said}");
        assert!(lines.iter().zip(expected).all(|(line, expected)| line.ends_with(*expected)), "{said}");
        assert!(before == place.weights("run/model"));
    }
}

/// What a run has written stays as it is when another one wants its folder.
#[test]
fn a_folder_that_is_in_use_or_of_another_run_is_left_alone() {
    let place = Workplace::new();
    assert_eq!(place.call("run", &["--quiet"]).0, 0);
    let (metrics, list) = (place.path("run/metrics.jsonl"), place.path("run/bad-records.jsonl"));
    fs::write(&list, "a list").unwrap();
    fs::write(&metrics, fs::read_to_string(&metrics).unwrap() + "half a line").unwrap();
    let contents = || [&metrics, &list].map(|path| fs::read_to_string(path).unwrap());
    let before = contents();
    let refused = |arguments: &[&str], expected: &str| {
        let (status, _, said) = place.call("run", arguments);
        assert!(status == 1 && said.contains(expected), "{said}");
        assert_eq!(before, contents(), "{arguments:?}");
        assert_eq!(fs::read_dir(place.path("run/tensorboard")).unwrap().count(), 1);
    };
    refused(&["--set", "train.batch_size=8"], "its train.batch_size is 4, this run's is 8");
    refused(&["--set", "train.moe=false", "--set", "train.parts=['projector']"], "belongs to another run");
    refused(&["--set", "train.micro_batch_size=4"], "its train.micro_batch_size is 2, this run's is 4");
    refused(&["--set", "train.max_grad_norm=2"], "its train.max_grad_norm is 1, this run's is 2");
    refused(&["--set", "data.source=[{file='nowhere.json', pictures='.'}]"], "nowhere.json");
    // Everything in a checkpoint would be the old model's, and its adapters would be merged into the new one.
    save_start(&place.path("other"), 1);
    let mut weights = place.weights("other");
    let header = u64::from_le_bytes(*weights.first_chunk().unwrap()) as usize;
    weights[8 + header] ^= 1;
    fs::write(place.path("other/model.safetensors"), weights).unwrap();
    let other = format!("model.from={}", place.path("other").display());
    refused(
        &["--set", &other],
        "it belongs to another run: its starting model is one whose weights have the hash ",
    );
    let held = RunFolder::open(place.path("run")).unwrap();
    refused(&[], "another process is training in");
    drop(held);
    assert_eq!(place.call("run", &["--quiet"]).0, 0);
    assert!(!list.exists(), "there are no bad records now");
    // The same model at another place.
    fs::rename(place.path("start"), place.path("moved")).unwrap();
    let moved = format!("model.from={}", place.path("moved").display());
    assert_eq!(place.call("run", &["--quiet", "--set", &moved]).0, 0);
}

/// Measuring the device, which a quiet run does not do, draws random numbers as well.
#[test]
fn a_seed_decides_what_new_weights_are() {
    let place = Workplace::new();
    fs::create_dir(place.path("decoder")).unwrap();
    for entry in fs::read_dir(place.path("start")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, place.path("decoder").join(path.file_name().unwrap())).unwrap();
        }
    }
    let config = fs::read_to_string(place.path("decoder/config.json")).unwrap();
    place.write("decoder/config.json", &config.replace("parrot_qwen2", "qwen2"));
    let model = format!("size = 'parrot-mini'\nlanguage_model = {:?}", place.path("decoder"));
    let recipe = place.recipe().replace(&format!("from = {:?}", place.path("start")), &model);
    // Nothing moves.
    let recipe =
        recipe.replace("learning_rate = 1e-3", "learning_rate = 0.0").replace("steps = 6", "steps = 1");
    place.write("recipe.toml", &recipe);
    let weights = |name: &str, arguments: &[&str]| {
        let out = format!("out={}", place.path(name).display());
        let (status, _, said) = place.call("run", &[&["--set", &out], arguments].concat());
        assert_eq!(status, 0, "{said}");
        place.weights(&format!("{name}/model"))
    };
    let first = weights("one", &[]);
    assert!(first == weights("two", &["--quiet"]));
    assert!(first != weights("three", &["--quiet", "--set", "seed=7"]));
}

/// What training used is what is saved and what answers: the processor of the tower that the model was made with. A trained
/// tower's own folder has the trained weights, and a run's model is exported for transformers.
#[test]
fn a_new_model_keeps_its_towers_processor_and_weights() {
    let place = Workplace::new();
    let tower = place.path("start/towers/tiny");
    let file = tower.join("preprocessor_config.json");
    let processor: ImageProcessorConfig = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let processor = ImageProcessorConfig { image_mean: [0.25; 3], ..processor };
    fs::write(&file, serde_json::to_string(&processor).unwrap()).unwrap();
    let decoder = place.path("decoder");
    fs::create_dir(&decoder).unwrap();
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        fs::copy(place.path("start").join(name), decoder.join(name)).unwrap();
    }
    let config = fs::read_to_string(decoder.join("config.json")).unwrap();
    place.write("decoder/config.json", &config.replace("parrot_qwen2", "qwen2"));
    let model = format!("size = 'parrot-mini'\nlanguage_model = {decoder:?}\nvision_tower = {tower:?}");
    let recipe = place.recipe().replace(&format!("from = {:?}", place.path("start")), &model);
    let recipe = recipe.replace("parts = [", "parts = ['vision_tower', ").replace("steps = 6", "steps = 2");
    place.write("recipe.toml", &recipe);
    let (status, _, said) = place.call("run", &[]);
    assert_eq!(status, 0, "{said}");
    let trained = Checkpoint::open(place.path("run/model")).unwrap();
    assert_eq!(trained.description.image_processor, processor);
    let (before, after) = (Weights::from_folder(tower).unwrap(), place.path("run/model/towers/tiny"));
    let (after, whole) =
        (Weights::from_folder(after).unwrap(), Weights::from_folder(place.path("run/model")).unwrap());
    let name = "vision_model.embeddings.patch_embedding.weight";
    assert!(before.get(name).unwrap().bytes != after.get(name).unwrap().bytes);
    let in_whole = whole.get(&format!("model.vision_tower.vision_tower.{name}")).unwrap();
    assert!(in_whole.bytes == after.get(name).unwrap().bytes);

    let export = || {
        let mut export = Command::cargo_bin("parrot-train").unwrap();
        let exported =
            export.args(["export", "--transformers"]).arg(place.path("run/model")).assert().success();
        String::from_utf8(exported.get_output().stderr.clone()).unwrap()
    };
    let modeling = place.path("run/model/modeling_parrot.py");
    assert!(!export().contains("replaced") && modeling.is_file());
    assert!(!export().contains("replaced"), "by the same");
    fs::write(&modeling, "# the user's own").unwrap();
    assert!(export().starts_with("note: the modeling_parrot.py that was in "));
    let config = place.path("run/model/config.json");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("modeling_parrot.", "my_own.")).unwrap();
    let said = export();
    let expected = format!("note: the `auto_map` that was in {} is replaced\n", config.display());
    assert!(said.starts_with(&expected) && said.lines().count() == 2, "{said}");
    assert_eq!(Checkpoint::open(place.path("run/model")).unwrap().description.image_processor, processor);
}

/// A new Parrot around a pretrained decoder of each family learns, and its folder says whose decoder it has.
#[test]
fn any_familys_decoder_becomes_a_parrots() {
    let place = Workplace::new();
    let folder = place.path("decoder");
    fs::create_dir(&folder).unwrap();
    fs::copy(Path::new(ASSETS).join("parrot-mini/tokenizer.json"), folder.join("tokenizer.json")).unwrap();
    let recipe = place.recipe().replace("steps = 6", "steps = 2");
    let model = format!("size = 'parrot-mini'\nlanguage_model = {folder:?}");
    place.write("recipe.toml", &recipe.replace(&format!("from = {:?}", place.path("start")), &model));
    for family in [DecoderFamily::Qwen3, DecoderFamily::Llama, DecoderFamily::Mistral] {
        let name = family.model_type();
        let config = json!({
            "model_type": name, "vocab_size": 4096, "hidden_size": 16, "intermediate_size": 24,
            "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 10,
            "max_position_embeddings": 1024, "sliding_window": 8, "attention_bias": true,
        });
        place.write("decoder/config.json", &config.to_string());
        let shape = DecoderConfig::from_keys(config.as_object().unwrap().clone()).unwrap();
        let decoder = Decoder::init(&shape, &Device::flex());
        save_module(&decoder, names::decoder, folder.join("model.safetensors"), None).unwrap();
        for checkpointing in ["false", "true"] {
            let out = format!("out={}", place.path(&format!("{name}-{checkpointing}")).display());
            let checkpointing = format!("train.activation_checkpointing={checkpointing}");
            let (status, _, said) = place.call("run", &["--set", &out, "--set", &checkpointing]);
            assert_eq!(status, 0, "{said}");
        }
        let trained = |checkpointing| place.weights(&format!("{name}-{checkpointing}/model"));
        assert!(trained("false") == trained("true"), "{name}");
        let trained = Checkpoint::open(place.path(&format!("{name}-false/model"))).unwrap();
        assert_eq!(trained.description.config.model_type, format!("parrot_{name}"));
        assert_eq!(trained.description.config.decoder, shape);
        trained.load(FloatDType::F32, &Device::flex()).unwrap();
    }
}

/// Records that cannot be used, and half of the others once more.
#[test]
fn a_plan_has_the_steps_of_the_run() {
    let place = Workplace::new();
    let mut records: Vec<Value> = (0..15).map(record).collect();
    for bad in [2, 5] {
        records[bad]["conversations"][1]["value"] = " ".into();
    }
    records[0]["image"] = "no such.png".into();
    place.write("data.json", &Value::from(records).to_string());
    let recipe = place.recipe().replace("steps = 6", "epochs = 1.0");
    let recipe =
        recipe.replace("[data]", "weight = 1.375\n[data]").replace("workers = 2", "max_bad_records = 3");
    place.write("recipe.toml", &recipe);
    let (status, planned, said) = place.call("plan", &[]);
    assert_eq!(status, 0, "{said}");
    // 12 and 4.5 more, rounded to 5.
    assert!(planned.contains("17 an epoch, counted") && planned.contains("4 of 2 × 2 samples"), "{planned}");
    let (status, _, said) = place.call("run", &[]);
    assert!(status == 0 && said.contains("stage2 4/4"), "{said}");
}

/// Ctrl-C: the step in progress is finished and saved.
#[test]
#[cfg(unix)]
fn an_interrupt_saves_and_the_next_call_goes_on() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;

    let place = Workplace::new();
    let settings = ["--set", "train.steps=100000", "--set", "train.save_every=100000"];
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("parrot-train"))
        .arg("run")
        .arg(place.path("recipe.toml"))
        .args(settings)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    // It says where it is after its first step.
    lines.by_ref().find(|line| line.contains("stage2 1/")).unwrap();
    std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let rest: Vec<String> = lines.collect();
    assert!(child.wait().unwrap().success(), "{rest:?}");
    let last = rest.last().unwrap();
    let (_, step) = last.split_once("stopped after step ").unwrap();
    let step: usize = step.split(' ').next().unwrap().parse().unwrap();
    assert!(place.path(&format!("run/step-{step:06}/state.json")).exists(), "{last}");
    assert_eq!(fs::read_to_string(place.path("run/metrics.jsonl")).unwrap().lines().count(), step);
    let more = format!("train.steps={}", step + 2);
    let (status, _, said) = place.call("run", &["--set", &more]);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains(&format!("{}/{}", step + 1, step + 2)), "{said}");
}

/// A full disk under a log, or a reader that has left: what would have been said is lost, the training is not.
#[test]
#[cfg(target_os = "linux")]
fn a_run_goes_on_when_nothing_can_be_said() {
    let place = Workplace::new();
    // Its key that is not known gets a notice.
    let config = fs::read_to_string(place.path("start/config.json")).unwrap();
    place.write("start/config.json", &config.replacen('{', "{\"scale_everything\": 3,", 1));
    let run = |arguments: &[&str]| {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let mut process = std::process::Command::new(assert_cmd::cargo::cargo_bin("parrot-train"));
        process.arg("run").arg(place.path("recipe.toml")).args(arguments).stderr(full).spawn().unwrap()
    };
    assert!(run(&[]).wait().unwrap().success());
    Checkpoint::open(place.path("run/model")).unwrap();

    // Who asked for help is told that there is none.
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut help = std::process::Command::new(assert_cmd::cargo::cargo_bin("parrot-train"));
    let output = help.arg("--help").stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot write to standard output"));

    let out = format!("out={}", place.path("stopped").display());
    let mut child = run(&["--set", &out, "--set", "train.steps=100000", "--set", "train.save_every=100000"]);
    let has_begun = || fs::read(place.path("stopped/metrics.jsonl")).is_ok_and(|lines| !lines.is_empty());
    while !has_begun() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(parrot_train::checkpoint::newest_first(&place.path("stopped")).unwrap().len(), 1);
}

#[test]
fn mistakes_in_a_recipe_are_told_with_what_was_meant() {
    let place = Workplace::new();
    for (arguments, expected) in [
        (&["--set", "train.learning_rat=1"][..], "did you mean `learning_rate`?"),
        (&["--set", "train.parts=['projektor']"], "did you mean `projector`?"),
        (&["--set", "train.batch_size=5"], "should be a multiple of train.micro_batch_size = 2, found 5"),
        (&["--set", "train.micro_batch_size=0"], "train.micro_batch_size: should be at least 1, found 0"),
        (&["--set", "train.batch_size=0"], "train.batch_size: should be at least 1, found 0"),
        (
            &["--set", "train.steps=99_999_999_999_999_999_999"],
            "train.steps: should be at most 9223372036854775807, found 99_999",
        ),
        (&["--set", "seed=18446744073709551615"], "seed: should be at most 9223372036854775807, found"),
        (
            &["--set", "optimizer.decay=-99999999999999999999"],
            "optimizer.decay: should be at least -9223372036854775807, found",
        ),
        (&["--set", "train.epochs=1"], "`steps` and `epochs` exclude each other"),
        (&["--set", "model.vision_tower=x"], "`vision_tower` have no place beside `from`"),
        (
            &["--set", "train.moe=false"],
            "train.parts: `moe` cannot learn with `moe = false`, which bypasses it",
        ),
        (
            &["--set", "model.decoder_dtype=q4"],
            "a decoder in q4 is frozen; leave language_model out of train.parts",
        ),
        (&["--set", "model.decoder_dtype=q5"], "unknown variant `q5`, expected `q8` or `q4`"),
        (
            &["--set", "train.learning_rate=fast"],
            "train.learning_rate: invalid type: string \"fast\", expected a number\n",
        ),
        (&["--set", "steps"], "should be key=value"),
        (&["--set", "train.step="], "train.step: unknown field `step`"),
        (&["--set", "data.max_length=", "--set", "lora.ranks="], "lora.ranks: unknown field `ranks`"),
        (&["--set", "name.x=1"], "`name` is no table"),
        (
            &["--set", "train.learning_rate=-1"],
            "setting `train.learning_rate` should be a number from 0 to 10, found -1",
        ),
        (
            &["--set", "optimizer=['adamw', 0.9, 0.999]"],
            "optimizer: invalid type: a list, expected an object",
        ),
        (&["--set", "lora=[8]"], "lora: invalid type: a list, expected an object"),
        (&["--set", "optimizer.name=sgd"], "unknown variant `sgd`"),
        (&["--set", "data.max_length=1"], "setting `data.max_length` should be at least 2"),
        (
            &["--set", "data.max_length=100000"],
            "setting `data.max_length` should be at most the 1024 positions that the model has, found 100000",
        ),
        (&["--set", "train.steps=0"], "setting `train.steps` should be at least 1, found 0"),
        (
            &["--set", "train.steps=", "--set", "train.epochs=1e9"],
            "train.epochs: should be above 0 and at most",
        ),
        (&["--set", "data.workers=1000000"], "setting `data.workers` should be at most 1024, found 1000000"),
        (
            &["--set", "lora={rank=1000000, alpha=1.0}", "--set", "train.parts=['moe']"],
            "setting `lora.rank` should be from 1 to the decoder's hidden size of 16, found 1000000",
        ),
        (&["--set", "model.from=nowhere"], "nowhere"),
        (&["--set", "model.from=''"], "the path is empty"),
        (&["--set", "out=''"], "recipe.toml: out: the path is empty"),
    ] {
        let (status, _, said) = place.call("run", arguments);
        assert_eq!(status, 1, "{arguments:?}");
        assert!(said.contains("error: ") && said.contains(expected), "{arguments:?}: {said}");
        assert!(!place.path("run/model").exists());
    }
    place.write("recipe.toml", &place.recipe().replace("steps = 6", "steps = 6\nstep_count = 7"));
    let (_, _, said) = place.call("run", &[]);
    let expected = "line 18, column 1: train.step_count: unknown field `step_count`";
    assert!(said.contains(expected) && said.lines().count() == 1, "{said}");
    place.write("recipe.toml", &format!("name = \"{}\n", "x".repeat(100_000)));
    for arguments in [&[][..], &["--set", "seed=1"]] {
        let (_, _, said) = place.call("run", arguments);
        assert!(said.contains("line 1, column ") && said.lines().count() == 1 && said.len() < 1000, "{said}");
    }
}

#[test]
fn other_data_than_that_of_the_checkpoint_is_refused() {
    let place = Workplace::new();
    assert_eq!(place.call("run", &["--quiet"]).0, 0);
    fs::remove_dir_all(place.path("run/step-000006")).unwrap();
    let records: Vec<Value> = (1..10).map(record).collect();
    place.write("data.json", &Value::from(records).to_string());
    let (status, _, said) = place.call("run", &["--quiet"]);
    assert_eq!(status, 1);
    assert!(said.contains("it belongs to another run: its data is "), "{said}");
}

#[test]
fn bad_records_are_left_out_and_listed_up_to_a_limit() {
    let place = Workplace::new();
    let mut records: Vec<Value> = (0..9).map(record).collect();
    records[0]["image"] = "no such.png".into();
    records[1]["conversations"][0]["from"] = "robot".into();
    // Found only when they are decoded.
    for id in [3, 6, 7] {
        records[id]["image"] = "NOTICE.png".into();
    }
    let images = place.path("pictures");
    fs::create_dir(&images).unwrap();
    for name in ["rocket.png", "butterfly.png"] {
        fs::copy(Path::new(ASSETS).join("pictures").join(name), images.join(name)).unwrap();
    }
    fs::write(images.join("NOTICE.png"), "no picture").unwrap();
    place.write("data.json", &Value::from(records).to_string());
    let recipe = place.recipe().replace(&format!("{ASSETS}/pictures"), &images.display().to_string());
    place.write("recipe.toml", &recipe);

    let (status, _, said) = place.call("run", &[]);
    assert_eq!(status, 1);
    assert!(
        said.contains("2 records cannot be used, 0 may") && said.contains("unknown role `robot`"),
        "{said}"
    );
    let listed = || fs::read_to_string(place.path("run/bad-records.jsonl")).unwrap();
    assert_eq!(listed().lines().count(), 2, "the list is there although the run is refused");
    let (status, _, said) = place.call("run", &["--set", "data.max_bad_records=2"]);
    assert_eq!(status, 1);
    assert!(said.contains("3 records cannot be used, 2 may") && said.contains("NOTICE.png"), "{said}");
    // However often they are met.
    let (status, _, said) = place.call("run", &["--set", "data.max_bad_records=3"]);
    assert_eq!(status, 0, "{said}");
    assert_eq!(listed().lines().count(), 2);
    assert!(fs::read_to_string(place.path("run/report.html")).unwrap().contains("NOTICE.png"));

    let (status, printed, _) = place.call("check-data", &["--json"]);
    assert_eq!(status, 1);
    let survey: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(survey["sources"][0]["records"], 7);
    assert_eq!(survey["sources"][0]["bad"]["missing picture"], 1);
    assert_eq!(survey["sources"][0]["unusable"][0]["id"], "3");
    let (status, printed, _) = place.call("check-data", &["--set", "data.max_bad_records=5"]);
    assert_eq!(status, 0);
    assert!(printed.contains("records    7, 4 with a picture, 7 answers"), "{printed}");
}

#[test]
fn bench_measures_a_step() {
    let mut process = Command::cargo_bin("parrot-train").unwrap();
    process.args([
        "bench",
        "--device",
        "cpu",
        "--steps",
        "1",
        "--micro-batches",
        "1",
        "--json",
        "--tokens",
        "8",
    ]);
    let output = process.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let measured: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(measured["samples_per_step"], 8);
    assert!(measured["flop_per_second"].as_f64().unwrap() > 0.0);
}

#[test]
fn every_recipe_is_planned_without_the_models_and_data_that_it_needs() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes");
    // Nothing that earlier stages left is here. The recipe to try goes on with the default model.
    let clone = tempfile::tempdir().unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(ASSETS, clone.path().join("assets")).unwrap();
    let plan = |name: &str| {
        let mut process = Command::cargo_bin("parrot-train").unwrap();
        process.current_dir(clone.path()).arg("plan").arg(folder.join(name));
        let output = process.output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let stage1 = plan("parrot-7b-stage1.toml");
    for part in ["projector            20 979 712      yes", "1 215 128 an epoch", "4 746 of 32 × 8 samples"]
    {
        assert!(stage1.contains(part), "{part} is missing:\n{stage1}");
    }
    let stage2 = plan("parrot-7b-stage2.toml");
    assert!(stage2.contains("793 298 an epoch, as the recipe says"), "{stage2}");
    let names = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    for name in names {
        plan(&name);
    }
}
