//! parrot
