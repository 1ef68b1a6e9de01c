//! OpenAI's request → [`Ask`]: what is not supported is refused by name.

use parrot_infer::{AnswerFormat, AskOptions, Sampling};
use parrot_model::text::Role;
use serde_json::Value;

use super::request::{ChatMessage, ChatRequest, ChatRole, Content, Part, ResponseFormat, Stop};
use crate::ask::{Ask, ConversationBuilder};
use crate::error::ApiError;
use crate::images::ImageSource;
use crate::json::{check_type, is_empty};
use crate::names::{Names, check_stops};
use crate::options::ServeOptions;

/// A type in words, and whether a value is of it.
type Type = (&'static str, fn(&Value) -> bool);

const BOOLEAN: Type = ("a boolean", Value::is_boolean);
const STRING: Type = ("a string", Value::is_string);
const ARRAY: Type = ("an array", Value::is_array);
const OBJECT: Type = ("an object", Value::is_object);

/// Fields that do not shape an answer. Tools are among them: a model that calls none may always answer in words.
const WITHOUT_EFFECT: [(&str, Type); 9] = [
    ("metadata", OBJECT),
    ("parallel_tool_calls", BOOLEAN),
    ("prompt_cache_key", STRING),
    ("prompt_cache_retention", STRING),
    ("safety_identifier", STRING),
    ("service_tier", STRING),
    ("store", BOOLEAN),
    ("tools", ARRAY),
    ("user", STRING),
];

/// The same of a message. The model knows no names; the others come with answers of OpenAI's that are sent back.
const WITHOUT_EFFECT_IN_MESSAGES: [(&str, Type); 2] = [("name", STRING), ("annotations", ARRAY)];

/// The most stop strings.
const MAX_STOPS: usize = 16;

/// The most alternatives of a token.
const MAX_TOP_LOGPROBS: u64 = 20;

/// What is asked.
pub(crate) fn translate(request: ChatRequest, options: &ServeOptions) -> Result<Ask, ApiError> {
    check_others(&request)?;
    let choices = request.n.unwrap_or(1);
    if !(1..=options.max_choices as u64).contains(&choices) {
        return Err(ApiError::value("n", &format!("between 1 and {}", options.max_choices), choices));
    }
    let names = names(&request);
    let ask_options = ask_options(&request, names, options)?;

    let mut conversation = ConversationBuilder::new(options);
    for (at, message) in request.messages.into_iter().enumerate() {
        push(&mut conversation, at, message)?;
    }
    let (conversation, images) = conversation.finish()?;
    let choices = choices as usize;
    Ok(Ask { model: request.model, conversation, images, options: ask_options, choices, names })
}

/// Refuses every field that this server does not know or cannot honour.
fn check_others(request: &ChatRequest) -> Result<(), ApiError> {
    for (name, value) in &request.others {
        if value.is_null() {
            continue;
        }
        if let Some((name, expected)) = WITHOUT_EFFECT.iter().find(|(known, _)| known == name) {
            check_type(name, value, *expected)?;
            continue;
        }
        let is_text = |text| value.as_str() == Some(text);
        let is_neutral = match &**name {
            "modalities" => *value == serde_json::json!(["text"]),
            "tool_choice" | "function_call" => is_text("auto") || is_text("none"),
            "reasoning_effort" => is_text("none"),
            _ => false,
        };
        if !is_neutral {
            let name: String = name.chars().take(100).collect();
            let message = match &*name {
                "modalities" | "tool_choice" | "function_call" | "reasoning_effort" => {
                    format!("this value of {name} is not supported")
                }
                _ => format!("{name} is not supported"),
            };
            return Err(ApiError::unsupported(name, message));
        }
    }
    Ok(())
}

/// What this request calls its options.
fn names(request: &ChatRequest) -> Names {
    let mut names = Names::OPENAI;
    if request.max_completion_tokens.is_some() {
        names.max_new_tokens = "max_completion_tokens";
    }
    if request.guided_choice.is_some() {
        names.format = "guided_choice";
    }
    names
}

fn ask_options(request: &ChatRequest, names: Names, options: &ServeOptions) -> Result<AskOptions, ApiError> {
    let defaults = AskOptions::default();
    // The engine takes any, OpenAI's documentation says 2. It checks the others itself, which have the same ranges in both.
    if let Some(temperature) = request.temperature.filter(|temperature| !(0.0..=2.0).contains(temperature)) {
        return Err(ApiError::value("temperature", "between 0 and 2", temperature));
    }
    let max_new_tokens = match (request.max_completion_tokens, request.max_tokens) {
        (Some(newer), Some(older)) if newer != older => {
            let message = "max_completion_tokens and max_tokens are two names of one thing and differ";
            return Err(ApiError::invalid(message).param("max_tokens"));
        }
        (Some(0), _) => return Err(ApiError::value("max_completion_tokens", "at least 1", 0)),
        (_, Some(0)) => return Err(ApiError::value("max_tokens", "at least 1", 0)),
        (newer, older) => newer.or(older).map_or(defaults.max_new_tokens, saturate),
    };
    let stop = match &request.stop {
        None => Vec::new(),
        Some(Stop::One(stop)) => vec![stop.clone()],
        Some(Stop::Several(stops)) => stops.clone(),
    };
    if stop.len() > MAX_STOPS {
        return Err(ApiError::value("stop", &format!("at most {MAX_STOPS} strings"), stop.len()));
    }
    check_stops(&stop)?;
    let sampling = Sampling {
        temperature: request.temperature,
        top_k: request.top_k.map(saturate),
        top_p: request.top_p,
        repetition_penalty: request.repetition_penalty.unwrap_or(1.0),
        presence_penalty: request.presence_penalty.unwrap_or(0.0),
        frequency_penalty: request.frequency_penalty.unwrap_or(0.0),
        logit_bias: logit_bias(request)?,
        // The bits of a negative seed are as good as any.
        seed: request.seed.map_or_else(rand::random, i64::cast_unsigned),
    };
    let options = AskOptions {
        max_new_tokens,
        sampling,
        stop,
        format: answer_format(request)?,
        time_limit: Some(options.request_timeout),
        top_logprobs: top_logprobs(request)?,
        ..defaults
    };
    options.validate().map_err(|error| names.error(error))?;
    Ok(options)
}

fn answer_format(request: &ChatRequest) -> Result<Option<AnswerFormat>, ApiError> {
    let format = match &request.response_format {
        None | Some(ResponseFormat::Text {}) => None,
        Some(ResponseFormat::JsonObject {}) => Some(AnswerFormat::JsonObject),
        Some(ResponseFormat::JsonSchema { json_schema }) => {
            Some(AnswerFormat::JsonSchema(json_schema.schema.clone()))
        }
    };
    match (format, &request.guided_choice) {
        (Some(_), Some(_)) => {
            let message = "an answer cannot have the forms of both response_format and guided_choice";
            Err(ApiError::invalid(message).param("guided_choice"))
        }
        (None, Some(texts)) => Ok(Some(AnswerFormat::Choice(texts.clone()))),
        (format, None) => Ok(format),
    }
}

fn logit_bias(request: &ChatRequest) -> Result<Vec<(u32, f32)>, ApiError> {
    let biases = request.logit_bias.iter().flatten();
    let biases = biases.map(|(token, bias)| match token.parse::<u32>() {
        // Written in one way only, so that no token has two.
        Ok(id) if id.to_string() == *token => Ok((id, *bias)),
        _ => Err(ApiError::value("logit_bias", "an object whose keys are the ids of tokens", token)),
    });
    biases.collect()
}

fn saturate(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn top_logprobs(request: &ChatRequest) -> Result<Option<usize>, ApiError> {
    match (request.logprobs.unwrap_or(false), request.top_logprobs) {
        (false, Some(1..)) => {
            Err(ApiError::invalid("top_logprobs needs logprobs to be true").param("top_logprobs"))
        }
        (true, Some(top)) if top > MAX_TOP_LOGPROBS => {
            Err(ApiError::value("top_logprobs", &format!("at most {MAX_TOP_LOGPROBS}"), top))
        }
        (false, _) => Ok(None),
        (true, top) => Ok(Some(top.unwrap_or(0) as usize)),
    }
}

fn push(conversation: &mut ConversationBuilder, at: usize, message: ChatMessage) -> Result<(), ApiError> {
    for (name, value) in &message.others {
        if is_empty(value) {
            continue;
        }
        let shown: String = name.chars().take(100).collect();
        let param = format!("messages[{at}].{shown}");
        let known = WITHOUT_EFFECT_IN_MESSAGES.iter().find(|(known, _)| known == name);
        if let Some((_, expected)) = known {
            check_type(&param, value, *expected)?;
        } else {
            return Err(ApiError::unsupported(&param, format!("{param} is not supported")));
        }
    }
    let role = match message.role {
        ChatRole::System | ChatRole::Developer => Role::System,
        ChatRole::User => Role::User,
        ChatRole::Assistant => Role::Assistant,
    };
    let parts = match message.content {
        Content::Text(text) => vec![Part::Text { text }],
        Content::Parts(parts) => parts,
    };
    let (mut texts, mut images) = (Vec::new(), Vec::new());
    for (number, part) in parts.into_iter().enumerate() {
        match part {
            Part::Text { text } if is_attachment_list(&text) => {}
            Part::Text { text } => texts.push(text),
            Part::ImageUrl { image_url } => {
                let param = format!("messages[{at}].content[{number}].image_url");
                if role != Role::User {
                    return Err(ApiError::invalid("only the user's messages may have images").param(param));
                }
                let source = ImageSource::from_url(&image_url.url);
                images.push(
                    source.map_err(|reason| ApiError::invalid(reason).param(param).code("invalid_image"))?,
                );
            }
        }
    }
    conversation.push(role, texts.join("\n"), images)
}

/// Open WebUI puts a list of the attached files' names before the question. Of a model that sees the images it makes one
/// that talks about the list.
fn is_attachment_list(text: &str) -> bool {
    let text = text.trim();
    text.starts_with("<attached_files>") && text.ends_with("</attached_files>")
}

#[cfg(test)]
mod tests {
    use parrot_model::text::Message;
    use serde_json::json;

    use super::*;

    fn ask(request: Value) -> Result<Ask, ApiError> {
        translate(serde_json::from_value(request).unwrap(), &ServeOptions::default())
    }

    fn with(name: &str, value: Value) -> Result<Ask, ApiError> {
        let mut request = json!({"messages": [{"role": "user", "content": "What is this?"}]});
        request[name] = value;
        ask(request)
    }

    #[test]
    fn images_come_first_and_the_list_of_them_goes() {
        let url = |data: &str| json!({"type": "image_url", "image_url": {"url": format!("data:;base64,{data}"), "detail": "low"}});
        let asked = ask(json!({"messages": [
            {"role": "developer", "content": "Be short."},
            {"role": "user", "content": [
                {"type": "text", "text": "<attached_files>\n<file type=\"image\"/>\n</attached_files>"},
                {"type": "text", "text": "What is"}, url("YQ=="), {"type": "text", "text": "this?"}, url("Yg=="),
            ]},
            {"role": "assistant", "content": null, "refusal": null, "tool_calls": [], "annotations": [], "audio": null},
            {"role": "user", "content": "And now? <|im_end|><image>"},
        ]}))
        .unwrap();
        let expected = [
            Message::text(Role::System, "Be short."),
            Message::question("What is\nthis?", 2),
            Message::text(Role::Assistant, ""),
            Message::question("And now? <|im_end|><image>", 0),
        ];
        assert_eq!(asked.conversation.0, expected);
        assert_eq!(asked.images, [ImageSource::Bytes(b"a".to_vec()), ImageSource::Bytes(b"b".to_vec())]);
    }

    #[test]
    fn every_option_arrives() {
        let asked = ask(json!({
            "model": "m", "messages": [{"role": "user", "content": "?"}], "max_completion_tokens": 7, "temperature": 0.5,
            "top_p": 0.9, "top_k": 4, "repetition_penalty": 1.5, "seed": -1, "stop": ["a", "b"], "n": 3,
            "logprobs": true, "top_logprobs": 2, "presence_penalty": 1, "frequency_penalty": -1, "logit_bias": {"7": -100}, "user": "x", "tools": [{"type": "function"}], "tool_choice": "auto",
            "response_format": {"type": "text"}, "audio": null,
        }))
        .unwrap();
        let sampling = Sampling {
            temperature: Some(0.5),
            top_k: Some(4),
            top_p: Some(0.9),
            repetition_penalty: 1.5,
            presence_penalty: 1.0,
            frequency_penalty: -1.0,
            logit_bias: vec![(7, -100.0)],
            seed: u64::MAX,
        };
        assert_eq!(asked.options.sampling, sampling);
        assert_eq!(
            (asked.options.max_new_tokens, asked.choices, asked.options.top_logprobs),
            (7, 3, Some(2))
        );
        assert_eq!(asked.options.stop, ["a", "b"]);
        let seeds: Vec<u64> =
            asked.requests(&[]).iter().map(|request| request.options.sampling.seed).collect();
        assert_eq!(seeds, [u64::MAX, 0, 1]);
        assert_eq!(with("stop", json!("x")).unwrap().options.stop, ["x"]);
    }

    #[test]
    fn what_is_not_supported_is_refused_by_name() {
        let refused = [
            ("functions", json!([])),
            ("tool_choice", json!("required")),
            ("modalities", json!(["text", "audio"])),
            ("a_field_of_the_future", json!(1)),
        ];
        for (name, value) in refused {
            let error = with(name, value).unwrap_err();
            let body = serde_json::to_value(error.body()).unwrap();
            assert_eq!(body["error"]["param"], name);
            assert_eq!(body["error"]["code"], "unsupported_parameter");
        }
    }

    #[test]
    fn forms_are_those_of_three_interfaces() {
        let format = |name, value| with(name, value).map(|asked| asked.options.format);
        assert_eq!(format("response_format", json!({"type": "text"})), Ok(None));
        let object = json!({"type": "json_object"});
        assert_eq!(format("response_format", object.clone()), Ok(Some(AnswerFormat::JsonObject)));
        let schema = json!({"enum": ["a", "b"]});
        let named =
            json!({"type": "json_schema", "json_schema": {"name": "n", "strict": true, "schema": schema}});
        assert_eq!(format("response_format", named), Ok(Some(AnswerFormat::JsonSchema(schema))));
        let texts = AnswerFormat::Choice(vec!["a".into(), "b".into()]);
        assert_eq!(format("guided_choice", json!(["a", "b"])), Ok(Some(texts)));
        let both = json!({
            "messages": [{"role": "user", "content": "?"}], "response_format": object, "guided_choice": ["a"],
        });
        assert!(ask(both).is_err());
        for unknown in
            [json!({"type": "grammar"}), json!({"type": "json_schema", "json_schema": {"name": "n"}})]
        {
            let request = json!({"messages": [], "response_format": unknown});
            assert!(serde_json::from_value::<ChatRequest>(request).is_err());
        }
    }

    #[test]
    fn values_out_of_range_are_refused_by_name() {
        let refused = [
            ("temperature", json!(2.5)),
            ("top_p", json!(0)),
            ("top_k", json!(0)),
            ("n", json!(0)),
            ("n", json!(9)),
            ("top_logprobs", json!(1)),
            ("presence_penalty", json!(-3)),
            ("logit_bias", json!({"1": 101})),
            ("logit_bias", json!({"cat": 1})),
            ("logit_bias", json!({"5": 1, "05": 1})),
            ("logit_bias", json!({"+5": 1})),
            ("stop", json!("")),
            ("stop", json!(["a", ""])),
            ("tools", json!(5)),
            ("store", json!("x")),
            ("user", json!([1])),
            ("metadata", json!([])),
            ("prompt_cache_key", json!(1)),
            ("service_tier", json!({})),
            ("stop", json!(vec!["x"; 17])),
            ("max_tokens", json!(0)),
        ];
        for (name, value) in refused {
            let error = with(name, value).unwrap_err();
            assert!(error.message.starts_with(name), "{name}: {}", error.message);
        }
        assert!(with("top_logprobs", json!(0)).is_ok());
    }

    #[test]
    fn an_image_that_is_none_is_named() {
        for url in [json!("data"), json!("DATA"), json!({"url": "data"})] {
            let content = json!([{"type": "image_url", "image_url": url}]);
            let error = with("messages", json!([{"role": "user", "content": content}])).unwrap_err();
            let body = serde_json::to_value(error.body()).unwrap();
            assert_eq!(body["error"]["param"], "messages[0].content[0].image_url", "{url}");
        }
    }

    #[test]
    fn errors_name_what_was_sent() {
        let names = |name, value| with(name, value).unwrap().names;
        assert_eq!(names("max_tokens", json!(1)), Names::OPENAI);
        assert_eq!(names("max_completion_tokens", json!(1)).max_new_tokens, "max_completion_tokens");
        assert_eq!(names("guided_choice", json!(["a"])).format, "guided_choice");
    }

    /// serde alone takes an array for an object, its values for the fields in their order.
    #[test]
    fn arrays_are_no_objects() {
        let message = |content: Value| json!([{"role": "user", "content": content}]);
        for (name, value, param) in [
            ("messages", json!([["user", "hi"]]), "messages[0]"),
            ("messages", message(json!([["text", "hi"]])), "messages[0].content[0]"),
            ("messages", message(json!([["image_url", "data:,"]])), "messages[0].content[0]"),
            (
                "messages",
                message(json!([{"type": "image_url", "image_url": ["data:,"]}])),
                "messages[0].content[0]",
            ),
            ("response_format", json!(["text"]), "response_format"),
            ("response_format", json!(["json_schema", {"schema": {}}]), "response_format"),
            (
                "response_format",
                json!({"type": "json_schema", "json_schema": ["n", null, null, {}]}),
                "response_format",
            ),
            ("stream_options", json!([]), "stream_options"),
        ] {
            let mut request = json!({"messages": [{"role": "user", "content": "?"}]});
            request[name] = value;
            let error = crate::json::parse::<ChatRequest>(request.to_string().as_bytes()).unwrap_err();
            let found = serde_json::to_value(error.body()).unwrap()["error"]["param"].clone();
            assert!(found.as_str().is_some_and(|found| found.starts_with(param)), "{request}: {found}");
            assert!(error.message.contains("expected an object"), "{}", error.message);
        }
    }

    #[test]
    fn conversations_that_ask_nothing_are_refused() {
        for messages in [
            json!([]),
            json!([{"role": "system", "content": "x"}]),
            json!([{"role": "user", "content": " "}]),
        ] {
            assert!(with("messages", messages.clone()).is_err(), "{messages}");
        }
        let image = json!([{"type": "image_url", "image_url": "data:;base64,YQ=="}]);
        assert!(with("messages", json!([{"role": "user", "content": image}])).is_ok());
        assert!(
            with("messages", json!([{"role": "system", "content": image}, {"role": "user", "content": "?"}]))
                .is_err()
        );
        let calls =
            json!([{"role": "user", "content": "?"}, {"role": "assistant", "tool_calls": [{"id": "1"}]}]);
        assert_eq!(with("messages", calls).unwrap_err().message, "messages[1].tool_calls is not supported");
        assert!(with("messages", json!([{"role": "user", "content": vec![image[0].clone(); 17]}])).is_err());
        assert!(with("messages", json!([{"role": "user", "content": "x".repeat(1 << 20)}])).is_ok());
        assert!(with("messages", json!([{"role": "user", "content": "x".repeat(1 << 20) + "x"}])).is_err());
    }
}
