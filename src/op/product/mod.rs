//! The implicit matrix product that C and F share: geometry, and the calls for its forward and both backward products.
//!
//! A fully connected layer is the product of one "image" whose pixels are the batch, with a 1 x 1 filter. Formulas and
//! layouts stand in `kernels/product.cl`; [`tile`] chooses tile shapes; [`host`] is the same work in plain Rust.

mod blocked;
mod dense;
mod direct;
pub mod host;
pub mod matrix;
pub mod parts;
mod patches;
mod pooled;
pub mod tile;
pub mod winograd;

use std::sync::Arc;

use super::activation::Function;
use super::emit::{BufferId, Kernel, Ledger, Machine, Site, Slot, Tensor};
use super::limits::Class;
use super::name::Name;
use super::optimizer::Momentum;
use super::parameter::Panels;
use super::shape::{Shape, Size, Window};
use super::view::View;
use pooled::Forwarded;
pub use pooled::Pooling;
use winograd::Winograd;

/// The geometry of one product.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Product {
    /// The input's layout (of a fully connected layer: one image, a pixel an example).
    pub src: View,
    /// The output's layout.
    pub dst: View,
    /// The filter.
    pub window: Window,
    /// How the weights are packed.
    pub panels: Panels,
}

impl Product {
    /// A convolution's product.
    ///
    /// All its steps share it: a plan has many.
    pub fn convolution(src: View, dst: View, window: Window, panels: Panels) -> Arc<Self> {
        Arc::new(Self {
            src,
            dst,
            window,
            panels,
        })
    }

    /// Images, of which a fully connected layer has one.
    pub fn images(&self) -> usize {
        self.src.batch
    }

    /// Multiply-adds of each of the three products.
    pub fn multiply_adds(&self) -> u64 {
        let (height, width) = self.output();
        let depth = self.panels.inputs * self.panels.height * self.panels.width;
        let outputs = self.panels.groups * self.panels.outputs;
        [self.images(), height, width, outputs, depth]
            .iter()
            .map(|&n| n as u64)
            .product()
    }

    /// Output rows and columns.
    pub fn output(&self) -> (usize, usize) {
        let [_, height, width] = self.dst.shape.dimensions();
        (height, width)
    }

    /// Input rows and columns.
    pub fn input(&self) -> (usize, usize) {
        let [_, height, width] = self.src.shape.dimensions();
        (height, width)
    }

    /// Source numbers that follow each other without a gap for one filter row: `KX * IC` where pixels are dense and
    /// there is one group, else `IC`.
    pub fn run(&self) -> usize {
        if self.panels.groups == 1 && self.src.pixel == self.panels.inputs {
            self.panels.width * self.panels.inputs
        } else {
            self.panels.inputs
        }
    }

    /// Columns of zeros that the input needs beside its rows, for any window to read.
    pub fn src_halo(window: &Window, width: usize, output_width: usize) -> usize {
        let right = (output_width - 1) * window.stride.width + window.size.width;
        window
            .pad
            .width
            .max(right.saturating_sub(window.pad.width + width))
    }

    /// Columns of zeros that the output's gradient needs beside its rows, for the input gradient to read.
    pub fn d_dst_halo(window: &Window, width: usize, output_width: usize) -> usize {
        let (size, stride, pad) = (window.size.width, window.stride.width, window.pad.width);
        let left = (size - 1).saturating_sub(pad).div_ceil(stride);
        let right = ((width - 1 + pad) / stride).saturating_sub(output_width - 1);
        left.max(right)
    }

