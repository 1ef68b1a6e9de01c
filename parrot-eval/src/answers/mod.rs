//! Answers: what they mean, and the files that hold them.

pub(crate) mod extract;
pub(crate) mod post_process;
pub(crate) mod predictions;
pub(crate) mod punctuation;
pub(crate) mod python_list;
pub(crate) mod read_predictions;
pub(crate) mod vqa;
pub(crate) mod write_predictions;
mod xlsx;
pub(crate) mod yes_no;
