//! Trainings that end before their end, in every way, and go on: to the bit.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use netc::random::{Purpose, Stream};
use netc::run::checkpoint;
use rand::RngExt as _;

use crate::harness::{
    Netc, files_below, idx_set, long, number_of, picture, root, tiny_training, write,
};

/// Everything that has a state or is drawn: moments, running statistics, dropout, balance, variations of the images, and a
/// rate that follows the losses of images that are held back.
const NETWORK: &str =
    "input 1x8x8\nC6 -> N(batch, affine) -> P -> F16(dropout=0.5) -> N(batch, affine) -> F3\n";
const SETTINGS: [(&str, &str); 8] = [
    ("data.validation", "0.2"),
    (
        "data.augment",
        "{ flip = true, shift = 1, brightness = 0.1 }",
    ),
    ("train.batch", "7"),
    ("train.epochs", "6"),
    ("optimizer.kind", "adam"),
    (
        "optimizer.schedule",
        "{ kind = \"plateau\", patience = 0, factor = 0.5, warmup = 1 }",
    ),
    ("train.checkpoint", "{ every = \"3 steps\", keep = 2 }"),
    ("output.dir", "run"),
];

/// A training of [`NETWORK`] with all of [`SETTINGS`].
fn training(device: &str) -> Netc {
    let (images, labels) = idx_set(50, 3);
    let mut netc = Netc::new()
        .file("a.net", NETWORK)
        .args(["train", "a.net", "--device", device]);
    for part in ["train", "t10k"] {
        netc = netc
            .file(&format!("data/{part}-images-idx3-ubyte"), &images)
            .file(&format!("data/{part}-labels-idx1-ubyte"), &labels);
    }
    netc = netc.set("data.train", "data").set("data.test", "data");
    SETTINGS
        .iter()
        .fold(netc, |netc, (key, value)| netc.set(key, value))
}

/// Goes on with the run in a folder.
fn resume(folder: &Path) -> Netc {
    Netc::new()
        .current(folder)
        .args(["train", "--resume", "run"])
}

fn bytes(path: PathBuf) -> Vec<u8> {
    fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The lines of a run's metrics without what a clock says.
fn figures(run: &Path) -> Vec<serde_json::Value> {
    let text = String::from_utf8(bytes(run.join("metrics.jsonl"))).unwrap();
    let line = |line: &str| {
        let mut figures: serde_json::Value = serde_json::from_str(line).unwrap();
        let object = figures.as_object_mut().unwrap();
        object.remove("seconds");
        object.remove("images_per_second");
        figures
    };
    text.lines().map(line).collect()
}

#[track_caller]
fn same_run(whole: &Path, resumed: &Path) {
    assert_eq!(figures(whole), figures(resumed));
    let file = "final.safetensors";
    assert!(
        bytes(whole.join(file)) == bytes(resumed.join(file)),
        "the final parameters differ"
    );
}

/// Runs are killed at random moments and go on; some more than once.
#[track_caller]
fn kills(device: &str, count: u64, seed: u64) {
    let whole = training(device).run();
    whole.exits(0);
    let steps = figures(&whole.path("run")).len() as u64;
    let mut random = Stream::new(seed, Purpose::Init, 0, 0);
    let mut done = 0;
    while done < count {
        let mut running = training(device).start();
        let folder = loop {
            // After some step's line, or before the first, and then at any moment of what follows.
            let words = match random.random_range(0..steps) {
                0 => "device: ".to_owned(),
                step => format!("step {step}/"),
            };
            running.reaches(&words);
            std::thread::sleep(Duration::from_micros(random.random_range(0..3000)));
            let (folder, killed) = running.kill_if_alive();
            done += u64::from(killed);
            let begun = folder.path().join("run/config.toml").exists();
            if done >= count || !killed || !begun || random.random_range(0..3) > 0 {
                break folder;
            }
            running = Netc::in_folder(folder)
                .args(["train", "--resume", "run"])
                .start();
        };
        if !folder.path().join("run/config.toml").exists() {
            // It was killed before there was a run.
            continue;
        }
        let outcome = Netc::in_folder(folder)
            .args(["train", "--resume", "run"])
            .run();
        outcome.exits(0);
        same_run(&whole.path("run"), &outcome.path("run"));
    }
}

#[test]
fn killed_runs_go_on_to_the_bit_on_the_host() {
    kills(
        "host",
        number_of("NETC_KILLS", if long() { 50 } else { 6 }),
        1,
    );
}

#[test]
fn killed_runs_go_on_to_the_bit_on_opencl() {
    kills(
        "cpu",
        number_of("NETC_KILLS", if long() { 50 } else { 6 }),
        2,
    );
}

/// The libraries that stand before the C library, each built once.
static FAULTY_WRITE: LazyLock<PathBuf> = LazyLock::new(|| faulty("write"));
static FAULTY_CLOCK: LazyLock<PathBuf> = LazyLock::new(|| faulty("clock"));

fn faulty(what: &str) -> PathBuf {
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("libfaulty_{what}.so"));
    let built = std::process::Command::new("cc")
        .args(["-shared", "-fPIC", "-Wall", "-Werror", "-o"])
        .arg(&library)
        .arg(root().join(format!("tests/faulty_{what}.c")))
        .arg("-ldl")
        .status()
        .expect("the C compiler is there");
    assert!(built.success(), "faulty_{what}.c does not build");
    library
}

