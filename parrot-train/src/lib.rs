//! Training Parrot.

pub mod checkpoint;
pub mod data;
pub mod optim;
pub mod step;
pub mod trainer;
pub mod verify;

mod error;

pub use error::{Error, Result};
