//! What a recipe is refused for before its data or its weights are read: `run`, `plan` and `check-data` ask here.

use std::path::Path;

use parrot_model::config::ParrotConfig;

use super::{InitialModel, Recipe};
use crate::checkpoint::{RunFolder, newest_first};
use crate::data::mix::check_list_of_bad_records;
use crate::data::preparation::Preparation;
use crate::distributed::World;
use crate::metrics;
use crate::trainer::Stage;
use crate::{Error, Result};

/// The finished model's folder in a run's.
pub const MODEL: &str = "model";

/// The file in a run's folder that lists the records that cannot be used.
pub const BAD_RECORDS_FILE: &str = "bad-records.jsonl";

impl Recipe {
    /// Checks all that can be known of a stage before records and weights are read: its settings, the folder that it writes
    /// into, the start model as its files' headers describe it, and the tokenizer, which is what comes back.
    ///
    /// # Errors
    ///
    /// What [`Stage::train`], [`RunFolder::check`] and the model's files refuse.
    pub fn check_start(&self, initial: &InitialModel) -> Result<Preparation> {
        let config = &initial.description.config;
        self.check_place(config)?;
        initial.check_weights(&self.model)?;
        initial.preparation(self.max_length(config))
    }

    /// The part of [`check_start`](Self::check_start) that needs no model but its shape: the settings and the folder.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn check_place(&self, config: &ParrotConfig) -> Result<()> {
        // How many samples there are is not known yet; of the settings only the steps of an epoch depend on it.
        self.check_stage(1, config)?;
        RunFolder::check(&self.out, MODEL)?;
        if newest_first(&self.out)?.is_empty() {
            metrics::check_begin(&self.out)?;
            let list = self.out.join(BAD_RECORDS_FILE);
            // Of a link the link only is replaced.
            if !list.is_symlink() {
                check_list_of_bad_records(&list)?;
            }
        }
        Ok(())
    }

    /// Refuses a place for the list of records that cannot be used where something else lies, the recipe's own files above all.
    ///
    /// - recipe: the recipe's own file
    ///
    /// # Errors
    ///
    /// [`Error::Data`], and [`Error::Io`] for what cannot be read.
    pub fn check_list_place(&self, list: &Path, recipe: &Path) -> Result<()> {
        let is_list = |path: &Path| matches!((path.canonicalize(), list.canonicalize()), (Ok(one), Ok(other)) if one == other);
        let sources = self.sources();
        let mut inputs = sources.iter().map(|source| source.file.as_path()).chain([recipe]);
        if inputs.any(is_list) {
            let reason =
                "the list of bad records would replace this file, which the recipe needs; name another";
            return Err(Error::Data { path: list.into(), reason: reason.into() });
        }
        check_list_of_bad_records(list)
    }

    /// The [stage](Self::stage) over data of which an epoch visits `samples`, if it can be trained.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`].
    pub fn check_stage(&self, samples: usize, config: &ParrotConfig) -> Result<Stage> {
        let stage = self.stage(samples, config);
        match stage.check(&World::default(), config) {
            // The steps follow from what the recipe says.
            Err(Error::Setting { key: "train.steps", expected, found }) if self.train.steps.is_none() => {
                let (expected, found) = (format!("{expected} steps"), format!("{found} steps"));
                Err(Error::Setting { key: "train.epochs", expected, found })
            }
            checked => checked.map(|()| stage),
        }
    }
}
