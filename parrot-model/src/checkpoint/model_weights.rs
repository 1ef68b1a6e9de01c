//! All weights of a model, wherever they are stored, and what else may be stored with them.

use std::path::Path;

use burn::module::Module;
use burn::tensor::Device;

use super::load::{ExpectedTensor, Origin, check_and_fill, mismatches, parameters, unwanted};
use super::names;
use super::stored_tensor::StoredTensor;
use super::weights::Weights;
use crate::config::{DecoderConfig, ParrotConfig, VisionConfig};
use crate::device::PartDtypes;
use crate::{Error, Result, device};

pub(super) const LM_HEAD: &str = "lm_head.weight";
pub(super) const EMBED_TOKENS: &str = "model.embed_tokens.weight";

/// The weights of a model that has a decoder; none of them may be left over.
#[derive(Debug, Clone, Copy)]
pub(super) struct ModelWeights<'w> {
    /// The folder, for errors.
    pub(super) path: &'w Path,
    pub(super) weights: &'w Weights,
    pub(super) model: StoredModel<'w>,
}

/// Which model they are of.
#[derive(Debug, Clone, Copy)]
pub(super) enum StoredModel<'w> {
    Parrot {
        config: &'w ParrotConfig,
        vision: &'w VisionConfig,
        /// Only where the checkpoint's own files lack the tower.
        tower_weights: Option<&'w Weights>,
    },
    Decoder(&'w DecoderConfig),
}

impl<'w> ModelWeights<'w> {
    /// A tensor of the checkpoint, or of the tower's own folder where that holds the tower.
    pub(super) fn find(&self, name: &str) -> Option<StoredTensor<'w>> {
        if let StoredModel::Parrot { tower_weights: Some(tower_weights), .. } = self.model
            && let Some(name) = names::in_tower_folder(name)
        {
            return tower_weights.tower_tensor(name);
        }
        self.weights.get(name)
    }

    /// Fills a model, telling how many of the stored bytes have been read.
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`] listing every missing, unexpected or mis-shaped tensor, or else every one whose elements
    /// cannot be used; [`Error::Device`] when the device has too little memory.
    pub(super) fn load<M: Module>(
        &self,
        model: M,
        name_of: &dyn Fn(&[String]) -> String,
        dtypes: PartDtypes,
        device: &Device,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<M> {
        let check = |model: &M, wanted: &[ExpectedTensor]| {
            self.check(wanted)?;
            device::require_memory(model, dtypes, device)
        };
        let origin = Origin { path: self.path, title: &|name| self.weights.title(name) };
        check_and_fill(model, origin, &|name| self.find(name), name_of, dtypes, check, progress)
    }

    /// Refuses what does not fit a model, and reads no element of the rest.
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`] listing every missing, unexpected or mis-shaped tensor.
    pub(super) fn check_model<M: Module>(
        &self,
        model: &M,
        name_of: &dyn Fn(&[String]) -> String,
    ) -> Result<()> {
        self.check(&parameters(model, name_of))
    }

    /// Refuses what is missing, unexpected or mis-shaped.
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`] listing all of it.
    pub(super) fn check(&self, wanted: &[ExpectedTensor]) -> Result<()> {
        let mut problems = mismatches(wanted, |name| self.find(name), &|name| self.weights.title(name));
        for name in unwanted(wanted, self.weights) {
            if name == LM_HEAD && self.is_tied() {
                problems.extend(self.tied_head_problem());
            } else if !self.is_surplus(name) {
                problems.push(format!("{} is unexpected", self.weights.title(name)));
            }
        }
        if problems.is_empty() {
            return Ok(());
        }
        problems.splice(0..0, names::wrapped(self.weights.names()));
        Err(Error::Checkpoint { path: self.path.to_path_buf(), problems })
    }

    /// Whether the decoder's head is its embedding table.
    fn is_tied(&self) -> bool {
        match self.model {
            StoredModel::Parrot { config, .. } => config.decoder.tie_word_embeddings,
            StoredModel::Decoder(config) => config.tie_word_embeddings,
        }
    }

    /// Whether a tensor may be stored although the model has no place for it.
    fn is_surplus(&self, name: &str) -> bool {
        match self.model {
            StoredModel::Parrot { config, vision, .. } => names::is_surplus(name, config, vision),
            StoredModel::Decoder(_) => names::is_buffer(name),
        }
    }

    /// A tied head may be stored, but then it has to be the embedding table.
    fn tied_head_problem(&self) -> Option<String> {
        let (head, table) = (self.weights.get(LM_HEAD)?, self.weights.get(EMBED_TOKENS)?);
        let equal = head.dtype == table.dtype && head.shape == table.shape && head.bytes == table.bytes;
        (!equal).then(|| {
            format!("`{LM_HEAD}` differs from `{EMBED_TOKENS}` although tie_word_embeddings is true")
        })
    }
}
