//! Decoders in llama.cpp's files, which these tests write: from the folders that hold what transformers computes, and broken.

mod writer;

use std::fs;
use std::path::{Path, PathBuf};

use burn::prelude::*;
use burn::tensor::FloatDType;
use half::f16;
use parrot_model::checkpoint::{DecoderCheckpoint, DecoderDescription, Weights, load_module, names, resolve};
use parrot_model::config::TokenIds;
use parrot_model::language::{Decoder, DecoderInput};
use parrot_model::text::{ChatTemplate, Conversation, Tokenizer};
use serde_json::Value;

use writer::{F16, F32, Gguf};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden-decoders").join(name)
}

/// The names that llama.cpp gives, and their order of rows.
fn of_golden(name: &str) -> Gguf {
    let config: Value = serde_json::from_slice(&fs::read(golden(name).join("config.json")).unwrap()).unwrap();
    let number = |key: &str| config[key].as_u64().unwrap();
    let architecture = config["model_type"].as_str().unwrap();
    let architecture = if architecture == "mistral" { "llama" } else { architecture };
    let mut gguf = Gguf::default();
    gguf.text("general.architecture", architecture);
    for (key, value) in [
        ("block_count", "num_hidden_layers"),
        ("context_length", "max_position_embeddings"),
        ("embedding_length", "hidden_size"),
        ("feed_forward_length", "intermediate_size"),
        ("attention.head_count", "num_attention_heads"),
        ("attention.head_count_kv", "num_key_value_heads"),
    ] {
        gguf.number(&format!("{architecture}.{key}"), number(value));
    }
    if config["head_dim"].is_u64() {
        gguf.number(&format!("{architecture}.attention.key_length"), number("head_dim"));
        gguf.number(&format!("{architecture}.attention.value_length"), number("head_dim"));
    }
    gguf.float(
        &format!("{architecture}.rope.freq_base"),
        config["rope_parameters"]["rope_theta"].as_f64().unwrap(),
    );
    gguf.float(
        &format!("{architecture}.attention.layer_norm_rms_epsilon"),
        config["rms_norm_eps"].as_f64().unwrap(),
    );
    gguf.number("tokenizer.ggml.bos_token_id", 1);
    gguf.number("tokenizer.ggml.eos_token_id", 2);

    let weights = Weights::from_folder(golden(name)).unwrap();
    for name in weights.names() {
        let stored = weights.get(name).unwrap();
        let parts: Vec<&str> = name.trim_start_matches("model.").split('.').collect();
        let renamed = match parts[..] {
            ["embed_tokens", leaf] => format!("token_embd.{leaf}"),
            ["norm", leaf] => format!("output_norm.{leaf}"),
            ["lm_head", leaf] => format!("output.{leaf}"),
            ["layers", layer, .., part, leaf] => {
                let part = match part {
                    "input_layernorm" => "attn_norm",
                    "post_attention_layernorm" => "ffn_norm",
                    "q_proj" => "attn_q",
                    "k_proj" => "attn_k",
                    "v_proj" => "attn_v",
                    "o_proj" => "attn_output",
                    "q_norm" => "attn_q_norm",
                    "k_norm" => "attn_k_norm",
                    "gate_proj" => "ffn_gate",
                    "up_proj" => "ffn_up",
                    "down_proj" => "ffn_down",
                    other => panic!("{other}"),
                };
                format!("blk.{layer}.{part}.{leaf}")
            }
            _ => panic!("{name}"),
        };
        let heads = match renamed.split('.').nth(2) {
            Some("attn_q") if architecture == "llama" => number("num_attention_heads"),
            Some("attn_k") if architecture == "llama" => number("num_key_value_heads"),
            _ => 0,
        };
        let bytes = if heads == 0 {
            stored.bytes.to_vec()
        } else {
            paired(stored.bytes, stored.shape[0], heads as usize)
        };
        let dims = stored.shape.iter().rev().map(|dim| *dim as u64).collect();
        gguf.tensors.push((renamed, dims, F32, bytes));
    }
    gguf
}

/// Rows half a head apart, side by side.
fn paired(bytes: &[u8], rows: usize, heads: usize) -> Vec<u8> {
    let (size, row_bytes) = (rows / heads, bytes.len() / rows);
    let row = |head: usize, within: usize| &bytes[(head * size + within) * row_bytes..][..row_bytes];
    let order =
        (0..heads).flat_map(|head| (0..size / 2).flat_map(move |at| [(head, at), (head, at + size / 2)]));
    order.flat_map(|(head, within)| row(head, within).to_vec()).collect()
}

