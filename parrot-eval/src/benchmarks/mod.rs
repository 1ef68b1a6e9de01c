//! The benchmarks: what is particular to each, and what those with options share.

pub(crate) mod ai2d;
pub(crate) mod benchmark;
pub(crate) mod by_name;
pub(crate) mod candidate;
pub(crate) mod catalogue;
pub(crate) mod choice;
pub(crate) mod hallusion;
pub(crate) mod known;
pub(crate) mod llava_bench;
pub(crate) mod mmbench;
pub(crate) mod mme;
pub(crate) mod mmmb;
pub(crate) mod mmmu;
pub(crate) mod mmstar;
pub(crate) mod mtvqa;
pub(crate) mod ocr_bench;
pub(crate) mod open_set;
pub(crate) mod own_choice;
pub(crate) mod pope;
pub(crate) mod real_world_qa;
pub(crate) mod science_qa;
pub(crate) mod seed_bench;
pub(crate) mod text_vqa;
pub(crate) mod verdict;
