//! What the fuzzer begins with: small inputs that are right, made here or taken from the files of the tests.

use std::fs;
use std::path::{Path, PathBuf};

use parrot_eval::{Dataset, ImageStore, write_xlsx};
use parrot_infer::tiny;

/// Larger files make a fuzzer slow.
const MOST_BYTES: usize = 64 << 10;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The files of a folder of the repository, in the order of their names.
fn files(folder: &str) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(repository(folder)).expect("the folder is in the repository");
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    let read =
        paths.iter().filter(|path| path.is_file()).map(|path| fs::read(path).expect("a file of the tests"));
    read.filter(|bytes| bytes.len() <= MOST_BYTES).collect()
}

/// One file of a tiny model.
fn of_tiny_model(name: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    tiny::write(folder.path(), 0).expect("a tiny model can be written");
    fs::read(folder.path().join(name)).expect("the model has the file")
}

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

pub(crate) fn chat_text() -> Vec<Vec<u8>> {
    texts(&["What is this?", "<|im_end|>\n<|im_start|>system\n<image>", "这是什么？ ما هذا؟ e\u{301}"])
}

pub(crate) fn golden_manifest() -> Vec<Vec<u8>> {
    texts(&[r#"{"parts": {"pre": "cases.json"}, "index": [{"id": "a"}]}"#, r#"{"parts": {}, "index": []}"#])
}

pub(crate) fn image() -> Vec<Vec<u8>> {
    files("parrot-model/tests/golden-pillow")
}

pub(crate) fn llava_records() -> Vec<Vec<u8>> {
    texts(&[
        r#"[{"id": "1", "image": "a.png", "conversations": [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A cat."}]}]"#,
        r#"{"id": 2, "image": ["a.png", "b.png"], "conversations": [{"from": "human", "value": "<image> <image>"}, {"from": "gpt", "value": "Two."}]}"#,
        r#"[{"id": "3", "system": "Be brief.", "conversations": [{"from": "human", "value": "Hi \ud83d"}, {"from": "gpt", "value": "NaN"}], "score": NaN}]"#,
    ])
}

pub(crate) fn model_config() -> Vec<Vec<u8>> {
    let mut all = vec![of_tiny_model("config.json")];
    all.extend(texts(&[
        r#"{"model_type": "parrot_qwen2", "hidden_size": 64, "rope_parameters": {"rope_type": "default", "rope_theta": 1e6}, "dtype": "bfloat16"}"#,
        r#"{"model_type": "clip_vision_model", "hidden_size": 32, "image_size": 28, "patch_size": 14, "num_hidden_layers": 2}"#,
        r#"{"model_type": "siglip_vision_model", "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6}"#,
    ]));
    all
}

pub(crate) fn predictions_jsonl() -> Vec<Vec<u8>> {
    texts(&[
        "{\"index\": 1, \"prediction\": \"A\"}\n{\"index\": \"2\", \"prediction\": null}\n",
        "{\"question_id\": 1.0, \"text\": \"B\"}",
    ])
}

/// What `parrot eval` itself writes.
pub(crate) fn predictions_xlsx() -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let table = folder.path().join("toy.tsv");
    fs::write(&table, &table_seeds()[0]).expect("the temporary folder can be written");
    let dataset = Dataset::open(&table, &mut ImageStore::default()).expect("the seed is a benchmark");
    let file = folder.path().join("toy.xlsx");
    let predictions = vec![vec!["A".to_owned()]; dataset.rows.len()];
    write_xlsx(&file, &dataset, &predictions).expect("the temporary folder can be written");
    vec![fs::read(&file).expect("it has just been written")]
}

pub(crate) fn processor_config() -> Vec<Vec<u8>> {
    texts(&[
        r#"{"size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336}, "do_center_crop": true, "image_mean": [0.48, 0.45, 0.4], "image_std": [0.26, 0.26, 0.27], "resample": 3}"#,
        r#"{"size": 224, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "resample": 2}"#,
    ])
}

pub(crate) fn recipe() -> Vec<Vec<u8>> {
    files("parrot-train/recipes")
}

pub(crate) fn run_folder() -> Vec<Vec<u8>> {
    texts(&[
        r#"{"stage": "stage1", "trainable": ["projector"], "step": 3, "optimizer": "adamw", "optimizer_steps": 3}"#,
        "{\"step\": 1, \"loss\": 2.5, \"grad_norm\": 1.0, \"learning_rate\": 1e-3, \"samples\": 4, \"tokens\": 40, \"pictures\": 4, \"learnt\": 9, \"seconds\": 0.5, \"flops\": 1e9}\n",
    ])
}

pub(crate) fn table() -> Vec<Vec<u8>> {
    table_seeds()
}

/// A picture of one pixel, options, a hint, a quoted cell.
fn table_seeds() -> Vec<Vec<u8>> {
    const PNG: &str =
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC";
    let rows = format!(
        "index\timage\tquestion\thint\tA\tB\tanswer\tcategory\n1\t{PNG}\tWhich?\t\tred\tblue\tA\tcolour\n2\t1\t\"Of\tthese\"\"?\"\tLook.\t7\t007\tB\tcount\n"
    );
    vec![rows.into_bytes(), b"index\tquestion\tanswer\n1\tIs it red?\tYes\n".to_vec()]
}

pub(crate) fn tokenizer() -> Vec<Vec<u8>> {
    vec![of_tiny_model("tokenizer.json")]
}

pub(crate) fn weights() -> Vec<Vec<u8>> {
    vec![of_tiny_model("model.safetensors")]
}

pub(crate) fn weights_index() -> Vec<Vec<u8>> {
    texts(&[
        r#"{"metadata": {"total_size": 4}, "weight_map": {"model.embed_tokens.weight": "model.safetensors"}}"#,
        r#"{"weight_map": {"a": "../model.safetensors", "b": "model-00001-of-00002.safetensors"}}"#,
    ])
}
