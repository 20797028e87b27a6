//! Each command of the real binary: exit codes, `-`, `--expr`, `--json`, colours, signals, life without OpenCL.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::harness::{Netc, Outcome, files_below, picture, root, text_of, tiny_training, write};

fn netc<const N: usize>(arguments: [&str; N]) -> Outcome {
    Netc::new().current(root()).args(arguments).run()
}

/// A run of a tiny network that several tests look at; they only read it.
fn trained() -> &'static Outcome {
    static RUN: OnceLock<Outcome> = OnceLock::new();
    RUN.get_or_init(|| {
        let outcome = tiny_training().run();
        outcome.exits(0);
        outcome
    })
}

#[test]
fn check_shows_layers_totals_and_memory() {
    let outcome = netc(["check", "nets/alexnet.net"]);
    outcome
        .exits(0)
        .says("62,378,344")
        .says("1,135,256,096")
        .says("memory at batch 1:");
    assert_eq!(outcome.stderr, "");
    let conv = outcome
        .stdout
        .lines()
        .find(|line| line.starts_with("c1 "))
        .expect("a row for c1");
    assert_eq!(
        conv.split_whitespace().collect::<Vec<_>>(),
        ["c1", "C", "96x55x55", "34,944", "105,415,200"]
    );
    netc(["check", "nets/alexnet.net", "--batch", "128"])
        .exits(0)
        .says("memory at batch 128:");
    let bare = netc(["check", "nets/alexnet.net", "--no-memory"]);
    assert!(!bare.exits(0).stdout.contains("memory"));
}

#[test]
fn bench_measures_layers_beside_the_peak() {
    for device in ["host", "cpu"] {
        for train in [false, true] {
            let mut arguments = vec![
                "bench",
                "--expr",
                "C16->P->C24->P->N->F20->F10",
                "--input",
                "3x16x16",
                "--batch",
                "8",
                "--seconds",
                "0.05",
                "--windows",
                "3",
                "--json",
                "--device",
                device,
            ];
            if train {
                arguments.push("--train");
            }
            let report = Netc::new().args(arguments).run().json();
            let number = |value: &Value| value.as_f64().expect("a number");
            assert_eq!(report["mode"], if train { "training" } else { "inference" });
            assert_eq!(report["batch"], 8);
            let windows: Vec<f64> = report["windows"]
                .as_array()
                .unwrap()
                .iter()
                .map(number)
                .collect();
            assert_eq!(windows.len(), 3);
            let middle = number(&report["images_per_second"]);
            assert!(middle > 0.0 && windows.contains(&middle), "{report}");
            assert!(number(&report["spread"]) >= 0.0);
            assert!(number(&report["peak"]["gflops"]) > 1.0, "{report}");
            assert!(
                number(&report["peak"]["gigabytes_per_second"]) > 0.1,
                "{report}"
            );
            let layers = report["layers"].as_array().unwrap();
            let names: Vec<&str> = layers
                .iter()
                .map(|row| row["name"].as_str().unwrap())
                .collect();
            assert_eq!(names[..7], ["c1", "p1", "c2", "p2", "n1", "f1", "f2"]);
            // Three products of c2 in training, one without.
            let products = if train { 3 } else { 1 };
            assert_eq!(
                layers[2]["multiply_adds"],
                products * 8 * 8 * 8 * 24 * 16 * 9
            );
            let sum = |key: &str, of: &Value| -> f64 {
                of.as_array()
                    .unwrap()
                    .iter()
                    .map(|row| number(&row[key]))
                    .sum()
            };
            for of in [&report["layers"], &report["steps"]] {
                assert!((sum("time_share", of) - 1.0).abs() < 1e-6, "{report}");
            }
            let (layers, steps) = (&report["layers"], &report["steps"]);
            let times = (sum("milliseconds", layers), sum("milliseconds", steps));
            assert!((times.0 - times.1).abs() <= 1e-6 * times.0, "{report}");
        }
    }
}

