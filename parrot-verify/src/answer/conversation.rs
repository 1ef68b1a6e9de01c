//! Conversations → ids and labels, and ids → text: all must be identical.

use parrot_model::text::{ChatTemplate, Conversation, IMAGE_TOKEN_INDEX, Tokenizer};
use serde::Deserialize;
use serde_json::Value;

use crate::Result;
use crate::golden::{Case, CaseVerdict, Fixture, reference_chat};

#[derive(Deserialize)]
struct ConversationCase {
    conversations: Value,
    generation_preface: Option<String>,
    prompt: Option<String>,
}

/// What one tokenizer makes of a conversation.
#[derive(Deserialize)]
struct Expected {
    input_ids: Vec<i64>,
    labels: Option<Vec<i64>>,
    decoded: Option<String>,
    decoded_skip_special: Option<String>,
}

/// `conversation`: a training sample, or a prompt that the model is to continue.
pub(super) fn training_or_query(fixture: &Fixture, case: &Case) -> Result<CaseVerdict> {
    let fields: ConversationCase = fixture.directory.fields(case)?;
    let conversation = reference_chat::read(&fields.conversations)?;
    compare(fixture, case, &conversation, fields.generation_preface.as_deref(), fields.prompt)
}

#[derive(Deserialize)]
struct QueryCase {
    query: String,
    prompt: Option<String>,
}

/// `conversation_query`: the short form of a single question.
pub(super) fn query(fixture: &Fixture, case: &Case) -> Result<CaseVerdict> {
    let QueryCase { query, prompt } = fixture.directory.fields(case)?;
    let conversation = reference_chat::read(&serde_json::json!([{"from": "human", "value": query}]))?;
    compare(fixture, case, &conversation, Some(""), prompt)
}

/// `conversation_error`: what the reference cannot format.
pub(super) fn error(fixture: &Fixture, case: &Case) -> Result<CaseVerdict> {
    let fields: ConversationCase = fixture.directory.fields(case)?;
    let conversation = reference_chat::read(&fields.conversations);
    Ok(match conversation.and_then(|conversation| reference_chat::prompt(&conversation, None)) {
        Err(own) => CaseVerdict::OwnError(own.to_string()),
        Ok(_) => {
            let mut checks = fixture.checks();
            checks.require(false, || "the reference fails on this conversation, this build does not".into());
            checks.into()
        }
    })
}

fn compare(
    fixture: &Fixture,
    case: &Case,
    conversation: &Conversation,
    generation_preface: Option<&str>,
    prompt: Option<String>,
) -> Result<CaseVerdict> {
    let mut checks = fixture.checks();
    if let Some(prompt) = prompt {
        checks.equal("prompt", &[reference_chat::prompt(conversation, generation_preface)?], &[prompt]);
    }
    let mut tokenizers = 0;
    for name in tokenizers_of(case) {
        let Some(expected) = expected(fixture, case, name)? else { continue };
        tokenizers += 1;
        let tokenizer = fixture.tokenizer(name)?;
        let encoded = reference_chat::encode(&tokenizer, conversation, generation_preface)?;
        checks.equal(&format!("{name}.input_ids"), &encoded.input_ids, &expected.input_ids);
        if let Some(labels) = &expected.labels {
            checks.equal(&format!("{name}.labels"), &encoded.labels, labels);
        }
        if reference_chat::reads_alike(&tokenizer, conversation, generation_preface)? {
            let own = ChatTemplate::chatml(&tokenizer)?;
            let own = match generation_preface {
                Some(preface) => own.encode_prompt(&tokenizer, conversation, preface)?,
                None => own.encode(&tokenizer, conversation)?,
            };
            checks.equal(&format!("{name}.input_ids of the template"), &own.input_ids, &encoded.input_ids);
            checks.equal(&format!("{name}.labels of the template"), &own.labels, &encoded.labels);
        }
        let text = |skip_special| decode(&tokenizer, &expected.input_ids, skip_special);
        if let Some(decoded) = &expected.decoded {
            checks.equal(&format!("{name}.decoded"), &[text(false)], std::slice::from_ref(decoded));
        }
        if let Some(decoded) = &expected.decoded_skip_special {
            checks.equal(
                &format!("{name}.decoded_skip_special"),
                &[text(true)],
                std::slice::from_ref(decoded),
            );
        }
    }
    checks.require(tokenizers > 0, || "the case expects ids of no tokenizer".into());
    Ok(checks.into())
}

/// The tokenizers that a case has ids for.
fn tokenizers_of(case: &Case) -> Vec<&str> {
    let Some(fields) = case.fields.as_object() else { return Vec::new() };
    let has_ids = |value: &Value| value.get("input_ids").is_some() || is_reference(value);
    fields.iter().filter(|(_, value)| has_ids(value)).map(|(name, _)| name.as_str()).collect()
}

/// `"same as qwen1_5"`
fn is_reference(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.starts_with("same as "))
}

fn expected(fixture: &Fixture, case: &Case, name: &str) -> Result<Option<Expected>> {
    let mut value = case.fields.get(name);
    if let Some(other) = value.and_then(Value::as_str).and_then(|text| text.strip_prefix("same as ")) {
        value = case.fields.get(other);
    }
    let Some(value) = value else { return Ok(None) };
    Expected::deserialize(value)
        .map(Some)
        .map_err(|source| fixture.directory.error(format!("case {}, {name}: {source}", case.id)))
}

/// The text of ids, pictures left out as the reference does before it decodes.
fn decode(tokenizer: &Tokenizer, ids: &[i64], skip_special: bool) -> String {
    let ids: Vec<u32> =
        ids.iter().filter(|id| **id != IMAGE_TOKEN_INDEX).filter_map(|id| u32::try_from(*id).ok()).collect();
    if skip_special { tokenizer.decode(&ids) } else { tokenizer.decode_with_special(&ids) }
}
