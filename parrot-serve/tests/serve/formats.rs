//! Answers that must have a form.

use parrot_serve::ServeOptions;
use serde_json::{Value, json};

use crate::client::{chat, long_question, post};
use crate::server::Running;

fn schema() -> Value {
    json!({
        "type": "object", "additionalProperties": false, "required": ["kind", "sure"],
        "properties": {"kind": {"enum": ["cat", "dog"]}, "sure": {"type": "boolean"}},
    })
}

fn question() -> Value {
    json!({"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "?"}], "max_tokens": 100})
}

fn assert_in_form(text: &str) {
    let value: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert!(
        ["cat", "dog"].contains(&value["kind"].as_str().unwrap()) && value["sure"].is_boolean(),
        "{text}"
    );
}

#[test]
fn answers_follow_a_schema_in_both_interfaces() {
    let server = Running::new(ServeOptions::default());
    let mut body = question();
    body["response_format"] =
        json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema()}});
    for temperature in [0, 1] {
        body["temperature"] = temperature.into();
        body["n"] = 3.into();
        for choice in chat(&server, &body).json()["choices"].as_array().unwrap() {
            assert_in_form(choice["message"]["content"].as_str().unwrap());
            assert_eq!(choice["finish_reason"], "stop");
        }
    }
    let mut body = question();
    body["guided_choice"] = json!(["yes", "no"]);
    let answer = chat(&server, &body).json();
    assert!(
        ["yes", "no"].contains(&answer["choices"][0]["message"]["content"].as_str().unwrap()),
        "{answer}"
    );
    let body = json!({"prompt": "?", "system": "s", "stream": false, "format": schema()});
    assert_in_form(post(&server, "/api/generate", &body).json()["response"].as_str().unwrap());
}

#[test]
fn forms_that_cannot_be_followed_are_refused() {
    let server = Running::new(ServeOptions::default());
    for schema in [json!({"type": "no such type"}), json!({"$ref": "https://example.org/x"}), json!([])] {
        let mut body = question();
        body["response_format"] = json!({"type": "json_schema", "json_schema": {"schema": schema}});
        assert_eq!(chat(&server, &body).error(400), "invalid_format");
    }
    let mut body = question();
    body["response_format"] = json!({"type": "grammar"});
    let reply = chat(&server, &body);
    reply.error(400);
    assert_eq!(reply.json()["error"]["param"], "response_format.type");
}

/// Who must answer in a form changes nothing for those beside.
#[test]
fn others_answer_as_before() {
    let server = Running::new(ServeOptions::default());
    let mut body = question();
    body["logprobs"] = true.into();
    let alone = chat(&server, &body).json()["choices"][0].clone();
    let mut formed = long_question();
    formed["stream"] = false.into();
    formed["response_format"] = json!({"type": "json_object"});
    std::thread::scope(|scope| {
        let beside = scope.spawn(|| chat(&server, &formed).status);
        assert_eq!(chat(&server, &body).json()["choices"][0], alone);
        assert_eq!(beside.join().unwrap(), 200);
    });
}
