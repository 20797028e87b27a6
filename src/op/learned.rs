//! What C and F have in common beside their product: bias, activation, dropout and initial values.

use std::sync::Arc;

use super::activation::Function;
use super::attribute::{ANY_REAL, Arguments, Attribute, POSITIVE_REAL, Type};
use super::dropout::{Dropout, output_backward};
use super::emit::{Back, Ledger, Machine, Site, Tensor};
use super::parameter::{Init, Layout, Panels, Parameter, Role};
use super::product::{Pooling, Product};
use super::signal::{Gradient, Latent, Signal, weighted};
use super::view::View;
use super::{InitRule, Recipe};
use crate::diagnostic::Diagnostics;

/// The words of `init=`.
pub const INIT_WORDS: &[&str] = &["gaussian", "he", "xavier"];

/// Attributes that C and F share.
pub(super) const ACT: Attribute =
    Attribute::key("act", Type::Word(Function::WORDS), "relu", "activation");
pub(super) const DROPOUT: Attribute = Attribute::key(
    "dropout",
    Type::Real {
        min: 0.0,
        max: 1.0,
        below: true,
    },
    "",
    "probability of dropping an output; C: 0, F: `regularization.dropout`",
);
pub(super) const INIT: Attribute = Attribute::key(
    "init",
    Type::Word(INIT_WORDS),
    "",
    "initial weights; default `init.weights`",
);
pub(super) const STD: Attribute = Attribute::key(
    "std",
    POSITIVE_REAL,
    "",
    "deviation of gaussian initial weights; default `init.std`",
);
pub(super) const BIAS_INIT: Attribute = Attribute::key(
    "bias_init",
    ANY_REAL,
    "",
    "initial biases; default `init.bias`",
);
pub(super) const BIAS: Attribute = Attribute::key(
    "bias",
    Type::Word(&["yes", "none"]),
    "yes",
    "whether there are biases",
);

/// What C and F have in common beside their product.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Learned {
    /// The activation.
    pub act: Function,
    /// Dropout of the output, `None` for 0.
    pub dropout: Option<Dropout>,
    /// Initial weights.
    pub init: InitRule,
    /// Initial biases.
    pub bias_init: f64,
    /// Whether there are biases.
    pub bias: bool,
}

impl Learned {
    /// Reads the attributes that C and F share. `dropout` is what holds where the layer does not say.
    pub(super) fn read(
        arguments: &Arguments<'_>,
        recipe: &Recipe,
        dropout: f64,
        sink: &mut Diagnostics,
    ) -> Self {
        let std = arguments.real("std");
        let init = match (arguments.word("init"), std) {
            (None | Some("gaussian"), Some(std)) => InitRule::Gaussian(std),
            (Some(word @ ("he" | "xavier")), Some(_)) => {
                let message =
                    format!("`std` contradicts `init={word}`, which sets the deviation itself");
                arguments.contradict(
                    "std",
                    "init",
                    message,
                    "leave `std` out, or write `init=gaussian`".into(),
                    sink,
                );
                InitRule::He
            }
            (Some("gaussian"), None) => InitRule::Gaussian(recipe.std),
            (Some("he"), _) => InitRule::He,
            (Some("xavier"), _) => InitRule::Xavier,
            _ => recipe.init,
        };
        let probability = arguments.real("dropout").unwrap_or(dropout);
        Self {
            act: if arguments.classifier {
                Function::None
            } else {
                arguments.word("act").map_or(Function::Relu, Function::of)
            },
            dropout: (probability > 0.0 && !arguments.classifier).then_some(Dropout {
                probability,
                mask: None,
            }),
            init,
            bias_init: arguments.real("bias_init").unwrap_or(recipe.bias),
            bias: arguments.word("bias") != Some("none"),
        }
    }

