//! Reading a golden directory.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use parrot_model::untrusted::{self, Objects};
use safetensors::SafeTensors;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Array;
use crate::{Error, Result};

/// The largest file that is read.
const MAX_BYTES: u64 = 8 << 30;

/// A golden directory: its cases, and the tensors they name.
#[derive(Debug)]
pub struct Directory {
    root: PathBuf,
    cases: Vec<Case>,
    /// Files read so far; cases of one part share theirs.
    files: RefCell<HashMap<PathBuf, Rc<[u8]>>>,
}

/// One case of the manifest.
#[derive(Debug, Clone)]
pub struct Case {
    /// Unique in its directory.
    pub id: String,
    /// What is computed; decides which further fields there are.
    pub kind: String,
    /// All fields, `id` and `kind` included.
    pub fields: Value,
    /// The tensors that the case names.
    tensors: BTreeMap<String, TensorSource>,
    /// The safetensors file of those tensors that name none themselves.
    file: Option<String>,
}

/// A number of the manifest, in which NaN is written `"nan"`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(from = "NumberOrName")]
pub(crate) struct Number(pub f64);

#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrName {
    Number(f64),
    Name(NotANumber),
}

#[derive(Deserialize)]
enum NotANumber {
    #[serde(rename = "nan", alias = "NaN")]
    Nan,
}

impl From<NumberOrName> for Number {
    fn from(value: NumberOrName) -> Self {
        match value {
            NumberOrName::Number(number) => Self(number),
            NumberOrName::Name(NotANumber::Nan) => Self(f64::NAN),
        }
    }
}

/// Where a tensor lies: one entry of a file, or entries of equal shape to be stacked.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum TensorSource {
    Stack { file: Option<String>, stack: Vec<String>, shape: Vec<usize> },
    Entry { file: Option<String>, key: String, shape: Vec<usize> },
}

#[derive(Deserialize)]
struct Index {
    parts: BTreeMap<String, String>,
    #[serde(default)]
    index: Vec<IndexEntry>,
}

#[derive(Deserialize)]
struct IndexEntry {
    id: String,
}

#[derive(Deserialize)]
struct CaseHead {
    id: String,
    kind: String,
    file: Option<String>,
    #[serde(default)]
    tensors: BTreeMap<String, TensorSource>,
}

