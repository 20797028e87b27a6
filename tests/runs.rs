//! `netc runs`: every state of a run, its figures, and that none is changed.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Netc, Outcome, files_below, idx_set, tiny_training};

/// `netc runs` in a folder.
fn runs(folder: &Path, arguments: &[&str]) -> Outcome {
    let netc = Netc::new().current(folder).args(["runs"]);
    netc.args(arguments.iter().copied()).run()
}

/// The rows of `runs --json`.
#[track_caller]
fn rows(folder: &Path, arguments: &[&str]) -> Vec<Value> {
    let arguments = [&["--json"], arguments].concat();
    let mut report = runs(folder, &arguments).exits(0).json();
    assert_eq!(report["version"], 1);
    serde_json::from_value(report["runs"].take()).unwrap()
}

#[track_caller]
fn only(folder: &Path) -> Value {
    let rows = rows(folder, &["run"]);
    assert_eq!(rows.len(), 1);
    rows[0].clone()
}

/// A run that is finished.
fn finished() -> Outcome {
    let outcome = tiny_training().run();
    outcome.exits(0);
    outcome
}

/// Copies a run: a folder of folders and files.
fn copy(from: &Path, to: &Path) {
    for name in files_below(from) {
        let to = to.join(&name);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from.join(&name), to).unwrap();
    }
}

#[test]
fn a_finished_run_shows_what_its_files_say() {
    let outcome = finished();
    let folder = outcome.path("");
    let row = only(&folder);
    let text = fs::read_to_string(folder.join("run/metrics.jsonl")).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 8);
    let last = &lines[7];
    for (key, value) in [
        ("run", json!("run")),
        ("network", json!("input 1x8x8 C4 -> P -> F2")),
        ("state", json!("finished")),
        ("step", json!(8)),
        ("steps", json!(8)),
        ("epochs_done", json!(2)),
        ("epochs", json!(2)),
        ("test_accuracy", last["test_accuracy"].clone()),
        ("test_loss", last["test_loss"].clone()),
        ("validation_accuracy", Value::Null),
        ("loss", last["loss"].clone()),
        ("seconds", last["seconds"].clone()),
        ("optimizer", json!("sgd")),
        ("learning_rate", json!(0.01)),
        ("diagnostics", json!([])),
    ] {
        assert_eq!(row[key], value, "{key}");
    }
    let best = lines
        .iter()
        .filter_map(|line| line["test_accuracy"].as_f64())
        .fold(0.0, f64::max);
    assert_eq!(row["best"]["accuracy"], best);
    assert_eq!(row["best"]["of"], "test");
    let mut rates: Vec<f64> = lines
        .iter()
        .filter_map(|line| line["images_per_second"].as_f64())
        .collect();
    rates.sort_by(f64::total_cmp);
    assert_eq!(row["images_per_second"], rates[4]);
    // `last` and `best` may be two names of one file.
    let sizes = files_below(&folder.join("run")).into_iter();
    let sizes = sizes.map(|name| fs::metadata(folder.join("run").join(name)).unwrap().len());
    assert!((1..=sizes.sum()).contains(&row["bytes"].as_u64().unwrap()));
    let shown = runs(&folder, &["run"]);
    shown
        .exits(0)
        .says("C4 -> P -> F2")
        .says("finished")
        .says("2/2");
    assert!(shown.stderr.is_empty(), "{}", shown.stderr);
}

#[test]
fn nothing_changes_and_no_lock_is_made() {
    let outcome = finished();
    let run = outcome.path("run");
    fs::remove_file(run.join(".lock")).unwrap();
    let look = || -> Vec<(String, Vec<u8>, SystemTime)> {
        let file = |name: String| {
            let place = run.join(&name);
            let time = fs::metadata(&place).unwrap().modified().unwrap();
            (name, fs::read(place).unwrap(), time)
        };
        files_below(&run).into_iter().map(file).collect()
    };
    let before = look();
    runs(&outcome.path(""), &["."]).exits(0).says("finished");
    assert!(before == look());
}

