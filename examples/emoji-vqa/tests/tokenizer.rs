//! The tokenizer of the default model is Qwen's kind and reads every word of the data set.

use std::path::{Path, PathBuf};

use emoji_vqa::{
    catalogue::Catalogue,
    dataset::{Dataset, DatasetConfig},
    language::Language,
};
use tokenizers::Tokenizer;

fn assets() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets")
}

fn tokenizer() -> Tokenizer {
    Tokenizer::from_file(assets().join("parrot-mini/tokenizer.json")).unwrap()
}

fn encode(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    tokenizer.encode(text, false).unwrap().get_ids().to_vec()
}

#[test]
fn special_tokens_have_the_last_ids() {
    let tokenizer = tokenizer();
    assert_eq!(tokenizer.get_vocab_size(true), 4096);
    assert_eq!(encode(&tokenizer, "<|endoftext|><|im_start|><|im_end|>"), [4093, 4094, 4095]);
}

#[test]
fn every_name_comes_back() {
    let tokenizer = tokenizer();
    let catalogue = Catalogue::load(&assets().join("emoji")).unwrap();
    for concept in &catalogue.concepts {
        for (_, name) in concept.name.iter() {
            assert_eq!(tokenizer.decode(&encode(&tokenizer, name), false).unwrap(), *name);
        }
    }
    let stranger = "日本語 ελληνικά 🦜\u{0}";
    assert_eq!(tokenizer.decode(&encode(&tokenizer, stranger), false).unwrap(), stranger);
}

#[test]
fn a_core_name_is_the_same_tokens_wherever_it_stands() {
    let tokenizer = tokenizer();
    let catalogue = Catalogue::load(&assets().join("emoji")).unwrap();
    let space = encode(&tokenizer, " ");
    let mut joined = Vec::new();
    for concept in &catalogue.concepts[..catalogue.core_count()] {
        for (language, name) in concept.name.iter() {
            let alone = encode(&tokenizer, name);
            assert!(alone.len() < 2 * name.split([' ', '-']).count(), "{language:?} {name}: {alone:?}");
            if encode(&tokenizer, &format!(" {name}")) != [&space[..], &alone].concat() {
                joined.push(name);
            }
            let quoted = encode(&tokenizer, &format!("“{name}”"));
            assert!(quoted.windows(alone.len()).any(|window| window == alone), "{name}: {quoted:?}");
        }
    }
    // Only what is a word of the questions as well: Turkish at, a horse, is English at.
    assert!(joined.len() <= 3, "{joined:?}");
}

#[test]
fn questions_are_short_in_every_language() {
    let tokenizer = tokenizer();
    let dataset = Dataset::load(&assets().join("emoji"), DatasetConfig::default()).unwrap();
    let items = dataset.evaluation(240);
    for language in Language::ALL {
        let lengths = items.iter().map(|item| encode(&tokenizer, &item.open.get(language).question).len());
        let mean = lengths.sum::<usize>() as f64 / items.len() as f64;
        assert!(mean < 10.0, "{language:?}: {mean} tokens per question");
    }
}

#[test]
fn the_other_files_say_the_same() {
    let read = |name: &str| std::fs::read_to_string(assets().join("parrot-mini").join(name)).unwrap();
    let json = |name: &str| serde_json::from_str::<serde_json::Value>(&read(name)).unwrap();
    let tokenizer = json("tokenizer.json");
    assert_eq!(tokenizer["model"]["vocab"], json("vocab.json"));
    let merges = read("merges.txt");
    let lines = merges.lines().skip(1);
    assert!(lines.eq(tokenizer["model"]["merges"].as_array().unwrap().iter().map(|m| m.as_str().unwrap())));
    assert_eq!(json("added_tokens.json")["<|im_end|>"], 4095);
    assert_eq!(json("tokenizer_config.json")["eos_token"], "<|im_end|>");
    assert_eq!(json("special_tokens_map.json")["pad_token"]["content"], "<|endoftext|>");
}