    /// What every kernel of the product is built with.
    fn kernel(&self, file: &'static str, function: &'static str, part: &'static str) -> Kernel {
        let (oh, ow) = self.output();
        let (ih, iw) = self.input();
        let (window, panels) = (&self.window, &self.panels);
        Kernel::new(file, function, 1)
            .define(part, 1)
            .define("N", self.images())
            .define("IH", ih)
            .define("IW", iw)
            .define("OH", oh)
            .define("OW", ow)
            .define("KY", panels.height)
            .define("KX", panels.width)
            .define("SY", window.stride.height)
            .define("SX", window.stride.width)
            .define("PY", window.pad.height)
            .define("PX", window.pad.width)
            .define("G", panels.groups)
            .define("IC", panels.inputs)
            .define("OC", panels.outputs)
            .define("NR", panels.panel)
            .define("PANELS", panels.count())
    }

    /// Winograd's filtering, where it is the fastest way.
    pub fn winograd(&self, machine: &Machine) -> Option<Winograd> {
        let channels = (self.panels.inputs, self.panels.outputs);
        Winograd::choose(
            &self.window,
            self.output(),
            channels,
            machine.batch,
            machine,
        )
    }

    /// See [`super::Op::prepare`].
    pub fn prepare(
        self: &Arc<Self>,
        site: &Site,
        machine: &Machine,
        ledger: &mut Ledger,
    ) -> Option<BufferId> {
        let form = self.winograd(machine)?;
        let weight = (site.named("forward.weight"), site.parameters[0].value);
        Some(form.weight(weight, site.layer, self, machine, ledger))
    }

    /// Whether the forward product can pool its output: on CPUs, where all its values are tiles of registers, and in the
    /// host engine, where they are in a core's cache.
    pub fn pools(&self, machine: &Machine) -> bool {
        let (height, width) = self.output();
        let least = self.winograd(machine).map_or(2, |form| form.tile);
        machine.limits.class != Class::Gpu && height.min(width) / 2 * 2 >= least
    }

    /// `dst = act(bias + src * weight)`, or the largest of each of its windows.
    pub fn forward(
        self: &Arc<Self>,
        site: &Site,
        (act, pooling): (Function, Option<Pooling>),
        machine: &Machine,
        ledger: &mut Ledger,
    ) {
        let product = match pooling {
            Some(_) => Arc::new(self.halved()),
            None => Arc::clone(self),
        };
        if let Some(form) = self.winograd(machine) {
            let prepared = site
                .prepared
                .or_else(|| self.prepare(site, machine, ledger));
            let buffers = Forwarded {
                src: site.source().buffer,
                weight: prepared.expect("internal error: weights are transformed"),
                bias: site.parameters.get(1).map(|bias| bias.value),
                dst: site.destination.buffer,
                pooling,
            };
            let of = (site.layer, act);
            form.forward(
                site.named("forward"),
                &product,
                of,
                buffers,
                machine,
                ledger,
            );
        } else if self.is_dense(machine) {
            self.dense_forward(site, act, machine, ledger);
        } else {
            product.direct_forward(site, (act, pooling), machine, ledger);
        }
    }

    /// `d_src`, from `d_dst` and the weights.
    pub fn backward_data(
        self: &Arc<Self>,
        site: &Site,
        d_dst: Tensor,
        d_src: Tensor,
        machine: &Machine,
        ledger: &mut Ledger,
    ) {
        if let Some(form) = self.input_winograd(machine) {
            let tile = Winograd::tile(machine, self.panels.inputs);
            let (transposed, buffer) = self.transpose(site, tile, true, ledger);
            let product = self.of_input_gradient(d_dst, d_src, transposed);
            let turned = (site.named("backward.weight").word("turned"), buffer);
            let weight = form.weight(turned, site.layer, &product, machine, ledger);
            let buffers = Forwarded {
                src: d_dst.buffer,
                weight,
                bias: None,
                dst: d_src.buffer,
                pooling: None,
            };
            let name = site.named("backward.data");
            let none = (site.layer, Function::None);
            form.forward(name, &product, none, buffers, machine, ledger);
        } else if self.is_dense(machine) {
            self.dense_backward_data(site, d_dst, d_src, machine, ledger);
        } else {
            self.direct_backward_data(site, d_dst, d_src, machine, ledger);
        }
    }

