//! Writes a GGUF.

use std::fs;

/// A file to be: metadata with their types, tensors with theirs and the innermost dimension first.
#[derive(Default, Clone)]
pub(crate) struct Gguf {
    pub(crate) metadata: Vec<(String, Vec<u8>)>,
    pub(crate) tensors: Vec<(String, Vec<u64>, u32, Vec<u8>)>,
}

pub(crate) const F32: u32 = 0;
pub(crate) const F16: u32 = 1;

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

impl Gguf {
    fn set(&mut self, key: &str, kind: u32, value: &[u8]) {
        self.metadata.retain(|(name, _)| name != key);
        self.metadata.push((key.into(), [&kind.to_le_bytes(), value].concat()));
    }

    pub(crate) fn number(&mut self, key: &str, value: u64) {
        self.set(key, 4, &(value as u32).to_le_bytes());
    }

    pub(crate) fn float(&mut self, key: &str, value: f64) {
        self.set(key, 6, &(value as f32).to_le_bytes());
    }

    pub(crate) fn bool(&mut self, key: &str, value: bool) {
        self.set(key, 7, &[value.into()]);
    }

    pub(crate) fn text(&mut self, key: &str, value: &str) {
        self.set(key, 8, &string(value));
    }

    pub(crate) fn texts(&mut self, key: &str, values: &[String]) {
        let values: Vec<u8> = [8_u32.to_le_bytes().to_vec(), (values.len() as u64).to_le_bytes().to_vec()]
            .into_iter()
            .chain(values.iter().map(|value| string(value)))
            .flatten()
            .collect();
        self.set(key, 9, &values);
    }

    pub(crate) fn numbers(&mut self, key: &str, values: &[i32]) {
        let mut bytes = [&5_u32.to_le_bytes()[..], &(values.len() as u64).to_le_bytes()].concat();
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        self.set(key, 9, &bytes);
    }

    pub(crate) fn tensor(&mut self, name: &str) -> &mut (String, Vec<u64>, u32, Vec<u8>) {
        self.tensors.iter_mut().find(|(found, ..)| found == name).unwrap()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut file = b"GGUF\x03\0\0\0".to_vec();
        file.extend((self.tensors.len() as u64).to_le_bytes());
        file.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            file.extend(string(key));
            file.extend(value);
        }
        let mut data = Vec::new();
        for (name, dims, kind, bytes) in &self.tensors {
            file.extend(string(name));
            file.extend((dims.len() as u32).to_le_bytes());
            file.extend(dims.iter().flat_map(|dim| dim.to_le_bytes()));
            file.extend(kind.to_le_bytes());
            file.extend((data.len() as u64).to_le_bytes());
            data.extend(bytes);
            data.resize(data.len().next_multiple_of(32), 0);
        }
        file.resize(file.len().next_multiple_of(32), 0);
        file.extend(data);
        file
    }

    pub(crate) fn write(&self) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), self.bytes()).unwrap();
        file
    }
}
