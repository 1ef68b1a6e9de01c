//! What a `tokenizer.json` describes, checked before the `tokenizers` crate gets it: that crate panics on some
//! files, and accepts others that would let text become a control token.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use serde_json::{Map, Value};

/// SentencePiece's mark of a space.
pub(super) const SPACE_MARK: char = '▁';

/// How words of the vocabulary stand for bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// A character of a word is a byte, by GPT-2's table: GPT-2, Qwen, Llama 3, SmolLM2.
    ByteLevel,
    /// A word is text with ▁ for spaces, and `<0x0A>` is a byte: Llama 2, Mistral.
    SentencePiece {
        /// Where text gets a space in front.
        prefix: Prefix,
        /// Whether decoding takes the first space away again.
        strip: bool,
    },
}

/// Where SentencePiece puts a space in front of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prefix {
    /// Nowhere.
    Never,
    /// Once, at the beginning of the prompt, unless a space is there.
    First,
    /// Behind every control token too, unless a space is there.
    Always,
    /// The same with no regard to what is there: the way of older files.
    Doubled,
}

/// The file, as far as it is looked at.
#[derive(Deserialize)]
pub(super) struct TokenizerFile {
    #[serde(default)]
    pub(super) added_tokens: Vec<AddedToken>,
    normalizer: Option<Step>,
    pre_tokenizer: Option<Step>,
    decoder: Option<Step>,
    model: Model,
}

/// A token that the file adds to the vocabulary's words.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct AddedToken {
    pub(super) id: u32,
    pub(super) content: String,
    #[serde(default)]
    pub(super) special: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default)]
    single_word: bool,
}

impl AddedToken {
    /// Whether the token is found by its spelling alone, whatever stands beside it.
    pub(super) fn stands_alone(&self) -> bool {
        !(self.lstrip || self.rstrip || self.single_word)
    }
}

/// A step of normalisation, splitting or decoding.
#[derive(Deserialize)]
struct Step {
    r#type: String,
    #[serde(default, alias = "normalizers", alias = "decoders")]
    pretokenizers: Vec<Step>,
    #[serde(flatten)]
    settings: Map<String, Value>,
}

#[derive(Deserialize)]
struct Model {
    r#type: String,
    vocab: HashMap<String, u32>,
    merges: Vec<Merge>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    unk_token: Option<String>,
    dropout: Option<f64>,
    #[serde(default)]
    byte_fallback: bool,
    #[serde(default)]
    ignore_merges: bool,
}

/// `"a b"` or `["a", "b"]`.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a merge: two words with a space between them, or a list of two")]
enum Merge {
    Line(String),
    Pair(String, String),
}

