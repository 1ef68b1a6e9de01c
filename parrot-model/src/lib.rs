//! The Parrot vision-language model on Burn.
#![forbid(unsafe_op_in_unsafe_fn)]

mod error;
mod linear;
mod quirks;

pub mod checkpoint;
pub mod config;
pub mod golden;
pub mod language;
pub mod parrot;
pub mod projector;
pub mod text;
pub mod vision;

pub use error::{Error, Result};
pub use quirks::ReferenceQuirks;
