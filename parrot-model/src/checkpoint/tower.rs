//! Finds a checkpoint's vision tower, its image processor and, if they are stored apart, its weights.

use std::path::Path;

use super::load::load_found;
use super::names;
use super::weights::Weights;
use crate::config::keys::quoted;
use crate::config::{ParrotConfig, VisionConfig};
use crate::device::WeightDtype;
use crate::files::Files;
use crate::image::ImageProcessorConfig;
use crate::layout::CONFIG_FILE;
use crate::vision::VisionTower;
use crate::{Error, Result, error_chain};

/// A vision tower that was found.
pub(super) struct Tower {
    pub(super) config: VisionConfig,
    pub(super) image_processor: ImageProcessorConfig,
    /// Keys of its `config.json` that are not known: [`VisionConfig::unknown_keys`].
    pub(super) unknown_keys: Vec<String>,
    /// Keys of its image processor that are not known: [`ImageProcessorConfig::unknown_keys`].
    pub(super) unknown_processor_keys: Vec<String>,
    /// What is to be said of an image processor that does not count.
    pub(super) unread_processor: Option<String>,
    /// `mm_vision_tower`.
    name: String,
    /// Its folder; `None` for a tower known by its name alone.
    folder: Option<Files>,
}

impl Tower {
    /// Whether its own weights, if there are any, lie on this machine.
    pub(super) fn is_here(&self) -> bool {
        self.folder.is_some() || is_local(&self.name)
    }

    /// The tower's own weights, for a checkpoint at `checkpoint` that lacks them.
    pub(super) fn weights(&self, checkpoint: &Path) -> Result<Weights> {
        let Self { name, folder, .. } = self;
        match folder {
            Some(folder) => Weights::from_folder(folder).map_err(|error| {
                Error::checkpoint(checkpoint, format!("holds no vision tower, and its folder: {error}"))
            }),
            None if is_local(name) => Err(Error::checkpoint(
                checkpoint,
                format!("holds no vision tower, and there is no folder `{name}` in it or beside it"),
            )),
            None => Weights::from_folder(super::hub::download_tower(name)?),
        }
    }
}

/// Loads a tower from its own folder's weights, which may be those of the whole model that it comes from.
///
/// # Errors
///
/// As [`load_module`](super::load_module).
pub fn load_vision_tower(
    tower: VisionTower,
    weights: &Weights,
    dtype: impl Into<WeightDtype>,
) -> Result<VisionTower> {
    load_found(tower, weights.path(), |name| weights.tower_tensor(name), names::vision_tower, dtype)
}

/// Looks for `mm_vision_tower` in the checkpoint's folder, then beside it, then among the towers whose
/// configuration is built in, and at last on the hub.
pub(super) fn find(checkpoint: &Files, config: &ParrotConfig) -> Result<Tower> {
    let refuse = |expected: &str, found: &str| {
        Err(Error::config("mm_vision_tower", expected, found).in_file(checkpoint.join(CONFIG_FILE).path()))
    };
    let Some(name) = config.mm_vision_tower.clone() else {
        return refuse("the vision tower's folder or id", "no such key");
    };
    // `config.json` there is the model's own, whatever the folder is called.
    let (named, own) = (checkpoint.join(&name), checkpoint.path());
    let followed = |path: &Path| path.canonicalize().ok();
    let is_own = followed(named.path()).is_some_and(|named| followed(own) == Some(named));
    if is_own || named.path().components().eq(own.components()) {
        return refuse("the vision tower's folder or id, not the model's own folder", &quoted(&name));
    }
    let mut folder = [checkpoint.join(&name), checkpoint.beside(&name)]
        .into_iter()
        .find(|folder| folder.join(CONFIG_FILE).is_listed());
    let built_in = VisionConfig::well_known(&name);
    if folder.is_none() && built_in.is_none() && !is_local(&name) && cfg!(feature = "hub") {
        folder = Some(super::hub::download_tower(&name)?.into());
    }
    let (vision, unknown_keys) = match (&folder, built_in) {
        (Some(folder), _) => {
            let file = folder.join(CONFIG_FILE);
            (VisionConfig::from_file(&file)?, VisionConfig::unknown_keys(&file)?)
        }
        (None, Some(config)) => (config, Vec::new()),
        (None, None) => {
            let expected =
                format!("a folder with a {CONFIG_FILE} in {} or beside it", checkpoint.path().display());
            return refuse(&expected, &quoted(&name));
        }
    };
    let mut said = (ImageProcessorConfig::for_tower(&vision), Vec::new());
    for folder in folder.iter().chain([checkpoint]) {
        if let Some(processor) = ImageProcessorConfig::from_folder(folder)? {
            processor.check_size(vision.image_size, folder)?;
            said = (processor, ImageProcessorConfig::unknown_keys(folder)?);
            break;
        }
    }
    let (image_processor, unknown_processor_keys) = said;
    let unread_processor =
        folder.as_ref().and_then(|tower| unread_processor(checkpoint, tower, &image_processor));
    Ok(Tower {
        config: vision,
        image_processor,
        unknown_keys,
        unknown_processor_keys,
        unread_processor,
        name,
        folder,
    })
}

/// A notice about the image processor in a model's own folder where that of its tower's folder counts, as in the reference, which
/// opens it by the tower's name; none where both say the same.
fn unread_processor(checkpoint: &Files, tower: &Files, counts: &ImageProcessorConfig) -> Option<String> {
    ImageProcessorConfig::from_folder(tower).ok()??;
    let own = match ImageProcessorConfig::from_folder(checkpoint) {
        Ok(own) if own.as_ref().is_none_or(|own| own == counts) => return None,
        Ok(_) => "says otherwise".into(),
        Err(error) => format!("cannot be used ({})", error_chain(&error)),
    };
    let [checkpoint, tower] = [checkpoint, tower].map(|folder| folder.path().display());
    Some(format!(
        "the image processor in {checkpoint} {own} and is not read: that of the vision tower, in {tower}, counts"
    ))
}

/// Whether a tower's name is a path: anything but `owner/name`, and what lies in the folder where
/// [`save`](super::save) puts towers.
pub(super) fn is_local(name: &str) -> bool {
    name.starts_with("towers/") || super::hub::parse_id(name).is_none()
}
