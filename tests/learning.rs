//! How networks learn: each method beside PyTorch's steps, sums over mini-batches, rates, ends, and a loss that is no
//! number.

use std::fs;
use std::path::Path;

use netc::device::open;
use netc::op::emit::Machine;
use netc::op::optimizer::{Method, Optimizer};
use netc::op::real::Precision;
use netc::plan::budget::{Job, Room};
use netc::run::session::Session;
use netc::run::tensor::{Tensor, Tensors as _};
use serde_json::Value;

use crate::harness::{Netc, files_below, graph, idx_set, text_of, tiny_training};

const FOLDER: &str = "tests/golden-optimizers/optimizers.json";

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

fn numbers(value: &Value) -> Vec<f64> {
    value
        .as_array()
        .expect("a list")
        .iter()
        .map(number)
        .collect()
}

fn optimizer(case: &Value, accumulate: usize) -> Optimizer {
    let momentum = |nesterov| Method::Momentum {
        momentum: number(&case["momentum"]),
        nesterov,
    };
    let adam = |decoupled| Method::Adam {
        beta1: number(&case["beta1"]),
        beta2: number(&case["beta2"]),
        epsilon: number(&case["epsilon"]),
        decoupled,
    };
    Optimizer {
        method: match case["kind"].as_str().expect("a word") {
            "sgd" => momentum(false),
            "nesterov" => momentum(true),
            "adam" => adam(false),
            "adamw" => adam(true),
            other => panic!("{other}"),
        },
        weight_decay: number(&case["weight_decay"]),
        decay_biases: case["decay_biases"].as_bool().expect("a flag"),
        clip: number(&case["clip"]),
        accumulate,
        smoothing: number(&case["smoothing"]),
    }
}

/// Trains a case, each step's images in so many mini-batches; the largest difference from PyTorch's results.
fn departure(golden: &Value, case: &Value, device: &str, accumulate: usize) -> f64 {
    let graph = graph("input 1x4x4\nC3 -> F5(act=tanh) -> F4", None);
    let device = open(device).expect("the device");
    let optimizer = optimizer(case, accumulate);
    let batch = 6 / accumulate;
    let job = Job {
        graph: &graph,
        optimizer: Some(optimizer),
        machine: Machine::new(*device.limits(), Precision::F64),
        device: "",
    };
    let plans = job
        .fitting(batch, &Room::new(device.limits(), None), None)
        .expect("it fits");
    let mut session = Session::load(graph.clone(), device, plans).expect("it loads");
    let initial = golden["initial"].as_object().expect("tensors");
    let tensors: Vec<Tensor> = initial
        .iter()
        .map(|(name, tensor)| Tensor {
            name: name.clone(),
            shape: numbers(&tensor["shape"])
                .iter()
                .map(|&n| n as usize)
                .collect(),
            values: numbers(&tensor["values"]),
        })
        .collect();
    session.write(&tensors, false).expect("they fit");
    let mut furthest: f64 = 0.0;
    for step in 0..5 {
        let scalars = optimizer.scalars(number(&golden["rate"]), step as u64);
        let images = numbers(&golden["images"][step]);
        let labels: Vec<i32> = numbers(&golden["labels"][step])
            .iter()
            .map(|&label| label as i32)
            .collect();
        let mut loss = 0.0;
        for part in 0..accumulate {
            let of = part * batch..(part + 1) * batch;
            let result = session
                .step(
                    &images[of.start * 16..of.end * 16],
                    &labels[of],
                    &scalars,
                    part + 1 == accumulate,
                )
                .expect("a step");
            loss += result.loss / accumulate as f64;
        }
        furthest = furthest.max((loss - number(&case["losses"][step])).abs());
    }
    for tensor in session.read().expect("parameters") {
        let after = numbers(&case["after"][&tensor.name]);
        assert_eq!(after.len(), tensor.values.len(), "{}", tensor.name);
        for (ours, torchs) in tensor.values.iter().zip(after) {
            furthest = furthest.max((ours - torchs).abs());
        }
    }
    furthest
}

