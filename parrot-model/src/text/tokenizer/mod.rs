//! BPE as `tokenizer.json` describes it: strings to ids, ids to strings.
//!
//! Two families are read, which cover the decoders of this crate: byte-level BPE (GPT-2, Qwen, Llama 3, SmolLM2)
//! and SentencePiece's BPE with bytes to fall back on (Llama 2, Mistral).
//!
//! Besides the words of BPE such a file has *added tokens*: those that a chat template and padding need, and
//! often more (`<|vision_start|>`, `<tool_call>`, …). Other programs look for all of them in every string.
//! Here [`Tokenizer::encode_text`] recognises none, so that text stays text; a template asks for the tokens that
//! it needs by name ([`Tokenizer::control_token`]).

mod decode;
mod layout;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use tokenizers::normalizers::Replace;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::{AddedVocabulary, PostProcessorWrapper, PreTokenizerWrapper};

pub use decode::DecodeStream;

use crate::files::Files;
use crate::layout::TOKENIZER_FILE;
use crate::untrusted::{self, contained, plain_reason};
use crate::{Error, Result, gguf};
use layout::{AddedToken, Family, Prefix, SPACE_MARK, TokenizerFile};

/// The longest text that is encoded in one piece.
///
/// Far more than any context holds. The regular expression engine silently gives up, and the ids come out
/// wrong, behind a run of a million spaces.
pub const MAX_TEXT_BYTES: usize = 512 * 1024;

/// A tokenizer, read from its `tokenizer.json`.
pub struct Tokenizer {
    /// Names the file in errors.
    path: PathBuf,
    /// What the file says.
    full: tokenizers::Tokenizer,
    /// The same without its added tokens, so that no text can become one, and without a space in front of text,
    /// which [`encode_piece`](Self::encode_piece) puts there. A second copy of the vocabulary because the
    /// library, asked to leave special tokens in text alone, still finds the added tokens that are not flagged
    /// special.
    text: tokenizers::Tokenizer,
    family: Family,
    /// The longest first.
    added_tokens: Vec<AddedToken>,
    /// Added tokens that plain text gives as well; none of them is special.
    reachable: HashSet<u32>,
    prompt_start: Vec<u32>,
    vocab_size: usize,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("Tokenizer");
        debug.field("path", &self.path).field("vocab_size", &self.vocab_size).finish_non_exhaustive()
    }
}

/// What stands before a text that is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// Nothing.
    Nothing,
    /// A control token or an image.
    Control,
    /// Text, encoded apart.
    Text,
}

