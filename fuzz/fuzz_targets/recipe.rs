//! See `parrot_fuzz::TARGETS`.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: parrot_fuzz::write_seeds("recipe"),
    |bytes: &[u8]| parrot_fuzz::run("recipe", bytes)
);
