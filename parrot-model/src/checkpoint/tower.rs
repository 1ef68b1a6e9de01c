//! Where a checkpoint's vision tower is described, and where its weights lie when they lie apart.

use std::path::{Path, PathBuf};

use super::weights::Weights;
use crate::config::{ParrotConfig, VisionConfig};
use crate::{Error, Result};

/// A vision tower that was found.
pub(super) struct Tower {
    pub(super) config: VisionConfig,
    /// `mm_vision_tower`.
    name: String,
    /// Its folder; `None` for a tower known by its name alone.
    folder: Option<PathBuf>,
}

impl Tower {
    /// The tower's own weights, for a checkpoint at `checkpoint` that lacks them.
    pub(super) fn weights(&self, checkpoint: &Path) -> Result<Weights> {
        match &self.folder {
            Some(folder) => Weights::from_folder(folder),
            None => {
                let name = &self.name;
                let problem =
                    format!("holds no vision tower, and neither `{name}` nor ../{name} is a folder");
                Err(Error::checkpoint(checkpoint, problem))
            }
        }
    }
}

/// Looks for `mm_vision_tower` in the checkpoint's folder, then beside it, then among the towers whose
/// configuration is built in.
pub(super) fn find(checkpoint: &Path, config: &ParrotConfig) -> Result<Tower> {
    let Some(name) = config.mm_vision_tower.clone() else {
        return Err(Error::config("mm_vision_tower", "the vision tower's folder or id", "nothing"));
    };
    // A path of one component has the empty parent, which joins to a path relative to the working folder.
    let beside = checkpoint.parent().unwrap_or(checkpoint);
    let folder = [checkpoint.join(&name), beside.join(&name)]
        .into_iter()
        .find(|folder| folder.join("config.json").is_file());
    let config = match (&folder, well_known(&name)) {
        (Some(folder), _) => VisionConfig::from_file(folder.join("config.json"))?,
        (None, Some(config)) => config,
        (None, None) => {
            let expected = format!("a folder with a config.json in {} or beside it", checkpoint.display());
            return Err(Error::config("mm_vision_tower", expected, name));
        }
    };
    Ok(Tower { config, name, folder })
}

/// The towers of the released models, by the last part of their name: a checkpoint may say
/// `openai/clip-vit-large-patch14-336` or the path that it had where it was trained.
pub(super) fn well_known(name: &str) -> Option<VisionConfig> {
    match Path::new(name).file_name()?.to_str()? {
        "clip-vit-large-patch14-336" => Some(VisionConfig::clip_vit_large_336()),
        "siglip-so400m-patch14-384" => Some(VisionConfig::siglip_so400m_384()),
        _ => None,
    }
}
