//! A folder with a tiny model, nine records and a recipe, and the command that runs it.

use std::fs;
use std::path::PathBuf;

use assert_cmd::Command;
use serde_json::{Value, json};

use crate::shapes::{ASSETS, save_start};

/// A model, data and a recipe in a folder that goes with the value.
pub(crate) struct Workplace(tempfile::TempDir);

impl Workplace {
    pub(crate) fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        save_start(&place.path("start"), 1);
        let records: Vec<Value> = (0..9).map(record).collect();
        place.write("data.json", &Value::from(records).to_string());
        place.write("recipe.toml", &place.recipe());
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn recipe(&self) -> String {
        format!(
            r#"
name = "stage2"
out = {out:?}

[model]
from = {start:?}

[[data.source]]
file = {data:?}
pictures = "{ASSETS}/pictures"

[data]
workers = 2

[train]
parts = ["projector", "moe", "language_model"]
steps = 6
batch_size = 4
micro_batch_size = 2
learning_rate = 1e-3
save_every = 2
"#,
            out = self.path("run"),
            start = self.path("start"),
            data = self.path("data.json"),
        )
    }

    /// Runs a command on the recipe: exit status, standard output, standard error.
    pub(crate) fn call(&self, command: &str, arguments: &[&str]) -> (i32, String, String) {
        let mut process = Command::cargo_bin("parrot-train").unwrap();
        process.arg(command).arg(self.path("recipe.toml")).args(arguments);
        let output = process.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    pub(crate) fn weights(&self, folder: &str) -> Vec<u8> {
        fs::read(self.path(folder).join("model.safetensors")).unwrap()
    }
}

pub(crate) fn record(id: usize) -> Value {
    let (image, question, answer) = match id % 3 {
        0 => (Some("rocket.png"), "<image>\nWhat is this?", "This is thing"),
        1 => (Some("butterfly.png"), "<image>\n这是什么？", "这是东西"),
        _ => (None, "What is a rocket?", "It is thing"),
    };
    let mut record = json!({"id": id, "conversations": [
        {"from": "human", "value": question}, {"from": "gpt", "value": format!("{answer} {id}")}]});
    if let Some(image) = image {
        record["image"] = image.into();
    }
    record
}
