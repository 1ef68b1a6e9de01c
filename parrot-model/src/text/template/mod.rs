//! How a conversation becomes a prompt: the layouts that decoders were trained to read.
//!
//! | template | for | |
//! |---|---|---|
//! | ChatML | Parrot, Qwen, SmolLM2 | built in |
//! | Llama 3 | Llama 3.x | built in |
//! | plain | decoders that do not chat | built in |
//! | the checkpoint's own | Mistral, … | Jinja, with the cargo feature `jinja` |
//!
//! Whatever the template, what a user types never becomes a control token.

mod chatml;
mod files;
#[cfg(feature = "jinja")]
mod jinja;
mod llama3;
mod plain;

use super::tokenizer::Before;
use super::{Conversation, Encoded, Message, Role, Tokenizer};
use crate::files::Files;
use crate::{Error, Result};
use chatml::ChatMl;
use files::{OwnTemplate, SpecialTokens, TokenizerConfig};
use llama3::Llama3;
use plain::Plain;

/// What a conversation with a Parrot begins with unless its first message is a system message.
pub const DEFAULT_SYSTEM_PROMPT: &str = "You are a helpful assistant.";

/// How a decoder's prompts are laid out. The ids in it are those of the tokenizer that it was made for, which
/// has to be given to its methods.
#[derive(Clone, Debug)]
pub struct ChatTemplate {
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    ChatMl(ChatMl),
    Llama3(Llama3),
    Plain(Plain),
    #[cfg(feature = "jinja")]
    Jinja(std::sync::Arc<jinja::Jinja>),
}

/// Whether the token that ends a turn follows the last message of a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LastMessage {
    /// It does, as in a conversation that is over.
    Ended,
    /// It does not: the model goes on with the message.
    Open,
}

impl ChatTemplate {
    /// The template of the checkpoint in `folder`.
    ///
    /// A [Parrot's](Self::for_parrot) is told by its tokens. A language model alone is asked as its own template says, from
    /// `chat_template.jinja` or `tokenizer_config.json`; where a built-in one gives the same prompts, that is taken. One that
    /// has no template is told by its tokens, too.
    ///
    /// # Errors
    ///
    /// [`Error::Tokenizer`] when the tokenizer has only some of the tokens that the template needs,
    /// [`Error::ChatTemplate`] for a template of its own that cannot be used, [`Error::Json`] and [`Error::Io`]
    /// for files that cannot be read.
    pub fn open(folder: impl Into<Files>, tokenizer: &Tokenizer) -> Result<Self> {
        let folder = &folder.into();
        let config = TokenizerConfig::read(folder)?;
        match &config.own_template {
            Some(own) if !files::is_parrot(folder)? => {
                let own = Self::own(own, &config.special_tokens, tokenizer)?;
                #[cfg(feature = "jinja")]
                if let Some(built_in) = own.same_built_in(tokenizer)? {
                    return Ok(built_in);
                }
                Ok(own)
            }
            _ => Self::by_tokens(&config, tokenizer),
        }
    }

    /// Whether a model says how it is asked: a Parrot does, and a language model that brings a template of its own. Otherwise
    /// [`open`](Self::open) can go by its tokens alone, and people should be told.
    ///
    /// # Errors
    ///
    /// [`Error::Json`] and [`Error::Io`] for files that cannot be read.
    pub fn is_given(folder: impl Into<Files>) -> Result<bool> {
        let folder = &folder.into();
        Ok(TokenizerConfig::read(folder)?.own_template.is_some() || files::is_parrot(folder)?)
    }