/// A training that goes on for long.
fn endless() -> Netc {
    tiny_training().set("train.epochs", 1_000_000)
}

#[test]
fn a_training_that_goes_on_is_told_from_one_that_was_stopped() {
    let netc = endless();
    let folder = netc.folder().to_path_buf();
    let mut running = netc.start();
    running.wait_for("step 9/");
    assert_eq!(only(&folder)["state"], "training");
    // It is not disturbed.
    running.wait_for("step ");
    running.signal("TERM");
    let stopped = running.wait();
    stopped.exits(143);
    let row = only(&folder);
    let step = row["step"].as_u64().unwrap();
    assert_eq!(
        (&row["state"], &row["steps"]),
        (&json!("stopped"), &json!(4_000_000))
    );
    runs(&folder, &["run"])
        .exits(0)
        .says(&format!("stopped at step {step} of 4000000"));
    let mut resumed = Netc::new()
        .current(&folder)
        .args(["train", "--resume", "run"])
        .start();
    resumed.wait_for(&format!("goes on after step {step} of 4000000"));
    assert_eq!(only(&folder)["state"], "training");
    // The lock dies with the process, however it dies.
    resumed.kill();
    assert_eq!(only(&folder)["state"], "stopped");
}

#[test]
fn one_that_looks_does_not_hinder_another() {
    let outcome = finished();
    let lock = File::open(outcome.path("run/.lock")).unwrap();
    lock.lock_shared().unwrap();
    assert_eq!(only(&outcome.path(""))["state"], "finished");
}

#[test]
fn killed_before_its_first_checkpoint() {
    let (images, labels) = idx_set(20_000, 2);
    let netc = tiny_training()
        .file("data/train-images-idx3-ubyte", images)
        .file("data/train-labels-idx1-ubyte", labels)
        .set("train.batch", 1);
    let mut running = netc.start();
    running.wait_for("step 2/");
    let folder: TempDir = running.kill();
    let row = only(folder.path());
    assert_eq!(
        (&row["state"], &row["step"], &row["steps"]),
        (&json!("no checkpoint"), &json!(0), &json!(40_000))
    );
    assert_eq!(
        (&row["epochs_done"], &row["best"]),
        (&json!(0), &Value::Null)
    );
    assert!(row["loss"].is_f64());
}

#[test]
fn a_damaged_file_is_told_and_the_rest_is_listed() {
    let outcome = finished();
    let folder = outcome.path("");
    let whole = fs::read(folder.join("run/final.safetensors")).unwrap();
    let cases: [(&str, &[u8], &str); 7] = [
        ("config.toml", b"[train", "E0401"),
        ("network.net", b"input 1x8x8\nC4 -> X -> F2\n", "E0201"),
        ("network.net", b"\xff", "E0106"),
        ("metrics.jsonl", b"{\n{\n", "E0901"),
        ("final.safetensors", &whole[..whole.len() - 1], "E0601"),
        (
            "checkpoints/last.safetensors",
            b"\xff\xff\xff\xff\xff\xff\xff\x7f{}",
            "E0601",
        ),
        ("mean.safetensors", b"", "E0601"),
    ];
    for (number, (file, bytes, code)) in cases.into_iter().enumerate() {
        let run = folder.join(format!("runs/run-{number}"));
        copy(&folder.join("run"), &run);
        fs::write(run.join(file), bytes).unwrap();
        let report = runs(&folder, &[run.to_str().unwrap(), "run", "--json"]);
        report.exits(0).tells(&format!("warning[{code}]"));
        let rows = &report.json()["runs"];
        let damaged = &rows[0];
        assert_eq!(damaged["state"], "damaged", "{file}");
        assert_eq!(damaged["diagnostics"][0]["code"], code, "{file}");
        // Without `last` it would go on after the best epoch.
        let best = damaged["best"]["epoch"].as_u64().unwrap_or(0);
        let step = if file.ends_with("last.safetensors") {
            4 * best
        } else {
            8
        };
        assert_eq!(damaged["step"], step, "{file}: what can be read is");
        assert_eq!(rows[1]["state"], "finished");
    }
    let missing = folder.join("runs/run-9");
    copy(&folder.join("run"), &missing);
    fs::remove_file(missing.join("network.net")).unwrap();
    let all = runs(&folder, &[]);
    all.exits(0).tells("`network.net` is missing");
    assert_eq!(all.stdout.matches("damaged").count(), 8, "{}", all.stdout);
    assert!(
        all.stdout.lines().all(|line| line.chars().count() <= 100),
        "{}",
        all.stdout
    );
}

