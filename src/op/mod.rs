//! Layer kinds: one file a kind, all of it: attribute table, shape rule, parameters, multiply-adds, the maths on the
//! host, the kernels it asks for, its tests.
//!
//! [`KINDS`] is the one list of kinds. The parser's did-you-mean, `check`, the formatter, the self-test and the README's
//! table read it. To add a kind: its file here, its `kernels/<kind>.cl`, one golden case, its line in `KINDS`
//! (kernels/README.md has the checklist). [`product`] holds what C and F share.

pub mod activation;
pub mod attribute;
pub mod conv;
pub mod dropout;
pub mod emit;
pub mod fully;
pub mod join;
pub mod layout;
pub mod learned;
pub mod limits;
pub mod loss;
pub mod name;
pub mod norm;
pub mod optimizer;
pub mod parameter;
pub mod peak;
pub mod pool;
pub mod product;
pub mod real;
pub mod shape;
pub mod signal;
pub mod tuning;
pub mod unary;
pub mod vector;
pub mod view;

use std::fmt;
use std::sync::Arc;

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::source::{Source, Span};
use activation::Function;
use attribute::{Arguments, Attribute};
use emit::{Back, BufferId, Ledger, Machine, Site};
use learned::Learned;
use parameter::Parameter;
use product::Pooling;
use shape::Shape;
use signal::{Flow, Gradient, Signal};

/// A layer kind, as the language knows it.
#[derive(Debug)]
pub struct Kind {
    /// `C`.
    pub letter: &'static str,
    /// `convolution`.
    pub name: &'static str,
    /// What the number after the letter counts (`filters`), `None` where there is none.
    pub width: Option<&'static str>,
    /// What may stand in the parentheses, in the order of the canonical form after the flags.
    pub attributes: &'static [Attribute],
    /// Makes the op of one layer; `None` after an error, which it has pushed.
    pub build: fn(&Arguments<'_>, &Recipe, &mut Diagnostics) -> Option<Arc<dyn Op>>,
}

/// Every layer kind.
pub static KINDS: &[&Kind] = &[
    &conv::KIND,
    &pool::KIND,
    &norm::KIND,
    &fully::KIND,
    &activation::KIND,
];

/// The kind of a layer word.
pub fn kind(letter: &str) -> Option<&'static Kind> {
    KINDS.iter().copied().find(|kind| kind.letter == letter)
}

/// How initial weights are drawn where a layer does not say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum InitRule {
    /// Normal, mean 0, this deviation: the 2012 recipe.
    Gaussian(f64),
    /// Normal, deviation `sqrt(2 / fan_in)` (He et al. 2015, eq. 10).
    He,
    /// Normal, deviation `sqrt(2 / (fan_in + fan_out))` (Glorot and Bengio 2010, eq. 12).
    Xavier,
}

impl InitRule {
    /// The deviation for a layer of this many inputs and outputs.
    pub fn deviation(self, fan_in: usize, fan_out: usize) -> f64 {
        match self {
            Self::Gaussian(std) => std,
            Self::He => (2.0 / fan_in as f64).sqrt(),
            Self::Xavier => (2.0 / (fan_in + fan_out) as f64).sqrt(),
        }
    }
}

/// What the configuration says about layers that do not say it themselves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    /// Initial weights of C and F.
    pub init: InitRule,
    /// The deviation that `init=gaussian` means without a `std` of its own.
    pub std: f64,
    /// Initial biases.
    pub bias: f64,
    /// Dropout of hidden F layers.
    pub dropout: f64,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            init: InitRule::He,
            std: 0.01,
            bias: 0.0,
            dropout: 0.0,
        }
    }
}

/// A shape rule that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which rule.
    pub code: Code,
    /// What is wrong, with the shapes.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

impl Fault {
    /// A broken rule.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            help: None,
        }
    }

    /// Says what to write instead.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The fault of what stands at a place.
    pub fn at(self, source: &Arc<Source>, span: Span) -> Diagnostic {
        let mut diagnostic = Diagnostic::error(self.code, self.message).at(source, span);
        diagnostic.help = self.help;
        diagnostic
    }
}

/// The layouts that a layer wishes for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Columns of zeros beside the rows of its input.
    pub src_halo: usize,
    /// Columns of zeros beside the rows of its output's gradient.
    pub d_dst_halo: usize,
    /// Whether its input must have none.
    pub src_dense: bool,
}

/// What a layer's output may share with its inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InPlace {
    /// Nothing.
    No,
    /// It may be written over one of the inputs, element by element; the gradient of each input is its output's, which
    /// the way back may change in place where there is one input.
    Over,
    /// The inputs are parts of it, channels one after another, and so are their gradients of its gradient.
    Parts,
}

