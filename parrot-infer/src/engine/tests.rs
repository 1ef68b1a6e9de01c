//! Many answers at once of a tiny random model.

use std::ops::ControlFlow;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use parrot_model::language::KvCache;
use parrot_model::parrot::ImageFeatures;
use parrot_model::text::{Conversation, Message, Role};

use super::queue::{Job, Shared};
use super::worker::Worker;
use super::*;
use crate::answer::Answer;
use crate::generate::{AskOptions, FinishReason, Sampling, Scheduler};
use crate::parrot::tests::{image, parrot};
use crate::{Error, Image, Parrot, tiny};
use burn::prelude::*;

fn request(question: &str, images: &[Image], options: AskOptions) -> Request {
    let conversation = Conversation::question(question, images.len());
    Request { conversation, images: images.to_vec(), options }
}

fn options(max_new_tokens: usize) -> AskOptions {
    AskOptions { max_new_tokens, ..AskOptions::default() }
}

fn engine(parrot: Parrot, change: impl FnOnce(&mut EngineOptions)) -> Engine {
    let mut options = EngineOptions::default();
    change(&mut options);
    Engine::start(parrot, options).unwrap()
}

/// The memory that a prompt of `prompt_tokens` takes with an answer of `limit`.
fn bytes(parrot: &Parrot, prompt_tokens: usize, limit: usize) -> u64 {
    let positions = Scheduler::positions(prompt_tokens, limit);
    KvCache::bytes(parrot.config(), positions, parrot.decoder().activation_dtype())
}

/// Waits until this is true of the engine.
fn until(engine: &Engine, is_so: impl Fn(EngineStats) -> bool) {
    let started = Instant::now();
    while !is_so(engine.stats()) {
        assert!(started.elapsed() < Duration::from_secs(60), "{:?}", engine.stats());
        sleep(Duration::from_millis(1));
    }
}

/// Thirty-two questions: six languages, no image, one and two, short and long, greedy and drawn, ending early and late.
fn requests() -> Vec<Request> {
    let questions =
        ["What is this?", "这是什么?", "O que é isto?", "ما هذا؟", "Bu nedir?", "Что это такое, и почему?"];
    let one = |number: usize| {
        let question = questions[number % questions.len()].repeat(1 + number % 3);
        let images: Vec<Image> = (0..number % 3).map(|at| image((number % 5 + at) as u8)).collect();
        let mut conversation = Conversation::question(&question, images.len());
        if number.is_multiple_of(4) {
            conversation.0.insert(0, Message::text(Role::System, "Be brief."));
        }
        let sampling = match number % 3 {
            0 => Sampling { temperature: Some(1.2), seed: number as u64, ..Sampling::default() },
            1 => Sampling { frequency_penalty: 0.5, logit_bias: vec![(7, 2.0)], ..Sampling::default() },
            _ => Sampling::default(),
        };
        // Some are plainly greedy, so that no scores leave the device for them.
        let top_logprobs = (number % 8 != 2).then_some(number % 4);
        let options = AskOptions { sampling, top_logprobs, ..self::options(3 + 5 * number % 37) };
        Request { conversation, images, options }
    };
    (0..32).map(one).collect()
}

/// All that should be the same, the floats as bits.
fn essence(answer: &Answer) -> (Vec<u32>, Vec<Vec<u32>>, Vec<u32>, String, FinishReason) {
    let logprobs = answer.logprobs.iter().map(|token| {
        let top = token.top.iter().flat_map(|top| [top.id, top.logprob.to_bits()]);
        [token.id, token.logprob.to_bits()].into_iter().chain(top).collect()
    });
    let routing = answer.routing_weights.iter().flatten().map(|weight| weight.to_bits()).collect();
    (answer.token_ids.clone(), logprobs.collect(), routing, answer.text.clone(), answer.finish_reason)
}

