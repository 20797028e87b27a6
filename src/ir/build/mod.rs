//! From the syntax tree to the graph: expansion, names, attributes, shapes, and the rules between layers.
//!
//! All errors of a file are found in one run, and none is a consequence of another: after an error a shape is unknown,
//! and unknown shapes say nothing until an `F`, whose output does not depend on its input.

mod join;
mod labels;
mod layer;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Feed, Graph, Node};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::op::attribute::LARGEST_WHOLE;
use crate::op::shape::Shape;
use crate::op::{self, Op, Recipe};
use crate::source::{Source, Span};
use crate::syntax::tree::{Chain, Repeat, Stage, Tree};

/// A network may have this many layers after expansion (E0308).
pub const MOST_LAYERS: u64 = 10_000;

/// What the text does not say.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The network's name.
    pub name: String,
    /// The input's shape where the file has none.
    pub input: Option<Shape>,
    /// Initial values and dropout where layers do not say.
    pub recipe: Recipe,
}

/// Builds the graph; `None` where there is an error. Warnings may come with a graph.
pub fn build(tree: &Tree, options: &Options) -> (Option<Graph>, Diagnostics) {
    let mut builder = Builder {
        source: &tree.source,
        recipe: &options.recipe,
        sink: Diagnostics::new(),
        nodes: Vec::new(),
        counts: HashMap::new(),
        labels: HashMap::new(),
        checked: HashMap::new(),
        faulty: HashSet::new(),
        place: Place {
            shape: None,
            feed: Feed::Input,
        },
    };
    let input = builder.input(tree).or(options.input);
    builder.place.shape = input;
    builder.labels(&tree.chain);
    let layers = count(&tree.chain);
    if layers > MOST_LAYERS {
        let message = format!(
            "{} layers after expansion: a network has at most {MOST_LAYERS}",
            if layers == u64::MAX {
                "too many".into()
            } else {
                layers.to_string()
            }
        );
        builder.sink.push(
            Diagnostic::error(Code::E0308, message)
                .at(&tree.source, tree.chain.span)
                .help("lower the repeat counts"),
        );
    } else {
        let mut last = Diagnostics::new();
        std::mem::swap(&mut last, &mut builder.sink);
        let classifier = builder.last(tree);
        std::mem::swap(&mut last, &mut builder.sink);
        builder.chain(&tree.chain, "", classifier);
        // Rules about the last layer come after those of the layer itself.
        builder.sink.append(last);
    }
    let Builder {
        sink,
        nodes,
        faulty,
        ..
    } = builder;
    let graph = (!sink.has_errors() && faulty.is_empty() && tree.complete && !nodes.is_empty())
        .then(|| Graph {
            name: options.name.clone(),
            source: Some(Arc::clone(&tree.source)),
            input,
            nodes,
        });
    (graph, sink)
}

/// Layers after expansion, saturating.
fn count(chain: &Chain) -> u64 {
    let layers = |stage: &Stage| match stage {
        Stage::Layer(_) | Stage::Error(_) => 1,
        Stage::Repeat(repeat) => {
            count(&repeat.chain).saturating_mul(repeat.count.value.parse().unwrap_or(u64::MAX))
        }
        Stage::Join(join) => join
            .branches
            .iter()
            .map(count)
            .fold(1u64, u64::saturating_add),
    };
    chain
        .stages
        .iter()
        .map(layers)
        .fold(0u64, u64::saturating_add)
}

struct Builder<'a> {
    source: &'a Arc<Source>,
    recipe: &'a Recipe,
    sink: Diagnostics,
    nodes: Vec<Node>,
    /// Layers of each kind so far.
    counts: HashMap<&'static str, usize>,
    /// Where each label stands first.
    labels: HashMap<&'a str, Span>,
    /// What the layer at a span means; `None` after an error there. A layer in a repeat is read once.
    checked: HashMap<Span, Option<Arc<dyn Op>>>,
    /// Layers that were found faulty, so that copies do not say so again.
    faulty: HashSet<Span>,
    /// Where the walk stands.
    place: Place,
}

