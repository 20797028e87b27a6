//! What a network costs, and which layer bears most of it.

use std::collections::HashMap;

use crate::ir::Graph;
use crate::ir::summary::Summary;
use crate::plan::{Placement, Plan};

/// The layer that bears most of a cost.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// Its name.
    pub layer: String,
    /// Its part of the whole, 0 to 1.
    pub share: f64,
}

/// Who bears most of what.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dominant {
    /// Of the learned values.
    pub parameters: Option<Share>,
    /// Of the multiply-adds of one image.
    pub multiply_adds: Option<Share>,
    /// Of the bytes of training.
    pub memory: Option<Share>,
}

/// The layers that bear most of parameters and multiply-adds, and of memory where there is a training plan. `None`
/// where nothing is known or there is nothing to bear.
pub fn dominant(graph: &Graph, summary: &Summary, training: Option<&Plan>) -> Dominant {
    let of = |amount: fn(&crate::ir::summary::Row) -> Option<u64>| {
        largest(
            summary
                .rows
                .iter()
                .map(|row| amount(row).map(|amount| (row.name.as_str(), amount))),
        )
    };
    Dominant {
        parameters: of(|row| row.parameters),
        multiply_adds: of(|row| row.multiply_adds),
        memory: training.and_then(|plan| memory(graph, plan)),
    }
}

/// The first of those with the largest amount; `None` where an amount is unknown or all are 0.
fn largest<'a>(amounts: impl Iterator<Item = Option<(&'a str, u64)>>) -> Option<Share> {
    let (mut most, mut all) = (("", 0u64), 0u64);
    for amount in amounts {
        let (layer, amount) = amount?;
        all = all.saturating_add(amount);
        if amount > most.1 {
            most = (layer, amount);
        }
    }
    (most.1 > 0).then(|| Share {
        layer: most.0.into(),
        share: most.1 as f64 / all as f64,
    })
}

/// Of the bytes that are alive at the step where most are: parameters, optimizer state and tensors by their layer. What
/// belongs to no layer (images, labels, the loss) counts for the whole only.
fn memory(graph: &Graph, plan: &Plan) -> Option<Share> {
    let (peak, _) = plan.peak();
    let places: HashMap<&str, usize> = graph
        .nodes
        .iter()
        .enumerate()
        .map(|(i, node)| (&*node.name, i))
        .collect();
    let mut bytes = vec![0u64; graph.nodes.len()];
    let mut whole = 0u64;
    for buffer in &plan.buffers {
        if buffer.placement != Placement::Persistent && !buffer.lifetime.contains(&peak) {
            continue;
        }
        whole += buffer.bytes;
        if let Some(&layer) = buffer.name.owner().and_then(|owner| places.get(owner)) {
            bytes[layer] += buffer.bytes;
        }
    }
    let (layer, most) = bytes
        .into_iter()
        .enumerate()
        .rev()
        .max_by_key(|&(_, bytes)| bytes)?;
    (most > 0).then(|| Share {
        layer: graph.nodes[layer].name.to_string(),
        share: most as f64 / whole as f64,
    })
}
