//! The `parrot` command as a user types it. One program, so that it is linked once.

mod answers;
mod chat;
mod common;
mod eval_ask;
mod eval_judge;
mod eval_own;
mod eval_recorded;
mod eval_score;
mod gguf;
mod hostile;
mod quantize;
mod readme;
#[cfg(feature = "serve")]
mod serve;
mod verify;
