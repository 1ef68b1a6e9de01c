//! What `/api/chat` and `/api/generate` take, and what it means.

use std::collections::BTreeMap;

use parrot_infer::{AnswerFormat, AskOptions, Sampling};
use parrot_model::text::Role;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::ask::{Ask, ConversationBuilder};
use crate::error::ApiError;
use crate::images::ImageSource;
use crate::json::{check_type, is_empty, object_or_null, objects};
use crate::names::{Names, check_stops};
use crate::options::ServeOptions;

/// A conversation to be continued.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct OllamaChat {
    /// The name of a model.
    model: Option<String>,
    /// The conversation, oldest message first.
    #[serde(deserialize_with = "objects")]
    messages: Vec<OllamaMessage>,
    /// Whether the answer comes piece by piece; true if not said.
    stream: Option<bool>,
    /// What form the answer must have: `json`, or a JSON schema.
    format: Option<Value>,
    /// What shapes the answer.
    #[serde(default, deserialize_with = "object_or_null")]
    options: Option<OllamaOptions>,
    /// All other fields, of which most are refused.
    #[serde(flatten)]
    #[schema(ignore)]
    others: BTreeMap<String, Value>,
}

/// One message of a conversation.
#[derive(Debug, Deserialize, ToSchema)]
struct OllamaMessage {
    /// Who speaks.
    role: OllamaRole,
    /// What is said.
    content: Option<String>,
    /// Image files in base64.
    images: Option<Vec<String>>,
    /// All other fields, of which most are refused.
    #[serde(flatten)]
    #[schema(ignore)]
    others: BTreeMap<String, Value>,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum OllamaRole {
    /// Instructions.
    System,
    /// The user.
    User,
    /// The model.
    Assistant,
}

/// A question.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct OllamaGenerate {
    /// The name of a model.
    model: Option<String>,
    /// The question. Without one, and without images, there is no answer: a model is loaded so, which all are here.
    prompt: Option<String>,
    /// Instructions.
    system: Option<String>,
    /// Image files in base64.
    images: Option<Vec<String>>,
    /// Whether the answer comes piece by piece; true if not said.
    stream: Option<bool>,
    /// What form the answer must have: `json`, or a JSON schema.
    format: Option<Value>,
    /// What shapes the answer.
    #[serde(default, deserialize_with = "object_or_null")]
    options: Option<OllamaOptions>,
    /// All other fields, of which most are refused.
    #[serde(flatten)]
    #[schema(ignore)]
    others: BTreeMap<String, Value>,
}

/// What shapes an answer.
#[derive(Debug, Default, Deserialize, ToSchema)]
struct OllamaOptions {
    /// 0 takes the likeliest token, as does leaving it out.
    temperature: Option<f32>,
    /// Draw from this many of the likeliest tokens.
    top_k: Option<usize>,
    /// Draw from the likeliest tokens that together have this probability.
    top_p: Option<f32>,
    /// The same seed draws the same tokens.
    seed: Option<i64>,
    /// The most tokens that an answer may have; below 0 as many as there is room for.
    num_predict: Option<i64>,
    /// Accepted and without effect: the context is always as long as the model allows.
    #[serde(rename = "num_ctx")]
    _num_ctx: Option<u64>,
    /// The answer ends before the first of these.
    stop: Option<Vec<String>>,
    /// Above 1, tokens that the answer already has become less likely.
    repeat_penalty: Option<f32>,
    /// Taken off the score of every token that the answer already has.
    presence_penalty: Option<f32>,
    /// Taken off the score of a token as often as the answer already has it.
    frequency_penalty: Option<f32>,
    /// All other fields, which are refused.
    #[serde(flatten)]
    #[schema(ignore)]
    others: BTreeMap<String, Value>,
}

/// What a request comes to.
#[derive(Debug)]
pub(crate) enum Wanted {
    /// The model of this name is to be loaded.
    Load(Option<String>),
    /// An answer.
    Answer {
        /// What is asked.
        ask: Box<Ask>,
        /// Whether it comes piece by piece.
        streamed: bool,
    },
}

