//! Convolutions of stride 1 by Winograd's minimal filtering (Lavin and Gray 2015): all three products, on CPUs.
//!
//! Formulas and layouts stand in `kernels/winograd.cl`; [`host`] is the same work in plain Rust. The input gradient is a
//! forward product over the upstream gradient with the filters turned; the weight gradient is three kinds of steps over
//! chunks of images, transforms of both sides and their product, and the way back to a filter at the end.

pub mod host;

use std::sync::Arc;

use super::super::activation::Function;
use super::super::emit::{BufferId, Call, Element, Kernel, Ledger, Machine, Site, Tensor};
use super::super::limits::Class;
use super::super::name::Name;
use super::super::parameter::Panels;
use super::super::shape::{Size, Window};
use super::Product;
use super::pooled::Forwarded;
use super::tile::Tile;
use host::{Forward, Gradient, Multiply, Source, Upstream, Weight};

/// Numbers between slabs of neighbouring points (`PAD` of the kernels).
const PAD: usize = 16;
/// Chunks of images, at most.
const MOST_CHUNKS: usize = 16;
/// Tiles of a row: as many as make the choice of a panel independent of the image.
const MANY_TILES: usize = 840;

/// A minimal filtering: tiles of so many outputs, filters of so many weights, in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Winograd {
    /// Outputs of a tile.
    pub tile: usize,
    /// Weights of a filter.
    pub kernel: usize,
}

impl Winograd {
    /// The forms that there are points for.
    const FORMS: [Self; 4] = [
        Self { tile: 4, kernel: 3 },
        Self { tile: 2, kernel: 3 },
        Self { tile: 4, kernel: 5 },
        Self { tile: 2, kernel: 5 },
    ];

    /// Inputs of a tile: the points.
    pub fn points(&self) -> usize {
        self.tile + self.kernel - 1
    }

    /// Products of a tile.
    pub fn square(&self) -> usize {
        self.points() * self.points()
    }

    /// Tiles of a column and a row.
    pub fn tiles(&self, (height, width): (usize, usize)) -> (usize, usize) {
        (height.div_ceil(self.tile), width.div_ceil(self.tile))
    }

    /// The fastest form for filters of `inputs` channels over a batch of images of this output, where one is faster than
    /// direct products: for a single small image the transform of the weights may cost more than is saved. Costs are
    /// estimates, in multiply-adds of vectors.
    pub fn choose(
        window: &Window,
        output: (usize, usize),
        (inputs, outputs): (usize, usize),
        batch: usize,
        machine: &Machine,
    ) -> Option<Self> {
        let one = Size::square(1);
        if machine.limits.class != Class::Cpu || !machine.winograd || window.stride != one {
            return None;
        }
        let lanes = machine.limits.lanes(machine.precision) as f64;
        let products = (inputs * outputs) as f64 / lanes;
        let direct = 1.15 * (output.0 * output.1 * window.size.area()) as f64 * products;
        let cost = |form: &Self| {
            let (rows, columns) = form.tiles(output);
            let tuning = &machine.tuning;
            let transforms = tuning.winograd_transform_cost * (inputs + outputs) as f64 / lanes;
            let weights = tuning.winograd_weight_cost * products / batch as f64;
            form.square() as f64
                * ((rows * columns) as f64 * (tuning.winograd_product_cost * products + transforms)
                    + weights)
        };
        let fits = |form: &&Self| {
            Size::square(form.kernel) == window.size && output.0.min(output.1) >= form.tile
        };
        let forms = Self::FORMS.iter().filter(fits);
        let best = forms.min_by(|a, b| cost(a).total_cmp(&cost(b)))?;
        (cost(best) < direct).then_some(*best)
    }

    /// The tile of products over so many outputs.
    pub fn tile(machine: &Machine, outputs: usize) -> Tile {
        Tile::choose(machine, MANY_TILES, outputs)
    }

    /// A kernel over panels of so many outputs.
    fn kernel(
        &self,
        (function, part): (&'static str, &'static str),
        panel: usize,
        machine: &Machine,
    ) -> Kernel {
        Kernel::new("winograd", function, 1)
            .define(part, 1)
            .define("VW", machine.limits.lanes(machine.precision))
            .define("NR", panel)
            .define("POINTS", self.points())
            .define("KS", self.kernel)
            .define("MT", self.tile)
            .single()
    }

    /// The sizes that kernels take, `SHAPE`.
    fn shape(&self, product: &Product) -> [usize; 12] {
        let ((ih, iw), (oh, ow)) = (product.input(), product.output());
        let (rows, columns) = self.tiles((oh, ow));
        let (pad, panels) = (&product.window.pad, &product.panels);
        [
            product.images(),
            ih,
            iw,
            oh,
            ow,
            pad.height,
            pad.width,
            panels.groups,
            panels.inputs,
            panels.outputs,
            rows,
            columns,
        ]
    }

