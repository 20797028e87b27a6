//! The signal at the start: what is computed, against what an engine measures.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use netc::analysis::{self, Expected, input};
use netc::config::{Config, MeanOf, Scale};
use netc::data::{self, Dataset, Mean, Part, gather};
use netc::device::{self, Device};
use netc::ir::{self, Graph};
use netc::op::emit::{Machine, Scalars};
use netc::op::optimizer::Sgd;
use netc::op::real::Precision;
use netc::op::view::View;
use netc::op::{InitRule, Recipe};
use netc::plan::Plan;
use netc::plan::lower::{Options, lower};
use netc::run::runner::Runner;
use netc::run::session::initial_values;
use netc::source::Source;
use netc::syntax;

use crate::harness::{long, root};

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
    let machine = Machine {
        limits: device.limits().clone(),
        precision: Precision::F32,
    };
    let optimizer = Sgd {
        momentum: 0.0,
        weight_decay: 0.0,
        decay_biases: false,
    };
    let options = Options {
        keep_gradients: true,
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
    for layer in 0..graph.nodes.len() {
        let last = plan.steps[..plan.forward_steps]
            .iter()
            .rposition(|step| step.layer == Some(layer))
            .unwrap();
        to(device, &mut ran, last + 1);
        measured[layer].0 = rms(&runner.read_tensor(device, plan.outputs[layer]).unwrap());
    }
    to(device, &mut ran, plan.forward_steps);
    for layer in (0..graph.nodes.len()).rev() {
        let Some(at) = gradient(&plan, graph, layer, &machine) else {
            continue;
        };
        let name = format!("{}.", graph.nodes[layer].name);
        let first = plan.steps[plan.forward_steps..plan.gradient_steps]
            .iter()
            .position(|step| {
                step.layer == Some(layer)
                    && step.name.starts_with(&name)
                    && !step.name.contains("d_dst")
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
) -> Option<(netc::op::emit::BufferId, View)> {
    let last = layer + 1 == graph.nodes.len();
    let name = if last {
        "d_output".to_owned()
    } else {
        format!("{}.d_dst", graph.nodes[layer].name)
    };
    let index = plan.buffers.iter().position(|buffer| buffer.name == name)?;
    let wishes = graph.nodes[layer].op.wishes(
        &graph.input_shapes(layer),
        graph.output_shape(layer),
        machine,
    );
    let view = View::packed(graph.output_shape(layer), plan.batch, wishes.d_dst_halo);
    Some((netc::op::emit::BufferId(index), view))
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

/// Pictures with the statistics of photographs, of any size and any number of classes: fashion-mini's, enlarged.
struct Pictures {
    set: Dataset,
    mean: Mean,
    scale: Scale,
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
        if !fg.is_nan() {
            backward = backward.max(fg)
        }
    }
    (table, forward, backward)
}

#[test]
fn probe() {
    let which = std::env::var("PROBE").unwrap_or("small".into());
    let unit = std::env::var("PROBE_SCALE").is_err();
    let file = if which == "small" {
        "nets/small.net"
    } else {
        which.as_str()
    };
    let text = fs::read_to_string(root().join(file)).unwrap();
    let config = Config::default();
    let mut data = config.data.clone();
    data.crop = None;
    let name = std::env::var("PROBE_DATA").unwrap_or("fashion-mini".into());
    let first = graph(&text, InitRule::He, 0.5);
    if which.contains("alexnet") {
        data.resize = Some(256);
        data.crop = Some(227);
    }
    let set = data::open(&name, Part::Train, &data, first.input).unwrap();
    let mean = Mean::of(&set, MeanOf::Pixel).unwrap();
    let scale = if unit { Scale::Unit } else { Scale::None };
    let stats = input::statistics(&set, &mean, scale).unwrap();
    eprintln!(
        "input rms {} moments {:?}",
        stats.rms(),
        stats
            .moments
            .map(|m| (m / stats.square() * 100.0).round() / 100.0)
    );
    let batch = std::env::var("PROBE_BATCH").map_or(64, |b| b.parse().unwrap());
    let indices: Vec<u32> = (0..batch).map(|i| (i * set.len() / batch) as u32).collect();
    let labels: Vec<i32> = indices
        .iter()
        .map(|&i| set.labels()[i as usize] as i32)
        .collect();
    let mut images = vec![0f32; batch * set.shape().elements()];
    gather(&set, &indices, &mean, scale, &mut images).unwrap();
    for (name, init) in INITS {
        let graph = graph(&text, *init, 0.5);
        let seeds = std::env::var("PROBE_SEEDS").map_or(3, |b| b.parse().unwrap());
        let runs: Vec<Measured> = (1..=seeds)
            .map(|seed| measure(&graph, &images, &labels, seed))
            .collect();
        let expected = analysis::signal(&graph, &stats, batch);
        let (table, f, g) = compare(name, &graph, &average(&runs), &expected);
        eprintln!("{table}  worst {f:.3} {g:.3}");
    }
    let _ = (long(), Path::new(""));
}
