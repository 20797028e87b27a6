//! Any bytes as a network: read, checked, drawn, formatted.

#![no_main]

#[path = "../../tests/fuzz/checks.rs"]
#[allow(dead_code)] // the other target's check
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    checks::network(bytes);
});
