//! `netc tune`: what it finds is kept, used and forgotten; and every number may have every value.

use std::path::{Path, PathBuf};

use netc::device;
use netc::op::emit::Machine;
use netc::op::real::Precision;
use netc::op::tuning::{NUMBERS, Number, Tuning};
use netc::run::golden;
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Netc, Outcome, long, root, write};

const NET: &str = "C16->C24->P->F20->F10";

/// netc with a folder of kept numbers.
fn netc<'a>(kept: &TempDir, arguments: impl IntoIterator<Item = &'a str>) -> Outcome {
    Netc::new()
        .current(root())
        .env("NETC_TUNING_DIR", kept.path().join("deep/er"))
        .args(arguments)
        .run()
}

/// Where the OpenCL CPU's numbers are kept.
fn file(kept: &TempDir) -> PathBuf {
    let report = netc(kept, ["tune", "--reset", "--device", "cpu", "--json"]);
    let report = report.exits(0).json();
    assert_eq!(report["removed"], false);
    PathBuf::from(report["file"].as_str().expect("a path"))
}

fn plan(kept: &TempDir, more: &[&str]) -> Outcome {
    let arguments = ["plan", "--expr", NET, "--input", "3x16x16", "--json"];
    let arguments = arguments.into_iter().chain(more.iter().copied());
    let outcome = netc(kept, arguments);
    outcome.exits(0);
    outcome
}

fn tuned(kept: &TempDir) -> Vec<bool> {
    let report = netc(kept, ["devices", "--json"]).exits(0).json();
    let devices = report["devices"].as_array().expect("devices");
    let tuned = |device: &Value| device["tuned"].as_bool().expect("a flag");
    devices.iter().map(tuned).collect()
}

#[test]
fn what_is_found_is_kept_until_it_is_reset() {
    let kept = tempfile::tempdir().unwrap();
    let path = file(&kept);
    assert!(!tuned(&kept).contains(&true));
    let tune = ["tune", "nets/small.net", "--device", "cpu", "--budget", "2"];
    let outcome = netc(&kept, tune.into_iter().chain(["--json"]));
    let report = outcome.exits(0).json();
    assert!(outcome.stderr.contains("measuring inference of small"));
    assert_eq!(report["mode"], "inference");
    assert_eq!(report["batch"], 128);
    assert_eq!(report["file"], path.display().to_string());
    assert_eq!(
        report["numbers"].as_array().map(Vec::len),
        Some(NUMBERS.len())
    );
    let speed = |key: &str| report[key].as_f64().expect("a number");
    assert!(
        speed("after") >= speed("before") && speed("before") > 0.0,
        "{report}"
    );
    let text = std::fs::read_to_string(&path).expect("it is kept");
    assert!(text.contains("\n[numbers]\n"), "{text}");
    assert!(tuned(&kept).contains(&true));

    let reset = netc(&kept, ["tune", "--reset", "--device", "cpu"]);
    reset.exits(0).says("removed ");
    assert!(!path.exists());
    let reset = netc(&kept, ["tune", "--reset", "--device", "cpu"]);
    reset.exits(0).says("nothing was kept for ");
}

#[test]
fn a_dry_run_keeps_nothing() {
    let kept = tempfile::tempdir().unwrap();
    for train in [&["--train"][..], &[]] {
        let arguments = ["tune", "--expr", NET, "--input", "3x16x16", "--batch", "6"];
        let more = ["--device", "host", "--budget", "0", "--dry-run"];
        let all = arguments
            .into_iter()
            .chain(more)
            .chain(train.iter().copied());
        netc(&kept, all)
            .exits(0)
            .says("the built-in numbers are the best");
    }
    assert_eq!(std::fs::read_dir(kept.path()).unwrap().count(), 0);
}

#[test]
fn plans_go_by_kept_numbers_where_they_can_be_used() {
    let kept = tempfile::tempdir().unwrap();
    let path = file(&kept);
    let (nominal, before) = (plan(&kept, &[]), plan(&kept, &["--device", "cpu"]));
    write(&path, b"[numbers]\naccumulators = 6\nvectors = 1\n");
    let with = plan(&kept, &["--device", "cpu"]);
    assert_ne!(with.stdout, before.stdout);
    assert_eq!(with.stderr, "");
    // Plans for no device in particular stay as they are.
    assert_eq!(plan(&kept, &[]).stdout, nominal.stdout);
    let arguments = [
        "bench", "--expr", NET, "--input", "3x16x16", "--device", "cpu",
    ];
    let more = ["--seconds", "0", "--windows", "1", "--batch", "2"];
    netc(&kept, arguments.into_iter().chain(more)).exits(0);

    for (text, words) in [
        (
            "[numbers]\naccumulators = 1000\n",
            "`accumulators` lies between 4 and 32",
        ),
        (
            "[numbers]\nregisters = 32\n",
            "there is no number `registers`",
        ),
        ("[numbers\n", "this is not TOML"),
    ] {
        write(&path, text.as_bytes());
        let without = plan(&kept, &["--device", "cpu"]);
        assert_eq!(without.stdout, before.stdout, "{text}");
        for words in ["warning[W0402]", words, "--reset"] {
            assert!(without.stderr.contains(words), "{text}: {}", without.stderr);
        }
    }
}

