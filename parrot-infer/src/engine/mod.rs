//! [`Engine`]: a [`Parrot`](crate::Parrot) on a thread of its own, which answers many at once.

mod handle;
mod options;
mod queue;
mod request;
mod stats;
#[cfg(test)]
mod tests;
mod worker;

pub use handle::Engine;
pub use options::EngineOptions;
pub use request::{Answering, Event, Request};
pub use stats::EngineStats;
