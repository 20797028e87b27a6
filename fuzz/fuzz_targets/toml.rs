//! Any bytes as TOML: read, checked, drawn, resolved.

#![no_main]

#[path = "../../tests/fuzz/checks.rs"]
#[allow(dead_code)] // the other target's check
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    checks::toml(bytes);
});