    /// The template of a Parrot whose decoder is the one in `folder`.
    ///
    /// The tokenizer's tokens tell: with `<|im_start|>` or `<|im_end|>` it is [ChatML](Self::chatml), as in the paper,
    /// whatever the decoder's own template says, and with `<|start_header_id|>` and `<|eot_id|>` that of
    /// [Llama 3](Self::llama3). Otherwise it is the decoder's own, and where there is none the decoder is one that does
    /// not chat.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn for_parrot(folder: impl Into<Files>, tokenizer: &Tokenizer) -> Result<Self> {
        Self::by_tokens(&TokenizerConfig::read(&folder.into())?, tokenizer)
    }

    fn by_tokens(config: &TokenizerConfig, tokenizer: &Tokenizer) -> Result<Self> {
        let has = |token: &str| tokenizer.has_token(token);
        if has(chatml::IM_START) || has(chatml::IM_END) {
            return Self::chatml(tokenizer);
        }
        if has(llama3::START_HEADER) && has(llama3::EOT) {
            return Self::llama3(tokenizer);
        }
        if let Some(own) = &config.own_template {
            return Self::own(own, &config.special_tokens, tokenizer);
        }
        let end = config.special_tokens.get("eos_token");
        Self::plain(tokenizer, end.map(String::as_str))
    }

    /// ChatML, conversations beginning with [`DEFAULT_SYSTEM_PROMPT`].
    ///
    /// # Errors
    ///
    /// [`Error::Tokenizer`] when `<|im_start|>` or `<|im_end|>` is no special token.
    pub fn chatml(tokenizer: &Tokenizer) -> Result<Self> {
        let chatml = ChatMl::new(tokenizer, Some(DEFAULT_SYSTEM_PROMPT.into()))?;
        Ok(Self { kind: Kind::ChatMl(chatml) })
    }

    /// The template of Llama 3, without a default system prompt.
    ///
    /// # Errors
    ///
    /// [`Error::Tokenizer`] when one of its four tokens is no special token.
    pub fn llama3(tokenizer: &Tokenizer) -> Result<Self> {
        Ok(Self { kind: Kind::Llama3(Llama3::new(tokenizer)?) })
    }

    /// No template: the messages one after the other as they are.
    ///
    /// - end_of_text: the token that ends an answer
    ///
    /// # Errors
    ///
    /// [`Error::Tokenizer`] when `end_of_text` is no special token.
    pub fn plain(tokenizer: &Tokenizer, end_of_text: Option<&str>) -> Result<Self> {
        let end_of_text = end_of_text.map(|token| tokenizer.control_token(token)).transpose()?;
        Ok(Self { kind: Kind::Plain(Plain::new(tokenizer, end_of_text)) })
    }

    /// The checkpoint's own template, even if its tokens suggest a built-in one.
    ///
    /// # Errors
    ///
    /// [`Error::ChatTemplate`] when there is none or it cannot be used; [`Error::Json`] and [`Error::Io`] for
    /// files that cannot be read.
    #[cfg(feature = "jinja")]
    pub fn open_jinja(folder: impl Into<Files>, tokenizer: &Tokenizer) -> Result<Self> {
        let folder = &folder.into();
        let config = TokenizerConfig::read(folder)?;
        match &config.own_template {
            Some(own) => Self::own(own, &config.special_tokens, tokenizer),
            None => Err(Error::ChatTemplate { path: folder.path().into(), reason: "there is none".into() }),
        }
    }

    #[cfg(feature = "jinja")]
    fn own(own: &OwnTemplate, special_tokens: &SpecialTokens, tokenizer: &Tokenizer) -> Result<Self> {
        let jinja = jinja::Jinja::new(&own.source, special_tokens, tokenizer);
        let jinja = jinja.map_err(|reason| Error::ChatTemplate { path: own.path.clone(), reason })?;
        Ok(Self { kind: Kind::Jinja(std::sync::Arc::new(jinja)) })
    }

    #[cfg(not(feature = "jinja"))]
    fn own(own: &OwnTemplate, _: &SpecialTokens, _: &Tokenizer) -> Result<Self> {
        let reason = "a program needs the cargo feature `jinja` to use it".into();
        Err(Error::ChatTemplate { path: own.path.clone(), reason })
    }

    /// The built-in template with which a model is asked in the same ids as with this one of its own.
    #[cfg(feature = "jinja")]
    fn same_built_in(&self, tokenizer: &Tokenizer) -> Result<Option<Self>> {
        let Kind::Jinja(jinja) = &self.kind else { return Ok(None) };
        let chatml = ChatMl::new(tokenizer, jinja.chatml_system_prompt());
        let chatml = chatml.map(|chatml| Self { kind: Kind::ChatMl(chatml) });
        for built_in in [chatml, Self::llama3(tokenizer)].into_iter().flatten() {
            if self.asks_like(&built_in, tokenizer)? {
                return Ok(Some(built_in));
            }
        }
        Ok(None)
    }

    /// Whether prompts and answers have the same ids as with another template, for each order in which people speak.
    #[cfg(feature = "jinja")]
    fn asks_like(&self, other: &Self, tokenizer: &Tokenizer) -> Result<bool> {
        use Role::{Assistant, System, User};
        const TEXT: &str = "\n Who?  \n";
        if self.end_of_turn() != other.end_of_turn()
            || self.encode_answer(tokenizer, TEXT)? != other.encode_answer(tokenizer, TEXT)?
        {
            return Ok(false);
        }
        let orders: [&[Role]; 6] = [
            &[User],
            &[System, User],
            &[User, Assistant, User],
            &[System, User, Assistant, User],
            &[User, Assistant, User, Assistant, User],
            &[User, User],
        ];
        Ok(orders.into_iter().all(|roles| {
            let messages = roles.iter().map(|role| Message::text(*role, TEXT));
            let conversation = Conversation(messages.collect());
            let ids = |template: &Self, answer_start: &str| {
                let prompt = template.encode_prompt(tokenizer, &conversation, answer_start);
                // A template may refuse an order that another one takes.
                prompt.map(|prompt| prompt.input_ids).ok()
            };
            ["", "It is"].iter().all(|start| ids(self, start) == ids(other, start))
        }))
    }

    /// The ids and labels of a whole conversation, every message ended: what training learns from.
    ///
    /// # Errors
    ///
    /// [`Error::Conversation`] when there is no message, when the text cannot be tokenised, or when the
    /// checkpoint's own template refuses the conversation or does with it what cannot be kept safe.
    pub fn encode(&self, tokenizer: &Tokenizer, conversation: &Conversation) -> Result<Encoded> {
        let messages = conversation.messages()?;
        let prompt = match &self.kind {
            Kind::ChatMl(chatml) => chatml.prompt(messages, LastMessage::Ended),
            Kind::Llama3(llama3) => llama3.prompt(messages, LastMessage::Ended),
            Kind::Plain(plain) => plain.prompt(messages, LastMessage::Ended),
            #[cfg(feature = "jinja")]
            Kind::Jinja(jinja) => jinja.prompt(tokenizer, messages, None)?,
        };
        prompt.encode(tokenizer)
    }

    /// The ids and labels of a conversation that the model is to answer: an assistant message stands open at its end.
    ///
    /// - answer_start: what the answer begins with, usually nothing
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode).
    pub fn encode_prompt(
        &self,
        tokenizer: &Tokenizer,
        conversation: &Conversation,
        answer_start: &str,
    ) -> Result<Encoded> {
        let messages = conversation.messages()?;
        let with_answer = || [messages, &[Message::text(Role::Assistant, answer_start)]].concat();
        let prompt = match &self.kind {
            Kind::ChatMl(chatml) => chatml.prompt(&with_answer(), LastMessage::Open),
            Kind::Llama3(llama3) => llama3.prompt(&with_answer(), LastMessage::Open),
            Kind::Plain(plain) => plain.prompt(&with_answer(), LastMessage::Open),
            #[cfg(feature = "jinja")]
            Kind::Jinja(jinja) => jinja.prompt(tokenizer, messages, Some(answer_start))?,
        };
        prompt.encode(tokenizer)
    }

    /// The ids of an answer behind its prompt, without the token that [ends](Self::end_of_turn) it.
    ///
    /// # Errors
    ///
    /// [`Error::Conversation`] when the text cannot be tokenised.
    pub fn encode_answer(&self, tokenizer: &Tokenizer, answer: &str) -> Result<Vec<u32>> {
        match &self.kind {
            Kind::ChatMl(_) | Kind::Plain(_) => tokenizer.encode_piece(answer, Before::Text),
            Kind::Llama3(_) => tokenizer.encode_piece(answer.trim(), Before::Text),
            #[cfg(feature = "jinja")]
            Kind::Jinja(jinja) => jinja.encode_answer(tokenizer, answer),
        }
    }

    /// The token that ends an answer; a plain decoder may have none.
    #[must_use]
    pub fn end_of_turn(&self) -> Option<u32> {
        match &self.kind {
            Kind::ChatMl(chatml) => Some(chatml.end_of_turn()),
            Kind::Llama3(llama3) => Some(llama3.end_of_turn()),
            Kind::Plain(plain) => plain.end_of_text,
            #[cfg(feature = "jinja")]
            Kind::Jinja(jinja) => Some(jinja.end_of_turn()),
        }
    }

    /// What it is called: `chatml`, `llama3`, `plain` or `jinja`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match &self.kind {
            Kind::ChatMl(_) => "chatml",
            Kind::Llama3(_) => "llama3",
            Kind::Plain(_) => "plain",
            #[cfg(feature = "jinja")]
            Kind::Jinja(_) => "jinja",
        }
    }
}
