//! Byte-level BPE, as Qwen ships it in `tokenizer.json`: strings to ids, ids to strings.
//!
//! Besides the BPE vocabulary such a file has *added tokens*: the three that ChatML and padding need, and
//! in later Qwen releases more (`<|vision_start|>`, `<tool_call>`, …). The reference looks for all of them
//! in every string. Here there are two ways in: [`Tokenizer::encode_text`] for text, in which none of them
//! is recognised, and [`Tokenizer::encode_with_specials`] for the reference's behaviour.

use std::path::Path;

use serde::Deserialize;
use tokenizers::{AddedVocabulary, PostProcessorWrapper};

use crate::{Error, Result};

/// The longest text that is encoded in one piece.
///
/// Far more than any context holds. The regular expression engine gives up in silence, and the ids come out
/// wrong, behind a run of a million spaces.
pub const MAX_TEXT_BYTES: usize = 512 * 1024;

/// The tokenizer of a Qwen language model, read from its `tokenizer.json`.
pub struct Tokenizer {
    /// What the file says.
    full: tokenizers::Tokenizer,
    /// The same without its added tokens, so that no text can become one. A second copy of the vocabulary
    /// because the library, asked to leave special tokens in text alone, still finds the added tokens that
    /// are not flagged special.
    text: tokenizers::Tokenizer,
    im_start: u32,
    im_end: u32,
    endoftext: u32,
    vocab_size: usize,
}

/// The parts of `tokenizer.json` to look at before the library may have it: it panics on some files.
#[derive(Deserialize)]
struct Layout {
    added_tokens: Vec<AddedToken>,
    normalizer: Option<Step>,
    pre_tokenizer: Option<Step>,
    decoder: Option<Step>,
    model: Model,
}

#[derive(Deserialize)]
struct AddedToken {
    id: u32,
    content: String,
}

#[derive(Deserialize)]
struct Step {
    r#type: String,
    #[serde(default)]
    pretokenizers: Vec<Step>,
}

#[derive(Deserialize)]
struct Model {
    r#type: String,
    continuing_subword_prefix: Option<String>,
}

impl Layout {
    /// Whether this is byte-level BPE on text in normal form C, in words if it is not.
    fn check(&self) -> Result<(), String> {
        let kind = |step: &Option<Step>| step.as_ref().map_or("nothing", |step| &step.r#type).to_owned();
        let split = self.pre_tokenizer.iter().flat_map(|step| &step.pretokenizers);
        let split: Vec<_> = split.map(|step| step.r#type.as_str()).collect();
        let parts = [
            ("model", "BPE", self.model.r#type.clone()),
            ("subword prefix", "", self.model.continuing_subword_prefix.clone().unwrap_or_default()),
            ("normalizer", "NFC", kind(&self.normalizer)),
            ("pre-tokenizer", "Sequence", kind(&self.pre_tokenizer)),
            ("sequence of pre-tokenizers", "Split, ByteLevel", split.join(", ")),
            ("decoder", "ByteLevel", kind(&self.decoder)),
        ];
        match parts.iter().find(|(_, expected, found)| expected != found) {
            Some((part, expected, found)) => {
                Err(format!("its {part} should be `{expected}`, found `{found}`"))
            }
            None => Ok(()),
        }
    }
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer").field("vocab_size", &self.vocab_size).finish_non_exhaustive()
    }
}

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the file cannot be read; [`Error::Tokenizer`] when it does not describe
    /// byte-level BPE as Qwen's does, when one of the special tokens `<|endoftext|>`, `<|im_start|>` and
    /// `<|im_end|>` is missing, or when plain text could produce one of them.
    pub fn from_file(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        Self::from_bytes(&bytes).map_err(|reason| Error::Tokenizer { path: path.to_path_buf(), reason })
    }

    /// [`from_file`](Self::from_file) after the reading; the error is the reason in words.
    fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let layout: Layout = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        layout.check()?;
        let mut full = tokenizers::Tokenizer::from_bytes(bytes).map_err(|e| e.to_string())?;
        // The library numbers added tokens by itself, in the file's order, whatever ids the file gives.
        for AddedToken { id, content } in layout.added_tokens {
            if full.token_to_id(&content) != Some(id) {
                return Err(format!("{content} has the id {id}, which does not follow the ids before it"));
            }
        }
        // Lengths and what stands around the text are the template's business, not the file's.
        full.with_padding(None).with_truncation(None).map_err(|e| e.to_string())?;
        full.with_post_processor(None::<PostProcessorWrapper>);
        let mut text = full.clone();
        text.with_added_vocabulary(AddedVocabulary::new());

        let added = full.get_added_vocabulary();
        let special = |token: &str| {
            let id = added.get_vocab().get(token).copied().filter(|_| added.is_special_token(token));
            let id = id.ok_or_else(|| format!("it has no special token {token}"))?;
            let as_text = text.encode_fast(token, false).map_err(|e| e.to_string())?;
            if as_text.get_ids().contains(&id) {
                return Err(format!("{token} is also a word of its vocabulary, so text could produce it"));
            }
            Ok(id)
        };
        let (endoftext, im_start, im_end) =
            (special("<|endoftext|>")?, special("<|im_start|>")?, special("<|im_end|>")?);

        let vocab_size = full.get_vocab(true).into_values().max().map_or(0, |id| id as usize + 1);
        Ok(Self { full, text, im_start, im_end, endoftext, vocab_size })
    }

