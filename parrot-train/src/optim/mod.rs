//! How weights move: [AdamW](adamw), the [learning rate's schedule](schedule) and
//! [clipping by the global norm](clip).

pub mod adamw;
pub mod clip;
pub mod schedule;

pub use adamw::{AdamW, AdamWConfig};
pub use clip::GradientNorm;
pub use schedule::CosineSchedule;
