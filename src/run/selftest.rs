//! Is a device to be trusted: every kernel that the planner would choose, against the host engine.
//!
//! Small networks of odd sizes go through both engines, the same plan on the same inputs, and after every step
//! everything that the step wrote is compared. One outcome a step.

use crate::device::Device;
use crate::device::host::Host;
use crate::diagnostic::{Code, Diagnostic};
use crate::ir::{self, Graph};
use crate::op::emit::{Access, Argument, BufferId, Element, Machine, Scalars};
use crate::op::optimizer::{Method, Optimizer};
use crate::op::parameter::Init;
use crate::op::real::Precision;
use crate::plan::lower::{Head, Options, lower};
use crate::plan::{Mode, Plan};
use crate::random::{Purpose, Stream};
use crate::source::Source;
use crate::syntax;

use super::golden::{Comparison, Outcome};
use super::runner::Runner;
use super::session::initial_values;

/// The networks: name, batch, text. Sizes are odd, so that every tile has an edge; together they reach every kernel.
const NETWORKS: &[(&str, usize, &str)] = &[
    (
        "chain",
        5,
        "input 1x13x11 C20->P->N->C37->P(kernel=3,stride=2)->N->F33(dropout=0.5)->F7",
    ),
    (
        "strides",
        3,
        "input 3x23x19 C13(kernel=5x3,stride=2x3,pad=2x1,act=tanh)->C9(kernel=3,stride=2,act=sigmoid)->F5",
    ),
    (
        "groups",
        2,
        "input 6x9x10 C12(groups=3,act=leaky)->C8(groups=2,kernel=1,pad=0,act=none)->A(tanh)->F3",
    ),
    (
        "wide",
        4,
        "input 2x17x30 C50(kernel=1x5,pad=0x2)->C3(kernel=7,pad=3,bias=none,dropout=0.25)->F130->F11",
    ),
    (
        "averages",
        3,
        "input 4x11x12 C16->P(avg,kernel=3,stride=2,pad=1,ceil)->N(meanvar)->C5->P(avg,global)->F4",
    ),
    (
        "pools",
        2,
        "input 3x12x13 C17->P(kernel=3x2,stride=2x1,pad=1x0)->P(ceil,kernel=4,stride=3)->P(global)->F6",
    ),
    (
        "norms",
        3,
        "input 5x7x6 C11->N(size=3,alpha=0.5,beta=0.5,k=1)->A->C24(kernel=5,pad=4)->N(alpha=1)->P(kernel=11x3)->F2",
    ),
    (
        "residual",
        3,
        "input 3x9x7 C6(bias=none)->N(batch)->+[C6->C6(act=none,kernel=1)]->A->+[C11|P(kernel=1)->C11(kernel=5)|C11(act=none,bias=none)]->N(batch,affine,eps=1e-3,momentum=0.3)->F5->+[F5|]->N(batch,affine)->F4",
    ),
    (
        "dense",
        7,
        "input 2x8x7 &[C5]->N(batch,affine)->&[C3->C4(kernel=1)]->&[C7(kernel=3x1,pad=1x0)|P(kernel=1)|]->+[P(kernel=1)| | ]->&[F6|F3]->N(batch)->F4",
    ),
    (
        "filtering",
        3,
        "input 5x11x18 C40->C50(kernel=5,act=tanh)->C36(groups=2,bias=none)->P->C33(kernel=5,pad=1)->C40->F3",
    ),
    ("places", 2, "input 2x18x17 C5->P(global)->F3"),
    (
        "large",
        1,
        "input 3x41x37 C24(kernel=11,stride=4,pad=2)->C33(kernel=5)->F600->F19",
    ),
    (
        "blocks",
        4,
        "input 19x23x17 C70(kernel=7,pad=2,act=tanh)->P->C102(kernel=5x3,stride=2x1,pad=3x2)->C76(groups=2,kernel=2x3,pad=1)->P->F3",
    ),
];

