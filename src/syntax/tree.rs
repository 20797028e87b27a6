//! The syntax tree: what stands in a network file, with the place of everything.
//!
//! Invariant: the tree knows no layer kind and no attribute. `C`, `P` and `kernel` are just words here.

use std::sync::Arc;

use crate::source::{Source, Span};

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub span: Span,
}

/// A whole file.
#[derive(Clone, Debug)]
pub struct Tree {
    /// The text it was read from.
    pub source: Arc<Source>,
    /// `input CxHxW`, where it stands.
    pub input: Option<Input>,
    /// The network.
    pub chain: Chain,
    /// Every comment, in order, `#` included, without the line end.
    pub comments: Vec<Spanned<String>>,
    /// Whether the chain is whole. Where it is not (an E01 error), rules about its last layer would only repeat that.
    pub complete: bool,
    /// Of a text so long that only its beginning was read: how many layers there are at least. 0 where it was read whole.
    pub unread: usize,
}

/// `input 3x227x227`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// The sizes as written: three whole numbers, channels first.
    pub sizes: [Spanned<u64>; 3],
    /// The statement.
    pub span: Span,
}

/// Stages in order, each fed by the one before.
#[derive(Clone, Debug, PartialEq)]
pub struct Chain {
    /// The stages. Empty only as a branch that is the identity, or after an error.
    pub stages: Vec<Stage>,
    /// From the first stage to the last.
    pub span: Span,
}

/// One item of a chain.
#[derive(Clone, Debug, PartialEq)]
pub enum Stage {
    /// A layer.
    Layer(Layer),
    /// `3*[C64 -> C64]`.
    Repeat(Repeat),
    /// `+[x | y]` or `&[x | y]`.
    Join(Join),
    /// Something that was reported and stands for an unknown layer.
    Error(Span),
}

impl Stage {
    /// Where it stands.
    pub fn span(&self) -> Span {
        match self {
            Self::Layer(layer) => layer.span,
            Self::Repeat(repeat) => repeat.span,
            Self::Join(join) => join.span,
            Self::Error(span) => *span,
        }
    }
}

/// A layer: `name: C96(kernel=11, stride=4)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// The label.
    pub label: Option<Spanned<String>>,
    /// The layer word without its trailing digits: `C`.
    pub kind: Spanned<String>,
    /// The trailing digits, as written: `96`. Empty after an E0103 about them.
    pub width: Option<Spanned<String>>,
    /// What stands in parentheses.
    pub attributes: Vec<Attribute>,
    /// The whole layer, label and parentheses included.
    pub span: Span,
}

/// A chain to be laid several times.
#[derive(Clone, Debug, PartialEq)]
pub struct Repeat {
    /// How often, as written.
    pub count: Spanned<String>,
    /// What.
    pub chain: Chain,
    /// The whole, count and brackets included.
    pub span: Span,
}

/// How branches come together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JoinKind {
    /// `+`: added.
    Add,
    /// `&`: concatenated along channels.
    Concat,
}

/// Branches from one input.
#[derive(Clone, Debug, PartialEq)]
pub struct Join {
    /// `+` or `&`.
    pub kind: JoinKind,
    /// The branches as written; an empty one is the identity.
    pub branches: Vec<Chain>,
    /// The whole, brackets included.
    pub span: Span,
}

/// `kernel=3` or a bare `max`.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribute {
    /// The word before `=`, or the bare flag.
    pub key: Spanned<String>,
    /// What stands after `=`.
    pub value: Option<Spanned<Value>>,
    /// The whole.
    pub span: Span,
}

/// An attribute's value, as written.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number, sign, fraction and exponent kept as written: `11`, `1e-4`, `-0.5`.
    Number(String),
    /// `5x3`, height x width, the parts as written. May have a wrong number of parts only after an E0103.
    Size(Vec<String>),
    /// A word: `relu`.
    Word(String),
    /// Something that was already reported.
    Error,
}