/// The step of a run's best checkpoint.
fn best(run: &Path) -> String {
    let mut told = checkpoint::facts(&run.join("checkpoints/best.safetensors")).unwrap();
    told.remove("step").unwrap()
}

/// A run is killed within each write and before each sync, link and removal of its files.
#[test]
fn a_run_killed_while_it_writes_goes_on_to_the_bit() {
    let whole = training("host").run();
    whole.exits(0);
    let (mut before, mut halves, mut after) = (0, 0, 0);
    for call in 1.. {
        let mut dying = training("host")
            .env("LD_PRELOAD", &*FAULTY_WRITE)
            .env("NETC_DIES_AT", call.to_string())
            .start();
        assert!(!dying.reaches("panicked"));
        let (held, killed) = dying.kill_if_alive();
        if !killed {
            break;
        }
        let folder = held.path().to_path_buf();
        let left = files_below(&folder);
        halves += usize::from(left.iter().any(|name| name.contains("checkpoints/.netc-")));
        if left
            .iter()
            .any(|name| name == "run/checkpoints/last.safetensors")
        {
            after += 1;
        }
        let more = if folder.join("run/config.toml").exists() {
            resume(&folder).run()
        } else {
            before += 1;
            training("host").current(&folder).args(["--force"]).run()
        };
        more.exits(0);
        same_run(&whole.path("run"), &folder.join("run"));
        assert_eq!(best(&folder.join("run")), best(&whole.path("run")));
        let left = files_below(&folder);
        assert!(!left.iter().any(|name| name.contains(".netc-")), "{left:?}");
    }
    assert!(
        before > 0 && halves > 30 && after > 50,
        "{before} {halves} {after}"
    );
}

#[test]
fn stopped_by_a_signal_and_gone_on_it_is_the_same_run() {
    for signal in ["INT", "TERM"] {
        let whole = training("host").run();
        let mut running = training("host").start();
        running.wait_for("step 10/");
        running.signal(signal);
        let stopped = running.wait();
        stopped.exits(if signal == "INT" { 130 } else { 143 });
        stopped.tells("netc train --resume run");
        let more = resume(&stopped.path("")).run();
        more.exits(0).tells("goes on after step");
        same_run(&whole.path("run"), &stopped.path("run"));
    }
}

#[test]
fn more_epochs_are_those_of_a_longer_run() {
    let whole = training("host").run();
    let short = training("host").set("train.epochs", 2).run();
    short.exits(0);
    resume(&short.path(""))
        .run()
        .exits(0)
        .tells("all 2 epochs are done");
    let further = resume(&short.path("")).set("train.epochs", 6).run();
    further.exits(0);
    same_run(&whole.path("run"), &short.path("run"));
    let config = String::from_utf8(bytes(short.path("run/config.toml"))).unwrap();
    assert!(config.contains("epochs = 6"), "{config}");
}

#[test]
fn a_run_that_ended_early_goes_on_where_it_may() {
    let hasty = || training("host").set("optimizer.learning_rate", 0.3);
    let ended = hasty().set("train.stop_after", 1).run();
    ended.exits(0);
    let done = figures(&ended.path("run")).len();
    assert!(done < 30, "it did not end early");
    let again = resume(&ended.path("")).run();
    again
        .exits(0)
        .tells("`train.stop_after` has ended it after");
    assert_eq!(figures(&ended.path("run")).len(), done);
    let on = resume(&ended.path("")).set("train.stop_after", 0).run();
    on.exits(0);
    same_run(&hasty().run().path("run"), &ended.path("run"));
}

