//! Decoders of every family against transformers: folders that tests/reference/decoders.py has written.

use std::path::{Path, PathBuf};

use burn::prelude::*;
use burn::tensor::{FloatDType, Tolerance};
use parrot_model::batch::{PrepareOptions, Prepared, Sample};
use parrot_model::checkpoint::{Checkpoint, DecoderCheckpoint, DecoderDescription, Weights};
use parrot_model::config::PaddingSide;
use parrot_model::config::{DecoderConfig, DecoderFamily};
use parrot_model::language::{Decoder, DecoderInput, KvCache};
use parrot_model::parrot::prepare_text;

/// A folder, and what transformers computes with it.
struct Golden {
    name: String,
    config: DecoderConfig,
    decoder: Decoder,
    input_ids: Vec<i64>,
    /// `[tokens, vocab]`
    logits: Vec<f32>,
    /// Greedy ids behind the prompt.
    generated: Vec<i64>,
}

fn folders() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden-decoders");
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    assert_eq!(folders.len(), 8);
    folders
}

impl Golden {
    fn all() -> impl Iterator<Item = Self> {
        folders().into_iter().map(|folder| {
            let checkpoint = DecoderCheckpoint::open(&folder).unwrap();
            let expected = Weights::from_file(folder.join("expected.safetensors")).unwrap();
            let bytes = |name: &str| expected.get(name).unwrap().bytes;
            let ids = |name: &str| {
                let ids = bytes(name).as_chunks::<8>().0.iter();
                ids.map(|bytes| i64::from_le_bytes(*bytes)).collect::<Vec<_>>()
            };
            let logits = bytes("logits").as_chunks::<4>().0.iter();
            Self {
                name: folder.file_name().unwrap().to_string_lossy().into_owned(),
                decoder: checkpoint.load(FloatDType::F32, &Device::default()).unwrap(),
                config: checkpoint.description.config,
                input_ids: ids("input_ids"),
                logits: logits.map(|bytes| f32::from_le_bytes(*bytes)).collect(),
                generated: ids("generated"),
            }
        })
    }

    fn prepare(&self, prompts: &[&[i64]], padding_side: PaddingSide) -> Prepared {
        let samples: Vec<Sample> = prompts.iter().map(|ids| Sample::new(ids.to_vec(), vec![])).collect();
        let options = PrepareOptions { padding_side, ..PrepareOptions::default() };
        prepare_text(&self.decoder, &samples, options).unwrap()
    }

    /// Without a cache. `[prompts, seq, vocab]`
    fn logits(&self, prompts: &[&[i64]], padding_side: PaddingSide) -> Tensor<3> {
        let input = self.prepare(prompts, padding_side).input;
        self.decoder.logits(self.decoder.forward(input, None))
    }
}

fn assert_close<const D: usize>(actual: Tensor<D>, expected: Tensor<D>) {
    actual.into_data().assert_approx_eq::<f32>(&expected.into_data(), Tolerance::absolute(1e-4));
}

#[test]
fn logits_are_those_of_transformers() {
    for golden in Golden::all() {
        let found = golden.logits(&[&golden.input_ids], PaddingSide::Right).into_data();
        let found: Vec<f32> = found.try_to_vec().unwrap();
        assert_eq!(found.len(), golden.logits.len());
        let differences = found.iter().zip(&golden.logits).map(|(found, expected)| (found - expected).abs());
        let difference = differences.fold(0.0, f32::max);
        assert!(difference < 1e-4, "{}: {difference}", golden.name);
    }
}

#[test]
fn greedy_ids_are_those_of_transformers_with_a_cache() {
    for golden in Golden::all() {
        let Golden { name, config, decoder, input_ids, generated, .. } = &golden;
        let mut cache = KvCache::new(config, input_ids.len() + generated.len());
        let prompt = golden.prepare(&[input_ids], PaddingSide::Left);
        let rows = prompt.last_rows();
        let mut last = decoder.forward_rows(prompt.input, rows, Some(&mut cache));
        let mut found = Vec::new();
        for _ in generated {
            let id = decoder.logits(last).argmax(1).squeeze_dim::<1>(1);
            found.push(id.clone().into_scalar::<i64>());
            let next = DecoderInput::unpadded(decoder.embed(id).unsqueeze_dim(1));
            last = decoder.forward(next, Some(&mut cache)).squeeze_dim(1);
        }
        assert_eq!(&found, generated, "{name}");
    }
}