#[test]
fn bench_takes_the_configuration_beside_the_network() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("a.net"), b"input 1x8x8\nC4->F3\n");
    write(&folder.path().join("a.toml"), b"[train]\nbatch = 5\n");
    let bench = |more: &[&str]| {
        let quick = [
            "bench",
            "a.net",
            "--seconds",
            "0",
            "--windows",
            "1",
            "--device",
            "host",
            "--json",
        ];
        Netc::new()
            .current(folder.path())
            .args(quick)
            .args(more)
            .run()
    };
    assert_eq!(bench(&[]).json()["batch"], 5);
    assert_eq!(bench(&["--batch", "2"]).json()["batch"], 2);
    let large = bench(&["--batch", "1000000000"]);
    assert!(large.exits(1).stderr.contains("E0703"));
    bench(&["--seconds", "-1"]).exits(2);
    let shown = Netc::new()
        .args([
            "bench",
            "--expr",
            "C4->F3",
            "--seconds",
            "0",
            "--device",
            "host",
        ])
        .run();
    assert!(shown.exits(2).stderr.contains("--input"));
}

#[test]
fn check_speaks_json() {
    let report = netc([
        "check",
        "nets/alexnet.net",
        "nets/alexnet-groups.net",
        "--json",
        "--batch",
        "128",
    ])
    .json();
    assert_eq!(report["version"], 1);
    let [full, groups] = [&report["files"][0], &report["files"][1]];
    assert_eq!(full["file"], "nets/alexnet.net");
    assert_eq!(
        (&full["ok"], &full["diagnostics"]),
        (&json!(true), &json!([]))
    );
    assert_eq!(
        (&full["input"], &full["classes"]),
        (&json!([3, 227, 227]), &json!(1000))
    );
    assert_eq!(
        full["layers"][0],
        json!({"name": "c1", "kind": "C", "output": [96, 55, 55], "parameters": 34944, "multiply_adds": 105_415_200})
    );
    assert_eq!(full["layers"].as_array().map(Vec::len), Some(13));
    assert_eq!(
        (
            &full["totals"]["parameters"],
            &full["totals"]["multiply_adds"]
        ),
        (&json!(62_378_344), &json!(1_135_256_096))
    );
    assert_eq!(
        (
            &groups["totals"]["parameters"],
            &groups["totals"]["multiply_adds"]
        ),
        (&json!(60_965_224), &json!(724_406_816))
    );
    let memory = &full["totals"]["memory"];
    assert_eq!(memory["batch"], 128);
    let bytes = |key: &str| memory[key].as_u64().expect("a number");
    assert!(
        bytes("training_bytes") > bytes("inference_bytes")
            && bytes("inference_bytes") > 4 * 62_378_344
    );
}

#[test]
fn check_json_points_at_faults() {
    let outcome = Netc::new()
        .file("a.net", "input 1x8x8\nC8 -> Q -> F2\n")
        .args(["check", "a.net", "--json"])
        .run();
    let report = outcome.exits(1).json();
    let file = &report["files"][0];
    assert_eq!(file["ok"], false);
    let fault = &file["diagnostics"][0];
    assert_eq!(
        (&fault["code"], &fault["severity"], &fault["file"]),
        (&json!("E0201"), &json!("error"), &json!("a.net"))
    );
    assert_eq!(
        fault["span"],
        json!({"start": 18, "end": 19, "line": 2, "column": 7, "end_line": 2, "end_column": 8})
    );
    assert!(
        fault["message"].is_string() && fault["help"].is_string() && fault["labels"].is_array(),
        "{fault}"
    );
}

#[test]
fn networks_come_from_files_standard_input_and_the_command_line() {
    const BARE: &str = "C48->P->N->C96->P->N->F1024->F256";
    let expression = netc(["check", "--expr", BARE, "--input", "3x32x32", "--json"]).json();
    let kishida = netc(["check", "nets/kishida.net", "--json"]).json();
    assert_eq!(
        expression["files"][0]["totals"],
        kishida["files"][0]["totals"]
    );
    let read = Netc::new()
        .args(["check", "-", "--input", "3x32x32", "--json"])
        .stdin(BARE)
        .run();
    assert_eq!(
        read.exits(0).json()["files"][0]["totals"],
        kishida["files"][0]["totals"]
    );
    assert_eq!(read.json()["files"][0]["file"], "<stdin>");
    let both = Netc::new()
        .args([
            "check", "a.net", "--expr", BARE, "--input", "3x32x32", "--json",
        ])
        .file("a.net", "C4->F2")
        .run();
    assert_eq!(
        both.exits(0).json()["files"].as_array().map(Vec::len),
        Some(2)
    );
}