#[test]
fn every_method_makes_pytorchs_steps() {
    let golden: Value = serde_json::from_str(&text_of(FOLDER)).expect("JSON");
    let cases = golden["cases"].as_array().expect("cases");
    assert_eq!(cases.len(), 8);
    for device in ["host", "cpu"] {
        for case in cases {
            // Each is compiled by itself on OpenCL, where one sum does for all.
            let summed = device == "host" || number(&case["clip"]) > 0.0;
            for accumulate in if summed { &[1, 2][..] } else { &[1] } {
                let accumulate = *accumulate;
                let off = departure(&golden, case, device, accumulate);
                assert!(
                    off < 1e-12,
                    "{device}, {accumulate} mini-batches: {off:e} from PyTorch with {} {}",
                    case["kind"],
                    case["clip"]
                );
            }
        }
    }
}

fn lines(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).expect("metrics");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

#[test]
fn mini_batches_that_are_summed_are_the_larger_batch() {
    let run = |batch: usize, accumulate: usize| {
        let outcome = tiny_training()
            .set("train.batch", batch)
            .set("train.accumulate", accumulate)
            .set("device.precision", "f64")
            .run();
        outcome.exits(0);
        lines(&outcome.path("run"))
    };
    let (whole, parts) = (run(20, 1), run(5, 4));
    assert_eq!(whole.len(), 4);
    for (whole, parts) in whole.iter().zip(&parts) {
        assert_eq!(whole["step"], parts["step"]);
        let off = number(&whole["loss"]) - number(&parts["loss"]);
        assert!(off.abs() < 1e-12, "{whole} {parts}");
    }
    tiny_training()
        .set("train.batch", 21)
        .set("train.accumulate", 2)
        .run()
        .fails("E0405", &["mini-batches of 21", "40 images", "batch = 20"]);
}

#[test]
fn rates_follow_their_schedule_and_a_training_ends_early() {
    let outcome = tiny_training()
        .set("train.epochs", 4)
        .set("optimizer.schedule", "{ kind = \"cosine\", warmup = 1 }")
        .run();
    outcome.exits(0);
    let rates: Vec<f64> = lines(&outcome.path("run"))
        .iter()
        .map(|line| number(&line["learning_rate"]))
        .collect();
    assert_eq!(rates[..5], [0.0025, 0.005, 0.0075, 0.01, 0.01]);
    assert!((rates[10] - 0.005).abs() < 1e-15, "half of it: {rates:?}");
    assert!(rates[5..].windows(2).all(|pair| pair[1] < pair[0]));

    // A rate at which no epoch is better than the first.
    let outcome = tiny_training()
        .set("train.epochs", 50)
        .set("optimizer.learning_rate", 0)
        .set("train.stop_after", 3)
        .run();
    outcome.exits(0).tells("ended after 4 of 50 epochs");
    assert_eq!(lines(&outcome.path("run")).len(), 16);
    assert!(outcome.path("run/final.safetensors").exists());
}

#[test]
fn a_loss_that_is_no_number_names_the_layer_and_what_to_try() {
    let explode = |network: &str, decay: &str, device: &str| {
        let (images, labels) = idx_set(40, 2);
        Netc::new()
            .file("a.net", network)
            .file("data/train-images-idx3-ubyte", &images)
            .file("data/train-labels-idx1-ubyte", &labels)
            .file("data/t10k-images-idx3-ubyte", &images)
            .file("data/t10k-labels-idx1-ubyte", &labels)
            .args(["train", "a.net", "--device", device])
            .set("data.train", "data")
            .set("data.test", "data")
            .set("train.batch", 10)
            .set("output.dir", "run")
            .set("optimizer.learning_rate", 1e6)
            .set("optimizer.weight_decay", decay)
            .set("train.checkpoint.every", "1 steps")
            .run()
    };
    for device in ["host", "cpu"] {
        // Numbers that grow from layer to layer: parameters stay finite, an output does not.
        let outcome = explode("input 1x8x8\nC4 -> C5 -> wide: F2\n", "0", device);
        outcome.fails(
            "E0801",
            &[
                "output of `wide`",
                "checkpoints/last.safetensors",
                "optimizer.learning_rate=100000",
                "train.clip=1",
            ],
        );
        // A parameter that an update makes no number: the checkpoint before is the last good one.
        let outcome = explode("input 1x8x8\nwide: F2\n", "1e6", device);
        outcome.fails(
            "E0801",
            &["`wide.", "was too large", "checkpoints/last.safetensors"],
        );
        for entry in fs::read_dir(outcome.path("run/checkpoints")).expect("a folder") {
            let path = entry.expect("an entry").path();
            let kept = netc::run::checkpoint::open(&path).expect("a whole one");
            for name in kept.shapes().into_keys() {
                let mut values = kept.values(&name).expect("its values");
                assert!(values.all(f64::is_finite), "{name} of {}", path.display());
            }
        }
    }
}

