//! The signal at the start: what is computed, against what an engine measures.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use netc::analysis::{self, Expected, input, warning};
use netc::config::{Config, MeanOf, Scale};
use netc::data::{self, Dataset, Loader, Part, Preparation, Survey};
use netc::device::{self, Device};
use netc::ir::{self, Graph};
use netc::op::emit::{BufferId, Machine, Scalars};
use netc::op::optimizer::Optimizer;
use netc::op::real::Precision;
use netc::op::shape::Shape;
use netc::op::signal::Signal;
use netc::op::view::View;
use netc::op::{InitRule, Recipe};
use netc::plan::Plan;
use netc::plan::lower::{Options, lower};
use netc::random::{Purpose, Stream};
use netc::run::runner::Runner;
use netc::run::session::initial_values;
use netc::source::Source;
use netc::syntax;
use rand_distr::{Distribution, StandardNormal};

use crate::harness::{Netc, Outcome, long, root, text_of, write};

/// Initial values by name.
const INITS: &[(&str, InitRule)] = &[
    ("he", InitRule::He),
    ("xavier", InitRule::Xavier),
    ("0.01", InitRule::Gaussian(0.01)),
    ("0.1", InitRule::Gaussian(0.1)),
    ("1.0", InitRule::Gaussian(1.0)),
];

fn graph(text: &str, init: InitRule, dropout: f64) -> Graph {
    let (tree, faults) = syntax::parse(&Source::new("test.net", text));
    assert!(faults.is_empty(), "{faults:?}");
    let recipe = Recipe {
        init,
        dropout,
        ..Recipe::default()
    };
    let options = ir::Options {
        name: "test".into(),
        input: None,
        recipe,
    };
    let (graph, faults) = ir::build(&tree, &options);
    assert!(!faults.has_errors(), "{faults:?}");
    graph.unwrap()
}

/// Root mean squares of each layer's output, and of the gradient that comes back to it.
type Measured = Vec<(f64, f64)>;

/// One mini-batch forward and backward at the initial values of a seed.
fn measure(graph: &Graph, images: &[f32], labels: &[i32], seed: u64) -> Measured {
    let mut device = device::open("host").unwrap();
    let device = &mut *device;
    let machine = Machine::new(*device.limits(), Precision::F32);
    let optimizer = Optimizer::sgd(0.0, 0.0);
    let options = Options {
        keep_gradients: true,
        fusion: false,
        ..Options::training(labels.len(), optimizer)
    };
    let plan = lower(graph, &options, &machine);
    let runner = Runner::load(device, plan).unwrap();
    let plan = Arc::clone(&runner.plan);
    for (index, buffers) in plan.parameters.iter().enumerate() {
        let values = initial_values(&buffers.parameter, index, seed);
        runner
            .write_parameter(device, &buffers.parameter, buffers.value, &values)
            .unwrap();
    }
    let (buffer, view) = plan.input;
    let mut physical = vec![0f32; view.elements()];
    view.scatter(images, &mut physical);
    device
        .write(runner.loaded, buffer, bytemuck::cast_slice(&physical))
        .unwrap();
    runner
        .write_ints(device, plan.labels.unwrap(), labels)
        .unwrap();
    let scalars = Scalars {
        seed,
        ..Scalars::default()
    };
    let mut measured = vec![(f64::NAN, f64::NAN); graph.nodes.len()];
    // A layer's output is whole after its last forward step, its gradient before its first backward step.
    let mut ran = 0;
    let to = |device: &mut dyn Device, ran: &mut usize, until: usize| {
        runner.run(device, *ran..until.max(*ran), &scalars).unwrap();
        *ran = until.max(*ran);
    };
    for (layer, sizes) in measured.iter_mut().enumerate() {
        let last = plan.steps[..plan.forward_steps]
            .iter()
            .rposition(|step| step.layer == Some(layer))
            .unwrap();
        to(device, &mut ran, last + 1);
        sizes.0 = rms(&runner.read_tensor(device, plan.outputs[layer]).unwrap());
    }
    to(device, &mut ran, plan.forward_steps);
    for layer in (0..graph.nodes.len()).rev() {
        let Some(at) = gradient(&plan, graph, layer, &machine) else {
            continue;
        };
        let owner = Some(&*graph.nodes[layer].name);
        let first = plan.steps[plan.forward_steps..plan.gradient_steps]
            .iter()
            .position(|step| {
                step.layer == Some(layer)
                    && step.name.owner() == owner
                    && step.name.first_word() != "d_dst"
            });
        let Some(first) = first else { continue };
        to(device, &mut ran, plan.forward_steps + first);
        measured[layer].1 = rms(&runner.read_tensor(device, at).unwrap());
    }
    measured
}