#[test]
fn final_parameters_stay_until_there_is_a_later_checkpoint() {
    let whole = training("host").run();
    let short = training("host").set("train.epochs", 2).run();
    let folder = short.path("");
    let last = folder.join("run/final.safetensors");
    let kept = bytes(last.clone());
    // It dies at any moment of being trained further.
    copy(&folder.join("run"), &folder.join("short"));
    let (mut stayed, mut gone) = (0, 0);
    for call in 1.. {
        fs::remove_dir_all(folder.join("run")).unwrap();
        copy(&folder.join("short"), &folder.join("run"));
        let mut dying = resume(&folder)
            .set("train.epochs", 6)
            .env("LD_PRELOAD", &*FAULTY_WRITE)
            .env("NETC_DIES_AT", call.to_string())
            .start();
        dying.reaches("panicked");
        if !dying.kill_if_alive().1 {
            break;
        }
        stayed += u64::from(last.exists() && kept == bytes(last.clone()));
        gone += u64::from(!last.exists());
        let config = String::from_utf8(bytes(folder.join("run/config.toml"))).unwrap();
        if config.contains("epochs = 6") {
            // It is not taken for done, and comes to the same end.
            resume(&folder).run().exits(0);
            same_run(&whole.path("run"), &folder.join("run"));
            assert_eq!(best(&folder.join("run")), best(&whole.path("run")));
        } else {
            resume(&folder)
                .run()
                .exits(0)
                .tells("all 2 epochs are done");
            assert!(kept == bytes(last.clone()));
        }
    }
    assert!(stayed > 10 && gone > 10, "{stayed} {gone}");
    // Where only final parameters are left they are not trained over.
    fs::remove_dir_all(folder.join("run/checkpoints")).unwrap();
    let kept = bytes(last.clone());
    resume(&folder)
        .set("train.epochs", 7)
        .run()
        .fails("E0601", &["no checkpoint", "--from run"]);
    assert!(kept == bytes(last));
    resume(&folder)
        .run()
        .exits(0)
        .tells("all 6 epochs are done");
}

/// Where in a file these bytes end.
#[track_caller]
fn end_of(contents: &[u8], words: &[u8]) -> usize {
    let at = contents.windows(words.len()).position(|part| part == words);
    at.expect("the words") + words.len()
}

#[test]
fn what_a_checkpoint_says_is_verified_too() {
    let run = training("host").set("train.epochs", 2).run();
    let folder = run.path("");
    let checkpoints = folder.join("run/checkpoints");
    for file in files_below(&checkpoints) {
        if file != "last.safetensors" {
            fs::remove_file(checkpoints.join(file)).unwrap();
        }
    }
    fs::remove_file(folder.join("run/final.safetensors")).unwrap();
    let place = checkpoints.join("last.safetensors");
    let text = bytes(place.clone());
    let name = end_of(&text, b"tested");
    let at = name + end_of(&text[name..], b":");
    let mut other = text.clone();
    assert_eq!(other[at], b'2');
    other[at] = b'0';
    fs::write(&place, other).unwrap();
    let more = || resume(&folder).set("train.epochs", 6).run();
    more().fails("E0601", &["its checksum is another"]);
    fs::write(&place, text).unwrap();
    // So is the mean that the images are less of.
    let place = folder.join("run/mean.safetensors");
    let mean = bytes(place.clone());
    let mut other = mean.clone();
    *other.last_mut().unwrap() ^= 1;
    fs::write(&place, other).unwrap();
    more().fails("E0601", &["the mean in `run`"]);
    fs::write(&place, mean).unwrap();
    more().exits(0);
}

#[test]
fn the_newest_whole_checkpoint_is_taken() {
    let short = training("host").set("train.epochs", 2).run();
    let folder = short.path("run/checkpoints");
    let best = checkpoint::facts(&folder.join("best.safetensors")).unwrap()["step"].clone();
    let last = bytes(folder.join("last.safetensors"));
    // Its other names share its bytes.
    fs::remove_file(folder.join("last.safetensors")).unwrap();
    fs::write(folder.join("last.safetensors"), &last[..last.len() / 2]).unwrap();
    for file in files_below(&folder) {
        let step = file.strip_prefix("step-");
        let step = step.and_then(|rest| rest.strip_suffix(".safetensors"));
        if step.is_some_and(|step| step.parse::<u64>().unwrap() >= best.parse().unwrap()) {
            fs::remove_file(folder.join(file)).unwrap();
        }
    }
    let on = resume(&short.path("")).set("train.epochs", 6).run();
    on.exits(0)
        .tells(&format!("goes on after step {best} of 30"));
    same_run(&training("host").run().path("run"), &short.path("run"));
}

