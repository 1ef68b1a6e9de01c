//! Answers → what they mean: the rules of the kits, without a judge model.

pub(crate) mod extract;
pub(crate) mod language;
pub(crate) mod post_process;
pub(crate) mod punctuation;
pub(crate) mod vqa;
pub(crate) mod yes_no;
