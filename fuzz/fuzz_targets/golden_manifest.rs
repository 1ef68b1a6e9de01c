//! See `parrot_fuzz::TARGETS`.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: parrot_fuzz::begin("golden_manifest"),
    |bytes: &[u8]| parrot_fuzz::run("golden_manifest", bytes)
);