#[test]
fn other_test_images_are_told() {
    let (images, labels) = idx_set(40, 3);
    let short = training("host").set("train.epochs", 2).run();
    let folder = short.path("");
    fs::create_dir_all(folder.join("other")).unwrap();
    fs::write(folder.join("other/t10k-images-idx3-ubyte"), images).unwrap();
    fs::write(folder.join("other/t10k-labels-idx1-ubyte"), labels).unwrap();
    resume(&folder)
        .set("train.epochs", 3)
        .set("data.test", "other")
        .run()
        .exits(0)
        .tells("the test images are other ones");
}

#[test]
fn lines_come_once_and_what_is_no_line_is_left_out() {
    let mut running = training("host").start();
    running.wait_for("step 12/");
    running.signal("TERM");
    let stopped = running.wait();
    let place = stopped.path("run/metrics.jsonl");
    let text = String::from_utf8(bytes(place.clone())).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    let last = lines[lines.len() - 1];
    lines.insert(4, "garbage");
    lines.push(last);
    fs::write(&place, lines.join("\n") + "\n").unwrap();
    resume(&stopped.path("")).run().exits(0);
    let now = figures(&stopped.path("run"));
    let steps = now.iter().map(|line| line["step"].as_u64().unwrap());
    assert_eq!(steps.collect::<Vec<_>>(), (1..=30).collect::<Vec<_>>());
    let repro = || {
        let netc = Netc::new().current(&stopped.path(""));
        netc.args(["repro", "run"]).run()
    };
    repro().exits(0).says("the same: 30 steps");
    // A run whose first and last lines are lost is compared by its steps, and to its end.
    let text = String::from_utf8(bytes(place.clone())).unwrap();
    let lines: Vec<&str> = text.lines().skip(5).take(20).collect();
    fs::write(&place, lines.join("\n") + "\n").unwrap();
    repro().exits(0).says("the same: 20 steps, and ");
}

#[test]
fn without_a_checkpoint_it_begins_anew_and_a_finished_run_is_left_alone() {
    let whole = training("host").run();
    let before = bytes(whole.path("run/final.safetensors"));
    resume(&whole.path("")).run().exits(0);
    assert!(before == bytes(whole.path("run/final.safetensors")));
    fs::remove_dir_all(whole.path("run/checkpoints")).unwrap();
    fs::remove_file(whole.path("run/final.safetensors")).unwrap();
    resume(&whole.path("")).run().exits(0).tells("after step 0");
    assert!(before == bytes(whole.path("run/final.safetensors")));
}

/// Cuts a file short, or changes a byte in its middle.
fn damage(path: &Path, cut: bool) {
    let mut contents = bytes(path.to_path_buf());
    let middle = contents.len() / 2;
    if cut {
        contents.truncate(middle);
    } else {
        contents[middle] ^= 1;
    }
    fs::write(path, contents).unwrap();
}

#[test]
fn a_damaged_checkpoint_is_told_and_an_older_one_taken() {
    let whole = training("host").run();
    for cut in [true, false] {
        let short = training("host").set("train.epochs", 3).run();
        let run = short.path("run");
        damage(&run.join("checkpoints/last.safetensors"), cut);
        let outcome = resume(&short.path("")).set("train.epochs", 6).run();
        outcome.exits(0);
        assert!(
            outcome.stderr.contains("warning[E0601]")
                && outcome.stderr.contains("last.safetensors"),
            "{}",
            outcome.stderr
        );
        same_run(&whole.path("run"), &run);
        for entry in fs::read_dir(run.join("checkpoints")).unwrap() {
            damage(&entry.unwrap().path(), cut);
        }
        let outcome = resume(&short.path("")).set("train.epochs", 7).run();
        outcome.fails("E0601", &["last.safetensors"]);
    }
}

