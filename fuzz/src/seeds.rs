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

/// A decoder of one layer, whose weights are all zero, with a tokenizer of five words.
pub(crate) fn gguf() -> Vec<Vec<u8>> {
    const HIDDEN: u64 = 32;
    let string = |text: &str| [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
    let value = |kind: u32, bytes: Vec<u8>| [kind.to_le_bytes().to_vec(), bytes].concat();
    let number = |number: u32| value(4, number.to_le_bytes().to_vec());
    let text = |text: &str| value(8, string(text));
    let texts = |all: &[&str]| {
        let all: Vec<Vec<u8>> = all.iter().map(|text| string(text)).collect();
        let count = (all.len() as u64).to_le_bytes();
        value(9, [8_u32.to_le_bytes().to_vec(), count.to_vec(), all.concat()].concat())
    };
    let kinds: Vec<u8> = [1, 1, 1, 3, 3].iter().flat_map(|kind: &i32| kind.to_le_bytes()).collect();
    let metadata = [
        ("general.architecture", text("qwen2")),
        ("qwen2.block_count", number(1)),
        ("qwen2.context_length", number(64)),
        ("qwen2.embedding_length", number(HIDDEN as u32)),
        ("qwen2.feed_forward_length", number(HIDDEN as u32)),
        ("qwen2.attention.head_count", number(2)),
        ("qwen2.attention.layer_norm_rms_epsilon", value(6, 1e-6_f32.to_le_bytes().to_vec())),
        ("tokenizer.ggml.model", text("gpt2")),
        ("tokenizer.ggml.pre", text("qwen2")),
        ("tokenizer.ggml.tokens", texts(&["a", "b", "ab", "<|im_start|>", "<|im_end|>"])),
        (
            "tokenizer.ggml.token_type",
            value(9, [&5_u32.to_le_bytes()[..], &5_u64.to_le_bytes(), &kinds].concat()),
        ),
        ("tokenizer.ggml.merges", texts(&["a b"])),
        ("tokenizer.ggml.eos_token_id", number(4)),
    ];
    // Types of ggml: f32, and q8_0, whose block of 32 numbers has 34 bytes.
    let (vector, matrix) = ((0_u32, vec![HIDDEN], 4 * HIDDEN), (8, vec![HIDDEN, HIDDEN], 34 * HIDDEN));
    let mut tensors = vec![
        ("token_embd.weight".to_owned(), (8, vec![HIDDEN, 5], 34 * 5)),
        ("output_norm.weight".into(), vector.clone()),
    ];
    for part in ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"] {
        tensors.push((format!("blk.0.{part}.weight"), matrix.clone()));
    }
    for part in ["attn_norm.weight", "ffn_norm.weight", "attn_q.bias", "attn_k.bias", "attn_v.bias"] {
        tensors.push((format!("blk.0.{part}"), vector.clone()));
    }
    let mut file = b"GGUF\x03\0\0\0".to_vec();
    file.extend((tensors.len() as u64).to_le_bytes());
    file.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata {
        file.extend(string(key));
        file.extend(value);
    }
    let mut end = 0_u64;
    for (name, (kind, dims, bytes)) in tensors {
        file.extend(string(&name));
        file.extend((dims.len() as u32).to_le_bytes());
        file.extend(dims.iter().flat_map(|dim| dim.to_le_bytes()));
        file.extend(kind.to_le_bytes());
        file.extend(end.to_le_bytes());
        end = (end + bytes).next_multiple_of(32);
    }
    file.resize(file.len().next_multiple_of(32) + end as usize, 0);
    vec![file]
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

pub(crate) fn ollama_request() -> Vec<Vec<u8>> {
    texts(&[
        r#"{"model": "m:latest", "messages": [{"role": "user", "content": "?", "images": ["YQ=="]}], "stream": false, "format": "json", "keep_alive": "5m", "options": {"temperature": 0.5, "num_predict": -1, "stop": ["a"]}}"#,
        r#"{"prompt": "?", "system": "s", "images": ["YQ"], "format": {"type": "object"}, "think": false}"#,
    ])
}

pub(crate) fn openai_request() -> Vec<Vec<u8>> {
    texts(&[
        r#"{"model": "m", "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": [{"type": "text", "text": "?"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,YQ==", "detail": "low"}}]}], "stream": true, "stream_options": {"include_usage": true}, "temperature": 0.5, "stop": ["a", "b"], "logit_bias": {"7": -100}, "n": 2}"#,
        r#"{"messages": [{"role": "user", "content": "?"}], "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"enum": [1]}}}, "logprobs": true, "top_logprobs": 2}"#,
        r#"{"messages": [{"role": "user", "content": "?"}], "guided_choice": ["a", "b"], "tools": [], "user": null}"#,
    ])
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