/// Ollama's names come with a tag, of which there is only this one here.
fn without_tag(model: Option<String>) -> Option<String> {
    model.map(|name| name.strip_suffix(":latest").map(Into::into).unwrap_or(name))
}

impl OllamaChat {
    /// What is wanted.
    pub(crate) fn translate(self, options: &ServeOptions) -> Result<Wanted, ApiError> {
        check_others(&self.others)?;
        if self.messages.is_empty() {
            return Ok(Wanted::Load(without_tag(self.model)));
        }
        let mut conversation = ConversationBuilder::new(options);
        for (at, message) in self.messages.into_iter().enumerate() {
            check_unknown(&message.others, &format!("messages[{at}]."))?;
            let param = format!("messages[{at}].images");
            let images = images(message.images, &param)?;
            let role = match message.role {
                OllamaRole::System => Role::System,
                OllamaRole::User => Role::User,
                OllamaRole::Assistant => Role::Assistant,
            };
            if role != Role::User && !images.is_empty() {
                return Err(ApiError::invalid("only the user's messages may have images").param(param));
            }
            conversation.push(role, message.content.unwrap_or_default(), images)?;
        }
        let ask = self.options.unwrap_or_default().ask(self.model, self.format, conversation, options)?;
        Ok(Wanted::Answer { ask: Box::new(ask), streamed: self.stream.unwrap_or(true) })
    }
}

impl OllamaGenerate {
    /// What is wanted.
    pub(crate) fn translate(self, options: &ServeOptions) -> Result<Wanted, ApiError> {
        check_others(&self.others)?;
        let prompt = self.prompt.unwrap_or_default();
        if prompt.is_empty() && self.images.as_ref().is_none_or(Vec::is_empty) {
            return Ok(Wanted::Load(without_tag(self.model)));
        }
        let mut conversation = ConversationBuilder::new(options);
        if let Some(system) = self.system.filter(|system| !system.is_empty()) {
            conversation.push(Role::System, system, Vec::new())?;
        }
        conversation.push(Role::User, prompt, images(self.images, "images")?)?;
        let ask = self.options.unwrap_or_default().ask(self.model, self.format, conversation, options)?;
        Ok(Wanted::Answer { ask: Box::new(ask), streamed: self.stream.unwrap_or(true) })
    }
}

impl OllamaOptions {
    fn ask(
        self,
        model: Option<String>,
        format: Option<Value>,
        conversation: ConversationBuilder,
        limits: &ServeOptions,
    ) -> Result<Ask, ApiError> {
        check_unknown(&self.others, "options.")?;
        let defaults = AskOptions::default();
        if self.num_predict == Some(0) {
            return Err(ApiError::value(
                "num_predict",
                "at least 1, or below 0 for as many as there is room for",
                0,
            ));
        }
        let max_new_tokens = self
            .num_predict
            .map_or(defaults.max_new_tokens, |most| usize::try_from(most).unwrap_or(usize::MAX));
        let options = AskOptions {
            max_new_tokens,
            sampling: Sampling {
                temperature: self.temperature,
                top_k: self.top_k,
                top_p: self.top_p,
                repetition_penalty: self.repeat_penalty.unwrap_or(1.0),
                presence_penalty: self.presence_penalty.unwrap_or(0.0),
                frequency_penalty: self.frequency_penalty.unwrap_or(0.0),
                seed: self.seed.map_or_else(rand::random, i64::cast_unsigned),
                ..Sampling::default()
            },
            stop: self.stop.unwrap_or_default(),
            format: answer_format(format)?,
            time_limit: Some(limits.request_timeout),
            ..defaults
        };
        check_stops(&options.stop)?;
        let names = Names::OLLAMA;
        options.validate().map_err(|error| names.error(error))?;
        let (conversation, images) = conversation.finish()?;
        let model = without_tag(model);
        Ok(Ask { model, conversation, images, options, choices: 1, names })
    }
}