#[test]
fn an_unknown_input_is_a_warning() {
    let outcome = netc(["check", "--expr", "C8->F2"]);
    outcome.exits(0);
    assert!(
        outcome.stderr.contains("warning[W0101]"),
        "{}",
        outcome.stderr
    );
    let report = netc(["check", "--expr", "C8->F2", "--json"])
        .exits(0)
        .json();
    let file = &report["files"][0];
    assert_eq!(
        (&file["ok"], &file["input"], &file["totals"]),
        (&json!(true), &Value::Null, &Value::Null)
    );
    assert_eq!(file["layers"][0]["output"], Value::Null);
    assert_eq!(file["diagnostics"][0]["code"], "W0101");
}

#[test]
fn check_takes_the_pair_and_shows_the_faults_of_all_files() {
    netc(["check", "nets/small.net", "--config", "nets/small.toml"])
        .exits(0)
        .says("memory at batch 128:");
    let files = Netc::new()
        .file("a.net", "input 1x8x8 C8->Q->F2")
        .file("b.net", "input 1x8x8 C8(kernal=3)->F2")
        .file("c.toml", "[train]\nepoch = 1\n");
    let outcome = files
        .args(["check", "a.net", "b.net", "--config", "c.toml"])
        .run();
    outcome.fails(
        "E0201",
        &["a.net:1:17", "b.net:1:16", "c.toml:2:1", "E0202", "E0402"],
    );
}

#[test]
fn wrong_usage_exits_2() {
    for arguments in [
        &["chekc"][..],
        &[],
        &["check"],
        &["train"],
        &["train", "nets/small.net", "--epochs", "3"],
        &["eval"],
        &["predict", "run"],
    ] {
        let outcome = Netc::new().args(arguments.iter().copied()).run();
        outcome.exits(2);
        assert!(
            outcome.stdout.is_empty() && outcome.stderr.contains("Usage:"),
            "{arguments:?}: {}",
            outcome.stderr
        );
    }
    for shape in ["8x8", "1x0x8", "axbxc", "1x8x8x8"] {
        netc(["check", "--expr", "C8->F2", "--input", shape]).exits(2);
    }
    for asked in ["--help", "--version"] {
        let outcome = netc([asked]);
        assert!(
            !outcome.exits(0).stdout.is_empty() && outcome.stderr.is_empty(),
            "{asked}"
        );
    }
}

#[test]
fn colours_follow_the_terminal_no_color_and_the_option() {
    let coloured = |arguments: &[&str], plain: &str| {
        let outcome = Netc::new()
            .env("NO_COLOR", plain)
            .args(["check", "--expr", "C8->Q->F2"])
            .args(arguments.iter().copied())
            .run();
        outcome.exits(1).stderr.contains("\x1b[")
    };
    assert!(
        !coloured(&[], "1") && !coloured(&[], ""),
        "stderr is no terminal"
    );
    assert!(coloured(&["--color", "always"], ""));
    assert!(
        coloured(&["--color", "always"], "1"),
        "the option is the last word"
    );
    assert!(!coloured(&["--color", "never"], ""));
}

/// `checkpoints/last` is the best one too where the last epoch is better than all others.
#[test]
fn the_best_checkpoint_goes_by_accuracy_or_loss() {
    // Too easy a set for the accuracy to grow: of equal epochs the first is the best.
    let mut outcomes = [0, 0];
    for (best, key, sign) in [
        ("accuracy", "test_accuracy", 1.0),
        ("loss", "test_loss", -1.0),
    ] {
        for rate in [0.001, 0.002, 0.005, 0.01, 0.1, 0.5] {
            let outcome = tiny_training()
                .set("train.best", best)
                .set("train.epochs", 3)
                .set("optimizer.learning_rate", rate)
                .run();
            outcome.exits(0);
            let metrics = fs::read_to_string(outcome.path("run/metrics.jsonl")).unwrap();
            let figures: Vec<f64> = metrics
                .lines()
                .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
                .filter_map(|line| Some(sign * line[key].as_f64()?))
                .collect();
            assert_eq!(figures.len(), 3, "{metrics}");
            let last_is_best = figures[2] > figures[0].max(figures[1]);
            let [kept, last] = ["best", "last"].map(|name| {
                fs::read(outcome.path(&format!("run/checkpoints/{name}.safetensors"))).unwrap()
            });
            assert_eq!(kept == last, last_is_best, "{best}: {figures:?}");
            outcomes[usize::from(last_is_best)] += 1;
        }
    }
    assert!(outcomes[0] > 0 && outcomes[1] > 0, "{outcomes:?}");
}

