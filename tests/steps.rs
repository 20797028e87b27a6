//! Whole training steps of nets/small.net, the host engine beside OpenCL: batch 128, rate 0.01, dropout 0.5.

use std::path::Path;
use std::sync::OnceLock;

use netc::config::Config;
use netc::data::{self, Dataset, Loader, Mean, Order, Part, Preparation, Survey};
use netc::device;
use netc::ir::{self, Graph};
use netc::op::emit::{Machine, Scalars};
use netc::op::optimizer::Optimizer;
use netc::op::real::{Precision, Real};
use netc::plan::lower::{Head, Options, lower};
use netc::random::{Purpose, Stream};
use netc::run::runner::Runner;
use netc::run::session::{Session, optimizer, recipe};
use netc::run::tensor::Tensor;
use netc::source::Source;
use netc::syntax;

use crate::harness::{Netc, text_of};

const BATCH: usize = 128;
const SEED: u64 = 1;

fn config() -> Config {
    let sets = ["optimizer.learning_rate=0.01", "regularization.dropout=0.5"].map(String::from);
    let (config, faults) = Config::load(None, Path::new("."), &sets);
    assert!(faults.is_empty(), "{faults:?}");
    config
}

fn graph(text: &str) -> Graph {
    let (tree, faults) = syntax::parse(&Source::new("test.net", text));
    assert!(faults.is_empty(), "{faults:?}");
    let (graph, faults) = ir::build(
        &tree,
        &ir::Options {
            name: "test".into(),
            input: None,
            recipe: recipe(&config()),
        },
    );
    assert!(faults.is_empty(), "{faults:?}");
    graph.expect("no error, so a graph")
}

/// What nets/small.net has not: joins, and batch normalization with its statistics.
const JOINS: &str = "input 1x28x28 P -> C4(act=none, bias=none) -> N(batch, affine) -> A
    -> +[C4 -> N(batch)] -> &[C2(act=leaky) | P(kernel=3, stride=1, pad=1) |] -> P -> F24(dropout=0.5) -> F10";

fn session(network: &str, device: &str, precision: Precision) -> Session {
    let device = device::open(device).expect("the device is there");
    let mut session = Session::new(
        graph(network),
        device,
        precision,
        BATCH,
        Some(optimizer(&config())),
    )
    .expect("it fits");
    session.initialize(SEED).expect("it is written");
    session
}

fn images() -> &'static (Dataset, Mean) {
    static IMAGES: OnceLock<(Dataset, Mean)> = OnceLock::new();
    IMAGES.get_or_init(|| {
        let config = config();
        let mut set =
            data::open("fashion-mini", Part::Train, &config.data, None).expect("it is bundled");
        let mean = set
            .survey(config.data.mean, &Survey::of(&config.data))
            .expect("it is in memory");
        (set, mean)
    })
}

/// The losses of the first steps.
fn losses<T: Real>(network: &str, device: &str, steps: u32) -> Vec<f64> {
    let mut session = session(network, device, T::PRECISION);
    let ((set, mean), config) = (images(), config());
    let mut order = Order::new(set.labels(), (BATCH, 1), true, SEED).expect("enough images");
    let preparation = Preparation {
        set,
        mean,
        scale: config.data.scale,
        augmentation: None,
        parts: 1,
        workers: 0,
    };
    let mut loader = Loader::<T>::new(&preparation, BATCH, 0..u64::from(steps), |step| {
        order.batch(step)
    });
    let mut step = |step: u32| {
        let batch = loader.next_batch().expect("it is in memory");
        let scalars = Scalars {
            learning_rate: config.optimizer.learning_rate,
            step,
            seed: SEED,
            images: BATCH as u32,
            ..Scalars::default()
        };
        session
            .step(&batch.images, &batch.labels, &scalars, true)
            .expect("it runs")
            .loss
    };
    (0..steps).map(&mut step).collect()
}

#[track_caller]
fn losses_agree<T: Real>(network: &str, steps: u32, tolerance: f64) {
    let [host, opencl] = ["host", "cpu"].map(|device| losses::<T>(network, device, steps));
    for (step, (host, opencl)) in host.iter().zip(&opencl).enumerate() {
        assert!(
            (host - opencl).abs() <= tolerance,
            "step {}: {host} on the host, {opencl} on OpenCL",
            step + 1
        );
    }
    let (first, last) = (host[0], host[host.len() - 1]);
    assert!(
        (2.0..10.0).contains(&first) && last < first,
        "it learns: {first} to {last}"
    );
}

#[test]
fn losses_in_f64_are_equal_within_1e8() {
    losses_agree::<f64>(&text_of("nets/small.net"), 50, 1e-8);
}

#[test]
fn losses_in_f32_are_equal_within_1e5() {
    losses_agree::<f32>(&text_of("nets/small.net"), 20, 1e-5);
}

#[test]
fn losses_of_joins_and_batch_normalization_are_equal() {
    losses_agree::<f64>(JOINS, 50, 1e-8);
    losses_agree::<f32>(JOINS, 20, 1e-5);
}

