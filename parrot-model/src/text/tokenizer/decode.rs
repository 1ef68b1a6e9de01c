//! Ids → text, all at once or one at a time.

use super::Tokenizer;
use super::layout::{Family, SPACE_MARK, byte_of, byte_word};

impl Tokenizer {
    /// The text of `ids`, special tokens left out.
    ///
    /// Ids outside the vocabulary (a model's embedding table is usually padded) stand for nothing, and
    /// bytes that are not UTF-8 become U+FFFD.
    #[must_use]
    pub fn decode(&self, ids: &[u32]) -> String {
        self.text_of(ids, true)
    }

    /// [`decode`](Self::decode) with the special tokens, each spelt as the vocabulary has it.
    #[must_use]
    pub fn decode_with_special(&self, ids: &[u32]) -> String {
        self.text_of(ids, false)
    }

    /// The bytes that a token stands for, often only part of a character; a special token is spelt as the vocabulary has it, an
    /// id outside the vocabulary has none.
    #[must_use]
    pub fn bytes_of(&self, id: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.push_bytes(id, false, &mut bytes);
        bytes
    }

    /// Whether this is a special token, which no text gives and no text shows.
    #[must_use]
    pub fn is_special(&self, id: u32) -> bool {
        self.full
            .id_to_token(id)
            .is_some_and(|token| self.full.get_added_vocabulary().is_special_token(&token))
    }

    fn text_of(&self, ids: &[u32], skip_special: bool) -> String {
        let mut bytes = Vec::new();
        for id in ids {
            self.push_bytes(*id, skip_special, &mut bytes);
        }
        String::from_utf8_lossy(self.strip(&bytes)).into_owned()
    }

    /// Starts decoding ids one at a time, special tokens left out.
    #[must_use]
    pub fn stream(&self) -> DecodeStream<'_> {
        DecodeStream { tokenizer: self, pending: Vec::new(), is_empty: true }
    }

    /// Appends the bytes of one token: none for a special token that is skipped or an id that does not exist.
    fn push_bytes(&self, id: u32, skip_special: bool, bytes: &mut Vec<u8>) {
        let Some(token) = self.full.id_to_token(id) else { return };
        if skip_special && self.full.get_added_vocabulary().is_special_token(&token) {
            return;
        }
        match self.family {
            Family::ByteLevel => match token.chars().map(byte_of).collect::<Option<Vec<u8>>>() {
                Some(mapped) => bytes.extend(mapped),
                None => bytes.extend(token.as_bytes()),
            },
            Family::SentencePiece { .. } => match byte_word(&token) {
                Some(byte) => bytes.push(byte),
                None => bytes.extend(token.replace(SPACE_MARK, " ").as_bytes()),
            },
        }
    }

    /// Removes the space that encoding put in front.
    fn strip<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        match self.family {
            Family::SentencePiece { strip: true, .. } => bytes.strip_prefix(b" ").unwrap_or(bytes),
            _ => bytes,
        }
    }
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
    /// Whether there was no text so far.
    is_empty: bool,
}

impl DecodeStream<'_> {
    /// Adds one id and returns the text that it completes, if any.
    pub fn push(&mut self, id: u32) -> Option<String> {
        self.tokenizer.push_bytes(id, true, &mut self.pending);
        if self.is_empty && !self.pending.is_empty() {
            self.pending = self.tokenizer.strip(&self.pending).to_vec();
            self.is_empty = false;
        }
        let tail = self.pending.utf8_chunks().last().map_or(&[][..], |chunk| chunk.invalid());
        // Only bytes that more bytes could complete are worth waiting for; others are U+FFFD for good.
        let could_be_completed = std::str::from_utf8(tail).is_err_and(|e| e.error_len().is_none());
        let unfinished = if could_be_completed { tail.len() } else { 0 };
        let rest = self.pending.split_off(self.pending.len() - unfinished);
        let ready = std::mem::replace(&mut self.pending, rest);
        non_empty(String::from_utf8_lossy(&ready).into_owned())
    }

    /// Ends the stream and returns what was held back: U+FFFD for a character that was never completed.
    #[must_use]
    pub fn finish(self) -> Option<String> {
        non_empty(String::from_utf8_lossy(&self.pending).into_owned())
    }
}

fn non_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
