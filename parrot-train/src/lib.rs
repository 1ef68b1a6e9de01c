//! Train Parrot.
//!
//! The paper trains in two stages. In the first, only the [projector](Part::Projector) learns, from captions,
//! to put pictures into the decoder's words; the mixture of experts is bypassed. In the second, everything but
//! the vision tower learns, from conversations in six languages. Here each is a [`Stage`](trainer::Stage) with a
//! run of its own, [`Stage::stage1`](trainer::Stage::stage1) and [`Stage::stage2`](trainer::Stage::stage2) with
//! the paper's settings, every one of which can be changed.
//!
//! - [`Dataset`](data::Dataset) makes [samples](data::TrainingSample) by number: token ids, labels, pixels.
//!   A `Vec` of samples is one, [`Mix`](data::mix::Mix) reads LLaVA's JSON.
//! - [`Stage`](trainer::Stage) takes a model through its steps, saves on the way and goes on where an earlier
//!   call was stopped or killed. On the CPU the result is then bit for bit that of a run that never stopped.
//! - [`Learner`](step::Learner) is a model between two steps, for a training loop of your own:
//!   [micro-batches](step::MicroBatch) in, a [report](step::StepReport) out. [`Stage::learner`](trainer::Stage::learner) makes
//!   one with a stage's settings.
//! - An [`Optimizer`](optim::Optimizer) moves the weights, under a [cosine schedule](optim::CosineSchedule) and clipped
//!   by the [global norm](optim::GradientNorm).
//! - A [`Recipe`](recipe::Recipe) is a stage with its model and its data in a TOML file, which the command
//!   `parrot-train run` follows; [`metrics`] are what it leaves behind.
//! - [`activation_checkpointing`], [`lora`] and [Adafactor](optim::adafactor) save memory; several processes train
//!   together over MPI in [`distributed`]; [`flops`] says what a step costs.
//!
//! A [checkpoint] holds the model in the Hugging Face layout: any of them can be run or trained further.
//! The crate `parrot-verify` compares losses, gradients and trained weights with those that the reference implementation
//! recorded.
//!
//! ```
//! use std::sync::Arc;
//! use std::sync::atomic::AtomicBool;
//!
//! use burn::prelude::*;
//! use parrot_model::checkpoint::Checkpoint;
//! use parrot_model::config::{DecoderConfig, ParrotConfig, VisionConfig};
//! use parrot_model::device;
//! use parrot_model::parrot::ParrotModel;
//! use parrot_model::text::{IGNORE_INDEX, IMAGE_TOKEN_INDEX};
//! use parrot_model::image::Pixels;
//! use parrot_train::checkpoint::ModelDescription;
//! use parrot_train::data::{Dataset, TrainingSample};
//! use parrot_train::trainer::{Run, Stage};
//!
//! # fn tiny() -> (ParrotConfig, VisionConfig) {
//! #     let mini = ParrotConfig::parrot_mini();
//! #     let decoder = DecoderConfig {
//! #         vocab_size: 16,
//! #         hidden_size: 16,
//! #         intermediate_size: 24,
//! #         num_hidden_layers: 1,
//! #         num_attention_heads: 2,
//! #         num_key_value_heads: Some(1),
//! #         ..mini.decoder.clone()
//! #     };
//! #     let config = ParrotConfig {
//! #         mm_hidden_size: Some(12),
//! #         moe_intermediate_size: Some(8),
//! #         ..mini.with_decoder(decoder)
//! #     };
//! #     let vision = VisionConfig {
//! #         hidden_size: 12,
//! #         intermediate_size: 16,
//! #         num_hidden_layers: 1,
//! #         num_attention_heads: 2,
//! #         image_size: 8,
//! #         patch_size: 4,
//! #         ..VisionConfig::clip_vit_mini()
//! #     };
//! #     (config, vision)
//! # }
//! // A picture, the prompt's token 5 and the answer's tokens 7 and 9; usually
//! // `parrot_model::text::ChatTemplate` makes them of a conversation.
//! let sample = |id: &str, shade| {
//!     let input_ids = vec![IMAGE_TOKEN_INDEX, 5, 7, 9];
//!     let labels = vec![IGNORE_INDEX, IGNORE_INDEX, 7, 9];
//!     let pixels = vec![Pixels { data: vec![shade; 3 * 8 * 8], size: 8 }];
//!     TrainingSample::new(id, input_ids, labels, pixels)
//! };
//! let dataset: Arc<dyn Dataset<Sample = TrainingSample>> =
//!     Arc::new(vec![sample("night", -1.0), sample("snow", 1.0)]);
//!
//! // A tiny random model stands in for a pretrained one.
//! # let (config, vision) = tiny();
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! let mut model = ParrotModel::init(&config, &vision, &device::open("cpu")?.autodiff())?;
//! model.use_moe = false;
//!
//! // The paper's stage 1, but for its size.
//! let stage = Stage { micro_batch_size: 1, accumulation: 2, max_length: Some(64), ..Stage::stage1(2) };
//! let description = ModelDescription::new(config, vision, "assets/parrot-mini".into());
//! let stop = AtomicBool::new(false);
//! let run = Run::new(folder, &description, &stop);
//! let outcome = stage.train(model, &dataset, &run, |step, report| {
//!     println!("step {step}: loss {:.3}, learning rate {:.1e}", report.loss, report.learning_rate);
//! })?;
//! assert!(!outcome.interrupted);
//!
//! // What `parrot --model …/step-000002/model` would run.
//! let saved = Checkpoint::open(folder.join("step-000002/model"))?;
//! assert!(!saved.description.config.use_moe);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

pub mod activation_checkpointing;
pub mod checkpoint;
pub mod data;
pub mod distributed;
pub mod flops;
pub mod lora;
pub mod metrics;
pub mod optim;
pub mod recipe;
pub mod step;
pub mod trainer;

mod error;
mod part;

pub use burn;
pub use error::{Error, Result};
pub use part::{Part, training_dtypes};
