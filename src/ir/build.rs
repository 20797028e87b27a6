//! From the syntax tree to the graph: expansion, names, attributes, shapes, and the rules between layers.
//!
//! All errors of a file are found in one run, and none is a consequence of another: after an error a shape is unknown,
//! and unknown shapes say nothing until an `F`, whose output does not depend on its input.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Feed, Graph, Node};
use crate::diagnostic::nearest::nearest;
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::op::attribute::{Arguments, LARGEST_WHOLE};
use crate::op::shape::Shape;
use crate::op::{self, KINDS, Kind, Op, Recipe};
use crate::source::{Source, Span};
use crate::syntax::tree::{Chain, Layer, Stage, Tree};

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
        shape: None,
        feed: Feed::Input,
    };
    let input = builder.input(tree).or(options.input);
    builder.shape = input;
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
    /// The data's shape here; `None` where unknown.
    shape: Option<Shape>,
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

    /// Checks every label of the text, once each.
    fn labels(&mut self, chain: &'a Chain) {
        for stage in &chain.stages {
            match stage {
                Stage::Layer(Layer {
                    label: Some(label), ..
                }) => {
                    let fault = |message: String| {
                        Diagnostic::error(Code::E0206, message).at(self.source, label.span)
                    };
                    if let Some(first) = self.labels.get(label.value.as_str()) {
                        self.sink.push(
                            fault(format!("the label `{}` is used twice", label.value)).label(
                                "first used here",
                                self.source,
                                *first,
                            ),
                        );
                        continue;
                    }
                    if is_generated(&label.value) {
                        let help = format!(
                            "write another word, such as `{}_` or `my_{}`",
                            label.value, label.value
                        );
                        self.sink.push(
                            fault(format!(
                                "`{}` has the shape of a generated name",
                                label.value
                            ))
                            .help(help),
                        );
                    }
                    self.labels.insert(&label.value, label.span);
                }
                Stage::Repeat(repeat) => self.labels(&repeat.chain),
                Stage::Join(join) => join.branches.iter().for_each(|branch| self.labels(branch)),
                _ => {}
            }
        }
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
                Stage::Error(_) => self.shape = None,
                Stage::Repeat(repeat) => {
                    let Some(times) = repeat
                        .count
                        .value
                        .parse::<u64>()
                        .ok()
                        .filter(|times| *times > 0)
                    else {
                        let message = format!(
                            "a repeat count is at least 1, and this is {}",
                            repeat.count.value
                        );
                        self.sink.push(
                            Diagnostic::error(Code::E0205, message)
                                .at(self.source, repeat.count.span),
                        );
                        self.shape = None;
                        continue;
                    };
                    for time in 1..=times {
                        self.chain(&repeat.chain, &format!("{copy}.{time}"), classifier);
                    }
                }
                Stage::Join(join) => {
                    self.sink.push(
                        Diagnostic::error(Code::E0101, "branches are not in this version of netc")
                            .at(self.source, join.span)
                            .help("write one chain of layers"),
                    );
                    self.shape = None;
                }
            }
        }
    }

    fn layer(&mut self, layer: &'a Layer, copy: &str, classifier: Option<Span>) {
        let Some(kind) = op::kind(&layer.kind.value) else {
            if self.faulty.insert(layer.span) {
                self.sink.push(unknown_kind(self.source, layer));
            }
            self.shape = None;
            return;
        };
        let number = self
            .counts
            .entry(kind.letter)
            .and_modify(|n| *n += 1)
            .or_insert(1);
        let name = match &layer.label {
            Some(label) => format!("{}{copy}", label.value),
            None => format!("{}{number}", kind.letter.to_lowercase()),
        };
        let op = self.read(kind, layer, classifier == Some(layer.span));
        let Some(op) = op else {
            // The width of an F holds even where an attribute of it does not.
            let width = layer
                .width
                .as_ref()
                .and_then(|width| width.value.parse::<usize>().ok());
            self.shape = width
                .filter(|w| kind.letter == "F" && *w > 0 && *w as u64 <= LARGEST_WHOLE)
                .map(Shape::Vector);
            return;
        };
        let output = match self.shape {
            None => op.output_of_unknown(),
            Some(input) => match op.output(&[input]) {
                Ok(shape) => Some(shape),
                Err(fault) => {
                    if self.faulty.insert(layer.span) {
                        let mut diagnostic = Diagnostic::error(fault.code, fault.message)
                            .at(self.source, layer.span);
                        diagnostic.help = fault.help;
                        self.sink.push(diagnostic);
                    }
                    op.output_of_unknown()
                }
            },
        };
        self.shape = output;
        self.nodes.push(Node {
            name,
            op,
            feeds: vec![self.feed],
            output,
            span: layer.span,
        });
        self.feed = Feed::Node(self.nodes.len() - 1);
    }

    /// What a layer means; read once for all copies of it.
    fn read(
        &mut self,
        kind: &'static Kind,
        layer: &Layer,
        classifier: bool,
    ) -> Option<Arc<dyn Op>> {
        if let Some(known) = self.checked.get(&layer.span) {
            return known.clone();
        }
        let (arguments, right) =
            Arguments::read(kind, self.source, layer, classifier, &mut self.sink);
        let mut op = (kind.build)(&arguments, self.recipe, &mut self.sink);
        if classifier {
            for attribute in layer
                .attributes
                .iter()
                .filter(|a| a.key.value == "act" || a.key.value == "dropout")
            {
                let message = format!(
                    "the classifier has no {}: its output goes to the loss",
                    if attribute.key.value == "act" {
                        "activation"
                    } else {
                        "dropout"
                    }
                );
                let help = format!("leave out `{}`", self.source.slice(attribute.span));
                self.sink.push(
                    Diagnostic::error(Code::E0306, message)
                        .at(self.source, attribute.span)
                        .help(help),
                );
            }
        }
        if !right {
            self.faulty.insert(layer.span);
            op = None;
        }
        self.checked.insert(layer.span, op.clone());
        op
    }
}

