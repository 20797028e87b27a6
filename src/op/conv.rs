//! `C`: two-dimensional convolution (cross-correlation) with shared weights, bias, activation and dropout.
//!
//! Shape rule: `dst = filters x floor((H + 2*PH - KH) / SH) + 1 x floor((W + 2*PW - KW) / SW) + 1`.

use std::sync::Arc;

use super::activation::Function;
use super::attribute::{ANY_REAL, Arguments, Attribute, POSITIVE_REAL, Type};
use super::dropout::{Dropout, output_backward};
use super::emit::{Back, BufferId, Ledger, Machine, Site, Tensor};
use super::limits::Class;
use super::parameter::{Init, Layout, Panels, Parameter, Role};
use super::product::Product;
use super::product::tile::Tile;
use super::shape::{Shape, Size, Window};
use super::signal::{Flow, Gradient, Latent, Signal, weighted, window};
use super::view::View;
use super::{Fault, InitRule, Kind, Op, Recipe, Wishes};
use crate::diagnostic::{Code, Diagnostics};

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

/// `C`.
pub static KIND: Kind = Kind {
    letter: "C",
    name: "convolution",
    width: Some("filters"),
    attributes: &[
        Attribute::key(
            "kernel",
            Type::Size { min: 1, word: None },
            "3",
            "filter size",
        ),
        Attribute::key(
            "stride",
            Type::Size { min: 1, word: None },
            "1",
            "step between windows",
        ),
        Attribute::key(
            "pad",
            Type::Size {
                min: 0,
                word: Some("same"),
            },
            "same",
            "zero padding on each side; `same` = (kernel - 1) / 2",
        ),
        Attribute::key("groups", Type::Whole { min: 1 }, "1", "grouped convolution"),
        ACT,
        DROPOUT,
        INIT,
        STD,
        BIAS_INIT,
        BIAS,
    ],
    build,
};

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

    /// Asks for the forward steps around the product; returns what is kept.
    pub(super) fn forward(
        &self,
        product: &Product,
        site: &Site,
        machine: &Machine,
        ledger: &mut Ledger,
    ) -> Vec<BufferId> {
        product.forward(site, self.act, machine, ledger);
        if !site.training {
            return Vec::new();
        }
        if let Some(dropout) = &self.dropout {
            dropout.forward(site, machine, ledger);
        }
        vec![site.source().buffer]
    }

    /// Asks for the backward steps around the product, which sees tensors through `seen`.
    pub(super) fn backward(
        &self,
        product: &Product,
        site: &Site,
        back: &Back,
        seen: fn(&View) -> View,
        machine: &Machine,
        ledger: &mut Ledger,
    ) {
        output_backward(site, back.d_dst, self.act, self.dropout, machine, ledger);
        let seen = |tensor: Tensor| Tensor {
            view: seen(&tensor.view),
            ..tensor
        };
        let d_dst = seen(back.d_dst);
        product.backward_parameters(site, d_dst, machine, ledger);
        if let Some(d_src) = back.d_src[0] {
            product.backward_data(site, d_dst, seen(d_src), machine, ledger);
        }
    }
}

/// A convolution.
#[derive(Clone, Debug)]
pub struct Convolution {
    /// Number of filters.
    pub filters: usize,
    /// Filter geometry.
    pub window: Window,
    /// Groups of channels and filters.
    pub groups: usize,
    /// Activation, dropout, initial values, bias.
    pub learned: Learned,
}

