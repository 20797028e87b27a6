//! Attribute tables and the reading of a layer's attributes against them.
//!
//! A kind declares its attributes as data; everything that a table can say (unknown words, wrong types, ranges, things
//! given twice, keys of another variant) is checked here, once, for every kind.

use std::sync::Arc;

use crate::diagnostic::nearest::{nearest, one_of};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::source::{Source, Span};
use crate::syntax::tree::{self, Layer, Spanned};

use super::Kind;
use super::shape::Size;

/// Whole numbers go this far (E0205 beyond).
pub const LARGEST_WHOLE: u64 = (1 << 31) - 1;

/// What an attribute's value may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Type {
    /// No value: the bare word.
    Flag,
    /// A whole number from `min` on.
    Whole {
        /// The least.
        min: u64,
    },
    /// A size, `5x3` or `5`, each part from `min` on; or the word, where there is one.
    Size {
        /// The least of each part.
        min: u64,
        /// A word that may stand instead.
        word: Option<&'static str>,
    },
    /// A number from `min` to `max`.
    Real {
        /// The least.
        min: f64,
        /// The largest, or what it must stay below.
        max: f64,
        /// Whether `max` itself is too large.
        below: bool,
    },
    /// One of some words.
    Word(&'static [&'static str]),
}

/// Any number that is at least zero.
pub const POSITIVE_REAL: Type = Type::Real {
    min: 0.0,
    max: f64::MAX,
    below: false,
};
/// Any number at all.
pub const ANY_REAL: Type = Type::Real {
    min: f64::MIN,
    max: f64::MAX,
    below: false,
};

/// One attribute of a kind.
#[derive(Clone, Copy, Debug)]
pub struct Attribute {
    /// The key or flag.
    pub key: &'static str,
    /// What its value may be.
    pub value: Type,
    /// What it is where it is not given, as one would write it; empty where that depends.
    pub default: &'static str,
    /// What it means, for tables.
    pub doc: &'static str,
    /// The variant flags that it belongs to; empty: all.
    pub variants: &'static [&'static str],
    /// For a flag that chooses the kind's variant.
    pub chooses: bool,
}

impl Attribute {
    /// An attribute with a value.
    pub const fn key(
        key: &'static str,
        value: Type,
        default: &'static str,
        doc: &'static str,
    ) -> Self {
        Self {
            key,
            value,
            default,
            doc,
            variants: &[],
            chooses: false,
        }
    }

    /// A flag.
    pub const fn flag(key: &'static str, doc: &'static str) -> Self {
        Self {
            key,
            value: Type::Flag,
            default: "",
            doc,
            variants: &[],
            chooses: false,
        }
    }

    /// A flag that chooses the variant.
    pub const fn variant(key: &'static str, doc: &'static str) -> Self {
        Self {
            key,
            value: Type::Flag,
            default: "",
            doc,
            variants: &[],
            chooses: true,
        }
    }

    /// The same, for some variants only.
    #[must_use]
    pub const fn of(mut self, variants: &'static [&'static str]) -> Self {
        self.variants = variants;
        self
    }
}