#[test]
fn a_training_fills_its_run_folder() {
    let outcome = trained();
    let run = outcome.path("run");
    let expected = [
        ".lock",
        "checkpoints/best.safetensors",
        "checkpoints/last.safetensors",
        "classes.txt",
        "config.toml",
        "final.safetensors",
        "mean.safetensors",
        "metrics.jsonl",
        "network.net",
    ];
    assert_eq!(files_below(&run), expected);
    let text = |name: &str| fs::read_to_string(run.join(name)).unwrap();
    assert_eq!(text("network.net"), crate::harness::TINY);
    assert_eq!(text("classes.txt"), "0\n1\n");
    let config: toml::Table = text("config.toml").parse().expect("TOML");
    assert_eq!(config["train"]["epochs"].as_integer(), Some(2));
    assert_eq!(
        config["optimizer"]["learning_rate"].as_float(),
        Some(0.01),
        "defaults stand there too"
    );

    let lines: Vec<Value> = text("metrics.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 8, "2 epochs of 40 images in batches of 10");
    for (at, line) in lines.iter().enumerate() {
        let ends_epoch = at % 4 == 3;
        assert_eq!(
            (&line["step"], &line["epoch"]),
            (&json!(at + 1), &json!(at / 4 + 1))
        );
        let mut keys = vec![
            "accuracy",
            "epoch",
            "images_per_second",
            "learning_rate",
            "loss",
            "seconds",
            "step",
        ];
        keys.extend(
            ends_epoch
                .then_some(["test_accuracy", "test_loss"])
                .into_iter()
                .flatten(),
        );
        let mut found: Vec<&String> = line.as_object().unwrap().keys().collect();
        found.sort();
        assert_eq!(found, keys);
        assert!(
            line.as_object().unwrap().values().all(Value::is_number),
            "{line}"
        );
    }
    assert_eq!(lines[7]["test_accuracy"], 1.0, "bright rows are learned");
    outcome.says("test accuracy 1.0000");
    assert!(
        outcome.stderr.contains("step 8/8") && outcome.stderr.contains("images/s"),
        "{}",
        outcome.stderr
    );

    let tensors = |name: &str| {
        let bytes = fs::read(run.join(name)).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).expect("safetensors");
        let mut names: Vec<String> = file.names().into_iter().map(String::from).collect();
        names.sort();
        (names, file.tensor("f1.weight").unwrap().shape().to_vec())
    };
    assert_eq!(
        tensors("final.safetensors"),
        (
            ["c1.bias", "c1.weight", "f1.bias", "f1.weight"]
                .map(String::from)
                .to_vec(),
            vec![2, 64]
        )
    );
    assert_eq!(
        tensors("checkpoints/last.safetensors").0.len(),
        8,
        "the optimizer's state beside the parameters"
    );
}

#[test]
fn runs_are_numbered_and_networks_without_input_take_the_data_s() {
    let netc = tiny_training().file("bare.net", "C4->P->F2").args([
        "--set",
        "output.dir=runs/{net}-{n}",
        "--quiet",
    ]);
    let outcome = netc.set("train.epochs", 1).run();
    outcome.exits(0).says("runs/tiny-1");
    assert!(
        !outcome.stderr.contains("step ")
            && !outcome.stderr.contains("device: ")
            && !outcome.stderr.contains("epoch "),
        "quiet: {}",
        outcome.stderr
    );
    let again = Netc::new().current(&outcome.path("")).args([
        "train",
        "bare.net",
        "--device",
        "host",
        "--set",
        "data.train=data",
        "--set",
        "data.test=data",
    ]);
    again
        .set("train.batch", 10)
        .set("train.epochs", 1)
        .run()
        .exits(0)
        .says("runs/bare-1");
    let network = fs::read_to_string(outcome.path("runs/bare-1/network.net")).unwrap();
    assert_eq!(network, "input 1x8x8\nC4->P->F2");
    let expression = Netc::new().current(&outcome.path("")).args([
        "train",
        "--expr",
        "F2",
        "--device",
        "host",
        "--set",
        "data.train=data",
        "--set",
        "data.test=data",
    ]);
    expression
        .set("train.batch", 10)
        .set("train.epochs", 1)
        .run()
        .exits(0)
        .says("runs/expr-1");
}