#[test]
fn a_padded_batch_says_what_each_prompt_says_alone() {
    for golden in Golden::all() {
        let all = &golden.input_ids;
        let prompts = [&all[..], &all[3..8], &all[5..6]];
        for side in [PaddingSide::Left, PaddingSide::Right] {
            let together = golden.logits(&prompts, side);
            for (row, prompt) in prompts.iter().enumerate() {
                let alone = golden.logits(&[prompt], side);
                let start = if side == PaddingSide::Left { all.len() - prompt.len() } else { 0 };
                let own = together.clone().slice(s![row..row + 1, start..start + prompt.len(), ..]);
                assert_close(own, alone);
            }
        }
    }
}

#[test]
fn a_step_of_a_padded_batch_is_what_each_says_without_a_cache() {
    for golden in Golden::all() {
        let Golden { config, decoder, input_ids, .. } = &golden;
        let device = decoder.device();
        let prompts = [&input_ids[..], &input_ids[3..8]];
        let prepared = golden.prepare(&prompts, PaddingSide::Left);
        let mask = prepared.input.attention_mask.clone().unwrap();
        let mut cache = KvCache::new(config, input_ids.len() + 1);
        let _ = decoder.forward(prepared.input, Some(&mut cache));
        let lengths: Vec<i64> = prepared.lengths.iter().map(|length| *length as i64).collect();
        let next = DecoderInput {
            inputs_embeds: decoder.embed(Tensor::from_data([7, 7], &device)).unsqueeze_dim(1),
            attention_mask: Some(Tensor::cat(vec![mask, Tensor::full([2, 1], true, &device)], 1)),
            position_ids: Some(Tensor::from_data(TensorData::new(lengths, [2, 1]), &device)),
        };
        let stepped = decoder.logits(decoder.forward(next, Some(&mut cache)));
        for (row, prompt) in prompts.iter().enumerate() {
            let whole = [prompt, &[7][..]].concat();
            let alone = golden.logits(&[&whole], PaddingSide::Left).slice(s![.., -1.., ..]);
            assert_close(stepped.clone().slice(s![row..row + 1, .., ..]), alone);
        }
    }
}

/// What every folder is there for.
#[test]
fn the_folders_cover_the_families() {
    let descriptions = folders().into_iter().map(|folder| DecoderDescription::open(folder).unwrap().config);
    let configs: Vec<DecoderConfig> = descriptions.collect();
    for family in DecoderFamily::ALL {
        assert!(configs.iter().any(|config| config.family == family), "{family:?}");
    }
    let some = |wanted: &dyn Fn(&DecoderConfig) -> bool| configs.iter().any(wanted);
    assert!(some(&|config| config.window(0).is_some() && config.window(1).is_some()));
    assert!(some(&|config| config.window(0).is_none() && config.window(1).is_some()));
    assert!(some(&|config| config.rope_scaling.is_some()));
    assert!(some(&|config| config.num_attention_heads * config.head_dim() > config.hidden_size));
    assert!(some(&|config| config.tie_word_embeddings));
    assert!(some(&|config| config.output_bias()));
}

#[test]
fn a_text_model_is_no_parrot_and_says_so() {
    for folder in folders() {
        assert!(DecoderDescription::is_in(&folder).unwrap());
        let error = Checkpoint::open(&folder).unwrap_err().to_string();
        assert!(error.contains("`model_type` should be one of parrot_qwen2"), "{error}");
    }
    let parrot = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/parrot-mini");
    assert!(!DecoderDescription::is_in(&parrot).unwrap());
    let error = DecoderCheckpoint::open(&parrot).unwrap_err().to_string();
    assert!(error.contains("`model_type` should be one of qwen2"), "{error}");
}

#[test]
fn keys_that_nobody_knows_are_named_and_those_that_transformers_writes_are_known() {
    for folder in folders() {
        assert!(DecoderDescription::open(&folder).unwrap().unknown_keys.is_empty(), "{}", folder.display());
    }
    let folder = tempfile::tempdir().unwrap();
    let write = |text: &str| std::fs::write(folder.path().join("config.json"), text).unwrap();
    write(r#"{"model_type": "qwen2", "attention_temperature": 2.0, "use_mtp": false, "pad_token_id": 0}"#);
    assert_eq!(DecoderDescription::open(folder.path()).unwrap().unknown_keys, ["attention_temperature"]);
}
