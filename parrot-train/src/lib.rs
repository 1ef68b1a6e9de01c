//! Training Parrot.

pub mod data;
pub mod optim;
pub mod step;

mod error;

pub use error::{Error, Result};