/// Runs all of them on a device; calls `each` with every step's outcome.
///
/// # Errors
/// E0702, E0703, E0704 of the device.
pub fn run(
    device: &mut dyn Device,
    machine: &Machine,
    mut each: impl FnMut(&Outcome),
) -> Result<Vec<Outcome>, Diagnostic> {
    let mut outcomes = Vec::new();
    // Batches are small here, and Winograd's filtering is to be tested all the same.
    let mut machine = *machine;
    machine.tuning.winograd_weight_cost = 0.0;
    for (name, batch, text) in NETWORKS {
        let graph = graph(name, text)?;
        let rule = Optimizer::sgd(0.9, 0.01);
        let training = Options {
            input_gradient: true,
            keep_gradients: true,
            ..Options::training(*batch, rule)
        };
        let softmax = Options {
            mode: Mode::Inference,
            head: Head::Softmax,
            ..Options::inference(*batch)
        };
        let mut ways = vec![("training", training.clone()), ("inference", softmax)];
        if outcomes.is_empty() {
            // The updates know nothing of layers: one network does for all of them.
            ways.extend(methods().map(|(mode, optimizer)| {
                let optimizer = Some(optimizer);
                let training = training.clone();
                (
                    mode,
                    Options {
                        optimizer,
                        ..training
                    },
                )
            }));
        }
        for (mode, options) in ways {
            let plan = lower(&graph, &options, &machine);
            let runner = Runner::load(device, plan)?;
            let compared = compare(device, &runner)?;
            device.reset()?;
            for (step, comparisons) in compared {
                let outcome = Outcome {
                    name: format!("{name}.{mode}.{step}"),
                    op: step,
                    result: Ok(comparisons),
                };
                each(&outcome);
                outcomes.push(outcome);
            }
        }
    }
    Ok(outcomes)
}

/// The methods beside plain momentum, with all that may come before an update.
fn methods() -> impl Iterator<Item = (&'static str, Optimizer)> {
    let nesterov = Method::Momentum {
        momentum: 0.9,
        nesterov: true,
    };
    let adam = |decoupled| Method::Adam {
        beta1: 0.9,
        beta2: 0.99,
        epsilon: 1e-6,
        decoupled,
    };
    let of = |method, clip, accumulate| Optimizer {
        method,
        clip,
        accumulate,
        decay_biases: true,
        smoothing: 0.1,
        ..Optimizer::sgd(0.9, 0.01)
    };
    [
        ("nesterov", of(nesterov, 0.5, 1)),
        ("adam", of(adam(false), 0.0, 3)),
        ("adamw", of(adam(true), 0.5, 3)),
    ]
    .into_iter()
}

fn graph(name: &str, text: &str) -> Result<Graph, Diagnostic> {
    let (tree, faults) = syntax::parse(&Source::new(name, text));
    let (graph, more) = ir::build(
        &tree,
        &ir::Options {
            name: name.into(),
            ..ir::Options::default()
        },
    );
    let fault = faults.into_vec().into_iter().chain(more.into_vec()).next();
    graph.ok_or_else(|| {
        fault.unwrap_or_else(|| {
            Diagnostic::error(
                Code::E0705,
                format!("the self-test's network `{name}` is broken"),
            )
        })
    })
}

/// Runs a plan on both engines, step by step; what each step wrote, compared. Each step begins with the host's values in
/// both, so that no step is blamed for what those before it rounded.
///
/// # Errors
/// E0703, E0704 of the device.
pub(super) fn compare(
    device: &mut dyn Device,
    theirs: &Runner,
) -> Result<Vec<(String, Vec<Comparison>)>, Diagnostic> {
    let mut host = Host::new();
    let plan = theirs.plan.clone();
    let ours = Runner::load(&mut host, Plan::clone(&plan))?;
    let engines: [(&Runner, &mut dyn Device); 2] = [(&ours, &mut host), (theirs, device)];
    let mut pair = engines;
    for (runner, device) in &mut pair {
        prepare(runner, *device)?;
    }
    let scalars = Scalars {
        learning_rate: 0.05,
        step_size: 0.1,
        correction: 0.3,
        step: 3,
        seed: 0x1234_5678_9abc,
        images: plan.batch as u32,
    };
    let mut results = Vec::new();
    for (at, step) in plan.steps.iter().enumerate() {
        for (runner, device) in &mut pair {
            runner.run(*device, at..at + 1, &scalars)?;
        }
        // What a step used for itself must not show where later buffers have gaps.
        for (id, _) in step
            .buffers()
            .filter(|(_, access)| *access == Access::Scratch)
        {
            for (runner, device) in &mut pair {
                zero(runner, *device, id)?;
            }
        }
        let mut comparisons = Vec::new();
        for argument in &step.call.arguments {
            let Argument::Buffer(id, Access::Write | Access::Update) = argument else {
                continue;
            };
            let bytes = |runner: &Runner, device: &mut dyn Device| {
                let mut bytes = vec![0; copied_bytes(&plan, *id)];
                device.read(runner.loaded, *id, &mut bytes)?;
                Ok::<_, Diagnostic>(bytes)
            };
            let expected = bytes(pair[0].0, &mut *pair[0].1)?;
            let got = bytes(pair[1].0, &mut *pair[1].1)?;
            comparisons.push(comparison(&plan, *id, &got, &expected));
            pair[1].1.write(theirs.loaded, *id, &expected)?;
        }
        results.push((
            format!("{} {}", step.name, step.call.kernel().function),
            comparisons,
        ));
    }
    Ok(results)
}