/// Where the gradient of a layer's output lies.
fn gradient(
    plan: &Plan,
    graph: &Graph,
    layer: usize,
    machine: &Machine,
) -> Option<(BufferId, View)> {
    let last = layer + 1 == graph.nodes.len();
    let name = if last {
        "d_output".to_owned()
    } else {
        format!("{}.d_dst", graph.nodes[layer].name)
    };
    let index = plan
        .buffers
        .iter()
        .position(|buffer| buffer.name.to_string() == name)?;
    let wishes = graph.nodes[layer].op.wishes(
        &graph.input_shapes(layer),
        graph.output_shape(layer),
        machine,
    );
    let view = View::packed(graph.output_shape(layer), plan.batch, wishes.d_dst_halo);
    Some((BufferId(index), view))
}

fn rms(values: &[f64]) -> f64 {
    (values.iter().map(|value| value * value).sum::<f64>() / values.len() as f64).sqrt()
}

/// Root mean squares over several seeds.
fn average(runs: &[Measured]) -> Measured {
    (0..runs[0].len())
        .map(|layer| {
            let over = |of: fn(&(f64, f64)) -> f64| {
                rms(&runs.iter().map(|run| of(&run[layer])).collect::<Vec<_>>())
            };
            (over(|m| m.0), over(|m| m.1))
        })
        .collect()
}

/// The table of one network with one kind of initial values, and the largest factor between computed and measured.
fn compare(
    title: &str,
    graph: &Graph,
    measured: &Measured,
    expected: &[Expected],
) -> (String, f64, f64) {
    let mut table =
        format!("{title}\n  layer        signal  measured  factor    gradient  measured  factor\n");
    let (mut forward, mut backward) = (1.0f64, 1.0f64);
    let mut without = 0;
    let factor = |a: f64, b: f64| if a > b { a / b } else { b / a };
    for (node, (measured, expected)) in graph.nodes.iter().zip(measured.iter().zip(expected)) {
        let (s, g) = (expected.signal.rms(), expected.gradient.rms());
        let (fs, fg) = (factor(s, measured.0), factor(g, measured.1));
        let _ = writeln!(
            table,
            "  {:6}  {s:12.4e} {:9.3e}  {fs:6.3}  {g:10.3e} {:9.3e}  {fg:6.3}",
            node.name, measured.0, measured.1
        );
        forward = if fs.is_nan() {
            f64::INFINITY
        } else {
            forward.max(fs)
        };
        // A join may hand its gradient on without a buffer of its own.
        if measured.1.is_nan() {
            without += 1;
        } else {
            backward = if fg.is_nan() {
                f64::INFINITY
            } else {
                backward.max(fg)
            };
        }
    }
    assert!(
        without * 2 < graph.nodes.len(),
        "hardly a gradient is measured:\n{table}"
    );
    (table, forward, backward)
}

/// Images, and what is done to their pixels.
struct Images {
    set: Dataset,
    config: Config,
    /// What is said of them.
    statistics: Signal,
}

impl Images {
    fn open(name: &str, scale: Scale, size: Option<(usize, usize)>, input: Shape) -> Self {
        let mut config = Config::default();
        config.data.scale = scale;
        config.data.mean = MeanOf::Pixel;
        (config.data.resize, config.data.crop) = size.unzip();
        let set = data::open(name, Part::Train, &config.data, Some(input)).unwrap();
        let statistics = input::statistics(&set, &config.data).unwrap();
        Self {
            set,
            config,
            statistics,
        }
    }