/// The largest difference from the logits that transformers computes.
fn difference(gguf: &Gguf, name: &str, dtype: FloatDType) -> f32 {
    let file = gguf.write();
    let decoder = DecoderCheckpoint::open(file.path()).unwrap().load(dtype, &Device::default()).unwrap();
    let expected = Weights::from_file(golden(name).join("expected.safetensors")).unwrap();
    let ids = expected.get("input_ids").unwrap().bytes.as_chunks::<8>().0.iter();
    let ids: Vec<i64> = ids.map(|bytes| i64::from_le_bytes(*bytes)).collect();
    let embeds = decoder.embed(Tensor::<1, Int>::from_data(&ids[..], &Device::default())).unsqueeze();
    let logits = decoder.logits(decoder.forward(DecoderInput::unpadded(embeds), None)).into_data();
    let expected = expected.get("logits").unwrap().bytes.as_chunks::<4>().0.iter();
    let found = logits.try_to_vec::<f32>().unwrap();
    let pairs = found.into_iter().zip(expected.map(|bytes| f32::from_le_bytes(*bytes)));
    pairs.map(|(found, expected)| (found - expected).abs()).fold(0.0, f32::max)
}

#[test]
fn logits_are_those_of_transformers() {
    for name in ["qwen2", "qwen3", "llama", "smollm2", "mistral-full"] {
        let difference = difference(&of_golden(name), name, FloatDType::F32);
        assert!(difference < 1e-4, "{name}: {difference}");
    }
}

#[test]
fn numbers_of_two_bytes_are_read() {
    for name in ["qwen2", "llama"] {
        let mut gguf = of_golden(name);
        for (.., kind, bytes) in gguf.tensors.iter_mut().filter(|(_, dims, ..)| dims.len() == 2) {
            let floats =
                bytes.as_chunks::<4>().0.iter().map(|bytes| f16::from_f32(f32::from_le_bytes(*bytes)));
            (*kind, *bytes) = (F16, floats.flat_map(|value| value.to_le_bytes()).collect());
        }
        for dtype in [FloatDType::F32, FloatDType::F16] {
            let difference = difference(&gguf, name, dtype);
            assert!((1e-5..0.1).contains(&difference), "{name} {dtype:?}: {difference}");
        }
    }
}

#[test]
fn the_file_says_what_a_config_would() {
    let file = of_golden("smollm2").write();
    assert!(DecoderDescription::is_in(file.path()).unwrap());
    let found = DecoderDescription::open(file.path()).unwrap();
    let expected = DecoderDescription::open(golden("smollm2")).unwrap();
    let config = parrot_model::config::DecoderConfig {
        attention_bias: expected.config.attention_bias,
        initializer_range: expected.config.initializer_range,
        ..found.config
    };
    assert_eq!(config, expected.config);
    assert_eq!((found.bos_token_id, found.eos_token_id), (Some(1), Some(TokenIds::Several(vec![2]))));
    assert!(found.unknown_keys.is_empty(), "{:?}", found.unknown_keys);
    assert_eq!(resolve(file.path().to_str().unwrap()).unwrap(), file.path());
}

/// What Llama 3.1 and 3.2 divide their frequencies by.
fn llama3_factors(factor: f64, theta: f64, count: usize) -> Vec<f32> {
    let factors = (0..count).map(|at| {
        let wavelength = 2.0 * std::f64::consts::PI * theta.powf(at as f64 / count as f64);
        if wavelength < 8192.0 / 4.0 {
            1.0
        } else if wavelength > 8192.0 {
            factor
        } else {
            let smooth = (8192.0 / wavelength - 1.0) / 3.0;
            1.0 / ((1.0 - smooth) / factor + smooth)
        }
    });
    factors.map(|value| value as f32).collect()
}

#[test]
fn llama_3_1_is_told_by_its_factors() {
    let mut gguf = of_golden("smollm2");
    let mut factors = llama3_factors(32.0, 500_000.0, 32);
    gguf.float("llama.rope.freq_base", 500_000.0);
    let tensor = |factors: &[f32]| {
        let bytes = factors.iter().flat_map(|value| value.to_le_bytes()).collect();
        ("rope_freqs.weight".into(), vec![factors.len() as u64], F32, bytes)
    };
    gguf.tensors.push(tensor(&factors));
    let file = gguf.write();
    let scaling = DecoderDescription::open(file.path()).unwrap().config.rope_scaling.unwrap();
    let expected = parrot_model::config::RopeScaling::Llama3 {
        factor: 32.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 8192,
    };
    assert_eq!(scaling, expected);
    factors[20] *= 1.1;
    *gguf.tensors.last_mut().unwrap() = tensor(&factors);
    let error = DecoderDescription::open(gguf.write().path()).unwrap_err().to_string();
    assert!(error.contains("otherwise than Llama 3.1"), "{error}");
}

