//! The implicit matrix product that C and F share: geometry, and the calls for its forward and both backward products.
//!
//! A fully connected layer is the product of one "image" whose pixels are the batch, with a 1 x 1 filter. Formulas and
//! layouts stand in `kernels/product.cl`; [`tile`] chooses tile shapes; [`host`] is the same work in plain Rust.

pub mod host;
pub mod matrix;
pub mod tile;
pub mod winograd;

use std::sync::Arc;

use super::activation::Function;
use super::emit::{BufferId, Call, Element, Kernel, Ledger, Machine, Scalar, Site, Slot, Tensor};
use super::limits::Class;
use super::name::Name;
use super::optimizer::Rule;
use super::parameter::Panels;
use super::shape::{Shape, Window};
use super::view::{D_DST, D_SRC, DST, SRC, View};
use host::{BackwardBias, BackwardData, BackwardWeight, Forward, SumChunks, Transpose};
use tile::Tile;
use winograd::{Forwarded, Winograd, of_input_gradient};

/// Channels whose bias gradient one work-item sums on a CPU.
const BIAS_BLOCK: usize = 64;
/// Bytes of transposed weights that the input gradient works on at a time.
const TRANSPOSED_BYTES: u64 = 4 << 20;
/// Parts that the weights are turned in at most.
const MOST_PARTS: usize = 64;
/// Numbers that one work-item sums over all chunks on a CPU.
const SUM_BLOCK: usize = 1024;

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
        Winograd::choose(&self.window, self.output(), channels, machine)
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
        Some(form.weight(weight, site.layer, self, false, machine, ledger))
    }

    /// `dst = act(bias + src * weight)`.
    pub fn forward(
        self: &Arc<Self>,
        site: &Site,
        act: Function,
        machine: &Machine,
        ledger: &mut Ledger,
    ) {
        let (oh, ow) = self.output();
        let tiled = machine.limits.class == Class::Cpu;
        let bias = site.parameters.get(1);
        if let Some(form) = self.winograd(machine) {
            let prepared = site
                .prepared
                .or_else(|| self.prepare(site, machine, ledger));
            let buffers = Forwarded {
                src: site.source().buffer,
                weight: prepared.expect("internal error: weights are transformed"),
                bias: bias.map(|bias| bias.value),
                dst: site.destination.buffer,
            };
            let name = site.named("forward");
            form.forward(name, self, (site.layer, act), buffers, machine, ledger);
            return;
        }
        let (product, machine, has_bias) = (Arc::clone(self), *machine, bias.is_some());
        let kernel = move || {
            let Self {
                src, dst, panels, ..
            } = &*product;
            let kernel = if tiled {
                product.kernel("product", "product_forward_tiled", "FORWARD_TILED")
            } else {
                product.kernel("product", "product_forward_naive", "FORWARD_NAIVE")
            };
            let kernel = dst
                .define(src.define(kernel, SRC), DST)
                .define("ACT", act.number());
            let kernel = if has_bias {
                kernel.define("BIAS", 1)
            } else {
                kernel
            };
            if !tiled {
                return kernel.global([panels.groups * panels.outputs, oh * ow, product.images()]);
            }
            let tile = Tile::forward(&machine, ow, panels.panel);
            let tiles = ow.div_ceil(tile.rows);
            tile.define(kernel)
                .define("RUN", product.run())
                .define("TILES", tiles)
                .global([
                    product.images() * oh * tiles,
                    panels.groups * panels.count(),
                    1,
                ])
                .single()
        };
        let mut call = Call::new(
            kernel,
            Forward {
                product: Arc::clone(self),
                act,
                bias: bias.is_some(),
            },
        )
        .read(site.source().buffer)
        .read(site.parameters[0].value);
        if let Some(bias) = bias {
            call = call.read(bias.value);
        }
        ledger.step(
            site.named("forward"),
            Some(site.layer),
            call.write(site.destination.buffer)
                .multiply_adds(self.multiply_adds()),
        );
    }

    /// A kernel of the input gradient: its function, and the define of its part of the file.
    fn data_kernel(
        &self,
        (function, part): (&'static str, &'static str),
        d_dst: &View,
        d_src: &View,
    ) -> Kernel {
        let kernel = d_dst.define(self.kernel("product", function, part), D_DST);
        d_src.define(kernel, D_SRC)
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
        let weight = site.parameters[0].value;
        let (ih, iw) = self.input();
        let name = site.named("backward.data");
        if machine.limits.class != Class::Cpu {
            let product = Arc::clone(self);
            let kernel = move || {
                let panels = &product.panels;
                let global = [panels.groups * panels.inputs, ih * iw, product.images()];
                let parts = ("product_backward_data_naive", "BACKWARD_DATA_NAIVE");
                product
                    .data_kernel(parts, &d_dst.view, &d_src.view)
                    .global(global)
            };
            let host = BackwardData {
                product: Arc::clone(self),
                d_dst: d_dst.view,
                d_src: d_src.view,
                transposed: None,
            };
            ledger.step(
                name,
                Some(site.layer),
                Call::new(kernel, host)
                    .read(weight)
                    .read(d_dst.buffer)
                    .write(d_src.buffer)
                    .multiply_adds(self.multiply_adds()),
            );
            return;
        }
        let form = self.input_winograd(machine);
        let stride = self.window.stride.width;
        let columns = (iw / stride).max(1);
        let tile = match form {
            Some(_) => Winograd::tile(machine, self.panels.inputs),
            None => Tile::choose(machine, columns, self.panels.inputs),
        };
        let transposed = Panels {
            outputs: self.panels.inputs,
            inputs: self.panels.outputs,
            panel: tile.columns(),
            ..self.panels
        };
        // A fully connected layer's weights are turned a part at a time: as many panels as stay in a cache.
        let bytes = transposed.elements() as u64 * machine.precision.bytes();
        let parts = if self.panels.groups == 1 && form.is_none() {
            (bytes.div_ceil(TRANSPOSED_BYTES) as usize).clamp(1, transposed.count().min(MOST_PARTS))
        } else {
            1
        };
        let all = transposed.groups * transposed.count();
        let most = all.div_ceil(parts);
        let panel = transposed.elements() / all;
        let buffer = ledger.buffer(site.named("transposed"), Element::Real, most * panel);
        let tiles = iw.div_ceil(stride).div_ceil(tile.rows);
        for first in (0..all).step_by(most) {
            let count = most.min(all - first);
            let product = Arc::clone(self);
            let kernel = move || {
                product
                    .kernel("product", "product_transpose_weight", "TRANSPOSE_WEIGHT")
                    .define("T_NR", transposed.panel)
                    .define("T_PANELS", transposed.count())
                    .global([
                        product.panels.count(),
                        transposed.height * transposed.width,
                        count,
                    ])
                    .single()
            };
            let panels = first..first + count;
            let host = Transpose {
                from: self.panels,
                to: transposed,
                panels: panels.clone(),
            };
            ledger.step(
                site.named("backward.transpose"),
                Some(site.layer),
                Call::new(kernel, host)
                    .read(weight)
                    .write(buffer)
                    .size(first),
            );
            if let Some(form) = form {
                let product = of_input_gradient(self, d_dst, d_src, transposed);
                let turned = (site.named("backward.weight").word("turned"), buffer);
                let weight = form.weight(turned, site.layer, &product, true, machine, ledger);
                let buffers = Forwarded {
                    src: d_dst.buffer,
                    weight,
                    bias: None,
                    dst: d_src.buffer,
                };
                let none = (site.layer, Function::None);
                form.forward(name, &product, none, buffers, machine, ledger);
                return;
            }
            let product = Arc::clone(self);
            let kernel = move || {
                let parts = ("product_backward_data_tiled", "BACKWARD_DATA_TILED");
                let mut kernel = product.data_kernel(parts, &d_dst.view, &d_src.view);
                kernel
                    .defines
                    .retain(|(key, _)| *key != "NR" && *key != "PANELS");
                tile.define(kernel)
                    .define("NR", transposed.panel)
                    .define("PANELS", transposed.count())
                    .define("TILES", tiles)
                    .global([product.images() * ih * stride * tiles, count, 1])
                    .single()
            };
            let host = BackwardData {
                product: Arc::clone(self),
                d_dst: d_dst.view,
                d_src: d_src.view,
                transposed: Some((transposed, panels)),
            };
            ledger.step(
                name.clone(),
                Some(site.layer),
                Call::new(kernel, host)
                    .read(buffer)
                    .read(d_dst.buffer)
                    .write(d_src.buffer)
                    .size(first)
                    .multiply_adds(self.multiply_adds() * count as u64 / all as u64),
            );
        }
    }

    /// Winograd's filtering for the input gradient, where it is the fastest way.
    pub fn input_winograd(&self, machine: &Machine) -> Option<Winograd> {
        let (size, pad) = (self.window.size, self.window.pad);
        if pad.height >= size.height || pad.width >= size.width {
            return None;
        }
        let channels = (self.panels.outputs, self.panels.inputs);
        Winograd::choose(&self.window, self.input(), channels, machine)
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
                    let kernel = self.weight_kernel(d_dst, self.images(), 1, Some(rule), machine);
                    let host = BackwardWeight {
                        product: Arc::clone(self),
                        d_dst: d_dst.view,
                        chunk: 1,
                        update: Some(rule),
                    };
                    let call = Call::new(kernel, host)
                        .read(site.source().buffer)
                        .read(d_dst.buffer)
                        .update(value)
                        .update(rule.velocity)
                        .scalar(Scalar::LearningRate)
                        .multiply_adds(self.multiply_adds());
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
    pub fn updates_itself(&self, weight: &Slot) -> Option<Rule> {
        weight.update.filter(|_| self.images() == 1)
    }

    fn weight_kernel(
        self: &Arc<Self>,
        d_dst: Tensor,
        chunk: usize,
        chunks: usize,
        update: Option<Rule>,
        machine: &Machine,
    ) -> impl Fn() -> Kernel + Send + Sync + 'static {
        let (product, machine) = (Arc::clone(self), *machine);
        move || {
            let Self { panels: packed, .. } = &*product;
            let kernel = |function, part| {
                let kernel = product
                    .src
                    .define(product.kernel("product", function, part), SRC);
                let kernel = d_dst.view.define(kernel, D_DST);
                match &update {
                    Some(rule) => rule.define(kernel),
                    None => kernel,
                }
            };
            let panels = packed.groups * packed.count();
            if machine.limits.class != Class::Cpu {
                return kernel("product_backward_weight_naive", "BACKWARD_WEIGHT_NAIVE").global([
                    packed.depth() * packed.panel,
                    panels,
                    1,
                ]);
            }
            let run = product.run();
            let tile = Tile::weight(
                &machine,
                run,
                packed.height,
                packed.panel,
                run != packed.inputs,
            );
            let tiles = if tile.filter_rows > 1 {
                1
            } else {
                run.div_ceil(tile.tile.rows)
            };
            // Chunks of images: enough work-items for every core, and short sums. Where they do not suffice (one
            // image, a fully connected layer) the tiles are work-items too.
            let split = if product.images() > 1 && chunks * panels >= 4 * machine.limits.cores {
                1
            } else {
                packed.depth() / run / tile.filter_rows * tiles
            };
            tile.tile
                .define(kernel(
                    "product_backward_weight_tiled",
                    "BACKWARD_WEIGHT_TILED",
                ))
                .define("RUN", run)
                .define("ROWS", tile.filter_rows)
                .define("TILES", tiles)
                .define("CHUNK", chunk)
                .define("SPLIT", split)
                .global([split, panels, chunks])
                .single()
        }
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
            return;
        }
        let panels = self.panels.groups * self.panels.count();
        // The host sums eight chunks of images side by side, whatever its number of threads: the same bits.
        let chunks = match machine.limits.class {
            Class::Cpu => (8 * machine.limits.cores).div_ceil(panels).max(4),
            Class::Host => 8,
            Class::Gpu => 1,
        };
        let chunk = self.images().div_ceil(self.images().min(chunks));
        let chunks = self.images().div_ceil(chunk);
        let kernel = self.weight_kernel(d_dst, chunk, chunks, None, machine);
        let host = BackwardWeight {
            product: Arc::clone(self),
            d_dst: d_dst.view,
            chunk,
            update: None,
        };
        let parts = Parts {
            chunks,
            count: self.panels.elements(),
            destination: d_weight,
        };
        let source = site.source().buffer;
        let multiply_adds = self.multiply_adds();
        parts.sum(name, site.layer, machine, ledger, |sums| {
            Call::new(kernel, host)
                .read(source)
                .read(d_dst.buffer)
                .write(sums)
                .multiply_adds(multiply_adds)
        });
    }

    fn backward_bias(
        &self,
        site: &Site,
        d_dst: Tensor,
        d_bias: BufferId,
        machine: &Machine,
        ledger: &mut Ledger,
    ) {
        let (oh, ow) = self.output();
        let channels = self.panels.groups * self.panels.outputs;
        let rows = self.images() * oh;
        let chunks = rows.min(if machine.limits.class == Class::Gpu {
            64
        } else {
            8
        });
        let chunk = rows.div_ceil(chunks);
        let chunks = rows.div_ceil(chunk);
        let on = *machine;
        let kernel = move || {
            Kernel::new("product", "product_backward_bias", 1)
                .define("BACKWARD_BIAS", 1)
                .blocks(channels, BIAS_BLOCK, &on)
                .rows(chunks)
        };
        let view = d_dst.view;
        let host = BackwardBias { d_dst: view, chunk };
        let parts = Parts {
            chunks,
            count: channels,
            destination: d_bias,
        };
        let name = site.named("backward.bias");
        parts.sum(name, site.layer, machine, ledger, |sums| {
            let call = Call::new(kernel, host).read(d_dst.buffer).write(sums);
            let sizes = [channels, rows, chunk, oh, ow];
            let strides = [view.origin, view.image, view.row, view.pixel];
            sizes.into_iter().chain(strides).fold(call, Call::size)
        });
    }
}

/// A gradient in parts, one a chunk of the batch.
struct Parts {
    chunks: usize,
    /// Numbers of a part.
    count: usize,
    destination: BufferId,
}

impl Parts {
    /// Asks for a call that writes all parts, and for their sum; one part goes straight to the destination.
    fn sum(
        &self,
        name: Name,
        layer: usize,
        machine: &Machine,
        ledger: &mut Ledger,
        call: impl FnOnce(BufferId) -> Call,
    ) {
        let (chunks, count) = (self.chunks, self.count);
        if chunks == 1 {
            ledger.step(name, Some(layer), call(self.destination));
            return;
        }
        let sums = ledger.buffer(name.clone().word("sums"), Element::Real, chunks * count);
        ledger.step(name.clone(), Some(layer), call(sums));
        let machine = *machine;
        let kernel = move || {
            Kernel::new("product", "product_sum_chunks", 1)
                .define("SUM_CHUNKS", 1)
                .blocks(count, SUM_BLOCK, &machine)
        };
        let call = Call::new(kernel, SumChunks { count })
            .read(sums)
            .write(self.destination)
            .size(count)
            .size(chunks);
        ledger.step(name.word("sum"), Some(layer), call);
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