    fn fashion() -> Self {
        Self::open("fashion-mini", Scale::Unit, None, Shape::image(1, 28, 28))
    }

    /// A mini-batch, spread over the set.
    fn batch(&self, batch: usize) -> (Vec<f32>, Vec<i32>) {
        let set = &self.set;
        let indices: Vec<u32> = (0..batch).map(|i| (i * set.len() / batch) as u32).collect();
        let data = &self.config.data;
        let mean = set
            .clone()
            .survey(MeanOf::Pixel, &Survey::of(data))
            .unwrap();
        let preparation = Preparation {
            set,
            mean: &mean,
            scale: data.scale,
            augmentation: None,
            parts: 1,
            workers: 0,
        };
        let mut loader = Loader::new(&preparation, batch, 0..1, |_| indices.clone());
        let batch = loader.next_batch().unwrap().clone();
        (batch.images, batch.labels)
    }
}

/// Writes a folder of class folders of colour pictures that look alike to the statistics of photographs: noise in
/// octaves, each twice as strong as the next finer one, as a power spectrum of 1/f^2 wants it (Field 1987).
fn photographs(folder: &Path, classes: usize, of_each: usize, side: usize) {
    let mut stream = Stream::new(7, Purpose::Shuffle, 0, 0);
    let mut normal = move || -> f64 { StandardNormal.sample(&mut stream) };
    for class in 0..classes {
        for number in 0..of_each {
            let mut field = vec![[0f64; 3]; side * side];
            let mut cell = side as f64;
            let mut strength = 45.0;
            while cell >= 1.0 {
                let across = (side as f64 / cell).ceil() as usize + 2;
                let grid: Vec<[f64; 3]> = (0..across * across)
                    .map(|_| {
                        let grey = normal();
                        [0; 3].map(|_| grey + 0.4 * normal())
                    })
                    .collect();
                for (at, value) in field.iter_mut().enumerate() {
                    let (y, x) = ((at / side) as f64 / cell, (at % side) as f64 / cell);
                    let (row, column) = (y as usize, x as usize);
                    let (down, right) = (y.fract(), x.fract());
                    for (channel, value) in value.iter_mut().enumerate() {
                        let corner =
                            |r: usize, c: usize| grid[(row + r) * across + column + c][channel];
                        *value += strength
                            * ((1.0 - down)
                                * ((1.0 - right) * corner(0, 0) + right * corner(0, 1))
                                + down * ((1.0 - right) * corner(1, 0) + right * corner(1, 1)));
                    }
                }
                cell /= 2.0;
                strength /= 2.0;
            }
            let picture = image::RgbImage::from_fn(side as u32, side as u32, |x, y| {
                image::Rgb(field[y as usize * side + x as usize].map(|value| (value + 120.0) as u8))
            });
            let mut bytes = std::io::Cursor::new(Vec::new());
            picture
                .write_to(&mut bytes, image::ImageFormat::Png)
                .unwrap();
            write(
                &folder.join(format!("class{class}/{number}.png")),
                &bytes.into_inner(),
            );
        }
    }
}

/// Runs and computes a network with some initial values; demands factors of at most `bar`, of gradients where wanted.
#[track_caller]
fn agree(
    title: &str,
    text: &str,
    images: &Images,
    inits: &[(&str, InitRule)],
    run: (usize, u64),
    bar: (f64, f64),
) {
    let (batch, seeds) = run;
    let (pixels, labels) = images.batch(batch);
    for &(word, init) in inits {
        let graph = graph(text, init, 0.5);
        let runs: Vec<Measured> = (1..=seeds)
            .map(|seed| measure(&graph, &pixels, &labels, seed))
            .collect();
        let expected = analysis::signal(&graph, &images.statistics, batch);
        let (table, forward, backward) = compare(
            &format!("{title}, {word}"),
            &graph,
            &average(&runs),
            &expected,
        );
        eprintln!("{table}  largest factor: signal {forward:.2}, gradient {backward:.2}");
        assert!(
            forward <= bar.0 && backward <= bar.1,
            "{forward:.2} and {backward:.2} are not within {bar:?}\n{table}"
        );
    }
}