impl Directory {
    /// Reads the manifest; tensors are read when a case asks for them.
    ///
    /// # Errors
    ///
    /// [`Io`](parrot_model::Error::Io) and [`Json`](parrot_model::Error::Json) for a missing or broken file, [`Error::Golden`] when the index and
    /// the parts do not list the same cases.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
        let mut directory = Self { root: root.into(), cases: Vec::new(), files: RefCell::default() };
        let index: Index = directory.json("cases.json")?;
        let mut seen = HashSet::new();
        for part in index.parts.values() {
            for fields in directory.json::<Vec<Value>>(part)? {
                let case = directory.parse_case(part, fields)?;
                if !seen.insert(case.id.clone()) {
                    return Err(directory.error(format!("two cases have the id {}", case.id)));
                }
                directory.cases.push(case);
            }
        }
        if let Some(lost) = index.index.iter().find(|entry| !seen.contains(&entry.id)) {
            return Err(directory.error(format!("cases.json lists {}, which is in no part", lost.id)));
        }
        Ok(directory)
    }

    fn parse_case(&self, part: &str, fields: Value) -> Result<Case> {
        let head = CaseHead::deserialize(Objects(&fields)).map_err(|source| {
            let id = fields.get("id").and_then(Value::as_str).unwrap_or("without id");
            self.error(format!("{part}: case {id}: {source}"))
        })?;
        Ok(Case { id: head.id, kind: head.kind, fields, tensors: head.tensors, file: head.file })
    }

    fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let path = self.path(name)?;
        let text = untrusted::read(&path, MAX_BYTES)?;
        untrusted::from_json(&text).map_err(Error::json(path))
    }

    /// All cases, part by part.
    #[must_use]
    pub fn cases(&self) -> &[Case] {
        &self.cases
    }

    /// The case that another one refers to.
    ///
    /// # Errors
    ///
    /// [`Error::Golden`] when there is none of that id.
    pub fn case(&self, id: &str) -> Result<&Case> {
        self.cases
            .iter()
            .find(|case| case.id == id)
            .ok_or_else(|| self.error(format!("there is no case {id}")))
    }

    /// A file of the directory.
    ///
    /// # Errors
    ///
    /// [`Error::Golden`] for a name that leads out of the directory.
    pub fn path(&self, name: &str) -> Result<PathBuf> {
        let inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        if !inside || name.is_empty() {
            return Err(self.error(format!("{name:?} is not a path inside the directory")));
        }
        Ok(self.root.join(name))
    }

    /// The safetensors file that a case names.
    pub(super) fn file_of(&self, case: &Case) -> Result<PathBuf> {
        let missing = || self.error(format!("case {} names no file", case.id));
        self.path(case.file.as_deref().ok_or_else(missing)?)
    }

    /// The tensor that `case` calls `name`; `None` when the case has none of that name.
    ///
    /// # Errors
    ///
    /// [`Error::Golden`] or [`Io`](parrot_model::Error::Io) when it has one and the file does not.
    pub fn tensor(&self, case: &Case, name: &str) -> Result<Option<Array>> {
        let Some(source) = case.tensors.get(name) else { return Ok(None) };
        let (file, keys, shape) = match source {
            TensorSource::Stack { file, stack, shape } => (file, stack.as_slice(), shape),
            TensorSource::Entry { file, key, shape } => (file, std::slice::from_ref(key), shape),
        };
        let broken = |reason: String| self.error(format!("case {}, tensor {name}: {reason}", case.id));
        let file = file.as_ref().or(case.file.as_ref()).ok_or_else(|| broken("it names no file".into()))?;
        let bytes = self.read(file)?;
        let tensors =
            SafeTensors::deserialize(&bytes).map_err(|source| broken(format!("{file}: {source}")))?;
        let mut values = Vec::new();
        for key in keys {
            let view = tensors.tensor(key).map_err(|source| broken(format!("{file}: {source}")))?;
            values.extend(Array::read(&view).map_err(&broken)?.values);
        }
        if values.len() != shape.iter().product::<usize>() {
            return Err(broken(format!("{file} has {} elements, the manifest says {shape:?}", values.len())));
        }
        Ok(Some(Array { shape: shape.clone(), values }))
    }

    /// [`tensor`](Self::tensor) for one that the kind of case cannot do without.
    ///
    /// # Errors
    ///
    /// As [`tensor`](Self::tensor), and [`Error::Golden`] when the case has none of that name.
    pub fn require(&self, case: &Case, name: &str) -> Result<Array> {
        let missing = || self.error(format!("case {} has no tensor {name}", case.id));
        self.tensor(case, name)?.ok_or_else(missing)
    }

    fn read(&self, name: &str) -> Result<Rc<[u8]>> {
        let path = self.path(name)?;
        if let Some(bytes) = self.files.borrow().get(&path) {
            return Ok(bytes.clone());
        }
        let bytes: Rc<[u8]> = untrusted::read(&path, MAX_BYTES)?.into();
        self.files.borrow_mut().insert(path, bytes.clone());
        Ok(bytes)
    }

    /// An [`Error::Golden`] about this directory.
    #[must_use]
    pub fn error(&self, reason: impl Into<String>) -> Error {
        Error::Golden { path: self.root.clone(), reason: reason.into() }
    }

    /// The fields of a case, as its kind has them.
    ///
    /// # Errors
    ///
    /// [`Error::Golden`] naming the case and the field that does not fit.
    pub fn fields<T: DeserializeOwned>(&self, case: &Case) -> Result<T> {
        T::deserialize(Objects(&case.fields))
            .map_err(|source| self.error(format!("case {}: {source}", case.id)))
    }
}

impl Case {
    /// The entry, in the case's own file, of the tensor called `name`.
    pub(super) fn key(&self, name: &str) -> Option<&str> {
        match self.tensors.get(name)? {
            TensorSource::Entry { key, .. } => Some(key),
            TensorSource::Stack { .. } => None,
        }
    }