#[test]
fn checkpoints_are_kept_by_their_number_and_the_best_stays() {
    let outcome = training("host").run();
    let mut names: Vec<String> = fs::read_dir(outcome.path("run/checkpoints"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    // 30 steps: the last of them is `last` and `final`.
    assert_eq!(
        names,
        [
            "best.safetensors",
            "last.safetensors",
            "step-24.safetensors",
            "step-27.safetensors"
        ]
    );
    let best = figures(&outcome.path("run"))
        .into_iter()
        .filter(|line| line.get("validation_accuracy").is_some())
        .rev()
        .max_by(|a, b| {
            let of = |line: &serde_json::Value| line["validation_accuracy"].as_f64().unwrap();
            of(a).total_cmp(&of(b))
        })
        .unwrap();
    let kept = checkpoint::open(&outcome.path("run/checkpoints/best.safetensors")).unwrap();
    assert_eq!(kept.facts["step"], best["step"].to_string());
}

#[test]
fn what_would_make_it_another_run_is_refused() {
    let outcome = tiny_training().run();
    let folder = outcome.path("");
    resume(&folder)
        .set("optimizer.learning_rate", 0.5)
        .run()
        .fails("E0405", &["optimizer.learning_rate = 0.01", "--from run"]);
    resume(&folder)
        .set("train.epochs", 1)
        .run()
        .fails("E0404", &["8 steps", "train.epochs=2"]);
    resume(&folder).args(["a.net"]).run().exits(2);
    resume(&folder).args(["--force"]).run().exits(2);
    let nowhere = Netc::new().args(["train", "--resume", "nowhere"]).run();
    nowhere.fails("E0501", &["nowhere"]);
    let (images, labels) = idx_set(39, 2);
    write(&folder.join("data/train-images-idx3-ubyte"), &images);
    write(&folder.join("data/train-labels-idx1-ubyte"), &labels);
    resume(&folder)
        .set("train.epochs", 3)
        .set("data.train", "data")
        .run()
        .fails("E0506", &["other ones"])
        .renders("E0506-another-training-set");
}

#[test]
fn another_device_goes_on_and_says_so() {
    let outcome = tiny_training().run();
    let more = resume(&outcome.path(""))
        .set("train.epochs", 3)
        .args(["--device", "cpu"])
        .run();
    more.exits(0)
        .tells("no longer those of an uninterrupted run");
    assert_eq!(figures(&outcome.path("run")).len(), 12);
}

#[test]
fn a_run_that_is_at_work_is_left_alone() {
    let netc = tiny_training().set("train.epochs", 1_000_000);
    let folder = netc.folder().to_path_buf();
    let mut first = netc.start();
    first.wait_for("step 1/");
    resume(&folder).run().fails("E0603", &["in use"]);
    first.wait_for("step ");
}

/// Copies a folder.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn a_full_disk_loses_no_checkpoint_and_no_step() {
    // A checkpoint of about 100 KiB, of which there are five at most and a sixth that is written: 20 sizes of disk from
    // one that takes nothing to one that takes nearly all.
    let wide = "input 1x8x8\nF128(dropout=0.5) -> F3\n";
    let on_disk = |bytes| {
        training("host")
            .file("a.net", wide)
            .set("output.dir", "disk/run")
            .on_disk(bytes)
            .run()
    };
    let whole = on_disk(64 << 20);
    whole.exits(0);
    let (mut refused, mut went_on, mut unfinished) = (0, 0, 0);
    for point in 0..20 {
        let outcome = on_disk(4096 * (1 + 6 * point));
        let full = outcome.stderr.contains("No space left on device");
        assert!(full, "disk {point} is not full:\n{}", outcome.stderr);
        let disk = format!(
            "free space on the disk at `{}`",
            outcome.path("disk").display()
        );
        assert!(outcome.stderr.contains(&disk), "{}", outcome.stderr);
        let run = outcome.path("kept/run");
        if !run.exists() {
            outcome.fails("E0901", &["disk/run"]);
            refused += 1;
            continue;
        }
        let mut checkpoints = 0;
        for entry in fs::read_dir(run.join("checkpoints")).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            assert!(!name.starts_with('.'), "{name} is left behind");
            checkpoint::open(&path).unwrap_or_else(|fault| panic!("{fault:?}"));
            checkpoints += 1;
        }
        if checkpoints > 0 {
            assert!(
                outcome.stderr.contains("warning[E0901]"),
                "{}",
                outcome.stderr
            );
            went_on += 1;
        }
        if outcome.status != 0 {
            outcome.fails("E0901", &["final.safetensors", "--resume"]);
            unfinished += 1;
        }
        // On a disk with room it goes on to the same end.
        copy(&run, &outcome.path("run"));
        resume(&outcome.path("")).run().exits(0);
        same_run(&whole.path("kept/run"), &outcome.path("run"));
    }
    assert!(
        refused > 0 && went_on > 0 && unfinished > 0,
        "{refused} {went_on} {unfinished}"
    );
}

#[test]
fn a_run_folder_that_vanishes_is_made_again() {
    let whole = training("host").run();
    let netc = training("host");
    let run = netc.folder().join("run");
    let mut running = netc.start();
    running.wait_for("step 4/");
    fs::rename(&run, run.with_file_name("gone")).unwrap();
    let outcome = running.wait();
    outcome.exits(0);
    same_run(&whole.path("run"), &outcome.path("run"));
    for file in ["network.net", "classes.txt", "mean.safetensors"] {
        let path = |name: &str| outcome.path(name).join(file);
        assert!(bytes(path("gone")) == bytes(path("run")), "{file}");
    }
    Netc::new()
        .current(&outcome.path(""))
        .args(["eval", "run"])
        .run()
        .exits(0);
}

