//! [`Engine`]: a [`Parrot`](crate::Parrot) on a thread of its own, which answers many at once.

mod handle;
mod request;
#[cfg(test)]
mod tests;
mod worker;

pub use handle::{Engine, EngineOptions, EngineStats};
pub use request::{Answering, Event, Request};
