//! `parrot-train plan`: what a recipe would do.

use std::process::ExitCode;

use anyhow::Result;
use parrot_train::recipe::Plan;

use super::{RecipeArguments, write_out};

/// What `parrot-train plan` takes on the command line.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
}

/// Prints the plan.
pub(crate) fn command(arguments: &Arguments) -> Result<ExitCode> {
    write_out(&Plan::new(&arguments.recipe.read()?)?.to_string())?;
    Ok(ExitCode::SUCCESS)
}
