//! `parrot-train plan`: what a recipe would do.

use std::process::ExitCode;

use anyhow::Result;
use parrot_train::recipe::Plan;

use super::{RecipeArguments, has_too_many, write_out};

/// What `parrot-train plan` takes on the command line.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
}

/// Prints the plan; the exit status is 1 if more records are unusable than the recipe allows.
pub(crate) fn command(arguments: &Arguments) -> Result<ExitCode> {
    let recipe = arguments.recipe.read()?;
    let plan = Plan::new(&recipe)?;
    write_out(&plan.to_string())?;
    Ok(if has_too_many(plan.unusable(), &recipe) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
