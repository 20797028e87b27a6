//! `F`: a fully connected layer; flattens its input in C,H,W order.
//!
//! Its product is a convolution's with one image of one row whose pixels are the batch. The weight's logical shape is
//! PyTorch's `[units, C * H * W]`; packed, its depth runs `[H][W][C]` as the input lies in memory.

use std::sync::Arc;

use super::attribute::Arguments;
use super::conv::sized;
use super::emit::{Back, BufferId, Ledger, Machine, Site};
use super::learned::{ACT, BIAS, BIAS_INIT, DROPOUT, INIT, Learned, STD};
use super::limits::Class;
use super::parameter::{Panels, Parameter};
use super::product::host::PANEL;
use super::product::tile::Tile;
use super::product::{Product, as_rows};
use super::shape::{Shape, Size, Window};
use super::signal::{Flow, Gradient, Latent, Signal};
use super::{Fault, InitRule, Kind, Op, Recipe, Wishes};
use crate::diagnostic::{Code, Diagnostics};

/// `F`.
pub static KIND: Kind = Kind {
    letter: "F",
    name: "fully connected layer",
    width: Some("units"),
    attributes: &[ACT, DROPOUT, INIT, STD, BIAS_INIT, BIAS],
    build,
};

/// A fully connected layer.
#[derive(Clone, Debug)]
pub struct Fully {
    /// Number of units.
    pub units: usize,
    /// Activation, dropout, initial values, bias.
    pub learned: Learned,
}

const ONE: Window = Window {
    size: Size::square(1),
    stride: Size::square(1),
    pad: Size::square(0),
    ceil: false,
};

fn build(
    arguments: &Arguments<'_>,
    recipe: &Recipe,
    sink: &mut Diagnostics,
) -> Option<Arc<dyn Op>> {
    let before = sink.len();
    let learned = Learned::read(arguments, recipe, recipe.dropout, sink);
    (sink.len() == before).then(|| {
        Arc::new(Fully {
            units: arguments.width,
            learned,
        }) as Arc<dyn Op>
    })
}

impl Fully {
    fn panels(&self, input: Shape, machine: &Machine) -> Panels {
        let [inputs, height, width] = input.dimensions();
        let panel = match machine.limits.class {
            // Of one width, however few units there are: layers share the compiled kernels.
            Class::Cpu => Tile::most_columns(machine),
            Class::Host => self.units.min(PANEL),
            Class::Gpu => self.units,
        };
        Panels {
            outputs: self.units,
            inputs,
            height,
            width,
            groups: 1,
            panel,
        }
    }

    /// The variance of a weight at the start.
    fn variance(&self, input: Shape) -> f64 {
        let init = self.learned.init;
        init.deviation(input.elements(), self.units).powi(2)
    }

    /// What is expected before the activation: each unit sums the whole input.
    fn before(&self, input: &Flow<'_>) -> Latent {
        let gain = self.variance(input.shape) * input.shape.elements() as f64;
        self.learned.weighted(input.signal, gain, 0.0)
    }

    fn product(&self, site: &Site, machine: &Machine) -> Arc<Product> {
        let src = site.source().view;
        // In memory the weight's depth is the input's own order, so the product sees one 1 x 1 filter over C * H * W.
        let panels = self.panels(src.shape, machine);
        let panels = Panels {
            inputs: panels.depth(),
            height: 1,
            width: 1,
            ..panels
        };
        Product::convolution(as_rows(&src), as_rows(&site.destination.view), ONE, panels)
    }
}

impl Op for Fully {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn output(&self, inputs: &[Shape]) -> Result<Shape, Fault> {
        let weights = Shape::image(self.units, inputs[0].elements(), 1);
        if weights.checked_elements().is_none() {
            return Err(Fault::new(
                Code::E0307,
                format!(
                    "weights of {}x{} have more than 2^40 elements",
                    self.units,
                    inputs[0].elements()
                ),
            )
            .help("use fewer units, or pool before this layer"));
        }
        sized(Shape::Vector(self.units))
    }

    fn output_of_unknown(&self) -> Option<Shape> {
        Some(Shape::Vector(self.units))
    }

    fn parameters(&self, input: Shape, machine: &Machine) -> Vec<Parameter> {
        self.learned.parameters(
            vec![self.units, input.elements()],
            self.panels(input, machine),
        )
    }

    fn parameter_count(&self, input: Shape) -> u64 {
        self.units as u64 * input.elements() as u64
            + if self.learned.bias {
                self.units as u64
            } else {
                0
            }
    }

    fn multiply_adds(&self, input: Shape, _: Shape) -> u64 {
        self.units as u64 * input.elements() as u64
    }

    fn wishes(&self, _: &[Shape], _: Shape, _: &Machine) -> Wishes {
        Wishes {
            src_dense: true,
            ..Wishes::default()
        }
    }

    fn signal(&self, inputs: &[Flow<'_>], _: Shape) -> Signal {
        self.learned.signal(self.before(&inputs[0]))
    }

    fn learned(&self) -> Option<&Learned> {
        Some(&self.learned)
    }

    fn with_init(&self, rule: InitRule) -> Option<Arc<dyn Op>> {
        let mut op = self.clone();
        op.learned.init = rule;
        Some(Arc::new(op))
    }

    fn gradient(&self, inputs: &[Flow<'_>], _: Shape, d_dst: Gradient) -> Vec<Gradient> {
        let [input] = inputs else { return Vec::new() };
        let before = self.learned.gradient(&self.before(input), d_dst);
        let square = before * self.variance(input.shape) * self.units as f64;
        vec![Gradient::of(square)]
    }

    fn forward(&self, site: &Site, machine: &Machine, ledger: &mut Ledger) -> Vec<BufferId> {
        let product = self.product(site, machine);
        self.learned.forward(&product, site, None, machine, ledger);
        Vec::new()
    }

    fn backward(&self, site: &Site, back: &Back, machine: &Machine, ledger: &mut Ledger) {
        self.learned.backward(
            &self.product(site, machine),
            site,
            back,
            as_rows,
            machine,
            ledger,
        );
    }
}
