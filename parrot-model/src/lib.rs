//! The Parrot vision-language model on [Burn](burn): the network, its checkpoints, its pictures, its prompts.
//!
//! *Parrot: Multilingual Visual Instruction Tuning* (Sun et al., [arXiv 2406.02539], ICML 2025) lets the text
//! of a question steer the visual tokens. A CLIP tower and a projector turn a picture into tokens; the
//! question attends to them, a router reads the result and weighs six experts, and their mixture is what the
//! decoder sees in the picture's place.
//!
//! ```text
//! pixels ── vision ── projector ── experts ─┐
//!                          │                 mix ── prompt with images ── decoder ── logits
//! question ── embeddings ──┴─ router ───────┘
//! ```
//!
//! Three types to know:
//!
//! - [`Checkpoint`](checkpoint::Checkpoint) opens a model's folder in the layout of `AIDC-AI/Parrot-7B` and
//!   loads it; [`checkpoint::save`] writes one;
//! - [`ParrotModel`](parrot::ParrotModel) is the network, on any Burn device, with or without gradients. Its equations
//!   are in [`projector::moe`];
//! - [`ChatTemplate`](text::ChatTemplate) makes prompts of a [`Conversation`](text::Conversation), in which what a
//!   user types stays text.
//!
//! The network does not know which backend it runs on: the device that it is made on decides, and [`device`]
//! finds one by name. For answers use the crate `parrot-infer`, for training `parrot-train`.
//!
//! ```
//! use burn::prelude::*;
//! use parrot_model::config::{ParrotConfig, VisionConfig};
//! use parrot_model::batch::{PrepareOptions, Sample};
//! use parrot_model::parrot::ParrotModel;
//! use parrot_model::text::IMAGE_TOKEN_INDEX;
//!
//! // A model with random weights; `Checkpoint::open(folder)?.load(dtype, &device)?` has real ones.
//! let device = Device::default();
//! let parrot = ParrotModel::init(&ParrotConfig::parrot_mini(), &VisionConfig::clip_vit_mini(), &device)?;
//!
//! // Computed once per picture …
//! let images = parrot.encode_images(Tensor::zeros([1, 3, 72, 72], &device));
//! // … and asked twice, in one batch: each question routes the picture its own way.
//! let ask = |ids: &[i64]| Sample::new(ids.to_vec(), vec![0]);
//! let questions = [ask(&[IMAGE_TOKEN_INDEX, 11, 12, 13]), ask(&[IMAGE_TOKEN_INDEX, 21])];
//! let batch = parrot.prepare(&questions, Some(&images), PrepareOptions::default())?;
//! assert_eq!(batch.routing.unwrap().routing_weights.dims(), [2, 6]);
//!
//! let hidden_states = parrot.language_model.forward(batch.input, None);
//! assert_eq!(parrot.language_model.logits(hidden_states).dims(), [2, 37 + 3, 4096]);
//! # Ok::<(), parrot_model::Error>(())
//! ```
//!
//! # Where this differs from the released code
//!
//! Its numbers are reproduced, its defects are not. Its ways of encoding text, building batches and ordering records, which
//! are still needed to compare with it, are in the crate `parrot-verify`; this crate has only its way of decoding
//! pictures ([`DecodeOptions::reference`](image::DecodeOptions::reference)).
//!
//! | | released code | here |
//! |---|---|---|
//! | second and later pictures of a prompt | rows of zeros | each is routed |
//! | a typed `<\|im_end\|>`, `<\|endoftext\|>`, `<image>` | acts as a control token | stays text |
//! | an answer that begins with a newline | the newline is not learnt | learnt |
//! | truncation inside a picture | cuts it silently | an error |
//! | no label left in a batch | the loss is NaN | an error |
//! | EXIF orientation | ignored | honoured |
//! | 16-bit grey | clipped to white | its high byte |
//! | pictures 1 or 3 pixels high | misread as channels first | pictures like others |
//!
//! [arXiv 2406.02539]: https://arxiv.org/abs/2406.02539

mod error;
mod files;
mod gguf;
mod int_tensor;
mod linear;
mod mapped;
mod norm;
mod ops;
mod random;

pub mod allocator;
pub mod batch;
pub mod checkpoint;
pub mod config;
pub mod device;
pub mod flops;
pub mod image;
pub mod language;
pub mod layout;
pub mod parrot;
pub mod projector;
#[cfg_attr(not(feature = "flex"), allow(dead_code, reason = "GPUs read blocks with kernels of their own"))]
pub mod quantization;
pub mod text;
pub mod untrusted;
pub mod vision;

pub use burn;
pub use error::{Error, Result, error_chain};
pub use int_tensor::int_tensor;