#[test]
fn an_answer_among_31_others_is_bit_for_bit_what_it_is_alone() {
    let model = parrot(0);
    let alone: Vec<Answer> = requests()
        .iter()
        .map(|Request { conversation, images, options }| {
            model.answer(conversation, images, options, |_| ControlFlow::Continue(())).unwrap()
        })
        .collect();
    let mut texts: Vec<_> = alone.iter().map(|answer| answer.token_ids.clone()).collect();
    texts.sort();
    texts.dedup();
    assert!(texts.len() > 24, "the questions should have different answers");

    for max_running in [32, 5] {
        let engine = engine(parrot(0), |options| options.max_running = max_running);
        let answering: Vec<_> =
            requests().into_iter().map(|request| engine.submit(request).unwrap()).collect();
        for (number, (answering, alone)) in answering.into_iter().zip(&alone).enumerate() {
            let answer = answering.wait().unwrap();
            assert_eq!(essence(&answer), essence(alone), "question {number}, {max_running} at once");
            assert_eq!(answer.prompt_tokens, alone.prompt_tokens);
        }
        let stats = engine.stats();
        assert_eq!((stats.finished, stats.failed, stats.cancelled), (32, 0, 0));
        let mean = stats.decoded_tokens as f64 / stats.decode_steps as f64;
        assert!(mean > max_running as f64 / 3.0, "{mean} sequences in a step of {max_running}");
    }
}

#[test]
fn a_prompt_that_is_read_in_chunks_is_the_same_among_others_and_does_not_stop_them() {
    let in_chunks = |options: &mut EngineOptions| options.prefill_chunk = 7;
    let engine = engine(parrot(8), in_chunks);
    let alone: Vec<Answer> =
        requests().into_iter().map(|request| engine.submit(request).unwrap().wait().unwrap()).collect();
    let together: Vec<_> = requests().into_iter().map(|request| engine.submit(request).unwrap()).collect();
    for (together, alone) in together.into_iter().zip(&alone) {
        assert_eq!(essence(&together.wait().unwrap()), essence(alone));
    }

    // A long prompt comes while another is answered: of that one, tokens come between the chunks.
    let mut first = engine.submit(request("Hm?", &[], options(150))).unwrap();
    assert!(matches!(first.next(), Some(Event::Started { .. })));
    assert!(matches!(first.next(), Some(Event::Text { .. })));
    let before = engine.stats();
    let second = engine.submit(request(&"long ".repeat(36), &[], options(1))).unwrap();
    second.wait().unwrap();
    let after = engine.stats();
    assert!(after.prompt_tokens - before.prompt_tokens >= 180);
    assert!(after.decode_steps - before.decode_steps >= 180 / 7, "{before:?} {after:?}");
}

#[test]
fn two_chunks_of_a_prompt_at_once_are_the_same_as_one_after_the_other() {
    let engine = engine(parrot(8), |options| options.prefill_chunk = 40);
    let long =
        || request(&"long ".repeat(36), &[image(1)], AskOptions { top_logprobs: Some(2), ..options(4) });
    // Two and two, and what is left.
    let alone = engine.submit(long()).unwrap().wait().unwrap();
    assert!(alone.prompt_tokens > 160 && !alone.prompt_tokens.is_multiple_of(40), "{}", alone.prompt_tokens);
    // One by one, as another answer waits for each.
    let mut other = engine.submit(request("Hm?", &[], options(150))).unwrap();
    assert!(matches!(other.next(), Some(Event::Started { .. })));
    assert_eq!(essence(&engine.submit(long()).unwrap().wait().unwrap()), essence(&alone));
    assert!(other.wait().is_ok());
}

#[test]
fn text_that_comes_fast_is_sent_together() {
    let count = |interval: Duration| {
        let engine = engine(parrot(8), |options| options.text_interval = interval);
        let options = AskOptions { top_logprobs: Some(1), ..options(40) };
        let (mut pieces, mut text, mut tokens) = (0, String::new(), Vec::new());
        for event in engine.submit(request("What is this?", &[image(1)], options)).unwrap() {
            match event {
                Event::Text { text: piece, tokens: some } => {
                    pieces += 1;
                    text += &piece;
                    tokens.extend(some);
                }
                Event::Finished(answer) => {
                    assert_eq!(text, answer.text);
                    assert_eq!(tokens[..], answer.logprobs[..tokens.len()]);
                    return (pieces, text);
                }
                _ => {}
            }
        }
        panic!("no end");
    };
    let (each, text) = count(Duration::ZERO);
    // The first goes at once, and all others with the end.
    assert_eq!(count(Duration::MAX), (2, text));
    assert!(each > 2);
}

