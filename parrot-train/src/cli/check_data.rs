//! `parrot-train check-data`: what a recipe's data is made of, before any of it is trained on.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use parrot_train::data::mix::write_bad_records;
use parrot_train::data::survey::survey;
use parrot_train::recipe::InitialModel;

use super::{RecipeArguments, has_too_many, hub_progress, say, write_json, write_out};

/// What `parrot-train check-data` takes on the command line.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    /// Records of each source to tokenise, their pictures decoded
    #[arg(long, value_name = "N", default_value_t = 1000)]
    samples: usize,
    /// Where to list the records that cannot be used, one JSON object a line
    #[arg(long, value_name = "FILE")]
    bad_records: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// Prints the survey; the exit status is 1 if more records are unusable than the recipe allows.
pub(crate) fn command(arguments: &Arguments) -> Result<ExitCode> {
    let recipe = arguments.recipe.read()?;
    let initial = InitialModel::describe(&recipe, Some(hub_progress()))?;
    let preparation = initial.preparation(recipe.max_length(&initial.description.config))?;
    let survey = survey(&recipe.sources(), &preparation, arguments.samples)?;
    if arguments.json {
        write_json(&survey)?;
    } else {
        write_out(&survey.to_string())?;
    }
    let unusable = || survey.sources.iter().flat_map(|source| &source.unusable);
    if let Some(file) = &arguments.bad_records {
        write_bad_records(survey.bad_records.iter().chain(unusable()), file)?;
    }
    let found = survey.bad_records.len() + unusable().count();
    if has_too_many(found, &recipe) {
        return Ok(ExitCode::FAILURE);
    }
    let usable: usize = survey.sources.iter().map(|source| source.records - source.unusable.len()).sum();
    if usable == 0 {
        say("error: no record can be used");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}
