//! Scores and how they are shown.

pub(crate) mod html;
pub(crate) mod markdown;
pub(crate) mod published;
pub(crate) mod results;
pub(crate) mod score;
pub(crate) mod wrong;
