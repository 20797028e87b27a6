//! The reading of a layer's width and attributes against its kind's table.
//!
//! Owns which mistake is told, and which is a mere consequence: what cannot be read may have been anything, so nothing is
//! concluded from an attribute's absence where something in the list could have been it ([`Arguments::is_unsure`]).

use std::sync::Arc;

use crate::diagnostic::nearest::{nearest, one_of};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::source::{Source, Span};
use crate::syntax::tree::{self, Layer};

use super::super::Kind;
use super::super::shape::Size;
use super::value::{typed, whole};
use super::{Given, LARGEST_WHOLE, Type};

/// A layer's attributes, read and checked one by one; contradictions between them are the kind's own matter.
#[derive(Debug)]
pub struct Arguments<'a> {
    /// The file.
    pub source: &'a Arc<Source>,
    /// The layer.
    pub layer: &'a Layer,
    /// The number after the letter; 1 where the kind has none.
    pub width: usize,
    /// Whether this is the network's classifier, its last F.
    pub classifier: bool,
    /// The variant flag in force: the one given, else the first of the table; empty where the kind has none.
    pub variant: &'static str,
    given: Vec<(&'static str, Given, Span)>,
    /// Whether something in the list could not be read as any attribute of the kind.
    garbled: bool,
}

impl<'a> Arguments<'a> {
    /// Reads a layer's width and attributes. Errors go to the sink; what is wrong counts as not given. The second value
    /// says whether all of it was right.
    pub fn read(
        kind: &'static Kind,
        source: &'a Arc<Source>,
        layer: &'a Layer,
        classifier: bool,
        sink: &mut Diagnostics,
    ) -> (Self, bool) {
        let before = sink.len();
        let mut this = Self::unread(source, layer, classifier);
        this.read_width(kind, sink);
        this.read_all(kind, sink);
        // The parser has reported a width that is no number, and a value that is none.
        let malformed = |width: &tree::Spanned<String>| width.value.is_empty();
        let right = sink.len() == before
            && !layer.width.as_ref().is_some_and(malformed)
            && !layer
                .attributes
                .iter()
                .any(|a| matches!(&a.value, Some(v) if v.value == tree::Value::Error));
        (this, right)
    }

    /// What is wrong with the attributes of a layer of unknown kind, whichever of some kinds was meant: it is read as the
    /// one that they fit best (the fewest faults, then the fewest unknown keys), among equals the first.
    pub fn of_unknown_kind(
        kinds: impl Iterator<Item = &'static Kind>,
        source: &'a Arc<Source>,
        layer: &'a Layer,
    ) -> Diagnostics {
        let faults = kinds.map(|kind| {
            let mut sink = Diagnostics::new();
            Self::unread(source, layer, false).read_all(kind, &mut sink);
            sink
        });
        let unknown = |faults: &Diagnostics| {
            let codes = faults.iter().map(|fault| fault.code);
            codes.filter(|code| *code == Code::E0202).count()
        };
        faults
            .min_by_key(|faults| (faults.len(), unknown(faults)))
            .unwrap_or_default()
    }

    fn unread(source: &'a Arc<Source>, layer: &'a Layer, classifier: bool) -> Self {
        Self {
            source,
            layer,
            width: 1,
            classifier,
            variant: "",
            given: Vec::new(),
            garbled: false,
        }
    }

    fn read_all(&mut self, kind: &'static Kind, sink: &mut Diagnostics) {
        let attributes = &self.layer.attributes;
        self.garbled = attributes
            .iter()
            .any(|given| !kind.attributes.iter().any(|a| a.key == given.key.value));
        for attribute in attributes {
            if let Some((key, value)) = self.read_one(kind, attribute, sink) {
                self.given.push((key, value, attribute.span));
            }
        }
        self.choose_variant(kind, sink);
    }

