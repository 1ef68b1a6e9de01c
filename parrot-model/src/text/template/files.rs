//! What the files of a checkpoint say about its prompts.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;

use crate::files::Files;
use crate::layout::{CHAT_TEMPLATE_FILE, CONFIG_FILE, TOKENIZER_CONFIG_FILE};
use crate::untrusted::{self, Objects};
use crate::{Error, Result, gguf};

/// `bos_token` and the like, by these names.
pub(super) type SpecialTokens = BTreeMap<String, String>;

/// The template that a checkpoint brings along.
#[derive(Debug)]
pub(super) struct OwnTemplate {
    /// The file that it stands in.
    pub(super) path: PathBuf,
    /// Jinja.
    #[cfg_attr(not(feature = "jinja"), expect(dead_code, reason = "the engine alone reads it"))]
    pub(super) source: String,
}

/// `tokenizer_config.json`, as far as it matters here.
#[derive(Debug, Default)]
pub(super) struct TokenizerConfig {
    pub(super) special_tokens: SpecialTokens,
    /// `chat_template`.
    pub(super) own_template: Option<OwnTemplate>,
}

/// A token: its spelling alone, or an object that also says how it is matched.
#[derive(Deserialize)]
#[serde(untagged)]
enum Token {
    Spelling(String),
    Described { content: String },
}

/// One template, or several by name.
#[derive(Deserialize)]
#[serde(untagged, expecting = "`chat_template` should be a text or a list of named texts")]
enum Templates {
    None(()),
    One(String),
    Several(Vec<Value>),
}

#[derive(Deserialize)]
struct Named {
    name: String,
    template: String,
}

impl TokenizerConfig {
    /// Reads the checkpoint in `folder` or in a GGUF; in a folder neither file needs to be: `tokenizer_config.json`, and
    /// `chat_template.jinja`, whose template comes first.
    pub(super) fn read(folder: &Files) -> Result<Self> {
        let mut config = Self::default();
        let (path, fields) = if gguf::is_gguf(folder) {
            let fields = gguf::with_header(folder, |header| Ok(header.tokenizer_config()))?;
            (folder.path().to_path_buf(), Some(fields))
        } else {
            let file = folder.join(TOKENIZER_CONFIG_FILE);
            (file.path().to_path_buf(), read_json(&file)?)
        };
        if let Some(Value::Object(fields)) = fields {
            for (name, value) in fields {
                if name == "chat_template" {
                    let template = Templates::deserialize(value).and_then(Templates::default);
                    let template = template.map_err(Error::json(&path))?;
                    config.own_template = template.map(|source| OwnTemplate { path: path.clone(), source });
                } else if name.ends_with("_token")
                    && let Ok(token) = Token::deserialize(value)
                {
                    let (Token::Spelling(spelling) | Token::Described { content: spelling }) = token;
                    config.special_tokens.insert(name, spelling);
                }
            }
        }
        let file = folder.join(CHAT_TEMPLATE_FILE);
        if file.is_listed() {
            let path = file.path().to_path_buf();
            let bytes = file.read(untrusted::MAX_CONFIG_BYTES)?.into_owned();
            let source = untrusted::parse_text(&path, bytes)?;
            config.own_template = Some(OwnTemplate { path, source });
        }
        Ok(config)
    }
}

impl Templates {
    fn default(self) -> serde_json::Result<Option<String>> {
        let named = match self {
            Self::None(()) => return Ok(None),
            Self::One(template) => return Ok(Some(template)),
            Self::Several(named) => named.into_iter().map(|named| Named::deserialize(Objects(named))),
        };
        let named = named.collect::<serde_json::Result<Vec<_>>>()?;
        Ok(named.into_iter().find(|named| named.name == "default").map(|named| named.template))
    }
}

/// Whether the checkpoint in `folder` is a Parrot, not a language model alone.
pub(super) fn is_parrot(folder: &Files) -> Result<bool> {
    let config = read_json(&folder.join(CONFIG_FILE))?;
    Ok(config.is_some_and(|config| !config["mm_vision_tower"].is_null()))
}

fn read_json(file: &Files) -> Result<Option<Value>> {
    if !file.is_listed() {
        return Ok(None);
    }
    // Files of many added tokens are larger than settings are.
    let bytes = file.read(untrusted::MAX_VOCABULARY_BYTES)?;
    untrusted::parse_json(file.path(), &bytes).map(Some)
}