/// Whether a label looks like a name that netc makes: a kind's letter, `add` or `cat`, and digits.
fn is_generated(label: &str) -> bool {
    let word = label.trim_end_matches(|c: char| c.is_ascii_digit());
    word.len() < label.len()
        && (word == "add"
            || word == "cat"
            || KINDS.iter().any(|kind| kind.letter.to_lowercase() == word))
}

/// E0201, with the likeliest kind.
fn unknown_kind(source: &Arc<Source>, layer: &Layer) -> Diagnostic {
    let word = layer.kind.value.as_str();
    let width = layer
        .width
        .as_ref()
        .map_or("", |width| width.value.as_str());
    let span = layer
        .width
        .as_ref()
        .map_or(layer.kind.span, |width| layer.kind.span.join(width.span));
    let lower = word.to_lowercase();
    let known: &[(&str, &str)] = &[
        ("conv", "C"),
        ("conv2d", "C"),
        ("convolution", "C"),
        ("pool", "P"),
        ("pooling", "P"),
        ("maxpool", "P"),
        ("maxpool2d", "P"),
        ("avgpool", "P"),
        ("norm", "N"),
        ("lrn", "N"),
        ("localresponsenorm", "N"),
        ("batchnorm", "N"),
        ("bn", "N"),
        ("fc", "F"),
        ("linear", "F"),
        ("dense", "F"),
        ("fully", "F"),
        ("innerproduct", "F"),
        ("relu", "A"),
        ("act", "A"),
        ("activation", "A"),
        ("c", "C"),
        ("p", "P"),
        ("n", "N"),
        ("f", "F"),
        ("a", "A"),
    ];
    let near = known
        .iter()
        .find(|(name, _)| *name == lower)
        .map(|(_, letter)| *letter);
    let near = near.or_else(|| {
        nearest(word, known.iter().map(|(name, _)| *name))
            .and_then(|name| known.iter().find(|(known, _)| *known == name))
            .map(|(_, letter)| *letter)
    });
    let diagnostic =
        Diagnostic::error(Code::E0201, format!("unknown layer kind `{word}`")).at(source, span);
    let kinds = KINDS
        .iter()
        .map(|kind| format!("`{}` ({})", kind.letter, kind.name))
        .collect::<Vec<_>>()
        .join(", ");
    match near {
        Some(letter) => {
            let takes = op::kind(letter).is_some_and(|kind| kind.width.is_some());
            diagnostic.help(format!(
                "did you mean `{letter}{}`?",
                if takes { width } else { "" }
            ))
        }
        None => diagnostic.help(format!("the kinds are {kinds}")),
    }
}
