//! Answers of a tiny random model.

use std::ops::ControlFlow;

use ::image::{Rgb, RgbImage};

use burn::prelude::*;
use burn::tensor::FloatDType;
use parrot_model::batch::Sample;
use parrot_model::checkpoint::{Checkpoint, Description, SaveOptions, names, save, save_module};
use parrot_model::device::WeightDtype;
use parrot_model::language::DecoderInput;
use parrot_model::quantization::BlockFormat;

use super::*;
use crate::cancel::CancelToken;
use crate::generate::{FinishReason, Sampling};
use crate::tiny;

/// The model; `remembered` pictures.
pub(crate) fn parrot(remembered: usize) -> Parrot {
    let folder = tempfile::tempdir().unwrap();
    tiny::write(folder.path(), 2).unwrap();
    let parrot = Parrot::load(folder.path(), &Device::default()).unwrap();
    let bytes = remembered as u64 * parrot.image_bytes();
    parrot.remember_image_bytes(bytes)
}

pub(crate) fn image(seed: u8) -> Image {
    Image::from_rgb(RgbImage::from_fn(20, 16, |x, y| {
        Rgb([seed.wrapping_mul(40), (x * 12) as u8, (y * 15) as u8 ^ seed])
    }))
}

fn options(max_new_tokens: usize) -> AskOptions {
    AskOptions { max_new_tokens, ..AskOptions::default() }
}

fn ask(parrot: &Parrot, images: &[Image], question: &str, options: &AskOptions) -> Answer {
    parrot.ask_streaming(images, question, options, |_| ControlFlow::Continue(())).unwrap()
}

#[test]
fn on_the_cpu_a_model_is_held_as_it_is_stored_if_that_is_bf16() {
    let (folder, device) = (tempfile::tempdir().unwrap(), Device::flex());
    tiny::write(folder.path(), 2).unwrap();
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    let Description { config, vision, .. } = &checkpoint.description;
    let network = checkpoint.load(FloatDType::F32, &device).unwrap();
    for (stored, held) in [(FloatDType::BF16, FloatDType::BF16), (FloatDType::F16, FloatDType::F32)] {
        let narrow = folder.path().join(format!("{stored:?}"));
        let source = Some(folder.path().to_path_buf());
        let options = SaveOptions { dtype: Some(stored), source, ..SaveOptions::default() };
        save(&network, config, vision, &narrow, &options).unwrap();
        assert_eq!(Parrot::load(&narrow, &device).unwrap().dtype, held.into());
        let wide = Parrot::loader().dtype(FloatDType::F32).load(&narrow, &device).unwrap();
        assert_eq!(wide.dtype, FloatDType::F32.into());
    }
}

/// The whole prompt and all tokens so far through the network at every step, without a cache.
fn ask_naively(parrot: &Parrot, images: &[Image], question: &str, tokens: usize) -> Vec<u32> {
    let conversation = Conversation::question(question, images.len());
    let encoded = parrot.template.encode_prompt(&parrot.tokenizer, &conversation, "").unwrap();
    let features = parrot.encode_images(&images.iter().collect::<Vec<_>>()).unwrap().features;
    let sample = Sample::new(encoded.input_ids, (0..images.len()).collect());
    let prepared = parrot.embed(&sample, &features).unwrap();
    let decoder = parrot.decoder();
    let mut inputs_embeds = prepared.input.inputs_embeds;
    let mut ids = Vec::new();
    for _ in 0..tokens {
        let input = DecoderInput::unpadded(inputs_embeds.clone());
        let logits: Tensor<3> = decoder.logits(decoder.forward(input, None));
        let id = logits.slice(s![.., -1.., ..]).argmax(2).reshape([1]);
        ids.push(id.clone().into_scalar::<i64>() as u32);
        if ids.last().copied() == parrot.template.end_of_turn() {
            break;
        }
        inputs_embeds = Tensor::cat(vec![inputs_embeds, decoder.embed(id).unsqueeze_dim(1)], 1);
    }
    ids
}

