//! What people get wrong: each its code and place, exit code 1, nothing half-written left behind.

use std::fs;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::harness::{Netc, Outcome, TINY, files_below, idx_set, picture, tiny_training, write};

/// Demands that a refused training wrote no run.
#[track_caller]
fn no_run(outcome: &Outcome) {
    assert!(
        !outcome.path("run").exists(),
        "left behind: {:?}",
        files_below(&outcome.path("run"))
    );
    assert!(outcome.stdout.is_empty(), "{}", outcome.stdout);
}

/// A training whose data is changed before it starts.
fn with_data(change: impl FnOnce(&std::path::Path)) -> Outcome {
    let netc = tiny_training();
    change(&netc.folder().join("data"));
    netc.run()
}

#[test]
fn missing_data() {
    let outcome = tiny_training().set("data.train", "dota").run();
    outcome
        .fails("E0501", &["dota", "data.train=dota", "did you mean"])
        .renders("E0501-no-such-data-set");
    no_run(&outcome);
    let outcome = tiny_training().set("data.test", "fashion-mimi").run();
    outcome.fails("E0501", &["fashion-mini"]);
    no_run(&outcome);
    let outcome = with_data(|data| fs::remove_file(data.join("train-labels-idx1-ubyte")).unwrap());
    outcome
        .fails("E0501", &["labels"])
        .renders("E0501-labels-missing");
    no_run(&outcome);
    let toml = "[data]\ntrain = \"nowhere\"\n";
    let outcome = Netc::new()
        .file("a.net", TINY)
        .file("sub/a.toml", toml)
        .args([
            "train",
            "a.net",
            "--config",
            "sub/a.toml",
            "--device",
            "host",
        ])
        .set("output.dir", "run")
        .run();
    outcome
        .fails("E0501", &["sub/nowhere", "sub/a.toml:2:9"])
        .renders("E0501-path-in-a-toml");
    no_run(&outcome);
    Netc::new()
        .file("somewhere.net", TINY)
        .args(["check", "somewere.net"])
        .run()
        .fails("E0501", &["did you mean `somewhere.net`?"])
        .renders("E0501-misspelt-network");
    Netc::new()
        .args(["train", "nowhere.net"])
        .run()
        .fails("E0501", &["nowhere.net"])
        .renders("E0501-no-such-network");
    Netc::new()
        .args(["check", "nowhere.net"])
        .run()
        .fails("E0501", &["nowhere.net"]);
}

#[test]
fn truncated_idx_files() {
    let outcome = with_data(|data| {
        let file = data.join("train-images-idx3-ubyte");
        let bytes = fs::read(&file).unwrap();
        fs::write(file, &bytes[..bytes.len() - 100]).unwrap();
    });
    outcome
        .fails("E0502", &["train-images-idx3-ubyte", "byte 2476", "2576"])
        .renders("E0502-images-cut-off");
    no_run(&outcome);
    let outcome =
        with_data(|data| fs::write(data.join("t10k-labels-idx1-ubyte"), [0, 0, 8]).unwrap());
    outcome
        .fails("E0502", &["t10k-labels-idx1-ubyte", "header"])
        .renders("E0502-header-cut-off");
    no_run(&outcome);
    let outcome = with_data(|data| {
        fs::write(
            data.join("train-images-idx3-ubyte"),
            b"<!doctype html><title>404</title>",
        )
        .unwrap();
    });
    outcome.fails("E0502", &["train-images-idx3-ubyte"]);
    no_run(&outcome);
}