#[test]
fn events_tell_the_whole_answer() {
    let engine = engine(parrot(8), |_| ());
    let options = AskOptions { top_logprobs: Some(2), ..options(20) };
    let mut answering = engine.submit(request("What is this?", &[image(1)], options)).unwrap();
    assert!(matches!(answering.next(), Some(Event::Started { .. })));
    let Some(Event::Routing(routing)) = answering.next() else { panic!("the routing comes first") };
    let (mut text, mut tokens) = (String::new(), Vec::new());
    let answer = loop {
        match answering.next() {
            Some(Event::Text { text: piece, tokens: some }) => {
                assert!(!piece.is_empty() && !some.is_empty());
                text += &piece;
                tokens.extend(some);
            }
            Some(Event::Finished(answer)) => break answer,
            other => panic!("{other:?}"),
        }
    };
    assert!(answering.next().is_none());
    assert_eq!((&text, &routing), (&answer.text, &answer.routing_weights));
    assert_eq!(tokens[..], answer.logprobs[..tokens.len()]);
    assert_eq!(answer.logprobs.len(), answer.token_ids.len());
    for (token, id) in answer.logprobs.iter().zip(&answer.token_ids) {
        assert_eq!((token.id, token.top.len()), (*id, 2));
        // Greedy, so what was chosen is the likeliest.
        assert_eq!((token.top[0].id, token.top[0].logprob), (*id, token.logprob));
        assert!(token.top[1].logprob <= token.logprob && token.logprob < 0.0);
    }
    let bytes: Vec<u8> = tokens.iter().flat_map(|token| token.bytes.clone()).collect();
    assert_eq!(String::from_utf8_lossy(&bytes), text);
    assert_eq!(answer.encoded_images, 1);
}

#[test]
fn who_does_not_fit_waits_and_who_never_will_is_refused() {
    let model = parrot(8);
    let prompt = model.ask_many(&[], "Hm?").unwrap().prompt_tokens;
    let budget = bytes(&model, prompt, 40);
    let engine = engine(model, |options| options.cache_bytes = budget);
    let refused = engine.submit(request("Hm?", &[], options(41)));
    let Err(Error::NeverFits { needed, budget: told }) = refused else { panic!("{refused:?}") };
    assert_eq!(told, budget);
    assert_eq!(needed, budget + bytes(&parrot(0), 1, 1));
    // Any two are too large together.
    let answering: Vec<_> =
        (0..4).map(|at| engine.submit(request("Hm?", &[], options(30 + at))).unwrap()).collect();
    for (at, answering) in answering.into_iter().enumerate() {
        assert_eq!(answering.wait().unwrap().token_ids.len(), 30 + at);
    }
    let stats = engine.stats();
    assert_eq!(stats.decode_steps, stats.decoded_tokens, "one at a time");
    assert_eq!(stats.cache_budget, budget);
    until(&engine, |stats| stats.running == 0 && stats.cache_bytes == 0);
}

#[test]
fn an_answer_that_nobody_waits_for_frees_its_memory() {
    let model = parrot(8);
    let budget = bytes(&model, 60, 200);
    let engine = engine(model, |options| options.cache_bytes = budget);
    let mut first = engine.submit(request("Hm?", &[], options(200))).unwrap();
    assert!(matches!(first.next(), Some(Event::Started { .. })));
    // One that waits is dropped as well, and the one behind it gets its turn.
    let waiting = engine.submit(request("Hm?", &[], options(200))).unwrap();
    let last = engine.submit(request("Hm?", &[], options(190))).unwrap();
    drop(waiting);
    drop(first);
    assert_eq!(last.wait().unwrap().token_ids.len(), 190);
    let stats = engine.stats();
    assert_eq!((stats.finished, stats.cancelled), (1, 2));
    assert!(stats.generated_tokens < 2 * 190, "{stats:?}");
    until(&engine, |stats| stats.running == 0 && stats.cache_bytes == 0 && stats.waiting == 0);
}