#[test]
fn parts_of_a_run_folder_that_vanish_are_made_again() {
    for part in ["checkpoints", ".lock", "metrics.jsonl", "config.toml"] {
        let netc = tiny_training().set("train.epochs", 1_000_000);
        let run = netc.folder().join("run");
        let mut running = netc.start();
        running.wait_for("step 9/");
        let place = run.join(part);
        if place.is_dir() {
            fs::rename(place, run.join("gone")).unwrap();
        } else {
            fs::remove_file(place).unwrap();
        }
        let at = running.last_step();
        running.wait_for(&format!("step {}/", at + 40));
        running.signal("TERM");
        let outcome = running.wait();
        outcome.exits(143);
        assert!(run.join(part).exists(), "{part}");
        let lines = figures(&run);
        let steps = lines.iter().map(|line| line["step"].as_u64().unwrap());
        assert!(steps.eq(1..=lines.len() as u64), "{part}");
        let last = checkpoint::open(&run.join("checkpoints/last.safetensors")).unwrap();
        // The last step of an epoch has its line after its test.
        let step: usize = last.facts["step"].parse().unwrap();
        assert!((lines.len()..=lines.len() + 1).contains(&step), "{part}");
        let end = (lines.len() as u64).div_ceil(4) + 1;
        let more = resume(&outcome.path("")).set("train.epochs", end).run();
        more.exits(0);
    }
}

#[test]
fn images_that_vanish_within_a_step_leave_the_statistics_of_the_step_before() {
    // Each step is of four mini-batches, which move running statistics that are slow to forget.
    let training = || {
        let netc = Netc::new()
            .file(
                "a.net",
                "input 1x8x8\nC4 -> N(batch, momentum=0.0001) -> P -> F2\n",
            )
            .args(["train", "a.net", "--device", "host"]);
        (0..64)
            .fold(netc, |netc, n| {
                let name = format!("data/{}/{n}.png", n % 2);
                let contents = picture(&name, n);
                netc.file(&name, contents)
            })
            .set("data.train", "data")
            .set("data.test", "data")
            .set("data.cache", "never")
            .set("train.batch", 4)
            .set("train.accumulate", 4)
            .set("train.epochs", 60)
            .set("output.dir", "run")
    };
    let whole = training().run();
    whole.exits(0);
    for step in [20, 41, 63] {
        let netc = training();
        let victim = netc.folder().join("data/1/33.png");
        let mut running = netc.start();
        running.wait_for(&format!("step {step}/"));
        let aside = victim.with_extension("aside");
        fs::rename(&victim, &aside).unwrap();
        let broken = running.wait();
        broken.fails("E0501", &["33.png", "steps so far are kept"]);
        fs::rename(&aside, &victim).unwrap();
        resume(&broken.path("")).run().exits(0);
        same_run(&whole.path("run"), &broken.path("run"));
    }
}

#[test]
fn what_replaces_a_run_and_dies_is_no_mixture_of_both() {
    let old = tiny_training().run();
    let folder = old.path("");
    copy(&folder.join("run"), &folder.join("old"));
    write(&folder.join("other.net"), b"input 1x8x8\nF4 -> F2\n");
    let mut none = 0;
    for call in 1..16 {
        fs::remove_dir_all(folder.join("run")).unwrap();
        copy(&folder.join("old"), &folder.join("run"));
        write(&folder.join("run/checkpoints/notes.txt"), b"mine");
        let mut dying = Netc::new()
            .current(&folder)
            .args(["train", "other.net", "--device", "host", "--force"])
            .set("data.train", "data")
            .set("data.test", "data")
            .set("train.batch", 10)
            .set("output.dir", "run")
            .env("LD_PRELOAD", &*FAULTY_WRITE)
            .env("NETC_DIES_AT", call.to_string())
            .start();
        dying.reaches("panicked");
        assert!(dying.kill_if_alive().1, "call {call}");
        assert_eq!(bytes(folder.join("run/checkpoints/notes.txt")), b"mine");
        if folder.join("run/config.toml").exists() {
            let more = resume(&folder).run();
            more.exits(0);
            let network = String::from_utf8(bytes(folder.join("run/network.net"))).unwrap();
            assert!(network.contains("F4 -> F2"), "{network}");
        } else {
            resume(&folder).run().fails("E0501", &["config.toml"]);
            none += 1;
        }
    }
    assert!(none > 5, "{none}");
}

