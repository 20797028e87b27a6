//! The golden cases: results of PyTorch in double precision, on both engines in both precisions; and whether the
//! comparison would notice a wrong result.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use netc::device;
use netc::op::emit::Machine;
use netc::op::real::Precision;
use netc::run::golden::{self, Outcome};
use serde_json::Value;

use crate::harness::{Netc, long, root};

/// Folders of cases, and how many each holds.
const FOLDERS: [(&str, usize); 2] = [("golden", 99), ("golden-joins", 18)];

fn run(folder: &Path, device: &str, precision: Precision) -> Vec<Outcome> {
    let mut device = device::open(device).expect("the device is there");
    let machine = Machine::new(*device.limits(), precision);
    golden::run(folder, &mut *device, &machine, |_| ()).expect("the cases can be read")
}

#[track_caller]
fn all_pass(device: &str, precision: Precision) {
    for (folder, cases) in FOLDERS {
        let outcomes = run(&root().join("tests").join(folder), device, precision);
        assert_eq!(outcomes.len(), cases, "none is skipped");
        let failed: Vec<_> = outcomes
            .iter()
            .filter(|outcome| !outcome.passes())
            .collect();
        assert!(
            failed.is_empty(),
            "{} of {cases} fail: {failed:#?}",
            failed.len()
        );
    }
}

#[test]
fn golden_cases_pass_on_the_host_in_f32() {
    all_pass("host", Precision::F32);
}

#[test]
fn golden_cases_pass_on_the_host_in_f64() {
    all_pass("host", Precision::F64);
}

#[test]
fn golden_cases_pass_on_opencl_in_f32() {
    all_pass("cpu", Precision::F32);
}

#[test]
fn golden_cases_pass_on_opencl_in_f64() {
    all_pass("cpu", Precision::F64);
}

#[test]
fn selftest_runs_golden_cases() {
    for ((folder, cases), device) in FOLDERS.into_iter().flat_map(|f| [(f, "host"), (f, "cpu")]) {
        let outcome = Netc::new()
            .args(["selftest", "--cases"])
            .args([root().join("tests").join(folder)])
            .args(["--device", device])
            .run();
        outcome.exits(0);
        let last = format!("{cases} passed, 0 failed");
        assert_eq!(
            outcome.stdout.lines().last(),
            Some(last.as_str()),
            "{device}"
        );
    }
}

/// A copy of the cases in which one element of each expected tensor is moved by 5 % of the tensor's scale.
fn moved(folder: &str) -> tempfile::TempDir {
    let (from, folder) = (
        root().join("tests").join(folder),
        tempfile::tempdir().unwrap(),
    );
    let manifest = fs::read_to_string(from.join("manifest.json")).unwrap();
    fs::write(folder.path().join("manifest.json"), &manifest).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    let cases = manifest["cases"].as_array().unwrap();
    let files: HashSet<&str> = cases
        .iter()
        .map(|case| case["file"].as_str().unwrap())
        .collect();
    for file in files {
        let mut bytes = fs::read(from.join(file)).unwrap();
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        let mut done = HashSet::new();
        for case in cases.iter().filter(|case| case["file"] == file) {
            for reference in case["expected"].as_object().unwrap().values() {
                let name = reference["tensor"].as_str().unwrap();
                assert!(done.insert(name), "`{name}` is expected twice");
                let facts = &header[name];
                assert_eq!(facts["dtype"], "F64", "{name}");
                let offset =
                    |i: usize| 8 + length + facts["data_offsets"][i].as_u64().unwrap() as usize;
                let data = &mut bytes[offset(0)..offset(1)];
                let values: Vec<f64> = data
                    .chunks_exact(8)
                    .map(|b| f64::from_le_bytes(b.try_into().unwrap()))
                    .collect();
                let scale = values
                    .iter()
                    .fold(0.0f64, |most, value| most.max(value.abs()));
                let at = values.len() / 2;
                let value = values[at] + if scale > 0.0 { 0.05 * scale } else { 0.05 };
                data[8 * at..8 * at + 8].copy_from_slice(&value.to_le_bytes());
            }
        }
        fs::write(folder.path().join(file), bytes).unwrap();
    }
    folder
}

#[test]
fn every_moved_element_is_noticed() {
    for (name, cases) in FOLDERS {
        moved_elements_are_noticed(&moved(name), cases);
    }
}

#[track_caller]
fn moved_elements_are_noticed(folder: &tempfile::TempDir, cases: usize) {
    let all = [
        ("host", Precision::F32),
        ("cpu", Precision::F32),
        ("host", Precision::F64),
        ("cpu", Precision::F64),
    ];
    for (device, precision) in all.into_iter().take(if long() { 4 } else { 3 }) {
        for outcome in run(folder.path(), device, precision) {
            assert!(!outcome.passes(), "{}", outcome.name);
            let comparisons = outcome.result.expect("the case runs");
            for comparison in &comparisons {
                assert!(
                    !comparison.passes(),
                    "{} on {device}: {comparison:?}",
                    outcome.name
                );
            }
        }
    }
    let outcome = Netc::new()
        .args(["selftest", "--cases"])
        .args([folder.path()])
        .args(["--device", "host"])
        .run();
    outcome.fails("E0705", &[&format!("{cases} of {cases}")]);
    let last = format!("0 passed, {cases} failed");
    assert_eq!(outcome.stdout.lines().last(), Some(last.as_str()));
}
