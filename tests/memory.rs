//! That the memory a plan tells of is the memory it takes, and that sharing memory changes nothing.
//!
//! A plan is run as it is, and once more with every buffer apart from all others: the same bits must come out. Around each
//! buffer of the latter stand sentinels, which must stay as they are. Recomputation must change no bit either.

use std::sync::Arc;

use netc::device::{self, Device};
use netc::ir::Graph;
use netc::op::emit::{BufferId, Element, Machine, Scalars};
use netc::op::name::Name;
use netc::op::optimizer::{Method, Optimizer};
use netc::op::parameter::Role;
use netc::op::real::Precision;
use netc::plan::budget::{Job, Room};
use netc::plan::lower::{Head, Options, lower};
use netc::plan::{Buffer, Limits, Mode, Placement, Plan};
use netc::random::{Purpose, Stream};
use netc::run::runner::Runner;
use netc::run::session::{Session, initial_values};

use crate::harness::{graph, long, text_of};
use crate::random_nets::{RandomNet, Scope};

const SGD: Optimizer = Optimizer::sgd(0.9, 0.01);

/// Updates that wait for all gradients, summed over mini-batches and limited.
const ADAMW: Optimizer = Optimizer {
    method: Method::Adam {
        beta1: 0.9,
        beta2: 0.99,
        epsilon: 1e-8,
        decoupled: true,
    },
    clip: 0.5,
    accumulate: 2,
    ..SGD
};

const NETS: [&str; 5] = ["small", "kishida", "alexnet", "residual", "dense"];

fn of_repository(name: &str) -> Graph {
    graph(&text_of(&format!("nets/{name}.net")), None)
}

fn machine(device: &dyn Device, precision: Precision) -> Machine {
    Machine::new(*device.limits(), precision)
}

/// Bytes between two buffers that are apart.
const GAP: u64 = 4096;
/// What sentinels hold: as a float, neither a number nor infinite.
const SENTINEL: u8 = 0xff;

/// The same plan with every buffer in a place of its own, sentinels between them, and the sentinels' ids. A sentinel
/// begins right after a buffer's elements, as far as the device's alignment lets it.
fn apart(plan: &Plan, limits: &Limits) -> (Plan, Vec<BufferId>) {
    let mut apart = plan.clone();
    let mut sentinels = Vec::new();
    let mut offset = 0;
    let all = 0..plan.steps.len();
    let mut guard = |from: u64, to: u64| {
        sentinels.push(Buffer {
            name: Name::from("sentinel"),
            element: Element::Byte,
            elements: (to - from) as usize,
            bytes: to - from,
            placement: Placement::Arena { offset: from },
            lifetime: all.clone(),
        });
    };
    for buffer in &mut apart.buffers {
        if buffer.placement == Placement::Persistent || buffer.lifetime.is_empty() {
            continue;
        }
        guard(offset, offset + GAP);
        offset += GAP;
        buffer.placement = Placement::Arena { offset };
        let elements = buffer.elements as u64 * buffer.element.bytes(plan.precision);
        let end = offset + elements.next_multiple_of(limits.alignment_bytes);
        offset += buffer.bytes.next_multiple_of(GAP);
        if end < offset {
            guard(end, offset);
        }
    }
    guard(offset, offset + GAP);
    apart.arena_bytes = offset + GAP;
    let first = apart.buffers.len();
    let ids = (first..first + sentinels.len()).map(BufferId).collect();
    apart.buffers.extend(sentinels);
    (apart, ids)
}

/// Everything that a plan gives: its output, and every parameter with its velocity.
#[derive(Debug, PartialEq)]
struct Bits(Vec<Vec<u64>>);

