//! llama.cpp's files (GGUF, versions 2 and 3): metadata, and where the tensors lie. Nothing in a file is trusted before it has
//! been checked against the file's length, and only what is needed of it is kept.
//!
//! A decoder is read from such a file as from a folder: [`decoder`] turns the metadata into what `config.json` says and finds
//! the names and places of Hugging Face's tensors; [`tokenizer`] turns it into `tokenizer.json` and `tokenizer_config.json`.

mod decoder;
mod ggml_type;
mod tokenizer;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use crate::files::Files;
use crate::{Error, Result, untrusted};
pub(crate) use decoder::{GgufTensor, own_key, own_name};
pub(crate) use ggml_type::{GgmlType, half};

const MAGIC: &[u8; 4] = b"GGUF";
/// Entries and tensors of a file at most; that of the largest models in use has some thousand tensors.
const MAX_ENTRIES: usize = 1 << 16;
/// Values of an array at most: ten times the largest vocabulary in use.
const MAX_VALUES: usize = 1 << 22;
/// What alignments are below.
const MAX_ALIGNMENT: i64 = 1 << 20;

/// Whether these bytes begin as a GGUF does.
pub(crate) fn begins(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// Whether this is a file that begins as a GGUF does.
pub(crate) fn is_gguf(file: &Files) -> bool {
    file.is_file() && file.map().is_ok_and(|file| begins(file.bytes()))
}

/// What `read` makes of a file's header.
///
/// # Errors
///
/// [`Error::Io`] for a file that cannot be read, [`Error::Checkpoint`] for one that is no whole GGUF, and where `read` fails.
pub(crate) fn with_header<T>(file: &Files, read: impl FnOnce(&Header<'_>) -> Result<T, String>) -> Result<T> {
    let map = file.map()?;
    let found = Header::read(map.bytes()).and_then(|header| read(&header));
    found.map_err(|reason| Error::checkpoint(file.path(), reason))
}

/// The `tokenizer.json` of a GGUF: what its metadata describe, or else the file of this name beside it.
///
/// # Errors
///
/// As [`with_header`], where the metadata describe none that can be read and no file is beside it.
pub(crate) fn tokenizer_json(file: &Files, name: &str) -> Result<Vec<u8>> {
    let beside = file.beside(name);
    match with_header(file, |header| header.tokenizer_json()) {
        Err(_) if beside.is_file() => beside.read(untrusted::MAX_VOCABULARY_BYTES).map(Cow::into_owned),
        found => found,
    }
}

/// A value of the metadata, as far as values are of use.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'a> {
    Integer(i64),
    Float(f64),
    Bool(bool),
    Text(&'a str),
    Texts(Vec<&'a str>),
    Integers(Vec<i64>),
    /// Anything else.
    Other,
}

/// What is told of a value that something else was expected for.
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value}"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Text(_) => write!(f, "a text"),
            Self::Texts(texts) => write!(f, "a list of {} texts", texts.len()),
            Self::Integers(values) => write!(f, "a list of {} integers", values.len()),
            Self::Other => write!(f, "something else"),
        }
    }
}

/// A tensor as the file has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Place {
    pub(crate) ggml_type: GgmlType,
    /// Outermost dimension first, unlike in the file.
    pub(crate) shape: Vec<usize>,
    /// Where its bytes lie in the file.
    pub(crate) range: Range<usize>,
}

/// What a file says before its tensors' bytes.
#[derive(Debug)]
pub(crate) struct Header<'a> {
    file: &'a [u8],
    metadata: BTreeMap<&'a str, Value<'a>>,
    tensors: BTreeMap<&'a str, Place>,
}