#[test]
fn an_end_that_a_resume_brings_comes_with_a_test() {
    let mut running = training("host").start();
    running.wait_for("step 13/");
    running.signal("TERM");
    let stopped = running.wait();
    stopped.exits(143);
    let more = resume(&stopped.path("")).set("train.stop_after", 1).run();
    more.exits(0);
    let lines = figures(&stopped.path("run"));
    assert!(lines.last().unwrap().get("test_loss").is_some());
}

#[test]
fn a_changed_mean_is_no_mean_of_the_run() {
    let run = tiny_training().run();
    let place = run.path("run/mean.safetensors");
    let mut mean = bytes(place.clone());
    *mean.last_mut().unwrap() ^= 1;
    fs::write(&place, mean).unwrap();
    let eval = Netc::new().current(&run.path("")).args(["eval", "run"]);
    eval.run().fails("E0601", &["the mean in `run`"]);
}

#[test]
fn files_of_others_are_not_written_over() {
    for file in [
        "classes.txt",
        "metrics.jsonl",
        "final.safetensors",
        "checkpoints/mine",
    ] {
        let netc = tiny_training().file(&format!("run/{file}"), "mine\n");
        let run = netc.folder().join("run");
        let outcome = netc.run();
        let first = file.split('/').next().unwrap();
        outcome.fails("E0603", &[first, "which a run would replace"]);
        assert_eq!(files_below(&run), [file]);
        assert_eq!(bytes(run.join(file)), b"mine\n");
    }
    let netc = tiny_training().file("run/notes.txt", "mine\n");
    netc.run().exits(0);
}

#[test]
fn another_run_in_the_same_place_is_not_written_over() {
    let netc = tiny_training().set("train.epochs", 1_000_000);
    let (run, folder) = (netc.folder().join("run"), netc.folder().to_path_buf());
    let mut first = netc.start();
    first.wait_for("step 1/");
    fs::rename(&run, run.with_file_name("moved")).unwrap();
    let second = Netc::new()
        .current(&folder)
        .args(["train", "tiny.net", "--device", "host"])
        .set("data.train", "data")
        .set("data.test", "data")
        .set("train.batch", 10)
        .set("output.dir", "run")
        .run();
    // The first one may have made its folder again before; then the second is told that it is taken.
    if second.status == 0 {
        let first = first.wait();
        first.fails("E0603", &["run"]);
        assert_eq!(figures(&run).len(), 20, "the lines of the second one alone");
        assert!(run.join("final.safetensors").exists());
    } else {
        second.fails("E0603", &["in use"]);
        first.signal("TERM");
        first.wait().exits(143);
    }
}

#[test]
fn runs_that_begin_at_the_same_moment_have_folders_of_their_own() {
    let netc = tiny_training();
    let folder = netc.folder().to_path_buf();
    let begin = || {
        Netc::new()
            .current(&folder)
            .args(["train", "tiny.net", "--device", "host"])
            .set("data.train", "data")
            .set("data.test", "data")
            .set("train.batch", 10)
            .start()
    };
    let all: Vec<_> = (0..6).map(|_| begin()).collect();
    for running in all {
        running.wait().exits(0);
    }
    for number in 1..=6 {
        assert!(
            folder
                .join(format!("runs/tiny-{number}/final.safetensors"))
                .exists(),
            "no run {number}"
        );
    }
}

#[test]
fn a_clock_that_is_set_back_changes_nothing() {
    let whole = training("host").run();
    let faulty = training("host")
        .set("train.checkpoint.every", "1 s")
        .env("LD_PRELOAD", &*FAULTY_CLOCK)
        .run();
    faulty.exits(0);
    same_run(&whole.path("run"), &faulty.path("run"));
    let text = String::from_utf8(bytes(faulty.path("run/metrics.jsonl"))).unwrap();
    let seconds = |line: &str| {
        serde_json::from_str::<serde_json::Value>(line).unwrap()["seconds"]
            .as_f64()
            .unwrap()
    };
    let seconds: Vec<f64> = text.lines().map(seconds).collect();
    assert!(
        seconds[0] > 0.0 && seconds.windows(2).all(|pair| pair[0] <= pair[1]),
        "{seconds:?}"
    );
}