#[test]
fn the_cache_changes_nothing_and_neither_does_a_batch() {
    let parrot = parrot(8);
    let (first, second) = (image(1), image(2));
    let one = std::slice::from_ref(&first);
    let two = [second, first.clone()];
    let questions = [
        Question::new(one, "What is this?"),
        Question::new(&two, "这两张图片有什么不同?"),
        Question::new(&[], "ما هذا؟ ولماذا؟"),
        Question::new(one, "?"),
    ];
    let batch = parrot.ask_batch(&questions, &options(24)).unwrap();
    let mut distinct = Vec::new();
    for (question, in_batch) in questions.iter().zip(batch) {
        let alone = ask(&parrot, question.images, question.text, &options(24));
        assert_eq!(alone.token_ids, ask_naively(&parrot, question.images, question.text, 24));
        assert_eq!(in_batch.token_ids, alone.token_ids, "{question:?}");
        assert_eq!((in_batch.text, in_batch.finish_reason), (alone.text, alone.finish_reason));
        assert_eq!(in_batch.prompt_tokens, alone.prompt_tokens);
        assert_eq!(in_batch.routing_weights.len(), question.images.len());
        assert_eq!(in_batch.routing_weights, alone.routing_weights);
        distinct.push(alone.token_ids);
    }
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), 4, "the questions should have different answers");
}

#[test]
fn confidence_is_the_mean_probability_of_a_token() {
    let parrot = parrot(8);
    let images = [image(1)];
    assert_eq!(ask(&parrot, &images, "What is this?", &options(8)).confidence(), None);
    let options = AskOptions { top_logprobs: Some(0), ..options(8) };
    let answer = ask(&parrot, &images, "What is this?", &options);
    let product: f32 = answer.logprobs.iter().map(|token| token.logprob.exp()).product();
    let mean = product.powf(1.0 / answer.token_ids.len() as f32);
    assert!((answer.confidence().unwrap() - mean).abs() < 1e-5 && mean > 0.0 && mean < 1.0);
}

#[test]
fn sampling_in_a_batch_draws_what_it_draws_alone() {
    let parrot = parrot(8);
    let image = image(3);
    let images = std::slice::from_ref(&image);
    let sampling = Sampling { temperature: Some(1.5), top_k: Some(50), seed: 11, ..Sampling::default() };
    let options = AskOptions { sampling, ..options(16) };
    let questions = [Question::new(images, "long question"), Question::new(images, "short")];
    let batch = parrot.ask_batch(&questions, &options).unwrap();
    for (question, in_batch) in questions.iter().zip(batch) {
        assert_eq!(in_batch.token_ids, ask(&parrot, images, question.text, &options).token_ids);
    }
    let other = AskOptions { sampling: Sampling { seed: 12, ..options.sampling.clone() }, ..options.clone() };
    let draw = |options| ask(&parrot, images, "short", options).token_ids;
    assert_ne!(draw(&options), draw(&other));
}

#[test]
fn a_remembered_image_runs_no_vision_work_and_changes_no_bit() {
    let (remembering, forgetting) = (parrot(1), parrot(0));
    let questions = ["What is this?", "这是什么?", "Что это?"];
    for (asked, question) in questions.into_iter().enumerate() {
        // Another object with the same content.
        let remembered = ask(&remembering, &[image(1)], question, &options(8));
        let computed = ask(&forgetting, &[image(1)], question, &options(8));
        assert_eq!(remembered.encoded_images, usize::from(asked == 0));
        assert_eq!(computed.encoded_images, 1);
        assert_eq!(remembered.token_ids, computed.token_ids);
        assert_eq!(remembered.routing_weights, computed.routing_weights);
    }
    let bits = |parrot: &Parrot| {
        let features = parrot.encode_images(&[&image(1)]).unwrap().features.swap_remove(0);
        (features.image_features.into_data(), features.experts_output.unwrap().into_data())
    };
    assert_eq!(bits(&remembering), bits(&forgetting));
    // Only one is remembered: a second picture takes its place.
    assert_eq!(ask(&remembering, &[image(2)], "?", &options(1)).encoded_images, 1);
    assert_eq!(ask(&remembering, &[image(1)], "?", &options(1)).encoded_images, 1);
}

#[test]
fn an_image_without_pixels_is_refused() {
    for (width, height) in [(0, 0), (4, 0), (0, 4)] {
        let empty = Image::from_rgb(RgbImage::new(width, height));
        let refused = parrot(1).ask(&empty, "What?").unwrap_err().to_string();
        assert!(refused.contains("the picture has no pixels"), "{refused}");
    }
}

#[test]
fn the_question_decides_the_routing() {
    let parrot = parrot(8);
    let weights = |question| ask(&parrot, &[image(1)], question, &options(1)).routing_weights;
    let (english, arabic) = (weights("What is this?"), weights("ما هذا؟"));
    assert_eq!(english.len(), 1);
    assert_eq!(english[0].len(), 6);
    assert!((english[0].iter().sum::<f32>() - 1.0).abs() < 1e-5);
    assert_ne!(english, arabic);
}