    /// Winograd's filtering for the input gradient, where it is the fastest way.
    pub fn input_winograd(&self, machine: &Machine) -> Option<Winograd> {
        if !self.turns() {
            return None;
        }
        let channels = (self.panels.outputs, self.panels.inputs);
        Winograd::choose(&self.window, self.input(), channels, machine.batch, machine)
    }

    /// Whether the input gradient is a forward product too, with filters turned by half a turn.
    fn turns(&self) -> bool {
        let Window {
            size, stride, pad, ..
        } = self.window;
        stride.area() == 1 && pad.height < size.height && pad.width < size.width
    }

    /// The input gradient as a forward product: its weights are `transposed`, and turned.
    fn of_input_gradient(&self, d_dst: Tensor, d_src: Tensor, transposed: Panels) -> Arc<Self> {
        let Window { size, pad, .. } = self.window;
        let pad = Size {
            height: size.height - 1 - pad.height,
            width: size.width - 1 - pad.width,
        };
        let window = Window { pad, ..self.window };
        Self::convolution(d_dst.view, d_src.view, window, transposed)
    }

    /// `d_weight`, and `d_bias` where there is a bias.
    pub fn backward_parameters(
        self: &Arc<Self>,
        site: &Site,
        d_dst: Tensor,
        machine: &Machine,
        ledger: &mut Ledger,
    ) {
        let gradient = |slot: usize| site.parameters.get(slot).and_then(|slot| slot.gradient);
        if let Some(d_weight) = gradient(0) {
            let name = site.named("backward.weight");
            match self.updates_itself(&site.parameters[0]) {
                Some(rule) => {
                    let value = site.parameters[0].value;
                    let call = if self.is_dense(machine) {
                        self.dense_backward_weight(site, d_dst, (Some(rule), d_weight), machine)
                    } else {
                        self.direct_update(site, d_dst, rule, machine)
                    };
                    ledger.step(name, Some(site.layer), call);
                    ledger.updated.push(value);
                }
                None => self.backward_weight(name, site, d_dst, d_weight, machine, ledger),
            }
        }
        if let Some(d_bias) = gradient(1) {
            self.backward_bias(site, d_dst, d_bias, machine, ledger);
        }
    }

    /// How the weights are updated where the step that knows their gradient does so: where that gradient is not a sum of
    /// parts. It is then never stored, which saves a fully connected layer as much memory as its weights take.
    pub fn updates_itself(&self, weight: &Slot) -> Option<Momentum> {
        weight.update.filter(|_| self.images() == 1)
    }

    fn backward_weight(
        self: &Arc<Self>,
        name: Name,
        site: &Site,
        d_dst: Tensor,
        d_weight: BufferId,
        machine: &Machine,
        ledger: &mut Ledger,
    ) {
        if let Some(form) = self.winograd(machine) {
            form.backward_weight(self, site, d_dst, d_weight, machine, ledger);
        } else if self.is_dense(machine) {
            let call = self.dense_backward_weight(site, d_dst, (None, d_weight), machine);
            ledger.step(name, Some(site.layer), call);
        } else {
            self.direct_backward_weight(name, site, d_dst, d_weight, machine, ledger);
        }
    }
}

/// A vector tensor, or an image tensor without gaps, seen as one image of one row whose pixels are the batch.
///
/// # Panics
/// Where an image's elements have gaps: the planner grants `Wishes::src_dense`.
pub fn as_rows(view: &View) -> View {
    assert!(
        view.is_dense(),
        "internal error: a fully connected layer's tensor has gaps"
    );
    View {
        shape: Shape::image(view.shape.elements(), 1, view.batch),
        batch: 1,
        origin: view.origin,
        image: view.image * view.batch,
        row: view.image * view.batch,
        pixel: view.image,
        halo: 0,
    }
}
