//! What cases are run on: checkpoints with edited configurations, and pictures.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use burn::prelude::*;
use image::RgbImage;
use parrot_model::batch::PrepareOptions;
use parrot_model::checkpoint::{Checkpoint, Weights, load_found};
use parrot_model::config::{ParrotConfig, VisionConfig};
use parrot_model::device::{self, Precision, WeightDtype};
use parrot_model::image::{AspectRatio, DecodeOptions, ImageProcessorConfig, Pixels, open_rgb};
use parrot_model::layout::{CONFIG_FILE, TOKENIZER_FILE};
use parrot_model::parrot::ParrotModel;
use parrot_model::text::Tokenizer;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Array, Case, Checks, Directory, reference_image};
use crate::{Error, Result};

/// Edits of a checkpoint's `config.json` that a case asks for.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(crate) struct ConfigEdits {
    /// Keys to set.
    #[serde(default)]
    pub config_overrides: Map<String, Value>,
    /// Keys to remove, before others are set.
    #[serde(default)]
    pub config_drop: Vec<String>,
}

/// A checkpoint of the directory, ready to run.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// Its configuration, edits applied.
    pub config: ParrotConfig,
    /// Its vision tower's.
    pub vision: VisionConfig,
    /// The network.
    pub model: ParrotModel,
    /// The tokenizer that lies beside the weights.
    pub tokenizer: Arc<Tokenizer>,
    /// The image processor that lies beside the vision tower.
    pub processor: ImageProcessorConfig,
    /// How pictures become square.
    pub aspect_ratio: AspectRatio,
    /// The dtype of its weights.
    pub dtype: WeightDtype,
    /// The device that it was loaded to.
    pub device: Device,
}

/// A golden directory and the device on which its cases run.
#[derive(Debug)]
pub(crate) struct Fixture {
    /// The cases.
    pub directory: Rc<Directory>,
    /// Where networks are loaded to.
    pub device: Device,
    /// The dtype of their weights, unless a case chooses another.
    pub dtype: WeightDtype,
    /// The checkpoint used last: cases of one checkpoint follow each other.
    last: RefCell<Option<(Key, Rc<Loaded>)>>,
    /// The tokenizers, by the names that cases use.
    tokenizers: RefCell<HashMap<String, Rc<Tokenizer>>>,
    /// Picture file → the same picture as the reference decodes it, losslessly stored.
    decoded: HashMap<String, String>,
}

type Key = (String, ConfigEdits, WeightDtype);

#[derive(Deserialize)]
struct Decoded {
    image: Option<String>,
    decoded_rgb: Option<String>,
}

impl Fixture {
    /// Nothing is loaded before a case asks for it.
    #[must_use]
    pub(crate) fn new(directory: Rc<Directory>, device: Device, dtype: impl Into<WeightDtype>) -> Self {
        let decoded = directory.cases().iter().filter_map(|case| {
            let Decoded { image, decoded_rgb } = directory.fields(case).ok()?;
            image.zip(decoded_rgb)
        });
        let (decoded, dtype) = (decoded.collect(), dtype.into());
        Self { directory, device, dtype, last: RefCell::default(), tokenizers: RefCell::default(), decoded }
    }

    /// Loads a checkpoint of the directory with an edited configuration.
    ///
    /// # Errors
    ///
    /// Those of loading, when the edits describe no possible model or the files are broken.
    pub(crate) fn load(
        &self,
        checkpoint: &str,
        edits: &ConfigEdits,
        dtype: impl Into<WeightDtype>,
    ) -> Result<Rc<Loaded>> {
        let dtype = dtype.into();
        let key = (checkpoint.to_string(), edits.clone(), dtype);
        if let Some((last, loaded)) = &*self.last.borrow()
            && *last == key
        {
            return Ok(loaded.clone());
        }
        let folder = self.directory.path(checkpoint)?;
        let config = edited_config(&folder.join(CONFIG_FILE), edits)?;
        let checkpoint = Checkpoint::open_with_config(&folder, config)?;
        let loaded = Rc::new(Loaded {
            model: checkpoint.load(dtype, &self.device)?,
            tokenizer: Arc::new(Tokenizer::from_file(folder.join(TOKENIZER_FILE))?),
            aspect_ratio: AspectRatio::from_key(
                checkpoint.description.config.image_aspect_ratio.as_deref(),
                checkpoint.description.vision.kind,
            )?,
            processor: checkpoint.description.image_processor,
            vision: checkpoint.description.vision,
            config: checkpoint.description.config,
            dtype,
            device: self.device.clone(),
        });
        *self.last.borrow_mut() = Some((key, loaded.clone()));
        Ok(loaded)
    }

