//! Answers that another model rates: LLaVA-Bench's.
//!
//! A judge is asked only where one is named. Whatever it fails to rate stays unrated, is reported, and is asked again by the
//! next run; nothing is made up in the place of a rating.

pub(crate) mod endpoint;
pub(crate) mod rate;