impl TokenizerFile {
    /// The family that the file belongs to, or in words why it belongs to none.
    pub(super) fn family(&self) -> Result<Family, String> {
        let model = &self.model;
        if model.r#type != "BPE" {
            return Err(format!("its model should be `BPE`, found `{}`", model.r#type));
        }
        for (part, found) in [
            ("subword prefix", &model.continuing_subword_prefix),
            ("end-of-word suffix", &model.end_of_word_suffix),
        ] {
            if let Some(found) = found.as_deref().filter(|found| !found.is_empty()) {
                return Err(format!("it should have no {part}, found `{found}`"));
            }
        }
        let mut words: HashMap<u32, &str> = HashMap::new();
        for (word, id) in &model.vocab {
            // One of them would be read and the other never written.
            if let Some(other) = words.insert(*id, word) {
                let (first, second) =
                    if other < word.as_str() { (other, word.as_str()) } else { (word.as_str(), other) };
                return Err(format!("its words {first:?} and {second:?} have one id, {id}"));
            }
        }
        if model.dropout.is_some_and(|dropout| dropout != 0.0) {
            return Err("its BPE drops merges at random (`dropout`)".into());
        }
        let normalizer = describe(self.normalizer.as_ref());
        let pre_tokenizer = describe(self.pre_tokenizer.as_ref());
        let decoder = describe(self.decoder.as_ref());
        let (normalizer, pre_tokenizer, decoder) = (
            normalizer.iter().map(String::as_str).collect::<Vec<_>>(),
            pre_tokenizer.iter().map(String::as_str).collect::<Vec<_>>(),
            decoder.iter().map(String::as_str).collect::<Vec<_>>(),
        );
        let unknown = |part, expected, found: &[&str]| {
            let found = if found.is_empty() { "nothing".into() } else { found.join(", ") };
            Err(format!("its {part} should be {expected}, found `{found}`"))
        };

        if !model.byte_fallback {
            if !matches!(normalizer[..], [] | ["NFC"]) {
                return unknown("normalizer", "`NFC` or nothing", &normalizer);
            }
            let splits = |steps: &[&str]| steps.iter().all(|step| matches!(*step, "Split" | "Digits"));
            if !matches!(&pre_tokenizer[..], [before @ .., "ByteLevel"] if splits(before)) {
                return unknown("pre-tokenizer", "`Split` and `ByteLevel`", &pre_tokenizer);
            }
            if !matches!(decoder[..], ["ByteLevel" | "ByteLevel with a space in front"]) {
                return unknown("decoder", "`ByteLevel`", &decoder);
            }
            return Ok(Family::ByteLevel);
        }
        let prefix = match (&normalizer[..], &pre_tokenizer[..]) {
            (["Prepend ▁", "Replace ` ` by `▁`"], []) => Prefix::Doubled,
            (["Replace ` ` by `▁`"], []) | ([], ["Metaspace never"]) => Prefix::Never,
            ([], ["Metaspace first"]) => Prefix::First,
            ([], ["Metaspace always"]) => Prefix::Always,
            ([], _) => return unknown("pre-tokenizer", "`Metaspace`", &pre_tokenizer),
            _ => return unknown("normalizer", "`Prepend ▁` and `Replace`, or nothing", &normalizer),
        };
        let strip = match decoder[..] {
            ["Replace `▁` by ` `", "ByteFallback", "Fuse"] => false,
            ["Replace `▁` by ` `", "ByteFallback", "Fuse", "Strip one space"] => true,
            _ => return unknown("decoder", "`Replace`, `ByteFallback`, `Fuse` and `Strip`", &decoder),
        };
        if !(0..=255).all(|byte: u8| model.vocab.contains_key(&format!("<0x{byte:02X}>"))) {
            return Err("it falls back to bytes and has no word for some of them".into());
        }
        Ok(Family::SentencePiece { prefix, strip })
    }

    /// The ids of added tokens that plain text could give.
    ///
    /// A word comes out of text if it is a single character, the result of a merge, a byte, or what stands for
    /// the unknown; where merges are ignored for whole words, every word does.
    pub(super) fn reachable_added(&self, family: Family) -> HashSet<u32> {
        let words = self.reachable(family);
        self.added_tokens.iter().map(|token| token.id).filter(|id| words.contains(id)).collect()
    }

    fn reachable(&self, family: Family) -> HashSet<u32> {
        let Model { vocab, merges, unk_token, ignore_merges, .. } = &self.model;
        let is_byte = |word: &str| family != Family::ByteLevel && byte_word(word).is_some();
        let begins = |word: &str| word.chars().nth(1).is_none() || is_byte(word);
        let words = vocab.iter().filter(|(word, _)| *ignore_merges || begins(word)).map(|(_, id)| *id);
        let merged = merges.iter().filter_map(|merge| {
            let word = match merge {
                Merge::Line(line) => line.replacen(' ', "", 1),
                Merge::Pair(left, right) => format!("{left}{right}"),
            };
            vocab.get(&word).copied()
        });
        let unknown = unk_token.as_ref().filter(|_| !self.knows_every_byte(family));
        let unknown = unknown.and_then(|token| {
            let added = self.added_tokens.iter().find(|added| added.content == *token);
            added.map(|added| added.id).or(vocab.get(token).copied())
        });
        words.chain(merged).chain(unknown).collect()
    }

    /// Whether every byte of a text in UTF-8 has a word.
    fn knows_every_byte(&self, family: Family) -> bool {
        let never = |byte: u8| matches!(byte, 0xC0 | 0xC1 | 0xF5..);
        match family {
            // `family` has looked.
            Family::SentencePiece { .. } => true,
            Family::ByteLevel => {
                let words = self.model.vocab.keys().filter(|word| word.chars().nth(1).is_none());
                let bytes: HashSet<u8> = words.filter_map(|word| byte_of(word.chars().next()?)).collect();
                (0..=255).all(|byte| never(byte) || bytes.contains(&byte))
            }
        }
    }
}

/// The steps one after the other, each by its name and by what matters of its settings.
fn describe(step: Option<&Step>) -> Vec<String> {
    let Some(step) = step else { return Vec::new() };
    let text = |key: &str| step.settings.get(key).and_then(Value::as_str).unwrap_or_default();
    let flag = |key: &str| step.settings.get(key).and_then(Value::as_bool);
    let number = |key: &str| step.settings.get(key).and_then(Value::as_u64);
    let name = match step.r#type.as_str() {
        "Sequence" => return step.pretokenizers.iter().flat_map(|step| describe(Some(step))).collect(),
        "Prepend" => format!("Prepend {}", text("prepend")),
        "Replace" => {
            let pattern = step.settings.get("pattern").and_then(|pattern| pattern["String"].as_str());
            format!("Replace `{}` by `{}`", pattern.unwrap_or("an expression"), text("content"))
        }
        "Metaspace" if text("replacement") != "▁" => format!("Metaspace {}", text("replacement")),
        "Metaspace" => {
            let scheme =
                if flag("add_prefix_space") == Some(false) { "never" } else { text("prepend_scheme") };
            format!("Metaspace {}", if scheme.is_empty() { "always" } else { scheme })
        }
        "ByteLevel" if flag("add_prefix_space") == Some(true) => "ByteLevel with a space in front".into(),
        "Strip" if (text("content"), number("start"), number("stop")) == (" ", Some(1), Some(0)) => {
            "Strip one space".into()
        }
        name => name.into(),
    };
    vec![name]
}

/// The byte that a character of a byte-level vocabulary stands for (GPT-2's table).
///
/// Printable Latin-1 stands for itself; the other 68 bytes, in order, are U+0100 to U+0143.
pub(super) fn byte_of(c: char) -> Option<u8> {
    let byte = match u32::from(c) {
        printable @ (0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF) => printable,
        control @ 0x100..=0x120 => control - 0x100,
        upper_control @ 0x121..=0x142 => upper_control - 0x121 + 0x7F,
        0x143 => 0xAD,
        _ => return None,
    };
    u8::try_from(byte).ok()
}

/// The byte that a word like `<0x0A>` stands for.
pub(super) fn byte_word(word: &str) -> Option<u8> {
    let digits = word.strip_prefix("<0x")?.strip_suffix('>')?;
    u8::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 2)
}