#[test]
fn truncated_and_damaged_gzip_files() {
    let (images, _) = idx_set(40, 2);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&images).unwrap();
    let packed = encoder.finish().unwrap();
    let put = |bytes: Vec<u8>| {
        with_data(move |data| {
            fs::remove_file(data.join("train-images-idx3-ubyte")).unwrap();
            fs::write(data.join("train-images-idx3-ubyte.gz"), bytes).unwrap();
        })
    };
    put(packed.clone()).exits(0);
    let cut = put(packed[..packed.len() / 2].to_vec());
    cut.fails("E0502", &["train-images-idx3-ubyte.gz"]);
    no_run(&cut);
    let mut checksum = packed.clone();
    let at = checksum.len() - 6;
    checksum[at] ^= 1;
    let damaged = put(checksum);
    damaged
        .fails("E0502", &["train-images-idx3-ubyte.gz"])
        .renders("E0502-damaged-gzip");
    no_run(&damaged);
}

#[test]
fn images_and_labels_that_do_not_match() {
    let outcome = with_data(|data| {
        fs::write(data.join("train-labels-idx1-ubyte"), idx_set(39, 2).1).unwrap();
    });
    outcome
        .fails("E0502", &["train-labels-idx1-ubyte", "39", "40"])
        .renders("E0502-labels-too-few");
    no_run(&outcome);
}

/// A training on class folders with pictures of two classes; `change` spoils them.
fn folder_training(change: impl FnOnce(&std::path::Path)) -> Netc {
    let netc = Netc::new()
        .file("tiny.net", TINY)
        .args(["train", "tiny.net", "--device", "host"]);
    for class in ["cat", "dog"] {
        for n in 0..6u8 {
            let name = format!("{n}.{}", if n % 2 == 0 { "png" } else { "jpg" });
            write(
                &netc.folder().join("pictures").join(class).join(&name),
                &picture(&name, n * 31 + class.len() as u8),
            );
        }
    }
    change(&netc.folder().join("pictures"));
    netc.set("data.train", "pictures")
        .set("data.test", "pictures")
        .set("train.batch", 4)
        .set("train.epochs", 1)
        .set("output.dir", "run")
}

#[test]
fn corrupt_pictures() {
    let whole = folder_training(|_| ()).run();
    whole.exits(0);
    assert_eq!(
        fs::read_to_string(whole.path("run/classes.txt")).unwrap(),
        "cat\ndog\n"
    );
    let cut = |pictures: &std::path::Path| {
        let jpeg = picture("3.jpg", 3);
        fs::write(pictures.join("cat/3.jpg"), &jpeg[..jpeg.len() * 2 / 3]).unwrap();
    };
    let outcome = folder_training(cut).run();
    outcome
        .fails("E0502", &["cat/3.jpg"])
        .renders("E0502-picture-cut-off");
    no_run(&outcome);
    let outcome = folder_training(|pictures| {
        fs::write(pictures.join("dog/1.jpg"), b"no picture at all").unwrap();
    })
    .run();
    outcome.fails("E0502", &["dog/1.jpg"]);
    no_run(&outcome);
    let skipped = folder_training(cut).set("data.broken", "skip").run();
    skipped.exits(0);
    assert!(
        skipped.stderr.contains("cat/3.jpg") && skipped.stderr.contains("11 training images"),
        "{}",
        skipped.stderr
    );
}

#[test]
fn images_of_another_shape() {
    let outcome = tiny_training()
        .file("tiny.net", "input 1x28x28\nC4 -> P -> F2\n")
        .run();
    outcome
        .fails("E0503", &["1x8x8", "1x28x28", "data.train=data"])
        .renders("E0503-images-of-another-shape");
    no_run(&outcome);
}

#[test]
fn classes_that_do_not_fit() {
    let outcome = tiny_training()
        .file("tiny.net", "input 1x8x8\nC4 -> P -> F1\n")
        .run();
    outcome
        .fails("E0504", &["tiny.net:2:12", "label 1", "1 unit", "F2"])
        .renders("E0504-too-few-units");
    no_run(&outcome);
    let outcome =
        with_data(|data| fs::write(data.join("t10k-labels-idx1-ubyte"), idx_set(20, 3).1).unwrap());
    outcome
        .fails("E0504", &["label 2", "data.test=data"])
        .renders("E0504-label-of-the-test-set");
    no_run(&outcome);
    let other = folder_training(|pictures| {
        write(
            &pictures.with_file_name("others").join("cow/0.png"),
            &picture("0.png", 1),
        );
    });
    let outcome = other.set("data.test", "others").run();
    outcome
        .fails("E0504", &["cow"])
        .renders("E0504-class-of-the-test-set");
    no_run(&outcome);
}