#[test]
fn a_full_queue_takes_no_more_and_time_passes_while_waiting() {
    let limits = |options: &mut EngineOptions| (options.max_running, options.max_waiting) = (1, 1);
    let engine = engine(parrot(8), limits);
    let mut first = engine.submit(request("Hm?", &[], options(200))).unwrap();
    assert!(matches!(first.next(), Some(Event::Started { .. })));
    let timed = AskOptions { time_limit: Some(Duration::ZERO), ..options(200) };
    let second = engine.submit(request("Hm?", &[], timed)).unwrap();
    let late = second.wait().unwrap();
    assert_eq!((late.finish_reason, late.token_ids.len()), (FinishReason::TimeLimit, 0));
    let _second = engine.submit(request("Hm?", &[], options(200))).unwrap();
    let refused = engine.submit(request("Hm?", &[], options(1)));
    assert!(matches!(refused, Err(Error::QueueFull { limit: 1 })), "{refused:?}");
}

#[test]
fn what_is_bad_is_refused_at_once() {
    let engine = engine(parrot(8), |_| ());
    let refuse = |request| engine.submit(request).unwrap_err().to_string();
    assert_eq!(refuse(request("?", &[], options(0))), "max_new_tokens should be at least 1, found 0");
    let long = refuse(request(&"x".repeat(tiny::CONTEXT), &[], options(1)));
    assert!(long.contains("more than the context of 256 holds"), "{long}");
    let sampling = Sampling { logit_bias: vec![(259, 1.0)], ..Sampling::default() };
    let biased = refuse(request("?", &[], AskOptions { sampling, ..options(1) }));
    assert_eq!(biased, "logit_bias should be of tokens in the vocabulary, found 259");
    let miscounted = Request { images: Vec::new(), ..request("?", &[image(1)], options(1)) };
    assert!(refuse(miscounted).contains("image"));
    let zero = Engine::start(parrot(8), EngineOptions { max_running: 0, ..EngineOptions::default() });
    assert_eq!(zero.unwrap_err().to_string(), "max_running should be at least 1, found 0");
}

/// Takes these in, and computes until all have their answers.
fn answer_all(worker: &mut Worker<'_>, jobs: Vec<Job>) {
    worker.turn(jobs);
    while !worker.is_idle() {
        worker.turn(Vec::new());
    }
}

#[test]
fn an_image_that_fails_is_the_fault_of_those_who_ask_about_it() {
    let shared = Shared::new(parrot(0), EngineOptions::default());
    let mut worker = Worker::new(&shared);
    let empty = Image::from_rgb(::image::RgbImage::new(0, 4));
    let requests = [&[image(1)][..], &[image(1), empty], &[]];
    let (jobs, answering): (Vec<_>, Vec<_>) =
        requests.into_iter().map(|images| shared.job(request("Hm?", images, options(1))).unwrap()).unzip();
    answer_all(&mut worker, jobs);
    let [good, bad, none]: [_; 3] = answering.try_into().unwrap();
    assert_eq!(good.wait().unwrap().token_ids.len(), 1);
    assert!(bad.wait().unwrap_err().to_string().contains("no pixels"));
    assert_eq!(none.wait().unwrap().token_ids.len(), 1);
}

#[test]
fn images_that_arrive_together_are_encoded_once_and_then_remembered() {
    for (remembered, again) in [(8, 0), (0, 2)] {
        let model = parrot(0);
        let image_cache_bytes = remembered * model.image_bytes();
        let shared = Shared::new(model, EngineOptions { image_cache_bytes, ..EngineOptions::default() });
        let mut worker = Worker::new(&shared);
        let mut ask = |images: &[Vec<Image>]| {
            let (jobs, answering): (Vec<_>, Vec<_>) =
                images.iter().map(|images| shared.job(request("Hm?", images, options(1))).unwrap()).unzip();
            answer_all(&mut worker, jobs);
            answering.into_iter().map(|answering| answering.wait().unwrap()).collect::<Vec<_>>()
        };
        let images = [vec![image(1)], vec![image(2), image(1)], vec![image(1)]];
        assert!(ask(&images).iter().all(|answer| answer.encoded_images == 2));
        assert_eq!(shared.parrot.remembered.used().misses, 2);
        assert!(ask(&images).iter().all(|answer| answer.encoded_images == again));
        let used = shared.parrot.remembered.used();
        assert_eq!(used.bytes, if remembered == 0 { 0 } else { 2 * shared.parrot.image_bytes() });
    }
}

