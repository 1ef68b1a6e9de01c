//! What the files of benchmarks consist of: tables, rows, images, and what is wrong with them.

pub(crate) mod base64;
pub(crate) mod image;
pub(crate) mod pandas;
pub(crate) mod problem;
pub(crate) mod python_list;
pub(crate) mod row;
pub(crate) mod table;