#[test]
fn classes_without_images() {
    let outcome = folder_training(|pictures| fs::create_dir(pictures.join("bird")).unwrap()).run();
    outcome
        .fails("E0505", &["bird"])
        .renders("E0505-class-without-pictures");
    no_run(&outcome);
    let netc = Netc::new()
        .file("tiny.net", TINY)
        .args(["train", "tiny.net", "--device", "host"]);
    fs::create_dir(netc.folder().join("empty")).unwrap();
    let outcome = netc
        .set("data.train", "empty")
        .set("output.dir", "run")
        .run();
    outcome
        .fails("E0505", &["empty"])
        .renders("E0505-no-class-folders");
    no_run(&outcome);
    let outcome = with_data(|data| {
        let (images, labels) = idx_set(0, 2);
        fs::write(data.join("train-images-idx3-ubyte"), images).unwrap();
        fs::write(data.join("train-labels-idx1-ubyte"), labels).unwrap();
    });
    outcome.fails("E0505", &["data"]).renders("E0505-no-images");
    no_run(&outcome);
}

#[test]
fn output_folders_that_cannot_be_written() {
    // Permission bits do not stop root, so: below a file, and where nobody can make a folder.
    for folder in ["tiny.net/run", "/proc/netc/run", "/dev/null/run"] {
        let outcome = tiny_training().set("output.dir", folder).run();
        outcome.fails("E0901", &[folder, "output.dir="]);
        if folder.starts_with("tiny.net") {
            outcome.renders("E0901-folder-below-a-file");
        }
        assert!(outcome.stdout.is_empty());
        assert_eq!(
            files_below(&outcome.path("")).len(),
            5,
            "the network and the data, as before"
        );
    }
}

#[test]
fn a_run_that_is_there_is_kept() {
    let first = tiny_training().run();
    first.exits(0);
    let again = |arguments: &[&str]| {
        let netc = Netc::new()
            .current(&first.path(""))
            .args(["train", "tiny.net", "--device", "host"])
            .args(arguments.iter().copied());
        netc.set("data.train", "data")
            .set("data.test", "data")
            .set("train.batch", 10)
            .set("train.epochs", 1)
            .set("output.dir", "run")
            .run()
    };
    let before = fs::read(first.path("run/final.safetensors")).unwrap();
    again(&[])
        .fails("E0603", &["run", "--force"])
        .renders("E0603-run-already-there");
    assert!(
        before == fs::read(first.path("run/final.safetensors")).unwrap(),
        "it is untouched"
    );
    assert_eq!(
        fs::read_to_string(first.path("run/metrics.jsonl"))
            .unwrap()
            .lines()
            .count(),
        8
    );
    again(&["--force"]).exits(0);
    assert_eq!(
        fs::read_to_string(first.path("run/metrics.jsonl"))
            .unwrap()
            .lines()
            .count(),
        4
    );
}

#[test]
fn two_trainings_into_one_folder() {
    let netc = tiny_training().set("train.epochs", 1_000_000);
    let folder = netc.folder().to_path_buf();
    let mut first = netc.start();
    first.wait_for("step 1/");
    let second = |arguments: &[&str]| {
        let netc = Netc::new()
            .current(&folder)
            .args(["train", "tiny.net", "--device", "host"])
            .args(arguments.iter().copied());
        netc.set("data.train", "data")
            .set("data.test", "data")
            .set("train.batch", 10)
            .set("train.epochs", 1)
            .set("output.dir", "run")
            .run()
    };
    second(&[])
        .fails("E0603", &["in use"])
        .renders("E0603-run-in-use");
    second(&["--force"]).fails("E0603", &["in use"]);
    first.wait_for("step ");
    // The lock dies with the process, however it dies.
    let kept = first.kill();
    second(&["--force"]).exits(0);
    assert!(kept.path().join("run/final.safetensors").exists());
}