/// A piece of text in which added tokens are recognised ([`Tokenizer::fragments`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragment<'a> {
    /// The id of an added token.
    Token(u32),
    /// What stands between them.
    Text(&'a str),
}

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the file cannot be read; [`Error::Tokenizer`] when it describes neither byte-level BPE
    /// nor SentencePiece's BPE with bytes, or when plain text could give one of its special tokens.
    pub fn from_file(file: impl Into<Files>) -> Result<Self> {
        let file = file.into();
        let path = file.path();
        let beside = |name| file.beside(name).is_file();
        if !file.is_listed() && (beside("vocab.json") && beside("merges.txt") || beside("tokenizer.model")) {
            let folder = path.parent().unwrap_or(path).display();
            return Err(Error::Tokenizer {
                path: path.to_path_buf(),
                reason: format!(
                    "it is missing; transformers makes it of the files that are there: python -c \"from transformers import \
                     AutoTokenizer; AutoTokenizer.from_pretrained('{folder}').save_pretrained('{folder}')\""
                ),
            });
        }
        let bytes = file.read(untrusted::MAX_VOCABULARY_BYTES)?;
        Self::parse(&bytes, path)
    }

    /// Reads the tokenizer of a model: `tokenizer.json` in its folder, or what a text model's GGUF says about it. From a GGUF
    /// it reads byte-level BPE that tells words apart as Qwen, Llama 3, SmolLM2 or GPT-2 do; for any other tokenizer,
    /// `tokenizer.json` has to lie beside the file.
    ///
    /// # Errors
    ///
    /// As [`from_file`](Self::from_file), and [`Error::Checkpoint`] for a GGUF whose tokenizer cannot be read.
    pub fn open(model: impl Into<Files>) -> Result<Self> {
        let model = model.into();
        if !gguf::is_gguf(&model) {
            return Self::from_file(model.join(TOKENIZER_FILE));
        }
        Self::parse(&gguf::tokenizer_json(&model, TOKENIZER_FILE)?, model.path())
    }

    fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        contained(|| Self::from_bytes(bytes, path))
            .flatten()
            .map_err(|reason| Error::Tokenizer { path: path.to_path_buf(), reason })
    }

    /// [`from_file`](Self::from_file) after the reading; the error is the reason in words.
    fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self, String> {
        let layout: TokenizerFile = untrusted::from_json(bytes).map_err(|e| plain_reason(&e.to_string()))?;
        let family = layout.family()?;
        let mut full = tokenizers::Tokenizer::from_bytes(bytes).map_err(|e| plain_reason(&e.to_string()))?;
        // The library numbers added tokens by itself, in the file's order, whatever ids the file gives.
        for AddedToken { id, content, .. } in &layout.added_tokens {
            if full.token_to_id(content) != Some(*id) {
                return Err(format!("{content} has the id {id}, which does not follow the ids before it"));
            }
        }
        let reachable = layout.reachable_added(family);
        let mut special = layout.added_tokens.iter().filter(|token| token.special);
        if let Some(token) = special.find(|token| reachable.contains(&token.id)) {
            return Err(format!("{} (id {}) is also what some plain text becomes", token.content, token.id));
        }

        // Lengths and what stands around the text are the template's business, not the file's.
        full.with_padding(None).with_truncation(None).map_err(|e| e.to_string())?;
        let prompt_start = prompt_start(&full)?;
        full.with_post_processor(None::<PostProcessorWrapper>);
        let text = without_prefix(&full, family)?;
        let vocab_size = full.get_vocab(true).into_values().max().map_or(0, |id| id as usize + 1);
        let mut added_tokens = layout.added_tokens;
        added_tokens.sort_by_key(|token| std::cmp::Reverse(token.content.len()));
        Ok(Self { path: path.into(), full, text, family, added_tokens, reachable, prompt_start, vocab_size })
    }

    /// The ids of `text` as plain text: `<|im_end|>` written in it is ten characters, not a control token.
    ///
    /// The same holds for all added tokens of the file, those that are not flagged special (`<tool_call>`)
    /// included. The text is normalised as the file says (Qwen: normal form C); apart from that,
    /// [`decode`](Self::decode) gives it back.
    ///
    /// # Errors
    ///
    /// [`Error::Conversation`] when `text` is longer than [`MAX_TEXT_BYTES`] or the tokenizer's rules cannot
    /// be applied to it.
    pub fn encode_text(&self, text: &str) -> Result<Vec<u32>> {
        self.encode_piece(text, Before::Nothing)
    }

    /// [`encode_text`](Self::encode_text) for a piece of a prompt.
    ///
    /// What stands `before` it decides whether SentencePiece puts a space in front.
    pub(super) fn encode_piece(&self, text: &str, before: Before) -> Result<Vec<u32>> {
        if text.len() > MAX_TEXT_BYTES {
            let reason = format!("a text of {} bytes, at most {MAX_TEXT_BYTES} are taken", text.len());
            return Err(Error::Conversation { reason });
        }
        let encode = || {
            let encoding = if self.wants_space(text, before) {
                self.text.encode_fast(format!("{SPACE_MARK}{text}"), false)
            } else {
                self.text.encode_fast(text, false)
            };
            encoding.map_err(|error| error.to_string())
        };
        let encoding = contained(encode).flatten().map_err(|reason| Error::Conversation { reason })?;
        Ok(encoding.get_ids().to_vec())
    }

    fn wants_space(&self, text: &str, before: Before) -> bool {
        let Family::SentencePiece { prefix, .. } = self.family else { return false };
        let has_space = text.starts_with([' ', SPACE_MARK]);
        !text.is_empty()
            && match prefix {
                Prefix::Never => false,
                Prefix::First => before == Before::Nothing && !has_space,
                Prefix::Always => before != Before::Text && !has_space,
                Prefix::Doubled => before != Before::Text,
            }
    }

    /// Finds the added tokens in `text`: only for text that the program or a checkpoint's template wrote, never
    /// for what a user did. Of several that begin at the same place the longest is taken.
    ///
    /// # Errors
    ///
    /// [`Error::Conversation`] for a token that would take what stands beside it along (`lstrip`, `rstrip`,
    /// `single_word`), and for one that plain text gives as well.
    pub fn fragments<'t>(&self, text: &'t str) -> Result<Vec<Fragment<'t>>> {
        let mut fragments = Vec::new();
        let (mut rest, mut at) = (text, 0);
        while let Some(next) = rest.get(at..).filter(|next| !next.is_empty()) {
            let mut tokens = self.added_tokens.iter().filter(|token| !token.content.is_empty());
            let Some(token) = tokens.find(|token| next.starts_with(&token.content)) else {
                at += next.chars().next().map_or(1, char::len_utf8);
                continue;
            };
            if !token.stands_alone() || self.reachable.contains(&token.id) {
                let reason = format!("{} cannot be told from the text around it", token.content);
                return Err(Error::Conversation { reason });
            }
            if at > 0 {
                fragments.push(Fragment::Text(&rest[..at]));
            }
            fragments.push(Fragment::Token(token.id));
            (rest, at) = (&next[token.content.len()..], 0);
        }
        if !rest.is_empty() {
            fragments.push(Fragment::Text(rest));
        }
        Ok(fragments)
    }

    /// The id of the special token `token`, which no text can give.
    ///
    /// # Errors
    ///
    /// [`Error::Tokenizer`] when the file has no such token or does not flag it special.
    pub fn control_token(&self, token: &str) -> Result<u32> {
        let found = self.added_tokens.iter().find(|added| added.special && added.content == token);
        found.map(|added| added.id).ok_or_else(|| Error::Tokenizer {
            path: self.path.clone(),
            reason: format!("it has no special token {token}"),
        })
    }

    /// Whether the vocabulary has `token`, special or not.
    #[must_use]
    pub(crate) fn has_token(&self, token: &str) -> bool {
        self.full.token_to_id(token).is_some()
    }

    /// The ids that the file puts before a text that is a whole prompt: `<s>`, say, or none.
    #[must_use]
    pub fn prompt_start(&self) -> &[u32] {
        &self.prompt_start
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// One more than the largest id; a model's embedding table has at least that many rows.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }
}