    /// The ids of `text` as plain text: `<|im_end|>` written in it is ten characters, not a control token.
    ///
    /// The same holds for all added tokens of the file, those that are not flagged special (`<tool_call>`)
    /// included. The text is brought into Unicode normal form C first; apart from that,
    /// [`decode`](Self::decode) gives it back.
    ///
    /// # Errors
    ///
    /// [`Error::Conversation`] when `text` is longer than [`MAX_TEXT_BYTES`] or the tokenizer's rules cannot
    /// be applied to it.
    pub fn encode_text(&self, text: &str) -> Result<Vec<u32>> {
        encode(&self.text, text)
    }

    /// The ids of `text` with every added token of the file recognised in it, as the reference does.
    ///
    /// Never for text that a user wrote.
    ///
    /// # Errors
    ///
    /// As [`encode_text`](Self::encode_text).
    pub fn encode_with_specials(&self, text: &str) -> Result<Vec<u32>> {
        encode(&self.full, text)
    }

    /// The text of `ids`, without the special tokens if `skip_special`.
    ///
    /// Ids outside the vocabulary (a model's embedding table is usually padded) stand for nothing, and
    /// bytes that are not UTF-8 become U+FFFD.
    ///
    /// # Errors
    ///
    /// [`Error::Conversation`] when the tokenizer's decoder fails.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        self.full.decode(ids, skip_special).map_err(|e| Error::Conversation { reason: e.to_string() })
    }

    /// Starts decoding ids one at a time, special tokens left out.
    pub fn stream(&self) -> DecodeStream<'_> {
        DecodeStream { tokenizer: self, pending: Vec::new() }
    }

    /// The id of `<|im_start|>`, which opens a message.
    pub fn im_start(&self) -> u32 {
        self.im_start
    }

    /// The id of `<|im_end|>`, which closes a message and ends generation.
    pub fn im_end(&self) -> u32 {
        self.im_end
    }

    /// The id of `<|endoftext|>`, the padding.
    pub fn endoftext(&self) -> u32 {
        self.endoftext
    }

    /// One more than the largest id; a model's embedding table has at least that many rows.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// Appends the bytes of one token to `bytes`: none for a special token or an id that does not exist.
    fn push_bytes(&self, id: u32, bytes: &mut Vec<u8>) {
        let Some(token) = self.full.id_to_token(id) else { return };
        if self.full.get_added_vocabulary().is_special_token(&token) {
            return;
        }
        match token.chars().map(byte_of).collect::<Option<Vec<u8>>>() {
            Some(mapped) => bytes.extend(mapped),
            None => bytes.extend(token.as_bytes()),
        }
    }
}

fn encode(tokenizer: &tokenizers::Tokenizer, text: &str) -> Result<Vec<u32>> {
    if text.len() > MAX_TEXT_BYTES {
        let reason = format!("a text of {} bytes, at most {MAX_TEXT_BYTES} are taken", text.len());
        return Err(Error::Conversation { reason });
    }
    let encoding = tokenizer.encode_fast(text, false);
    let encoding = encoding.map_err(|e| Error::Conversation { reason: e.to_string() })?;
    Ok(encoding.get_ids().to_vec())
}

/// The byte that a character of a byte-level vocabulary stands for (GPT-2's table).
///
/// Printable Latin-1 stands for itself; the other 68 bytes, in order, are U+0100 to U+0143.
fn byte_of(c: char) -> Option<u8> {
    let byte = match u32::from(c) {
        printable @ (0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF) => printable,
        control @ 0x100..=0x120 => control - 0x100,
        upper_control @ 0x121..=0x142 => upper_control - 0x121 + 0x7F,
        0x143 => 0xAD,
        _ => return None,
    };
    u8::try_from(byte).ok()
}

/// Decodes ids one at a time, for text that appears while it is generated.
///
/// One token is often only part of a character (one byte of an Arabic letter, say). A piece is handed out
/// when its last character is complete, so no piece ends in half a character, and all pieces together,
/// with what [`finish`](Self::finish) returns, are what [`Tokenizer::decode`] gives for all ids with
/// special tokens skipped. The cost of a token does not depend on how many came before.
#[derive(Debug)]
pub struct DecodeStream<'a> {
    tokenizer: &'a Tokenizer,
    /// The first bytes of a character that is not complete yet, at most three.
    pending: Vec<u8>,
}

impl DecodeStream<'_> {
    /// Adds one id and returns the text that it completes, if any.
    pub fn push(&mut self, id: u32) -> Option<String> {
        self.tokenizer.push_bytes(id, &mut self.pending);
        let tail = self.pending.utf8_chunks().last().map_or(&[][..], |chunk| chunk.invalid());
        // Only bytes that more bytes could complete are worth waiting for; others are U+FFFD for good.
        let could_be_completed = std::str::from_utf8(tail).is_err_and(|e| e.error_len().is_none());
        let unfinished = if could_be_completed { tail.len() } else { 0 };
        let rest = self.pending.split_off(self.pending.len() - unfinished);
        let ready = std::mem::replace(&mut self.pending, rest);
        non_empty(String::from_utf8_lossy(&ready).into_owned())
    }

    /// Ends the stream and returns what was held back: U+FFFD for a character that was never completed.
    pub fn finish(self) -> Option<String> {
        non_empty(String::from_utf8_lossy(&self.pending).into_owned())
    }
}

fn non_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