    /// Names of the tensors that the case has.
    pub fn tensor_names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A directory of one case with one tensor `x` and one stack `p` of two.
    fn golden(case: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let floats: Vec<u8> = [1.5_f32, -2.0, 3.0, f32::NAN].iter().flat_map(|x| x.to_le_bytes()).collect();
        let view =
            |data| safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![2], data).unwrap();
        let tensors = [("a", view(&floats[..8])), ("b", view(&floats[8..]))];
        let bytes = safetensors::serialize(tensors, None).unwrap();
        fs::write(folder.path().join("data.safetensors"), bytes).unwrap();
        fs::write(
            folder.path().join("cases.json"),
            r#"{"parts": {"one": "one.json"}, "index": [{"id": "c"}]}"#,
        )
        .unwrap();
        fs::write(folder.path().join("one.json"), format!("[{case}]")).unwrap();
        folder
    }

    const CASE: &str = r#"{"id": "c", "kind": "k", "loss": "nan", "file": "data.safetensors", "tensors": {
        "x": {"key": "a", "shape": [2], "dtype": "float32"},
        "p": {"file": "data.safetensors", "stack": ["a", "b"], "shape": [2, 1, 2], "dtype": "float32"},
        "lost": {"key": "z", "shape": [2], "dtype": "float32"},
        "long": {"key": "a", "shape": [3], "dtype": "float32"}}}"#;

    #[test]
    fn reads_entries_stacks_and_nan() {
        let folder = golden(CASE);
        let directory = Directory::open(folder.path()).unwrap();
        let case = directory.case("c").unwrap();
        let x = directory.require(case, "x").unwrap();
        assert_eq!((x.shape.as_slice(), x.values.as_slice()), (&[2][..], &[1.5, -2.0][..]));
        let p = directory.require(case, "p").unwrap();
        assert_eq!(p.shape, [2, 1, 2]);
        assert!(p.values[3].is_nan());
        assert!(directory.tensor(case, "y").unwrap().is_none());
        #[derive(Deserialize)]
        struct Fields {
            loss: Number,
        }
        assert!(directory.fields::<Fields>(case).unwrap().loss.0.is_nan());
    }

    #[test]
    fn tensors_that_cannot_be_read_name_case_and_file() {
        let folder = golden(CASE);
        let directory = Directory::open(folder.path()).unwrap();
        let case = directory.case("c").unwrap();
        for name in ["lost", "long"] {
            let error = directory.require(case, name).unwrap_err().to_string();
            assert!(error.contains(&format!("case c, tensor {name}: data.safetensors")), "{error}");
        }
        fs::write(folder.path().join("data.safetensors"), b"\xff\xff\xff\xff\xff\xff\xff\x7f{").unwrap();
        let error = Directory::open(folder.path()).unwrap();
        let error = error.require(error.case("c").unwrap(), "x").unwrap_err().to_string();
        assert!(error.contains("data.safetensors"), "{error}");
    }

    #[test]
    fn broken_manifests_are_errors_that_say_what_is_wrong() {
        let opened = |folder: &tempfile::TempDir| Directory::open(folder.path()).unwrap_err().to_string();
        let folder = golden(r#"{"id": "d", "kind": "k"}"#);
        assert!(opened(&folder).contains("cases.json lists c, which is in no part"));
        let folder = golden(r#"{"id": "c", "kind": "k"}, {"id": "c", "kind": "k"}"#);
        assert!(opened(&folder).contains("two cases have the id c"));
        let folder = golden(r#"{"id": "c"}"#);
        assert!(opened(&folder).contains("one.json: case c: missing field `kind`"));
        let folder = golden(CASE);
        fs::remove_file(folder.path().join("one.json")).unwrap();
        assert!(opened(&folder).contains("one.json"));
        fs::write(folder.path().join("cases.json"), r#"{"parts": {"up": "../one.json"}}"#).unwrap();
        assert!(opened(&folder).contains("not a path inside the directory"));
        fs::write(folder.path().join("cases.json"), "{").unwrap();
        assert!(opened(&folder).contains("cases.json does not hold valid JSON"));
        let empty = tempfile::tempdir().unwrap();
        assert!(opened(&empty).contains("cannot read"));
    }
}