fn build(
    arguments: &Arguments<'_>,
    recipe: &Recipe,
    sink: &mut Diagnostics,
) -> Option<Arc<dyn Op>> {
    let before = sink.len();
    let size = arguments.size("kernel").unwrap_or(Size::square(3));
    let stride = arguments.size("stride").unwrap_or(Size::square(1));
    let pad = arguments.size("pad").unwrap_or_else(|| {
        let even = size.height.is_multiple_of(2) || size.width.is_multiple_of(2);
        if even && !arguments.is_unsure("pad") {
            let at = if arguments.has("pad") {
                "pad"
            } else {
                "kernel"
            };
            let message = format!("`pad=same` needs an odd kernel, and this one is {size}");
            arguments.contradict(
                at,
                "kernel",
                message,
                format!(
                    "write `pad={}`, or an odd kernel",
                    Size {
                        height: size.height / 2,
                        width: size.width / 2
                    }
                ),
                sink,
            );
        }
        Size {
            height: (size.height - 1) / 2,
            width: (size.width - 1) / 2,
        }
    });
    let learned = Learned::read(arguments, recipe, 0.0, sink);
    let window = Window {
        size,
        stride,
        pad,
        ceil: false,
    };
    let groups = arguments.whole("groups", 1);
    (sink.len() == before).then(|| {
        Arc::new(Convolution {
            filters: arguments.width,
            window,
            groups,
            learned,
        }) as Arc<dyn Op>
    })
}

impl Convolution {
    fn panels(&self, input: Shape, machine: &Machine) -> Panels {
        let [channels, height, width] = input.dimensions();
        let columns = self
            .window
            .output(height, width)
            .map_or(1, |(_, columns)| columns);
        let outputs = self.filters / self.groups;
        Panels {
            outputs,
            inputs: channels / self.groups,
            height: self.window.size.height,
            width: self.window.size.width,
            groups: self.groups,
            panel: Tile::panel(machine, columns, outputs),
        }
    }

    /// The variance of a weight at the start.
    fn variance(&self, input: Shape) -> f64 {
        let (inputs, area) = (input.channels() / self.groups, self.window.size.area());
        let fans = (inputs * area, self.filters * area);
        self.learned.init.deviation(fans.0, fans.1).powi(2)
    }

    /// What is expected before the activation: each filter sums what its window holds of the image.
    fn before(&self, input: &Flow<'_>, output: Shape) -> Latent {
        let inputs = (input.shape.channels() / self.groups) as f64;
        let cells = window::cells(&self.window, input.shape, output) / window::area(output);
        let gain = self.variance(input.shape) * inputs * cells;
        self.learned
            .weighted(input.signal, gain, window::stride(&self.window))
    }

    fn product(&self, site: &Site, machine: &Machine) -> Product {
        let src = site.source().view;
        Product::convolution(
            src,
            site.destination.view,
            self.window,
            self.panels(src.shape, machine),
        )
    }
}

/// E0303: a kind that needs an image stands after an F.
pub(super) fn image_only(kind: &Kind, input: Shape) -> Result<[usize; 3], Fault> {
    match input {
        Shape::Image {
            channels,
            height,
            width,
        } => Ok([channels, height, width]),
        Shape::Vector(n) => Err(Fault::new(
            Code::E0303,
            format!(
                "`{}` needs an image, and after `F` the data is a vector of {n}",
                kind.letter
            ),
        )
        .help(format!("move the {} before the first `F`", kind.name))),
    }
}

/// E0301: the window is larger than its padded input.
pub(super) fn windows(
    window: &Window,
    height: usize,
    width: usize,
) -> Result<(usize, usize), Fault> {
    window.output(height, width).ok_or_else(|| {
        let padded = Size {
            height: height + 2 * window.pad.height,
            width: width + 2 * window.pad.width,
        };
        let (size, input) = (window.size, Size { height, width });
        let by = |size: Size| format!("{}x{}", size.height, size.width);
        let padding = if window.pad.area() + window.pad.height + window.pad.width == 0 {
            String::new()
        } else {
            format!(", {} with its padding", by(padded))
        };
        let fits = Size {
            height: size.height.min(padded.height),
            width: size.width.min(padded.width),
        };
        Fault::new(
            Code::E0301,
            format!(
                "a window of {} is larger than its input of {}{padding}",
                by(size),
                by(input)
            ),
        )
        .help(format!("a kernel of {fits} or less fits here"))
    })
}

/// E0307: more elements than a tensor may have.
pub(super) fn sized(shape: Shape) -> Result<Shape, Fault> {
    match shape.checked_elements() {
        Some(_) => Ok(shape),
        None => Err(Fault::new(
            Code::E0307,
            format!("an output of {shape} has more than 2^40 elements"),
        )
        .help("use fewer filters or units, or a smaller input")),
    }
}

