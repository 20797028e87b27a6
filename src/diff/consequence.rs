//! What edits do: to shapes, parameters and multiply-adds of each layer, and to the tensors of a checkpoint.

use std::collections::HashMap;

use super::Diff;
use crate::ir::Graph;
use crate::ir::summary::{Row, summary};
use crate::op::emit::Machine;

/// A layer before and after. One of them is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerChange {
    /// The old layer's figures.
    pub old: Option<Row>,
    /// The new layer's.
    pub new: Option<Row>,
}

/// What becomes of one tensor of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is loaded as it is.
    Fits,
    /// Its layer has one of another shape: that is drawn anew.
    Reinitialized,
    /// Its layer is new.
    New,
    /// Its layer is gone.
    Dropped,
}

/// One tensor of the old network's checkpoint, or of the new network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorChange {
    /// What becomes of it.
    pub fate: Fate,
    /// Its name and shape in the old network.
    pub old: Option<(String, Vec<usize>)>,
    /// In the new one.
    pub new: Option<(String, Vec<usize>)>,
}

/// What follows from the edits. Figures are missing where an input is unknown.
#[derive(Clone, Debug, Default)]
pub struct Consequences {
    /// Layers whose figures changed, that came or went: in the order of the new network, what went where it was.
    pub layers: Vec<LayerChange>,
    /// Parameters and multiply-adds in total, of the old network and the new.
    pub totals: [Option<(u64, u64)>; 2],
    /// Every tensor; `None` where an input is unknown.
    pub tensors: Option<Vec<TensorChange>>,
}

impl LayerChange {
    /// Whether a figure differs, its name aside.
    fn is_change(&self) -> bool {
        match (&self.old, &self.new) {
            (Some(old), Some(new)) => {
                (old.kind, old.output, old.parameters, old.multiply_adds)
                    != (new.kind, new.output, new.parameters, new.multiply_adds)
            }
            _ => true,
        }
    }
}

impl Consequences {
    /// What follows from a difference between the networks of two graphs.
    pub fn of(diff: &Diff, old: &Graph, new: &Graph, machine: &Machine) -> Self {
        let pairs = diff.nodes();
        let new_of_old: HashMap<usize, usize> = pairs.iter().copied().collect();
        let old_of_new: HashMap<usize, usize> = pairs.iter().map(|&(o, n)| (n, o)).collect();
        let (old_rows, new_rows) = (summary(old), summary(new));
        let layer = |old: Option<usize>, new: Option<usize>| LayerChange {
            old: old.map(|node| old_rows.rows[node].clone()),
            new: new.map(|node| new_rows.rows[node].clone()),
        };
        let gone = (0..old.nodes.len()).filter(|node| !new_of_old.contains_key(node));
        let mut gone = gone.peekable();
        let mut layers = Vec::new();
        for node in 0..new.nodes.len() {
            let was = old_of_new.get(&node).copied();
            // What went stands before the layer that it stood before.
            while let Some(went) = gone.next_if(|&went| was.is_some_and(|was| went < was)) {
                layers.push(layer(Some(went), None));
            }
            layers.push(layer(was, Some(node)));
        }
        layers.extend(gone.map(|went| layer(Some(went), None)));
        layers.retain(LayerChange::is_change);
        let known = old.is_shaped() && new.is_shaped();
        Self {
            layers,
            totals: [old_rows.totals, new_rows.totals],
            tensors: known.then(|| tensors(&new_of_old, old, new, machine)),
        }
    }
}

/// The tensors of a layer: the last part of their names, and their shapes.
fn tensors_of(graph: &Graph, node: usize, machine: &Machine) -> Vec<(String, Vec<usize>)> {
    let Some(&feed) = graph.nodes[node].feeds.first() else {
        return Vec::new();
    };
    let parameters = graph.nodes[node]
        .op
        .parameters(graph.feed_shape(feed), machine);
    let named = parameters.into_iter();
    named
        .map(|parameter| (parameter.name.to_string(), parameter.shape))
        .collect()
}

/// What becomes of every tensor, in the order of the old network, then what is new.
fn tensors(
    new_of_old: &HashMap<usize, usize>,
    old: &Graph,
    new: &Graph,
    machine: &Machine,
) -> Vec<TensorChange> {
    let full = |graph: &Graph, node: usize, (name, shape): (String, Vec<usize>)| {
        (format!("{}.{name}", graph.nodes[node].name), shape)
    };
    let mut changes = Vec::new();
    let mut taken = vec![Vec::new(); new.nodes.len()];
    for node in 0..old.nodes.len() {
        let partner = new_of_old.get(&node).copied();
        let there = partner.map(|partner| tensors_of(new, partner, machine));
        for (name, shape) in tensors_of(old, node, machine) {
            let found = there
                .iter()
                .flatten()
                .find(|(other, _)| *other == name)
                .cloned();
            let fate = match &found {
                Some((_, other)) if *other == shape => Fate::Fits,
                Some(_) => Fate::Reinitialized,
                None => Fate::Dropped,
            };
            let new = found.zip(partner).map(|(tensor, partner)| {
                taken[partner].push(name.clone());
                full(new, partner, tensor)
            });
            changes.push(TensorChange {
                fate,
                old: Some(full(old, node, (name, shape))),
                new,
            });
        }
    }
    for (node, taken) in taken.iter().enumerate() {
        for (name, shape) in tensors_of(new, node, machine) {
            if !taken.contains(&name) {
                changes.push(TensorChange {
                    fate: Fate::New,
                    old: None,
                    new: Some(full(new, node, (name, shape))),
                });
            }
        }
    }
    changes
}
