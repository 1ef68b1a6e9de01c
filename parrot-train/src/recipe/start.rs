//! What a recipe is refused for before its data or its weights are read: `run`, `plan` and `check-data` ask here.

use parrot_model::config::ParrotConfig;

use super::{InitialModel, Recipe};
use crate::checkpoint::RunFolder;
use crate::data::preparation::Preparation;
use crate::distributed::World;
use crate::trainer::Stage;
use crate::{Error, Result};

/// The finished model's folder in a run's.
pub const MODEL: &str = "model";

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
        RunFolder::check(&self.out, MODEL)
    }

    /// The [stage](Self::stage) over data of which an epoch visits `samples`, if it can be trained.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`](crate::Error::Setting).
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