/// Runs a plan twice from the same start, in an arena full of what is no number. Sentinels must survive.
fn bits(device: &mut dyn Device, plan: Plan, sentinels: &[BufferId]) -> Bits {
    let runner = Runner::load(device, plan).expect("it fits");
    let plan = Arc::clone(&runner.plan);
    for (id, buffer) in plan.buffers.iter().enumerate() {
        if buffer.placement != Placement::Persistent && !buffer.lifetime.is_empty() {
            let count = buffer.elements * buffer.element.bytes(plan.precision) as usize;
            let nothing = vec![SENTINEL; count];
            device.write(runner.loaded, BufferId(id), &nothing).unwrap();
        }
    }
    for (index, buffers) in plan.parameters.iter().enumerate() {
        let values = initial_values(&buffers.parameter, index, 1);
        runner
            .write_parameter(device, &buffers.parameter, buffers.value, &values)
            .unwrap();
        for &state in buffers.state.iter().chain(&buffers.sum) {
            let zeros = vec![0.0; values.len()];
            runner
                .write_parameter(device, &buffers.parameter, state, &zeros)
                .unwrap();
        }
    }
    let mut all = Vec::new();
    for step in 0..2 {
        let (_, view) = plan.input;
        let stream = Stream::new(5, Purpose::Init, 7, step);
        let pixels: Vec<f64> = (0..(view.batch * view.shape.elements()) as u64)
            .map(|i| f64::from(stream.word(i)) / f64::from(u32::MAX) - 0.5)
            .collect();
        runner.write_tensor(device, plan.input, &pixels).unwrap();
        if let Some(labels) = plan.labels {
            let classes = plan.output.1.shape.elements() as i32;
            let given: Vec<i32> = (0..plan.batch as i32).map(|n| n % classes).collect();
            runner.write_ints(device, labels, &given).unwrap();
        }
        let scalars = Scalars {
            learning_rate: 0.01,
            step_size: 0.01,
            correction: 0.1,
            step,
            seed: 3,
            images: plan.batch as u32,
        };
        runner.run_all(device, &scalars).unwrap();
        all.push(runner.read_tensor(device, plan.output).unwrap());
    }
    for buffers in &plan.parameters {
        for &buffer in [buffers.value].iter().chain(&buffers.state) {
            all.push(
                runner
                    .read_parameter(device, &buffers.parameter, buffer)
                    .unwrap(),
            );
        }
    }
    for &id in sentinels {
        let mut bytes = vec![0; plan.buffer(id).elements];
        device.read(runner.loaded, id, &mut bytes).unwrap();
        let before = plan.buffers[..id.0].iter().rev().map(|b| &b.name).next();
        assert!(
            bytes.iter().all(|&byte| byte == SENTINEL),
            "written beside a buffer: sentinel {id:?}, {before:?}"
        );
    }
    device.reset().unwrap();
    let bits = |values: &Vec<f64>| values.iter().map(|value| value.to_bits()).collect();
    Bits(all.iter().map(bits).collect())
}

/// Every kind of plan of a network: the arena against buffers apart. Returns how many buffers shared bytes.
fn demand_equal_runs(device: &mut dyn Device, graph: &Graph, batch: usize, text: &str) -> usize {
    let machine = machine(device, Precision::F32);
    let softmax = Options {
        head: Head::Softmax,
        ..Options::inference(batch)
    };
    let mut shared = 0;
    let training = [SGD, ADAMW].map(|optimizer| Options::training(batch, optimizer));
    for options in training.into_iter().chain([softmax]) {
        let plan = lower(graph, &options, &machine);
        let (alone, sentinels) = apart(&plan, device.limits());
        shared += usize::from(plan.arena_bytes < alone.arena_bytes / 2);
        let together = bits(device, plan, &[]);
        let alone = bits(device, alone, &sentinels);
        assert!(
            together
                .0
                .iter()
                .flatten()
                .all(|&bits| f64::from_bits(bits).is_finite()),
            "not a number: something was read that nothing had written\n{text}"
        );
        assert!(together == alone, "sharing memory changed a result\n{text}");
    }
    shared
}

