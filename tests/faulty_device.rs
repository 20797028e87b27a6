//! Devices that fail: an OpenCL library with one fault, built from faulty_opencl.c before the machine's own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::harness::{Netc, Outcome, root};

/// The library, built once with the C compiler that Rust links with.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("libfaulty_opencl.so");
        let listed = Command::new("ldconfig")
            .arg("-p")
            .output()
            .expect("ldconfig is there");
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        let real = listed
            .lines()
            .find(|line| line.contains("libOpenCL.so.1"))
            .and_then(|line| line.rsplit(' ').next())
            .expect("OpenCL's loader is installed");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-Wall", "-Werror", "-o"])
            .arg(&library)
            .arg(root().join("tests/faulty_opencl.c"))
            .args(["-Wl,--no-as-needed", real, "-ldl"])
            .status()
            .expect("the C compiler is there");
        assert!(built.success(), "the faulty library does not build");
        library
    })
}

/// A command on the faulty device. Nothing is taken from the kernel cache or left in it.
fn faulty(fault: &str, arguments: &[&str]) -> Outcome {
    let netc = Netc::new().args(arguments.iter().copied());
    let cache = netc.folder().join("cache");
    netc.env("NETC_OPENCL_LIBRARY", library())
        .env("NETC_TEST_FAULT", fault)
        .env("NETC_CACHE_DIR", cache)
        .args(["--device", "cpu"])
        .run()
}

/// Hides what differs from machine to machine: in each line what stands between two texts, the second being empty for
/// the line's end.
fn masked(text: &str, start: &str, end: &str, mask: &str) -> String {
    let line = |line: &str| {
        let (before, rest) = line.split_once(start)?;
        let (_, after) = rest
            .split_once(end)
            .filter(|_| !end.is_empty())
            .unwrap_or((rest, ""));
        Some(format!("{before}{start}{mask}{end}{after}"))
    };
    let lines = text
        .lines()
        .map(|text| line(text).unwrap_or_else(|| text.to_owned()));
    lines.map(|line| line + "\n").collect()
}

/// A training on fashion-mini.
const TRAINING: &[&str] = &["train", "--expr", "F10", "--set", "output.dir=run"];

#[test]
fn a_compiler_that_refuses_every_kernel() {
    let outcome = faulty("build", TRAINING);
    outcome
        .fails("E0702", &["no kernel is good enough", "--device host"])
        .renders_as("E0702-compiler-refuses", |text| {
            let text = masked(&text, "kernels/", " does not build", "[KERNELS]");
            masked(
                &masked(&text, " build on ", "", "[DEVICE]"),
                "options: ",
                "",
                "[OPTIONS]",
            )
        });
    assert!(!outcome.path("run").exists());
}

#[test]
fn kernels_that_do_not_start() {
    let outcome = faulty("launch", TRAINING);
    outcome
        .fails(
            "E0704",
            &["clEnqueueNDRangeKernel gave CL_OUT_OF_RESOURCES"],
        )
        .renders_as("E0704-kernel-does-not-start", |text| {
            let text = masked(&text, "the device ", " failed", "[DEVICE]");
            masked(&text, "in the step ", "", "[STEP]")
        });
}

#[test]
fn kernels_that_compute_nothing() {
    let outcome = faulty("skip", &["selftest"]);
    outcome
        .fails("E0705", &["--device host"])
        .renders_as("E0705-nothing-computed", |text| {
            let text = masked(&text, "error[E0705]: ", " computes wrong", "[DEVICE]");
            let text = masked(&text, "in f32: ", " cases fail", "[FAILED] of [ALL]");
            masked(&text, "the first is ", "", "[CASE]")
        });
    outcome.says("FAIL ");
}

#[test]
fn devices_with_little_memory() {
    let outcome = faulty("memory", TRAINING);
    outcome
        .fails("E0703", &["not enough memory", "a batch of 128"])
        .renders_as("E0703-little-memory", |text| {
            let text = masked(&text, "memory on ", ": training", "[DEVICE]");
            masked(&text, " needs ", " bytes, ", "[NEEDED]")
        });
    assert!(!outcome.path("run").exists());
}

#[test]
fn devices_without_double_precision() {
    let outcome = faulty("single", &[TRAINING, &["--precision", "f64"]].concat());
    outcome
        .fails(
            "E0706",
            &["f64", "device.precision=f64", "precision = \"f32\""],
        )
        .renders_as("E0706-no-double-precision", |text| {
            masked(&text, "error[E0706]: ", " does not compute", "[DEVICE]")
        });
    assert!(!outcome.path("run").exists());
}