#[test]
fn a_first_start_says_that_kernels_are_compiled() {
    let run = trained().path("run");
    let cache = tempfile::tempdir().unwrap();
    let eval = |more: &[&str]| {
        let arguments = ["eval", run.to_str().unwrap(), "--device", "cpu"];
        let netc = Netc::new().args(arguments).args(more);
        netc.env("NETC_CACHE_DIR", cache.path()).run()
    };
    let said = |outcome: &Outcome| outcome.stderr.matches("compiling").count();
    let first = eval(&[]);
    assert_eq!(said(first.exits(0)), 1);
    assert!(first.stderr.contains("kernels, kept for the next start"));
    assert_eq!(said(eval(&[]).exits(0)), 0, "they were kept");
    // Other kernels, and nobody to read about them.
    let quiet = eval(&["--json", "--precision", "f64"]);
    assert_eq!(said(quiet.exits(0)), 0);
}

#[test]
fn eval_measures_a_run() {
    let run = trained().path("run");
    let run = run.to_str().unwrap();
    netc(["eval", run])
        .exits(0)
        .says("20 images")
        .says("accuracy 1.0000")
        .says("top-5 1.0000");
    let report = netc(["eval", run, "--json", "--batch", "7"])
        .exits(0)
        .json();
    assert_eq!(
        (
            &report["version"],
            &report["images"],
            &report["accuracy"],
            &report["top5"]
        ),
        (&json!(1), &json!(20), &json!(1.0), &json!(1.0))
    );
    assert_eq!(
        (&report["classes"], &report["confusion"]),
        (&json!(["0", "1"]), &json!([[10, 0], [0, 10]]))
    );
    let metrics = fs::read_to_string(trained().path("run/metrics.jsonl")).unwrap();
    let last: Value = serde_json::from_str(metrics.lines().last().unwrap()).unwrap();
    let [loss, trained] = [&report["loss"], &last["test_loss"]].map(|loss| loss.as_f64().unwrap());
    assert!((loss - trained).abs() < 1e-6, "{loss} {trained}");
    let opencl = netc(["eval", run, "--json", "--device", "cpu"])
        .exits(0)
        .json();
    assert!(
        (opencl["loss"].as_f64().unwrap() - trained).abs() < 1e-5,
        "{opencl}"
    );
    netc(["eval", "no/such/run"]).fails("E0501", &["no/such/run"]);
}

