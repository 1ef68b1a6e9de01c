//! One program in several processes, on one host or many, over MPI (cargo feature `mpi`).
//!
//! Training and evaluation share this and nothing else of each other: which process this is, how many there are, and a few ways
//! to exchange values. It knows neither networks nor devices. Without the feature, or without a launcher, there is one process,
//! and everything stays as it is:
//!
//! ```
//! let world = parrot_distributed::World::join()?;
//! let mine = (0..100).skip(world.rank()).step_by(world.size());
//! let all = world.gather(mine.collect::<Vec<_>>());
//! assert_eq!(all.len(), 100);
//! # Ok::<(), parrot_distributed::Error>(())
//! ```
//!
//! Numbers travel through the hosts' memory. On hosts with several GPUs NCCL would keep them on the devices; Burn 0.22
//! reaches it only from inside one process ([`World`] is where it would go), and it has not been tried.

#[cfg(feature = "mpi")]
mod connection;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why the processes could not connect.
#[derive(Debug, thiserror::Error)]
#[error("several processes: {reason}")]
#[non_exhaustive]
pub struct Error {
    /// What is wrong.
    pub reason: String,
}

/// Short for `Result<T, parrot_distributed::Error>`.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The processes of a run, and which of them this is. Without the feature `mpi`, and when not started by `mpirun`
/// or `srun` as several, there is one.
#[derive(Debug, Default)]
pub struct World {
    #[cfg(feature = "mpi")]
    mpi: Option<connection::Connection>,
}

impl World {
    /// Joins the other processes, if there are any. A process that drops this while it unwinds from a panic ends
    /// all of them, and says which it was.
    ///
    /// # Errors
    ///
    /// [`Error`] when MPI does not start, and when a build without the feature
    /// `mpi` is started as several processes: each would work by itself into the same folder.
    pub fn join() -> Result<Self> {
        #[cfg(feature = "mpi")]
        return Ok(Self {
            mpi: if is_one_of_several(environment) { Some(connection::Connection::open()?) } else { None },
        });
        #[cfg(not(feature = "mpi"))]
        if is_one_of_several(environment) {
            Err(Error {
                reason: "started as several processes, but this program was built without the feature `mpi`"
                    .into(),
            })
        } else {
            Ok(Self::default())
        }
    }

    /// Which process this is, counted from 0.
    #[must_use]
    pub fn rank(&self) -> usize {
        #[cfg(feature = "mpi")]
        if let Some(mpi) = &self.mpi {
            return mpi.rank();
        }
        0
    }

    /// How many there are.
    #[must_use]
    pub fn size(&self) -> usize {
        #[cfg(feature = "mpi")]
        if let Some(mpi) = &self.mpi {
            return mpi.size();
        }
        1
    }

    /// Which of the processes of its host this is, counted from 0; `None` where there is one process, or the launcher
    /// does not tell.
    #[must_use]
    pub fn local_rank(&self) -> Option<usize> {
        if self.size() > 1 { local_rank(environment) } else { None }
    }