#[test]
fn the_signal_of_small_is_as_measured() {
    agree(
        "small",
        &text_of("nets/small.net"),
        &Images::fashion(),
        INITS,
        (32, 2),
        (2.0, 2.0),
    );
}

#[test]
fn the_signal_of_kishida_is_as_measured() {
    let folder = tempfile::tempdir().unwrap();
    photographs(folder.path(), 4, 16, 32);
    let name = folder.path().to_str().unwrap();
    for (scale, inits) in [(Scale::Unit, INITS), (Scale::None, &[INITS[0], INITS[2]])] {
        let images = Images::open(name, scale, None, Shape::image(3, 32, 32));
        agree(
            "kishida",
            &text_of("nets/kishida.net"),
            &images,
            inits,
            (16, 2),
            (2.0, 2.0),
        );
    }
}

#[test]
fn the_signal_of_alexnet_is_as_measured() {
    if !long() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    photographs(folder.path(), 4, 8, 256);
    let name = folder.path().to_str().unwrap();
    for net in ["alexnet", "alexnet-groups"] {
        let text = text_of(&format!("nets/{net}.net"));
        for scale in [Scale::Unit, Scale::None] {
            let images = Images::open(name, scale, Some((256, 227)), Shape::image(3, 227, 227));
            agree(
                net,
                &text,
                &images,
                &[INITS[0], INITS[2]],
                (8, 1),
                (2.0, 2.0),
            );
            agree(
                net,
                &text,
                &images,
                &[INITS[1], INITS[3], INITS[4]],
                (8, 1),
                (2.0, f64::INFINITY),
            );
        }
    }
}

/// Every kind, form of padding and activation: a layer's rule against the layer.
#[test]
fn the_rule_of_every_layer_is_as_measured() {
    let images = Images::fashion();
    let he = &INITS[..1];
    let wide = &[INITS[0], INITS[3]];
    let nets = [
        "C32(kernel=7, stride=2, pad=3) -> C32(kernel=5, pad=4, groups=4, act=leaky) -> F10",
        "C32(act=tanh, bias_init=0.5) -> C32(kernel=1x5, act=sigmoid) -> F64(act=tanh, dropout=0.3) -> F10",
        "C32 -> P(avg, kernel=3, stride=2, pad=1, ceil) -> C32 -> P(avg) -> F10",
        "C32 -> P(kernel=3, stride=2, pad=1, ceil) -> C32(act=leaky) -> P(kernel=2, stride=1) -> F10",
        "C32 -> P -> C64 -> P(avg, global) -> F10",
        "C32 -> C64 -> P(global) -> F10",
        "C32 -> N(meanvar) -> C32(act=none) -> N(meanvar) -> A -> C16 -> F10",
        "C32 -> N(alpha=1, size=3) -> C32 -> N(alpha=10, k=1, beta=0.5) -> F10",
        "C32(act=none) -> A(tanh) -> C32(act=none) -> A(sigmoid) -> C32(act=none) -> A(leaky) -> F10",
        "C16 -> +[C16 -> C16(act=none)] -> A -> P -> +[C16 | C16] -> &[C16] -> P -> F10",
        "C16 -> &[C16 | C8(act=tanh)] -> P(avg) -> F32 -> +[F32(act=none)] -> F10",
        "C16(act=none) -> N(batch, affine) -> A -> +[C16(act=none) -> N(batch)] -> A -> P -> F32(act=none) -> N(batch) -> A -> F10",
        "C16 -> N(batch) -> C16(act=tanh) -> N(batch, affine) -> P(avg) -> F10",
        "C32(act=none, bias=none, dropout=0.2) -> P -> A -> C32(bias_init=1) -> P -> F32(act=sigmoid) -> F10",
    ];
    for net in nets {
        let text = format!("input 1x28x28\n{net}");
        let inits: &[(&str, InitRule)] = if net.contains("tanh") { wide } else { he };
        agree(net, &text, &images, inits, (16, 3), (2.0, 2.0));
    }
}

