//! An HTTP server for Parrot.
//!
//! - [`Server`] listens and answers: OpenAI's `/v1/chat/completions`, Ollama's `/api/chat`, and a page for people at `/`.
//! - [`Model`] is an [`Engine`](parrot_infer::Engine) under the name that clients know it by.
//! - [`ServeOptions`] are its keys, limits and permissions.
//!
//! `parrot serve` is this as a command; `docs/serving.md` in the repository says what it measures and how to run it.
//!
//! ```
//! use parrot_infer::{Engine, EngineOptions, Parrot, device, tiny};
//! use parrot_serve::{Model, ServeOptions, Server, TEXT_INTERVAL};
//!
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! // A tiny random model stands in for "assets/parrot-mini": its answers mean nothing.
//! tiny::write(folder, 0)?;
//! let parrot = Parrot::load(folder, &device::open("auto")?)?;
//! let options = EngineOptions { text_interval: TEXT_INTERVAL, ..EngineOptions::default() };
//! let engine = Engine::start(parrot, options)?;
//! let models = vec![Model { name: "parrot".into(), engine }];
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let server = Server::bind(models, "127.0.0.1:0", ServeOptions::default()).await?;
//! println!("listening on http://{}", server.address());
//! // Usually `async { tokio::signal::ctrl_c().await.unwrap() }`.
//! let stopped = server.run(async {}).await;
//! assert_eq!(stopped.dropped, 0);
//! # Ok::<(), std::io::Error>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;

mod answers;
mod ask;
mod budget;
mod check;
mod error;
mod http;
mod images;
mod json;
mod metrics;
mod models;
mod names;
mod ollama;
mod openai;
mod options;
mod reply;
mod server;
mod service;
mod words;

pub use check::{Interface, check_request};
pub use models::Model;
pub use options::{ServeOptions, TEXT_INTERVAL};
pub use server::{Server, Stopped};
