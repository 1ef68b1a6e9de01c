//! The parsers, each from bytes. Where one wants a file, the bytes are written to a folder of the thread's own.

use std::fs;
use std::path::{Path, PathBuf};

use parrot_eval::{Dataset, ImageStore, PredictionFile, Table};
use parrot_infer::burn::tensor::{Device, FloatDType};
use parrot_infer::{device, tiny};
use parrot_model::checkpoint::{Checkpoint, DecoderCheckpoint, Description};
use parrot_model::config::{ParrotConfig, VisionConfig};
use parrot_model::image::{DecodeOptions, ImageProcessorConfig, decode_rgb};
use parrot_model::text::{ChatTemplate, Conversation, Tokenizer};
use parrot_serve::{Interface, check_request};
use parrot_train::recipe::Recipe;
use parrot_verify::Directory;
use tempfile::TempDir;

thread_local! {
    static FOLDER: TempDir = tempfile::tempdir().expect("a temporary folder can be made");
    static CPU: Device = device::open("cpu").expect("the CPU is always there");
    static MODEL: PathBuf = tiny_model();
    static CHAT: (Tokenizer, ChatTemplate) = chat();
}

/// Writes the bytes to a file of this name and hands over its path.
fn with_file<T>(name: &str, bytes: &[u8], read: impl FnOnce(&Path) -> T) -> T {
    FOLDER.with(|folder| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).expect("the temporary folder can be written");
        read(&path)
    })
}

/// The folder of a tiny model, which lives as long as the thread's.
fn tiny_model() -> PathBuf {
    FOLDER.with(|folder| {
        let path = folder.path().join("model");
        tiny::write(&path, 0).expect("a tiny model can be written");
        path
    })
}

fn chat() -> (Tokenizer, ChatTemplate) {
    let file = MODEL.with(|model| model.join("tokenizer.json"));
    let tokenizer = Tokenizer::from_file(&file).expect("the tiny model's tokenizer is one");
    let template = ChatTemplate::chatml(&tokenizer).expect("it has ChatML's tokens");
    (tokenizer, template)
}

/// A question of any text is a prompt: no text becomes a control token, and all of it comes back.
pub(crate) fn chat_text(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    CHAT.with(|(tokenizer, template)| {
        let ids = tokenizer.encode_text(text).expect("all bytes are in the vocabulary");
        let normalised = tokenizer.decode(&ids);
        let again = tokenizer.encode_text(&normalised).expect("all bytes are in the vocabulary");
        assert_eq!(ids, again, "text that has been read and written once stays as it is");
        let mut stream = tokenizer.stream();
        let mut streamed: String = ids.iter().filter_map(|id| stream.push(*id)).collect();
        streamed.extend(stream.finish());
        assert_eq!(streamed, normalised, "streamed text is the whole text");
        let control = |text: &str| {
            let conversation = Conversation::question(text, 0);
            let encoded =
                template.encode_prompt(tokenizer, &conversation, "").expect("a question is a prompt");
            encoded.input_ids.iter().filter(|id| **id >= 256).count()
        };
        assert_eq!(control(text), control("x"), "what a user types is no control token");
    });
}

pub(crate) fn golden_manifest(bytes: &[u8]) {
    with_file("cases.json", bytes, |path| {
        let _ = Directory::open(path.parent().expect("a file is in a folder"));
    });
}

/// A text model in one of llama.cpp's files.
pub(crate) fn gguf(bytes: &[u8]) {
    with_file("model.gguf", bytes, |path| {
        if let Ok(checkpoint) = DecoderCheckpoint::open(path) {
            let _ = checkpoint.load(FloatDType::F32, &CPU.with(Clone::clone));
        }
        if let Ok(tokenizer) = Tokenizer::open(path) {
            let _ = ChatTemplate::open(path, &tokenizer);
        }
    });
}

pub(crate) fn image(bytes: &[u8]) {
    for options in [DecodeOptions::default(), DecodeOptions::reference()] {
        if let Ok(image) = decode_rgb(bytes, "fuzzed", &options) {
            assert!(image.width() > 0 && image.height() > 0, "no picture is empty");
        }
    }
}

