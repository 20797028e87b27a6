//! Lets netc link without OpenCL.
//!
//! The crate `cl-sys` asks the linker for `-lOpenCL`. This script answers with an empty archive of that name on a path
//! that is searched before the system's, so that the linker needs no OpenCL to be installed and, where it is, does not
//! make netc depend on it. The functions themselves stand in src/device/opencl/loader.rs. Needs nothing but Rust: an
//! archive without members is eight bytes.

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let msvc = env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|environment| environment == "msvc");
    let archive = out.join(if msvc { "OpenCL.lib" } else { "libOpenCL.a" });
    fs::write(&archive, b"!<arch>\n").expect("cargo's OUT_DIR is writable");
    println!("cargo::rustc-link-search=native={}", out.display());
}