fn answer_format(format: Option<Value>) -> Result<Option<AnswerFormat>, ApiError> {
    match format {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(name)) if name.is_empty() => Ok(None),
        Some(Value::String(name)) if name == "json" => Ok(Some(AnswerFormat::JsonObject)),
        Some(schema @ Value::Object(_)) => Ok(Some(AnswerFormat::JsonSchema(schema))),
        Some(_) => Err(ApiError::invalid("format should be \"json\" or a JSON schema").param("format")),
    }
}

/// Refuses every field that this server does not know or cannot honour.
fn check_others(others: &BTreeMap<String, Value>) -> Result<(), ApiError> {
    let is_time: fn(&Value) -> bool = |value| value.is_string() || value.is_number();
    for (name, value) in others {
        let is_neutral = match &**name {
            _ if is_empty(value) => true,
            "keep_alive" => check_type(name, value, ("a string or a number", is_time)).map(|()| true)?,
            "tools" => check_type(name, value, ("an array", Value::is_array)).map(|()| true)?,
            "think" | "raw" | "logprobs" => *value == Value::Bool(false),
            "suffix" | "template" => value.as_str() == Some(""),
            _ => false,
        };
        if !is_neutral {
            return Err(not_supported(name, ""));
        }
    }
    Ok(())
}

/// Refuses all fields of `prefix` that say anything.
fn check_unknown(others: &BTreeMap<String, Value>, prefix: &str) -> Result<(), ApiError> {
    let said = others.iter().find(|(_, value)| !is_empty(value));
    said.map_or(Ok(()), |(name, _)| Err(not_supported(name, prefix)))
}

fn not_supported(name: &str, prefix: &str) -> ApiError {
    let name: String = prefix.chars().chain(name.chars().take(100)).collect();
    let message = format!("{name} is not supported");
    ApiError::unsupported(name, message)
}

fn images(images: Option<Vec<String>>, param: &str) -> Result<Vec<ImageSource>, ApiError> {
    let images = images.unwrap_or_default().into_iter().map(|image| ImageSource::from_base64(&image));
    images
        .collect::<Result<_, _>>()
        .map_err(|reason| ApiError::invalid(reason).param(param).code("invalid_image"))
}

#[cfg(test)]
mod tests {
    use parrot_model::text::Message;
    use serde_json::json;

    use super::*;

    fn answer(wanted: Wanted) -> (Ask, bool) {
        let Wanted::Answer { ask, streamed } = wanted else { panic!("{wanted:?}") };
        (*ask, streamed)
    }

    fn chat(request: Value) -> Result<(Ask, bool), ApiError> {
        let request: OllamaChat = serde_json::from_value(request).unwrap();
        request.translate(&ServeOptions::default()).map(answer)
    }

    fn generate(request: Value) -> Result<Wanted, ApiError> {
        serde_json::from_value::<OllamaGenerate>(request).unwrap().translate(&ServeOptions::default())
    }

    #[test]
    fn a_chat_is_translated() {
        let (ask, streamed) = chat(json!({
            "model": "m:latest", "stream": false, "keep_alive": "5m", "think": false, "format": null,
            "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "?", "images": ["YQ=="]}],
            "options": {"num_predict": 3, "temperature": 0.5, "num_ctx": 4096, "stop": ["x"], "seed": 4},
        }))
        .unwrap();
        assert_eq!(ask.model.as_deref(), Some("m"));
        assert_eq!(ask.conversation.0, [Message::text(Role::System, "s"), Message::question("?", 1)]);
        assert_eq!((ask.options.max_new_tokens, ask.options.sampling.seed, streamed), (3, 4, false));
    }

    #[test]
    fn what_is_not_supported_is_refused_by_name() {
        for (name, value) in [("think", json!(true)), ("new", json!(1))] {
            let mut request = json!({"messages": [{"role": "user", "content": "?"}]});
            request[name] = value;
            assert_eq!(chat(request).unwrap_err().message, format!("{name} is not supported"));
        }
    }