#[test]
fn caches_and_checkpoints_of_another_version_are_not_taken() {
    let cached = |cache: &Path| {
        let outcome = training("cpu").env("NETC_CACHE_DIR", cache).run();
        outcome.exits(0);
        outcome
    };
    let folder = tempfile::tempdir().unwrap();
    let first = cached(folder.path());
    let mut changed = 0;
    for entry in fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "clp") {
            let mut contents = bytes(path.clone());
            // Behind the eight bytes that mark netc's files.
            contents[8] += 1;
            fs::write(&path, contents).unwrap();
            changed += 1;
        }
    }
    assert!(changed > 0, "nothing is cached");
    same_run(&first.path("run"), &cached(folder.path()).path("run"));

    let last = first.path("run/checkpoints/last.safetensors");
    let text = bytes(last.clone());
    let at = b"\\\"version\\\":\\\"2\\\"";
    let at = text
        .windows(at.len())
        .position(|part| part == at)
        .expect("a version")
        + at.len()
        - 3;
    let mut other = text;
    other[at] = b'9';
    fs::write(&last, other).unwrap();
    let outcome = resume(&first.path("")).set("train.epochs", 7).run();
    outcome.exits(0).tells("form 9");
}

#[test]
fn a_run_is_reproduced_and_the_first_difference_named() {
    let whole = training("host").run();
    let repro = || Netc::new().current(&whole.path("")).args(["repro", "run"]);
    let before = files_below(&whole.path("run"));
    repro().run().exits(0).says("the same: 30 steps, and ");
    assert_eq!(before, files_below(&whole.path("run")));
    // One bit of a loss, one number at the end.
    let metrics = whole.path("run/metrics.jsonl");
    let text = String::from_utf8(bytes(metrics.clone())).unwrap();
    let line = text.lines().nth(16).unwrap();
    let loss = serde_json::from_str::<serde_json::Value>(line).unwrap()["loss"]
        .as_f64()
        .unwrap();
    let moved = line.replace(&format!("{loss}"), &format!("{}", loss.next_up()));
    fs::write(&metrics, text.replace(line, &moved)).unwrap();
    let outcome = repro().run();
    outcome
        .exits(1)
        .says("first difference: step 17: the loss is");
    fs::write(&metrics, &text).unwrap();
    let other = repro().set("train.seed", 2).run();
    other.exits(1).says("first difference");
    // A run that was stopped has fewer steps.
    fs::remove_file(whole.path("run/final.safetensors")).unwrap();
    let lines: Vec<&str> = text.lines().take(13).collect();
    fs::write(&metrics, lines.join("\n") + "\n").unwrap();
    repro().run().exits(0).says("the same: 13 steps\n");
}

#[test]
fn a_run_that_began_with_another_ones_parameters_begins_there_again() {
    let first = training("host").run();
    let folder = first.path("");
    let from = |run: &str| {
        SETTINGS
            .iter()
            .filter(|(key, _)| *key != "output.dir")
            .fold(
                Netc::new()
                    .current(&folder)
                    .args(["train", "a.net", "--device", "host", "--from", "run"])
                    .set("data.train", "data")
                    .set("data.test", "data"),
                |netc, (key, value)| netc.set(key, value),
            )
            .set("output.dir", run)
    };
    from("whole").run().exits(0);
    // Killed while it is written, it is no run yet, or has what it begins with.
    let (mut no_runs, mut runs) = (0, 0);
    for call in 1..20 {
        let dying = from("dying")
            .env("LD_PRELOAD", &*FAULTY_WRITE)
            .env("NETC_DIES_AT", call.to_string());
        let mut dying = dying.args(["--force"]).start();
        dying.reaches("panicked");
        assert!(dying.kill_if_alive().1, "call {call}");
        let more = Netc::new().current(&folder);
        let more = more.args(["train", "--resume", "dying"]).run();
        if folder.join("dying/config.toml").exists() {
            more.exits(0);
            same_run(&folder.join("whole"), &folder.join("dying"));
            runs += 1;
        } else {
            more.fails("E0501", &["dying"]);
            no_runs += 1;
        }
        fs::remove_dir_all(folder.join("dying")).unwrap();
    }
    assert!(no_runs > 6 && runs > 0, "{no_runs} {runs}");
    // Killed before its first checkpoint, it has what it began with.
    let mut running = from("killed").set("train.checkpoint.every", "1 h").start();
    running.wait_for("step 2/");
    drop(running);
    assert!(
        folder
            .join("killed/checkpoints/step-0.safetensors")
            .exists()
    );
    Netc::new()
        .current(&folder)
        .args(["train", "--resume", "killed"])
        .run()
        .exits(0);
    same_run(&folder.join("whole"), &folder.join("killed"));
    Netc::new()
        .current(&folder)
        .args(["repro", "whole"])
        .run()
        .exits(0)
        .says("the same: 30 steps");
}