#[test]
fn an_arena_gives_the_bits_of_separate_buffers_on_the_host() {
    let mut device = device::open("host").unwrap();
    let (mut shared, nets) = (0, if long() { 400 } else { 60 });
    for seed in 0..nets {
        let net = RandomNet::new(seed, Scope::Whole);
        let text = net.plain();
        // Groups of images form where the batch is large.
        let batch = if seed % 8 == 0 { 200 } else { 3 };
        let graph = graph(&text, Some(net.input));
        shared += demand_equal_runs(&mut *device, &graph, batch, &text);
    }
    assert!(shared > nets as usize, "{shared} plans save memory at all");
}

#[test]
fn an_arena_gives_the_bits_of_separate_buffers_on_opencl() {
    let mut device = device::open("cpu").unwrap();
    let seeds = if long() { 0..40 } else { 0..4 };
    for seed in seeds {
        let net = RandomNet::new(seed, Scope::Whole);
        let text = net.plain();
        let graph = graph(&text, Some(net.input));
        demand_equal_runs(&mut *device, &graph, 3, &text);
    }
    for (name, batch) in [("small", 100), ("residual", 33), ("dense", 64)] {
        demand_equal_runs(&mut *device, &of_repository(name), batch, name);
    }
}

#[test]
fn an_arena_of_several_allocations_gives_the_same_bits() {
    let mut device = device::open("cpu").unwrap();
    let graph = of_repository("residual");
    let mut machine = machine(&*device, Precision::F32);
    let options = Options::training(33, SGD);
    let whole = lower(&graph, &options, &machine);
    let largest = whole
        .buffers
        .iter()
        .map(|buffer| buffer.bytes)
        .max()
        .unwrap();
    machine.limits.allocation_bytes = largest + largest / 4;
    let parts = lower(&graph, &options, &machine);
    let regions: Vec<u64> = parts.regions().collect();
    assert!(regions.len() >= 3, "{regions:?}");
    assert_eq!(regions.iter().sum::<u64>(), parts.arena_bytes);
    assert!(
        regions
            .iter()
            .all(|&bytes| bytes <= machine.limits.allocation_bytes)
    );
    let loaded = Runner::load(&mut *device, parts.clone()).unwrap();
    assert_eq!(device.allocated_bytes(), loaded.plan.total_bytes());
    device.reset().unwrap();
    let parts = bits(&mut *device, parts, &[]);
    assert!(parts == bits(&mut *device, whole, &[]));
}

#[test]
fn sentinels_find_what_is_written_beside_a_buffer() {
    let mut device = device::open("host").unwrap();
    let graph = of_repository("small");
    let machine = machine(&*device, Precision::F32);
    let plan = lower(&graph, &Options::inference(2), &machine);
    let (mut broken, sentinels) = apart(&plan, device.limits());
    // The output a step too far: the next sentinel has its place.
    let output = broken.output.0;
    let Placement::Arena { offset } = broken.buffers[output.0].placement else {
        panic!("an output is in the arena");
    };
    broken.buffers[output.0].placement = Placement::Arena {
        offset: offset + GAP,
    };
    let run = || bits(&mut *device, broken, &sentinels);
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err());
}

#[test]
fn layers_that_share_memory_learn_what_separate_ones_learn() {
    let mut device = device::open("host").unwrap();
    for seed in 0..40 {
        let net = RandomNet::new(seed, Scope::Whole);
        let text = net.plain();
        let graph = graph(&text, Some(net.input));
        let machine = machine(&*device, Precision::F64);
        let shared = Options::training(3, SGD);
        let separate = Options {
            fusion: false,
            ..shared.clone()
        };
        let [shared, separate] = [shared, separate]
            .map(|options| bits(&mut *device, lower(&graph, &options, &machine), &[]));
        for (a, b) in shared.0.iter().flatten().zip(separate.0.iter().flatten()) {
            let (a, b) = (f64::from_bits(*a), f64::from_bits(*b));
            assert!(
                (a - b).abs() <= 1e-9 * b.abs().max(1.0),
                "{a} and {b}, seed {seed}\n{text}"
            );
        }
    }
}