    /// A picture of the directory as the reference decodes it, so that what follows can be compared
    /// exactly: from the lossless copy where there is one.
    ///
    /// # Errors
    ///
    /// [`Io`](parrot_model::Error::Io) or [`Image`](parrot_model::Error::Image) when the file cannot be read.
    pub(crate) fn image(&self, image: &str) -> Result<RgbImage> {
        let file = self.decoded.get(image).map_or(image, String::as_str);
        Ok(open_rgb(&self.directory.path(file)?, &DecodeOptions::reference())?)
    }

    /// Pictures as the reference feeds them to the tower of `loaded`: `[images, 3, size, size]`.
    ///
    /// # Errors
    ///
    /// As [`image`](Self::image), and [`Error::Golden`] when there is no picture.
    pub(crate) fn pixel_values<S: AsRef<str>>(&self, loaded: &Loaded, images: &[S]) -> Result<Tensor<4>> {
        if images.is_empty() {
            return Err(self.directory.error("a case gives an empty list of pictures"));
        }
        let aspect = loaded.aspect_ratio;
        let pixels = images.iter().map(|image| {
            reference_image::preprocess(&loaded.processor, &self.image(image.as_ref())?, aspect)
        });
        Ok(Pixels::to_tensor(&pixels.collect::<Result<Vec<_>>>()?, &self.device))
    }

    /// A golden tensor of `case` on the device; missing leading dimensions are 1.
    ///
    /// # Errors
    ///
    /// [`Error::Golden`] when its rank is higher than `D`.
    pub(crate) fn tensor<const D: usize>(&self, case: &Case, array: &Array) -> Result<Tensor<D>> {
        let broken = |reason| self.directory.error(format!("case {}: {reason}", case.id));
        let tensor: Tensor<D> = array.to_tensor(&self.device).map_err(broken)?;
        Ok(tensor.cast(device::activation_dtype(&self.device, self.dtype)))
    }

    /// Checks of a case whose network is held in the fixture's dtype.
    #[must_use]
    pub(crate) fn checks(&self) -> Checks {
        Checks::new(Precision::for_weights(&self.device, self.dtype))
    }

    /// Token ids, or indices, on the device.
    #[must_use]
    pub(crate) fn ids(&self, ids: &[i64]) -> Tensor<1, Int> {
        Tensor::from_data(TensorData::new(ids.to_vec(), [ids.len()]), &self.device)
    }

    /// The tokenizer that conversation cases call `name`: `tokenizers/<name>`, and for `tiny` the one that
    /// lies beside the checkpoints.
    ///
    /// # Errors
    ///
    /// [`Io`](parrot_model::Error::Io) or [`Tokenizer`](parrot_model::Error::Tokenizer) when it cannot be read, [`Error::Golden`] when no case names a
    /// checkpoint.
    pub(crate) fn tokenizer(&self, name: &str) -> Result<Rc<Tokenizer>> {
        if let Some(tokenizer) = self.tokenizers.borrow().get(name) {
            return Ok(tokenizer.clone());
        }
        let folder = match name {
            "tiny" => self.any_checkpoint()?.to_string(),
            name => format!("tokenizers/{name}"),
        };
        let tokenizer = Tokenizer::from_file(self.directory.path(&folder)?.join(TOKENIZER_FILE))?;
        let tokenizer = Rc::new(tokenizer);
        self.tokenizers.borrow_mut().insert(name.into(), tokenizer.clone());
        Ok(tokenizer)
    }

