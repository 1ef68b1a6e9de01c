//! Loading a model on a thread of its own, with progress.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;

use parrot_infer::{Engine, EngineOptions, Error, Parrot, device};
use parrot_model::checkpoint::{DownloadProgress, resolve_with};
use parrot_model::device::parse_weight_dtype;
use parrot_model::untrusted::contained;

use crate::advice;

/// What is to be loaded, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setup {
    /// A folder, a GGUF or an id on the hub.
    pub model: String,
    /// A name as [`device::open`] takes it.
    pub device: String,
    /// What weights are held in; `None` is what suits the device, `auto` the widest that fits.
    pub dtype: Option<String>,
}

/// A model that answers.
pub(crate) struct Loaded {
    pub(crate) engine: Engine,
    pub(crate) setup: Setup,
    /// Like `vulkan:discrete:0`.
    pub(crate) device: String,
    /// Like `f16`.
    pub(crate) dtype: String,
    /// What there is to tell about the device, if it is not what was to be expected.
    pub(crate) notice: Option<String>,
}

/// How far loading has come.
#[derive(Debug)]
pub(crate) enum Stage {
    Opening,
    /// Where the model is: a hub is asked, which may take a while.
    Finding,
    /// A file of the hub: its name, bytes so far, all bytes.
    Downloading(String, u64, u64),
    /// Bytes so far, all bytes.
    Reading(u64, u64),
}

enum Event {
    Stage(Stage),
    Ended(Result<Box<Loaded>, String>),
}

/// A model while it is loaded. Dropping this lets the thread go on, but nobody hears of it.
pub(crate) struct Loading {
    pub(crate) setup: Setup,
    pub(crate) stage: Stage,
    events: Receiver<Event>,
}

impl Loading {
    /// Begins.
    ///
    /// - wake: called whenever there is something to hear
    pub(crate) fn start(setup: Setup, wake: impl Fn() + Send + Sync + 'static) -> Self {
        let (sender, events) = mpsc::channel();
        let wanted = setup.clone();
        let tell = Arc::new(move |event: Event| {
            // Nobody listens any more if something else was chosen meanwhile.
            let _ = sender.send(event);
            wake();
        });
        thread::spawn(move || {
            let stage = Arc::clone(&tell);
            let loaded = contained(|| load(wanted, move |at| stage(Event::Stage(at))));
            let loaded = loaded.and_then(|loaded| loaded.map_err(|error| advice::with_advice(&error)));
            tell(Event::Ended(loaded.map(Box::new)));
        });
        Self { setup, stage: Stage::Opening, events }
    }

    /// Takes what has happened, without waiting; the model, or why there is none, once that is known.
    pub(crate) fn update(&mut self) -> Option<Result<Box<Loaded>, String>> {
        for event in self.events.try_iter() {
            match event {
                Event::Stage(stage) => self.stage = stage,
                Event::Ended(ended) => return Some(ended),
            }
        }
        None
    }
}

impl Stage {
    /// For people.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Opening => "opening the device".into(),
            Self::Finding => "looking for it".into(),
            Self::Downloading(file, ..) => format!("downloading {file}"),
            Self::Reading(..) => "reading the weights".into(),
        }
    }

    /// From 0 to 1, if it can be told.
    pub(crate) fn fraction(&self) -> Option<f32> {
        match self {
            Self::Opening | Self::Finding => None,
            Self::Downloading(_, done, total) | Self::Reading(done, total) => {
                (*total > 0).then(|| *done as f32 / *total as f32)
            }
        }
    }
}

fn load(setup: Setup, tell: impl Fn(Stage) + Send + Sync + 'static) -> Result<Loaded, Error> {
    let dtype = setup.dtype.as_deref().filter(|dtype| *dtype != "auto").map(parse_weight_dtype);
    let dtype = dtype.transpose().map_err(|reason| {
        let name = setup.dtype.clone().unwrap_or_default();
        parrot_model::Error::config("dtype", reason, name)
    })?;
    let tell = Arc::new(tell);
    let chosen = device::choose(&setup.device)?;
    tell(Stage::Finding);
    let downloads = Arc::clone(&tell);
    let progress: DownloadProgress =
        Arc::new(move |file, done, total| downloads(Stage::Downloading(file.into(), done, total)));
    let folder = resolve_with(&setup.model, Some(progress))?;
    let loader = Parrot::loader().on_progress(|done, total| tell(Stage::Reading(done, total)));
    let loader = match dtype {
        Some(dtype) => loader.dtype(dtype),
        None if setup.dtype.is_some() => loader.widest_dtype(),
        None => loader,
    };
    let parrot = loader.load(folder, &chosen.device)?;
    let dtype = parrot.dtype().to_string();
    let engine = Engine::start(parrot, EngineOptions::default())?;
    let (device, notice) = (chosen.name, chosen.notice);
    Ok(Loaded { engine, setup, device, dtype, notice })
}
