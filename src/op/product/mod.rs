//! The implicit matrix product that C and F share: geometry, and the calls for its forward and both backward products.
//!
//! A fully connected layer is the product of one "image" whose pixels are the batch, with a 1 x 1 filter. Formulas and
//! layouts stand in `kernels/product.cl`; [`tile`] chooses tile shapes; [`host`] is the same work in plain Rust.

pub mod host;
pub mod matrix;
pub mod tile;

use super::activation::Function;
use super::emit::{BufferId, Call, Element, Kernel, Ledger, Machine, Site, Tensor};
use super::limits::Class;
use super::parameter::Panels;
use super::shape::{Shape, Window};
use super::view::{D_DST, D_SRC, DST, SRC, View};
use host::{BackwardBias, BackwardData, BackwardWeight, Forward, SumChunks, Transpose};
use tile::Tile;

/// Channels whose bias gradient one work-item sums on a CPU.
const BIAS_BLOCK: usize = 64;
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
    pub fn convolution(src: View, dst: View, window: Window, panels: Panels) -> Self {
        Self {
            src,
            dst,
            window,
            panels,
        }
    }

    /// Images, of which a fully connected layer has one.
    pub fn images(&self) -> usize {
        self.src.batch
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
    fn kernel(&self, function: &'static str, part: &'static str) -> Kernel {
        let (oh, ow) = self.output();
        let (ih, iw) = self.input();
        let (window, panels) = (&self.window, &self.panels);
        Kernel::new("product", function, 1)
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

    /// `dst = act(bias + src * weight)`.
    pub fn forward(&self, site: &Site, act: Function, machine: &Machine, ledger: &mut Ledger) {
        let (oh, ow) = self.output();
        let tiled = machine.limits.class == Class::Cpu;
        let mut kernel = if tiled {
            self.kernel("product_forward_tiled", "FORWARD_TILED")
        } else {
            self.kernel("product_forward_naive", "FORWARD_NAIVE")
        };
        kernel = self
            .dst
            .define(self.src.define(kernel, SRC), DST)
            .define("ACT", act.number());
        let bias = site.parameters.get(1);
        if bias.is_some() {
            kernel = kernel.define("BIAS", 1);
        }
        if tiled {
            let tile = Tile::forward(machine, ow, self.panels.panel);
            kernel = tile
                .define(kernel)
                .define("RUN", self.run())
                .define("TILES", ow.div_ceil(tile.rows));
            kernel = kernel
                .global([
                    self.images() * oh * ow.div_ceil(tile.rows),
                    self.panels.groups * self.panels.count(),
                    1,
                ])
                .single();
        } else {
            kernel = kernel.global([
                self.panels.groups * self.panels.outputs,
                oh * ow,
                self.images(),
            ]);
        }
        let mut call = Call::new(
            kernel,
            Forward {
                product: *self,
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
            call.write(site.destination.buffer),
        );
    }

    /// `d_src`, from `d_dst` and the weights.
    pub fn backward_data(
        &self,
        site: &Site,
        d_dst: Tensor,
        d_src: Tensor,
        machine: &Machine,
        ledger: &mut Ledger,
    ) {
        let weight = site.parameters[0].value;
        let (ih, iw) = self.input();
        let views = |kernel: Kernel| d_src.view.define(d_dst.view.define(kernel, D_DST), D_SRC);
        let name = site.named("backward.data");
        if machine.limits.class != Class::Cpu {
            let kernel = views(self.kernel("product_backward_data_naive", "BACKWARD_DATA_NAIVE"))
                .global([
                    self.panels.groups * self.panels.inputs,
                    ih * iw,
                    self.images(),
                ]);
            let host = BackwardData {
                product: *self,
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
                    .write(d_src.buffer),
            );
            return;
        }
        let stride = self.window.stride.width;
        let columns = (iw / stride).max(1);
        let tile = Tile::choose(machine, columns, self.panels.inputs);
        let transposed = Panels {
            outputs: self.panels.inputs,
            inputs: self.panels.outputs,
            panel: tile.columns(),
            ..self.panels
        };
        let buffer = ledger.buffer(
            site.named("transposed"),
            Element::Real,
            transposed.elements(),
        );
        let kernel = self
            .kernel("product_transpose_weight", "TRANSPOSE_WEIGHT")
            .define("T_NR", transposed.panel)
            .define("T_PANELS", transposed.count())
            .global([
                self.panels.count(),
                transposed.height * transposed.width,
                transposed.groups * transposed.count(),
            ])
            .single();
        let host = Transpose {
            from: self.panels,
            to: transposed,
        };
        ledger.step(
            site.named("backward.transpose"),
            Some(site.layer),
            Call::new(kernel, host).read(weight).write(buffer),
        );

        let tiles = iw.div_ceil(stride).div_ceil(tile.rows);
        let mut kernel = views(self.kernel("product_backward_data_tiled", "BACKWARD_DATA_TILED"));
        kernel
            .defines
            .retain(|(key, _)| *key != "NR" && *key != "PANELS");
        kernel = tile
            .define(kernel)
            .define("NR", transposed.panel)
            .define("PANELS", transposed.count())
            .define("TILES", tiles)
            .global([
                self.images() * ih * stride * tiles,
                transposed.groups * transposed.count(),
                1,
            ])
            .single();
        let host = BackwardData {
            product: *self,
            d_dst: d_dst.view,
            d_src: d_src.view,
            transposed: Some(transposed),
        };
        ledger.step(
            name,
            Some(site.layer),
            Call::new(kernel, host)
                .read(buffer)
                .read(d_dst.buffer)
                .write(d_src.buffer),
        );
    }

    /// `d_weight`, and `d_bias` where there is a bias.
    pub fn backward_parameters(
        &self,
        site: &Site,
        d_dst: Tensor,
        machine: &Machine,
        ledger: &mut Ledger,
    ) {
        let gradient = |slot: usize| site.parameters.get(slot).and_then(|slot| slot.gradient);
        if let Some(d_weight) = gradient(0) {
            self.backward_weight(site, d_dst, d_weight, machine, ledger);
        }
        if let Some(d_bias) = gradient(1) {
            self.backward_bias(site, d_dst, d_bias, machine, ledger);
        }
    }

    fn backward_weight(
        &self,
        site: &Site,
        d_dst: Tensor,
        d_weight: BufferId,
        machine: &Machine,
        ledger: &mut Ledger,
    ) {
        let views = |kernel: Kernel| d_dst.view.define(self.src.define(kernel, SRC), D_DST);
        let panels = self.panels.groups * self.panels.count();
        // The host sums eight chunks of images side by side, whatever its number of threads: the same bits.
        let (cores, class) = (machine.limits.cores, machine.limits.class);
        let chunks = match class {
            Class::Cpu => (8 * cores).div_ceil(panels).max(4),
            Class::Host => 8,
            Class::Gpu => 1,
        };
        let chunk = self.images().div_ceil(self.images().min(chunks));
        let chunks = self.images().div_ceil(chunk);
        let kernel =
            if class == Class::Cpu {
                let run = self.run();
                let tile = Tile::weight(
                    machine,
                    run,
                    self.panels.height,
                    self.panels.panel,
                    run != self.panels.inputs,
                );
                let tiles = if tile.filter_rows > 1 {
                    1
                } else {
                    run.div_ceil(tile.tile.rows)
                };
                // Chunks of images: enough work-items for every core, and short sums. Where they do not suffice (one
                // image, a fully connected layer) the tiles are work-items too.
                let split = if self.images() > 1 && chunks * panels >= 4 * cores {
                    1
                } else {
                    self.panels.depth() / run / tile.filter_rows * tiles
                };
                tile.tile
                    .define(views(self.kernel(
                        "product_backward_weight_tiled",
                        "BACKWARD_WEIGHT_TILED",
                    )))
                    .define("RUN", run)
                    .define("ROWS", tile.filter_rows)
                    .define("TILES", tiles)
                    .define("CHUNK", chunk)
                    .define("SPLIT", split)
                    .global([split, panels, chunks])
                    .single()
            } else {
                views(self.kernel("product_backward_weight_naive", "BACKWARD_WEIGHT_NAIVE"))
                    .global([self.panels.depth() * self.panels.panel, panels, 1])
            };
        let host = BackwardWeight {
            product: *self,
            d_dst: d_dst.view,
            chunk,
        };
        let parts = Parts {
            chunks,
            count: self.panels.elements(),
            destination: d_weight,
        };
        let source = site.source().buffer;
        let name = site.named("backward.weight");
        parts.sum(&name, site.layer, machine, ledger, |sums| {
            Call::new(kernel, host)
                .read(source)
                .read(d_dst.buffer)
                .write(sums)
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
        let kernel = Kernel::new("product", "product_backward_bias", 1)
            .define("BACKWARD_BIAS", 1)
            .blocks(channels, BIAS_BLOCK, machine)
            .rows(chunks);
        let view = d_dst.view;
        let host = BackwardBias { d_dst: view, chunk };
        let parts = Parts {
            chunks,
            count: channels,
            destination: d_bias,
        };
        let name = site.named("backward.bias");
        parts.sum(&name, site.layer, machine, ledger, |sums| {
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
        name: &str,
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
        let sums = ledger.buffer(format!("{name}.sums"), Element::Real, chunks * count);
        ledger.step(name, Some(layer), call(sums));
        let kernel = Kernel::new("product", "product_sum_chunks", 1)
            .define("SUM_CHUNKS", 1)
            .blocks(count, SUM_BLOCK, machine);
        let call = Call::new(kernel, SumChunks { count })
            .read(sums)
            .write(self.destination)
            .size(count)
            .size(chunks);
        ledger.step(format!("{name}.sum"), Some(layer), call);
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