    /// The weight and, where there is one, the bias.
    pub(super) fn parameters(&self, shape: Vec<usize>, panels: Panels) -> Vec<Parameter> {
        let outputs = shape[0];
        let area = panels.height * panels.width;
        // PyTorch's fans: a filter's inputs, and all filters (of every group) times the area.
        let deviation = if shape.len() == 4 {
            self.init.deviation(panels.inputs * area, outputs * area)
        } else {
            self.init.deviation(shape[1], outputs)
        };
        let mut list = vec![Parameter {
            name: "weight".into(),
            role: Role::Weight,
            shape,
            layout: Layout::Panels(panels),
            init: Init::Gaussian(deviation),
        }];
        if self.bias {
            list.push(Parameter {
                name: "bias".into(),
                role: Role::Bias,
                shape: vec![outputs],
                layout: Layout::Plain(outputs),
                init: Init::Constant(self.bias_init),
            });
        }
        list
    }

    /// The activation, where nothing follows it.
    pub(super) fn activation(&self) -> Function {
        match self.dropout {
            Some(_) => Function::None,
            None => self.act,
        }
    }

    /// Whether the way back reads the output.
    pub(super) fn needs_output(&self, before_act: bool) -> bool {
        !before_act && self.act != Function::None
    }

    /// Whether the way back changes the output's gradient in place.
    pub(super) fn changes_gradient(&self, before_act: bool) -> bool {
        !before_act && (self.act != Function::None || self.dropout.is_some())
    }

    /// What is expected before the activation.
    pub(super) fn weighted(&self, input: &Signal, gain: f64, stride: f64) -> Latent {
        let bias = if self.bias { self.bias_init } else { 0.0 };
        weighted(input, gain, stride, bias, self.act)
    }

    /// What is expected of the output, from the field before the activation.
    pub(super) fn signal(&self, before: Latent) -> Signal {
        let signal = Signal::of(before);
        match self.dropout {
            Some(dropout) => signal.dropped(dropout.probability),
            None => signal,
        }
    }

    /// The gradient's mean square before activation and dropout, from that behind them.
    pub(super) fn gradient(&self, before: &Latent, d_dst: Gradient) -> f64 {
        let kept = self.dropout.map_or(1.0, |dropout| dropout.scale());
        d_dst.through(before).square * kept
    }

    /// Whether nothing follows the product but its activation, and the way back does not read the output.
    pub(super) fn pools(&self, before_act: bool, training: bool) -> bool {
        !training || self.dropout.is_none() && !self.needs_output(before_act)
    }

    /// Asks for the forward steps around the product, which may pool its output itself where [`Self::pools`] says so.
    /// Nothing is kept for the way back but input and output.
    pub(super) fn forward(
        &self,
        product: &Arc<Product>,
        site: &Site,
        pooling: Option<Pooling>,
        machine: &Machine,
        ledger: &mut Ledger,
    ) {
        product.forward(site, (self.act, pooling), machine, ledger);
        if let Some(dropout) = self.dropout.filter(|_| site.training) {
            dropout.forward(site, machine, ledger);
        }
    }

    /// Asks for the backward steps around the product, which sees tensors through `seen`.
    pub(super) fn backward(
        &self,
        product: &Arc<Product>,
        site: &Site,
        back: &Back,
        seen: fn(&View) -> View,
        machine: &Machine,
        ledger: &mut Ledger,
    ) {
        if !site.before_act {
            output_backward(site, back.d_dst, self.act, self.dropout, machine, ledger);
        }
        let seen = |tensor: Tensor| Tensor {
            view: seen(&tensor.view),
            ..tensor
        };
        let d_dst = seen(back.d_dst);
        // The input's gradient wants the weights as they were; else the parts of the weight gradient's sum come and go
        // before the input's gradient takes memory.
        let weight = site.parameters.first();
        let last = weight.is_some_and(|weight| product.updates_itself(weight).is_some());
        if !last {
            product.backward_parameters(site, d_dst, machine, ledger);
        }
        if let Some(d_src) = back.d_src[0] {
            product.backward_data(site, d_dst, seen(d_src), machine, ledger);
        }
        if last {
            product.backward_parameters(site, d_dst, machine, ledger);
        }
    }
}
