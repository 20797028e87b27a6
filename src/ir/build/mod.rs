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
use crate::syntax::tree::{Chain, Repeat, Spanned, Stage, Tree};

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
        once: false,
        walked: 0,
        place: Place {
            shape: None,
            feed: Feed::Input,
        },
    };
    let input = builder.input(tree).or(options.input);
    builder.place.shape = input;
    builder.labels(&tree.chain);
    let layers = count(&tree.chain).max(tree.unread as u64);
    if layers > MOST_LAYERS {
        let message = format!(
            "{} layers after expansion: a network has at most {MOST_LAYERS}",
            match layers {
                u64::MAX => "too many".into(),
                _ if tree.unread > 0 => format!("at least {layers}"),
                _ => layers.to_string(),
            }
        );
        builder.sink.push(
            Diagnostic::error(Code::E0308, message)
                .at(&tree.source, tree.chain.span)
                .help("lower the repeat counts"),
        );
        builder.once = true;
    }
    let (classifier, no_classifier) = builder.last(tree);
    builder.chain(&tree.chain, "", classifier);
    // Rules about the last layer come after those of the layer itself.
    builder.sink.append(no_classifier);
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

/// The F that ends a chain with an error in it, in the bracket that may never have been closed.
fn last_layer(chain: &Chain) -> Option<Span> {
    let is_mark = |stage: &&Stage| matches!(stage, Stage::Error(span) if span.is_empty());
    match chain.stages.iter().rev().find(|stage| !is_mark(stage))? {
        Stage::Layer(layer) => (layer.kind.value == "F").then_some(layer.span),
        Stage::Error(_) => None,
        Stage::Repeat(repeat) => last_layer(&repeat.chain),
        Stage::Join(join) => join.branches.last().and_then(last_layer),
    }
}

/// A repeat's count; `None` where it is out of range.
fn times(repeat: &Repeat) -> Option<u64> {
    let times = repeat.count.value.parse::<u64>().ok();
    times.filter(|times| (1..=LARGEST_WHOLE).contains(times))
}

/// Layers after expansion, saturating.
fn count(chain: &Chain) -> u64 {
    let layers = |stage: &Stage| match stage {
        Stage::Layer(_) | Stage::Error(_) => 1,
        Stage::Repeat(repeat) => {
            // A count that is out of range is told as that.
            count(&repeat.chain).saturating_mul(times(repeat).unwrap_or(1))
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

/// E0205 at a repeat count.
fn count_out_of_range(source: &Arc<Source>, count: &Spanned<String>) -> Diagnostic {
    let digits = count.value.trim_start_matches('+');
    let large = !digits.starts_with('-') && !digits.trim_start_matches('0').is_empty();
    let (message, help) = if large {
        (
            format!("a repeat count goes to {LARGEST_WHOLE}, and this is {digits}"),
            "write a smaller count",
        )
    } else {
        (
            format!("a repeat count is at least 1, and this is {digits}"),
            "write 1 or more, or remove the bracket",
        )
    };
    Diagnostic::error(Code::E0205, message)
        .at(source, count.span)
        .help(help)
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
    /// Whether a repeat's body is walked once only, since there are too many layers (E0308).
    once: bool,
    /// Stages seen.
    walked: u64,
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

    /// The classifier's span; E0305 where the last item is no F.
    fn last(&self, tree: &Tree) -> (Option<Span>, Diagnostics) {
        let silent = |span| (span, Diagnostics::new());
        if !tree.complete {
            return silent(last_layer(&tree.chain));
        }
        let Some(last) = tree.chain.stages.last() else {
            return silent(None);
        };
        let message = match last {
            Stage::Error(_) => return silent(None),
            Stage::Layer(layer) if layer.kind.value == "F" => return silent(Some(layer.span)),
            Stage::Layer(layer) if op::kind(&layer.kind.value).is_none() => return silent(None), // E0201 says enough
            Stage::Layer(layer) => format!(
                "the last layer is a `{}`, and the classifier must be an `F`",
                layer.kind.value
            ),
            Stage::Repeat(_) | Stage::Join(_) => {
                "the classifier must be an `F` outside brackets".into()
            }
        };
        let fault = Diagnostic::error(Code::E0305, message)
            .at(self.source, last.span())
            .help("end the network with an `F` as wide as there are classes: `-> F10`");
        (None, fault.into())
    }

    fn chain(&mut self, chain: &'a Chain, copy: &str, classifier: Option<Span>) {
        for stage in &chain.stages {
            if self.once && self.walked == MOST_LAYERS {
                // It is reported that the network is too large.
                self.place.shape = None;
                return;
            }
            self.walked += 1;
            match stage {
                Stage::Layer(layer) => self.layer(layer, copy, classifier),
                Stage::Error(_) => self.place.shape = None,
                Stage::Repeat(repeat) => self.repeat(repeat, copy, classifier),
                Stage::Join(join) => self.join(join, copy, classifier),
            }
        }
    }

    /// The bracketed chain, as often as its count says. Where that is out of range, and where there are too many layers,
    /// its body is checked once, and what comes out of it is unknown.
    fn repeat(&mut self, repeat: &'a Repeat, copy: &str, classifier: Option<Span>) {
        let times = times(repeat);
        if times.is_none() {
            let (source, count) = (self.source, &repeat.count);
            self.fault(count.span, || count_out_of_range(source, count));
        }
        let walks = times.filter(|_| !self.once).unwrap_or(1);
        for time in 1..=walks {
            self.chain(&repeat.chain, &format!("{copy}.{time}"), classifier);
        }
        if times != Some(walks) {
            self.place.shape = None;
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
