//! A text model in one of llama.cpp's files.

use std::fs;

use serde_json::Value;

use crate::answers::{file, text_of};
use crate::common::{error, output, parrot};

/// The types of ggml that the tests' tensors have, and the bytes of 32 numbers.
const F32: (u32, usize) = (0, 128);
const Q8_0: (u32, usize) = (8, 34);

/// Qwen 2 with one layer, all of its weights zero.
fn qwen2() -> Vec<u8> {
    qwen2_with(&[])
}

/// [`qwen2`] with these texts besides.
fn qwen2_with(texts: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
    let number = |value: u32| [4_u32.to_le_bytes(), value.to_le_bytes()].concat();
    let texts = texts.iter().map(|(key, value)| (*key, [&8_u32.to_le_bytes()[..], &text(value)].concat()));
    let metadata = [
        ("general.architecture", [&8_u32.to_le_bytes()[..], &text("qwen2")].concat()),
        ("qwen2.block_count", number(1)),
        ("qwen2.context_length", number(64)),
        ("qwen2.embedding_length", number(32)),
        ("qwen2.feed_forward_length", number(64)),
        ("qwen2.attention.head_count", number(4)),
        ("qwen2.attention.head_count_kv", number(2)),
        ("qwen2.attention.layer_norm_rms_epsilon", [6_u32.to_le_bytes(), 1e-6_f32.to_le_bytes()].concat()),
    ];
    let tensors: [(&str, &[u64], (u32, usize)); 14] = [
        ("token_embd.weight", &[32, 300], Q8_0),
        ("output_norm.weight", &[32], F32),
        ("blk.0.attn_norm.weight", &[32], F32),
        ("blk.0.attn_q.weight", &[32, 32], Q8_0),
        ("blk.0.attn_q.bias", &[32], F32),
        ("blk.0.attn_k.weight", &[32, 16], Q8_0),
        ("blk.0.attn_k.bias", &[16], F32),
        ("blk.0.attn_v.weight", &[32, 16], Q8_0),
        ("blk.0.attn_v.bias", &[16], F32),
        ("blk.0.attn_output.weight", &[32, 32], Q8_0),
        ("blk.0.ffn_norm.weight", &[32], F32),
        ("blk.0.ffn_gate.weight", &[32, 64], Q8_0),
        ("blk.0.ffn_up.weight", &[32, 64], Q8_0),
        ("blk.0.ffn_down.weight", &[64, 32], Q8_0),
    ];
    let mut header = b"GGUF\x03\0\0\0".to_vec();
    header.extend((tensors.len() as u64).to_le_bytes());
    header.extend(((metadata.len() + texts.len()) as u64).to_le_bytes());
    for (key, value) in metadata.into_iter().chain(texts) {
        header.extend([text(key), value].concat());
    }
    let mut bytes = 0_usize;
    for (name, dims, (kind, of_block)) in tensors {
        header.extend(text(name));
        header.extend((dims.len() as u32).to_le_bytes());
        header.extend(dims.iter().flat_map(|dim| dim.to_le_bytes()));
        header.extend(kind.to_le_bytes());
        header.extend((bytes as u64).to_le_bytes());
        bytes += (dims.iter().product::<u64>() as usize * of_block / 32).next_multiple_of(32);
    }
    header.resize(header.len().next_multiple_of(32) + bytes, 0);
    header
}

/// `inspect` said that there was no such folder.
#[test]
fn inspect_describes_a_gguf_as_the_text_model_that_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    fs::write(&path, qwen2()).unwrap();
    let without = error(parrot(&["inspect", text_of(&path)]));
    assert!(without.starts_with("cannot inspect ") && without.contains("tokenizer.json beside"), "{without}");
    fs::copy(file("model").join("tokenizer.json"), folder.path().join("tokenizer.json")).unwrap();

    let (stdout, _) = output(parrot(&["inspect", text_of(&path)]));
    for expected in [
        "tiny.gguf\n  file             GGUF, ",
        "; tensors: 6 in f32, 8 in q8_0\n",
        "\n  kind             text model (qwen2)",
        "1 layers of 32, 4 heads (2 for keys and values), context of 64 tokens",
        "300 (259 of them used)",
    ] {
        assert!(stdout.contains(expected), "{expected}: {stdout}");
    }
    let (json, _) = output(parrot(&["inspect", text_of(&path), "--json"]));
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["file"]["tensors"]["q8_0"], 8);
    assert_eq!(json["weights"], "complete");
    assert_eq!(json["config"]["model_type"], "qwen2");
    assert_eq!(json["parameters"]["language_model"], json["total_parameters"]);
    assert_eq!((&json["vision_tower"], &json["picture_tokens"]), (&Value::Null, &Value::Null));

    let pointer = folder.path().join("pointer.gguf");
    fs::write(&pointer, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n").unwrap();
    assert!(error(parrot(&["inspect", text_of(&pointer)])).contains("Git LFS pointer"));

    for command in [&["quantize", "--to", "q8", "--out", "out"][..], &["bench", "--model"]] {
        let refused = error(parrot(&[command, &[text_of(&path)]].concat()));
        assert!(
            refused.contains("is a GGUF, which holds a text model; this needs a Parrot's folder"),
            "{refused}"
        );
    }
}

/// It was asked in ChatML without a word about that.
#[test]
fn a_gguf_without_a_chat_template_is_asked_as_its_tokens_suggest_which_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    fs::copy(file("model").join("tokenizer.json"), folder.path().join("tokenizer.json")).unwrap();
    let chat = || {
        let mut command = parrot(&["chat", "--model", text_of(&path), "--max-new-tokens", "2"]);
        command.write_stdin("Who?\n");
        command
    };
    fs::write(&path, qwen2()).unwrap();
    let note = "note: the model has no chat template: it is asked in ChatML, as its tokens suggest\n";
    assert_eq!(output(chat()).1, note);
    let template = "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}\
                    {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
    fs::write(&path, qwen2_with(&[("tokenizer.chat_template", template)])).unwrap();
    assert_eq!(output(chat()).1, "");
    fs::write(&path, qwen2_with(&[("tokenizer.chat_template", "{% if")])).unwrap();
    let (asked, inspected) = (error(chat()), error(parrot(&["inspect", text_of(&path)])));
    assert!(asked.contains("chat template "), "{asked}");
    assert_eq!(asked.split_once(": ").unwrap().1, inspected.split_once(": ").unwrap().1);
}