#[test]
fn runs_are_found_below_folders_and_sorted() {
    let outcome = finished();
    let folder = outcome.path("");
    let names = ["runs/small-2", "runs/small-10", "runs/deep/er/x-1"];
    let now = SystemTime::now();
    let hour = Duration::from_hours(1);
    // One was written before 1970, one will be.
    let times = [now + hour, SystemTime::UNIX_EPOCH - hour, now];
    for ((name, time), loss) in names.iter().zip(times).zip([0.5, 0.25, 0.75]) {
        copy(&folder.join("run"), &folder.join(name));
        let place = folder.join(name).join("metrics.jsonl");
        let text = fs::read_to_string(&place).unwrap();
        let mut last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        (last["test_loss"], last["test_accuracy"]) = (json!(loss), json!(loss));
        // The end of it is cut off.
        fs::write(&place, format!("{last}\n{}", &text[..40])).unwrap();
        File::options()
            .append(true)
            .open(&place)
            .unwrap()
            .set_modified(time)
            .unwrap();
    }
    fs::create_dir_all(folder.join("runs/.hidden")).unwrap();
    copy(&folder.join("run"), &folder.join("runs/.hidden/run"));
    let order = |arguments: &[&str]| -> Vec<String> {
        let rows = rows(&folder, arguments);
        rows.iter()
            .map(|row| row["run"].as_str().unwrap().to_owned())
            .collect()
    };
    let [two, ten, deep] = names;
    assert_eq!(order(&[]), [deep, two, ten]);
    assert_eq!(order(&["--sort", "accuracy"]), [deep, two, ten]);
    assert_eq!(order(&["--sort", "loss"]), [ten, two, deep]);
    assert_eq!(order(&["--sort", "time"]), [ten, deep, two]);
    assert_eq!(order(&["runs/deep", deep, "./runs/small-2"]), [deep, two]);
    assert_eq!(order(&["."]), ["run", deep, two, ten]);
    assert!(rows(&folder, &[ten])[0]["modified"].as_f64().unwrap() < 0.0);
}

#[test]
fn columns_go_where_the_screen_is_narrow() {
    let outcome = finished();
    let at = |columns: &str| {
        let netc = Netc::new()
            .current(&outcome.path(""))
            .env("COLUMNS", columns);
        netc.args(["runs", "run"]).run()
    };
    at("300")
        .says("training loss")
        .says("size")
        .says("sgd 0.01")
        .says("C4 -> P -> F2");
    for columns in [60, 80, 100, 120] {
        let shown = at(&columns.to_string());
        for line in shown.stdout.lines() {
            assert!(
                line.chars().count() <= columns,
                "{columns}:\n{}",
                shown.stdout
            );
        }
    }
    at("1").says("finished").says("2/2");
}

#[test]
fn no_runs_at_all() {
    let folder = tempfile::tempdir().unwrap();
    runs(folder.path(), &[]).fails("E0501", &["`runs`", "`netc train FILE` makes one"]);
    fs::create_dir(folder.path().join("runs")).unwrap();
    runs(folder.path(), &["--json"]).fails("E0501", &["there are none below `runs`"]);
    let outcome = finished();
    let some = runs(&outcome.path(""), &["run", "nowhere", "tiny.net"]);
    some.fails("E0501", &["`nowhere`", "`tiny.net`"])
        .says("finished");
    runs(folder.path(), &["--sort", "size"]).exits(2);
}
