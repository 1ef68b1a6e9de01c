//! Training as a whole, on a model of a few thousand weights.

mod failures;
mod frozen;
mod killed;
mod optimizer;
mod resume;
mod step;
mod tiny;
