//! Which of a layer's attributes stay, and in which order.
//!
//! What is the default is not looked up but found out: the kind builds the layer with the attribute and without it, and
//! where both mean the same whatever the configuration says, the attribute goes. So a default that depends on another
//! attribute (a pooling's stride is its kernel, `pad=same` is half of it) needs no rule here.

use std::collections::HashMap;
use std::sync::Arc;

use crate::diagnostic::Diagnostics;
use crate::op::attribute::{Arguments, Type};
use crate::op::{self, InitRule, Kind, Recipe};
use crate::source::Source;
use crate::syntax::tree::{Attribute, Layer, Value};

/// Two configurations that agree in nothing: an attribute that a configuration may stand in for is never the default
/// under both.
const RECIPES: [Recipe; 2] = [
    Recipe {
        init: InitRule::He,
        std: 0.25,
        bias: 0.5,
        dropout: 0.25,
    },
    Recipe {
        init: InitRule::Xavier,
        std: 0.75,
        bias: -0.5,
        dropout: 0.75,
    },
];

/// An attribute as it is written.
pub(super) fn text(attribute: &Attribute) -> String {
    let key = &attribute.key.value;
    match attribute.value.as_ref().map(|value| &value.value) {
        Some(Value::Number(number)) => format!("{key}={number}"),
        Some(Value::Size(parts)) => format!("{key}={}", parts.join("x")),
        Some(Value::Word(word)) => format!("{key}={word}"),
        Some(Value::Error) | None => key.clone(),
    }
}

/// Puts the attributes of layers in order, and remembers those of layers that are written alike.
#[derive(Default)]
pub(super) struct Orders {
    /// By kind and attributes as written.
    known: HashMap<String, Vec<usize>>,
}

impl Orders {
    /// The attributes that stay, as indices into the layer's, in canonical order.
    pub(super) fn of(&mut self, source: &Arc<Source>, layer: &Layer) -> Vec<usize> {
        let mut key = layer.kind.value.clone();
        for attribute in &layer.attributes {
            key.push(',');
            key.push_str(&text(attribute));
        }
        self.known
            .entry(key)
            .or_insert_with(|| {
                let kind = op::kind(&layer.kind.value)
                    .expect("internal error: an unknown kind in a network without errors");
                canonical(kind, source, layer)
            })
            .clone()
    }
}

fn canonical(kind: &'static Kind, source: &Arc<Source>, layer: &Layer) -> Vec<usize> {
    let mut order: Vec<usize> = (0..layer.attributes.len()).collect();
    // Flags before attributes with a value, each in the table's order.
    order.sort_by_key(|&index| {
        let key = layer.attributes[index].key.value.as_str();
        let place = kind.attributes.iter().position(|known| known.key == key);
        place.map(|place| (kind.attributes[place].value != Type::Flag, place))
    });
    let meaning = |indices: &[usize], recipe: &Recipe| {
        let attributes = indices.iter().map(|&index| layer.attributes[index].clone());
        let layer = Layer {
            attributes: attributes.collect(),
            ..layer.clone()
        };
        meaning(kind, source, &layer, recipe)
    };
    let mut at = 0;
    while at < order.len() {
        let mut without = order.clone();
        without.remove(at);
        let same = |some: &[usize], others: &[usize]| {
            RECIPES.iter().all(|recipe| {
                let meant = meaning(some, recipe);
                meant.is_some() && meant == meaning(others, recipe)
            })
        };
        // `init=gaussian` before a `std` changes nothing, but it is no default: it would, did the `std` not follow.
        if same(&order, &without)
            && (meaning(&order[..=at], &RECIPES[0]).is_none() || same(&order[..=at], &order[..at]))
        {
            order = without;
        } else {
            at += 1;
        }
    }
    order
}

/// What a layer means under a configuration; `None` where it is refused.
fn meaning(
    kind: &'static Kind,
    source: &Arc<Source>,
    layer: &Layer,
    recipe: &Recipe,
) -> Option<String> {
    let mut sink = Diagnostics::new();
    let (arguments, right) = Arguments::read(kind, source, layer, false, &mut sink);
    let op = (kind.build)(&arguments, recipe, &mut sink)?;
    (right && !sink.has_errors()).then(|| format!("{op:?}"))
}
