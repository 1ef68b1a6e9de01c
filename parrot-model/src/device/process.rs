//! Which device a process computes on: several processes on one host take different ones.

use super::choose::choose;
use super::list::list;
use crate::Result;

/// What the device called `name` is called for a host's `rank`-th process, counted from 0. Where the name leaves it open which
/// device of a backend is meant (`auto`, `cuda`), each process takes the next one, round robin.
///
/// # Errors
///
/// As [`choose`](super::choose()).
pub fn name_of_process(name: &str, rank: usize) -> Result<String> {
    if rank == 0 || !is_open(name) {
        return Ok(name.into());
    }
    let first = choose(name)?.name;
    let working = list().into_iter().filter(|device| device.problem.is_none());
    let names: Vec<String> = working.map(|device| device.name).collect();
    Ok(share(&first, &names, rank).map_or_else(|| name.into(), String::from))
}

/// Whether a name says no more than the backend.
fn is_open(name: &str) -> bool {
    !name.contains(':')
}

/// The device of a host's `rank`-th process: the `rank`-th of the first one's backend and kind, which begin with it.
fn share<'a>(first: &str, names: &'a [String], rank: usize) -> Option<&'a str> {
    let (kind, _) = first.rsplit_once(':')?;
    let is_alike = |name: &&str| name.rsplit_once(':').is_some_and(|(other, _)| other == kind);
    let alike: Vec<&str> = names.iter().map(String::as_str).filter(is_alike).collect();
    let start = alike.iter().position(|name| *name == first)?;
    Some(alike[(start + rank) % alike.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_of_a_host_take_its_devices_by_turns() {
        let names = [
            "cuda:0",
            "cuda:1",
            "vulkan:discrete:0",
            "vulkan:discrete:1",
            "vulkan:integrated:0",
            "vulkan:cpu",
            "cpu",
        ];
        let names = names.map(String::from);
        let shares =
            |first: &str| -> Vec<Option<&str>> { (0..4).map(|rank| share(first, &names, rank)).collect() };
        assert_eq!(shares("cuda:0"), [Some("cuda:0"), Some("cuda:1"), Some("cuda:0"), Some("cuda:1")]);
        // Not the slow ones.
        let vulkan = ["vulkan:discrete:0", "vulkan:discrete:1", "vulkan:discrete:0", "vulkan:discrete:1"];
        assert_eq!(shares("vulkan:discrete:0"), vulkan.map(Some));
        assert_eq!(shares("vulkan:integrated:0"), [Some("vulkan:integrated:0"); 4]);
        assert_eq!(shares("cpu"), [None; 4]);
        assert_eq!(shares("rocm:0"), [None; 4]);
    }

    #[test]
    fn a_device_that_is_named_in_full_stays() {
        assert!(["auto", "cuda", "cpu"].iter().all(|name| is_open(name)));
        assert!(!is_open("cuda:1") && !is_open("vulkan:discrete:0"));
    }
}