#[test]
fn predict_names_classes() {
    let run = trained().path("run");
    let bright = |row: u32| {
        let pixels =
            image::GrayImage::from_fn(8, 8, |_, y| image::Luma([if y == row { 200 } else { 20 }]));
        let mut bytes = std::io::Cursor::new(Vec::new());
        image::DynamicImage::from(pixels)
            .write_to(&mut bytes, image::ImageFormat::Png)
            .unwrap();
        bytes.into_inner()
    };
    let predict = || {
        Netc::new()
            .file("zero.png", bright(0))
            .file("one.png", bright(1))
            .args(["predict"])
            .args([&run])
            .args(["zero.png", "one.png"])
    };
    let report = predict().args(["--json"]).run().exits(0).json();
    for (at, name) in ["zero.png", "one.png"].into_iter().enumerate() {
        let answer = &report["images"][at];
        assert_eq!(
            (
                &answer["image"],
                &answer["classes"][0]["label"],
                &answer["classes"][0]["class"]
            ),
            (&json!(name), &json!(at), &json!(at.to_string()))
        );
        let sum: f64 = answer["classes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|class| class["probability"].as_f64().unwrap())
            .sum();
        assert!((sum - 1.0).abs() < 1e-6, "two classes, both shown: {sum}");
    }
    let people = predict().run();
    people.exits(0).says("zero.png\n").says(" %  0\n");
    Netc::new()
        .file("a.jpg", picture("a.jpg", 3))
        .args(["predict"])
        .args([&run])
        .args(["a.jpg"])
        .run()
        .exits(0)
        .says("a.jpg");
}

#[test]
fn devices_lists_opencl_and_the_host_engine() {
    netc(["devices"]).exits(0).says("host engine");
    let report = netc(["devices", "--json"]).exits(0).json();
    let devices = report["devices"].as_array().unwrap();
    assert!(
        devices.iter().any(|device| device["kind"] == "cpu"),
        "these tests need an OpenCL CPU device: {report}"
    );
    assert_eq!(devices.last().unwrap()["device"], "host");
    for device in devices {
        for key in [
            "device",
            "kind",
            "platform",
            "name",
            "driver",
            "cores",
            "memory_bytes",
            "double",
            "tuned",
        ] {
            assert!(device.get(key).is_some(), "{key}: {device}");
        }
    }
}

#[test]
fn selftest_compares_every_kernel_with_the_host() {
    for precision in ["f32", "f64"] {
        let outcome = netc(["selftest", "--device", "cpu", "--precision", precision]);
        let last = outcome.exits(0).stdout.lines().last().unwrap().to_owned();
        let passed: usize = last
            .strip_suffix(" passed, 0 failed")
            .and_then(|n| n.parse().ok())
            .expect("the last line counts");
        assert!(passed > 100, "{last}");
    }
    let report = netc(["selftest", "--device", "cpu", "--json"])
        .exits(0)
        .json();
    assert_eq!(
        (&report["version"], &report["failed"], &report["precision"]),
        (&json!(1), &json!(0), &json!("f32"))
    );
    assert_eq!(
        report["passed"].as_u64().unwrap() as usize,
        report["cases"].as_array().unwrap().len()
    );
    netc(["selftest", "--cases", "no/such/folder"]).fails("E0501", &["no/such/folder"]);
}

#[test]
fn without_opencl_everything_but_opencl_works() {
    let absent = |netc: Netc| netc.env("NETC_OPENCL_LIBRARY", "/nonexistent/libOpenCL.so");
    let devices = absent(Netc::new().args(["devices", "--json"]))
        .run()
        .exits(0)
        .json();
    assert_eq!(
        devices["devices"].as_array().map(Vec::len),
        Some(1),
        "the host engine alone: {devices}"
    );
    absent(
        Netc::new()
            .current(root())
            .args(["check", "nets/small.net"]),
    )
    .run()
    .exits(0);
    absent(tiny_training()).run().exits(0);
    let auto = absent(tiny_training().args(["--device", "auto"])).run();
    assert!(
        auto.exits(0).stderr.contains("device: host engine"),
        "{}",
        auto.stderr
    );
    for device in ["gpu", "cpu", "0:0"] {
        absent(
            Netc::new()
                .current(root())
                .args(["train", "nets/small.net", "--device", device])
                .set("output.dir", "/nonexistent/run"),
        )
        .run()
        .fails("E0701", &["host"]);
    }
}

#[test]
fn output_that_cannot_be_written_is_told() {
    for arguments in [&["explain", "E0101"][..], &["devices", "--json"]] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let outcome = std::process::Command::new(env!("CARGO_BIN_EXE_netc"))
            .args(arguments)
            .env("NO_COLOR", "1")
            .stdout(full)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&outcome.stderr).into_owned();
        assert_eq!(outcome.status.code(), Some(1), "{arguments:?}: {told}");
        assert_eq!(
            told.matches("error[E0901]: the output cannot be written")
                .count(),
            1
        );
    }
}

#[test]
fn nothing_links_opencl() {
    let outcome = std::process::Command::new("ldd")
        .arg(env!("CARGO_BIN_EXE_netc"))
        .output()
        .expect("ldd is there");
    let libraries = String::from_utf8_lossy(&outcome.stdout).into_owned();
    assert!(
        libraries.contains("libc.so") && !libraries.contains("OpenCL"),
        "{libraries}"
    );
}