/// `check` of a network that comes along, with its recipe changed by `--set`.
fn small(sets: &[&str]) -> Outcome {
    let mut netc = Netc::new().current(root()).args([
        "check",
        "nets/small.net",
        "--config",
        "nets/small.toml",
    ]);
    for set in sets {
        netc = netc.args(["--set", set]);
    }
    netc.run()
}

#[test]
fn small_weights_warn_and_the_help_repairs_it() {
    // Measured: gaussian weights of 0.01 start flat, 1.0 at a loss of 12,568; he and xavier learn.
    let outcome = small(&["init.weights=gaussian"]);
    outcome.exits(0);
    for words in [
        "warning[W0201]",
        "`c2`",
        "the logits one of 1.1",
        "`init=he`",
        "at 0.33",
        "nets/small.net:4:18",
    ] {
        assert!(
            outcome.stderr.contains(words),
            "no `{words}`:\n{}",
            outcome.stderr
        );
    }
    let outcome = small(&["init.weights=gaussian", "init.std=1.0"]);
    outcome.exits(0);
    for words in [
        "warning[W0202]",
        "`f1`",
        "the logits one of 1.1",
        "`init=he`",
    ] {
        assert!(
            outcome.stderr.contains(words),
            "no `{words}`:\n{}",
            outcome.stderr
        );
    }
    assert!(
        !outcome.stderr.contains("W0204"),
        "a consequence:\n{}",
        outcome.stderr
    );
    for weights in ["he", "xavier"] {
        assert_eq!(small(&[&format!("init.weights={weights}")]).stderr, "");
    }
    // Pixels from 0 to 255 carry gaussian weights of 0.01 through, as in 2015.
    assert_eq!(
        small(&["init.weights=gaussian", "data.scale=none"]).stderr,
        ""
    );
}

#[test]
fn networks_that_learn_do_not_warn() {
    for net in ["small", "kishida", "alexnet", "alexnet-groups"] {
        for weights in ["he", "xavier"] {
            let file = format!("nets/{net}.net");
            let set = format!("init.weights={weights}");
            let outcome = Netc::new()
                .current(root())
                .args(["check", &file, "--no-memory", "--set", &set])
                .run();
            outcome.exits(0);
            assert_eq!(outcome.stderr, "", "{net} with {weights}");
        }
    }
    // With photographs, each by its own recipe.
    for (net, side) in [("kishida", 40), ("alexnet", 256), ("alexnet-groups", 256)] {
        let netc = Netc::new()
            .file("a.net", text_of(&format!("nets/{net}.net")))
            .file("a.toml", text_of(&format!("nets/{net}.toml")))
            .args(["check", "a.net", "--config", "a.toml", "--no-memory"])
            .set("data.train", "p")
            .set("data.test", "p")
            .set("train.batch", 8);
        photographs(&netc.folder().join("p"), 2, 4, side);
        let outcome = netc.run();
        outcome.exits(0).says("signal");
        assert_eq!(outcome.stderr, "", "{net}");
    }
}

