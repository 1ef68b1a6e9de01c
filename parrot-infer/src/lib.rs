//! parrot-infer