    fn read_width(&mut self, kind: &Kind, sink: &mut Diagnostics) {
        let letter = kind.letter;
        match (kind.width, &self.layer.width) {
            (None, None) => {}
            (_, Some(width)) if width.value.is_empty() => {} // the parser has reported it
            (None, Some(width)) => sink.push(
                Diagnostic::error(Code::E0207, format!("`{letter}` has no width"))
                    .at(self.source, self.layer.kind.span.join(width.span))
                    .help(match letter {
                        "P" | "N" => format!(
                            "write `{letter}`, or `{letter}({}={})`",
                            if letter == "P" { "kernel" } else { "size" },
                            width.value
                        ),
                        _ => format!("write `{letter}`"),
                    }),
            ),
            (Some(what), None) => sink.push(
                Diagnostic::error(
                    Code::E0207,
                    format!("`{letter}` needs a width: its number of {what}"),
                )
                .at(self.source, self.layer.kind.span)
                .help(format!("write `{letter}64` for 64 {what}")),
            ),
            (Some(what), Some(width)) => match whole(&width.value) {
                Some(0) => sink.push(
                    Diagnostic::error(
                        Code::E0205,
                        format!("`{letter}` with no {what}: the width must be at least 1"),
                    )
                    .at(self.source, self.layer.kind.span.join(width.span))
                    .help(format!("write `{letter}1` or more")),
                ),
                Some(number) if number <= LARGEST_WHOLE => self.width = number as usize,
                _ => sink.push(
                    Diagnostic::error(
                        Code::E0205,
                        format!(
                            "`{}` is too large: whole numbers go to {LARGEST_WHOLE}",
                            width.value
                        ),
                    )
                    .at(self.source, self.layer.kind.span.join(width.span))
                    .help(format!("write a smaller number of {what}")),
                ),
            },
        }
    }

    /// Reads one attribute against the table.
    fn read_one(
        &self,
        kind: &Kind,
        attribute: &tree::Attribute,
        sink: &mut Diagnostics,
    ) -> Option<(&'static str, Given)> {
        let key = attribute.key.value.as_str();
        if key.is_empty() {
            return None; // the parser has reported what stands here
        }
        let fault = |code, message: String| {
            Diagnostic::error(code, message).at(self.source, attribute.span)
        };
        let Some(known) = kind.attributes.iter().find(|known| known.key == key) else {
            sink.push_with(|| self.unknown(kind, attribute));
            return None;
        };
        if let Some(first) = self.layer.attributes.iter().find(|a| a.key.value == key)
            && first.span != attribute.span
        {
            sink.push_with(|| {
                fault(Code::E0203, format!("`{key}` is given twice"))
                    .label("first given here", self.source, first.span)
                    .help("keep one of them")
            });
            return None;
        }
        let Some(value) = &attribute.value else {
            if known.value == Type::Flag {
                return Some((known.key, Given::Flag));
            }
            let example = if known.default.is_empty() {
                "…"
            } else {
                known.default
            };
            sink.push(
                fault(Code::E0204, format!("`{key}` needs a value"))
                    .help(format!("write `{key}={example}`")),
            );
            return None;
        };
        match typed(known, value) {
            Ok(given) => Some((known.key, given)),
            Err(None) => None,
            Err(Some((code, message, help))) => {
                let diagnostic = fault(code, message);
                sink.push(match help {
                    Some(help) => diagnostic.help(help),
                    None => diagnostic,
                });
                None
            }
        }
    }

    fn unknown(&self, kind: &Kind, attribute: &tree::Attribute) -> Diagnostic {
        let key = attribute.key.value.as_str();
        let letter = kind.letter;
        let keys = || {
            kind.attributes
                .iter()
                .filter(|a| a.value != Type::Flag)
                .map(|a| a.key)
        };
        let flags = || {
            kind.attributes
                .iter()
                .filter(|a| a.value == Type::Flag)
                .map(|a| a.key)
        };
        let owner = kind
            .attributes
            .iter()
            .find(|a| matches!(a.value, Type::Word(words) if words.contains(&key)));
        if attribute.value.is_none() {
            let diagnostic =
                Diagnostic::error(Code::E0204, format!("`{key}` is no flag of `{letter}`"))
                    .at(self.source, attribute.span);
            return if let Some(owner) = owner {
                diagnostic.help(format!("write `{}={key}`", owner.key))
            } else if let Some(near) = nearest(key, flags()) {
                diagnostic.help(format!("did you mean `{near}`?"))
            } else if let Some(near) = nearest(key, keys()) {
                diagnostic.help(format!("did you mean `{near}=…`?"))
            } else if flags().next().is_some() {
                diagnostic.help(format!("flags of `{letter}` are {}", one_of(flags())))
            } else {
                diagnostic.help(format!(
                    "attributes of `{letter}` are written `key=value`: {}",
                    one_of(keys())
                ))
            };
        }
        let refused = match key {
            "dilation" | "dilate" => Some("netc has no dilation"),
            "lr" | "learning_rate" | "lr_mult" => Some(
                "netc has no per-layer learning rates: `optimizer.learning_rate` in the TOML holds for all layers",
            ),
            "pad_left" | "pad_right" | "pad_top" | "pad_bottom" => {
                Some("netc has no one-sided padding: `pad` holds for both sides")
            }
            _ => None,
        };
        if let Some(words) = refused {
            return Diagnostic::error(Code::E0202, format!("`{letter}` has no attribute `{key}`"))
                .at(self.source, attribute.span)
                .help(words);
        }
        let diagnostic =
            Diagnostic::error(Code::E0202, format!("`{letter}` has no attribute `{key}`"))
                .at(self.source, attribute.span);
        match nearest(key, keys()) {
            Some(near) => {
                let value = attribute
                    .value
                    .as_ref()
                    .map_or("", |v| self.source.slice(v.span));
                diagnostic.help(format!("did you mean `{near}={value}`?"))
            }
            None if keys().next().is_none() => {
                diagnostic.help(format!("`{letter}` has flags only: {}", one_of(flags())))
            }
            None => diagnostic.help(format!("attributes of `{letter}` are {}", one_of(keys()))),
        }
    }