/// A place in the network: what comes out of the layer before it.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// The data's shape; `None` where unknown.
    shape: Option<Shape>,
    /// Where the data comes from.
    feed: Feed,
}

impl<'a> Builder<'a> {
    fn input(&mut self, tree: &Tree) -> Option<Shape> {
        let input = tree.input.as_ref()?;
        let mut right = true;
        for size in &input.sizes {
            if size.value == 0 || size.value > LARGEST_WHOLE {
                let message = if size.value == 0 {
                    "an input size must be at least 1".into()
                } else {
                    format!("an input size goes to {LARGEST_WHOLE}")
                };
                self.sink
                    .push(Diagnostic::error(Code::E0205, message).at(self.source, size.span));
                right = false;
            }
        }
        let [channels, height, width] = [0, 1, 2].map(|i| input.sizes[i].value as usize);
        let shape = Shape::image(channels, height, width);
        if right && shape.checked_elements().is_none() {
            self.sink.push(
                Diagnostic::error(
                    Code::E0307,
                    format!("an input of {shape} has more than 2^40 elements"),
                )
                .at(self.source, input.span),
            );
            right = false;
        }
        right.then_some(shape)
    }

    /// The classifier's span; reports E0305 where the last item is no F.
    fn last(&mut self, tree: &Tree) -> Option<Span> {
        let last = tree.chain.stages.last()?;
        let message = match last {
            Stage::Error(_) => return None,
            Stage::Layer(layer) if layer.kind.value == "F" => return Some(layer.span),
            Stage::Layer(layer) if op::kind(&layer.kind.value).is_none() => return None, // E0201 says enough
            Stage::Layer(layer) => format!(
                "the last layer is a `{}`, and the classifier must be an `F`",
                layer.kind.value
            ),
            Stage::Repeat(_) | Stage::Join(_) => {
                "the classifier must be an `F` outside brackets".into()
            }
        };
        if tree.complete {
            let help = "end the network with an `F` as wide as there are classes: `-> F10`";
            self.sink.push(
                Diagnostic::error(Code::E0305, message)
                    .at(self.source, last.span())
                    .help(help),
            );
        }
        None
    }

    fn chain(&mut self, chain: &'a Chain, copy: &str, classifier: Option<Span>) {
        for stage in &chain.stages {
            match stage {
                Stage::Layer(layer) => self.layer(layer, copy, classifier),
                Stage::Error(_) => self.place.shape = None,
                Stage::Repeat(repeat) => self.repeat(repeat, copy),
                Stage::Join(join) => self.join(join, copy),
            }
        }
    }

    /// The bracketed chain, as often as its count says. The classifier is never in it.
    fn repeat(&mut self, repeat: &'a Repeat, copy: &str) {
        let count = repeat.count.value.parse::<u64>();
        let Some(times) = count.ok().filter(|times| *times > 0) else {
            let message = format!(
                "a repeat count is at least 1, and this is {}",
                repeat.count.value
            );
            self.sink
                .push(Diagnostic::error(Code::E0205, message).at(self.source, repeat.count.span));
            self.place.shape = None;
            return;
        };
        for time in 1..=times {
            self.chain(&repeat.chain, &format!("{copy}.{time}"), None);
        }
    }

    /// The next number of a kind's generated names.
    fn number(&mut self, letter: &'static str) -> usize {
        let count = self.counts.entry(letter).or_insert(0);
        *count += 1;
        *count
    }

    /// Reports a broken shape rule at a layer or bracket, once for all of its copies.
    fn fault(&mut self, span: Span, diagnostic: impl FnOnce() -> Diagnostic) {
        if self.faulty.insert(span) {
            self.sink.push(diagnostic());
        }
    }

    /// Adds a node and moves behind it.
    fn push(&mut self, node: Node) {
        self.place.shape = node.output;
        self.nodes.push(node);
        self.place.feed = Feed::Node(self.nodes.len() - 1);
    }
}