#[test]
fn convolutions_that_pool_their_own_output_learn_what_separate_layers_learn() {
    // Direct products of one and three channels, Winograd's of both sizes, odd maps, groups, strides, activations, a
    // panel that is not full, channels that are not whole vectors; and a pooling into a part of a joined tensor.
    let nets = [
        "input 1x28x28 C48->P->F10",
        "input 3x27x29 C21(kernel=5, stride=2, act=tanh)->P->F10",
        "input 16x15x18 C40->P->F10",
        "input 16x14x15 C24(kernel=5, act=none)->P->C24(kernel=1)->P->F10",
        "input 8x22x22 C24(groups=2, pad=0)->P(ceil)->F10",
        "input 4x16x16 &[C12(act=leaky)->P | C7(kernel=1)->P]->F10",
    ];
    let mut device = device::open("cpu").unwrap();
    for text in nets {
        let graph = graph(text, None);
        let machine = machine(&*device, Precision::F64);
        for options in [Options::training(3, SGD), Options::inference(3)] {
            let separate = Options {
                fusion: false,
                ..options.clone()
            };
            let [pooled, separate] = [options, separate].map(|o| lower(&graph, &o, &machine));
            let poolings = |plan: &Plan| {
                let steps = plan.steps[..plan.forward_steps].iter();
                let of_pooling = |layer: usize| graph.nodes[layer].name.starts_with('p');
                steps.filter(|s| s.layer.is_some_and(of_pooling)).count()
            };
            assert!(poolings(&separate) > 0, "{text}");
            let copies = usize::from(text.contains('&'));
            assert!(poolings(&pooled) <= copies, "{text}: {:?}", pooled.steps);
            let (apart, sentinels) = apart(&pooled, device.limits());
            let together = bits(&mut *device, pooled, &[]);
            assert!(together == bits(&mut *device, apart, &sentinels), "{text}");
            let separate = bits(&mut *device, separate, &[]);
            for (a, b) in together.0.iter().flatten().zip(separate.0.iter().flatten()) {
                let (a, b) = (f64::from_bits(*a), f64::from_bits(*b));
                assert!(
                    (a - b).abs() <= 1e-9 * b.abs().max(1.0),
                    "{a} and {b}\n{text}"
                );
            }
        }
    }
}

#[test]
fn devices_allocate_what_the_plan_says() {
    for name in ["host", "cpu"] {
        // Compiling is not what is looked at: two networks through OpenCL, all through the host engine.
        let nets = if name == "host" {
            &NETS[..]
        } else {
            &["small", "dense"]
        };
        for net in nets {
            for optimizer in [Some(SGD), None] {
                let device = device::open(name).unwrap();
                let session =
                    Session::new(of_repository(net), device, Precision::F32, 32, optimizer)
                        .unwrap();
                assert_eq!(
                    session.device.allocated_bytes(),
                    session.planned_bytes(),
                    "{net} on {name}, training: {}",
                    optimizer.is_some()
                );
            }
        }
    }
}

/// The job of training on the nominal device.
fn job(graph: &Graph) -> Job<'_> {
    Job {
        graph,
        optimizer: Some(SGD),
        machine: Machine::new(Limits::nominal(), Precision::F32),
        device: "no device",
    }
}

fn room(memory: u64) -> Room {
    Room {
        memory,
        allocation: u64::MAX,
    }
}

