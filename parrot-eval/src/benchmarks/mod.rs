//! The benchmarks: what is particular to each, and what those with options share.

pub(crate) mod benchmark;
pub(crate) mod choice;
pub(crate) mod known;
pub(crate) mod mmbench;
pub(crate) mod mme;
pub(crate) mod mmmb;
pub(crate) mod pope;
pub(crate) mod verdict;
