//! The metadata of a tokenizer → `tokenizer.json` and `tokenizer_config.json`.

use serde_json::{Value as Json, json};

use super::{Header, Value};

/// How words are told apart before their bytes are merged: Qwen's, as the files of its models have it.
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Llama 3's, which takes up to three digits together.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// `tokenizer.ggml.token_type` of an ordinary word; of a byte that stands for itself.
const NORMAL: i64 = 1;
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;
const BYTE: i64 = 6;

impl Header<'_> {
    /// What a `tokenizer.json` would say.
    ///
    /// # Errors
    ///
    /// In words: no tokenizer, one of another kind than byte-level BPE, words that are told apart in a way that is not known,
    /// or lists that do not fit one another.
    pub(crate) fn tokenizer_json(&self) -> Result<Vec<u8>, String> {
        let model = self.text("tokenizer.ggml.model").unwrap_or("nothing");
        if model != "gpt2" {
            return Err(format!(
                "has a tokenizer of the kind `{model}`; of a GGUF byte-level BPE (`gpt2`) can be read. Put the model's \
                 tokenizer.json beside the file"
            ));
        }
        let pre = self.text("tokenizer.ggml.pre").unwrap_or("nothing");
        let split = |pattern: &str| {
            let split = json!({ "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated", "invert": false });
            json!({ "type": "Sequence", "pretokenizers": [split, byte_level(false)] })
        };
        let digits = json!({ "type": "Digits", "individual_digits": true });
        let is_llama3 = matches!(pre, "llama-bpe" | "llama-v3" | "llama3");
        let (normalizer, pre_tokenizer) = match pre {
            "qwen2" | "deepseek-r1-qwen" => (json!({ "type": "NFC" }), split(QWEN2)),
            _ if is_llama3 => (Json::Null, split(LLAMA3)),
            "smollm" => {
                (Json::Null, json!({ "type": "Sequence", "pretokenizers": [digits, byte_level(true)] }))
            }
            "gpt-2" => (Json::Null, byte_level(true)),
            other => {
                return Err(format!(
                    "tells words apart in the way `{other}`; qwen2, llama-bpe, smollm and gpt-2 are known. Put the model's \
                     tokenizer.json beside the file"
                ));
            }
        };
        let (Some(Value::Texts(tokens)), Some(Value::Texts(merges)), Some(Value::Integers(types))) = (
            self.get("tokenizer.ggml.tokens"),
            self.get("tokenizer.ggml.merges"),
            self.get("tokenizer.ggml.token_type"),
        ) else {
            return Err("lacks its tokenizer's tokens, their types or merges".into());
        };
        if tokens.len() != types.len() {
            return Err(format!("has {} tokens and the types of {}", tokens.len(), types.len()));
        }
        // Words, and among them control tokens where a vocabulary begins with some. Behind the last word come the others,
        // which are added, and what fills the table up.
        let is_word = |kind: &i64| matches!(*kind, NORMAL | BYTE);
        let words = types.iter().rposition(is_word).map_or(0, |last| last + 1);
        let is_added = |kind: &i64| matches!(*kind, CONTROL | USER_DEFINED);
        let last = types.iter().rposition(is_added).map_or(0, |last| last + 1).max(words);
        let mut vocab = serde_json::Map::new();
        for (id, token) in tokens[..words].iter().enumerate() {
            if vocab.insert((*token).into(), id.into()).is_some() {
                return Err(format!("has the token {token:?} twice"));
            }
        }
        let added = (0..last).filter(|id| *id >= words || is_added(&types[*id])).map(|id| {
            json!({
                "id": id, "content": tokens[id], "special": types[id] == CONTROL, "normalized": false,
                "lstrip": false, "rstrip": false, "single_word": false,
            })
        });
        let adds_bos = match self.get("tokenizer.ggml.add_bos_token") {
            Some(Value::Bool(adds)) => *adds,
            _ => is_llama3,
        };
        let bos = self.spelling("bos").filter(|_| adds_bos);
        let tokenizer = json!({
            "version": "1.0",
            "added_tokens": added.collect::<Vec<_>>(),
            "normalizer": normalizer,
            "pre_tokenizer": pre_tokenizer,
            "post_processor": bos.map(|bos| begins_with(bos, self.token_id("bos"))),
            "decoder": byte_level(true),
            "model": {
                "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
                "ignore_merges": is_llama3, "vocab": vocab, "merges": merges,
            },
        });
        serde_json::to_vec(&tokenizer).map_err(|error| error.to_string())
    }

    /// What a `tokenizer_config.json` would say: special tokens, and the chat template.
    pub(crate) fn tokenizer_config(&self) -> Json {
        let mut config = serde_json::Map::new();
        for name in ["bos", "eos", "unk"] {
            if let Some(token) = self.spelling(name) {
                config.insert(format!("{name}_token"), token.into());
            }
        }
        if let Some(template) = self.text("tokenizer.chat_template") {
            config.insert("chat_template".into(), template.into());
        }
        Json::Object(config)
    }

    /// A special token as it is written.
    fn spelling(&self, name: &str) -> Option<&str> {
        let Some(Value::Texts(tokens)) = self.get("tokenizer.ggml.tokens") else { return None };
        tokens.get(self.token_id(name)? as usize).copied()
    }
}

fn byte_level(use_regex: bool) -> Json {
    json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex })
}

/// Every text begins with this token.
fn begins_with(token: &str, id: Option<u32>) -> Json {
    let special = json!({ "SpecialToken": { "id": token, "type_id": 0 } });
    let text = |name: &str| json!({ "Sequence": { "id": name, "type_id": 0 } });
    json!({
        "type": "TemplateProcessing",
        "single": [special, text("A")],
        "pair": [special, text("A"), special, text("B")],
        "special_tokens": { token: { "id": token, "ids": [id], "tokens": [token] } },
    })
}