#[test]
fn a_number_out_of_range_is_pointed_at() {
    let reset = Netc::new().args(["tune", "--reset", "--device", "host", "--json"]);
    let report = reset.run().exits(0).json();
    let path = PathBuf::from(report["file"].as_str().expect("a path"));
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.expect("a file's name");
    let outcome = Netc::new()
        .file(&format!("tuned/{name}"), "[numbers]\ngroup_bytes = 12\n")
        .args(["plan", "--expr", NET, "--input", "3x16x16"])
        .args(["--device", "host"])
        .run();
    outcome
        .exits(0)
        .renders_as("W0402-number-out-of-range", |text| {
            text.replace(name, "[DEVICE].toml")
        });
}

#[test]
fn tune_is_told_what_it_needs() {
    let kept = tempfile::tempdir().unwrap();
    let usage = netc(&kept, ["tune"]);
    assert!(usage.exits(2).stderr.contains("a network is needed"));
    netc(&kept, ["tune", "nets/small.net", "--reset"]).exits(2);
    netc(&kept, ["tune", "nets/small.net", "--budget", "-1"]).exits(2);
    let shapeless = netc(&kept, ["tune", "--expr", "C4->F3", "--device", "host"]);
    assert!(shapeless.exits(2).stderr.contains("--input"));
    netc(&kept, ["tune", "nets/no.net"]).fails("E0501", &[]);
}

/// Cases that between them reach every kernel that a number has a part in, each way; `tests/run.sh --long` runs all.
const CASES: [&str; 9] = [
    "conv_k3_s1_p1_g1_c1to48_12x10_n1",
    "conv_k3_s1_p1_g1_c48to48_9x11_n3",
    "conv_k3_s1_p1_g2_c48to48_7x5_n1",
    "conv_k5_s1_p2_g2_c6to8_9x10_n3",
    "conv_k11_s4_p2_g1_c3to6_31x27_n3",
    "fc_48_to10_n8",
    "fc_96x7x7_to8_n3",
    "small_like",
    "alexnet_like",
];

/// A folder with only those.
fn some_cases(from: &Path) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(from.join("manifest.json")).unwrap();
    let mut manifest: Value = serde_json::from_str(&text).unwrap();
    let cases = manifest["cases"].as_array_mut().expect("cases");
    cases.retain(|case| CASES.contains(&case["name"].as_str().expect("a name")));
    assert_eq!(cases.len(), CASES.len());
    for case in cases {
        let file = case["file"].as_str().expect("a file");
        std::fs::copy(from.join(file), folder.path().join(file)).unwrap();
    }
    write(
        &folder.path().join("manifest.json"),
        manifest.to_string().as_bytes(),
    );
    folder
}

/// The numbers of a class, changed.
fn changed(machine: &Machine, change: impl Fn(&Number, f64) -> f64) -> Tuning {
    let mut tuning = machine.tuning;
    for number in NUMBERS {
        number.set(&mut tuning, change(number, number.get(&machine.tuning)));
    }
    tuning
}

#[track_caller]
fn golden_cases_pass(change: impl Fn(&Number, f64) -> f64) {
    let mut device = device::open("cpu").expect("the device is there");
    let machine = Machine::new(*device.limits(), Precision::F32);
    let machine = Machine {
        tuning: changed(&machine, change),
        ..machine
    };
    let from = root().join("tests/golden");
    let some = if long() {
        None
    } else {
        Some(some_cases(&from))
    };
    let folder = some.as_ref().map_or(from.as_path(), TempDir::path);
    let outcomes =
        golden::run(folder, &mut *device, &machine, |_| ()).expect("the cases are there");
    assert!(outcomes.len() >= CASES.len());
    let failed: Vec<_> = outcomes
        .iter()
        .filter(|outcome| !outcome.passes())
        .collect();
    assert!(failed.is_empty(), "{:?}: {failed:#?}", machine.tuning);
}

#[test]
fn golden_cases_pass_with_the_least_of_everything() {
    golden_cases_pass(|number, _| number.least);
}

#[test]
fn golden_cases_pass_with_the_most_of_everything() {
    golden_cases_pass(|number, _| number.most);
}

#[test]
fn golden_cases_pass_with_large_blocks_and_winograd_everywhere() {
    golden_cases_pass(|number, _| match number.name {
        "winograd_transform_cost"
        | "winograd_product_cost"
        | "winograd_weight_cost"
        | "winograd_cached_bytes" => number.least,
        _ => number.most,
    });
}

#[test]
fn golden_cases_pass_with_odd_numbers() {
    golden_cases_pass(|number, value| match number.name {
        "vectors" | "batch_vectors" => 2.0,
        "accumulators" => 9.0,
        "dense_side" => 3.0,
        "winograd_transform_cost" => number.least,
        _ => (value / 3.0).ceil().max(number.least),
    });
}
