//! The network as a validated graph of layers.
//!
//! A [`Graph`] exists only where the network has no error: what is built here never makes the planner or an engine
//! panic. It is immutable; nodes stand in an order in which every node follows what feeds it.

pub mod build;
pub mod summary;

use std::sync::Arc;

use crate::op::Op;
use crate::op::shape::Shape;
use crate::source::{Source, Span};

pub use build::{Options, build};

/// Where a layer's input comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Feed {
    /// The network's input.
    Input,
    /// The output of the node with this index.
    Node(usize),
}

impl Feed {
    /// The layer, where it is one's output.
    pub fn node(self) -> Option<usize> {
        match self {
            Self::Input => None,
            Self::Node(i) => Some(i),
        }
    }
}

/// One layer.
#[derive(Clone, Debug)]
pub struct Node {
    /// The label, or the generated name.
    pub name: Arc<str>,
    /// What it does.
    pub op: Arc<dyn Op>,
    /// Its inputs.
    pub feeds: Vec<Feed>,
    /// Its output's shape, where the network's input is known.
    pub output: Option<Shape>,
    /// Where it stands in the text.
    pub span: Span,
}

/// A network without errors.
#[derive(Clone, Debug)]
pub struct Graph {
    /// The network's name: the file's, without folder and ending.
    pub name: String,
    /// The text it came from, where it came from one.
    pub source: Option<Arc<Source>>,
    /// The shape of one image, where known.
    pub input: Option<Shape>,
    /// The layers.
    pub nodes: Vec<Node>,
}

impl Graph {
    /// Whether every shape is known.
    pub fn is_shaped(&self) -> bool {
        self.input.is_some() && self.nodes.iter().all(|node| node.output.is_some())
    }

    /// The classifier's units.
    pub fn classes(&self) -> Option<usize> {
        self.nodes
            .last()
            .and_then(|node| node.output)
            .map(Shape::elements)
    }

    /// The input's shape.
    ///
    /// # Panics
    /// Where it is unknown.
    pub fn input_shape(&self) -> Shape {
        self.input
            .expect("internal error: the input's shape is unknown")
    }

    /// A layer's output shape.
    ///
    /// # Panics
    /// Where it is unknown.
    pub fn output_shape(&self, node: usize) -> Shape {
        self.nodes[node]
            .output
            .expect("internal error: a shape is unknown")
    }

    /// The shape of a tensor.
    ///
    /// # Panics
    /// Where it is unknown.
    pub fn feed_shape(&self, feed: Feed) -> Shape {
        match feed {
            Feed::Input => self.input_shape(),
            Feed::Node(i) => self.output_shape(i),
        }
    }

    /// The shapes of a layer's inputs.
    ///
    /// # Panics
    /// Where one is unknown.
    pub fn input_shapes(&self, node: usize) -> Vec<Shape> {
        let feeds = self.nodes[node].feeds.iter();
        feeds.map(|&feed| self.feed_shape(feed)).collect()
    }

    /// The layers that read a tensor.
    pub fn consumers(&self, of: Feed) -> impl Iterator<Item = usize> + '_ {
        let reads = move |(i, node): (usize, &Node)| node.feeds.contains(&of).then_some(i);
        self.nodes.iter().enumerate().filter_map(reads)
    }

    /// A graph of one layer, for tests of that layer.
    ///
    /// # Errors
    /// The layer's shape rule.
    pub fn single(name: &str, op: Arc<dyn Op>, input: Shape) -> Result<Self, crate::op::Fault> {
        Self::chain(name, vec![op], input)
    }

    /// A graph of layers one after another, named by kind and count.
    ///
    /// # Errors
    /// The layers' shape rules.
    pub fn chain(
        name: &str,
        ops: Vec<Arc<dyn Op>>,
        input: Shape,
    ) -> Result<Self, crate::op::Fault> {
        let mut nodes: Vec<Node> = Vec::with_capacity(ops.len());
        let mut shape = input;
        for (i, op) in ops.into_iter().enumerate() {
            shape = op.output(&[shape])?;
            let letter = op.kind().letter.to_lowercase();
            let count = 1 + nodes
                .iter()
                .filter(|node| node.op.kind().letter == op.kind().letter)
                .count();
            let feeds = vec![if i == 0 {
                Feed::Input
            } else {
                Feed::Node(i - 1)
            }];
            nodes.push(Node {
                name: format!("{letter}{count}").into(),
                op,
                feeds,
                output: Some(shape),
                span: Span::default(),
            });
        }
        Ok(Self {
            name: name.into(),
            source: None,
            input: Some(input),
            nodes,
        })
    }
}