    fn any_checkpoint(&self) -> Result<&str> {
        let mut named =
            self.directory.cases().iter().filter_map(|case| case.fields.get("checkpoint")?.as_str());
        named.next().ok_or_else(|| self.directory.error("no case names a checkpoint"))
    }

    /// Loads a part of the network from the tensors that a case calls `w.<name>`; `name_of` maps paths to
    /// names in a checkpoint, which begin with `part` (see [`names`](parrot_model::checkpoint::names)).
    ///
    /// # Errors
    ///
    /// [`Error::Golden`] for a weight that the case does not have, or what
    /// [`load_module`](parrot_model::checkpoint::load_module) refuses.
    pub(crate) fn fill<M: Module>(
        &self,
        module: M,
        case: &Case,
        part: &str,
        name_of: impl Fn(&[String]) -> String,
    ) -> Result<M> {
        if module.num_params() == 0 {
            return Ok(module);
        }
        let name_of = |path: &[String]| {
            let name = name_of(path);
            format!("w.{}", name.strip_prefix(part).unwrap_or(&name))
        };
        let weights = Weights::from_file(self.directory.file_of(case)?)?;
        let find = |name: &str| weights.get(case.key(name).unwrap_or(name));
        Ok(load_found(module, weights.path(), find, name_of, self.dtype)?)
    }

    /// The data-set record of that id, as a `dataset_sample` or `train` case gives it.
    ///
    /// # Errors
    ///
    /// [`Error::Golden`] when no case has it.
    pub(crate) fn record(&self, id: &str) -> Result<&Value> {
        let records = self.directory.cases().iter().filter_map(|case| case.fields.get("record"));
        let has_id = |record: &&Value| record.get("id").and_then(Value::as_str) == Some(id);
        records
            .into_iter()
            .find(has_id)
            .ok_or_else(|| self.directory.error(format!("there is no record {id}")))
    }

    /// The pictures of data-set records, one slot each, as the reference's data set fills them: zeros for
    /// a record without a picture, the mean colour for a file that cannot be read.
    ///
    /// # Errors
    ///
    /// [`Error::Golden`] for a record that no case has.
    pub(crate) fn record_images(&self, loaded: &Loaded, records: &[String]) -> Result<Tensor<4>> {
        let mut pixels = Vec::with_capacity(records.len());
        for id in records {
            let image = self.record(id)?.get("image").and_then(Value::as_str);
            pixels.push(match image.map(|image| self.image(&format!("images/{image}"))) {
                None => loaded.blank_image(),
                Some(Ok(image)) => {
                    reference_image::preprocess(&loaded.processor, &image, loaded.aspect_ratio)?
                }
                Some(Err(_)) => loaded
                    .processor
                    .preprocess(&reference_image::mean_image(&loaded.processor), loaded.aspect_ratio),
            });
        }
        if pixels.is_empty() {
            return Err(self.directory.error("a case lists no records"));
        }
        Ok(Pixels::to_tensor(&pixels, &self.device))
    }
}

impl Loaded {
    /// How the reference shapes a batch for this checkpoint.
    #[must_use]
    pub(crate) fn prepare_options(&self) -> PrepareOptions {
        PrepareOptions {
            max_length: self.config.tokenizer_model_max_length,
            padding_side: self.config.tokenizer_padding_side,
        }
    }

    /// What the reference's data set puts in the picture slot of a record without one: zeros.
    #[must_use]
    pub(crate) fn blank_image(&self) -> Pixels {
        let size = self.vision.image_size;
        Pixels { data: vec![0.0; 3 * size * size], size }
    }
}

/// A `config.json` with a case's edits, checked like any other.
fn edited_config(path: &Path, edits: &ConfigEdits) -> Result<ParrotConfig> {
    let text = std::fs::read(path).map_err(Error::read(path))?;
    let mut keys: Map<String, Value> = serde_json::from_slice(&text).map_err(Error::json(path))?;
    keys.retain(|key, _| !edits.config_drop.contains(key));
    keys.extend(edits.config_overrides.clone());
    Ok(ParrotConfig::from_keys(keys)?)
}