#[test]
fn initial_parameters_are_equal_to_the_bit() {
    let bits = |tensors: Vec<Tensor>| -> Vec<(String, Vec<usize>, Vec<u64>)> {
        let bits = |values: Vec<f64>| values.into_iter().map(f64::to_bits).collect();
        tensors
            .into_iter()
            .map(|tensor| (tensor.name, tensor.shape, bits(tensor.values)))
            .collect()
    };
    for precision in [Precision::F32, Precision::F64] {
        let host = bits(
            session(&text_of("nets/small.net"), "host", precision)
                .read()
                .unwrap(),
        );
        let opencl = bits(
            session(&text_of("nets/small.net"), "cpu", precision)
                .read()
                .unwrap(),
        );
        let names: Vec<&str> = host.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "c1.weight",
                "c1.bias",
                "c2.weight",
                "c2.bias",
                "f1.weight",
                "f1.bias",
                "f2.weight",
                "f2.bias"
            ]
        );
        assert!(host == opencl, "{precision:?}");
        assert!(
            host[0].2.iter().any(|&bits| bits != host[0].2[0]),
            "weights are drawn"
        );
    }
}

/// Layers whose every output is 1 before dropout, so that what comes out is the mask.
#[test]
fn dropout_masks_are_equal_to_the_bit_and_as_documented() {
    const NETWORK: &str =
        "input 2x7x5 C5(act=none, dropout=0.5) -> F33(act=none, dropout=0.25) -> F3";
    let (batch, seed) = (6, 0x0123_4567_89ab_cdef);
    for precision in [Precision::F32, Precision::F64] {
        for step in [0, 1, 77] {
            let mut masks = Vec::new();
            for name in ["host", "cpu"] {
                let mut device = device::open(name).expect("the device is there");
                let graph = graph(NETWORK);
                let rule = Optimizer::sgd(0.9, 0.0);
                let options = Options {
                    head: Head::CrossEntropy,
                    keep_gradients: true,
                    ..Options::training(batch, rule)
                };
                let machine = Machine::new(*device.limits(), precision);
                let runner = Runner::load(&mut *device, lower(&graph, &options, &machine)).unwrap();
                let plan = runner.plan.clone();
                for buffers in &plan.parameters {
                    let value = if buffers.parameter.name.first_word() == "bias" {
                        1.0
                    } else {
                        0.0
                    };
                    let values = vec![value; buffers.parameter.count()];
                    runner
                        .write_parameter(&mut *device, &buffers.parameter, buffers.value, &values)
                        .unwrap();
                }
                runner
                    .write_tensor(&mut *device, plan.input, &vec![0.5; batch * 70])
                    .unwrap();
                runner
                    .write_ints(&mut *device, plan.labels.unwrap(), &[0; 6])
                    .unwrap();
                let scalars = Scalars {
                    step,
                    seed,
                    images: batch as u32,
                    ..Scalars::default()
                };
                runner
                    .run(&mut *device, 0..plan.forward_steps, &scalars)
                    .unwrap();
                masks.push([0, 1].map(|layer| {
                    runner
                        .read_tensor(&mut *device, plan.outputs[layer])
                        .unwrap()
                }));
            }
            assert_eq!(
                masks[0], masks[1],
                "{precision:?}, step {step}: host and OpenCL"
            );
            // Word i of the stream (seed; dropout, layer, step) decides element i of [batch, height, width, channels].
            for (layer, channels, places, probability) in [(0, 5, 35, 0.5), (1, 33, 1, 0.25)] {
                let stream = Stream::new(seed, Purpose::Dropout, layer as u32, step);
                let threshold = (probability * 4_294_967_296.0) as u32;
                let mask = &masks[0][layer];
                for (at, &value) in mask.iter().enumerate() {
                    let (n, c, place) = (
                        at / (channels * places),
                        at / places % channels,
                        at % places,
                    );
                    let element = (n * places + place) * channels + c;
                    let kept = stream.word(element as u64) >= threshold;
                    let expected = if kept { 1.0 / (1.0 - probability) } else { 0.0 };
                    assert!(
                        (value - expected).abs() < 1e-6,
                        "layer {layer}, element {element}: {value}, not {expected}"
                    );
                }
                let kept =
                    mask.iter().filter(|&&value| value != 0.0).count() as f64 / mask.len() as f64;
                assert!((kept - (1.0 - probability)).abs() < 0.1, "{kept} kept");
            }
        }
    }
}

#[test]
fn a_device_allocates_what_the_plan_says() {
    for name in ["host", "cpu"] {
        for precision in [Precision::F32, Precision::F64] {
            let mut device = device::open(name).expect("the device is there");
            let machine = Machine::new(*device.limits(), precision);
            let plan = lower(
                &graph(&text_of("nets/small.net")),
                &Options::training(32, optimizer(&config())),
                &machine,
            );
            let planned = plan.total_bytes();
            Runner::load(&mut *device, plan).expect("it fits");
            assert_eq!(device.allocated_bytes(), planned, "{name}, {precision:?}");
            device.reset().expect("it forgets");
            assert_eq!(device.allocated_bytes(), 0, "{name}, {precision:?}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    const CHAIN: &str = "input 1x28x28 C4 -> P -> N -> F24(dropout=0.5) -> F10";
    for (device, network) in [
        ("host", CHAIN),
        ("cpu", CHAIN),
        ("host", JOINS),
        ("cpu", JOINS),
    ] {
        let train = |seed: u32| {
            let netc = Netc::new()
                .file("a.net", network)
                .args(["train", "a.net", "--quiet", "--device", device]);
            let outcome = netc
                .set("train.epochs", 1)
                .set("train.seed", seed)
                .set("output.dir", "run")
                .run();
            outcome.exits(0);
            std::fs::read(outcome.path("run/final.safetensors")).expect("the parameters")
        };
        let first = train(5);
        assert!(first == train(5), "{device}: the same seed");
        assert!(first != train(6), "{device}: another seed");
    }
}
