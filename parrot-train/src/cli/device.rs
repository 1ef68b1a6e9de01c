//! Which device a process trains on: several processes on one host take different ones.

use anyhow::Result;
use parrot_model::device::{self, ChosenDevice};
use parrot_train::distributed::World;

/// The device called `name`, for this one of a host's processes.
pub(crate) fn choose(name: &str, world: &World) -> Result<ChosenDevice> {
    let name = device::name_of_process(name, world.local_rank().unwrap_or_default())?;
    Ok(device::choose(&name)?)
}