    /// The weights as the products want them, made once for all images.
    pub fn weight(
        self,
        (name, weight): (Name, BufferId),
        layer: usize,
        product: &Arc<Product>,
        machine: &Machine,
        ledger: &mut Ledger,
    ) -> BufferId {
        let panels = product.panels;
        let elements =
            panels.groups * panels.count() * self.square() * panels.inputs * panels.panel;
        let buffer = ledger.buffer(name.clone(), Element::Real, elements);
        let on = *machine;
        let kernel = move || {
            let parts = ("winograd_weight", "WINOGRAD_WEIGHT");
            let kernel = self.kernel(parts, panels.panel, &on);
            kernel.global([panels.inputs, panels.groups * panels.count(), 1])
        };
        let host = Weight { form: self, panels };
        let call = Call::new(kernel, host)
            .read(weight)
            .write(buffer)
            .ints([panels.inputs]);
        ledger.step(name, Some(layer), call);
        buffer
    }

    /// `dst = act(bias + src * weight)` with weights made by [`Self::weight`]. Names and tensors are the caller's: the input
    /// gradient is such a product too.
    pub fn forward(
        self,
        name: Name,
        product: &Arc<Product>,
        (layer, act): (usize, Function),
        buffers: Forwarded,
        machine: &Machine,
        ledger: &mut Ledger,
    ) {
        let panels = product.panels;
        let (rows, columns) = self.tiles(product.output());
        let tiles = product.images() * rows * columns;
        let tile = Tile::forward(machine, MANY_TILES, panels.panel);
        let lanes = panels.inputs.next_multiple_of(tile.lanes);
        let number = machine.precision.bytes() as usize;
        // Every core has several blocks; where the weights do not stay in a cache, few large ones, that each read them once.
        let weights = number * self.square() * panels.inputs * panels.outputs;
        let (most, items) = if weights > machine.tuning.winograd_cached_bytes {
            (machine.tuning.winograd_many_block, machine.limits.cores)
        } else {
            let fits = machine.tuning.winograd_slab_bytes
                / (number * self.square() * (lanes + panels.panel));
            (
                fits.min(machine.tuning.winograd_most_block)
                    .max(machine.tuning.winograd_least_block),
                4 * machine.limits.cores,
            )
        };
        let share = (tiles * panels.groups).div_ceil(items);
        let block = most.min(share).next_multiple_of(tile.rows);
        let items = (panels.groups * tiles.div_ceil(block)).min(items);
        let slab = self.square() * (block * (lanes + panels.panel) + 2 * PAD);
        let slabs = ledger.buffer(name.clone().word("slabs"), Element::Real, items * slab);
        let on = *machine;
        let biased = buffers.bias.is_some();
        let kernel = move || {
            let parts = ("winograd_forward", "WINOGRAD_FORWARD");
            let kernel = self
                .kernel(parts, panels.panel, &on)
                .define("ACT", act.number())
                .define("MR", tile.rows)
                .define("NV", tile.vectors)
                .define("KC", on.tuning.winograd_inputs)
                .global([items, 1, 1]);
            let kernel = match buffers.pooling {
                Some(pooling) => pooling.define(kernel),
                None => kernel,
            };
            if biased {
                kernel.define("BIAS", 1)
            } else {
                kernel
            }
        };
        let host = Forward {
            form: self,
            product: Arc::clone(product),
            act,
            bias: biased,
        };
        let stored = buffers.pooling.map_or(product.dst, |p| p.dst.view);
        let call = buffers
            .call(kernel, host, product)
            .scratch(slabs)
            .ints(product.src.places())
            .ints(stored.places())
            .ints(self.shape(product))
            .ints([block, items])
            .multiply_adds(product.multiply_adds());
        ledger.step(name, Some(layer), call);
    }