#[test]
fn a_test_that_is_not_finite_names_the_update_and_the_layer() {
    // All images in one step: its update is looked at by the test alone.
    let training = |arguments: &[&str]| {
        let netc = Netc::new()
            .file(
                "a.net",
                "input 1x8x8\nC8 -> C8 -> C8 -> C8 -> C8 -> C8 -> C8 -> C8 -> wide: F2\n",
            )
            .args(["train", "a.net", "--device", "host"]);
        let (images, labels) = idx_set(40, 2);
        ["train", "t10k"]
            .iter()
            .fold(netc, |netc, part| {
                netc.file(&format!("data/{part}-images-idx3-ubyte"), &images)
                    .file(&format!("data/{part}-labels-idx1-ubyte"), &labels)
            })
            .set("data.train", "data")
            .set("data.test", "data")
            .set("train.batch", 40)
            .set("output.dir", "run")
            .set("optimizer.learning_rate", 1e6)
            .set("optimizer.weight_decay", 0)
            .set("init.weights", "he")
            .args(arguments)
            .run()
    };
    let outcome = training(&[]);
    let words = [
        "the test loss is",
        "after step 1 (epoch 1)",
        "output of `",
        "no checkpoint yet",
    ];
    outcome.fails("E0801", &words);
    for trial in [vec!["--dry-run"], vec!["--overfit", "4"]] {
        training(&trial).fails("E0801", &["output of `", "optimizer.learning_rate=100000"]);
    }
}

#[test]
fn a_dry_run_begins_where_the_run_would() {
    let run = tiny_training().run();
    let dry = |arguments: &[&str]| {
        Netc::new()
            .current(&run.path(""))
            .args(["train", "tiny.net", "--device", "host", "--dry-run"])
            .set("data.train", "data")
            .set("data.test", "data")
            .set("train.batch", 10)
            .args(arguments)
            .run()
    };
    dry(&["--from", "run"]).exits(0).tells("from run: ");
    dry(&["--from", "nowhere"]).fails("E0501", &["nowhere"]);
    dry(&["--set", "output.dir=run"]).fails("E0603", &["already holds a run"]);
    dry(&["--set", "output.dir=run", "--force"]).exits(0);
}

#[test]
fn a_dry_run_says_what_a_run_takes_and_keeps_nothing() {
    let outcome = tiny_training().args(["--dry-run"]).run();
    outcome.exits(0).says("an epoch of 4 steps");
    outcome
        .says("a checkpoint: ")
        .says("loss of the first step: ");
    assert!(!outcome.path("run").exists());
    let left: Vec<String> = files_below(&outcome.path(""))
        .into_iter()
        .filter(|name| !name.starts_with("data") && !name.starts_with("tiny"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    tiny_training()
        .set("output.dir", "tiny.net/run")
        .args(["--dry-run"])
        .run()
        .exits(1);
}

#[test]
fn a_few_images_are_learned_by_heart_or_the_command_fails() {
    let outcome = tiny_training().args(["--overfit", "7"]).run();
    outcome.exits(0).says("all 7 images are learned after ");
    assert!(!outcome.path("run").exists());
    let outcome = tiny_training()
        .args(["--overfit", "7"])
        .set("optimizer.learning_rate", 0)
        .run();
    outcome
        .exits(1)
        .says("of 7 images are learned after 2000 steps");
    tiny_training()
        .args(["--overfit", "0"])
        .run()
        .fails("E0505", &["0 images"]);
}