#[test]
fn devices_that_are_not_there() {
    for device in ["9:9", "0:99"] {
        let outcome = tiny_training().args(["--device", device]).run();
        outcome.fails("E0701", &[device, "device.select="]);
        no_run(&outcome);
    }
    let netc = |device: &str| {
        let toml = format!("[device]\nselect = \"{device}\"\n");
        Netc::new()
            .file("a.net", "input 1x28x28 F10")
            .file("a.toml", toml)
            .args(["train", "a.net", "--config", "a.toml"])
            .set("output.dir", "run")
            .run()
    };
    let nothing = tiny_training()
        .env("NETC_OPENCL_LIBRARY", "/nowhere/libOpenCL.so")
        .args(["--device", "gpu"])
        .run();
    nothing
        .fails("E0701", &["gpu", "no OpenCL platform"])
        .renders("E0701-no-opencl");
    let outcome = netc("9:9");
    outcome.fails("E0701", &["9:9", "a.toml:2:10"]);
    no_run(&outcome);
    let outcome = netc("hots");
    outcome.fails("E0403", &["hots", "a.toml:2:10", "host"]);
    no_run(&outcome);
}

#[test]
fn damaged_checkpoints() {
    let run = tiny_training().run();
    run.exits(0);
    let file = run.path("run/final.safetensors");
    let bytes = fs::read(&file).unwrap();
    let eval = || {
        Netc::new()
            .current(&run.path(""))
            .args(["eval", "run"])
            .run()
    };
    eval().exits(0);
    let mut flipped = bytes.clone();
    let at = flipped.len() - 9;
    flipped[at] ^= 0x10;
    for damaged in [
        flipped,
        bytes[..bytes.len() - 4].to_vec(),
        b"no checkpoint".to_vec(),
        Vec::new(),
    ] {
        fs::write(&file, damaged).unwrap();
        let outcome = eval();
        outcome.fails("E0601", &["final.safetensors"]);
        assert!(outcome.stdout.is_empty());
    }
    eval()
        .fails("E0601", &["final.safetensors"])
        .renders("E0601-not-a-checkpoint");
    fs::write(&file, &bytes).unwrap();
    fs::write(run.path("run/network.net"), "input 1x8x8\nC5 -> P -> F2\n").unwrap();
    eval()
        .fails("E0602", &["c1.weight", "4", "5"])
        .renders("E0602-another-network");
    // The running statistics are as necessary as the weights.
    fs::write(
        run.path("run/network.net"),
        "input 1x8x8\nC4 -> N(batch) -> P -> F2\n",
    )
    .unwrap();
    eval().fails("E0602", &["n1.running_mean"]);
    fs::remove_file(run.path("run/network.net")).unwrap();
    eval().fails("E0501", &["network.net"]);
}

#[test]
fn batches_too_small_to_normalize_over() {
    let vectors = || tiny_training().file("tiny.net", "input 1x8x8\nF8 -> N(batch) -> F2\n");
    let refused = vectors().set("train.batch", 1).run();
    refused.fails("E0404", &["`n1`", "--set train.batch=2", "tiny.net:2:"]);
    no_run(&refused);
    vectors().set("train.batch", 2).run().exits(0);
}

#[test]
fn losses_that_are_not_finite() {
    let refused = tiny_training().set("optimizer.learning_rate", "1e30").run();
    refused.fails("E0404", &["optimizer.learning_rate=1e30"]);
    no_run(&refused);
    // No ReLU that could die and leave the loss finite.
    let wild = tiny_training()
        .file("tiny.net", "input 1x8x8\nC4(act=none) -> F2\n")
        .set("data.scale", "none")
        .set("train.epochs", 20);
    let outcome = wild.set("optimizer.learning_rate", "1e6").run();
    outcome
        .fails("E0801", &["step", "epoch", "optimizer.learning_rate="])
        .renders("E0801-rate-too-high");
    assert!(!outcome.path("run/final.safetensors").exists());
    let metrics = fs::read_to_string(outcome.path("run/metrics.jsonl")).unwrap();
    for line in metrics.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON has no NaN");
        assert!(line["loss"].is_number(), "{line}");
    }
}

