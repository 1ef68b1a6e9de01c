//! One training in several processes, on one host or many, over MPI (cargo feature `mpi`):
//!
//! ```sh
//! apt-get install libopenmpi-dev openmpi-bin libclang-dev
//! cargo build --release -p parrot-train --features mpi
//! mpirun -n 4 parrot-train run recipe.toml          # or Slurm's srun
//! ```
//!
//! Every process has the whole model and computes its share of a step's micro-batches. Gradients are summed once per
//! optimizer step, in buckets of 25 MB. The optimizer is [sharded](shard) as in ZeRO's first stage (Rajbhandari et
//! al. 2020, arXiv 1910.02054): each process keeps the state of its share of the parameters, moves those and hands them
//! to the others. Checkpoints are written by the first process and do not tell how many there were: a run goes on with
//! any number that divides its micro-batches.
//!
//! Numbers travel through the hosts' memory. On hosts with several GPUs NCCL would keep them on the devices; Burn 0.22
//! reaches it only from inside one process ([`World`] is where it would go), and it has not been tried.

pub(crate) mod reduce;
pub mod shard;

use crate::Result;

/// The processes of a training, and which of them this is. Without the feature `mpi`, and when not started by `mpirun`
/// or `srun`, there is one.
#[derive(Debug, Default)]
pub struct World {
    #[cfg(feature = "mpi")]
    mpi: Option<connection::Connection>,
}

impl World {
    /// Joins the other processes, if there are any. From then on a panic anywhere ends all of them, and says in which
    /// process it was.
    ///
    /// # Errors
    ///
    /// [`Error::Distributed`](crate::Error::Distributed) when MPI does not start, and when a build without the feature
    /// `mpi` is started as several processes: each would train by itself into the same folder.
    pub fn join() -> Result<Self> {
        #[cfg(feature = "mpi")]
        return Ok(Self {
            mpi: if started_by_a_launcher() { Some(connection::Connection::open()?) } else { None },
        });
        #[cfg(not(feature = "mpi"))]
        match started_by_a_launcher() {
            true => Err(crate::Error::Distributed {
                reason: "started as several processes, but this program was built without the feature `mpi`"
                    .into(),
            }),
            false => Ok(Self::default()),
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

    /// Whether this is the process that writes and speaks.
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

    /// Replaces the values by their sums over all processes. As many everywhere.
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

/// Whether the environment says that this is one of several processes. MPI is not asked: started without a launcher
/// it would want one.
fn started_by_a_launcher() -> bool {
    ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK", "SLURM_STEP_NUM_TASKS"]
        .into_iter()
        .any(|name| std::env::var_os(name).is_some())
}

#[cfg(feature = "mpi")]
mod connection {
    //! The one file that knows MPI.

    use mpi::Threading;
    use mpi::collective::SystemOperation;
    use mpi::environment::Universe;
    use mpi::topology::SimpleCommunicator;
    use mpi::traits::{Communicator, CommunicatorCollectives, Root};

    use crate::{Error, Result};

    pub(super) struct Connection {
        world: SimpleCommunicator,
        /// Ends MPI when it is dropped, after the communicator.
        _universe: Universe,
    }

    impl std::fmt::Debug for Connection {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(&self.name())
        }
    }

    impl Connection {
        pub(super) fn open() -> Result<Self> {
            let failed = |reason: &str| Error::Distributed { reason: reason.into() };
            // Worker threads compute; only the thread that trains communicates.
            let (universe, threading) = mpi::initialize_with_threading(Threading::Funneled)
                .ok_or_else(|| failed("MPI has been started before"))?;
            if threading < Threading::Funneled {
                return Err(failed("this MPI does not let other threads compute"));
            }
            let connection = Self { world: universe.world(), _universe: universe };
            let name = connection.name();
            let print = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                eprintln!("error: {name} panicked");
                print(panic);
                SimpleCommunicator::world().abort(1);
            }));
            Ok(connection)
        }

        pub(super) fn rank(&self) -> usize {
            self.world.rank() as usize
        }

        pub(super) fn size(&self) -> usize {
            self.world.size() as usize
        }

        pub(super) fn name(&self) -> String {
            let host = mpi::environment::processor_name().unwrap_or_default();
            format!("rank {} of {} ({host})", self.rank(), self.size())
        }

        pub(super) fn sum(&self, values: &mut [f32]) {
            let own = values.to_vec();
            self.world.all_reduce_into(own.as_slice(), values, SystemOperation::sum());
        }

        pub(super) fn total(&self, value: f64) -> f64 {
            let mut total = 0.0;
            self.world.all_reduce_into(&value, &mut total, SystemOperation::sum());
            total
        }

        pub(super) fn broadcast(&self, values: &mut [f32], owner: usize) {
            self.world.process_at_rank(owner as i32).broadcast_into(values);
        }

        pub(super) fn abort(&self) {
            self.world.abort(1);
        }
    }
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
        assert_eq!(world.total(3.0), 3.0);
        assert!(world.any(true) && !world.any(false));
        world.abort();
    }
}
