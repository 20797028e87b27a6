//! Random networks: the shape that the graph infers is the shape that the host engine computes.
//!
//! Before a layer runs, its output is filled with NaN. Afterwards every one of the elements that the graph foretells has
//! a finite number: no element is left out. That none is written beyond them is what the sentinels of memory.rs see to.

use std::sync::Arc;

use netc::device;
use netc::ir::Graph;
use netc::op::emit::{Machine, Scalars};
use netc::op::real::Precision;
use netc::op::shape::Shape;
use netc::plan::lower::{Options, lower};
use netc::run::runner::Runner;
use netc::run::session::initial_values;

use crate::harness::{graph, long};
use crate::random_nets::{RandomNet, Scope};

const BATCH: usize = 2;

/// Runs a network forward, layer by layer; says which outputs were filled with NaN first.
fn demand_whole_outputs(graph: &Graph, text: &str) -> usize {
    let mut device = device::open("host").unwrap();
    let device = &mut *device;
    let machine = Machine::new(*device.limits(), Precision::F32);
    // Every output in a buffer of its own, so that each can be looked at.
    let options = Options {
        fusion: false,
        ..Options::inference(BATCH)
    };
    let plan = lower(graph, &options, &machine);
    let runner = Runner::load(device, plan).unwrap();
    let plan = Arc::clone(&runner.plan);
    for (index, buffers) in plan.parameters.iter().enumerate() {
        let values = initial_values(&buffers.parameter, index, 1);
        runner
            .write_parameter(device, &buffers.parameter, buffers.value, &values)
            .unwrap();
    }
    let elements = |shape: Shape| BATCH * shape.elements();
    let image: Vec<f64> = (0..elements(graph.input.unwrap()))
        .map(|index| (index as f64).sin())
        .collect();
    runner.write_tensor(device, plan.input, &image).unwrap();
    let (mut ran, mut filled) = (0, 0);
    for (layer, node) in graph.nodes.iter().enumerate() {
        let (buffer, _) = plan.outputs[layer];
        let foretold = elements(node.output.unwrap());
        let steps = |step: &netc::plan::Step| step.layer == Some(layer);
        let first = plan.steps.iter().position(steps).unwrap();
        let last = plan.steps.iter().rposition(steps).unwrap();
        if first >= ran {
            runner.run(device, ran..first, &Scalars::default()).unwrap();
            ran = first;
            // What a layer changes in place, and what branches write into, holds values already.
            let is_own = plan
                .outputs
                .iter()
                .filter(|(other, _)| *other == buffer)
                .count()
                == 1;
            if is_own && buffer != plan.input.0 {
                let nothing = vec![f64::NAN; foretold];
                runner
                    .write_tensor(device, plan.outputs[layer], &nothing)
                    .unwrap();
                filled += 1;
            }
        }
        if last + 1 > ran {
            runner
                .run(device, ran..last + 1, &Scalars::default())
                .unwrap();
            ran = last + 1;
        }
        let computed = runner.read_tensor(device, plan.outputs[layer]).unwrap();
        assert_eq!(computed.len(), foretold, "{}:\n{text}", node.name);
        assert!(
            computed.iter().all(|value| value.is_finite()),
            "{}: {:?}\n{text}",
            node.name,
            node.output
        );
    }
    filled
}

#[test]
fn inferred_shapes_are_computed_shapes() {
    let seeds = if long() { 5_000 } else { 250 };
    let (mut layers, mut filled) = (0, 0);
    for seed in 0..seeds {
        let net = RandomNet::new(seed, Scope::Whole);
        let text = net.plain();
        let graph = graph(&text, Some(net.input));
        layers += graph.nodes.len();
        filled += demand_whole_outputs(&graph, &text);
    }
    assert!(filled * 2 > layers, "{filled} outputs of {layers}");
}