#[test]
fn configurations_with_faults() {
    let cases = [
        ("[train\nepochs = 1\n", "E0401", "a.toml:1:"),
        ("[train]\nepochs = 1\nepochs = 2\n", "E0401", "a.toml:3:1"),
        ("[train]\nepoch = 1\n", "E0402", "a.toml:2:1"),
        ("[trian]\nepochs = 1\n", "E0402", "a.toml:1:2"),
        ("[train]\nepochs = \"many\"\n", "E0403", "a.toml:2:10"),
        ("[optimizer]\nkind = \"sdg\"\n", "E0403", "a.toml:2:8"),
        ("[train]\nepochs = 1\nbatch = 0\n", "E0404", "a.toml:3:9"),
        ("[regularization]\ndropout = 1.0\n", "E0404", "a.toml:2:11"),
        (
            "[optimizer]\nschedule = { kind = \"constant\", every = 3 }\n",
            "E0405",
            "a.toml:2:",
        ),
    ];
    for (toml, code, place) in cases {
        let outcome = Netc::new()
            .file("a.net", "input 1x28x28 F10")
            .file("a.toml", toml)
            .args(["train", "a.net", "--config", "a.toml"])
            .set("output.dir", "run")
            .run();
        outcome.fails(code, &[place]);
        no_run(&outcome);
    }
    let all = Netc::new()
        .file("a.net", "input 1x28x28 F10")
        .file("a.toml", "[train]\nepoch = 1\nbatch = 0\n")
        .args(["check", "a.net", "--config", "a.toml"])
        .run();
    all.fails("E0402", &["E0404"]);
    let outcome = Netc::new()
        .file("a.net", "input 1x28x28 F10")
        .args(["train", "a.net", "--set", "train.epochs=-1"])
        .set("output.dir", "run")
        .run();
    outcome.fails("E0404", &["train.epochs=-1"]);
    no_run(&outcome);
    let larger = tiny_training().set("train.batch", 41).run();
    larger
        .fails("E0405", &["41", "40"])
        .renders("E0405-batch-larger-than-the-set");
    no_run(&larger);
}

#[test]
fn networks_with_faults() {
    let outcome = tiny_training()
        .file("tiny.net", "input 1x8x8\nC4 -> Q -> F2\n")
        .run();
    outcome.fails("E0201", &["tiny.net:2:7"]);
    no_run(&outcome);
    // A shape that only the data tells.
    let outcome = tiny_training()
        .file("tiny.net", "C4(kernel=9, pad=0) -> F2\n")
        .run();
    outcome.fails("E0301", &["tiny.net:1:1", "9x9", "8x8"]);
    no_run(&outcome);
    let outcome = Netc::new()
        .file("a.net", [0x43, 0xff, 0xfe])
        .args(["check", "a.net"])
        .run();
    outcome.fails("E0106", &["a.net"]);
}

#[test]
fn pictures_to_predict_that_are_not_there() {
    let run = tiny_training().run();
    run.exits(0);
    write(&run.path("cut.jpg"), &picture("cut.jpg", 1)[..200]);
    write(&run.path("good.png"), &picture("good.png", 1));
    let outcome = Netc::new()
        .current(&run.path(""))
        .args(["predict", "run", "good.png", "nowhere.png", "cut.jpg"])
        .run();
    outcome.fails("E0501", &["nowhere.png", "E0502", "cut.jpg"]);
    assert!(outcome.stdout.is_empty(), "{}", outcome.stdout);
}
