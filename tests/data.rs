//! Data on its way into a training: every form gives the same images, whatever is kept, by any number of threads; what
//! breaks on the way is told.

use std::fs;
use std::path::Path;

use netc::config::Data;
use netc::data::{Dataset, Part, open};
use serde_json::Value;

use crate::harness::{Netc, Outcome, TINY, files_below, picture, write};

/// `metrics.jsonl`, a value a step.
fn metrics(outcome: &Outcome, run: &str) -> Vec<Value> {
    let text = fs::read_to_string(outcome.path(run).join("metrics.jsonl")).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Fashion-mini's images as 3x32x32: grey in all channels, in the middle of a dark frame. A few, of all classes.
fn framed(part: Part, count: usize) -> Vec<[u8; 3072]> {
    let set: Dataset = open("fashion-mini", part, &Data::default(), None).unwrap();
    let of = |index: usize| {
        let mut grey = [0; 784];
        set.load(index * set.len() / count, &mut grey).unwrap();
        let mut framed = [0; 3072];
        for (i, &value) in grey.iter().enumerate() {
            for channel in 0..3 {
                framed[channel * 1024 + (i / 28 + 2) * 32 + i % 28 + 2] =
                    value / (1 + channel as u8);
            }
        }
        framed
    };
    (0..count).map(of).collect()
}

/// The same images as CIFAR's files and as IDX files whose rows are the three channels, one below the other.
fn both_forms(folder: &Path, classes: usize) {
    for (part, names, prefix) in [
        (
            Part::Train,
            ["data_batch_1.bin", "data_batch_2.bin", "train.bin"],
            "train",
        ),
        (Part::Test, ["test_batch.bin", "", "test.bin"], "t10k"),
    ] {
        let images = framed(part, 2 * classes.max(50));
        let label = |n: usize| (n * 7 % classes) as u8;
        let record = |n: usize| {
            let mut bytes = if classes == 100 {
                vec![label(n) / 5]
            } else {
                Vec::new()
            };
            bytes.push(label(n));
            bytes.extend(images[n]);
            bytes
        };
        let records: Vec<Vec<u8>> = (0..images.len()).map(record).collect();
        let cifar = folder.join("cifar");
        if classes == 100 {
            write(&cifar.join(names[2]), &records.concat());
        } else if names[1].is_empty() {
            write(&cifar.join(names[0]), &records.concat());
        } else {
            write(&cifar.join(names[0]), &records[..60].concat());
            write(&cifar.join(names[1]), &records[60..].concat());
        }
        let size = |n: usize| (n as u32).to_be_bytes();
        let head = [
            vec![0, 0, 8, 3],
            [size(images.len()), size(96), size(32)].concat(),
        ]
        .concat();
        let idx = folder.join("idx");
        write(
            &idx.join(format!("{prefix}-images-idx3-ubyte")),
            &[head, images.concat()].concat(),
        );
        let labels: Vec<u8> = (0..images.len()).map(label).collect();
        let head = [vec![0, 0, 8, 1], size(images.len()).to_vec()].concat();
        write(
            &idx.join(format!("{prefix}-labels-idx1-ubyte")),
            &[head, labels].concat(),
        );
    }
}

#[test]
fn cifar_files_train_as_the_same_images_from_idx_files() {
    for classes in [10, 100] {
        let train = |form: &str, input: &str| {
            let netc = Netc::new()
                .file("a.net", format!("input {input}\nF20 -> F{classes}\n"))
                .args(["train", "a.net", "--device", "host", "--precision", "f64"]);
            both_forms(netc.folder(), classes);
            let netc = netc
                .set("data.train", form)
                .set("data.test", form)
                .set("train.batch", 20)
                .set("train.epochs", 2)
                .set("output.dir", "run");
            let outcome = netc.run();
            outcome.exits(0);
            metrics(&outcome, "run")
        };
        let cifar = train("cifar", "3x32x32");
        let idx = train("idx", "1x96x32");
        assert_eq!(cifar.len(), 2 * 2 * classes.max(50) / 20);
        assert_eq!(cifar.len(), idx.len());
        for (a, b) in cifar.iter().zip(&idx) {
            assert_eq!(a["accuracy"], b["accuracy"]);
            assert_eq!(a["test_accuracy"], b["test_accuracy"]);
            for loss in ["loss", "test_loss"] {
                let (a, b) = (
                    a[loss].as_f64().unwrap_or(0.0),
                    b[loss].as_f64().unwrap_or(0.0),
                );
                // The orders of summing differ.
                assert!((a - b).abs() <= 1e-9 * a, "{loss}: {a} {b}");
            }
        }
    }
}

/// A training on class folders, `cat` and `dog` of eight pictures each, `change` made to them first.
fn folder_training(change: impl FnOnce(&Path)) -> Netc {
    let netc = Netc::new()
        .file("tiny.net", TINY)
        .args(["train", "tiny.net", "--device", "host"]);
    for class in ["cat", "dog"] {
        for n in 0..8u8 {
            let name = format!("{n}.{}", if n % 2 == 0 { "png" } else { "jpg" });
            let path = netc.folder().join("pictures").join(class).join(&name);
            write(&path, &picture(&name, n * 31 + class.len() as u8));
        }
    }
    change(&netc.folder().join("pictures"));
    netc.set("data.train", "pictures")
        .set("data.test", "pictures")
        .set("train.batch", 4)
        .set("train.epochs", 2)
        .set("output.dir", "run")
}

#[test]
fn workers_and_cache_change_no_bit_and_augmentation_does() {
    let bits = |sets: &[(&str, &str)]| {
        let netc = folder_training(|_| ());
        let netc = sets
            .iter()
            .fold(netc, |netc, (key, value)| netc.set(key, value));
        let outcome = netc.run();
        outcome.exits(0);
        fs::read(outcome.path("run/final.safetensors")).unwrap()
    };
    let plain = bits(&[("data.workers", "1"), ("data.cache", "never")]);
    assert!(plain == bits(&[("data.workers", "3")]));
    // A crop that leaves no choice is none.
    assert!(plain == bits(&[("data.crop", "8"), ("data.resize", "8")]));
    for key in ["flip=true", "shift=1", "brightness=0.4"] {
        let (name, value) = key.split_once('=').unwrap();
        let key = format!("data.augment.{name}");
        let one = bits(&[
            (&key, value),
            ("data.workers", "1"),
            ("data.cache", "never"),
        ]);
        assert!(one != plain, "{key}");
        assert!(
            one == bits(&[(&key, value), ("data.workers", "4")]),
            "{key}"
        );
    }
    let cropped = [("data.crop", "8"), ("data.resize", "12")];
    let one = bits(&[cropped[0], cropped[1], ("data.workers", "1")]);
    let never = [
        cropped[0],
        cropped[1],
        ("data.workers", "5"),
        ("data.cache", "never"),
    ];
    assert!(one != plain && one == bits(&never));
}

#[test]
fn a_picture_that_vanishes_while_training_is_named() {
    for policy in ["stop", "skip"] {
        let netc = folder_training(|_| ())
            .set("data.cache", "never")
            .set("data.broken", policy)
            .set("train.epochs", 1_000_000);
        let gone = netc.folder().join("pictures/dog/3.jpg");
        let mut running = netc.start();
        running.wait_for("step 1/");
        fs::remove_file(gone).unwrap();
        let outcome = running.wait();
        outcome.fails("E0501", &["dog/3.jpg"]);
        assert!(!outcome.path("run/final.safetensors").exists());
        outcome.tells("netc train --resume run");
        assert!(outcome.path("run/checkpoints/last.safetensors").exists());
        outcome.tells("put it back as it was when the training began");
        assert!(!outcome.stderr.contains("data.broken"), "{policy}");
    }
}

#[test]
fn a_picture_that_is_found_broken_while_training_is_repaired_and_the_training_goes_on() {
    // Without a mean pictures are not decoded beforehand, and only decoding finds what is wrong in the middle.
    let whole = picture("4.png", 4 * 31 + 3);
    let scribbled = |pictures: &Path| {
        let mut bytes = whole.clone();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x55;
        fs::write(pictures.join("cat/4.png"), bytes).unwrap();
    };
    let broken = folder_training(scribbled).set("data.mean", "none").run();
    broken.fails("E0502", &["cat/4.png", "then `netc train --resume"]);
    fs::write(broken.path("pictures/cat/4.png"), &whole).unwrap();
    let again = Netc::new()
        .current(&broken.path(""))
        .args(["train", "--resume", "run"])
        .run();
    again.exits(0);
    assert!(broken.path("run/final.safetensors").exists());
}

#[test]
fn a_picture_that_was_cut_off_is_found_before_the_first_step() {
    for (file, key, value) in [
        ("pictures/cat/4.png", "data.mean", "none"),
        ("pictures/cat/3.jpg", "data.mean", "none"),
        ("tests/cat/4.png", "data.test", "tests"),
        ("tests/cat/3.jpg", "data.test", "tests"),
    ] {
        let cut = |pictures: &Path| {
            let bytes = picture(file, 1);
            let place = pictures.with_file_name(file);
            write(&place, &bytes[..bytes.len() - 5]);
        };
        let outcome = folder_training(cut).set(key, value).run();
        outcome.fails("E0502", &["before the end of the image"]);
        assert!(!outcome.path("run").exists(), "{file}");
    }
}

#[test]
fn pictures_with_other_contents_under_the_same_names_are_no_longer_those_of_the_run() {
    let trained = folder_training(|_| ()).run();
    trained.exits(0);
    let resume = || {
        let netc = Netc::new().current(&trained.path(""));
        netc.args(["train", "--resume", "run"])
            .set("train.epochs", 3)
            .run()
    };
    let file = trained.path("pictures/cat/2.png");
    let mut other = picture("2.png", 1);
    other.extend(fs::read(&file).unwrap());
    fs::write(&file, other).unwrap();
    resume().fails("E0506", &["pictures"]);
    // Written anew as it was.
    fs::write(&file, picture("2.png", 2 * 31 + 3)).unwrap();
    resume().exits(0);
}

#[test]
fn pictures_in_memory_are_read_once() {
    let netc = folder_training(|_| ()).set("train.epochs", 1_000_000);
    let folder = netc.folder().join("pictures");
    let mut running = netc.start();
    // The test images were only looked at before the first epoch's end.
    running.wait_for("epoch 1:");
    fs::remove_dir_all(folder).unwrap();
    running.wait_for("epoch 30:");
    running.signal("TERM");
    running.wait().exits(143);
}

#[test]
fn broken_pictures_are_counted_and_listed_or_stop_everything() {
    let spoil = |pictures: &Path| {
        let jpeg = picture("3.jpg", 3);
        write(&pictures.join("cat/3.jpg"), &jpeg[..jpeg.len() / 2]);
        write(&pictures.join("dog/4.png"), b"no picture");
        // A folder is no picture, whatever its name; a link to nothing is a picture that cannot be read.
        fs::create_dir(pictures.join("dog/9.jpg")).unwrap();
        std::os::unix::fs::symlink("nowhere", pictures.join("dog/link.jpg")).unwrap();
    };
    let skipped = folder_training(spoil).set("data.broken", "skip").run();
    skipped.exits(0);
    assert!(
        skipped
            .stderr
            .contains("14 training images, 14 test images"),
        "{}",
        skipped.stderr
    );
    let files = ["cat/3.jpg", "dog/4.png", "dog/link.jpg"];
    for file in files {
        skipped.tells(file);
    }
    assert!(!skipped.stderr.contains("9.jpg"), "{}", skipped.stderr);
    for set in ["training", "test"] {
        skipped.tells(&format!(
            "warning[E0502]: 3 of 17 {set} images are left out"
        ));
    }
    assert!(!skipped.stderr.contains("error["), "{}", skipped.stderr);
    let line = |part: &str| files.map(|file| format!("{part} {file}\n")).concat();
    let list = fs::read_to_string(skipped.path("run/left-out.txt")).unwrap();
    assert_eq!(list, line("train") + &line("test"));
    let evaluated = Netc::new()
        .current(&skipped.path(""))
        .args(["eval", "run", "--json"])
        .run();
    assert_eq!(evaluated.json()["images"], 14);
    evaluated.tells("warning[E0502]: 3 of 17 images are left out");
    let bench = |broken: &str| {
        Netc::new()
            .current(&skipped.path(""))
            .args(["bench", "--data", "pictures", "--seconds", "0", "--json"])
            .set("data.broken", broken)
            .set("data.crop", 6)
            .run()
    };
    assert_eq!(bench("skip").json()["images"], 14);
    bench("skip").tells("warning[E0502]: 3 of 17 images are left out");
    // The order is random, and any of the three may come first.
    bench("stop").exits(1).tells("set `data.broken = \"skip\"`");
    for mean in ["pixel", "none"] {
        // Without a mean images are not decoded, but looked at.
        let stopped = folder_training(spoil).set("data.mean", mean).run();
        stopped.fails("E0502", &["cat/3.jpg"]);
        assert!(
            !stopped.path("run").exists(),
            "{:?}",
            files_below(&stopped.path("run"))
        );
    }
    let link = |pictures: &Path| {
        std::os::unix::fs::symlink("nowhere", pictures.join("cat/link.jpg")).unwrap();
    };
    folder_training(link)
        .run()
        .fails("E0501", &["cat/link.jpg"]);
    let all = |pictures: &Path| {
        for file in files_below(&pictures.join("dog")) {
            fs::write(pictures.join("dog").join(file), b"broken").unwrap();
        }
    };
    let none = folder_training(all).set("data.broken", "skip").run();
    none.fails("E0505", &["every picture of class `dog`", "dog/0.png"]);
}

#[test]
fn of_many_broken_pictures_the_first_are_shown_and_the_rest_counted() {
    let spoil = |pictures: &Path| {
        for n in 10..35 {
            write(&pictures.join(format!("dog/{n}.png")), b"no picture");
        }
    };
    let skipped = folder_training(spoil).set("data.broken", "skip").run();
    skipped.exits(0);
    skipped
        .tells("25 of 41 training images are left out")
        .tells("dog/29.png")
        .tells("and 5 more");
    assert!(!skipped.stderr.contains("dog/30.png"), "{}", skipped.stderr);
    let list = fs::read_to_string(skipped.path("run/left-out.txt")).unwrap();
    assert_eq!(list.lines().count(), 50);
}

#[test]
fn a_line_of_pixels_takes_no_memory_of_what_it_would_be_resized_to() {
    // The longer one would become 256 rows of 15 million pixels.
    let netc = Netc::new().args(["bench", "--seconds", "0", "--data", "lines", "--json"]);
    for (name, width) in [("a.png", 4000), ("b.png", 60_000)] {
        let line = image::GrayImage::from_fn(width, 1, |x, _| image::Luma([x as u8]));
        let mut bytes = std::io::Cursor::new(Vec::new());
        line.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        write(&netc.folder().join("lines/a").join(name), bytes.get_ref());
    }
    let netc = netc.set("data.resize", 256).set("data.crop", 227);
    let report = netc.run().json();
    assert_eq!(report["images"], 2);
    if cfg!(target_os = "linux") {
        let peak = report["peak_resident_bytes"].as_u64().unwrap();
        assert!(peak < 200 << 20, "{peak} bytes");
    }
}

#[test]
fn a_crop_counts_for_every_kind_of_set() {
    let netc = |key: &str, value: usize| {
        let netc = Netc::new()
            .file("a.net", "F4 -> F10\n")
            .file("a.toml", format!("[data]\n{key} = {value}\n"));
        both_forms(netc.folder(), 10);
        netc.args(["train", "a.net", "--config", "a.toml", "--device", "host"])
            .set("data.train", "cifar")
            .set("data.test", "cifar")
            .set("train.batch", 20)
            .set("train.epochs", 1)
            .set("output.dir", "run")
    };
    let bits = |crop, workers: usize| {
        let outcome = netc("crop", crop).set("data.workers", workers).run();
        outcome.exits(0);
        fs::read(outcome.path("run/final.safetensors")).unwrap()
    };
    let cropped = bits(28, 1);
    assert!(cropped == bits(28, 3));
    assert!(cropped.len() < bits(32, 1).len(), "a smaller input");
    // What is for pictures of a folder changes nothing here.
    assert!(bits(33, 1) == bits(32, 1));
    let resized = netc("resize", 40).run();
    resized.exits(0);
    assert!(fs::read(resized.path("run/final.safetensors")).unwrap() == bits(32, 1));
}

#[test]
fn pictures_are_scaled_to_what_was_cropped_in_training() {
    let run = Netc::new()
        .args([
            "train",
            "--expr",
            "C8 -> P -> F32 -> F10",
            "--device",
            "host",
        ])
        .set("data.crop", 24)
        .set("train.epochs", 4)
        .set("output.dir", "run")
        .run();
    run.exits(0);
    // One image at its own size and twice as large.
    let set: Dataset = open("fashion-mini", Part::Test, &Data::default(), None).unwrap();
    let mut grey = vec![0; 784];
    let mut same = 0;
    for index in 0..20 {
        set.load(index * 25, &mut grey).unwrap();
        let small = image::GrayImage::from_raw(28, 28, grey.clone()).unwrap();
        let large = image::GrayImage::from_fn(56, 56, |x, y| *small.get_pixel(x / 2, y / 2));
        small.save(run.path("small.png")).unwrap();
        large.save(run.path("large.png")).unwrap();
        let answers = Netc::new()
            .current(&run.path(""))
            .args([
                "predict",
                "run",
                "small.png",
                "large.png",
                "--json",
                "--device",
                "host",
            ])
            .run();
        answers.exits(0);
        let answers: Value = serde_json::from_str(&answers.stdout).unwrap();
        let class = |at: usize| answers["images"][at]["classes"][0]["class"].clone();
        assert!(class(0).is_string(), "{answers}");
        same += usize::from(class(0) == class(1));
    }
    assert!(same >= 18, "{same} of 20 are seen alike");
}

#[test]
fn bench_measures_data_alone() {
    let netc = |arguments: &[&str]| {
        let made = folder_training(|_| ());
        Netc::new()
            .current(made.folder())
            .args(["bench", "--seconds", "0"])
            .args(arguments.iter().copied())
            .run()
    };
    let set = ["--data", "pictures", "--json"];
    let report = netc(
        &[
            &set[..],
            &[
                "--set",
                "data.crop=6",
                "--set",
                "data.workers=2",
                "--batch",
                "5",
            ],
        ]
        .concat(),
    )
    .json();
    assert_eq!(
        (&report["mode"], &report["set_images"]),
        (&"data".into(), &16.into())
    );
    assert_eq!(report["shape"], serde_json::json!([1, 6, 6]));
    assert_eq!(
        (&report["images"], &report["batch"]),
        (&16.into(), &5.into())
    );
    assert_eq!(report["workers"], 2);
    assert!(report["images_per_second"].as_f64().unwrap() > 0.0);
    if cfg!(target_os = "linux") {
        assert!(
            report["peak_resident_bytes"].as_u64().unwrap() > 1 << 20,
            "{report}"
        );
    }
    let shaped = netc(&[&set[..], &["tiny.net"]].concat()).json();
    assert_eq!(
        shaped["shape"],
        serde_json::json!([1, 8, 8]),
        "the network's input"
    );
    let given = netc(&[&set[..], &["--input", "3x7x7"]].concat()).json();
    assert_eq!(given["shape"], serde_json::json!([3, 7, 7]));
    netc(&["--data", "fashion-mini"])
        .exits(0)
        .says("2,000 images of 1x28x28");
    netc(&["--data", "nowhere"]).fails("E0501", &["nowhere"]);
    let nothing = netc(&[]);
    assert!(
        nothing.exits(2).stderr.contains("--data SET"),
        "{}",
        nothing.stderr
    );
}