pub(crate) fn llava_records(bytes: &[u8]) {
    for name in ["records.json", "records.jsonl"] {
        with_file(name, bytes, |path| {
            let Ok(records) = parrot_train::data::record::read(path, name) else { return };
            for (_, record) in &records.good {
                let problem = record.problem();
                assert!(
                    problem.is_some() || !record.conversation().0.is_empty(),
                    "a record without a fault says something"
                );
            }
        });
    }
}

pub(crate) fn model_config(bytes: &[u8]) {
    with_file("config.json", bytes, |path| {
        if let Ok(config) = ParrotConfig::from_file(path) {
            let _ = config.validate();
        }
        if let Ok(vision) = VisionConfig::from_file(path) {
            let _ = vision.validate();
        }
    });
}

pub(crate) fn ollama_request(bytes: &[u8]) {
    assert_one_line(check_request(Interface::OllamaChat, bytes));
    assert_one_line(check_request(Interface::OllamaGenerate, bytes));
}

pub(crate) fn openai_request(bytes: &[u8]) {
    assert_one_line(check_request(Interface::OpenAi, bytes));
}

/// What a request's sender is told is short and fits a line.
fn assert_one_line(checked: Result<(), String>) {
    if let Err(message) = checked {
        assert!(!message.contains(['\n', '\r']), "{message:?}");
    }
}

pub(crate) fn predictions_jsonl(bytes: &[u8]) {
    let _ = with_file("predictions.jsonl", bytes, PredictionFile::read);
}

pub(crate) fn predictions_xlsx(bytes: &[u8]) {
    let _ = with_file("predictions.xlsx", bytes, PredictionFile::read);
}

/// What can be read can be written, and read again as the same.
pub(crate) fn processor_config(bytes: &[u8]) {
    let Ok(config) =
        with_file("preprocessor_config.json", bytes, |file| ImageProcessorConfig::from_file(file))
    else {
        return;
    };
    let written = serde_json::to_vec(&config).expect("a processor can be written");
    let again: ImageProcessorConfig = serde_json::from_slice(&written).expect("what was written can be read");
    assert_eq!(config, again);
}

pub(crate) fn recipe(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(recipe) = Recipe::parse(text, &[], Path::new("recipe.toml")) {
        let _ = recipe.sources();
    }
}

/// The state of a run, and its metrics.
pub(crate) fn run_folder(bytes: &[u8]) {
    with_file("state.json", bytes, |path| {
        let _ = parrot_train::checkpoint::read_state(path.parent().expect("a file is in a folder"));
    });
    let _ = with_file("metrics.jsonl", bytes, parrot_train::metrics::read);
}

/// A benchmark's file, as a table and as questions.
pub(crate) fn table(bytes: &[u8]) {
    with_file("fuzzed.tsv", bytes, |path| {
        let _ = Table::read(path);
        let _ = Dataset::open(path, &mut ImageStore::default());
    });
}

pub(crate) fn tokenizer(bytes: &[u8]) {
    let Ok(tokenizer) = with_file("tokenizer.json", bytes, |file| Tokenizer::from_file(file)) else { return };
    if let Ok(ids) = tokenizer.encode_text("What is this? 这是什么？ ما هذا؟") {
        let _ = tokenizer.decode(&ids);
    }
    let _ = ChatTemplate::chatml(&tokenizer);
}

/// A tiny model with these weights instead of its own.
pub(crate) fn weights(bytes: &[u8]) {
    load_with("model.safetensors", bytes);
}

/// A tiny model with this list of its files.
pub(crate) fn weights_index(bytes: &[u8]) {
    load_with("model.safetensors.index.json", bytes);
}

fn load_with(name: &str, bytes: &[u8]) {
    let (model, cpu) = (MODEL.with(Clone::clone), CPU.with(Clone::clone));
    let path = model.join(name);
    let own = fs::read(&path).ok();
    fs::write(&path, bytes).expect("the temporary folder can be written");
    let _ = Description::open(&model);
    if let Ok(checkpoint) = Checkpoint::open(&model) {
        let _ = checkpoint.load(FloatDType::F32, &cpu);
    }
    match own {
        Some(own) => fs::write(&path, own).expect("the temporary folder can be written"),
        None => fs::remove_file(&path).expect("the file is there"),
    }
}