/// Features of a batch are those of each image alone.
#[test]
fn images_in_a_batch_have_the_bits_that_they_have_alone() {
    let parrot = parrot(0);
    let images: Vec<Image> = (0..6).map(image).collect();
    let features = |images: &[&Image]| parrot.encode_images(images).unwrap().features;
    let together = features(&images.iter().collect::<Vec<_>>());
    for (image, together) in images.iter().zip(together) {
        let alone = features(&[image]).swap_remove(0);
        let bits = |features: ImageFeatures| {
            (features.image_features.into_data(), features.experts_output.unwrap().into_data())
        };
        assert_eq!(bits(alone), bits(together));
    }
}

/// Turns of a conversation, asked of an engine that has answered those before, and of one that has not.
fn turns(model: impl Fn() -> Parrot, conversations: &[(Conversation, &[Image])]) -> Vec<Answer> {
    let in_chunks = |options: &mut EngineOptions| options.prefill_chunk = 8;
    let engine = engine(model(), in_chunks);
    let ask = |engine: &Engine, (conversation, images): &(Conversation, &[Image])| {
        let options = AskOptions { top_logprobs: Some(1), ..options(9) };
        let request = Request { conversation: conversation.clone(), images: images.to_vec(), options };
        engine.submit(request).unwrap().wait().unwrap()
    };
    let answers: Vec<Answer> = conversations.iter().map(|asked| ask(&engine, asked)).collect();
    for (asked, answer) in conversations.iter().zip(&answers) {
        let fresh = ask(&self::engine(model(), in_chunks), asked);
        assert_eq!(essence(answer), essence(&fresh));
        assert_eq!((fresh.reused_tokens, fresh.prompt_tokens), (0, answer.prompt_tokens));
        assert_eq!(answer.reused_tokens % 8, 0);
        assert!(answer.reused_tokens < answer.prompt_tokens);
    }
    let reused: usize = answers.iter().map(|answer| answer.reused_tokens).sum();
    assert_eq!(engine.stats().reused_tokens, reused as u64);
    answers
}

/// The conversation with another turn.
fn go_on(conversation: &Conversation, said: &str, question: &str) -> Conversation {
    let mut conversation = conversation.clone();
    conversation.0.extend([Message::text(Role::Assistant, said), Message::question(question, 0)]);
    conversation
}

#[test]
fn turns_reuse_what_is_still_valid_and_are_what_they_are_afresh() {
    // Without an image: all of the turn before, but for what ends it, which is no whole chunk.
    let first = Conversation::question("What is a parrot, and what does it eat?", 0);
    let second = go_on(&first, "A bird.", "Where does it live?");
    let other = Conversation::question("What is a parrot, and how old does it get?", 0);
    let answers = turns(|| parrot(8), &[(first.clone(), &[]), (second, &[]), (other, &[]), (first, &[])]);
    let [first, second, other, again]: [Answer; 4] = answers.try_into().unwrap();
    assert_eq!((first.reused_tokens, again.reused_tokens), (0, (first.prompt_tokens - 1) / 8 * 8));
    assert!(second.reused_tokens + 16 > first.prompt_tokens);
    assert!(other.reused_tokens >= 16 && other.reused_tokens < second.reused_tokens);

    // Behind an image, which stands after a long system message: nothing, unless the same is asked again.
    let images = [image(1)];
    let system = "Answer in one short sentence.";
    let mut first = Conversation::question("What is this?", 1);
    first.0.insert(0, Message::text(Role::System, system));
    let second = go_on(&first, "A parrot.", "And where?");
    let asked = [(first.clone(), &images[..]), (second, &images), (first, &images)];
    let [first, second, again]: [Answer; 3] = turns(|| parrot(8), &asked).try_into().unwrap();
    assert_ne!(first.routing_weights, second.routing_weights);
    assert!(second.reused_tokens >= system.len() / 8 * 8 && second.reused_tokens + 16 < first.prompt_tokens);
    assert_eq!(again.reused_tokens, (first.prompt_tokens - 1) / 8 * 8);

    // Unless what the router reads is fixed.
    let steered = || parrot(8).route_by("picture").unwrap();
    let [first, second, _]: [Answer; 3] = turns(steered, &asked).try_into().unwrap();
    assert_eq!(first.routing_weights, second.routing_weights);
    assert!(second.reused_tokens + 16 > first.prompt_tokens);

    // Another image with the same words.
    let other = [image(2)];
    let asked = [(asked[0].0.clone(), &images[..]), (asked[0].0.clone(), &other)];
    let [first, second]: [Answer; 2] = turns(steered, &asked).try_into().unwrap();
    assert!(second.reused_tokens > 0 && second.reused_tokens + 16 < first.prompt_tokens);
}