    /// Finds the variant in force and refuses what belongs to another one.
    fn choose_variant(&mut self, kind: &'static Kind, sink: &mut Diagnostics) {
        let mut choosers = kind.attributes.iter().filter(|a| a.chooses);
        let Some(first) = choosers.next() else { return };
        let chosen: Vec<_> = self
            .given
            .iter()
            .filter(|(key, ..)| kind.attributes.iter().any(|a| a.chooses && a.key == *key))
            .copied()
            .collect();
        self.variant = chosen.first().map_or(first.key, |(key, ..)| key);
        let choosers = kind.attributes.iter().filter(|a| a.chooses);
        if chosen.is_empty() && choosers.into_iter().any(|a| self.is_unsure(a.key)) {
            // `meanvra, eps=1e-4`: which variant it is, nobody knows.
            return;
        }
        for (key, _, span) in chosen.iter().skip(1) {
            sink.push(
                Diagnostic::error(
                    Code::E0208,
                    format!("`{key}` contradicts `{}`", chosen[0].0),
                )
                .at(self.source, *span)
                .label("chosen here", self.source, chosen[0].2)
                .help(format!(
                    "keep one of {}",
                    one_of(chosen.iter().map(|(key, ..)| *key))
                )),
            );
        }
        if chosen.len() > 1 {
            return;
        }
        let variant = self.variant;
        self.given.retain(|(key, _, span)| {
            let known = kind
                .attributes
                .iter()
                .find(|a| a.key == *key)
                .expect("internal error: only known attributes are given");
            let right = known.variants.is_empty() || known.variants.contains(&variant);
            if !right {
                sink.push(
                    Diagnostic::error(
                        Code::E0202,
                        format!("`{}({variant})` has no attribute `{key}`", kind.letter),
                    )
                    .at(self.source, *span)
                    .help(format!(
                        "`{key}` belongs to {}",
                        one_of(known.variants.iter().copied())
                    )),
                );
            }
            right
        });
    }

    fn find(&self, key: &str) -> Option<Given> {
        self.given
            .iter()
            .find(|(known, ..)| *known == key)
            .map(|(_, value, _)| *value)
    }

    /// Whether the attribute or flag was given.
    pub fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// Where the attribute stands, or the layer.
    pub fn span(&self, key: &str) -> Span {
        self.given
            .iter()
            .find(|(known, ..)| *known == key)
            .map_or(self.layer.span, |(.., span)| *span)
    }

    /// A whole number.
    pub fn whole(&self, key: &str, default: usize) -> usize {
        match self.find(key) {
            Some(Given::Whole(value)) => value,
            _ => default,
        }
    }

    /// A number.
    pub fn real(&self, key: &str) -> Option<f64> {
        match self.find(key) {
            Some(Given::Real(value)) => Some(value),
            _ => None,
        }
    }

    /// A size; a word in its place counts as not given.
    pub fn size(&self, key: &str) -> Option<Size> {
        match self.find(key) {
            Some(Given::Size(value)) => Some(value),
            _ => None,
        }
    }

    /// A word.
    pub fn word(&self, key: &str) -> Option<&'static str> {
        match self.find(key) {
            Some(Given::Word(value)) => Some(value),
            _ => None,
        }
    }

    /// Whether the attribute was not read although it may have been meant: it stands there with a fault, or something
    /// does that could not be read at all.
    pub fn is_unsure(&self, key: &str) -> bool {
        let stands = |given: &tree::Attribute| given.key.value == key;
        !self.has(key) && (self.garbled || self.layer.attributes.iter().any(stands))
    }

    /// Pushes a contradiction at `key`, pointing at `other` too.
    pub fn contradict(
        &self,
        key: &str,
        other: &str,
        message: String,
        help: String,
        sink: &mut Diagnostics,
    ) {
        let mut diagnostic = Diagnostic::error(Code::E0208, message)
            .at(self.source, self.span(key))
            .help(help);
        if key != other && self.has(other) && self.has(key) {
            diagnostic = diagnostic.label("given here", self.source, self.span(other));
        }
        sink.push(diagnostic);
    }
}
