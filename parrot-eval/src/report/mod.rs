//! Scores and how they are shown.

mod figure;
mod footer;
mod heat_map;
pub(crate) mod html;
pub(crate) mod markdown;
pub(crate) mod published;
pub(crate) mod results;
pub(crate) mod score;
mod standings;
pub(crate) mod template;
mod unread;
pub(crate) mod wrong;