/// A value that was read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Given {
    /// A flag stands there.
    Flag,
    /// A whole number.
    Whole(usize),
    /// A size.
    Size(Size),
    /// A number.
    Real(f64),
    /// One of the words that the table lists.
    Word(&'static str),
}

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
        let mut this = Self {
            source,
            layer,
            width: 1,
            classifier,
            variant: "",
            given: Vec::new(),
        };
        this.read_width(kind, sink);
        for attribute in &layer.attributes {
            if let Some((key, value)) = this.read_one(kind, attribute, sink) {
                this.given.push((key, value, attribute.span));
            }
        }
        this.choose_variant(kind, sink);
        let right = sink.len() == before
            && !layer
                .attributes
                .iter()
                .any(|a| matches!(&a.value, Some(v) if v.value == tree::Value::Error));
        (this, right)
    }

    fn read_width(&mut self, kind: &Kind, sink: &mut Diagnostics) {
        let letter = kind.letter;
        match (kind.width, &self.layer.width) {
            (None, None) => {}
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
            sink.push(self.unknown(kind, attribute));
            return None;
        };
        if let Some(first) = self.layer.attributes.iter().find(|a| a.key.value == key)
            && first.span != attribute.span
        {
            sink.push(
                fault(Code::E0203, format!("`{key}` is given twice"))
                    .label("first given here", self.source, first.span)
                    .help("keep one of them"),
            );
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

/// A whole number without sign, fraction or exponent; too large ones saturate.
fn whole(text: &str) -> Option<u64> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
        .then(|| digits.parse().unwrap_or(u64::MAX))
}

/// A type fault: code, message, help. `None` where the parser has reported it already.
type TypeFault = Option<(Code, String, Option<String>)>;

fn typed(known: &Attribute, value: &Spanned<tree::Value>) -> Result<Given, TypeFault> {
    let key = known.key;
    let wrong = |what: &str| {
        let example = if known.default.is_empty() || known.default.starts_with('=') {
            None
        } else {
            Some(format!("write `{key}={}`", known.default))
        };
        Err(Some((
            Code::E0204,
            format!("`{key}` takes {what}"),
            example,
        )))
    };
    let range = |message: String| Err(Some((Code::E0205, message, Some(within(known)))));
    let whole_part = |text: &str, min: u64| -> Result<Option<usize>, TypeFault> {
        match whole(text) {
            Some(number) if number > LARGEST_WHOLE => Err(Some((
                Code::E0205,
                format!("`{text}` is too large: whole numbers go to {LARGEST_WHOLE}"),
                Some(within(known)),
            ))),
            Some(number) if number < min => Err(Some((
                Code::E0205,
                format!("`{key}` must be at least {min}"),
                Some(within(known)),
            ))),
            Some(number) => Ok(Some(number as usize)),
            None if text.starts_with('-') && whole(&text[1..]).is_some() => Err(Some((
                Code::E0205,
                format!("`{key}` must be at least {min}"),
                Some(within(known)),
            ))),
            None => Ok(None),
        }
    };
    match (known.value, &value.value) {
        (_, tree::Value::Error) => Err(None),
        (Type::Flag, _) => Err(Some((
            Code::E0204,
            format!("`{key}` is a flag and takes no value"),
            Some(format!("write `{key}`")),
        ))),
        (Type::Whole { min }, tree::Value::Number(text)) => match whole_part(text, min)? {
            Some(number) => Ok(Given::Whole(number)),
            None => wrong("a whole number"),
        },
        (Type::Whole { .. }, _) => wrong("a whole number"),
        (Type::Size { min, word }, tree::Value::Number(text)) => match whole_part(text, min)? {
            Some(side) => Ok(Given::Size(Size::square(side))),
            None => wrong(size_words(word)),
        },
        (Type::Size { min, word }, tree::Value::Size(parts)) => match parts.as_slice() {
            [height, width] => match (whole_part(height, min)?, whole_part(width, min)?) {
                (Some(height), Some(width)) => Ok(Given::Size(Size { height, width })),
                _ => wrong(size_words(word)),
            },
            _ => Err(Some((
                Code::E0103,
                format!("`{key}` takes a size of two parts, height x width"),
                Some(format!("write `{key}=5x3` or `{key}=3`")),
            ))),
        },
        (
            Type::Size {
                word: Some(word), ..
            },
            tree::Value::Word(given),
        ) if given == word => Ok(Given::Word(word)),
        (Type::Size { word, .. }, _) => wrong(size_words(word)),
        (Type::Real { min, max, below }, tree::Value::Number(text)) => {
            let Some(number) = text.parse::<f64>().ok().filter(|n| n.is_finite()) else {
                return range(format!("`{text}` is too large for a number"));
            };
            if number < min || number > max || (below && number >= max) {
                return range(match (min, max) {
                    (min, f64::MAX) => format!("`{key}` must be at least {min}"),
                    (min, max) if below => {
                        format!("`{key}` must be at least {min} and below {max}")
                    }
                    (min, max) => format!("`{key}` must be from {min} to {max}"),
                });
            }
            Ok(Given::Real(number))
        }
        (Type::Real { .. }, _) => wrong("a number"),
        (Type::Word(words), tree::Value::Word(given)) => {
            match words.iter().find(|word| *word == given) {
                Some(word) => Ok(Given::Word(word)),
                None => Err(Some((
                    Code::E0204,
                    format!("`{key}` cannot be `{given}`"),
                    Some(match nearest(given, words.iter().copied()) {
                        Some(near) => format!("did you mean `{key}={near}`?"),
                        None => format!("it is one of {}", one_of(words.iter().copied())),
                    }),
                ))),
            }
        }
        (Type::Word(words), _) => Err(Some((
            Code::E0204,
            format!("`{key}` takes a word"),
            Some(format!("it is one of {}", one_of(words.iter().copied()))),
        ))),
    }
}

/// What to write instead of a value out of range.
fn within(known: &Attribute) -> String {
    let key = known.key;
    match known.value {
        _ if !known.default.is_empty() => format!("the default is `{key}={}`", known.default),
        Type::Whole { min } | Type::Size { min, .. } => format!("write `{key}={min}` or more"),
        Type::Real {
            min,
            max,
            below: true,
        } => format!(
            "write a number from {min} to just below {max}, such as `{key}={}`",
            f64::midpoint(min, max)
        ),
        _ => format!("leave `{key}` out, or write a number within its range"),
    }
}

fn size_words(word: Option<&str>) -> &'static str {
    match word {
        Some("same") => "a size such as `3` or `5x3`, or the word `same`",
        _ => "a size such as `3` or `5x3`",
    }
}
