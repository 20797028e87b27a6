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
    match value(attribute) {
        Some(value) => format!("{key}={value}"),
        None => key.clone(),
    }
}

/// An attribute's value as it is written; `None` for a flag.
fn value(attribute: &Attribute) -> Option<String> {
    match &attribute.value.as_ref()?.value {
        Value::Number(number) => Some(number.clone()),
        Value::Size(parts) => Some(parts.join("x")),
        Value::Word(word) => Some(word.clone()),
        Value::Error => None,
    }
}

/// A layer's kind and attributes as they are written.
fn key(layer: &Layer) -> String {
    let mut key = layer.kind.value.clone();
    for attribute in &layer.attributes {
        key.push(',');
        key.push_str(&text(attribute));
    }
    key
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
        self.known
            .entry(key(layer))
            .or_insert_with(|| {
                let kind = op::kind(&layer.kind.value)
                    .expect("internal error: an unknown kind in a network without errors");
                canonical(kind, source, layer)
            })
            .clone()
    }
}

/// One attribute of a layer, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The key or flag.
    pub key: &'static str,
    /// The value; `None` for a flag.
    pub value: Option<String>,
}

impl Setting {
    /// The setting as text.
    pub fn text(&self) -> String {
        match &self.value {
            Some(value) => format!("{}={value}", self.key),
            None => self.key.to_owned(),
        }
    }

    /// Whether both say the same, however they are written: `3` is `3x3`, `0.5` is `.5`.
    pub fn says_as(&self, other: &Self) -> bool {
        let sides = |value: &str| {
            let number = value.parse::<f64>().map(|n| vec![n.to_bits(), n.to_bits()]);
            let size = || {
                value
                    .split('x')
                    .map(|side| side.parse::<f64>().map(f64::to_bits))
            };
            number.or_else(|_| size().collect::<Result<Vec<u64>, _>>())
        };
        self.key == other.key
            && (self.value == other.value
                || match (&self.value, &other.value) {
                    (Some(a), Some(b)) => sides(a).is_ok_and(|a| sides(b) == Ok(a)),
                    _ => false,
                })
    }
}

/// A layer without its label, in canonical form.
#[derive(Clone, Debug)]
pub struct Written {
    /// Its kind.
    pub kind: &'static Kind,
    /// The number after the letter.
    pub width: Option<String>,
    /// What is in its parentheses, in canonical order.
    pub settings: Vec<Setting>,
    /// What it means: equal where two layers are one, however they are written.
    meaning: String,
}

impl PartialEq for Written {
    fn eq(&self, other: &Self) -> bool {
        self.kind.letter == other.kind.letter && self.meaning == other.meaning
    }
}

impl Written {
    /// The layer as text.
    pub fn text(&self) -> String {
        let head = format!(
            "{}{}",
            self.kind.letter,
            self.width.as_deref().unwrap_or("")
        );
        if self.settings.is_empty() {
            return head;
        }
        let settings: Vec<String> = self.settings.iter().map(Setting::text).collect();
        format!("{head}({})", settings.join(", "))
    }

    /// Changes what stands at a key: nothing (`None`), or a setting.
    pub fn set(&mut self, key: &'static str, setting: Option<Setting>) {
        self.settings.retain(|setting| setting.key != key);
        self.settings.extend(setting);
        let kind = self.kind;
        self.settings.sort_by_key(|setting| {
            let place = kind
                .attributes
                .iter()
                .position(|known| known.key == setting.key);
            (setting.value.is_some(), place)
        });
    }

    /// What it means, as text that is equal where the meaning is.
    pub fn meaning(&self) -> &str {
        &self.meaning
    }
}

/// Reads layers; those that are written alike once.
#[derive(Debug, Default)]
pub struct Meanings {
    known: HashMap<String, Arc<Written>>,
}

impl Meanings {
    /// A layer of a network without errors in canonical form.
    ///
    /// # Panics
    /// Where the layer has an error.
    pub fn of(&mut self, source: &Arc<Source>, layer: &Layer) -> Arc<Written> {
        let width = layer.width.as_ref().map_or("", |width| &width.value);
        let name = format!("{width}{}", key(layer));
        if let Some(known) = self.known.get(&name) {
            return Arc::clone(known);
        }
        let kind = op::kind(&layer.kind.value)
            .expect("internal error: an unknown kind in a network without errors");
        let kept = canonical(kind, source, layer).into_iter();
        let settings = kept.map(|index| setting(kind, &layer.attributes[index]));
        let digits = |width: &str| match width.trim_start_matches('0') {
            "" => width.to_owned(),
            digits => digits.to_owned(),
        };
        let written = Arc::new(Written {
            kind,
            width: layer.width.as_ref().map(|width| digits(&width.value)),
            settings: settings.collect(),
            meaning: format!(
                "{:?}",
                RECIPES.map(|recipe| meaning(kind, source, layer, &recipe))
            ),
        });
        self.known.insert(name, Arc::clone(&written));
        written
    }
}

/// An attribute of a kind.
fn setting(kind: &'static Kind, attribute: &Attribute) -> Setting {
    let key = attribute.key.value.as_str();
    let known = kind.attributes.iter().find(|known| known.key == key);
    let known = known.expect("internal error: an unknown attribute in a network without errors");
    Setting {
        key: known.key,
        value: value(attribute),
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
