//! parrot-train
fn main() {}
