//! `emoji-vqa tokenizer`: a byte-level BPE of 4,096 tokens in the files of a Qwen checkpoint.
//!
//! Qwen's own vocabulary has 151,643 tokens, whose embeddings alone would be many times the default model.
//! Everything but the size is Qwen's: NFC, the split pattern, byte-level alphabet, the three special tokens
//! at the end, so one code path reads both.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use parrot_eval::choice_ending;
use parrot_model::layout::{TOKENIZER_CONFIG_FILE, TOKENIZER_FILE};
use serde_json::{Map, Value, json};
use tokenizers::{
    AddedToken, DecoderWrapper, ModelWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper,
    SplitDelimiterBehavior, Tokenizer,
    models::{
        TrainerWrapper,
        bpe::{BPE, BpeTrainer},
    },
    normalizers::unicode::NFC,
    pre_tokenizers::{
        byte_level::ByteLevel,
        sequence::Sequence,
        split::{Split, SplitPattern},
    },
};

use crate::{
    build::{packages::Packages, write},
    catalogue::Catalogue,
    colour::Colour,
    language::Language,
    wording::Wording,
};

const VOCABULARY: usize = 4096;

/// Qwen's special tokens, in the order of their ids.
const SPECIAL: [&str; 3] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];

/// Qwen's split pattern.
const PATTERN: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// How often a text counts, compared with one line of general text.
///
/// The words that answers are made of outweigh everything, and are given without the space before them: so each is
/// one token, and the same one as an answer, in quotation marks and behind a space, which stays a token of its own.
/// To find the thing that a question names is then to find a token again. Frames occur in every sample and share
/// what is left of the vocabulary.
mod weight {
    pub(super) const WORD: usize = 6000;
    pub(super) const FRAME: usize = 60;
    pub(super) const NAME: usize = 2;
    pub(super) const GENERAL: usize = 1;
}

/// Trains the tokenizer and writes its six files into `out`.
///
/// # Errors
///
/// When the packages or the catalogue cannot be read, training fails, or a file cannot be written.
pub fn train(packages: &Path, assets: &Path, out: &Path) -> Result<()> {
    let catalogue = Catalogue::load(assets)?;
    let corpus = corpus(&Packages::open(packages)?, &catalogue)?;
    let tokenizer = train_on(&corpus)?;
    std::fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    save(&tokenizer, out)?;
    report(&tokenizer, &catalogue)
}

/// Texts and how often they count.
fn corpus(packages: &Packages, catalogue: &Catalogue) -> Result<Vec<(String, usize)>> {
    let places = packages.place_and_language_names()?;
    let declaration = packages.declaration()?;
    let chat =
        ["system", "user", "assistant", "You are a helpful assistant.", "\nA. ", "\nB. ", "\nC. ", "\nD. "];
    let mut corpus: Vec<_> = chat.map(|text| (text.to_owned(), weight::FRAME)).into();

    for language in Language::ALL {
        let wording = Wording::of(language);
        // A frame without its name: the name must not grow together with the quotation marks.
        let pieces = |frame: &str| frame.split("{}").map(str::to_owned).collect::<Vec<_>>();
        let frames = wording.frames().chain([wording.describe, wording.relate, wording.caption]);
        let frames = frames.chain([wording.labelled, wording.and_right, wording.and_above]);
        let frames = frames.chain([choice_ending(Some(language))]).flat_map(pieces);
        corpus.extend(frames.map(|piece| (piece, weight::FRAME)));

        let colours = Colour::ALL.map(|colour| colour.name(language));
        let labels = catalogue.categories.iter().map(|entry| entry.label.get(language).as_str());
        let answers = colours.into_iter().chain(labels).chain(wording.corners).chain(wording.truth);
        let core = catalogue.concepts[..catalogue.core_count()].iter();
        let names = core.map(|concept| concept.name.get(language).as_str());
        let words = answers.chain(names).flat_map(str::split_whitespace);
        corpus.extend(words.map(|word| (word.to_owned(), weight::WORD)));

        for concept in &catalogue.concepts {
            corpus.push((format!(" {}", concept.name.get(language)), weight::NAME));
            let keywords = concept.keywords.get(language).iter();
            corpus.extend(keywords.map(|keyword| (keyword.clone(), weight::GENERAL)));
        }
        let general = places.get(language).iter().chain(declaration.get(language));
        corpus.extend(general.map(|line| (line.clone(), weight::GENERAL)));
    }
    Ok(corpus)
}