#[test]
fn the_largest_batch_fits_and_one_more_does_not() {
    for (name, limits) in [
        ("small", 100),
        ("dense", 20),
        ("residual", 20),
        ("alexnet", 10),
    ] {
        let graph = of_repository(name);
        let job = job(&graph);
        let (least, most) = (job.plans(1).total_bytes(), job.plans(400).total_bytes());
        assert_eq!(job.largest_batch(&room(least - 1), 1000), None, "{name}");
        for i in 0..limits {
            let limit = least + (most - least) * i / limits + 12_345 % (i + 1);
            let batch = job.largest_batch(&room(limit), 1000).unwrap();
            assert!(job.plans(batch).total_bytes() <= limit, "{name}, {limit}");
            assert!(
                job.plans(batch + 1).total_bytes() > limit,
                "{name}, {limit}"
            );
        }
        assert_eq!(job.largest_batch(&room(u64::MAX), 77), Some(77), "{name}");
    }
}

#[test]
fn no_tensor_is_larger_than_kernels_can_reach() {
    let graph = of_repository("small");
    let job = job(&graph);
    let batch = job.largest_batch(&room(u64::MAX), 1 << 20).unwrap();
    let largest = |batch: usize| {
        let plans = job.plans(batch);
        let training = plans.training.unwrap();
        training
            .buffers
            .iter()
            .map(|buffer| buffer.elements)
            .max()
            .unwrap()
    };
    assert!(i32::try_from(largest(batch)).is_ok());
    assert!(i32::try_from(largest(batch + 1)).is_err());
    let error = job.fitting(batch + 1, &room(u64::MAX), None).unwrap_err();
    assert!(error.message.contains("2147483647 numbers"), "{error:?}");
    assert!(error.help.unwrap().contains(&batch.to_string()));
}

#[test]
fn a_batch_that_does_not_fit_is_told_with_the_largest_that_does() {
    let graph = of_repository("small");
    let job = job(&graph);
    let limit = job.plans(50).total_bytes();
    let error = job.fitting(128, &room(limit), None).unwrap_err();
    assert!(
        error
            .message
            .contains(&job.plans(128).total_bytes().to_string()),
        "{error:?}"
    );
    assert!(error.message.contains(&limit.to_string()), "{error:?}");
    let batch = job.largest_batch(&room(limit), 128).unwrap();
    assert!(batch >= 50);
    let help = error.help.unwrap();
    assert!(help.ends_with(&format!("`--batch {batch}`")), "{help}");
    assert!(error.notes.is_empty(), "{:?}", error.notes);
    let deep = graph_of_deep();
    let job = self::job(&deep);
    let limit = job.plans(16).total_bytes() - 1;
    let error = job.fitting(16, &room(limit), None).unwrap_err();
    assert!(
        error.notes[0].contains(&format!("train.memory_limit = \"{limit} B\"")),
        "{error:?}"
    );
    let job = self::job(&graph);
    let allocation = Room {
        memory: u64::MAX,
        allocation: 20_000_000,
    };
    let error = job.fitting(128, &allocation, None).unwrap_err();
    assert!(
        error.message.contains("20000000 bytes that one allocation"),
        "{error:?}"
    );
}

fn graph_of_deep() -> Graph {
    graph(DEEP, None)
}

/// Deep enough for recomputation to save something, wide enough to show an error.
const DEEP: &str = "input 2x12x12 C8 -> 3*[+[C8(act=none) -> N(batch, affine) -> A -> C8(act=none) -> N(batch) |] -> A]
    -> &[C4(dropout=0.3) -> N | N(meanvar) |] -> P -> F12(dropout=0.5) -> F5";

#[test]
fn recomputed_outputs_change_no_bit() {
    for (name, precision) in [
        ("host", Precision::F32),
        ("host", Precision::F64),
        ("cpu", Precision::F32),
    ] {
        let mut device = device::open(name).unwrap();
        let graph = graph_of_deep();
        let job = Job {
            machine: machine(&*device, precision),
            ..job(&graph)
        };
        let plain = job.plans(16);
        let arena = plain.training.as_ref().unwrap().arena_bytes;
        let expected = bits(&mut *device, plain.training.clone().unwrap(), &[]);
        let mut repeated = 0;
        for share in [95, 85, 75] {
            let limit = plain.total_bytes() - arena * (100 - share) / 100;
            let plans = job.fitting(16, &room(u64::MAX), Some(limit)).unwrap();
            assert!(plans.total_bytes() <= limit, "{name}, {share}");
            let plan = plans.training.unwrap();
            assert!(plan.arena_bytes < arena);
            assert!(plan.steps.len() > plain.training.as_ref().unwrap().steps.len());
            repeated = repeated.max(plan.steps.len());
            assert!(
                bits(&mut *device, plan, &[]) == expected,
                "{name}, {share} %"
            );
        }
        assert!(repeated > 0);
    }
}

