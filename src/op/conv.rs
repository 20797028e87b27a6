//! `C`: two-dimensional convolution (cross-correlation) with shared weights, bias, activation and dropout.
//!
//! Shape rule: `dst = filters x floor((H + 2*PH - KH) / SH) + 1 x floor((W + 2*PW - KW) / SW) + 1`.

use std::sync::Arc;

use super::attribute::{Arguments, Attribute, Type};
use super::emit::{Back, BufferId, Ledger, Machine, Site};
use super::learned::{ACT, BIAS, BIAS_INIT, DROPOUT, INIT, Learned, STD};
use super::limits::Class;
use super::parameter::{Panels, Parameter};
use super::product::tile::Tile;
use super::product::winograd::Winograd;
use super::product::{Pooling, Product};
use super::shape::{Shape, Size, Window};
use super::signal::{Flow, Gradient, Latent, Signal, window};
use super::view::View;
use super::{Fault, InitRule, Kind, Op, Recipe, Wishes};
use crate::diagnostic::{Code, Diagnostics};

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
        let (rows, columns) = self.window.output(height, width).unwrap_or((1, 1));
        let (inputs, outputs) = (channels / self.groups, self.filters / self.groups);
        let output = (rows, columns);
        // The same for every batch, since plans of several batches share the weights.
        let channels = (inputs, outputs);
        let panel = match Winograd::choose(&self.window, output, channels, usize::MAX, machine) {
            Some(_) => Winograd::tile(machine, outputs).columns(),
            None => Tile::panel(machine, columns, outputs, inputs * self.window.size.width),
        };
        Panels {
            outputs,
            inputs,
            height: self.window.size.height,
            width: self.window.size.width,
            groups: self.groups,
            panel,
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

    fn product(&self, site: &Site, machine: &Machine) -> Arc<Product> {
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
        // The tiles of Winograd's filtering know where the image ends.
        let product = Product {
            src: View::packed(inputs[0], 1, 0),
            dst: View::packed(output, 1, 0),
            window: self.window,
            panels: self.panels(inputs[0], machine),
        };
        let mut wishes = Wishes::default();
        if product.winograd(machine).is_none() {
            wishes.src_halo = Product::src_halo(&self.window, width, output_width);
        }
        if product.input_winograd(machine).is_none() {
            wishes.d_dst_halo = Product::d_dst_halo(&self.window, width, output_width);
        }
        wishes
    }

    fn signal(&self, inputs: &[Flow<'_>], output: Shape) -> Signal {
        self.learned.signal(self.before(&inputs[0], output))
    }

    fn learned(&self) -> Option<&Learned> {
        Some(&self.learned)
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

    fn prepare(&self, site: &Site, machine: &Machine, ledger: &mut Ledger) -> Option<BufferId> {
        self.product(site, machine).prepare(site, machine, ledger)
    }

    fn forward(&self, site: &Site, machine: &Machine, ledger: &mut Ledger) -> Vec<BufferId> {
        let product = self.product(site, machine);
        self.learned.forward(&product, site, None, machine, ledger);
        Vec::new()
    }

    fn pools(&self, site: &Site, machine: &Machine) -> bool {
        self.learned.pools(site.before_act, site.training)
            && self.product(site, machine).pools(machine)
    }

    fn forward_pooled(
        &self,
        site: &Site,
        pooling: Pooling,
        machine: &Machine,
        ledger: &mut Ledger,
    ) {
        let product = self.product(site, machine);
        let pooling = Some(pooling);
        self.learned
            .forward(&product, site, pooling, machine, ledger);
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