fn train_on(corpus: &[(String, usize)]) -> Result<Tokenizer> {
    let failed = |error: tokenizers::Error| anyhow!("cannot train the tokenizer: {error}");
    let mut tokenizer = Tokenizer::new(ModelWrapper::BPE(BPE::default()));
    let split = Split::new(SplitPattern::Regex(PATTERN.into()), SplitDelimiterBehavior::Isolated, false);
    let bytes = ByteLevel::new(false, true, false);
    tokenizer
        .with_normalizer(Some(NormalizerWrapper::NFC(NFC)))
        .map_err(failed)?
        .with_pre_tokenizer(Some(PreTokenizerWrapper::Sequence(Sequence::new(vec![
            PreTokenizerWrapper::Split(split.map_err(failed)?),
            PreTokenizerWrapper::ByteLevel(bytes),
        ]))))
        .with_post_processor(Some(PostProcessorWrapper::ByteLevel(ByteLevel::new(true, false, true))))
        .with_decoder(Some(DecoderWrapper::ByteLevel(ByteLevel::new(true, true, true))));

    let trainer = BpeTrainer::builder()
        .vocab_size(VOCABULARY - SPECIAL.len())
        .min_frequency(1)
        .show_progress(false)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    let lines = corpus.iter().flat_map(|(text, weight)| std::iter::repeat_n(text.as_str(), *weight));
    tokenizer.train(&mut TrainerWrapper::from(trainer), lines).map_err(failed)?;
    let special = SPECIAL.map(|token| AddedToken::from(token, true).normalized(false));
    tokenizer.add_special_tokens(special).map_err(failed)?;
    Ok(tokenizer)
}

/// The files of a Hugging Face checkpoint of Qwen's kind.
fn save(tokenizer: &Tokenizer, out: &Path) -> Result<()> {
    let mut file = serde_json::to_value(tokenizer)?;
    // Older readers know merges only as `"a b"`, not as `["a", "b"]`.
    let merges = file["model"]["merges"].as_array_mut().context("the model has no merges")?;
    let mut lines = vec!["#version: 0.2".to_owned()];
    for merge in merges {
        if let [Value::String(left), Value::String(right)] = merge.as_array().map_or(&[][..], Vec::as_slice) {
            *merge = Value::String(format!("{left} {right}"));
        }
        lines.push(merge.as_str().context("a merge is no pair")?.to_owned());
    }
    let vocabulary = file["model"]["vocab"].clone();
    let first = VOCABULARY - SPECIAL.len();
    let ids = || SPECIAL.into_iter().zip(first..);
    let token = |content: &str| json!({"content": content, "lstrip": false, "normalized": false, "rstrip": false, "single_word": false});
    let decoder: Map<String, Value> = ids()
        .map(|(content, id)| {
            let mut entry = token(content);
            entry["special"] = json!(true);
            (id.to_string(), entry)
        })
        .collect();
    let added: Map<String, Value> = ids().map(|(content, id)| (content.to_owned(), json!(id))).collect();
    let [end_of_text, start, end] = SPECIAL;
    let config = json!({
        "added_tokens_decoder": decoder,
        "additional_special_tokens": [start, end],
        "bos_token": null,
        "clean_up_tokenization_spaces": false,
        "eos_token": end,
        "model_max_length": 2048,
        "pad_token": end_of_text,
        "padding_side": "right",
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": end_of_text,
    });
    let special = json!({
        "additional_special_tokens": [start, end],
        "eos_token": token(end),
        "pad_token": token(end_of_text),
        "unk_token": token(end_of_text),
    });
    write(&out.join(TOKENIZER_FILE), &file.to_string())?;
    write(&out.join("vocab.json"), &vocabulary.to_string())?;
    write(&out.join("merges.txt"), &(lines.join("\n") + "\n"))?;
    let pretty = |value: &Value| serde_json::to_string_pretty(value).map(|text| text + "\n");
    write(&out.join(TOKENIZER_CONFIG_FILE), &pretty(&config)?)?;
    write(&out.join("special_tokens_map.json"), &pretty(&special)?)?;
    write(&out.join("added_tokens.json"), &pretty(&Value::Object(added))?)
}

/// Prints what a language costs: tokens per frame (names left out), per core name, and both together.
fn report(tokenizer: &Tokenizer, catalogue: &Catalogue) -> Result<()> {
    let length = |text: &str| -> Result<f64> {
        let encoding =
            tokenizer.encode(text, false).map_err(|error| anyhow!("cannot encode {text}: {error}"))?;
        Ok(encoding.len() as f64)
    };
    println!("{} tokens; mean tokens per", tokenizer.get_vocab_size(true));
    println!("language  frame  longest  core name  as option  whole vocabulary");
    let core = &catalogue.concepts[..catalogue.core_count()];
    for language in Language::ALL {
        let frames = Wording::of(language).frames().map(|frame| length(&frame.replace("{}", "")));
        let frames = frames.collect::<Result<Vec<_>>>()?;
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let names = |concepts: &[crate::catalogue::Concept], lead: &str| {
            let lengths = concepts.iter().map(|c| length(&format!("{lead}{}", c.name.get(language))));
            Ok::<_, anyhow::Error>(mean(&lengths.collect::<Result<Vec<_>>>()?))
        };
        println!(
            "{:8}  {:5.1}  {:7}  {:9.2}  {:9.2}  {:.2}",
            language.code(),
            mean(&frames),
            frames.iter().fold(0.0f64, |most, frame| most.max(*frame)),
            names(core, "")?,
            names(core, " ")?,
            names(&catalogue.concepts, "")?,
        );
    }
    Ok(())
}