#[test]
fn every_layer_has_its_expected_sizes_in_json() {
    let outcome = Netc::new()
        .current(root())
        .args([
            "check",
            "nets/small.net",
            "--config",
            "nets/small.toml",
            "--json",
        ])
        .run();
    let report = outcome.json();
    let file = &report["files"][0];
    let layers = file["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 8);
    for layer in layers {
        let (signal, gradient) = (
            layer["signal"].as_f64().unwrap(),
            layer["gradient"].as_f64().unwrap(),
        );
        assert!(
            signal > 0.1 && signal < 1.0 && gradient > 1e-6 && gradient < 0.01,
            "{layer}"
        );
    }
    // The cost's shares, as README's table of layers has them: 4,817,920 of 4,870,218, 8,128,512 of 13,294,336.
    let most = &file["totals"]["dominant"];
    assert_eq!(
        (
            most["parameters"]["layer"].as_str(),
            most["multiply_adds"]["layer"].as_str()
        ),
        (Some("f1"), Some("c2"))
    );
    assert!((most["parameters"]["share"].as_f64().unwrap() - 0.989_26).abs() < 1e-4);
    assert!((most["multiply_adds"]["share"].as_f64().unwrap() - 0.611_42).abs() < 1e-4);
    assert_eq!(most["memory"]["layer"], "f1");
    // Columns and fields are there where they were asked for.
    let plain = Netc::new()
        .current(root())
        .args(["check", "nets/small.net", "--json"])
        .run()
        .json();
    assert!(plain["files"][0]["layers"][0].get("signal").is_none());
    let bare = Netc::new()
        .args(["check", "--expr", "C8->F2", "--json", "--signal"])
        .run()
        .json();
    assert!(
        bare["files"][0]["layers"][0].get("signal").is_none(),
        "no shapes, no sizes"
    );
}

#[test]
fn values_that_overflow_are_null_and_warned_of() {
    let netc = || {
        Netc::new().args([
            "check",
            "--expr",
            "input 1x8x8 200*[F64] -> F2",
            "--no-memory",
            "--set",
            "init.weights=gaussian",
            "--set",
            "init.std=1e6",
        ])
    };
    let outcome = netc().run();
    outcome.exits(0);
    assert!(
        outcome.stderr.contains("W0202") && outcome.stderr.contains("overflow"),
        "{}",
        outcome.stderr
    );
    let report = netc().args(["--json", "--signal"]).run().json();
    assert_eq!(
        report["files"][0]["layers"][199]["signal"],
        serde_json::Value::Null
    );
}

#[test]
fn a_normalization_makes_small_weights_good() {
    let check = |net: &str| {
        Netc::new()
            .args(["check", "--expr", net, "--no-memory"])
            .run()
            .stderr
    };
    let plain = check("input 1x28x28 C32(std=0.001) -> C32(std=0.001) -> F10");
    assert!(plain.contains("W0201"), "{plain}");
    assert_eq!(
        check("input 1x28x28 C32(std=0.01) -> N(meanvar) -> C32(std=0.01) -> N(meanvar) -> F10"),
        ""
    );
}

#[test]
fn the_pair_is_checked_together() {
    // Everything that is wrong with either, in one run.
    let outcome = Netc::new()
        .file("a.net", "input 1x28x28\nC8(krenel=3) -> F4\n")
        .file(
            "a.toml",
            "[data]\ntrain = \"nowhere\"\ntest = \"nowhere\"\n",
        )
        .args(["check", "a.net", "--config", "a.toml"])
        .run();
    outcome.exits(1);
    for words in ["E0202", "E0501", "a.net:2:4", "a.toml:2:9"] {
        assert!(
            outcome.stderr.contains(words),
            "no `{words}`:\n{}",
            outcome.stderr
        );
    }
    // One set is missed once, although training and test both name it.
    assert_eq!(
        outcome.stderr.matches("error[").count(),
        2,
        "{}",
        outcome.stderr
    );
    // Without `input`, the shape comes from the data set.
    let outcome = Netc::new()
        .file("a.toml", "[train]\nbatch = 20\n")
        .args(["check", "--expr", "C8 -> P -> F10", "--config", "a.toml"])
        .run();
    outcome
        .exits(0)
        .says("8x14x14")
        .says("memory at batch 20")
        .says("signal");
    assert_eq!(outcome.stderr, "");
    // A batch that the set does not fill.
    let outcome = Netc::new()
        .file("a.toml", "[train]\nbatch = 2001\n")
        .args(["check", "--expr", "C8 -> P -> F10", "--config", "a.toml"])
        .run();
    outcome.fails("E0405", &["a.toml:2:9", "2000"]);
}

#[test]
fn the_thresholds_are_those_of_the_documentation() {
    let readme = text_of("README.md");
    for threshold in [
        format!("below {}", warning::VANISHED),
        format!("above {}", warning::EXPLODED),
        format!("factor of {}", warning::GRADIENT_CHANGE),
    ] {
        assert!(
            readme.contains(&threshold),
            "README.md does not say `{threshold}`"
        );
    }
}
