//! Memory of plans: arenas beside their lower bounds.

use std::path::Path;

use netc::ir::Graph;
use netc::op::emit::Machine;
use netc::op::limits::Limits;
use netc::op::optimizer::Optimizer;
use netc::op::real::Precision;
use netc::plan::Plan;
use netc::plan::lower::{Options, lower};

use crate::harness::{files_below, graph, root, text_of};
use crate::random_nets::{RandomNet, Scope};

/// The plans of training and inference, on the nominal device.
fn plans(graph: &Graph, batch: usize) -> [Plan; 2] {
    let machine = Machine::new(Limits::nominal(), Precision::F32);
    let sgd = Optimizer::sgd(0.9, 5e-4);
    [Options::training(batch, sgd), Options::inference(batch)]
        .map(|options| lower(graph, &options, &machine))
}

/// The arena's size as a multiple of its lower bound.
fn ratio(plan: &Plan) -> f64 {
    plan.arena_bytes as f64 / plan.lower_bound_bytes as f64
}

#[test]
fn arenas_of_the_repository_reach_their_lower_bounds() {
    let mut checked = 0;
    for name in files_below(&root().join("nets")) {
        if Path::new(&name)
            .extension()
            .is_none_or(|ending| ending != "net")
        {
            continue;
        }
        let graph = graph(&text_of(&format!("nets/{name}")), None);
        for plan in plans(&graph, 32) {
            let ratio = ratio(&plan);
            eprintln!("{name} {:?}: {ratio:.4}", plan.mode);
            assert!(ratio <= 1.02, "{name} {:?}: {ratio}", plan.mode);
        }
        checked += 1;
    }
    assert!(checked >= 6);
}

#[test]
fn arenas_of_random_networks_are_near_their_lower_bounds() {
    let mut ratios = Vec::new();
    for (seeds, scope) in [(0..250, Scope::Whole), (0..500, Scope::Large)] {
        for seed in seeds {
            let net = RandomNet::new(seed, scope);
            let graph = graph(&net.plain(), Some(net.input));
            ratios.extend(plans(&graph, 8).map(|plan| (ratio(&plan), seed)));
        }
    }
    ratios.sort_by(|a, b| a.0.total_cmp(&b.0));
    let near = ratios.iter().filter(|(ratio, _)| *ratio <= 1.02).count();
    let worst = ratios[ratios.len() - 1];
    eprintln!("{near} of {} within 2 %, the worst {worst:?}", ratios.len());
    assert!(
        near * 100 >= ratios.len() * 95,
        "{near} of {}",
        ratios.len()
    );
    assert!(worst.0 <= 1.1, "{worst:?}");
}

#[test]
fn arenas_of_ten_thousand_layers_are_near_their_lower_bounds() {
    let block = "C8 -> +[C8(kernel=5)] -> N(batch) -> N(meanvar)";
    let blocks = vec![block; 1_999].join(" -> ");
    for text in [
        "input 3x32x32 9999*[C8] -> F10".to_owned(),
        format!("input 3x32x32 {blocks} -> F10"),
    ] {
        let graph = graph(&text, None);
        for batch in [1, 128] {
            for plan in plans(&graph, batch) {
                let ratio = ratio(&plan);
                assert!(ratio <= 1.02, "batch {batch}, {:?}: {ratio}", plan.mode);
            }
        }
    }
}

#[test]
fn the_number_of_steps_is_bounded_however_large_the_batch_or_the_layer() {
    let alexnet = graph(&text_of("nets/alexnet.net"), None);
    let wide = graph("input 64x256x256 F100000 -> F10", None);
    for (graph, batch) in [(&alexnet, i32::MAX as usize), (&wide, 7)] {
        for plan in plans(graph, batch) {
            assert!(plan.steps.len() < 2_000, "{}", plan.steps.len());
        }
    }
}

#[test]
fn no_step_names_a_buffer_twice() {
    for seed in 0..400 {
        let net = RandomNet::new(seed, Scope::Whole);
        let text = net.plain();
        let graph = graph(&text, Some(net.input));
        for plan in plans(&graph, 8) {
            for step in &plan.steps {
                let mut buffers: Vec<_> = step.buffers().map(|(id, _)| id).collect();
                buffers.sort();
                let count = buffers.len();
                buffers.dedup();
                assert_eq!(buffers.len(), count, "{} of seed {seed}\n{text}", step.name);
            }
        }
    }
}
