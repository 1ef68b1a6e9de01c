//! Training as a whole, on a model of a few thousand weights.

mod bf16;
mod failures;
mod frozen;
mod killed;
mod lora;
mod optimizer;
mod qlora;
mod resume;
mod step;
mod tiny;
