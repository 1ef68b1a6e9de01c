//! The one file that knows MPI.

use std::io::Write;

use mpi::Threading;
use mpi::collective::SystemOperation;
use mpi::environment::Universe;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives, Destination, Root, Source};

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

/// The other processes would wait for ever for one that unwinds, so it ends them all.
impl Drop for Connection {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // `eprintln!` would panic where standard error is gone, and the others be left waiting.
            let _ = writeln!(std::io::stderr(), "error: {} panicked", self.name());
            self.abort();
        }
    }
}

impl Connection {
    pub(super) fn open() -> Result<Self> {
        let failed = |reason: &str| Error { reason: reason.into() };
        // Worker threads compute; only the thread that began communicates.
        let (universe, threading) = mpi::initialize_with_threading(Threading::Funneled)
            .ok_or_else(|| failed("MPI has been started before"))?;
        if threading < Threading::Funneled {
            return Err(failed("this MPI does not let other threads compute"));
        }
        Ok(Self { world: universe.world(), _universe: universe })
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

    pub(super) fn gather(&self, own: &[u8]) -> Vec<Vec<u8>> {
        let mut lengths = vec![0_u64; self.size()];
        self.world.all_gather_into(&(own.len() as u64), lengths.as_mut_slice());
        let from = |(rank, length): (usize, &u64)| {
            let mut bytes = if rank == self.rank() { own.to_vec() } else { vec![0; *length as usize] };
            self.world.process_at_rank(rank as i32).broadcast_into(bytes.as_mut_slice());
            bytes
        };
        lengths.iter().enumerate().map(from).collect()
    }

    pub(super) fn send(&self, values: &[f32]) {
        self.world.process_at_rank(0).send(values);
    }

    pub(super) fn receive(&self, values: &mut [f32], owner: usize) {
        self.world.process_at_rank(owner as i32).receive_into(values);
    }

    pub(super) fn abort(&self) {
        self.world.abort(1);
    }
}
