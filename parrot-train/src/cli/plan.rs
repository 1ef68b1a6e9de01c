//! `parrot-train plan`: what a recipe would do.

use std::process::ExitCode;

use anyhow::Result;
use parrot_train::recipe::Plan;

use super::{RecipeArguments, status_of, write_out};

/// What `parrot-train plan` takes on the command line.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
}

/// Prints the plan; the exit status is 1 if a run would refuse the records.
pub(crate) fn command(arguments: &Arguments) -> Result<ExitCode> {
    let recipe = arguments.recipe.read()?;
    let plan = Plan::new(&recipe)?;
    write_out(&plan.to_string())?;
    Ok(status_of(plan.refusal()))
}