/// Fills everything: zeros, then inputs, labels and parameters from fixed streams.
pub(super) fn prepare(runner: &Runner, device: &mut dyn Device) -> Result<(), Diagnostic> {
    let plan = &runner.plan;
    for (id, buffer) in plan.buffers.iter().enumerate() {
        if !buffer.lifetime.is_empty() {
            zero(runner, device, BufferId(id))?;
        }
    }
    for (index, buffers) in plan.parameters.iter().enumerate() {
        let mut values = initial_values(&buffers.parameter, index, 7);
        if let Init::Constant(middle) = buffers.parameter.init {
            values = uniform(values.len(), 100 + index as u32);
            values
                .iter_mut()
                .for_each(|value| *value = middle + *value / 2.0);
        }
        runner.write_parameter(device, &buffers.parameter, buffers.value, &values)?;
    }
    let (buffer, view) = plan.input;
    runner.write_tensor(
        device,
        (buffer, view),
        &uniform(view.batch * view.shape.elements(), 1),
    )?;
    if let Some(labels) = plan.labels {
        let classes = plan.output.1.shape.elements() as i32;
        runner.write_ints(
            device,
            labels,
            &(0..plan.batch as i32)
                .map(|n| n % classes)
                .collect::<Vec<_>>(),
        )?;
    }
    Ok(())
}

fn zero(runner: &Runner, device: &mut dyn Device, id: BufferId) -> Result<(), Diagnostic> {
    device.write(runner.loaded, id, &vec![0; copied_bytes(&runner.plan, id)])
}

/// Numbers from -1 to 1 that all differ.
fn uniform(count: usize, object: u32) -> Vec<f64> {
    let stream = Stream::new(7, Purpose::Init, 1000 + object, 1);
    (0..count as u64)
        .map(|i| f64::from(stream.word(i)) / f64::from(u32::MAX) * 2.0 - 1.0)
        .collect()
}

/// Bytes of a buffer's elements.
fn copied_bytes(plan: &Plan, id: BufferId) -> usize {
    let buffer = plan.buffer(id);
    buffer.elements * buffer.element.bytes(plan.precision) as usize
}

/// A buffer's elements as numbers. Bytes of any place: nothing is aligned.
fn numbers(element: Element, precision: Precision, bytes: &[u8]) -> Vec<f64> {
    fn word<const N: usize>(bytes: &[u8]) -> [u8; N] {
        bytes.try_into().expect("internal error: a whole element")
    }
    match (element, precision) {
        (Element::Byte, _) => bytes.iter().map(|&byte| f64::from(byte)).collect(),
        (Element::Int, _) => {
            let ints = bytes
                .chunks_exact(4)
                .map(|bytes| i32::from_ne_bytes(word(bytes)));
            ints.map(f64::from).collect()
        }
        (Element::Real, Precision::F32) => {
            let reals = bytes
                .chunks_exact(4)
                .map(|bytes| f32::from_ne_bytes(word(bytes)));
            reals.map(f64::from).collect()
        }
        (Element::Real, Precision::F64) => {
            let reals = bytes
                .chunks_exact(8)
                .map(|bytes| f64::from_ne_bytes(word(bytes)));
            reals.collect()
        }
    }
}

/// Whole numbers must agree exactly; others within what the order of a sum explains.
fn comparison(plan: &Plan, id: BufferId, got: &[u8], expected: &[u8]) -> Comparison {
    let buffer = plan.buffer(id);
    let [got, expected] =
        [got, expected].map(|bytes| numbers(buffer.element, plan.precision, bytes));
    let scale = expected
        .iter()
        .fold(0.0f64, |largest, value| largest.max(value.abs()));
    let relative = match (buffer.element, plan.precision) {
        (Element::Real, Precision::F32) => 2e-5,
        (Element::Real, Precision::F64) => 1e-11,
        _ => 0.0,
    };
    let error = got
        .iter()
        .zip(&expected)
        .map(|(a, b)| (a - b).abs())
        .fold(
            0.0f64,
            |most, e| if e > most || e.is_nan() { e } else { most },
        );
    Comparison {
        tensor: buffer.name.to_string(),
        error,
        scale,
        tolerance: relative * scale,
    }
}
