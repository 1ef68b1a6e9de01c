//! parrot-train