/// One layer's meaning: shape rule, parameters, and the steps that it lowers to.
///
/// Shapes are of one image. An op knows its attributes, never its place in a graph.
pub trait Op: fmt::Debug + Send + Sync {
    /// The kind.
    fn kind(&self) -> &'static Kind;

    /// The output's shape.
    ///
    /// # Errors
    /// E0301, E0302, E0303, E0304, E0307 by the kind's shape rule.
    fn output(&self, inputs: &[Shape]) -> Result<Shape, Fault>;

    /// The output's shape where the input's is unknown (an `F` knows it all the same).
    fn output_of_unknown(&self) -> Option<Shape> {
        None
    }

    /// Learned parameters, named `weight`, `bias`, and running statistics, for an input that passed the shape rule.
    fn parameters(&self, _input: Shape, _machine: &Machine) -> Vec<Parameter> {
        Vec::new()
    }

    /// Number of learned values.
    fn parameter_count(&self, _input: Shape) -> u64 {
        0
    }

    /// Multiply-adds of one image, forward; C and F only.
    fn multiply_adds(&self, _input: Shape, _output: Shape) -> u64 {
        0
    }

    /// Images that a training batch needs at least.
    fn least_batch(&self, _input: Shape) -> usize {
        1
    }

    /// The layouts that its steps wish for.
    fn wishes(&self, _inputs: &[Shape], _output: Shape, _machine: &Machine) -> Wishes {
        Wishes::default()
    }

    /// What is expected of the output at the initial values, in training.
    fn signal(&self, inputs: &[Flow<'_>], output: Shape) -> Signal;

    /// What is around its product, for kinds that have one; the methods below follow from it.
    fn learned(&self) -> Option<&Learned> {
        None
    }

    /// How its weights are drawn; `None` for kinds that have none.
    fn init(&self) -> Option<InitRule> {
        self.learned().map(|learned| learned.init)
    }

    /// The same layer with weights drawn by another rule; `None` where it has none to draw.
    fn with_init(&self, _rule: InitRule) -> Option<Arc<dyn Op>> {
        None
    }

    /// What is expected of the gradient of each input, from that of the output.
    fn gradient(&self, inputs: &[Flow<'_>], output: Shape, d_dst: Gradient) -> Vec<Gradient>;

    /// What its output may share with its inputs, and so, on the way back, their gradients with its output's.
    fn in_place(&self) -> InPlace {
        InPlace::No
    }

    /// Whether its way back reads its output. `before_act` and `source_act` as in [`Site`].
    fn needs_output(&self, before_act: bool, _source_act: Function) -> bool {
        self.learned()
            .is_some_and(|learned| learned.needs_output(before_act))
    }

    /// Whether its way back changes the gradient of its output in place. `before_act` as in [`Site`].
    fn changes_gradient(&self, before_act: bool) -> bool {
        self.learned()
            .is_some_and(|learned| learned.changes_gradient(before_act))
    }

    /// The activation at its very end, whose derivative its output alone tells; `None` where it ends with none.
    fn activation(&self) -> Function {
        self.learned().map_or(Function::None, Learned::activation)
    }

    /// Whether its way back can go on through the activation that made its input, without the input's values
    /// ([`Site::source_act`]).
    fn undoes_activation(&self) -> bool {
        false
    }

    /// Asks for steps that serve all images where they come some at a time, and gives the buffer that they write
    /// ([`Site::prepared`]): the weights in another form.
    fn prepare(&self, _site: &Site, _machine: &Machine, _ledger: &mut Ledger) -> Option<BufferId> {
        None
    }

    /// Asks for the forward steps; returns the buffers to keep for the way back.
    fn forward(&self, site: &Site, machine: &Machine, ledger: &mut Ledger) -> Vec<BufferId>;

    /// Whether its forward step can pool its output, where a pooling of 2 x 2 windows alone reads it.
    fn pools(&self, _site: &Site, _machine: &Machine) -> bool {
        false
    }

    /// The forward steps, pooled; where [`Self::pools`] allows it.
    fn forward_pooled(
        &self,
        _site: &Site,
        _pooling: Pooling,
        _machine: &Machine,
        _ledger: &mut Ledger,
    ) {
        unreachable!("internal error: this layer does not pool")
    }

    /// Whether it pools the largest of 2 x 2 windows beside each other, which the layer before it can do.
    fn halves(&self, _input: Shape) -> bool {
        false
    }

    /// Where that layer stores; where [`Self::halves`] says so.
    fn pooling(&self, _site: &Site, _ledger: &mut Ledger) -> Pooling {
        unreachable!("internal error: this layer does not halve")
    }

    /// Asks for the backward steps: the gradients of the inputs that are wanted and of all parameters.
    fn backward(&self, site: &Site, back: &Back, machine: &Machine, ledger: &mut Ledger);
}