/// A tokenizer's folder as metadata.
fn with_tokenizer(name: &str, pre: &str) -> (Gguf, PathBuf) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/chat-templates").join(name);
    let read =
        |file: &str| -> Value { serde_json::from_slice(&fs::read(folder.join(file)).unwrap()).unwrap() };
    let (tokenizer, config) = (read("tokenizer.json"), read("tokenizer_config.json"));
    let mut tokens = std::collections::BTreeMap::new();
    for (word, id) in tokenizer["model"]["vocab"].as_object().unwrap() {
        tokens.insert(id.as_u64().unwrap(), (word.clone(), 1));
    }
    for token in tokenizer["added_tokens"].as_array().unwrap() {
        let kind = if token["special"] == true { 3 } else { 4 };
        tokens.insert(token["id"].as_u64().unwrap(), (token["content"].as_str().unwrap().into(), kind));
    }
    // The embedding table is larger.
    let count = tokens.len() as u64;
    tokens.extend((count..count + 5).map(|id| (id, (format!("[PAD{id}]"), 5))));
    let (words, kinds): (Vec<String>, Vec<i32>) = tokens.into_values().unzip();
    let mut gguf = Gguf::default();
    gguf.text("tokenizer.ggml.model", "gpt2");
    gguf.text("tokenizer.ggml.pre", pre);
    for special in ["bos", "eos"] {
        let token = &config[format!("{special}_token")];
        let token = token.as_str().or_else(|| token["content"].as_str());
        if let Some(id) = token.and_then(|token| words.iter().position(|word| word == token)) {
            gguf.number(&format!("tokenizer.ggml.{special}_token_id"), id as u64);
        }
    }
    gguf.texts("tokenizer.ggml.tokens", &words);
    gguf.numbers("tokenizer.ggml.token_type", &kinds);
    let merges = tokenizer["model"]["merges"].as_array().unwrap().iter().map(|merge| match merge {
        Value::String(line) => line.clone(),
        pair => format!("{} {}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap()),
    });
    gguf.texts("tokenizer.ggml.merges", &merges.collect::<Vec<_>>());
    if let Some(template) = config["chat_template"].as_str() {
        gguf.text("tokenizer.chat_template", template);
    }
    (gguf, folder)
}

#[test]
fn prompts_are_those_of_the_folder() {
    for (name, pre) in
        [("qwen2.5", "qwen2"), ("qwen3", "qwen2"), ("llama3", "llama-bpe"), ("smollm2", "smollm")]
    {
        let (gguf, folder) = with_tokenizer(name, pre);
        let file = gguf.write();
        let (ours, theirs) = (Tokenizer::open(file.path()).unwrap(), Tokenizer::open(&folder).unwrap());
        assert_eq!(ours.vocab_size(), theirs.vocab_size(), "{name}");
        let templates =
            [ChatTemplate::open(file.path(), &ours).unwrap(), ChatTemplate::open(&folder, &theirs).unwrap()];
        assert_eq!(templates[0].end_of_turn(), templates[1].end_of_turn());
        for text in [
            "What's this? It isn't 12345 ÷ 67.",
            "  two  spaces\n\n\tand a tab\r\n",
            "这是什么？ ما هذا؟ Qu'est-ce ? e\u{301} 🦜",
            "<|im_end|> <|eot_id|> <think>",
        ] {
            assert_eq!(ours.encode_text(text).unwrap(), theirs.encode_text(text).unwrap(), "{name} {text:?}");
            let conversation = Conversation::question(text, 0);
            let [ours, theirs] =
                [(&templates[0], &ours), (&templates[1], &theirs)].map(|(template, tokenizer)| {
                    template.encode_prompt(tokenizer, &conversation, "").unwrap().input_ids
                });
            assert_eq!(ours, theirs, "{name} {text:?}");
        }
    }
}

#[test]
fn a_tokenizer_that_is_not_read_may_lie_beside() {
    for (key, value, expected) in [
        ("tokenizer.ggml.model", "llama", "has a tokenizer of the kind `llama`"),
        ("tokenizer.ggml.pre", "tekken", "tells words apart in the way `tekken`"),
    ] {
        let (mut gguf, source) = with_tokenizer("qwen2.5", "qwen2");
        gguf.text(key, value);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.gguf");
        fs::write(&path, gguf.bytes()).unwrap();
        let error = Tokenizer::open(&path).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("tokenizer.json beside"), "{error}");
        fs::copy(source.join("tokenizer.json"), folder.path().join("tokenizer.json")).unwrap();
        assert_eq!(Tokenizer::open(&path).unwrap().vocab_size(), 379);
    }
}