impl Op for Convolution {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn output(&self, inputs: &[Shape]) -> Result<Shape, Fault> {
        let [channels, height, width] = image_only(&KIND, inputs[0])?;
        let divisors = |n: usize| {
            (1..=n.min(64))
                .filter(|d| n.is_multiple_of(*d) && self.filters.is_multiple_of(*d))
                .map(|d| d.to_string())
                .collect::<Vec<_>>()
                .join(", ")
        };
        if channels % self.groups != 0 || !self.filters.is_multiple_of(self.groups) {
            let what = if channels % self.groups != 0 {
                format!("{channels} input channels")
            } else {
                format!("{} filters", self.filters)
            };
            return Err(Fault::new(
                Code::E0302,
                format!("{} groups do not divide {what}", self.groups),
            )
            .help(format!("groups that divide both: {}", divisors(channels))));
        }
        let (oh, ow) = windows(&self.window, height, width)?;
        let weights = Shape::image(
            self.filters,
            channels / self.groups,
            self.window
                .size
                .height
                .saturating_mul(self.window.size.width),
        );
        if weights.checked_elements().is_none() {
            return Err(Fault::new(
                Code::E0307,
                format!(
                    "weights of {}x{}x{} have more than 2^40 elements",
                    self.filters,
                    channels / self.groups,
                    self.window.size
                ),
            )
            .help("use fewer filters or a smaller kernel"));
        }
        sized(Shape::image(self.filters, oh, ow))
    }

    fn parameters(&self, input: Shape, machine: &Machine) -> Vec<Parameter> {
        let panels = self.panels(input, machine);
        self.learned.parameters(
            vec![self.filters, panels.inputs, panels.height, panels.width],
            panels,
        )
    }

    fn parameter_count(&self, input: Shape) -> u64 {
        let weights = self.filters as u64
            * (input.channels() / self.groups) as u64
            * self.window.size.area() as u64;
        weights
            + if self.learned.bias {
                self.filters as u64
            } else {
                0
            }
    }

    fn multiply_adds(&self, input: Shape, output: Shape) -> u64 {
        output.elements() as u64
            * (input.channels() / self.groups) as u64
            * self.window.size.area() as u64
    }

    fn wishes(&self, inputs: &[Shape], output: Shape, machine: &Machine) -> Wishes {
        let ([.., width], [.., output_width]) = (inputs[0].dimensions(), output.dimensions());
        if machine.limits.class != Class::Cpu {
            return Wishes::default();
        }
        Wishes {
            src_halo: Product::src_halo(&self.window, width, output_width),
            d_dst_halo: Product::d_dst_halo(&self.window, width, output_width),
            src_dense: false,
        }
    }

    fn signal(&self, inputs: &[Flow<'_>], output: Shape) -> Signal {
        self.learned.signal(self.before(&inputs[0], output))
    }

    fn init(&self) -> Option<InitRule> {
        Some(self.learned.init)
    }

    fn with_init(&self, rule: InitRule) -> Option<Arc<dyn Op>> {
        let mut op = self.clone();
        op.learned.init = rule;
        Some(Arc::new(op))
    }

    fn gradient(&self, inputs: &[Flow<'_>], output: Shape, d_dst: Gradient) -> Vec<Gradient> {
        let [input] = inputs else { return Vec::new() };
        let before = self.learned.gradient(&self.before(input, output), d_dst);
        // A pixel is read by as many windows as hold it, and by all filters of its group.
        let filters = (self.filters / self.groups) as f64;
        let cells = window::cells(&self.window, input.shape, output) / window::area(input.shape);
        let square = before * self.variance(input.shape) * filters * cells;
        vec![Gradient::of(square)]
    }

    fn forward(&self, site: &Site, machine: &Machine, ledger: &mut Ledger) -> Vec<BufferId> {
        self.learned
            .forward(&self.product(site, machine), site, machine, ledger)
    }

    fn backward(&self, site: &Site, back: &Back, machine: &Machine, ledger: &mut Ledger) {
        self.learned.backward(
            &self.product(site, machine),
            site,
            back,
            |view| *view,
            machine,
            ledger,
        );
    }
}
