//! Emoji-VQA-6: pictures of emoji and questions about them in six languages, made from their number.
//!
//! The public packages that `package.json` pins hold the drawings and the names. [`build`] turns them into
//! `assets/emoji`: the concepts with their names and one sprite sheet per style. From there on
//! three types matter:
//!
//! - [`Scene`](scene::Scene): which things stand where, on which ground, and how to paint it;
//! - [`Query`](question::Query) and [`Turn`](question::Turn): a question without a language, and in one;
//! - [`Dataset`](dataset::Dataset): training conversations, captions, text exercises, questions in people's own words,
//!   and the evaluation.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! use emoji_vqa::dataset::{Dataset, DatasetConfig};
//!
//! let dataset = Dataset::load("assets/emoji".as_ref(), DatasetConfig::default())?;
//! let sample = dataset.sample(0);
//! let image = dataset.render(&sample.scene, 72);
//! for turn in &sample.turns {
//!     println!("{} -> {}", turn.prompt(), turn.text);
//! }
//! # Ok(())
//! # }
//! ```

pub mod build;
pub mod caption;
pub mod catalogue;
pub mod colour;
pub mod curves;
pub mod dataset;
pub mod evaluate;
pub mod experiment;
pub mod export;
pub mod holdout;
pub mod images;
pub mod language;
pub mod mini_mmmb;
pub mod preview;
pub mod question;
pub mod random;
pub mod scene;
pub mod sprite;
pub mod texture;
pub mod tokenizer;
pub mod train;
pub mod wording;
