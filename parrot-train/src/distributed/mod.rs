//! One training in several processes, on one host or many, over MPI (cargo feature `mpi`):
//!
//! ```sh
//! apt-get install libopenmpi-dev openmpi-bin libclang-dev
//! cargo build --release --bin parrot-train --features mpi
//! mpirun -n 4 parrot-train run recipe.toml          # or Slurm's srun
//! ```
//!
//! Every process has the whole model and computes its share of a step's micro-batches. Gradients are summed once per
//! optimizer step, in buckets of 25 MB. The optimizer is [sharded](shard) as in ZeRO's first stage (Rajbhandari et
//! al. 2020, arXiv 1910.02054): each process keeps the state of its share of the parameters, moves those and hands them
//! to the others. The first process writes the checkpoints, which do not depend on how many there were: a run can go on
//! with any number of processes that divides its micro-batches.

pub(crate) mod reduce;
pub mod shard;

pub use parrot_distributed::World;