    /// Whether this is the process that writes files and prints.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.rank() == 0
    }

    /// `rank 2 of 4 (host)`, for messages.
    #[must_use]
    pub fn name(&self) -> String {
        #[cfg(feature = "mpi")]
        if let Some(mpi) = &self.mpi {
            return mpi.name();
        }
        "the only process".into()
    }

    /// Replaces the values by their sums over all processes, each of which passes equally many.
    pub fn sum(&self, values: &mut [f32]) {
        #[cfg(feature = "mpi")]
        if let Some(mpi) = &self.mpi {
            mpi.sum(values);
        }
        let _ = values;
    }

    /// The sum of a number over all processes.
    #[must_use]
    pub fn total(&self, value: f64) -> f64 {
        #[cfg(feature = "mpi")]
        if let Some(mpi) = &self.mpi {
            return mpi.total(value);
        }
        value
    }

    /// Whether it holds in any process.
    #[must_use]
    pub fn any(&self, holds: bool) -> bool {
        self.total(f64::from(u8::from(holds))) > 0.0
    }

    /// Replaces the values by those of the process `owner`.
    pub fn broadcast(&self, values: &mut [f32], owner: usize) {
        #[cfg(feature = "mpi")]
        if let Some(mpi) = &self.mpi {
            mpi.broadcast(values, owner);
        }
        let _ = (values, owner);
    }

    /// The values of all processes in order of rank; the same in every process.
    #[must_use]
    pub fn gather<T: Serialize + DeserializeOwned>(&self, own: Vec<T>) -> Vec<T> {
        #[cfg(feature = "mpi")]
        if let Some(mpi) = &self.mpi {
            // Written and read by this very program.
            let own = serde_json::to_vec(&own).unwrap_or_default();
            let all = mpi.gather(&own);
            return all
                .iter()
                .flat_map(|one| serde_json::from_slice::<Vec<T>>(one).unwrap_or_default())
                .collect();
        }
        own
    }

    /// Hands values to the first process, which receives them.
    pub fn send(&self, values: &[f32]) {
        #[cfg(feature = "mpi")]
        if let Some(mpi) = &self.mpi {
            mpi.send(values);
        }
        let _ = values;
    }

    /// Waits for the values that the process `owner` [sends](Self::send): as many as there is room for.
    pub fn receive(&self, values: &mut [f32], owner: usize) {
        #[cfg(feature = "mpi")]
        if let Some(mpi) = &self.mpi {
            mpi.receive(values, owner);
        }
        let _ = (values, owner);
    }

    /// Waits until every process is here.
    pub fn barrier(&self) {
        let _ = self.total(0.0);
    }

    /// Ends all processes after an error of this one, which has been printed. Returns where there is only one.
    pub fn abort(&self) {
        #[cfg(feature = "mpi")]
        if let Some(mpi) = &self.mpi {
            mpi.abort();
        }
    }
}

/// Whether a launcher's variables say that this is one of several processes. MPI is not asked: started without a
/// launcher it would want one.
fn is_one_of_several(variable: impl Fn(&str) -> Option<String>) -> bool {
    let sizes = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"];
    let sizes: Vec<usize> = sizes.into_iter().filter_map(|name| variable(name)?.parse().ok()).collect();
    match sizes.iter().max() {
        Some(most) => *most > 1,
        // A launcher that tells no size.
        None => variable("PMIX_RANK").is_some(),
    }
}

/// This process's number among those of its host, as Open MPI, Slurm or MPICH tell it.
fn local_rank(variable: impl Fn(&str) -> Option<String>) -> Option<usize> {
    let names = ["OMPI_COMM_WORLD_LOCAL_RANK", "SLURM_LOCALID", "MPI_LOCALRANKID"];
    names.into_iter().find_map(|name| variable(name)?.parse().ok())
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alone_everything_stays_as_it_is() {
        let world = World::default();
        assert_eq!((world.rank(), world.size(), world.is_first()), (0, 1, true));
        let mut values = [1.0, 2.0];
        world.sum(&mut values);
        world.broadcast(&mut values, 0);
        assert_eq!(values, [1.0, 2.0]);
        assert_eq!(world.gather(vec!["a", "b"].into_iter().map(String::from).collect()), ["a", "b"]);
        assert_eq!(world.local_rank(), None);
        assert_eq!(world.total(3.0), 3.0);
        assert!(world.any(true) && !world.any(false));
        world.abort();
    }

    #[test]
    fn a_launcher_of_one_process_starts_none_of_several() {
        let environment = |set: &[(&str, &str)]| {
            let set: Vec<(String, String)> =
                set.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            move |name: &str| set.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
        };
        for (set, expected) in [
            (&[][..], false),
            (&[("OMPI_COMM_WORLD_SIZE", "1"), ("PMIX_RANK", "0")], false),
            (&[("SLURM_STEP_NUM_TASKS", "1")], false),
            (&[("OMPI_COMM_WORLD_SIZE", "4"), ("PMIX_RANK", "0")], true),
            (&[("PMI_SIZE", "2")], true),
            // srun starts one mpirun that starts four.
            (&[("SLURM_STEP_NUM_TASKS", "1"), ("OMPI_COMM_WORLD_SIZE", "4")], true),
            (&[("PMIX_RANK", "0")], true),
        ] {
            assert_eq!(is_one_of_several(environment(set)), expected, "{set:?}");
        }
        assert_eq!(local_rank(environment(&[("SLURM_LOCALID", "3")])), Some(3));
        assert_eq!(
            local_rank(environment(&[("OMPI_COMM_WORLD_LOCAL_RANK", "1"), ("SLURM_LOCALID", "0")])),
            Some(1)
        );
        assert_eq!(local_rank(environment(&[])), None);
    }
}