fn error(gguf: &Gguf) -> String {
    let file = gguf.write();
    let found = DecoderCheckpoint::open(file.path())
        .and_then(|opened| opened.load(FloatDType::F32, &Device::default()));
    let error = found.unwrap_err().to_string();
    assert_eq!(error.lines().count(), 1, "{error}");
    error
}

#[test]
fn what_is_not_supported_is_named() {
    let base = of_golden("qwen2");
    let with = |edit: &dyn Fn(&mut Gguf)| {
        let mut gguf = base.clone();
        edit(&mut gguf);
        error(&gguf)
    };
    for (found, expected) in [
        (
            with(&|gguf| gguf.text("general.architecture", "gemma3")),
            "is of the architecture `gemma3`; qwen2, qwen3, llama",
        ),
        (with(&|gguf| gguf.metadata.clear()), "does not say its general.architecture"),
        (with(&|gguf| gguf.number("qwen2.expert_count", 8)), "has 8 experts"),
        (with(&|gguf| gguf.text("general.type", "mmproj")), "is of the type `mmproj`"),
        (
            with(&|gguf| gguf.bool("qwen2.attention.causal", false)),
            "has `qwen2.attention.causal` = false; no other than true is supported",
        ),
        (
            with(&|gguf| gguf.float("qwen2.final_logit_softcapping", 30.0)),
            "has `qwen2.final_logit_softcapping` = 30; no other than 0 is supported",
        ),
        (with(&|gguf| gguf.float("qwen2.attn_logit_softcapping", 50.0)), "attn_logit_softcapping` = 50"),
        (
            with(&|gguf| gguf.float("qwen2.logit_scale", 2.0)),
            "has `qwen2.logit_scale` = 2; no other than 1 is supported",
        ),
        (with(&|gguf| gguf.float("qwen2.embedding_scale", 12.0)), "`qwen2.embedding_scale` = 12"),
        (with(&|gguf| gguf.text("qwen2.residual_scale", "1")), "`qwen2.residual_scale` = a text"),
        (with(&|gguf| gguf.number("qwen2.pooling_type", 1)), "`qwen2.pooling_type` = 1"),
        (with(&|gguf| gguf.number("split.count", 3)), "is one of 3 files"),
        (with(&|gguf| gguf.text("qwen2.rope.scaling.type", "yarn")), "in the way `yarn`"),
        (with(&|gguf| gguf.float("qwen2.rope.scaling.factor", 4.0)), "in the way `linear`"),
        (with(&|gguf| gguf.float("qwen2.rope.scale_linear", 2.0)), "in the way `linear`"),
        (
            with(&|gguf| gguf.text("qwen2.block_count", "2")),
            "should have a number as `qwen2.block_count`, found a text",
        ),
        (
            with(&|gguf| gguf.numbers("qwen2.attention.head_count", &[4, 4])),
            "should have a number as `qwen2.attention.head_count`, found a list of 2 integers",
        ),
        (
            with(&|gguf| gguf.metadata.retain(|(key, _)| !key.ends_with("block_count"))),
            "lacks `qwen2.block_count`",
        ),
        (with(&|gguf| gguf.number("qwen2.block_count", 1 << 31)), "`qwen2.block_count` should be"),
        (with(&|gguf| gguf.number("qwen2.embedding_length", 0)), "`qwen2.embedding_length` should be"),
        (
            with(&|gguf| gguf.number("qwen2.attention.value_length", 7)),
            "should have attention.value_length = 6",
        ),
        (with(&|gguf| gguf.tensors[0].2 = 10), "is of ggml's type 10"),
        (with(&|gguf| gguf.tensors[0].2 = 12), "does not lie in a file of"),
        (with(&|gguf| gguf.tensors[0].1 = vec![24, 1 << 62]), "does not lie in a file of"),
        (
            with(&|gguf| gguf.tensors.retain(|(name, ..)| !name.contains("ffn_up"))),
            "`blk.0.ffn_up.weight` (model.layers.0.mlp.up_proj.weight) [40, 24] is missing",
        ),
        (
            with(&|gguf| gguf.tensor("blk.0.ffn_up.weight").1.reverse()),
            "`blk.0.ffn_up.weight` (model.layers.0.mlp.up_proj.weight) should be [40, 24], found [24, 40]",
        ),
        (
            with(&|gguf| gguf.tensors.push(("vision.weight".into(), vec![1], F32, vec![0; 4]))),
            "`vision.weight` is unexpected",
        ),
        (with(&|gguf| gguf.tensors.push(gguf.tensors[0].clone())), "twice"),
        (
            with(&|gguf| gguf.tensors.push(("model.norm.weight".into(), vec![1], F32, vec![0; 4]))),
            "has one tensor as `model.norm.weight` and as `output_norm.weight`",
        ),
        (
            with(&|gguf| gguf.number("general.alignment", 0)),
            "a `general.alignment` of 0; it should be a whole number from 1 to",
        ),
    ] {
        assert!(found.contains(expected), "{expected}: {found}");
    }
    // What says that there is none of it is read.
    let mut gguf = base.clone();
    gguf.text("general.type", "model");
    gguf.bool("qwen2.attention.causal", true);
    gguf.number("qwen2.pooling_type", 0);
    for (key, without) in [("logit_scale", 1.0), ("embedding_scale", 1.0), ("final_logit_softcapping", 0.0)] {
        gguf.float(&format!("qwen2.{key}"), without);
    }
    DecoderDescription::open(gguf.write().path()).unwrap();
    let nan =
        with(&|gguf| gguf.tensor("blk.0.attn_q.weight").3[..4].copy_from_slice(&f32::NAN.to_le_bytes()));
    assert!(
        nan.contains("`blk.0.attn_q.weight` (model.layers.0.self_attn.q_proj.weight) holds NaN"),
        "{nan}"
    );
    // A part of a model, which is loaded by itself.
    let mut gguf = base.clone();
    gguf.tensors.retain(|(name, ..)| name != "output_norm.weight");
    let (file, device) = (gguf.write(), Device::default());
    let config = DecoderDescription::open(file.path()).unwrap().config;
    let weights = Weights::from_file(file.path()).unwrap();
    let decoder = Decoder::init(&config, &device);
    let error = load_module(decoder, &weights, names::decoder, FloatDType::F32).unwrap_err().to_string();
    assert!(error.contains("`output_norm.weight` (model.norm.weight) [24] is missing"), "{error}");
}

