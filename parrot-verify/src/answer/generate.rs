//! Greedy decoding as the reference's `generate` does it, token by token.

use std::ops::ControlFlow;

use burn::tensor::{Bool, Int, Tensor};
use parrot_infer::AskOptions;
use parrot_infer::generate::Sequence;
use parrot_model::batch::PrepareOptions;
use parrot_model::language::{DecoderInput, KvCache};
use parrot_model::parrot::ImageFeatures;
use serde::Deserialize;

use super::load;
use super::modules::images;
use crate::Result;
use crate::golden::reference_batch;
use crate::golden::{Case, CaseVerdict, Fixture, Loaded, Quantity, reference_samples};

/// The reference's padding.
const PADDING: &str = "<|endoftext|>";
/// What ends its answers.
const END: &str = "<|im_end|>";

/// What stays the same during one generation.
pub(super) struct Decoding {
    images: Option<ImageFeatures>,
    image_count: usize,
}

/// What came out.
pub(super) struct Generated {
    /// Ids without the prompt; the last one is `<|im_end|>` unless the limit came first.
    pub(super) ids: Vec<i64>,
    /// Logits of each step. `[vocab]`
    pub(super) logits: Vec<Vec<f32>>,
}

impl Decoding {
    /// Encodes the pictures of a prompt.
    pub(super) fn new(fixture: &Fixture, loaded: &Loaded, names: &[String]) -> Result<Self> {
        let images = match names {
            [] => None,
            names => Some(loaded.model.encode_images(fixture.pixel_values(loaded, names)?)),
        };
        Ok(Self { images, image_count: names.len() })
    }
}

#[derive(Deserialize)]
struct GenerateCase {
    input_ids: Vec<i64>,
    max_new_tokens: usize,
    #[serde(default)]
    step_logits_steps: Vec<usize>,
    new_ids: Vec<i64>,
    text: Option<String>,
}

/// `generate`: greedy decoding with a cache.
pub(super) fn generate(fixture: &Fixture, case: &Case) -> Result<CaseVerdict> {
    let directory = &fixture.directory;
    let loaded = load(fixture, case)?;
    let fields: GenerateCase = directory.fields(case)?;
    let decoding = Decoding::new(fixture, &loaded, &images(fixture, case)?)?;
    let Generated { ids, logits } = greedy(&loaded, &decoding, &fields.input_ids, fields.max_new_tokens)?;
    let mut checks = fixture.checks();
    checks.chosen("new_ids", &ids, &fields.new_ids);
    // The engine's own loop, unless the reference's prompt is one that it cannot be given.
    if !fields.input_ids.contains(&i64::from(loaded.tokenizer.control_token(PADDING)?)) {
        let ids = engine(fixture, &loaded, &decoding, &fields.input_ids, fields.max_new_tokens)?;
        checks.chosen("new_ids of the engine", &ids, &fields.new_ids);
    }
    // After the first id that differs, the logits are about different texts.
    let same = ids.iter().zip(&fields.new_ids).take_while(|(found, expected)| found == expected).count();
    let comparable = logits.len().min(same + 1);
    if let Some(expected) = fields.text.filter(|_| ids == fields.new_ids) {
        let ids: Vec<u32> = ids.iter().filter_map(|id| u32::try_from(*id).ok()).collect();
        checks.equal("text", &[loaded.tokenizer.decode(&ids).trim().to_string()], &[expected]);
    }
    if let Some(expected) = directory.tensor(case, "step_logits")? {
        let steps = fields.step_logits_steps.iter().filter(|step| **step < comparable);
        let found: Vec<f32> = steps.flat_map(|step| &logits[*step]).copied().collect();
        let expected = &expected.values[..found.len().min(expected.values.len())];
        checks.values(Quantity::Logits, "step_logits", &found, expected);
    }
    let (top_ids, top_logits) = (directory.tensor(case, "top5_ids")?, directory.tensor(case, "top5_logits")?);
    if let (Some(top_ids), Some(top_logits)) = (top_ids, top_logits) {
        let k = top_ids.shape.last().copied().unwrap_or(1);
        let found: Vec<f32> = logits[..comparable]
            .iter()
            .zip(top_ids.to_i64().chunks(k))
            .flat_map(|(logits, ids)| {
                ids.iter().map(|id| logits.get(*id as usize).copied().unwrap_or(f32::NAN)).collect::<Vec<_>>()
            })
            .collect();
        let expected = &top_logits.values[..found.len().min(top_logits.values.len())];
        checks.values(Quantity::Logits, "top5_logits", &found, expected);
    }
    Ok(checks.into())
}

/// The same prompt through [`parrot_infer::generate`].
fn engine(
    fixture: &Fixture,
    loaded: &Loaded,
    decoding: &Decoding,
    input_ids: &[i64],
    max_new_tokens: usize,
) -> Result<Vec<i64>> {
    let samples = reference_samples([(input_ids.to_vec(), None)], decoding.image_count)?;
    let prepared = reference_batch::assemble(
        &loaded.model,
        &samples,
        decoding.images.as_ref(),
        loaded.prepare_options(),
    )?;
    let eos = [loaded.tokenizer.control_token(END)?];
    let run = || -> parrot_infer::Result<Vec<i64>> {
        let sequence = Sequence::new(&AskOptions::default(), max_new_tokens, &loaded.tokenizer)?;
        let (sequence, _) = parrot_infer::generate::generate(
            &loaded.model.language_model,
            &loaded.config.decoder,
            prepared.input.inputs_embeds,
            sequence,
            &eos,
            |_| ControlFlow::Continue(()),
        )?;
        Ok(sequence.token_ids.into_iter().map(i64::from).collect())
    };
    run().map_err(|error| fixture.directory.error(format!("the engine: {error}")))
}

