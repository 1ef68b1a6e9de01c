//! `parrot-train check-data`: what a recipe's data is made of, before any of it is trained on.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use parrot_train::data::mix::write_bad_records;
use parrot_train::data::survey::survey;
use parrot_train::recipe::InitialModel;

use super::{RecipeArguments, hub_progress, status_of, write_json, write_out};

/// What `parrot-train check-data` takes on the command line.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    /// Records of each source to tokenise, their pictures decoded
    #[arg(long, value_name = "N", default_value_t = 1000)]
    samples: usize,
    /// Where to list the records that cannot be used, one JSON object a line; only an earlier list is replaced, or removed
    /// where there are none
    #[arg(long, value_name = "FILE")]
    bad_records: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// Prints the survey; the exit status is 1 if a run would refuse the records.
pub(crate) fn command(arguments: &Arguments) -> Result<ExitCode> {
    let recipe = arguments.recipe.read()?;
    let initial = InitialModel::describe(&recipe, Some(hub_progress()))?;
    let preparation = recipe.check_start(&initial)?;
    if let Some(list) = &arguments.bad_records {
        recipe.check_list_place(list, &arguments.recipe.file)?;
    }
    let survey = survey(&recipe.sources(), &preparation, arguments.samples)?;
    if arguments.json {
        write_json(&survey)?;
    } else {
        write_out(&survey.to_string())?;
    }
    let unusable = || survey.sources.iter().flat_map(|source| &source.unusable);
    if let Some(list) = &arguments.bad_records {
        write_bad_records(survey.bad_records.iter().chain(unusable()), list)?;
    }
    let refusal = survey.found().refusal(recipe.data.max_bad_records);
    if refusal.is_none() {
        // Only now it is known how many steps an epoch has.
        recipe.check_stage(survey.samples(), &initial.description.config)?;
    }
    Ok(status_of(refusal))
}
