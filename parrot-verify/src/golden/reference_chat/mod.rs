//! How the reference implementation turns conversations into ids, its defects included.
//!
//! It writes a conversation out as one string and tokenises each message of it with every control token
//! recognised, whoever wrote it: a question that contains `<|im_end|>\n<|im_start|>system\n…` ends the user's turn
//! and opens a system turn, and a typed `<image>` asks for an image. And it tokenises `assistant\n` and the answer
//! as one string: an answer that begins with `\n` shares a token with the header (`"\n\n"`), which has no label.
//! [`ChatTemplate`](parrot_model::text::ChatTemplate) does neither; [`reads_alike`] says where the two must agree.

use parrot_model::Error;
use parrot_model::text::template::DEFAULT_SYSTEM_PROMPT;
use parrot_model::text::tokenizer::Fragment;
use parrot_model::text::{
    Conversation, Encoded, IGNORE_INDEX, IMAGE_TOKEN_INDEX, Message, Role, Tokenizer, llava,
};
use parrot_model::untrusted::Objects;
use serde::Deserialize;
use serde_json::Value;

use crate::Result;

#[cfg(test)]
mod tests;

/// A message as LLaVA's JSON has it, with the roles that the reference knows.
#[derive(Deserialize)]
struct Turn {
    from: Speaker,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Speaker {
    System,
    Human,
    Gpt,
}

/// The conversation of a case: `[{"from": "human", "value": "<image>\nWhat?"}]`.
///
/// # Errors
///
/// [`Conversation`](parrot_model::Error::Conversation) for what the reference cannot read either.
pub(crate) fn read(conversations: &Value) -> Result<Conversation> {
    let turns = Vec::<Turn>::deserialize(Objects(conversations))
        .map_err(|source| Error::Conversation { reason: source.to_string() })?;
    let message = |turn: Turn| {
        let role = match turn.from {
            Speaker::System => Role::System,
            Speaker::Human => Role::User,
            Speaker::Gpt => Role::Assistant,
        };
        llava::message(role, &turn.value)
    };
    Ok(Conversation(turns.into_iter().map(message).collect()))
}

/// The prompt as text, control tokens and `<image>` spelled out.
///
/// - generation_preface: what an answer that the model is to give begins with, as for
///   [`ChatTemplate::encode_prompt`](parrot_model::text::ChatTemplate::encode_prompt); `None`: the conversation is whole
///
/// # Errors
///
/// [`Conversation`](parrot_model::Error::Conversation) when there is no message.
pub(crate) fn prompt(conversation: &Conversation, generation_preface: Option<&str>) -> Result<String> {
    let turns = turns(conversation, generation_preface)?;
    let turns: Vec<_> = turns.iter().map(|turn| format!("<|im_start|>{}{turn}", header(turn.role))).collect();
    let end = if generation_preface.is_some() { "" } else { "<|im_end|>" };
    Ok(turns.join("<|im_end|>\n") + end)
}

/// The ids and labels.
///
/// # Errors
///
/// [`Conversation`](parrot_model::Error::Conversation) when there is no message or the text cannot be tokenised, [`Tokenizer`](parrot_model::Error::Tokenizer) when the
/// tokenizer does not have ChatML's tokens.
pub(crate) fn encode(
    tokenizer: &Tokenizer,
    conversation: &Conversation,
    generation_preface: Option<&str>,
) -> Result<Encoded> {
    let turns = turns(conversation, generation_preface)?;
    let im_start = tokenizer.control_token("<|im_start|>")?.into();
    let im_end = tokenizer.control_token("<|im_end|>")?.into();
    let line_break = encode_with_specials(tokenizer, "\n")?;
    let answer_header = 1 + tokenizer.encode_text(header(Role::Assistant))?.len();

    let mut encoded = Encoded { input_ids: Vec::new(), labels: Vec::new() };
    for (i, turn) in turns.iter().enumerate() {
        let last = i + 1 == turns.len();
        let mut ids = vec![im_start];
        for (at, text) in format!("{}{turn}", header(turn.role)).split(llava::PLACEHOLDER).enumerate() {
            if at > 0 {
                ids.push(IMAGE_TOKEN_INDEX);
            }
            ids.extend(encode_with_specials(tokenizer, text)?);
        }
        if !last || generation_preface.is_none() {
            ids.push(im_end);
        }
        if !last {
            ids.extend(&line_break);
        }
        let unlabelled = if turn.role == Role::Assistant { answer_header } else { ids.len() };
        let labels = ids.iter().enumerate().map(|(at, &id)| if at < unlabelled { IGNORE_INDEX } else { id });
        encoded.labels.extend(labels);
        encoded.input_ids.extend(ids);
    }
    Ok(encoded)
}

/// Whether the reference reads this conversation as it is meant: nobody typed a control token or a picture's
/// placeholder, and no answer begins with a line break. Its ids and labels are then this crate's.
///
/// # Errors
///
/// As [`Tokenizer::fragments`].
pub(crate) fn reads_alike(
    tokenizer: &Tokenizer,
    conversation: &Conversation,
    generation_preface: Option<&str>,
) -> Result<bool> {
    for turn in turns(conversation, generation_preface)? {
        let text = turn.to_string();
        let typed = tokenizer.fragments(&text)?.iter().any(|part| matches!(part, Fragment::Token(_)));
        if typed || (turn.role == Role::Assistant && text.trim_start_matches(' ').starts_with('\n')) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The messages with a system prompt in front, and at the end the answer that the model is to continue.
fn turns(conversation: &Conversation, generation_preface: Option<&str>) -> Result<Vec<Message>> {
    let first = conversation.0.first();
    let first = first.ok_or_else(|| Error::Conversation { reason: "it has no messages".into() })?;
    let mut turns = Vec::with_capacity(conversation.0.len() + 2);
    if first.role != Role::System {
        turns.push(Message::text(Role::System, DEFAULT_SYSTEM_PROMPT));
    }
    turns.extend(conversation.0.iter().cloned());
    turns.extend(generation_preface.map(|preface| Message::text(Role::Assistant, preface)));
    Ok(turns)
}

/// What stands behind `<|im_start|>`.
fn header(role: Role) -> &'static str {
    match role {
        Role::System => "system\n",
        Role::User => "user\n",
        Role::Assistant => "assistant\n",
    }
}

/// The ids of `text` with every token of the file recognised in it.
fn encode_with_specials(tokenizer: &Tokenizer, text: &str) -> Result<Vec<i64>> {
    let mut ids = Vec::new();
    for fragment in tokenizer.fragments(text)? {
        match fragment {
            Fragment::Token(id) => ids.push(id.into()),
            Fragment::Text(text) => ids.extend(tokenizer.encode_text(text)?.into_iter().map(i64::from)),
        }
    }
    Ok(ids)
}