impl<'a> Header<'a> {
    /// Reads the header of a whole file.
    ///
    /// # Errors
    ///
    /// In words: no such file, cut off, another version, a count or a name that cannot be, a type that is not supported.
    pub(crate) fn read(file: &'a [u8]) -> Result<Self, String> {
        let mut reader = Reader { file, at: 0 };
        if reader.take(MAGIC.len()).ok() != Some(MAGIC.as_slice()) {
            return Err("is no GGUF file: it does not begin with `GGUF`".into());
        }
        let version = reader.u32()?;
        if matches!(version.swap_bytes(), 1..=3) {
            return Err("is a GGUF for big-endian machines; only little-endian ones are supported".into());
        }
        if !matches!(version, 2 | 3) {
            return Err(format!("is GGUF of version {version}; 2 and 3 are supported"));
        }
        // A tensor takes a name, a count, a type and an offset at least; an entry a key, a type and a value.
        let tensors = reader.count("tensors", 24, MAX_ENTRIES)?;
        let entries = reader.count("entries of metadata", 13, MAX_ENTRIES)?;
        let mut metadata = BTreeMap::new();
        for _ in 0..entries {
            let key = reader.text()?;
            let value = reader.value().map_err(|reason| format!("`{key}` {reason}"))?;
            if metadata.insert(key, value).is_some() {
                return Err(format!("has `{key}` twice"));
            }
        }
        if let Some(Value::Integer(files @ 2..)) = metadata.get("split.count") {
            return Err(format!(
                "is one of {files} files that a model was split into; `llama-gguf-split --merge` makes one of them"
            ));
        }
        let mut places = Vec::new();
        for _ in 0..tensors {
            let name = reader.text()?;
            let place = reader.tensor().map_err(|reason| format!("`{name}` {reason}"))?;
            places.push((name, place));
        }
        let alignment = match metadata.get("general.alignment") {
            None => 32,
            Some(Value::Integer(alignment)) if (1..=MAX_ALIGNMENT).contains(alignment) => *alignment as usize,
            Some(other) => {
                return Err(format!(
                    "has a `general.alignment` of {other}; it should be a whole number from 1 to {MAX_ALIGNMENT}"
                ));
            }
        };
        let start = reader.at.next_multiple_of(alignment);
        let mut tensors = BTreeMap::new();
        let mut ranges = Vec::new();
        for (name, (ggml_type, shape, offset)) in places {
            let Some(range) = range(file, start, ggml_type, &shape, offset) else {
                return Err(format!(
                    "`{name}` {shape:?} of {} at {offset} does not lie in a file of {} bytes: it is cut off, or damaged",
                    ggml_type.name(),
                    file.len()
                ));
            };
            if !(range.start - start).is_multiple_of(alignment) {
                return Err(format!(
                    "`{name}` at {offset}, which is no multiple of the alignment {alignment}"
                ));
            }
            ranges.push((range.start, range.end, name));
            if tensors.insert(name, Place { ggml_type, shape, range }).is_some() {
                return Err(format!("has `{name}` twice"));
            }
        }
        ranges.sort_unstable();
        if let Some(pair) = ranges.windows(2).find(|pair| pair[0].1 > pair[1].0) {
            return Err(format!("`{}` lies on top of `{}`: one of them is elsewhere", pair[1].2, pair[0].2));
        }
        Ok(Self { file, metadata, tensors })
    }

    /// A value of the metadata.
    fn get(&self, key: &str) -> Option<&Value<'a>> {
        self.metadata.get(key)
    }

    /// A text of the metadata.
    fn text(&self, key: &str) -> Option<&'a str> {
        match self.get(key) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }
}

/// Where a tensor's bytes lie, if they lie in the file.
fn range(
    file: &[u8],
    start: usize,
    ggml_type: GgmlType,
    shape: &[usize],
    offset: u64,
) -> Option<Range<usize>> {
    let (elements, size) = ggml_type.block();
    let (columns, rows) = shape.split_last()?;
    let rows = rows.iter().try_fold(1_usize, |all, dim| all.checked_mul(*dim))?;
    if !columns.is_multiple_of(elements) {
        return None;
    }
    let begin = start.checked_add(usize::try_from(offset).ok()?)?;
    let end = begin.checked_add(rows.checked_mul(columns / elements)?.checked_mul(size)?)?;
    (end <= file.len()).then_some(begin..end)
}

