//! Ask Parrot about pictures.
//!
//! - [`Parrot`] is a loaded model: [`Parrot::load`], then [`Parrot::ask`].
//! - [`Engine`] answers many at once on a thread of its own: [`Engine::submit`].
//! - [`Image`] is a decoded picture, known by its content: asking about it again, in any language, runs no
//!   vision work.
//! - [`Answer`] holds the text, the experts' weights, why it ended and the timings.
//!
//! [`AskOptions`] shape an answer, [`Chat`] holds a conversation, [`Parrot::ask_batch`] answers several
//! questions at once, [`Parrot::choose`] says which of given answers the model finds likeliest.
//!
//! ```
//! use std::ops::ControlFlow;
//!
//! use parrot_infer::{AskOptions, Parrot, Image, device, tiny};
//!
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! // A tiny random model stands in for "assets/parrot-mini": its answers mean nothing.
//! tiny::write(folder, 0)?;
//! let parrot = Parrot::load(folder, &device::open("auto")?)?;
//!
//! // Usually Image::open("photo.jpg")?
//! let image = Image::from_rgb(image::RgbImage::new(48, 32));
//! let answer = parrot.ask(&image, "What is this?")?;
//! println!("{}", answer.text);
//!
//! // The same picture again: nothing but the question is new.
//! let options = AskOptions { max_new_tokens: 16, ..AskOptions::default() };
//! let answer = parrot.ask_streaming(&[image], "这是什么?", &options, |piece| {
//!     print!("{piece}");
//!     ControlFlow::Continue(())
//! })?;
//! assert_eq!(answer.encoded_images, 0);
//! assert_eq!(answer.routing_weights[0].len(), 6);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;

mod answer;
mod cancel;
mod engine;
mod error;
pub mod generate;
mod image;
mod parrot;
mod prefix;
pub mod tiny;

pub use answer::{Answer, Timings};
pub use burn;
pub use cancel::CancelToken;
pub use engine::{Answering, Engine, EngineOptions, EngineStats, Event, Request};
pub use error::{Error, Result};
pub use generate::{AnswerFormat, AskOptions, FinishReason, Sampling, TokenLogprob, TopToken};
pub use image::Image;
pub use parrot::{AnswerSteps, Chat, Choice, IMAGE_CACHE_BYTES, ImageCacheUse, Loader, Parrot, Question};
pub use parrot_model::checkpoint::Files;
pub use parrot_model::device;