#[derive(Deserialize)]
struct NoCacheCase {
    input_ids: Vec<i64>,
    with_cache: Vec<i64>,
    without_cache: Vec<i64>,
}

/// `generate_nocache`: without a cache the reference prepares the whole sequence again at every step, so
/// what it has generated becomes part of the question that steers the experts.
pub(super) fn with_and_without_cache(fixture: &Fixture, case: &Case) -> Result<CaseVerdict> {
    let loaded = load(fixture, case)?;
    let NoCacheCase { input_ids, with_cache, without_cache } = fixture.directory.fields(case)?;
    let decoding = Decoding::new(fixture, &loaded, &images(fixture, case)?)?;
    let mut checks = fixture.checks();
    let cached = greedy(&loaded, &decoding, &input_ids, with_cache.len())?;
    checks.chosen("with_cache", &cached.ids, &with_cache);
    let end = loaded.tokenizer.control_token(END)?;
    let mut ids = input_ids.clone();
    for _ in 0..without_cache.len() {
        let hidden_states = prefill(&loaded, &decoding, &ids, None)?;
        let id = argmax(last_logits(&loaded, hidden_states))[0];
        ids.push(id);
        if id == i64::from(end) {
            break;
        }
    }
    checks.chosen("without_cache", &ids[input_ids.len()..], &without_cache);
    Ok(checks.into())
}

/// Decodes greedily with a cache until `<|im_end|>` or `max_new_tokens`.
///
/// A typed `<|endoftext|>` is taken for padding, as in the reference. With a picture it vanishes from the
/// prompt. Without one the prompt is passed on as it is, so it is masked while the prompt is read, and
/// visible afterwards.
pub(super) fn greedy(
    loaded: &Loaded,
    decoding: &Decoding,
    input_ids: &[i64],
    max_new_tokens: usize,
) -> Result<Generated> {
    let decoder = &loaded.model.language_model;
    let end = loaded.tokenizer.control_token(END)?;
    let image_tokens = decoding.images.as_ref().map_or(0, |images| images.image_features.dims()[1]);
    let capacity = input_ids.len() + decoding.image_count * image_tokens + max_new_tokens;
    let mut cache = KvCache::new(&loaded.config.decoder, capacity);
    let mut hidden_states = prefill(loaded, decoding, input_ids, Some(&mut cache))?;
    let mut generated = Generated { ids: Vec::new(), logits: Vec::new() };
    while generated.ids.len() < max_new_tokens {
        let logits = last_logits(loaded, hidden_states);
        let id = argmax(logits.clone())[0];
        generated.ids.push(id);
        generated.logits.push(logits.into_data().try_to_vec().expect("logits are f32"));
        if id == i64::from(end) {
            break;
        }
        let embedded = decoder.embed(Tensor::<1, Int>::from_data([id], &loaded.device));
        // Without a mask: from here on the reference sees what was masked in the prompt.
        hidden_states = decoder.forward(DecoderInput::unpadded(embedded.unsqueeze()), Some(&mut cache));
    }
    Ok(generated)
}

/// Runs a prompt; the hidden state of its last position decides the next token.
fn prefill(
    loaded: &Loaded,
    decoding: &Decoding,
    input_ids: &[i64],
    cache: Option<&mut KvCache>,
) -> Result<Tensor<3>> {
    let decoder = &loaded.model.language_model;
    let padding = i64::from(loaded.tokenizer.control_token(PADDING)?);
    let (ids, attention_mask) = match &decoding.images {
        Some(_) => (input_ids.iter().copied().filter(|id| *id != padding).collect(), None),
        None => (input_ids.to_vec(), padding_mask(loaded, input_ids, padding)),
    };
    let samples = reference_samples([(ids, None)], decoding.image_count)?;
    let options = PrepareOptions { max_length: None, ..loaded.prepare_options() };
    let prepared = reference_batch::assemble(&loaded.model, &samples, decoding.images.as_ref(), options)?;
    let input = DecoderInput { attention_mask, ..DecoderInput::unpadded(prepared.input.inputs_embeds) };
    Ok(decoder.forward(input, cache))
}

/// False at padding; `None` when there is none.
fn padding_mask(loaded: &Loaded, input_ids: &[i64], padding: i64) -> Option<Tensor<2, Bool>> {
    input_ids.contains(&padding).then(|| {
        let mask: Vec<i64> = input_ids.iter().map(|id| i64::from(*id != padding)).collect();
        Tensor::<1, Int>::from_data(mask.as_slice(), &loaded.device).bool().unsqueeze()
    })
}

/// `[1, vocab]`
fn last_logits(loaded: &Loaded, hidden_states: Tensor<3>) -> Tensor<2> {
    let [_, seq, hidden] = hidden_states.dims();
    let last = hidden_states.narrow(1, seq - 1, 1).reshape([1, hidden]);
    loaded.model.language_model.logits(last)
}

/// The best id of each row.
pub(super) fn argmax(logits: Tensor<2>) -> Vec<i64> {
    let ids = logits.argmax(1).into_data().convert::<i64>();
    ids.try_to_vec().expect("converted to i64")
}
