//! `NAME=PATH@DEVICE` → a loaded model with an engine of its own.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use parrot_infer::device::Backend;
use parrot_infer::{Engine, EngineOptions};
use parrot_serve::Model;

use crate::options::{DeviceOptions, ModelOptions};

/// The models that were asked for, or the default one.
pub(super) fn load(asked: &[String], device: &DeviceOptions, options: &EngineOptions) -> Result<Vec<Model>> {
    if asked.is_empty() {
        return Ok(vec![Asked::default().load(device, options)?]);
    }
    let asked: Vec<Asked> = asked.iter().map(|text| Asked::parse(text)).collect();
    for (at, model) in asked.iter().enumerate() {
        let twice = model.name.is_some() && asked[..at].iter().any(|other| other.name == model.name);
        ensure!(!twice, "two models are called {}", model.name.as_deref().unwrap_or_default());
    }
    asked.iter().map(|model| model.load(device, options)).collect()
}

/// A model as it was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    name: Option<String>,
    path: Option<String>,
    device: Option<String>,
}

impl Asked {
    /// A path that exists is a path, whatever characters it has.
    fn parse(text: &str) -> Self {
        let (name, rest) = match text.split_once('=') {
            Some((name, rest)) if !Path::new(text).exists() => (Some(name.to_owned()), rest),
            _ => (None, text),
        };
        let (path, device) = match rest.rsplit_once('@') {
            // Behind an id of the hub, `@main` is a revision; behind a model that is here, what is no device is a mistyped one.
            Some((path, device))
                if !Path::new(rest).exists() && (is_device(device) || Path::new(path).exists()) =>
            {
                (path, Some(device.to_owned()))
            }
            _ => (rest, None),
        };
        let name = name.unwrap_or_else(|| own_name(path));
        Self { name: Some(name), path: Some(path.into()), device }
    }

    fn load(&self, device: &DeviceOptions, options: &EngineOptions) -> Result<Model> {
        let device = self.device.as_ref().map_or_else(|| device.clone(), |name| device.on(name));
        let (folder, parrot) = ModelOptions { model: self.path.clone(), device }.find_and_load()?;
        let name = self.name.clone().unwrap_or_else(|| own_name(&folder.to_string_lossy()));
        let engine = Engine::start(parrot, options.clone())
            .with_context(|| format!("cannot start the model {name}"))?;
        Ok(Model { name, engine })
    }
}

/// What a model is called that was given no name: its id, or the last part of its path.
fn own_name(path: &str) -> String {
    if !Path::new(path).exists() {
        return path.into();
    }
    let last = Path::new(path)
        .canonicalize()
        .ok()
        .and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    last.unwrap_or_else(|| path.into())
}

fn is_device(text: &str) -> bool {
    let backend = text.split(':').next().unwrap_or_default();
    backend == "auto" || Backend::ALL.iter().any(|known| known.name() == backend)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_paths_and_devices() {
        let asked = |name: &str, path: &str, device: Option<&str>| Asked {
            name: Some(name.into()),
            path: Some(path.into()),
            device: device.map(Into::into),
        };
        assert_eq!(Asked::parse("AIDC-AI/Parrot-7B"), asked("AIDC-AI/Parrot-7B", "AIDC-AI/Parrot-7B", None));
        assert_eq!(Asked::parse("a/b@main"), asked("a/b@main", "a/b@main", None));
        assert_eq!(Asked::parse("x=a/b@main@cuda:1"), asked("x", "a/b@main", Some("cuda:1")));
        assert_eq!(Asked::parse("x=models/mini@cpu"), asked("x", "models/mini", Some("cpu")));

        let folder = tempfile::tempdir().unwrap();
        let odd = folder.path().join("a=b@cpu");
        std::fs::create_dir(&odd).unwrap();
        let odd = odd.to_str().unwrap();
        assert_eq!(Asked::parse(odd), asked("a=b@cpu", odd, None));
        // It was a model that is not there.
        assert_eq!(Asked::parse(&format!("x={odd}@gpu")), asked("x", odd, Some("gpu")));
    }

    #[test]
    fn two_of_one_name_are_refused_before_they_are_loaded() {
        let twice = ["x=a".to_owned(), "x=b".to_owned()];
        let device = <crate::Cli as clap::Parser>::try_parse_from(["parrot", "serve"]).unwrap();
        let crate::Command::Serve(args) = device.command else { panic!("not serve") };
        let error = load(&twice, &args.device, &EngineOptions::default()).unwrap_err().to_string();
        assert_eq!(error, "two models are called x");
    }
}
