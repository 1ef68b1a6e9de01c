//! parrot
fn main() {}