/// What the file's post-processor puts before a text.
fn prompt_start(full: &tokenizers::Tokenizer) -> Result<Vec<u32>, String> {
    let ids = |specials| full.encode_fast("a", specials).map(|encoding| encoding.get_ids().to_vec());
    let (bare, whole) = (ids(false).map_err(|e| e.to_string())?, ids(true).map_err(|e| e.to_string())?);
    let before = whole.windows(bare.len().max(1)).position(|window| window == bare).unwrap_or(0);
    let start = whole[..before].to_vec();
    match start.iter().find(|id| full.id_to_token(**id).is_none()) {
        Some(id) => Err(format!("its post-processor adds the id {id}, which no token has")),
        None => Ok(start),
    }
}

/// The tokenizer for plain text: no added tokens, and no space that the file puts in front.
fn without_prefix(full: &tokenizers::Tokenizer, family: Family) -> Result<tokenizers::Tokenizer, String> {
    let mut text = full.clone();
    text.with_added_vocabulary(AddedVocabulary::new());
    if family == Family::ByteLevel {
        return Ok(text);
    }
    match full.get_pre_tokenizer() {
        None => {
            let replace = Replace::new(" ", SPACE_MARK.to_string()).map_err(|e| e.to_string())?;
            text.with_normalizer(Some(replace)).map_err(|e| e.to_string())?;
        }
        Some(PreTokenizerWrapper::Metaspace(metaspace)) => {
            let metaspace = Metaspace::new(SPACE_MARK, PrependScheme::Never, metaspace.split);
            text.with_pre_tokenizer(Some(metaspace));
        }
        Some(_) => return Err("its pre-tokenizer should be `Metaspace` alone or nothing".into()),
    }
    Ok(text)
}