#[test]
fn pieces_are_whole_characters_and_make_up_the_text() {
    let parrot = parrot(8);
    let sampling = Sampling { temperature: Some(2.0), ..Sampling::default() };
    let options = AskOptions { sampling, ..options(120) };
    let mut pieces = String::new();
    let answer = parrot.ask_streaming(&[image(1)], "?", &options, |piece| {
        assert!(!piece.is_empty());
        pieces += piece;
        ControlFlow::Continue(())
    });
    let answer = answer.unwrap();
    assert_eq!(pieces, answer.text);
    assert_eq!(answer.text, parrot.tokenizer.decode(&answer.token_ids));
}

#[test]
fn answers_end_for_the_reason_they_give() {
    let parrot = parrot(8);
    let free = ask(&parrot, &[image(1)], "Hm?", &options(30));
    assert_eq!((free.finish_reason, free.token_ids.len()), (FinishReason::Length, 30));
    assert_eq!(free.timings.decode_steps, 29);

    // The id of a token that was generated, declared to end the answer.
    let end = free.token_ids[7];
    let first = free.token_ids.iter().position(|id| *id == end).unwrap();
    let mut ending = self::parrot(8);
    ending.eos.push(end);
    let ended = ask(&ending, &[image(1)], "Hm?", &options(30));
    assert_eq!((ended.finish_reason, &ended.token_ids[..]), (FinishReason::Eos, &free.token_ids[..=first]));

    // Two characters from the middle as a stop string: neither is in the text.
    let stop: String = free.text.chars().skip(5).take(2).collect();
    let stopping = AskOptions { stop: vec![stop.clone()], ..options(30) };
    let stopped = ask(&parrot, &[image(1)], "Hm?", &stopping);
    assert_eq!(stopped.finish_reason, FinishReason::Stop);
    assert_eq!(stopped.text, free.text[..free.text.find(&stop).unwrap()]);

    let cancelled = parrot.ask_streaming(&[image(1)], "Hm?", &options(30), |_| ControlFlow::Break(()));
    assert_eq!(cancelled.unwrap().finish_reason, FinishReason::Cancelled);
}

#[test]
fn a_prompt_may_fill_the_context_and_not_one_token_more() {
    let parrot = parrot(8);
    let used = ask(&parrot, &[image(1)], "?", &options(1)).prompt_tokens - 1;
    let question = |tokens: usize| "x".repeat(tokens - used);
    let full = ask(&parrot, &[image(1)], &question(tiny::CONTEXT), &options(30));
    assert_eq!((full.prompt_tokens, full.token_ids.len()), (tiny::CONTEXT, 1));
    assert_eq!(full.finish_reason, FinishReason::Length);
    let nearly = ask(&parrot, &[image(1)], &question(tiny::CONTEXT - 3), &options(30));
    assert_eq!(nearly.token_ids.len(), 4);

    let error = parrot.ask(&image(1), &question(tiny::CONTEXT + 5)).unwrap_err().to_string();
    assert_eq!(error, "the prompt is 261 tokens long, 5 more than the context of 256 holds");
}