#[test]
fn what_is_kept_of_prompts_leaves_room_for_answers() {
    let model = parrot(8);
    let question = |number: usize| format!("{number}{}", " and what then".repeat(4));
    let prompt = model.ask_many(&[], &question(0)).unwrap().prompt_tokens;
    let budget = 2 * bytes(&model, prompt, 20);
    let engine = engine(model, |options| (options.cache_bytes, options.prefill_chunk) = (budget, 8));
    for number in 0..6 {
        let answer = engine.submit(request(&question(number), &[], options(20))).unwrap().wait().unwrap();
        assert_eq!(answer.token_ids.len(), 20);
        let stats = engine.stats();
        assert!(stats.kept_bytes > 0 && stats.cache_bytes + stats.kept_bytes <= budget, "{stats:?}");
    }
    // The last is still there.
    let last = engine.submit(request(&question(5), &[], options(1))).unwrap().wait().unwrap();
    assert_eq!(last.reused_tokens, (prompt - 1) / 8 * 8);
}

#[test]
fn a_chat_without_an_image_reads_only_what_is_new() {
    let folder = tempfile::tempdir().unwrap();
    tiny::write(folder.path(), 8).unwrap();
    // Room for more than a chunk.
    let file = folder.path().join("config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    config["max_position_embeddings"] = 1024.into();
    std::fs::write(&file, config.to_string()).unwrap();
    let parrot = Parrot::load(folder.path(), &Device::default()).unwrap();
    let mut chat = parrot.chat(options(6));
    let no = |_: &str| ControlFlow::Continue(());
    let first = chat.ask(&"Say something. ".repeat(16), no).unwrap();
    let asked = chat.conversation().clone();
    let second = chat.ask("More.", no).unwrap();
    assert_eq!((first.reused_tokens, second.reused_tokens), (0, crate::generate::PREFILL_CHUNK));
    let afresh = parrot.answer(&go_on_from(asked, "More."), &[], &options(6), no).unwrap();
    assert_eq!(second.token_ids, afresh.token_ids);
    assert_eq!(afresh.reused_tokens, 0);
}

fn go_on_from(mut conversation: Conversation, question: &str) -> Conversation {
    conversation.0.push(Message::question(question, 0));
    conversation
}

#[test]
fn shutting_down_finishes_or_drops_and_takes_no_more() {
    let engine = engine(parrot(8), |options| options.max_running = 1);
    let answering = engine.submit(request("Hm?", &[], options(5))).unwrap();
    assert_eq!(engine.shut_down(Duration::from_secs(60)), 0);
    assert_eq!(answering.wait().unwrap().token_ids.len(), 5);
    assert!(matches!(engine.submit(request("Hm?", &[], options(5))), Err(Error::ShutDown)));

    let engine = self::engine(parrot(8), |options| options.max_running = 1);
    let answering = [200, 200].map(|tokens| engine.submit(request("Hm?", &[], options(tokens))).unwrap());
    assert_eq!(engine.shut_down(Duration::ZERO), 2);
    for answering in answering {
        assert!(matches!(answering.wait(), Err(Error::ShutDown)));
    }
}

#[test]
fn the_last_to_leave_need_not_wait() {
    let engine = engine(parrot(8), |_| ());
    let other = engine.clone();
    let answering = thread::spawn(move || other.submit(request("Hm?", &[], options(5))).unwrap());
    let answering = answering.join().unwrap();
    drop(engine);
    assert_eq!(answering.wait().unwrap().token_ids.len(), 5);
}

#[test]
fn an_engine_can_be_shared_between_threads() {
    fn is_shareable<T: Send + Sync + Clone>() {}
    fn is_a_stream<T: futures_core::Stream + Send + Unpin>() {}
    is_shareable::<Engine>();
    is_a_stream::<Answering>();
}