#[test]
fn signals_stop_a_training_with_a_checkpoint() {
    // A compiler in a driver may have handlers of its own.
    let cases = [("INT", 130), ("TERM", 143)];
    let cases = cases.map(|case| ["host", "cpu"].map(|device| (case, device)));
    for ((signal, status), device) in cases.into_iter().flatten() {
        let mut running = tiny_training()
            .set("train.epochs", 1_000_000)
            .set("device.select", device)
            .start();
        running.wait_for("step 3/");
        running.signal(signal);
        let outcome = running.wait();
        outcome.exits(status);
        assert!(
            outcome.stderr.contains("checkpoints/last.safetensors"),
            "{}",
            outcome.stderr
        );
        let bytes =
            fs::read(outcome.path("run/checkpoints/last.safetensors")).expect("a checkpoint");
        let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).expect("a whole file");
        assert_eq!(header.tensors().len(), 8);
        assert!(
            !outcome.path("run/final.safetensors").exists(),
            "it is not finished"
        );
        let run: PathBuf = outcome.path("run");
        netc(["eval", run.to_str().unwrap()]).exits(0);
    }
}

#[test]
fn before_the_first_step_signals_end_a_training() {
    for (signal, status) in [("INT", 130), ("TERM", 143)] {
        let mut running = tiny_training()
            .set("optimizer.learning_rate", 1e-9)
            .args(["--overfit", "30", "--device", "cpu"])
            .start();
        running.wait_for("device: ");
        running.signal(signal);
        let outcome = running.wait();
        outcome.exits(status);
        assert!(!outcome.path("run").exists());
    }
}

#[test]
fn hyperparameters_come_from_a_file_and_assignments() {
    let toml = "[data]\ntrain = \"../data\"\ntest = \"../data\"\n\n[train]\nbatch = 10\nepochs = 1\n\n[device]\nselect = \"host\"\n";
    let netc = tiny_training();
    write(&netc.folder().join("configs/a.toml"), toml.as_bytes());
    let folder = netc.run();
    let again = Netc::new()
        .current(&folder.path(""))
        .args([
            "train",
            "tiny.net",
            "--config",
            "configs/a.toml",
            "--set",
            "output.dir=other",
        ])
        .set("train.epochs", 3)
        .run();
    again.exits(0);
    let config: toml::Table = fs::read_to_string(folder.path("other/config.toml"))
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(
        config["train"]["epochs"].as_integer(),
        Some(3),
        "an assignment outdoes the file"
    );
    assert_eq!(config["train"]["batch"].as_integer(), Some(10));
    assert_eq!(
        fs::read_to_string(folder.path("other/metrics.jsonl"))
            .unwrap()
            .lines()
            .count(),
        12
    );
}

#[test]
fn the_nets_that_come_along_are_right() {
    for name in ["small", "kishida", "alexnet", "alexnet-groups"] {
        let (net, toml) = (format!("nets/{name}.net"), format!("nets/{name}.toml"));
        assert!(text_of(&net).contains("input"), "{net} says its input");
        netc(["check", &net]).exits(0);
        let outcome = netc(["check", &net, "--config", &toml]);
        if name == "small" {
            outcome.exits(0);
            assert_eq!(outcome.stderr, "", "{net}");
        } else {
            // The pictures are the user's own: training and test images are missing, and nothing else is wrong.
            outcome.exits(1);
            let missing = outcome.stderr.matches("error[E0501]").count();
            assert_eq!(missing, 2, "{net}: {}", outcome.stderr);
            assert_eq!(
                outcome.stderr.matches("[E0").count() + outcome.stderr.matches("[W0").count(),
                missing,
                "{net}: {}",
                outcome.stderr
            );
        }
    }
}

