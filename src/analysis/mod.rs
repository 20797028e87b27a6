//! What can be said of a network before it runs.
//!
//! Owns: the [`signal()`] at the start and what it warns of ([`warning`]), the input's statistics from a data set
//! ([`input`]), the [`cost`] and who bears most of it, and the checks of a network and its configuration together
//! ([`pair`]). Reads graphs, plans, configurations and data sets, runs nothing.

pub mod cost;
pub mod input;
pub mod pair;
pub mod warning;

use std::sync::Arc;

use crate::ir::{Feed, Graph};
use crate::op::InitRule;
use crate::op::shape::Shape;
use crate::op::signal::{Flow, Gradient, Signal, softmax};

/// What is expected at one layer at the initial values, in training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expected {
    /// Of its output.
    pub signal: Signal,
    /// Of the gradient of the mean loss with respect to its output.
    pub gradient: Gradient,
}

/// What is expected at every layer, for an input with these statistics and mini-batches of `batch` images.
///
/// # Panics
/// Where a shape is unknown: the caller has checked that (`Graph::is_shaped`).
pub fn signal(graph: &Graph, input: &Signal, batch: usize) -> Vec<Expected> {
    signal_with(graph, None, input, batch)
}

/// [`signal`] with all weights drawn by one rule.
fn signal_with(
    graph: &Graph,
    rule: Option<InitRule>,
    input: &Signal,
    batch: usize,
) -> Vec<Expected> {
    let op = |i: usize| {
        let op = &graph.nodes[i].op;
        rule.and_then(|rule| op.with_init(rule))
            .unwrap_or_else(|| Arc::clone(op))
    };
    let mut expected: Vec<Expected> = Vec::with_capacity(graph.nodes.len());
    for i in 0..graph.nodes.len() {
        let flows = flows(graph, i, input, |feed| &expected[feed].signal);
        let signal = op(i).signal(&flows, graph.output_shape(i));
        expected.push(Expected {
            signal,
            gradient: Gradient::default(),
        });
    }
    if let (Some(last), Some(classes)) = (expected.last_mut(), graph.classes()) {
        let variance = last.signal.latent().covariance[0];
        last.gradient = Gradient::of(softmax::d_logits_square(variance.sqrt(), classes, batch));
    }
    // A layer's readers come after it, so its gradient is whole when its turn comes.
    let mut reached = vec![false; expected.len()];
    for i in (0..expected.len()).rev() {
        let node = &graph.nodes[i];
        let back = {
            let flows = flows(graph, i, input, |feed| &expected[feed].signal);
            op(i).gradient(&flows, graph.output_shape(i), expected[i].gradient)
        };
        for (feed, gradient) in node.feeds.iter().zip(back) {
            if let Feed::Node(from) = *feed {
                let to = &mut expected[from].gradient;
                *to = if reached[from] {
                    to.plus(gradient)
                } else {
                    gradient
                };
                reached[from] = true;
            }
        }
    }
    expected
}

/// A layer's inputs.
fn flows<'a>(
    graph: &Graph,
    node: usize,
    input: &'a Signal,
    of: impl Fn(usize) -> &'a Signal,
) -> Vec<Flow<'a>> {
    let flow = |feed: &Feed| {
        let (shape, signal): (Shape, &Signal) = match *feed {
            Feed::Input => (graph.input_shape(), input),
            Feed::Node(from) => (graph.output_shape(from), of(from)),
        };
        Flow { shape, signal }
    };
    graph.nodes[node].feeds.iter().map(flow).collect()
}
