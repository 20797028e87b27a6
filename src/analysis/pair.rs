//! A network and its configuration together: data against input and classifier, settings against layers.

use std::sync::Arc;

use crate::config::{Batch, Config};
use crate::data::{self, Dataset, Order, Part, check_classes};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::ir::Graph;
use crate::op::Recipe;
use crate::op::shape::Shape;
use crate::source::Span;
use crate::syntax::Tree;

/// The data sets of a configuration, as far as they can be opened for a network, and everything that is wrong.
#[derive(Debug, Default)]
pub struct Sets {
    /// The training images.
    pub train: Option<Dataset>,
    /// What was found.
    pub found: Diagnostics,
}

/// Opens both data sets for a network whose input is `input` where it is known.
///
/// Among the diagnostics: E0501, E0502, E0503, E0505 and E0901 as [`data::open`] finds them, E0504 for test images of
/// other classes, E0405 for a batch larger than the training set. They point at the setting, and where the network's
/// text has its part in it, there too.
pub fn open(tree: &Tree, input: Option<Shape>, config: &Config) -> Sets {
    let mut sets = Sets::default();
    let written = tree.input.as_ref().map(|input| input.span);
    let faulty = |key: &str, fault: Diagnostic| -> Diagnostic {
        let fault = config.point(key, fault);
        match written {
            Some(span) if fault.code == Code::E0503 => {
                beside(fault, tree, span, "the network's input")
            }
            _ => fault,
        }
    };
    match data::open(&config.data.train, Part::Train, &config.data, input) {
        Ok(set) => sets.train = Some(set),
        Err(fault) => sets.found.push(faulty("data.train", fault)),
    }
    let misfit = sets.found.iter().any(|fault| fault.code == Code::E0503);
    // Test images follow the training images; where both are of one set, what is wrong with it is said once.
    let train = sets.train.as_ref();
    let shape = input.or(train.map(Dataset::shape));
    if train.is_some() || config.data.test != config.data.train {
        match data::open(&config.data.test, Part::Test, &config.data, shape) {
            Ok(mut test) => {
                if let Some(Err(fault)) = train.map(|train| test.align(train.classes())) {
                    let fault = config.point("data.test", fault);
                    sets.found.push(match config.place("data.train") {
                        Some(place) => fault.label("the training set", &place.source, place.span),
                        None => fault,
                    });
                }
            }
            // Where the training images do not fit either, it is the network's input that is wrong.
            Err(fault) if fault.code == Code::E0503 && misfit => {}
            Err(fault) => sets.found.push(faulty("data.test", fault)),
        }
    }
    if let (Some(train), Batch::Images(batch)) = (train, config.train.batch) {
        let parts = config.train.accumulate as usize;
        if let Err(fault) = Order::check(batch, parts, train.len()) {
            sets.found.push(config.point("train.batch", fault));
        }
    }
    sets
}

/// E0504 where the classifier has fewer units than the training set classes.
pub fn classes(graph: &Graph, train: &Dataset, config: &Config) -> Option<Diagnostic> {
    let fault = check_classes(train, graph.classes()?).err()?;
    let fault = match (&graph.source, graph.nodes.last()) {
        (Some(source), Some(classifier)) => fault.at(source, classifier.span),
        _ => fault,
    };
    Some(match config.place("data.train") {
        Some(place) => fault.label("the data set", &place.source, place.span),
        None => fault,
    })
}

/// Points at a place in the network's text: as the main one where there is none yet.
fn beside(fault: Diagnostic, tree: &Tree, span: Span, words: &str) -> Diagnostic {
    if fault.primary.is_some() {
        fault.label(words, &tree.source, span)
    } else {
        fault.at(&tree.source, span)
    }
}

/// W0401: settings about layers, written in the configuration, that change no layer of the network. `build` makes the
/// network again from another recipe.
pub fn idle_settings(
    config: &Config,
    recipe: &Recipe,
    build: impl Fn(&Recipe) -> Option<Graph>,
) -> Diagnostics {
    let other = |rule: f64| if rule == 0.25 { 0.5 } else { 0.25 };
    let settings: [(&str, Recipe, &str); 3] = [
        (
            "regularization.dropout",
            Recipe {
                dropout: other(recipe.dropout),
                ..*recipe
            },
            "it holds for hidden F layers without a `dropout` of their own, and there is none",
        ),
        (
            "init.weights",
            Recipe {
                init: crate::op::InitRule::Gaussian(0.123),
                ..*recipe
            },
            "every C and F has an `init` or `std` of its own",
        ),
        (
            "init.bias",
            Recipe {
                bias: other(recipe.bias),
                ..*recipe
            },
            "every C and F has a `bias_init` of its own, or no bias",
        ),
    ];
    let mut found = Diagnostics::new();
    let mut now = None;
    for (key, changed, why) in settings {
        let Some(place) = config.place(key) else {
            continue;
        };
        let Some(before) = now.get_or_insert_with(|| build(recipe)).as_ref() else {
            break;
        };
        let Some(after) = build(&changed) else { break };
        let same = before
            .nodes
            .iter()
            .zip(&after.nodes)
            .all(|(a, b)| format!("{:?}", a.op) == format!("{:?}", b.op));
        if same {
            let message = format!("`{key}` changes nothing in this network: {why}");
            found.push(
                Diagnostic::warning(Code::W0401, message)
                    .at(&Arc::clone(&place.source), place.span)
                    .help("leave it out"),
            );
        }
    }
    found
}