#[test]
fn plan_tells_in_json_what_the_planner_knows() {
    let plan = |arguments: &[&str]| {
        let outcome = Netc::new()
            .args(["plan", "nets/small.net", "--json"])
            .args(arguments);
        outcome.current(root()).run().json()
    };
    for mode in [&["--train"][..], &[]] {
        let json = plan(mode);
        let number = |key: &str| json[key].as_u64().unwrap_or_else(|| panic!("{key}"));
        assert_eq!(json["version"], 1);
        assert_eq!(number("batch"), 128);
        let [steps, buffers] = ["steps", "buffers"].map(|key| json[key].as_array().unwrap());
        let (mut persistent, mut alive) = (0, vec![0; steps.len()]);
        for buffer in buffers {
            let bytes = buffer["bytes"].as_u64().unwrap();
            let [first, last] = [0, 1].map(|i| buffer["lifetime"][i].as_u64().unwrap() as usize);
            match buffer["offset"].as_u64() {
                Some(offset) => {
                    assert!(offset + bytes <= number("arena_bytes"), "{buffer}");
                    alive[first..last].iter_mut().for_each(|sum| *sum += bytes);
                }
                None => persistent += bytes,
            }
        }
        assert_eq!(alive.iter().max(), Some(&number("lower_bound_bytes")));
        assert_eq!(
            persistent,
            number("parameter_bytes") + number("optimizer_bytes")
        );
        assert_eq!(number("total_bytes"), persistent + number("arena_bytes"));
        assert!(number("workspace_bytes") <= number("arena_bytes"));
        let ways = if mode.is_empty() { 1 } else { 2 };
        assert_eq!(number("tensor_bytes"), ways * 85_706 * 128 * 4);
        for step in steps {
            assert!(
                step["file"].as_str().unwrap().starts_with("kernels/"),
                "{step}"
            );
            for used in step["buffers"].as_array().unwrap() {
                let index = used["buffer"].as_u64().unwrap() as usize;
                assert!(buffers[index]["bytes"].as_u64().unwrap() > 0, "{step}");
            }
        }
    }
    // The same figures in check.
    let check = Netc::new()
        .args(["check", "nets/small.net", "--batch", "128", "--json"])
        .current(root())
        .run()
        .json();
    let memory = &check["files"][0]["totals"]["memory"];
    assert_eq!(memory["training_bytes"], plan(&["--train"])["total_bytes"]);
    assert_eq!(memory["inference_bytes"], plan(&[])["total_bytes"]);
}

#[test]
fn plan_takes_the_largest_batch_of_a_limit() {
    let total = |batch: &str| {
        let arguments = [
            "plan",
            "nets/dense.net",
            "--train",
            "--json",
            "--max-memory",
            "30MB",
        ];
        let outcome = Netc::new().args(arguments).args(["--batch", batch]);
        outcome.current(root()).run()
    };
    let json = total("auto").json();
    assert!(json["total_bytes"].as_u64().unwrap() <= 30_000_000);
    let batch = json["batch"].as_u64().unwrap();
    let over = total(&(batch + 1).to_string());
    assert_eq!(over.status, 1);
    assert!(over.stderr.contains("E0703"), "{}", over.stderr);
    let help = format!("the largest batch that fits is {batch}: `--batch {batch}`");
    assert!(over.stderr.contains(&help), "{}", over.stderr);
    let unlimited = Netc::new()
        .args(["plan", "nets/dense.net", "--batch", "auto"])
        .current(root())
        .run();
    assert_eq!(unlimited.status, 2);
    assert!(
        unlimited.stderr.contains("--max-memory"),
        "{}",
        unlimited.stderr
    );
    let shapeless = Netc::new().args(["plan", "--expr", "C8->F2"]).run();
    assert_eq!(shapeless.status, 2);
    assert!(shapeless.stderr.contains("--input"), "{}", shapeless.stderr);
}

#[test]
fn plan_draws_every_buffer_of_the_arena() {
    let folder = tempfile::tempdir().unwrap();
    for net in ["small", "residual", "dense", "alexnet-groups"] {
        let path = folder.path().join(format!("{net}.svg"));
        let file = format!("nets/{net}.net");
        let outcome = Netc::new()
            .args([
                "plan",
                &file,
                "--train",
                "--json",
                "--svg",
                path.to_str().unwrap(),
            ])
            .current(root())
            .run();
        let json = outcome.json();
        let text = fs::read_to_string(&path).unwrap();
        let document = roxmltree::Document::parse(&text).unwrap();
        let titles: Vec<&str> = document
            .descendants()
            .filter(|node| node.attribute("class") == Some("box"))
            .filter_map(|node| node.first_element_child()?.text())
            .collect();
        let alive = json["buffers"].as_array().unwrap().iter();
        let alive: Vec<&str> = alive
            .filter(|buffer| !buffer["offset"].is_null() && buffer["bytes"].as_u64() != Some(0))
            .map(|buffer| buffer["name"].as_str().unwrap())
            .collect();
        assert_eq!(titles.len(), alive.len(), "{net}");
        for name in alive {
            let start = format!("{name}: ");
            assert!(
                titles.iter().any(|title| title.starts_with(&start)),
                "{name} of {net}"
            );
        }
    }
}
