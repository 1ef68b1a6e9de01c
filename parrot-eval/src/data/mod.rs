//! A benchmark's file: table, rows, images, and what is wrong with them.

pub(crate) mod base64;
mod columns;
pub(crate) mod dataset;
pub(crate) mod image;
pub(crate) mod pandas;
pub(crate) mod problem;
pub(crate) mod row;
pub(crate) mod table;