#[test]
fn a_chat_turn_is_the_whole_conversation_asked_afresh() {
    let parrot = parrot(8);
    let options = AskOptions { system: Some("Be brief.".into()), ..options(6) };
    let mut chat = parrot.chat(options.clone());
    chat.show(image(1));
    let first = chat.ask("What is this?", |_| ControlFlow::Continue(())).unwrap();
    assert!(matches!(chat.ask("  ", |_| ControlFlow::Continue(())), Err(Error::EmptyQuestion)));
    assert!(chat.ask(&"long ".repeat(60), |_| ControlFlow::Continue(())).is_err());
    let second = chat.ask("And now?", |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(second.encoded_images, 0);

    let conversation = Conversation(vec![
        Message::text(Role::System, "Be brief."),
        Message::question("What is this?", 1),
        Message::text(Role::Assistant, &first.text),
        Message::question("And now?", 0),
    ]);
    let afresh = parrot.answer(&conversation, &[image(1)], &options, |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(second.token_ids, afresh.token_ids);
    assert_eq!(second.routing_weights, afresh.routing_weights);
    assert_ne!(second.routing_weights, first.routing_weights, "later text changes an earlier picture");

    chat.clear();
    assert_eq!(chat.conversation().0.len(), 1);
}

#[test]
fn weights_of_fewer_bits_answer_too() {
    let folder = tempfile::tempdir().unwrap();
    tiny::write(folder.path(), 2).unwrap();
    let load = |dtype: WeightDtype| {
        let parrot = Parrot::loader().dtype(dtype).load(folder.path(), &Device::default()).unwrap();
        assert_eq!(parrot.dtype(), dtype);
        parrot
    };
    let weights = |parrot: &Parrot| {
        let answer = ask(parrot, &[image(1)], "What is this?", &options(4));
        assert_eq!(answer.token_ids.len(), 4);
        answer.routing_weights[0].clone()
    };
    let single = weights(&load(FloatDType::F32.into()));
    for (dtype, limit) in
        [(FloatDType::F16.into(), 0.02), (BlockFormat::Q8.into(), 0.04), (BlockFormat::Q4.into(), 0.2)]
    {
        let narrow = weights(&load(dtype));
        assert_ne!(narrow, single);
        for (narrow, single) in narrow.iter().zip(&single) {
            assert!((narrow - single).abs() < limit, "{dtype}: {narrow} {single}");
        }
    }
}

/// The decoder of a Parrot in a folder of its own answers as the Parrot does without an image.
#[test]
fn a_text_model_answers_and_sees_no_image() {
    let whole = parrot(0);
    let folder = tempfile::tempdir().unwrap();
    tiny::write(folder.path(), 2).unwrap();
    let config = std::fs::read_to_string(folder.path().join("config.json")).unwrap();
    std::fs::write(folder.path().join("config.json"), config.replace("parrot_qwen2", "qwen2")).unwrap();
    let weights = folder.path().join("model.safetensors");
    save_module(whole.decoder(), names::decoder, weights, None).unwrap();

    let text = Parrot::load(folder.path(), &Device::default()).unwrap();
    assert!(text.model().is_none() && whole.model().is_some());
    assert_eq!(text.config(), whole.config());
    let asked = |parrot: &Parrot, question: &str| ask(parrot, &[], question, &options(12)).token_ids;
    for question in ["What is this?", "这是什么?"] {
        assert_eq!(asked(&text, question), asked(&whole, question));
    }
    let batch = [Question::new(&[], "What is this?"), Question::new(&[], "no")];
    let together = text.ask_batch(&batch, &options(12)).unwrap();
    assert_eq!(together[1].token_ids, asked(&text, "no"));
    let mut chat = text.chat(options(4));
    chat.ask("a", |_| ControlFlow::Continue(())).unwrap();
    chat.ask("b", |_| ControlFlow::Continue(())).unwrap();

    assert!(matches!(text.ask(&image(1), "What is this?"), Err(Error::TextOnly)));
    let answers = ["yes", "no"];
    assert!(text.choose(Question::new(&[], "?"), &answers).is_ok());
    let image = [image(1)];
    assert!(matches!(text.choose(Question::new(&image, "?"), &answers), Err(Error::TextOnly)));
    assert!(matches!(text.route_by("a cat"), Err(Error::TextOnly)));
}

#[test]
fn an_answer_ends_when_it_is_cancelled_or_its_time_is_over() {
    let parrot = parrot(0);
    let cancel = CancelToken::default();
    let cancellable = AskOptions { cancel: Some(cancel.clone()), ..options(12) };
    let whole = ask(&parrot, &[], "What is this?", &cancellable);
    assert!(whole.token_ids.len() > 1);
    cancel.cancel();
    let timed = AskOptions { time_limit: Some(Duration::ZERO), ..options(12) };
    for (options, reason) in [(cancellable, FinishReason::Cancelled), (timed, FinishReason::TimeLimit)] {
        let answer = ask(&parrot, &[], "What is this?", &options);
        assert_eq!((answer.finish_reason, &*answer.token_ids), (reason, &whole.token_ids[..1]));
    }
}

#[test]
fn broken_weights_are_an_error_and_not_an_answer() {
    let mut parrot = parrot(8);
    let LoadedModel::Parrot(network, _) = &mut parrot.model else { panic!("it reads images") };
    **network = network.clone().map(&mut Break);
    let error = parrot.ask(&image(1), "What is this?").unwrap_err().to_string();
    assert!(error.starts_with("the model's scores are not finite"), "{error}");
}

struct Break;

impl burn::module::ModuleMapper for Break {
    fn map_float<const D: usize>(
        &mut self,
        param: burn::module::Param<Tensor<D>>,
    ) -> burn::module::Param<Tensor<D>> {
        param.map(|tensor| tensor * 1e30)
    }
}

#[test]
fn options_outside_their_range_are_refused() {
    let parrot = parrot(8);
    let refuse = |options: AskOptions| {
        let answer = parrot.ask_streaming(&[image(1)], "?", &options, |_| ControlFlow::Continue(()));
        answer.unwrap_err().to_string()
    };
    assert_eq!(refuse(options(0)), "max_new_tokens should be at least 1, found 0");
    let sampling = Sampling { top_p: Some(2.0), ..Sampling::default() };
    assert_eq!(
        refuse(AskOptions { sampling, ..options(1) }),
        "top_p should be above 0 and at most 1, found 2"
    );
    assert!(matches!(parrot.ask(&image(1), " \n"), Err(Error::EmptyQuestion)));
}

#[test]
fn a_model_can_be_shared_between_threads() {
    fn is_shareable<T: Send + Sync>() {}
    is_shareable::<Parrot>();
    is_shareable::<Image>();
}

#[test]
fn a_routing_text_is_all_that_the_router_reads() {
    let image = [image(1)];
    let weights = |parrot: &Parrot, question: &str| {
        ask(parrot, &image, question, &options(1)).routing_weights.swap_remove(0)
    };
    let asked = parrot(0);
    assert_ne!(weights(&asked, "a cat"), weights(&asked, "two dogs and a bird"));
    let steered = parrot(0).route_by("picture").unwrap();
    assert_eq!(weights(&steered, "a cat"), weights(&steered, "two dogs and a bird"));
    assert!(matches!(parrot(0).route_by("").unwrap_err(), Error::EmptyQuestion));
}

/// Every answer behind its prompt, whole and alone, without a cache.
fn log_prob_naively(parrot: &Parrot, question: Question<'_>, answer: &str) -> f32 {
    let conversation = Conversation::question(question.text, question.images.len());
    let encoded = parrot.template.encode_prompt(&parrot.tokenizer, &conversation, "").unwrap();
    let features = parrot.encode_images(&question.images.iter().collect::<Vec<_>>()).unwrap().features;
    let sample = Sample::new(encoded.input_ids, (0..question.images.len()).collect());
    let prompt = parrot.embed(&sample, &features).unwrap();
    let mut ids = parrot.tokenizer.encode_text(answer).unwrap();
    ids.extend(parrot.template.end_of_turn());
    let ids = ids.into_iter().map(i64::from).collect::<Vec<_>>();
    let decoder = parrot.decoder();
    let said = decoder.embed(Tensor::from_ints(&ids[..], &parrot.device)).unsqueeze();
    let input = DecoderInput::unpadded(Tensor::cat(vec![prompt.input.inputs_embeds, said], 1));
    let hidden_states = decoder.forward(input, None);
    let first = prompt.lengths[0] - 1;
    let logits = decoder.logits(hidden_states.slice(s![.., first..first + ids.len(), ..]));
    let log_probs = burn::tensor::activation::log_softmax(logits.squeeze_dim::<2>(0), 1);
    let targets = Tensor::<1, Int>::from_ints(&ids[..], &parrot.device).unsqueeze_dim(1);
    log_probs.gather(1, targets).sum().into_scalar::<f32>()
}

#[test]
fn a_choice_is_what_each_answer_alone_would_have_been_worth() {
    let parrot = parrot(8);
    let (first, second) = (image(1), image(2));
    let (one, two) = (std::slice::from_ref(&first), [second, first.clone()]);
    let batch: [(Question<'_>, &[&str]); 3] = [
        (Question::new(one, "What is this?"), &["a parrot", "no", "二"]),
        (Question::new(&two, "这两张图片有什么不同?"), &["没有"]),
        (Question::new(&[], "?"), &["no", "<|im_end|>"]),
    ];
    let choices = parrot.choose_batch(&batch, &options(1)).unwrap();
    for ((question, answers), choice) in batch.iter().zip(&choices) {
        let naive = answers.iter().map(|answer| log_prob_naively(&parrot, *question, answer));
        for (found, expected) in choice.log_probs.iter().zip(naive) {
            assert!((found - expected).abs() < 1e-3 * expected.abs(), "{found} for {expected}");
        }
        let alone = parrot.choose(*question, answers).unwrap();
        assert_eq!(alone.index, choice.index);
        assert!(choice.log_probs.iter().all(|log_prob| *log_prob <= choice.log_probs[choice.index]));
        assert!((choice.probabilities().iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }
    assert_eq!(choices[1].probabilities(), [1.0]);
}

#[test]
fn answers_that_cannot_be_chosen_from_are_refused() {
    let parrot = parrot(8);
    let choose = |question: &str, answers: &[&str]| {
        parrot.choose(Question::new(&[], question), answers).unwrap_err().to_string()
    };
    assert_eq!(choose("?", &[]), "answers should be at least one, found 0");
    assert_eq!(choose("?", &["a", ""]), "answers should be text in each, found an empty one");
    assert_eq!(choose(" ", &["a"]), "the question is empty");
    assert!(choose("?", &[&"x".repeat(tiny::CONTEXT)]).contains("more than the context of 256 holds"));
    assert!(parrot.choose_batch::<&str>(&[], &options(1)).unwrap().is_empty());
}
