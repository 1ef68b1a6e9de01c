//! What is answered: the same as the library answers.

use std::collections::BTreeSet;
use std::path::Path;

use parrot_infer::{AskOptions, Image, Request};
use parrot_model::text::Conversation;
use parrot_serve::ServeOptions;
use serde_json::{Value, json};

use crate::client::{chat, data_url, image, question};
use crate::server::Running;

fn content(reply: &Value) -> &str {
    reply["choices"][0]["message"]["content"].as_str().unwrap()
}

#[test]
fn an_answer_is_the_library_s() {
    let server = Running::new(ServeOptions::default());
    let reply = chat(&server, &question("What is this?", &image()));
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert!(reply.headers.contains_key("x-request-id"));
    let reply = reply.json();

    let pixels = image::RgbImage::from_fn(20, 10, |x, y| image::Rgb([x as u8 * 9, y as u8 * 20, 99]));
    let request = Request {
        conversation: Conversation::question("What is this?", 1),
        images: vec![Image::from_rgb(pixels)],
        options: AskOptions { max_new_tokens: 8, ..AskOptions::default() },
    };
    let answer = server.engine.submit(request).unwrap().wait().unwrap();
    assert_eq!(content(&reply), answer.text);
    assert_eq!(reply["model"], "parrot");
    assert_eq!(reply["object"], "chat.completion");
    assert_eq!(reply["usage"]["prompt_tokens"], answer.prompt_tokens);
    assert_eq!(reply["usage"]["completion_tokens"], answer.token_ids.len());
    let weights = reply["parrot"][0]["routing"][0].as_array().unwrap();
    assert_eq!(weights.len(), 6);
    assert!((weights.iter().map(|weight| weight.as_f64().unwrap()).sum::<f64>() - 1.0).abs() < 1e-3);
}

/// The file's bytes say which format it is, whatever the client calls it.
#[test]
fn images_of_every_format_are_answered_as_from_disk() {
    let server = Running::new(ServeOptions::default());
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../parrot-model/tests/golden-pillow");
    let is_image = |path: &Path| path.extension().is_some_and(|extension| extension != "json");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut answered = BTreeSet::new();
    for path in files.filter(|path| is_image(path)) {
        let reply = chat(&server, &question("What is this?", &data_url(&std::fs::read(&path).unwrap())));
        let Ok(image) = Image::open(&path) else {
            assert_eq!(reply.error(400), "invalid_image", "{}", path.display());
            continue;
        };
        let request = Request {
            conversation: Conversation::question("What is this?", 1),
            images: vec![image],
            options: AskOptions { max_new_tokens: 8, ..AskOptions::default() },
        };
        let answer = server.engine.submit(request).unwrap().wait().unwrap();
        assert_eq!(content(&reply.json()), answer.text, "{}", path.display());
        answered.insert(path.extension().unwrap().to_str().unwrap().to_owned());
    }
    assert!(["bmp", "gif", "jpg", "png", "webp"].into_iter().eq(&answered), "{answered:?}");
}

#[test]
fn a_stream_holds_the_same_answer() {
    let server = Running::new(ServeOptions::default());
    let mut body = question("What is this?", &image());
    let whole = chat(&server, &body).json();
    body["stream"] = true.into();
    body["stream_options"] = json!({"include_usage": true});
    let reply = chat(&server, &body);
    assert_eq!(reply.headers["content-type"], "text/event-stream");
    let mut events = reply.events();
    assert_eq!(events.pop(), Some("[DONE]"));
    let events: Vec<Value> = events.into_iter().map(|event| serde_json::from_str(event).unwrap()).collect();
    // The second may have fewer to read.
    let usage = &events.last().unwrap()["usage"];
    for name in ["prompt_tokens", "completion_tokens", "total_tokens"] {
        assert_eq!(usage[name], whole["usage"][name]);
    }
    assert!(usage["prompt_tokens_details"]["cached_tokens"].is_u64(), "{usage}");
    let text: String =
        events.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(text, content(&whole));
    assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
    let routing = events.iter().find_map(|event| event["parrot"].get("routing")).unwrap();
    assert_eq!(*routing, whole["parrot"][0]["routing"]);
    let reasons: Vec<&str> =
        events.iter().filter_map(|event| event["choices"][0]["finish_reason"].as_str()).collect();
    assert_eq!(reasons, [whole["choices"][0]["finish_reason"].as_str().unwrap()]);
}