    #[test]
    fn a_format_is_json_or_a_schema() {
        let format = |format: Value| {
            let request = json!({"messages": [{"role": "user", "content": "?"}], "format": format});
            chat(request).map(|(ask, _)| ask.options.format)
        };
        assert_eq!(format(json!("")), Ok(None));
        assert_eq!(format(json!("json")), Ok(Some(AnswerFormat::JsonObject)));
        let schema = json!({"type": "object"});
        assert_eq!(format(schema.clone()), Ok(Some(AnswerFormat::JsonSchema(schema))));
        assert!(format(json!("xml")).is_err() && format(json!(7)).is_err());
    }

    #[test]
    fn a_question_is_translated() {
        let request = json!({"prompt": "?", "system": "s", "images": ["YQ"], "options": {"num_predict": -1}});
        let (ask, streamed) = answer(generate(request).unwrap());
        assert_eq!(ask.conversation.0, [Message::text(Role::System, "s"), Message::question("?", 1)]);
        assert_eq!((ask.options.max_new_tokens, streamed), (usize::MAX, true));
    }

    #[test]
    fn who_asks_nothing_has_a_model_loaded() {
        for request in [json!({"model": "m:latest"}), json!({"model": "m", "prompt": "", "system": "s"})] {
            let Ok(Wanted::Load(model)) = generate(request) else { panic!("not loaded") };
            assert_eq!(model.as_deref(), Some("m"));
        }
        let image = json!({"prompt": "", "images": ["YQ=="]});
        assert!(matches!(generate(image), Ok(Wanted::Answer { .. })));
        let chat: OllamaChat = serde_json::from_value(json!({"messages": []})).unwrap();
        assert!(matches!(chat.translate(&ServeOptions::default()), Ok(Wanted::Load(None))));
    }

    #[test]
    fn what_says_nothing_is_accepted() {
        let (ask, _) = chat(json!({
            "messages": [
                {"role": "user", "images": ["YQ=="]},
                {"role": "assistant", "content": null, "thinking": null, "tool_calls": []},
                {"role": "user", "content": "?", "tool_calls": null},
            ],
            "options": {"typical_p": null, "x": []}, "y": [], "tools": [{}], "keep_alive": -1,
        }))
        .unwrap();
        let expected =
            [Message::question("", 1), Message::text(Role::Assistant, ""), Message::question("?", 0)];
        assert_eq!(ask.conversation.0, expected);
    }

    #[test]
    fn what_is_wrong_has_ollama_s_name() {
        let message = json!({"role": "user", "content": "?"});
        for (request, expected) in [
            (
                json!({"options": {"repeat_penalty": 0}}),
                "repeat_penalty should be between 0.01 and 100, found 0",
            ),
            (json!({"options": {"stop": [""]}}), "stop should be at least one character long"),
            (json!({"options": {"typical_p": 0.5}}), "options.typical_p is not supported"),
            (json!({"tools": "x"}), "tools should be an array, found a string"),
            (json!({"keep_alive": {}}), "keep_alive should be a string or a number, found an object"),
            (
                json!({"messages": [{"role": "user", "content": "?", "thinking": "x"}]}),
                "messages[0].thinking is not supported",
            ),
        ] {
            let mut whole = json!({"messages": [message]});
            whole.as_object_mut().unwrap().extend(request.as_object().unwrap().clone());
            let error = chat(whole).unwrap_err();
            assert!(error.message.starts_with(expected), "{}", error.message);
        }
        let array = br#"{"messages": [{"role": "user", "content": "?"}], "options": ["x"]}"#;
        let error = crate::json::parse::<OllamaChat>(array).unwrap_err();
        assert!(
            error.message.starts_with("options: invalid type: a list, expected an object"),
            "{}",
            error.message
        );
    }
}