#[test]
fn a_limit_that_nothing_reaches_is_refused() {
    let graph = graph_of_deep();
    let job = job(&graph);
    let error = job.fitting(16, &room(u64::MAX), Some(30_000)).unwrap_err();
    assert!(error.message.contains("30000 are available"), "{error:?}");
    assert!(
        error.notes[0].contains("computed again already"),
        "{error:?}"
    );
}

#[test]
fn recomputation_of_random_networks_changes_no_bit() {
    let mut device = device::open("host").unwrap();
    let mut longer = 0;
    for seed in 0..if long() { 300 } else { 60 } {
        let net = RandomNet::new(seed, Scope::Whole);
        let text = net.plain();
        let graph = graph(&text, Some(net.input));
        let machine = machine(&*device, Precision::F32);
        let plain = Options::training(3, SGD);
        // All that may be made again, and some of it, whether it saves memory or not.
        for every in [1, 3] {
            let again = Options {
                recompute: (0..10_000).step_by(every).collect(),
                ..plain.clone()
            };
            let [plain, again] = [&plain, &again].map(|options| lower(&graph, options, &machine));
            longer += usize::from(again.steps.len() > plain.steps.len());
            let [plain, again] = [plain, again].map(|plan| bits(&mut *device, plan, &[]));
            assert!(plain == again, "seed {seed}\n{text}");
        }
    }
    assert!(longer > 60, "{longer}");
}

#[test]
fn figures_add_up() {
    for name in NETS {
        let graph = of_repository(name);
        for mode in [Mode::Training, Mode::Inference] {
            let plans = job(&graph).plans(32);
            let plan = match mode {
                Mode::Training => plans.training.unwrap(),
                Mode::Inference => plans.inference,
            };
            let figures = plan.figures();
            assert_eq!(figures.total(), plan.total_bytes());
            assert_eq!(figures.lower_bound, plan.peak().1);
            assert!(figures.workspace <= figures.arena);
            let elements: usize = graph
                .nodes
                .iter()
                .map(|node| node.output.unwrap().elements())
                .sum();
            let ways = if mode == Mode::Training { 2 } else { 1 };
            assert_eq!(figures.tensors, (ways * elements * 32 * 4) as u64);
            let learned = plan
                .parameters
                .iter()
                .filter(|p| p.parameter.role != Role::Statistic);
            let least: usize = learned.map(|p| p.parameter.count() * 4).sum();
            assert!(figures.parameters >= least as u64);
            assert_eq!(figures.optimizer > 0, mode == Mode::Training);
        }
    }
}

#[test]
fn arenas_are_a_small_part_of_the_tensors() {
    // The bars of the plan: at the batch of the recipes.
    for (name, training, inference) in [
        ("small", 0.40, 0.25),
        ("kishida", 0.40, 0.25),
        ("alexnet", 0.40, 0.44),
    ] {
        let graph = of_repository(name);
        let plans = job(&graph).plans(128);
        for (plan, most) in [
            (plans.training.unwrap(), training),
            (plans.inference, inference),
        ] {
            let share = plan.arena_bytes as f64 / plan.tensor_bytes as f64;
            eprintln!("{name} {:?}: {share:.3}", plan.mode);
            assert!(share <= most, "{name} {:?}: {share}", plan.mode);
        }
    }
}