#[test]
fn a_file_that_is_cut_or_lies_is_refused() {
    let whole = of_golden("llama").bytes();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    for length in (0..whole.len()).step_by(97).chain([whole.len() - 33]) {
        fs::write(&path, &whole[..length]).unwrap();
        let opened = DecoderCheckpoint::open(&path);
        let loaded = opened.and_then(|opened| opened.load(FloatDType::F32, &Device::default()));
        assert!(loaded.is_err(), "{length} of {} bytes", whole.len());
    }
    // Counts and lengths that no file of this size holds; nothing is made of them.
    let claims = |at: usize, expected: &str| {
        let mut file = whole.clone();
        file[at..at + 8].copy_from_slice(&u64::MAX.to_le_bytes());
        fs::write(&path, file).unwrap();
        let error = DecoderCheckpoint::open(&path).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    claims(8, "tensors, more than a file of");
    claims(16, "entries of metadata, more than a file of");
    claims(24, "bytes of a text, more than a file of");
    // Places inside the file, but another tensor's, or none.
    let name = b"output_norm.weight";
    let at = whole.windows(name.len()).position(|bytes| bytes == name).unwrap();
    // Behind its name the number of its dimensions, one, and its type.
    let place = at + name.len() + 4 + 8 + 4;
    for (offset, expected) in [(0_u64, "`output_norm.weight`"), (4, "no multiple of the alignment 32")] {
        let mut file = whole.clone();
        file[place..place + 8].copy_from_slice(&offset.to_le_bytes());
        fs::write(&path, file).unwrap();
        let error = DecoderCheckpoint::open(&path).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(offset > 0 || error.contains("lies on top of"), "{error}");
    }
    let mut file = whole.clone();
    file[4] = 1;
    fs::write(&path, file).unwrap();
    let error = DecoderCheckpoint::open(&path).unwrap_err().to_string();
    assert!(error.contains("is GGUF of version 1; 2 and 3 are supported"), "{error}");
    let mut file = whole;
    file[4..8].copy_from_slice(&3_u32.to_be_bytes());
    fs::write(&path, file).unwrap();
    let error = DecoderCheckpoint::open(&path).unwrap_err().to_string();
    assert!(error.contains("is a GGUF for big-endian machines"), "{error}");
}