#[test]
fn several_answers_and_their_log_probabilities() {
    let server = Running::new(ServeOptions::default());
    let mut body = json!({
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "ab"}],
        "n": 3, "temperature": 1.5, "seed": 5, "max_tokens": 6, "logprobs": true, "top_logprobs": 2,
    });
    let whole = chat(&server, &body).json();
    let choices = whole["choices"].as_array().unwrap();
    assert_eq!(choices.len(), 3);
    assert_ne!(choices[0]["message"], choices[1]["message"]);
    for choice in choices {
        let scored = choice["logprobs"]["content"].as_array().unwrap();
        assert!(!scored.is_empty() && scored.len() <= 6);
        for token in scored {
            assert!(token["logprob"].as_f64().unwrap() <= 0.0 && token["bytes"].is_array(), "{token}");
            assert_eq!(token["top_logprobs"].as_array().unwrap().len(), 2);
        }
    }
    // Streamed, each answer's tokens come with the same log-probabilities.
    body["stream"] = true.into();
    let reply = chat(&server, &body);
    // OpenAI's client takes an answer's first chunk only after those of lower indices.
    for (index, event) in reply.events().into_iter().take(3).enumerate() {
        let event: Value = serde_json::from_str(event).unwrap();
        assert_eq!(event["choices"][0]["index"], index);
        assert_eq!(event["choices"][0]["delta"]["role"], "assistant");
    }
    assert_eq!(reply.text.matches("\"role\"").count(), 3);
    let mut streamed = vec![Vec::new(); 3];
    for event in reply.events().into_iter().filter(|event| *event != "[DONE]") {
        let event: Value = serde_json::from_str(event).unwrap();
        let choice = &event["choices"][0];
        let scored = choice["logprobs"]["content"].as_array().cloned().unwrap_or_default();
        streamed[choice["index"].as_u64().unwrap() as usize].extend(scored);
    }
    for (choice, streamed) in choices.iter().zip(streamed) {
        assert_eq!(*choice["logprobs"]["content"].as_array().unwrap(), streamed);
    }
}

#[test]
fn options_reach_the_engine() {
    let server = Running::new(ServeOptions::default());
    let body = |extra: Value| {
        let mut body = json!({"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "?"}], "max_tokens": 5});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        chat(&server, &body).json()
    };
    let forced = body(json!({"logit_bias": {"97": 100}}));
    assert_eq!(content(&forced), "aaaaa");
    assert_eq!(forced["choices"][0]["finish_reason"], "length");
    let stopped = body(json!({"logit_bias": {"97": 100}, "stop": ["aaa"]}));
    assert_eq!((content(&stopped), stopped["choices"][0]["finish_reason"].as_str()), ("", Some("stop")));
    let drawn = |seed: u64| body(json!({"temperature": 2, "seed": seed}))["choices"].clone();
    assert_eq!(drawn(1), drawn(1));
}

#[test]
fn a_conversation_goes_on() {
    let server = Running::new(ServeOptions::default());
    let image = json!([{"type": "image_url", "image_url": {"url": image()}}]);
    let body = json!({"max_tokens": 3, "messages": [
        {"role": "user", "content": image}, {"role": "assistant", "content": "A"}, {"role": "user", "content": image},
    ]});
    let reply = chat(&server, &body).json();
    assert_eq!(reply["parrot"][0]["routing"].as_array().unwrap().len(), 2);
}

/// Bytes that a control token is written with are bytes, in text and in names of fields.
#[test]
fn control_tokens_are_text() {
    let server = Running::new(ServeOptions::default());
    let prompt_tokens = |text: &str| {
        let body = json!({"messages": [{"role": "user", "content": text}], "max_tokens": 1});
        chat(&server, &body).json()["usage"]["prompt_tokens"].as_u64().unwrap()
    };
    let plain = prompt_tokens("x");
    for text in ["<|im_end|>", "<|im_start|>system", "<image>", "<|endoftext|>"] {
        assert_eq!(prompt_tokens(text), plain + text.len() as u64 - 1, "{text}");
    }
    let role = json!({"messages": [{"role": "<|im_start|>system", "content": "x"}]});
    assert_eq!(chat(&server, &role).error(400), "");
}
