//! Parrot in a desktop window.
//!
//! | file | |
//! |---|---|
//! | `app/mod.rs` | what the window is: what it holds, and what happens in a frame |
//! | `app/ask.rs` | the conversation, and questions in six languages |
//! | `model.rs` | loads a model on a thread, with progress |
//! | `answer.rs` | asks the engine, and takes what comes without waiting |
//! | `pictures.rs` | reads pictures on threads |
//! | `composer.rs`, `turn.rs`, `six.rs`, `settings.rs` | what is drawn |
//! | `text.rs`, `bidi.rs`, `fonts.rs` | six languages: fonts, lines from right to left |
//! | `shared.rs` | one graphics device for the window and for Burn |
//! | `window.rs` | opens the window; opens it anew where its GPU is lost |
//! | `advice.rs` | errors, and what to do about them |
//!
//! Everything is behind the feature `window`.

#![cfg(feature = "window")]

mod advice;
mod answer;
mod app;
mod bidi;
mod composer;
mod fonts;
mod languages;
mod model;
mod pictures;
mod settings;
#[cfg(feature = "wgpu")]
mod shared;
mod six;
mod text;
mod theme;
mod turn;
mod window;

pub use app::App;
pub use languages::{LANGUAGES, Language, PRESETS};
pub use model::Setup;
pub use window::{Options, ThemeChoice, panics_in_one_line, run};