struct Reader<'a> {
    file: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.file.len());
        let end = end.ok_or_else(|| format!("is cut off after {} bytes, or damaged", self.file.len()))?;
        let bytes = &self.file[self.at..end];
        self.at = end;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        Ok(*self.take(N)?.as_array().expect("as many were taken"))
    }

    fn u32(&mut self) -> Result<u32, String> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, String> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// How many of something follow, each of at least `least` bytes.
    fn count(&mut self, what: &str, least: usize, most: usize) -> Result<usize, String> {
        let count = self.u64()?;
        let held = (self.file.len() - self.at) / least;
        match usize::try_from(count) {
            Ok(count) if count <= held.min(most) => Ok(count),
            Ok(count) if count <= held => Err(format!("has {count} {what}; at most {most} are read")),
            _ => Err(format!("claims {count} {what}, more than a file of {} bytes holds", self.file.len())),
        }
    }

    fn text(&mut self) -> Result<&'a str, String> {
        let length = self.count("bytes of a text", 1, untrusted::MAX_VOCABULARY_BYTES as usize)?;
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map_err(|error| format!("has a text that is not UTF-8: {error}"))
    }

    fn value(&mut self) -> Result<Value<'a>, String> {
        const TEXT: u32 = 8;
        const ARRAY: u32 = 9;
        let kind = self.u32()?;
        match kind {
            TEXT => Ok(Value::Text(self.text()?)),
            ARRAY => {
                let kind = self.u32()?;
                match kind {
                    TEXT => {
                        let count = self.count("texts", 8, MAX_VALUES)?;
                        Ok(Value::Texts((0..count).map(|_| self.text()).collect::<Result<_, _>>()?))
                    }
                    // Nobody writes arrays of arrays.
                    ARRAY => Err("is an array of arrays, which is not supported".into()),
                    kind => {
                        let size = self.size_of(kind)?;
                        let count = self.count("values", size, MAX_VALUES)?;
                        let bytes = self.take(count * size)?;
                        let values = bytes.chunks_exact(size).map(|bytes| number(kind, bytes));
                        let integers = values.map(|value| match value {
                            Value::Integer(value) => Some(value),
                            _ => None,
                        });
                        Ok(integers.collect::<Option<_>>().map_or(Value::Other, Value::Integers))
                    }
                }
            }
            kind => {
                let size = self.size_of(kind)?;
                Ok(number(kind, self.take(size)?))
            }
        }
    }

    fn size_of(&self, kind: u32) -> Result<usize, String> {
        match kind {
            0 | 1 | 7 => Ok(1),
            2 | 3 => Ok(2),
            4..=6 => Ok(4),
            10..=12 => Ok(8),
            other => Err(format!("is of the type {other}, which GGUF does not have")),
        }
    }

    fn tensor(&mut self) -> Result<(GgmlType, Vec<usize>, u64), String> {
        let dimensions = self.u32()?;
        if !(1..=4).contains(&dimensions) {
            return Err(format!("has {dimensions} dimensions"));
        }
        let mut shape = Vec::new();
        for _ in 0..dimensions {
            let dim = self.u64()?;
            shape.push(usize::try_from(dim).map_err(|_| format!("has a dimension of {dim}"))?);
        }
        shape.reverse();
        Ok((GgmlType::from_id(self.u32()?)?, shape, self.u64()?))
    }
}

/// A number of a type that `Reader::size_of` knows; none if it does not fit an `i64`, as no useful one is that large.
fn number(kind: u32, bytes: &[u8]) -> Value<'static> {
    let mut wide = [0; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    let unsigned = u64::from_le_bytes(wide);
    // The sign of a narrow number is its own highest bit.
    let shift = 64 - 8 * bytes.len();
    let signed = ((unsigned << shift) as i64) >> shift;
    match kind {
        0 | 2 | 4 | 10 => i64::try_from(unsigned).map_or(Value::Other, Value::Integer),
        1 | 3 | 5 | 11 => Value::Integer(signed),
        6 => Value::Float(f32::from_bits(unsigned as u32).into()),
        7 => Value::Bool(unsigned != 0),
        _ => Value::Float(f64::from_bits(unsigned)),
    }
}
