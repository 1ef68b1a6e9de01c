//! vision
pub mod preprocess;
