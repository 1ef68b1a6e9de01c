//! text
/// Stands for a picture among token ids.
pub const IMAGE_TOKEN_INDEX: i64 = -200;
/// A label that is not learnt.
pub const IGNORE_INDEX: i64 = -100;