    /// `d_weight` from the layer's input and the upstream gradient.
    pub fn backward_weight(
        self,
        product: &Arc<Product>,
        site: &Site,
        d_dst: Tensor,
        d_weight: BufferId,
        machine: &Machine,
        ledger: &mut Ledger,
    ) {
        let layer = Some(site.layer);
        let shapes = Chunk::new(self, product, machine);
        let Chunk {
            images,
            tiles,
            tile,
            ..
        } = shapes;
        let name = |word| site.named("backward.weight").word(word);
        let source = ledger.buffer(name("source"), Element::Real, shapes.source());
        let upstream = ledger.buffer(name("upstream"), Element::Real, shapes.upstream());
        let sums = ledger.buffer(name("sums"), Element::Real, shapes.sums());
        let (groups, panels) = (product.panels.groups, product.panels.count());
        let (panel, on) = (product.panels.panel, *machine);
        let channels = [product.panels.inputs, product.panels.outputs];
        let (rows, columns) = self.tiles(product.output());
        let all = product.images();
        for first in (0..all).step_by(images) {
            let here = images.min(all - first);
            let kernel = move || {
                let parts = ("winograd_source", "WINOGRAD_SOURCE");
                let kernel = self.kernel(parts, panel, &on);
                kernel.global([rows, images, groups])
            };
            let host = Source {
                shapes: shapes.clone(),
                product: Arc::clone(product),
                first,
            };
            let call = Call::new(kernel, host)
                .read(site.source().buffer)
                .write(source)
                .ints(product.src.places())
                .ints(self.shape(product))
                .ints([tiles, first]);
            ledger.step(name("source"), layer, call);

            let kernel = move || {
                let parts = ("winograd_upstream", "WINOGRAD_UPSTREAM");
                let kernel = self.kernel(parts, panel, &on);
                kernel.global([rows, images, groups])
            };
            let host = Upstream {
                shapes: shapes.clone(),
                product: Arc::clone(product),
                d_dst: d_dst.view,
                first,
            };
            let call = Call::new(kernel, host)
                .read(d_dst.buffer)
                .write(upstream)
                .ints(d_dst.view.places())
                .ints(self.shape(product))
                .ints([tiles, first]);
            ledger.step(name("upstream"), layer, call);

            let kernel = move || {
                let parts = ("winograd_multiply", "WINOGRAD_MULTIPLY");
                self.kernel(parts, panel, &on)
                    .define("MR", tile.rows)
                    .define("NV", tile.vectors)
                    .define("KC", on.tuning.winograd_depth)
                    .global([panels, groups * self.square(), 1])
            };
            let count = here * rows * columns;
            let host = Multiply {
                shapes: shapes.clone(),
                tiles: count,
                add: first > 0,
            };
            let call = Call::new(kernel, host).read(source).read(upstream);
            let call = if first == 0 {
                call.write(sums)
            } else {
                call.update(sums)
            };
            let multiply_adds = product.multiply_adds() * here as u64 / all as u64;
            let call = call
                .ints(channels)
                .ints([tiles, count, usize::from(first > 0)])
                .multiply_adds(multiply_adds);
            ledger.step(name("multiply"), layer, call);
        }
        let kernel = move || {
            let parts = ("winograd_gradient", "WINOGRAD_GRADIENT");
            let kernel = self.kernel(parts, panel, &on);
            kernel.global([channels[0], groups * panels, 1])
        };
        let call = Call::new(kernel, Gradient { shapes })
            .read(sums)
            .write(d_weight)
            .ints(channels);
        ledger.step(site.named("backward.weight"), layer, call);
    }
}

/// How a chunk of images lies in the weight gradient's buffers.
#[derive(Clone, Debug)]
pub struct Chunk {
    form: Winograd,
    panels: Panels,
    tile: Tile,
    /// Images of a chunk.
    images: usize,
    /// Their tiles.
    tiles: usize,
}

impl Chunk {
    fn new(form: Winograd, product: &Product, machine: &Machine) -> Self {
        let (rows, columns) = form.tiles(product.output());
        let panels = product.panels;
        let vectors = panels.panel / machine.limits.lanes(machine.precision);
        let mut chunk = Self {
            form,
            panels,
            tile: Tile::depths(machine, vectors),
            images: 1,
            tiles: rows * columns,
        };
        let bytes = machine.precision.bytes() as usize * (chunk.source() + chunk.upstream());
        let all = product.images();
        // Not as alike as can be: a larger batch never takes less memory.
        chunk.images = (machine.tuning.winograd_chunk_bytes / bytes)
            .max(all.div_ceil(MOST_CHUNKS))
            .clamp(1, all);
        chunk.tiles = chunk.images * rows * columns;
        chunk
    }

    /// Vectors of input channels.
    fn blocks(&self) -> usize {
        self.panels.inputs.div_ceil(self.tile.lanes)
    }

    /// From one point to the next in the transformed input.
    fn source_point(&self) -> usize {
        self.blocks() * self.tiles * self.tile.lanes + PAD
    }

    /// From one point to the next in the transformed gradient.
    fn upstream_point(&self) -> usize {
        self.panels.count() * self.tiles * self.panels.panel + PAD
    }

    /// From one point to the next in the sums.
    fn sums_point(&self) -> usize {
        self.panels.count() * self.blocks() * self.tile.lanes * self.panels.panel
    }

    fn points(&self) -> usize {
        self.panels.groups * self.form.square()
    }

    fn source(&self) -> usize {
        self.points() * self.source_point()
    }

    fn upstream(&self) -> usize {
        self.points() * self.upstream_point()
    }

    fn sums(&self) -> usize {
        self.points() * self.sums_point()
    }
}
